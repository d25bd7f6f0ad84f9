//! Who has just signed in sees the merged view at once (SPEC 54).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use kit::{consistency::ConsistencyToken, error::CallError, testing::TestEngine};
use rapport_proto::{
    event::v1::{AccountKind, LinkScope, event::Payload},
    identity::v1::{
        self as identity, Person, ResolvePersonRequest, ResolvePersonResponse,
        link_service_server::{LinkService, LinkServiceServer},
    },
};
use tokio::net::TcpListener;
use tokio_stream::{Empty, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    app::{Caller, Party},
    error::ChatError,
    fixtures::{World, account, account_changed, link, link_changed, on_both_engines},
};

/// Identity, as far as it resolves one person.
struct Identity {
    person: Option<Person>,
    calls: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl LinkService for Identity {
    async fn resolve_person(
        &self,
        _: Request<ResolvePersonRequest>,
    ) -> Result<Response<ResolvePersonResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let person = self
            .person
            .clone()
            .ok_or_else(|| Status::not_found("nobody"))?;
        Ok(Response::new(ResolvePersonResponse {
            person: Some(person),
        }))
    }

    async fn get_link(
        &self,
        _: Request<identity::GetLinkRequest>,
    ) -> Result<Response<identity::GetLinkResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn list_links(
        &self,
        _: Request<identity::ListLinksRequest>,
    ) -> Result<Response<identity::ListLinksResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn revoke_link(
        &self,
        _: Request<identity::RevokeLinkRequest>,
    ) -> Result<Response<identity::RevokeLinkResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    type WatchEventsStream = Empty<Result<identity::WatchEventsResponse, Status>>;

    async fn watch_events(
        &self,
        _: Request<identity::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}

/// A world on each engine beside an identity that knows `person`; the number of its calls.
async fn beside_identity(person: Option<Person>, test: impl AsyncFn(&World, &AtomicUsize)) {
    for engine in TestEngine::ALL {
        let calls = Arc::new(AtomicUsize::new(0));
        let service = Identity {
            person: person.clone(),
            calls: Arc::clone(&calls),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder()
            .add_service(LinkServiceServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(server);
        test(&World::with_identity(engine, &uri).await, &calls).await;
        serving.abort();
    }
}

/// The client 1, with the temporary account 2 linked to it with history.
fn merged() -> Person {
    let pair = (account(1), account(2));
    Person {
        person_id: account(1).to_string(),
        accounts: vec![
            account_changed(account(1), AccountKind::Client, 1),
            account_changed(account(2), AccountKind::Temporary, 0),
        ],
        links: vec![link_changed(link(1), pair, LinkScope::History, false)],
        link_revision: 1,
        erasure: None,
    }
}

fn signed_in(world: &World) -> Caller {
    world.visitor(Party::Person(account(1)), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_list_after_sign_in_is_complete() {
    beside_identity(Some(merged()), async |world, calls| {
        let temporary = world.temporary(2).await;
        world.member(1).await;
        let linked = world.room(&temporary, 1).await;
        world.say(&temporary, linked).await;
        // Neither the account nor the link has arrived by event.
        let client = signed_in(world);
        assert_eq!(world.list(&client).await, [linked]); // SPEC 54
        assert_eq!(world.list(&client).await, [linked]);
        assert_eq!(calls.load(Ordering::SeqCst), 1); // asked once
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_passes_the_sign_in_on() {
    beside_identity(Some(merged()), async |world, calls| {
        let temporary = world.temporary(2).await;
        let member = world.member(1).await;
        let linked = world.room(&temporary, 1).await;
        let token = ConsistencyToken {
            account_id: account(1),
            link_revision: 1,
        };
        let acting = world.service(Some(member.party));
        let before = world.app.get_chatroom(&acting, linked).await.unwrap();
        assert_eq!(before.person_id, account(2));
        let acting = Caller {
            needed: Some(token),
            ..acting
        };
        let after = world.app.get_chatroom(&acting, linked).await.unwrap();
        assert_eq!(after.person_id, account(1)); // SPEC 54
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_event_has_not_arrived_is_asked_for() {
    beside_identity(Some(merged()), async |world, calls| {
        world.member(1).await;
        let temporary = world.visitor(Party::Temporary(account(2)), 0);
        let (_, created) = world.open(&temporary, 1).await.unwrap();
        assert!(created);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_identity_does_not_know_sees_nothing() {
    beside_identity(None, async |world, _| {
        let nobody = world.visitor(Party::Temporary(account(5)), 0);
        assert_eq!(world.list(&nobody).await, []);
        // But whoever has signed in is known to somebody.
        let refused = world.page(&signed_in(world), 1, "").await.unwrap_err();
        assert!(matches!(
            refused,
            ChatError::Call(CallError::ConsistencyUnavailable)
        ));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_identity_what_is_behind_is_unavailable_and_the_rest_goes_on() {
    on_both_engines(async |world: World| {
        let temporary = world.temporary(2).await;
        world.client(1).await;
        world.member(1).await;
        let room = world.room(&temporary, 1).await;
        let refused = world.page(&signed_in(&world), 1, "").await.unwrap_err();
        assert!(matches!(
            refused,
            ChatError::Call(CallError::ConsistencyUnavailable)
        )); // SPEC 54
        let state = link_changed(link(1), (account(1), account(2)), LinkScope::History, false);
        world.learn(Payload::LinkChanged(state)).await;
        assert_eq!(world.list(&signed_in(&world)).await, [room]);
    })
    .await;
}
