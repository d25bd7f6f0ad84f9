//! What a service says before it can begin: that it lives, and is not ready.

use std::convert::Infallible;

use prost_reflect::DescriptorPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Code, body::Body, codegen::http::Request, service::Routes};
use tonic_health::pb::health_server::HealthServer;
use tower::Service;

use futures_util::future::OptionFuture;

use super::{
    ConnectionArgs, DRAIN_LIMIT, Listen, ServerError, Terms, connections, health::HealthService,
    serve_health,
};
use crate::{
    config::{ServiceConfig, ServiceName},
    error::Refusal,
};

/// Answers for a service on its port until `ready`: health as it is, every other call with UNAVAILABLE.
///
/// # Errors
///
/// [`ServerError`] when the address cannot be listened on.
pub async fn answer_until<T>(
    name: ServiceName,
    config: &ServiceConfig,
    ready: impl Future<Output = T>,
) -> Result<T, ServerError> {
    let (listener, addr) = config.listen.clone().listener()?;
    let probes = config.health.clone().map(Listen::listener).transpose()?;
    tracing::info!(%addr, "service waits for what it needs");
    let is_ready = watch::Sender::new(false);
    let health = HealthServer::new(HealthService {
        service_names: service_names(name).into(),
        ready: is_ready.subscribe(),
    });
    let health = Routes::new(health).prepare();
    let health_alone = health.clone();
    let domain = format!("{}.rapport", name.as_str());
    let service = tower::service_fn(move |request: Request<Body>| {
        let is_health = request.uri().path().starts_with("/grpc.health.");
        let (mut health, domain) = (health.clone(), domain.clone());
        async move {
            if is_health {
                return health.call(request).await;
            }
            let message = "the service waits for its database, its broker or its bucket";
            let refusal = Refusal::new(Code::Unavailable, "DATABASE_UNAVAILABLE", message);
            Ok::<_, Infallible>(refusal.into_status(&domain).into_http())
        }
    });
    let never = CancellationToken::new();
    let terms = Terms {
        limits: ConnectionArgs::default(),
        drain_limit: DRAIN_LIMIT,
        tls: config.tls.clone(),
    };
    let probes =
        probes.map(|(listener, _)| serve_health(listener, health_alone, DRAIN_LIMIT, &never));
    tokio::select! {
        _ = connections::serve(listener, service, terms, &never) => {
            unreachable!("nobody cancels it")
        }
        Some(()) = OptionFuture::from(probes) => unreachable!("nobody cancels it"),
        result = ready => Ok(result),
    }
}

/// Returns the full names of the gRPC services that a service of the suite has.
fn service_names(name: ServiceName) -> Vec<String> {
    let pool = DescriptorPool::decode(rapport_proto::FILE_DESCRIPTOR_SET)
        .expect("the descriptor set was made by this build");
    let package = format!("rapport.{}.v1", name.as_str());
    let services = pool.services();
    let own = services.filter(|service| service.parent_file().package_name() == package);
    own.map(|service| service.full_name().to_owned()).collect()
}
