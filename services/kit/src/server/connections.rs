//! The connections of a server: how many there may be, what each may hold, how old it becomes, and how
//! it ends.
//!
//! The gRPC library has a loop of its own, which cuts a connection that has become too old, and the calls
//! on it with it. Here a client is told first (GOAWAY, gRFC A9), takes its next call elsewhere, and loses
//! none.

mod opening;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use clap::Args;
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{either::Either, sync::CancellationToken};
use tonic::{
    body::Body,
    codegen::http::{Request, Response},
};
use tower::{Service, ServiceExt};

use self::opening::Opening;
use super::{KEEPALIVE, gathered::Gathered};
use crate::tls::{Certified, Tls};

const CONNECTIONS: usize = 10_000;
const AGE_SECONDS: u64 = 30 * 60;
/// Calls and streams of one connection at once; who needs more opens another.
const STREAMS: u32 = 1_000;
/// Of one call, as HPACK counts them: 32 bytes more for each header.
const HEADERS_BYTES: u32 = 16 * 1024;
/// How long a client may leave a ping unanswered.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// After a failure to accept, such as a lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What the connections of a service are held to.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionArgs {
    /// Connections that a service has at once; it closes those beyond at once.
    #[arg(
        long = "connections",
        global = true,
        env = "RAPPORT_CONNECTIONS",
        default_value_t = CONNECTIONS,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..)
    )]
    pub count: usize,
    /// Seconds, give or take a tenth, after which a client is asked to open another connection, and so
    /// finds the replicas that have come since.
    #[arg(
        long = "connection-age-seconds",
        global = true,
        env = "RAPPORT_CONNECTION_AGE_SECONDS",
        default_value_t = AGE_SECONDS,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub age_seconds: u64,
}

impl Default for ConnectionArgs {
    fn default() -> Self {
        Self {
            count: CONNECTIONS,
            age_seconds: AGE_SECONDS,
        }
    }
}

/// The connection over which a call came, in the call's extensions.
pub(crate) struct Connection {
    /// Where its other end is.
    pub(crate) peer: SocketAddr,
    /// Cancelled when its streams are to end, so that they are resumed on another.
    pub(crate) ending: CancellationToken,
    /// Whom the certificate of its other end names, if it showed one that names somebody.
    pub(crate) certified: Option<Certified>,
}

impl Connection {
    /// Tells whether its other end is on this host.
    pub(crate) fn is_on_loopback(&self) -> bool {
        self.peer.ip().to_canonical().is_loopback()
    }
}

/// What the connections of one listener have in common.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) limits: ConnectionArgs,
    /// How long one that ends may take; after half of that its streams are ended.
    pub(super) drain_limit: Duration,
    /// What they are encrypted by, if they are.
    pub(super) tls: Option<Tls>,
}

/// Accepts connections and answers their calls until `shutdown`, and then until the last of them has
/// ended. Dropped, this cuts those that are left.
pub(super) async fn serve<S>(
    listener: TcpListener,
    service: S,
    terms: Terms,
    shutdown: &CancellationToken,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((_, peer)) if open.len() >= terms.limits.count => {
                tracing::warn!(%peer, limit = terms.limits.count, "one connection too many is closed");
            }
            Ok((stream, peer)) => {
                let (service, terms) = (service.clone(), terms.clone());
                open.spawn(answer(stream, peer, service, terms, shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
    // From here on new clients are refused, and find another replica.
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// Those that came together do not go together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::random_range(0.9..=1.1))
}

/// Answers the calls of one connection, until the client goes, it is too old, or the service stops.
async fn answer<S>(
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
    terms: Terms,
    shutdown: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    // Without this an answer in two parts waits 40 ms for an acknowledgement. A stream that refuses is
    // one that has ended.
    let _ = stream.set_nodelay(true);
    let (stream, certified) = match begin(stream, terms.tls.as_ref()).await {
        Ok(begun) => begun,
        Err(error) => return tracing::debug!(%peer, %error, "a connection came to nothing"),
    };
    let connection = Arc::new(Connection {
        peer,
        ending: CancellationToken::new(),
        certified,
    });
    let ending = connection.ending.clone();
    let service = service.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&connection));
        request
    });
    let mut serving = pin!(protocol().serve_connection(
        TokioIo::new(Gathered::new(Opening::new(stream))),
        TowerToHyperService::new(service),
    ));
    let age = jittered(Duration::from_secs(terms.limits.age_seconds));
    // What a client does to its own connection is its own affair.
    tokio::select! {
        _ = serving.as_mut() => return,
        () = sleep(age) => {}
        () = shutdown.cancelled() => {}
    }
    serving.as_mut().graceful_shutdown();
    // How long its streams may go on, and then how long their ends may take to arrive.
    let grace = terms.drain_limit / 2;
    tokio::select! {
        _ = serving.as_mut() => return,
        () = sleep(grace) => ending.cancel(),
    }
    if timeout(grace, serving).await.is_err() {
        tracing::debug!(%peer, "a connection that does not end is cut");
    }
}

/// Begins TLS, if there is to be any, and finds out whom the client's certificate names.
async fn begin(
    stream: TcpStream,
    tls: Option<&Tls>,
) -> io::Result<(
    Either<TcpStream, Box<TlsStream<TcpStream>>>,
    Option<Certified>,
)> {
    let Some(tls) = tls else {
        return Ok((Either::Left(stream), None));
    };
    let stream = timeout(opening::LIMIT, tls.accept(stream)).await??;
    let certificates = stream.get_ref().1.peer_certificates();
    let certified = certificates.and_then(<[_]>::first).and_then(Certified::of);
    Ok((Either::Right(Box::new(stream)), certified))
}

fn protocol() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS_BYTES)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_came_together_do_not_go_together() {
        let age = Duration::from_secs(1_000);
        let mut ages: Vec<Duration> = (0..1_000).map(|_| jittered(age)).collect();
        ages.sort();
        let (first, last) = (ages[0], ages[999]);
        assert!(first >= age.mul_f64(0.9) && last <= age.mul_f64(1.1));
        // That no one of a thousand falls into a tenth of the span has a chance of one in 10^45.
        for tenth in 0..10 {
            let from = Duration::from_secs(900 + 20 * tenth);
            let to = from + Duration::from_secs(20);
            assert!(ages.iter().any(|age| (from..to).contains(age)), "{tenth}");
        }
    }
}
