//! How a service, or a client of the suite, reaches a service: over one connection at a time, to any of its
//! replicas.

use std::{io, net::SocketAddr, time::Duration};

use hyper_util::rt::TokioIo;
use rand::seq::SliceRandom;
use tokio::net::{TcpStream, lookup_host};
use tokio_util::either::Either;
use tonic::{
    codegen::http::Uri,
    transport::{Channel, Endpoint},
};

use super::{KEEPALIVE, ServerError, gathered::Gathered};
use crate::tls::Tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns a channel to a peer that connects when it is first used, and again when its connection ends, and
/// that is encrypted by nobody.
///
/// # Errors
///
/// As [`channel_by`].
pub fn channel(uri: &str) -> Result<Channel, ServerError> {
    channel_by(None, uri)
}

/// Returns a channel to a peer that connects when it is first used, and again when its connection ends. With
/// `tls` the peer has to show that it is who the URI names, and is shown our certificate.
///
/// Each connection resolves the peer's name anew and goes to a replica by lot. Since servers end old
/// connections, callers spread over the replicas that there are.
///
/// # Errors
///
/// [`ServerError::Peer`] when `uri` is no URI.
pub fn channel_by(tls: Option<&Tls>, uri: &str) -> Result<Channel, ServerError> {
    channel_to(tls, uri, |authority| async {
        Ok(lookup_host(authority).await?.collect())
    })
}

/// As [`channel_by`], to where `resolve` finds the replicas of a peer, whom it is told by name and port.
pub(super) fn channel_to<Found>(
    tls: Option<&Tls>,
    uri: &str,
    resolve: impl Fn(String) -> Found + Clone + Send + 'static,
) -> Result<Channel, ServerError>
where
    Found: Future<Output = io::Result<Vec<SocketAddr>>> + Send,
{
    let endpoint = Endpoint::from_shared(uri.to_owned()).map_err(|source| ServerError::Peer {
        uri: uri.to_owned(),
        source,
    })?;
    let tls = tls.cloned();
    let connect = tower::service_fn(move |uri: Uri| {
        let tls = tls.clone();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let found = resolve(authority.to_owned());
        async move {
            let stream = connect_to_one_of(found.await?).await?;
            let stream = match tls {
                None => Either::Left(stream),
                Some(tls) => {
                    let host = uri.host().unwrap_or_default();
                    Either::Right(Box::new(tls.connect(host, stream).await?))
                }
            };
            io::Result::Ok(TokioIo::new(Gathered::new(stream)))
        }
    });
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(connect))
}

/// Connects to the first that answers, in an order by lot.
async fn connect_to_one_of(mut addrs: Vec<SocketAddr>) -> io::Result<TcpStream> {
    addrs.shuffle(&mut rand::rng());
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for addr in addrs {
        match TcpStream::connect(addr).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn connections_spread_over_the_replicas_that_answer() {
        let replicas = [
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let live: BTreeSet<_> = replicas
            .iter()
            .map(|one| one.local_addr().unwrap())
            .collect();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut addrs = vec![gone.local_addr().unwrap()];
        drop(gone);
        assert!(connect_to_one_of(addrs.clone()).await.is_err());
        addrs.extend(&live);
        // That one of two is never chosen has a chance of one in 2^63.
        let mut reached = BTreeSet::new();
        for _ in 0..64 {
            let stream = connect_to_one_of(addrs.clone()).await.unwrap();
            reached.insert(stream.peer_addr().unwrap());
        }
        assert_eq!(reached, live);
    }
}
