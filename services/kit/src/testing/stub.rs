//! Two services of the contract that do as little as the tests of this crate need, on a real socket.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use chrono::DateTime;
use futures_util::{Stream, StreamExt};
use rapport_proto::identity::v1::{
    self as identity, link_service_server::LinkService, session_service_server::SessionService,
};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::RoutesBuilder};

use crate::{
    access::{AccessLayer, Bearer, KeySet, Revocations, TokenVerifier, principal},
    clock::Clock,
    db::Db,
    error::CallError,
    event_log::{Batch, EventFeed},
    limit::Limits,
    server::{Lifetime, Listen, Server},
};

/// The `ErrorInfo` domain of the stubs.
pub(crate) const DOMAIN: &str = "stub.rapport";
/// What the stubs take for the suite.
pub(crate) const SUITE_SECRET: &str = "the-secret-of-the-suite";

/// Identity's two services; every method but those below is unimplemented.
#[derive(Clone, Default)]
pub(crate) struct Stub {
    /// What `WatchEvents` reads; without it the stream never says anything and never ends.
    pub(crate) log: Option<Db>,
    pub(crate) lifetime: Lifetime,
    /// What `GetKeySet` gives.
    pub(crate) keys: Vec<identity::JsonWebKey>,
    /// How often it was asked.
    pub(crate) key_set_calls: Arc<AtomicUsize>,
    /// What its anonymous methods are held to.
    pub(crate) limits: Limits,
}

/// A stub that runs.
pub(crate) struct RunningStub {
    pub(crate) addr: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), crate::server::ServerError>>,
}

impl RunningStub {
    /// Stops it and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    pub(crate) fn channel(&self) -> tonic::transport::Channel {
        crate::server::channel(&format!("http://{}", self.addr)).unwrap()
    }

    /// Returns identity's log as another service of the suite reads it.
    pub(crate) fn event_source(&self) -> crate::consumer::EventSource {
        let credential = Bearer::new(&SecretString::from(SUITE_SECRET)).unwrap();
        let client = identity::link_service_client::LinkServiceClient::with_interceptor(
            self.channel(),
            credential,
        );
        crate::consumer::EventSource::Identity(client)
    }
}

impl Stub {
    /// Binds it behind an access layer.
    pub(crate) async fn bind(self, listen: SocketAddr, access: AccessLayer) -> Server {
        let lifetime = self.lifetime.clone();
        let mut routes = RoutesBuilder::default();
        routes.add_service(identity::link_service_server::LinkServiceServer::new(
            self.clone(),
        ));
        routes.add_service(identity::session_service_server::SessionServiceServer::new(
            self,
        ));
        let names = vec![
            "rapport.identity.v1.LinkService",
            "rapport.identity.v1.SessionService",
        ];
        Server::bind(Listen::At(listen), routes, names, access, lifetime)
            .await
            .unwrap()
    }

    /// Runs it behind an access layer that knows `tokens`.
    pub(crate) async fn run(self, listen: SocketAddr, tokens: TokenVerifier) -> RunningStub {
        let operator = Some("the-token-of-the-operator".into());
        let access = AccessLayer::new(
            DOMAIN,
            tokens,
            operator,
            SUITE_SECRET.into(),
            self.limits.clone(),
        );
        let server = self.bind(listen, access).await;
        let addr = server.local_addr();
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run_until(stop.clone().cancelled_owned()));
        RunningStub { addr, stop, task }
    }

    /// Runs it for the suite alone: it knows no keys.
    pub(crate) async fn run_for_suite(self, listen: SocketAddr, db: &Db) -> RunningStub {
        let revocations = Revocations::load(db, None).await.unwrap();
        let tokens = TokenVerifier::new(KeySet::default(), None, revocations, Clock::system());
        self.run(listen, tokens).await
    }
}

/// Loopback, and a port that the system chooses.
pub(crate) fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn unimplemented<T>() -> Result<Response<T>, Status> {
    let error = CallError::Unimplemented { method: "stub" };
    Err(error.refusal().into_status(DOMAIN))
}

#[tonic::async_trait]
impl LinkService for Stub {
    async fn get_link(
        &self,
        request: Request<identity::GetLinkRequest>,
    ) -> Result<Response<identity::GetLinkResponse>, Status> {
        let caller = principal(&request).map_err(|error| error.refusal().into_status(DOMAIN))?;
        assert_ne!(request.get_ref().link_id, "panic", "as the test asked for");
        // The caller's name, where a test can see it.
        Ok(Response::new(identity::GetLinkResponse {
            link: Some(identity::Link {
                link_id: caller.name(),
                ..Default::default()
            }),
        }))
    }

    async fn list_links(
        &self,
        _: Request<identity::ListLinksRequest>,
    ) -> Result<Response<identity::ListLinksResponse>, Status> {
        unimplemented()
    }

    async fn revoke_link(
        &self,
        _: Request<identity::RevokeLinkRequest>,
    ) -> Result<Response<identity::RevokeLinkResponse>, Status> {
        unimplemented()
    }

    async fn resolve_person(
        &self,
        _: Request<identity::ResolvePersonRequest>,
    ) -> Result<Response<identity::ResolvePersonResponse>, Status> {
        unimplemented()
    }

    type WatchEventsStream =
        Pin<Box<dyn Stream<Item = Result<identity::WatchEventsResponse, Status>> + Send>>;

    async fn watch_events(
        &self,
        request: Request<identity::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let Some(db) = self.log.clone() else {
            return Ok(Response::new(futures_util::stream::pending().boxed()));
        };
        let feed = EventFeed {
            domain: DOMAIN,
            db,
            clock: Clock::manual(DateTime::UNIX_EPOCH),
            shutdown: self.lifetime.shutdown.clone(),
        };
        let position = &request.get_ref().resume_position;
        let responses = feed
            .watch(None, position, Batch::identity)
            .map_err(|error| error.refusal().into_status(DOMAIN))?;
        Ok(Response::new(responses))
    }
}

#[tonic::async_trait]
impl SessionService for Stub {
    async fn start_temporary_session(
        &self,
        _: Request<identity::StartTemporarySessionRequest>,
    ) -> Result<Response<identity::StartTemporarySessionResponse>, Status> {
        unimplemented()
    }

    async fn sign_in(
        &self,
        _: Request<identity::SignInRequest>,
    ) -> Result<Response<identity::SignInResponse>, Status> {
        // Without a reason, as the gRPC library answers by itself.
        Err(Status::internal("text of a library"))
    }

    async fn refresh_session(
        &self,
        _: Request<identity::RefreshSessionRequest>,
    ) -> Result<Response<identity::RefreshSessionResponse>, Status> {
        unimplemented()
    }

    async fn end_session(
        &self,
        _: Request<identity::EndSessionRequest>,
    ) -> Result<Response<identity::EndSessionResponse>, Status> {
        Ok(Response::new(identity::EndSessionResponse::default()))
    }

    async fn issue_service_token(
        &self,
        _: Request<identity::IssueServiceTokenRequest>,
    ) -> Result<Response<identity::IssueServiceTokenResponse>, Status> {
        unimplemented()
    }

    async fn issue_member_session(
        &self,
        _: Request<identity::IssueMemberSessionRequest>,
    ) -> Result<Response<identity::IssueMemberSessionResponse>, Status> {
        unimplemented()
    }

    async fn get_key_set(
        &self,
        _: Request<identity::GetKeySetRequest>,
    ) -> Result<Response<identity::GetKeySetResponse>, Status> {
        self.key_set_calls.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(identity::GetKeySetResponse {
            keys: self.keys.clone(),
            max_age: None,
        }))
    }
}
