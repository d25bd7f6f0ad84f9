//! What encrypts calls, and where health is told to those who have no TLS.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use tonic::codegen::http::uri::Authority;

use super::{ConfigError, Mode, SuiteArgs};
use crate::tls::{CertificateFiles, Tls, TlsFiles, scheme};

const NOT_ENCRYPTED: &str = "without RAPPORT_TLS_AUTHORITY calls are not encrypted";

/// The flags about TLS.
#[derive(Args, Clone, Debug)]
pub struct TlsArgs {
    /// File of this process's certificate, and of those between it and the authority, in PEM. Services then
    /// encrypt every call, and may leave loopback in production.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_TLS_CERTIFICATE",
        requires_all = ["tls_key", "tls_authority"]
    )]
    pub tls_certificate: Option<PathBuf>,
    /// File of the certificate's private key, in PEM.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_TLS_KEY",
        requires = "tls_certificate"
    )]
    pub tls_key: Option<PathBuf>,
    /// File of the authorities that sign the services' certificates, and those of callers, in PEM.
    #[arg(long, global = true, env = "RAPPORT_TLS_AUTHORITY")]
    pub tls_authority: Option<PathBuf>,
    /// Where a service tells its health, and nothing else, without TLS, as Kubernetes asks for it; not for
    /// all services in one process.
    #[arg(long, global = true, env = "RAPPORT_HEALTH_ADDR")]
    pub health_addr: Option<SocketAddr>,
}

impl TlsArgs {
    /// Returns the files, if there is TLS.
    pub(super) fn files(&self) -> Option<TlsFiles> {
        let pair = self.tls_certificate.clone().zip(self.tls_key.clone());
        Some(TlsFiles {
            authority: self.tls_authority.clone()?,
            certificate: pair.map(|(chain, key)| CertificateFiles { chain, key }),
        })
    }
}

impl SuiteArgs {
    /// Returns what encrypts calls, if anything does; its files are read again from then on.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Tls`] says which file cannot be used.
    pub async fn tls(&self) -> Result<Option<Tls>, ConfigError> {
        let Some(files) = self.tls.files() else {
            return Ok(None);
        };
        Tls::open(files).await.map(Some).map_err(ConfigError::Tls)
    }

    /// Returns where a service listens, which without TLS, and in development, is on loopback.
    pub(super) fn listen(
        &self,
        setting: &'static str,
        addr: &str,
        tls: Option<&Tls>,
    ) -> Result<SocketAddr, ConfigError> {
        let invalid = |problem| Err(ConfigError::Invalid { setting, problem });
        let Ok(listen) = addr.parse::<SocketAddr>() else {
            return invalid(format!("{addr} is not an address and port to listen on"));
        };
        if tls.is_some_and(|tls| !tls.is_certified()) {
            return Err(ConfigError::Invalid {
                setting: "RAPPORT_TLS_CERTIFICATE",
                problem: "is missing beside RAPPORT_TLS_AUTHORITY".to_owned(),
            });
        }
        if listen.ip().is_loopback() || tls.is_some() && self.mode == Mode::Production {
            return Ok(listen);
        }
        invalid(match self.mode {
            Mode::Development => format!("{addr} is not on loopback, which development is for"),
            Mode::Production => format!("{addr} is not on loopback, and {NOT_ENCRYPTED}"),
        })
    }
}

/// Returns the URI of a peer; without TLS nothing is said but on loopback (SPEC 59).
///
/// # Errors
///
/// [`ConfigError::Invalid`] when there is no peer at `addr`, or none that may be called.
pub fn peer(setting: &'static str, addr: &str, tls: Option<&Tls>) -> Result<String, ConfigError> {
    let authority = addr.parse::<Authority>().ok();
    let authority = authority.filter(|authority| authority.port_u16().is_some());
    let problem = match authority {
        None => format!("{addr} is not an address or name, and port"),
        Some(authority) if tls.is_some() || is_loopback(&authority) => {
            return Ok(format!("{}://{authority}", scheme(tls)));
        }
        Some(_) => format!("{addr} is not on loopback, and {NOT_ENCRYPTED}"),
    };
    Err(ConfigError::Invalid { setting, problem })
}

fn is_loopback(authority: &Authority) -> bool {
    match authority.as_str().parse::<SocketAddr>() {
        Ok(addr) => addr.ip().is_loopback(),
        Err(_) => authority.host() == "localhost",
    }
}
