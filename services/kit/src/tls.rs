//! TLS between this process and others: what it shows, whom it trusts, and whom a caller's certificate
//! names.
//!
//! The files are read again while the process runs. What they come to hold is for the connections that
//! begin from then on; those that there are go on as they began, until they are too old. What cannot be
//! used changes nothing, and is told to operators.

mod certified;
mod material;
#[cfg(test)]
mod tests;

use std::{error::Error, io, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use self::material::{Content, Material};
pub use self::{
    certified::Certified,
    material::{CertificateFiles, TlsError, TlsFiles},
};
use crate::telemetry::Count;

/// How often the files are looked at. They are read, and not watched, because that is cheap and heeds
/// every way in which files are exchanged.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

static RELOADS: Count<1> = Count::new(
    "rapport.tls.reloads",
    "{reload}",
    "How often a file of TLS had changed, and was taken or could not be used",
    ["outcome"],
);

/// Returns how the URIs of servers begin: with `tls` they are those of encrypted ones.
pub fn scheme(tls: Option<&Tls>) -> &'static str {
    match tls {
        Some(_) => "https",
        None => "http",
    }
}

/// What a process shows of itself, and whom it trusts; clones share it.
#[derive(Clone)]
pub struct Tls(watch::Receiver<Arc<Material>>);

impl Tls {
    /// Reads the files, and again for as long as a clone is there.
    ///
    /// # Errors
    ///
    /// [`TlsError`] says which file cannot be used.
    pub async fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let content = files.read().await?;
        let material = Material::new(&files, &content)?;
        let (sender, receiver) = watch::channel(Arc::new(material));
        tokio::spawn(follow(files, content, sender));
        Ok(Self(receiver))
    }

    /// Tells whether there is a certificate to show.
    pub(crate) fn is_certified(&self) -> bool {
        self.current().server.is_some()
    }

    /// Begins TLS with who has connected. Who shows no certificate is let in, and may have a token; one
    /// that no authority of ours has signed ends the connection.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<server::TlsStream<TcpStream>> {
        let config = self.current().server.clone();
        let config = config.ok_or_else(|| io::Error::other("there is no certificate to show"))?;
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Begins TLS with the server that was connected to under the name `host`.
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current().client);
        // An IPv6 address stands in brackets in a URI.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }

    fn current(&self) -> Arc<Material> {
        Arc::clone(&self.0.borrow())
    }
}

/// Takes what the files come to hold, for as long as somebody uses it.
async fn follow(files: TlsFiles, content: Content, sender: watch::Sender<Arc<Material>>) {
    // What was last looked at, whether it could be used or not; `None` if a file could not be read.
    let mut seen = Some(content);
    loop {
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        let found = files.read().await;
        if found.as_ref().ok() == seen.as_ref() {
            continue;
        }
        let material = found
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|content| Material::new(&files, content));
        match material {
            Ok(material) => {
                sender.send_replace(Arc::new(material));
                RELOADS.add(1, ["TAKEN"]);
                tracing::info!("the certificate and its authorities were reloaded");
            }
            Err(error) => {
                RELOADS.add(1, ["REFUSED"]);
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(
                    %error,
                    cause,
                    "a new certificate cannot be used, and the one before stays"
                );
            }
        }
        seen = found.ok();
    }
}
