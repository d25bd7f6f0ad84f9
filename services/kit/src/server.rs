//! The part of a service that listens: one server with access control, health and reflection, and
//! the tasks that live as long as it does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    service::{Routes, RoutesBuilder},
    transport::{Channel, Endpoint, Server as GrpcServer, server::TcpIncoming},
};

use crate::{access::AccessLayer, telemetry::CallLayer};

/// How long calls and streams may go on after the stop began.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Why a server could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A bound socket cannot be listened on.
    #[error("cannot listen on the socket")]
    Socket(#[source] std::io::Error),
    /// A peer's address is no URI.
    #[error("{uri} is not the address of a peer")]
    Peer {
        /// The address.
        uri: String,
        /// Why not.
        #[source]
        source: tonic::transport::Error,
    },
    /// Reflection cannot be built from the contract, a defect of this build.
    #[error("reflection cannot be built")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// Serving ended with an error.
    #[error("serving failed")]
    Serve(#[source] tonic::transport::Error),
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Listen {
    /// At an address; port 0 lets the system choose.
    At(SocketAddr),
    /// On a socket that is bound already, so that its address could be told to others before.
    On(Arc<std::net::TcpListener>),
}

impl Listen {
    /// Returns loopback, and a port that the system chooses.
    pub fn anywhere() -> Self {
        Self::At(([127, 0, 0, 1], 0).into())
    }

    /// Returns the same, bound now, and the address.
    ///
    /// # Errors
    ///
    /// [`ServerError::Listen`] when the address is taken.
    pub fn bound(self) -> Result<(Self, SocketAddr), ServerError> {
        let socket = self.socket()?;
        let addr = socket.local_addr().map_err(ServerError::Socket)?;
        Ok((Self::On(socket), addr))
    }

    fn socket(self) -> Result<Arc<std::net::TcpListener>, ServerError> {
        match self {
            Self::At(addr) => std::net::TcpListener::bind(addr)
                .map(Arc::new)
                .map_err(|source| ServerError::Listen { addr, source }),
            Self::On(socket) => Ok(socket),
        }
    }

    pub(crate) fn listener(self) -> Result<(TcpListener, SocketAddr), ServerError> {
        let socket = self.socket()?.try_clone().map_err(ServerError::Socket)?;
        socket.set_nonblocking(true).map_err(ServerError::Socket)?;
        let listener = TcpListener::from_std(socket).map_err(ServerError::Socket)?;
        let addr = listener.local_addr().map_err(ServerError::Socket)?;
        Ok((listener, addr))
    }
}

/// What ends with a service: a signal that it stops, and the tasks that heed it.
#[derive(Clone, Default)]
pub struct Lifetime {
    /// Cancelled when the stop begins; streams and tasks end then.
    pub shutdown: CancellationToken,
    /// The tasks to wait for.
    pub tasks: TaskTracker,
}

/// A service that is bound to its port and ready to run.
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    routes: Routes,
    access: AccessLayer,
    service_names: Vec<&'static str>,
    lifetime: Lifetime,
    drain_limit: Duration,
}

impl Server {
    /// Binds a service: `service_names` are the full names of the gRPC services in `routes`.
    ///
    /// # Errors
    ///
    /// [`ServerError::Listen`] when the address is taken.
    pub async fn bind(
        listen: Listen,
        routes: RoutesBuilder,
        service_names: Vec<&'static str>,
        access: AccessLayer,
        lifetime: Lifetime,
    ) -> Result<Self, ServerError> {
        let (listener, addr) = listen.listener()?;
        Ok(Self {
            listener,
            addr,
            routes: routes.routes(),
            access,
            service_names,
            lifetime,
            drain_limit: DRAIN_LIMIT,
        })
    }

    /// Sets how long calls and streams may go on after the stop began, instead of 20 seconds.
    #[must_use]
    pub fn with_drain_limit(mut self, drain_limit: Duration) -> Self {
        self.drain_limit = drain_limit;
        self
    }

    /// Returns the address that the service is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop`, then drains: no new calls, streams end, tasks are awaited, all of it within
    /// 20 seconds; what is still open then is cut, and that is no error.
    ///
    /// # Errors
    ///
    /// [`ServerError::Serve`] when serving fails.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<(), ServerError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        for name in &self.service_names {
            reporter
                .set_service_status(*name, tonic_health::ServingStatus::Serving)
                .await;
        }
        let shutdown = self.lifetime.shutdown.clone();
        let routes = self
            .routes
            .add_service(health)
            .add_service(
                reflection(&self.service_names)?
                    .build_v1()
                    .map_err(ServerError::Reflection)?,
            )
            .add_service(
                reflection(&self.service_names)?
                    .build_v1alpha()
                    .map_err(ServerError::Reflection)?,
            );
        tracing::info!(addr = %self.addr, services = ?self.service_names, "service listens");
        // What the builder says of sockets does not count for those that it is given. Without this
        // an answer in two parts waits 40 ms for an acknowledgement.
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let serving = GrpcServer::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .layer(CallLayer)
            .layer(self.access)
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
        let served = async {
            let result = serving.await.map_err(ServerError::Serve);
            // Also where serving failed before the stop: the tasks must not outlive it.
            shutdown.cancel();
            self.lifetime.tasks.close();
            self.lifetime.tasks.wait().await;
            result
        };
        let drained = async {
            tokio::select! {
                () = stop => {}
                () = shutdown.cancelled() => {}
            }
            stop_health(reporter, &self.service_names).await;
            shutdown.cancel();
            tokio::time::sleep(self.drain_limit).await;
        };
        tokio::select! {
            result = served => result,
            () = drained => {
                tracing::warn!(addr = %self.addr, "calls and tasks still open after the drain limit are cut");
                Ok(())
            }
        }
    }
}

/// Tells everybody who watches that the service stops, and ends their streams, which would hold the
/// drain up.
async fn stop_health(mut reporter: tonic_health::server::HealthReporter, names: &[&'static str]) {
    for name in names.iter().chain(&[""]) {
        reporter
            .set_service_status(name, tonic_health::ServingStatus::NotServing)
            .await;
        reporter.clear_service_status(name).await;
    }
}

fn reflection<'a>(
    service_names: &[&'static str],
) -> Result<tonic_reflection::server::Builder<'a>, ServerError> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(rapport_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health");
    Ok(service_names
        .iter()
        .fold(builder, |builder, name| builder.with_service_name(*name)))
}

/// Returns a channel to a peer that connects when it is first used, and again when it breaks.
///
/// # Errors
///
/// [`ServerError::Peer`] when `uri` is no URI.
pub fn channel(uri: &str) -> Result<Channel, ServerError> {
    let endpoint = Endpoint::from_shared(uri.to_owned()).map_err(|source| ServerError::Peer {
        uri: uri.to_owned(),
        source,
    })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy())
}

#[cfg(test)]
mod tests;
