//! gRPC's health protocol: whether a service can do its work, and, apart from that, whether it lives.
//!
//! The gRPC library's own ends the watch of a service that it does not know, where the protocol keeps it,
//! and says that a server is healthy before anybody has looked.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, future::BoxFuture, stream};
use tokio::{sync::watch, time::timeout};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_server::Health,
};

/// The service name under which a process says that it lives, whatever it waits for.
pub const LIVENESS: &str = "liveness";
/// How often what a service needs is looked at, and how long that may take before it counts as not there.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Something that a service cannot work without.
pub(super) struct Need {
    /// What it is, as logs name it.
    pub(super) name: &'static str,
    /// Asks whether it is there, or why not.
    pub(super) probe: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

/// Tells whether all of `needs` are there, and logs what changes of that; `were_met` is `None` at the
/// first look.
async fn are_met(needs: &[Need], were_met: Option<bool>) -> bool {
    for need in needs {
        let missing = match timeout(PROBE_LIMIT, (need.probe)()).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            Err(_) => "no answer in time".to_owned(),
        };
        if were_met != Some(false) {
            tracing::warn!(need = need.name, error = missing, "service is not ready");
        }
        return false;
    }
    if were_met != Some(true) {
        tracing::info!("service is ready");
    }
    true
}

/// Looks for `needs` for the first time, and returns what goes on to say whether they are there.
pub(super) async fn look(needs: &[Need]) -> watch::Sender<bool> {
    watch::Sender::new(are_met(needs, None).await)
}

/// Keeps `ready` as `needs` are, for as long as it is polled.
pub(super) async fn keep(needs: &[Need], ready: &watch::Sender<bool>) {
    loop {
        tokio::time::sleep(PROBE_INTERVAL).await;
        let was_ready = *ready.borrow();
        let is_ready = are_met(needs, Some(was_ready)).await;
        if is_ready != was_ready {
            ready.send_replace(is_ready);
        }
    }
}

/// Answers for a server and the services in it.
pub(super) struct HealthService {
    pub(super) service_names: Arc<[String]>,
    /// Whether calls are served; watches end with it.
    pub(super) ready: watch::Receiver<bool>,
}

impl HealthService {
    /// Returns how a service is, as long as the server is ready or not.
    fn status(names: &[String], service: &str, is_ready: bool) -> ServingStatus {
        if service == LIVENESS {
            ServingStatus::Serving
        } else if !service.is_empty() && !names.iter().any(|name| name == service) {
            ServingStatus::ServiceUnknown
        } else if is_ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        match Self::status(&self.service_names, service, *self.ready.borrow()) {
            ServingStatus::ServiceUnknown => Err(Status::not_found("there is no such service")),
            status => Ok(Response::new(response(status))),
        }
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    /// Tells the status and each other that follows, until the server has stopped.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let names = Arc::clone(&self.service_names);
        let state = (self.ready.clone(), None);
        let statuses = stream::unfold(state, move |(mut ready, told)| {
            let (names, service) = (Arc::clone(&names), service.clone());
            async move {
                loop {
                    let status = Self::status(&names, &service, *ready.borrow_and_update());
                    if told != Some(status) {
                        return Some((Ok(response(status)), (ready, Some(status))));
                    }
                    ready.changed().await.ok()?;
                }
            }
        });
        Ok(Response::new(statuses.boxed()))
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
