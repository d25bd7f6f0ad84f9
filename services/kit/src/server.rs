//! The part of a service that listens: one server with access control, health and reflection, and
//! the tasks that live as long as it does.

mod channel;
mod connections;
mod gathered;
mod health;
mod waiting;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::OptionFuture};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::pb::health_server::HealthServer;
use tower::Layer;

use self::{
    connections::Terms,
    health::{HealthService, Need},
};
use crate::{
    access::{AccessLayer, Revocations},
    db::Db,
    telemetry::CallLayer,
    tls::Tls,
};

pub(crate) use self::connections::Connection;
pub use self::{
    channel::{channel, channel_by},
    connections::ConnectionArgs,
    health::LIVENESS,
    waiting::answer_until,
};

/// How long calls and streams may go on after the stop began.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(20);
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
    needs: Vec<Need>,
    terms: Terms,
    /// Where health is told without TLS, to those who have none.
    health_listener: Option<TcpListener>,
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
            needs: Vec::new(),
            terms: Terms {
                limits: ConnectionArgs::default(),
                drain_limit: DRAIN_LIMIT,
                tls: None,
            },
            health_listener: None,
        })
    }

    /// Sets how long calls and streams may go on after the stop began, instead of 20 seconds.
    #[must_use]
    pub fn with_drain_limit(mut self, drain_limit: Duration) -> Self {
        self.terms.drain_limit = drain_limit;
        self
    }

    /// Sets what connections are held to, instead of the default.
    #[must_use]
    pub fn with_connections(mut self, connections: ConnectionArgs) -> Self {
        self.terms.limits = connections;
        self
    }

    /// Encrypts all connections, if there is what to do that with.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Tls>) -> Self {
        self.terms.tls = tls;
        self
    }

    /// Tells health, and nothing else, at another place too, which is not encrypted.
    ///
    /// # Errors
    ///
    /// [`ServerError::Listen`] when the address is taken.
    pub fn with_health(mut self, listen: Option<Listen>) -> Result<Self, ServerError> {
        let listener = listen.map(Listen::listener).transpose()?;
        self.health_listener = listener.map(|(listener, _)| listener);
        Ok(self)
    }

    /// Makes the service ready only while its database answers.
    #[must_use]
    pub fn with_database(mut self, db: Db) -> Self {
        let probe = move || {
            let db = db.clone();
            async move { db.check().await.map_err(|error| error.to_string()) }.boxed()
        };
        self.needs.push(Need {
            name: "database",
            probe: Box::new(probe),
        });
        self
    }

    /// Makes the service ready only while it hears from identity, without which it lets nobody in (SPEC 59).
    #[must_use]
    pub fn with_identity(mut self, revocations: Revocations) -> Self {
        let probe = move || {
            let is_current = revocations.is_current();
            let answer = is_current.then_some(());
            let answer = answer.ok_or_else(|| "it has been silent for too long".to_owned());
            std::future::ready(answer).boxed()
        };
        self.needs.push(Need {
            name: "identity",
            probe: Box::new(probe),
        });
        self
    }

    /// Returns the address that the service is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop`, then drains: health says so first, no new connections, streams end, tasks are
    /// awaited, all of it within 20 seconds; what is still open then is cut, and that is no error.
    ///
    /// # Errors
    ///
    /// [`ServerError::Reflection`], a defect of this build.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) -> Result<(), ServerError> {
        let ready = health::look(&self.needs).await;
        let health = HealthServer::new(HealthService {
            service_names: self.service_names.iter().map(ToString::to_string).collect(),
            ready: ready.subscribe(),
        });
        let shutdown = self.lifetime.shutdown.clone();
        let health_alone = Routes::new(health.clone()).prepare();
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
        let service = CallLayer.layer(self.access.layer(routes.prepare()));
        let drain_limit = self.terms.drain_limit;
        let served = async {
            let probes = self
                .health_listener
                .map(|listener| serve_health(listener, health_alone, drain_limit, &shutdown));
            tokio::join!(
                connections::serve(self.listener, service, self.terms, &shutdown),
                OptionFuture::from(probes),
            );
            self.lifetime.tasks.close();
            self.lifetime.tasks.wait().await;
        };
        let drained = async {
            tokio::select! {
                () = stop => {}
                () = shutdown.cancelled() => {}
                () = health::keep(&self.needs, &ready) => {}
            }
            // Those who watch are told, and then their streams end, which would hold the drain up.
            ready.send_replace(false);
            drop(ready);
            shutdown.cancel();
            tokio::time::sleep(drain_limit).await;
        };
        tokio::select! {
            () = served => {}
            () = drained => {
                tracing::warn!(addr = %self.addr, "calls and tasks still open after the drain limit are cut");
            }
        }
        Ok(())
    }
}

/// Tells health without TLS, until `shutdown`.
async fn serve_health(
    listener: TcpListener,
    health: Routes,
    drain_limit: Duration,
    shutdown: &CancellationToken,
) {
    let terms = Terms {
        limits: ConnectionArgs::default(),
        drain_limit,
        tls: None,
    };
    connections::serve(listener, health, terms, shutdown).await;
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

#[cfg(test)]
mod tests;
