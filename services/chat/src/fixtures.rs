//! A world for tests: chat's database on one engine, two Brands, a clock that stands still, and
//! facts of identity made up and applied as its events would be.

pub(crate) mod pictures;

use std::{future::Future, pin::pin, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    id::{AccountId, BrandId, ChatroomId, KeyId, LinkId, MemberId, MessageId},
    message::MessageOrigin,
};
use futures_util::StreamExt;
use kit::{
    access::Bearer,
    clock::Clock,
    config::ImagesUrl,
    consistency::ConsistencyToken,
    convert::timestamp,
    db::Db,
    event_log::{self, Start},
    ids::Ids,
    limit::{LimitConfig, Limits},
    request::RequestKeys,
    secret::{EmailDigestKey, Key},
    server,
    testing::{TestDatabase, TestEngine},
};
use rapport_proto::{
    chat::v1::{ErasePersonResponse, MessageContent, TextContent, message_content},
    event::v1::{self as event, Event, event::Payload},
    identity::v1::link_service_client::LinkServiceClient,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::{
        App, Appender, ArchivedFilter, Caller, ChatroomView, ErasePerson, Images, ListChatrooms,
        ListMessages, Live, MessageOrder, OpenDirect, Party, SendMessage, WINDOW_LENGTH,
    },
    content::Content,
    error::ChatError,
    image_files::ImageFiles,
    model::Message,
    service,
};

/// An address at which nobody listens.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1";

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) clock: Clock,
    pub(crate) brand_id: BrandId,
    database: Arc<TestDatabase>,
}

/// Runs a test on each engine, in a world of its own.
pub(crate) async fn on_both_engines<Test>(test: impl Fn(World) -> Test)
where
    Test: Future<Output = ()>,
{
    for engine in TestEngine::ALL {
        eprintln!("on {engine:?}");
        pin!(test(World::new(engine).await)).await;
    }
}

pub(crate) fn brand(name: &str) -> BrandId {
    BrandId::parse(name).unwrap()
}

pub(crate) fn account(number: u128) -> AccountId {
    Uuid::from_u128(0x0a00 + number).into()
}

pub(crate) fn member(number: u128) -> MemberId {
    Uuid::from_u128(0x0b00 + number).into()
}

pub(crate) fn link(number: u128) -> LinkId {
    Uuid::from_u128(0x0c00 + number).into()
}

pub(crate) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_900_000_000, 0).unwrap()
}

pub(crate) fn at(second: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(second)
}

pub(crate) fn text(text: &str) -> Content {
    let content = message_content::Content::Text(TextContent { text: text.into() });
    Content::parse(Some(MessageContent {
        content: Some(content),
    }))
    .unwrap()
}

pub(crate) fn new_id<Id: From<Uuid>>() -> Id {
    Uuid::new_v4().into()
}

/// The state of an account, as identity tells it.
pub(crate) fn account_changed(
    id: AccountId,
    kind: event::AccountKind,
    link_revision: i64,
) -> event::AccountChanged {
    let customer_id = match kind {
        event::AccountKind::Client => format!("customer-{id}"),
        _ => String::new(),
    };
    event::AccountChanged {
        account_id: id.to_string(),
        revision: 1 + link_revision,
        kind: kind.into(),
        state: event::AccountState::Active.into(),
        customer_id,
        create_time: Some(timestamp(start())),
        link_revision,
        ..Default::default()
    }
}

/// The state of a link; revoked in its second revision.
pub(crate) fn link_changed(
    id: LinkId,
    (client, temporary): (AccountId, AccountId),
    scope: event::LinkScope,
    revoked: bool,
) -> event::LinkChanged {
    let revision = if revoked { 2 } else { 1 };
    event::LinkChanged {
        link_id: id.to_string(),
        revision,
        client_account_id: client.to_string(),
        temporary_account_id: temporary.to_string(),
        scope: scope.into(),
        link_time: Some(timestamp(start())),
        revoke_time: revoked.then(|| timestamp(at(1))),
        merge_policy_revision: 1,
        link_revision: revision,
    }
}

impl World {
    pub(crate) async fn new(engine: TestEngine) -> Self {
        Self::with_identity(engine, NOBODY).await
    }

    /// A world whose identity listens at `uri`.
    pub(crate) async fn with_identity(engine: TestEngine, uri: &str) -> Self {
        let database = TestDatabase::create(engine).await;
        let db = database.open(crate::migrations()).await;
        let clock = Clock::manual(start());
        let credential = Bearer::new(&"secret".into()).unwrap();
        let files = ImageFiles::open(&ImagesUrl::Memory).await.unwrap();
        let channel = server::channel(uri).unwrap();
        let app = App {
            live: Live::open(&db, WINDOW_LENGTH).await.unwrap(),
            request_keys: RequestKeys::new(&EmailDigestKey::new(Key::random())),
            appender: Appender::new(&db),
            images: Images::new(files),
            db,
            clock: clock.clone(),
            ids: Ids::new(clock.clone()),
            identity: LinkServiceClient::with_interceptor(channel, credential),
            limits: Limits::new(&LimitConfig::default(), &clock),
        };
        Self {
            app,
            clock,
            brand_id: brand("shop"),
            database: Arc::new(database),
        }
    }

    /// The same world, in which another Brand acts.
    pub(crate) fn as_brand(&self, brand_id: BrandId) -> Self {
        Self {
            app: self.app.clone(),
            clock: self.clock.clone(),
            brand_id,
            database: Arc::clone(&self.database),
        }
    }

    /// The same world, served by another replica.
    pub(crate) async fn replica(&self) -> Self {
        let db = self.database.open(crate::migrations()).await;
        let mut replica = self.as_brand(self.brand_id.clone());
        replica.app.appender = Appender::new(&db);
        replica.app.live = Live::open(&db, WINDOW_LENGTH).await.unwrap();
        replica.app.db = db;
        replica
    }

    pub(crate) fn db(&self) -> &Db {
        &self.app.db
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// Applies a fact of identity, as its event would be.
    pub(crate) async fn learn(&self, payload: Payload) {
        self.learn_of(&self.brand_id, payload).await;
    }

    pub(crate) async fn learn_of(&self, brand_id: &BrandId, payload: Payload) {
        let events = vec![Event {
            event_id: Uuid::new_v4().to_string(),
            brand_id: brand_id.to_string(),
            event_time: Some(timestamp(self.clock.now())),
            payload: Some(payload),
            ..Default::default()
        }];
        let input = (events, self.clock.now());
        let applied = self
            .db()
            .run_tx("learn", input, |connection, (events, now)| {
                Box::pin(service::learn(connection, events, *now))
            });
        applied.await.unwrap();
    }

    pub(crate) async fn temporary(&self, number: u128) -> Caller {
        let id = account(number);
        let state = account_changed(id, event::AccountKind::Temporary, 0);
        self.learn(Payload::AccountChanged(state)).await;
        self.visitor(Party::Temporary(id), 0)
    }

    pub(crate) async fn client(&self, number: u128) -> Caller {
        let id = account(number);
        let state = account_changed(id, event::AccountKind::Client, 0);
        self.learn(Payload::AccountChanged(state)).await;
        self.visitor(Party::Person(id), 0)
    }

    /// A visitor with a token of this link revision.
    pub(crate) fn visitor(&self, party: Party, link_revision: i64) -> Caller {
        let (Party::Temporary(account_id) | Party::Person(account_id)) = party else {
            panic!("{party:?} is no visitor");
        };
        Caller {
            brand_id: self.brand_id.clone(),
            name: format!("account/{account_id}"),
            is_service: false,
            party,
            needed: Some(ConsistencyToken {
                account_id,
                link_revision,
            }),
        }
    }

    pub(crate) async fn member(&self, number: u128) -> Caller {
        self.learn_member(&self.brand_id, number, event::MemberState::Active)
            .await;
        self.member_caller(number)
    }

    pub(crate) fn member_caller(&self, number: u128) -> Caller {
        Caller {
            brand_id: self.brand_id.clone(),
            name: format!("member/{}", member(number)),
            is_service: false,
            party: Party::Member(member(number)),
            needed: None,
        }
    }

    pub(crate) async fn learn_member(
        &self,
        brand_id: &BrandId,
        number: u128,
        state: event::MemberState,
    ) {
        let revision = i64::from(i32::from(state));
        let changed = event::MemberChanged {
            member_id: member(number).to_string(),
            revision,
            state: state.into(),
            create_time: Some(timestamp(start())),
            ..Default::default()
        };
        self.learn_of(brand_id, Payload::MemberChanged(changed))
            .await;
    }

    /// A service of the Brand, for itself or for a participant.
    pub(crate) fn service(&self, party: Option<Party>) -> Caller {
        let key: KeyId = Uuid::from_u128(0x0d00).into();
        Caller {
            brand_id: self.brand_id.clone(),
            name: format!("service/{key}"),
            is_service: true,
            party: party.unwrap_or(Party::Service(key)),
            needed: None,
        }
    }

    pub(crate) async fn link(
        &self,
        number: u128,
        pair: (u128, u128),
        scope: event::LinkScope,
        revoked: bool,
    ) {
        let pair = (account(pair.0), account(pair.1));
        let state = link_changed(link(number), pair, scope, revoked);
        self.learn(Payload::LinkChanged(state)).await;
    }

    /// Tells chat that an account is erased, and nothing else.
    pub(crate) async fn erase(&self, number: u128) {
        let erased = event::AccountErased {
            account_id: account(number).to_string(),
            revision: 9,
            erasure_id: Uuid::new_v4().to_string(),
            erase_time: Some(timestamp(self.clock.now())),
            person_id: account(number).to_string(),
            ..Default::default()
        };
        self.learn(Payload::AccountErased(erased)).await;
    }

    /// Has a person erased as identity does, by one call.
    pub(crate) async fn erase_person(&self, numbers: &[u128]) -> ErasePersonResponse {
        let accounts: Vec<AccountId> = numbers.iter().copied().map(account).collect();
        let command = self.erase_command(&accounts, &Uuid::new_v4().to_string());
        self.app.erase_person(command).await.unwrap()
    }

    pub(crate) fn erase_command(&self, accounts: &[AccountId], request_id: &str) -> ErasePerson {
        let request = rapport_proto::chat::v1::ErasePersonRequest {
            account_ids: accounts.iter().map(ToString::to_string).collect(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        let (brand_id, name) = (self.brand_id.clone(), "suite".to_owned());
        let key =
            self.app
                .request_keys
                .key(brand_id.clone(), name, "ErasePerson", request_id, &request);
        ErasePerson {
            brand_id,
            erasure_id: Uuid::from_u128(0x0e00).into(),
            account_ids: accounts.to_vec(),
            key: key.unwrap(),
        }
    }

    pub(crate) fn open_command(&self, caller: &Caller, number: u128) -> OpenDirect {
        let request = rapport_proto::chat::v1::OpenDirectChatroomRequest {
            member_id: member(number).to_string(),
            request_id: Uuid::new_v4().to_string(),
            ..Default::default()
        };
        let id = &request.request_id;
        let key = self
            .app
            .request_key(caller, "OpenDirectChatroom", id, &request);
        OpenDirect {
            member_id: member(number),
            key: key.unwrap(),
        }
    }

    pub(crate) async fn open(
        &self,
        caller: &Caller,
        number: u128,
    ) -> Result<(ChatroomView, bool), ChatError> {
        let command = self.open_command(caller, number);
        self.app.open_direct(caller, command).await
    }

    /// The id of the chatroom that opens.
    pub(crate) async fn room(&self, caller: &Caller, number: u128) -> ChatroomId {
        self.open(caller, number).await.unwrap().0.chatroom.id
    }

    pub(crate) async fn send(
        &self,
        caller: &Caller,
        chatroom_id: ChatroomId,
        message_id: MessageId,
        content: Content,
    ) -> Result<Message, ChatError> {
        let command = SendMessage {
            chatroom_id,
            message_id,
            content,
            origin: MessageOrigin::Written,
        };
        self.app.send_message(caller.clone(), command).await
    }

    /// Writes a text one second after whatever was written before.
    pub(crate) async fn say(&self, caller: &Caller, chatroom_id: ChatroomId) -> Message {
        self.advance(1);
        let sent = self
            .send(caller, chatroom_id, new_id(), text("hello"))
            .await;
        sent.unwrap()
    }

    pub(crate) async fn list(&self, caller: &Caller) -> Vec<ChatroomId> {
        self.page(caller, 200, "").await.unwrap().0
    }

    pub(crate) async fn page(
        &self,
        caller: &Caller,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<ChatroomId>, String), ChatError> {
        self.page_of(caller, ArchivedFilter::All, page_size, page_token)
            .await
    }

    pub(crate) async fn page_of(
        &self,
        caller: &Caller,
        archived: ArchivedFilter,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<ChatroomId>, String), ChatError> {
        let query = ListChatrooms {
            archived,
            page_size,
            page_token: page_token.to_owned(),
        };
        let (views, token) = self.app.list_chatrooms(caller, query).await?;
        Ok((views.iter().map(|view| view.chatroom.id).collect(), token))
    }

    pub(crate) async fn history(&self, caller: &Caller, chatroom_id: ChatroomId) -> Vec<Message> {
        let query = ListMessages {
            chatroom_id,
            order: MessageOrder::OldestFirst,
            page_size: 200,
            page_token: String::new(),
        };
        self.app.list_messages(caller, query).await.unwrap().0
    }

    /// All events so far: those before one that is written now.
    pub(crate) async fn events(&self) -> Vec<Payload> {
        let last = Event {
            event_id: Uuid::new_v4().to_string(),
            brand_id: self.brand_id.to_string(),
            event_time: Some(timestamp(self.clock.now())),
            ..Default::default()
        };
        let appended = self.db().run_tx("end", vec![last], |connection, last| {
            Box::pin(event_log::append(connection, last))
        });
        appended.await.unwrap();
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        let log = event_log::watch(self.db().clone(), Start::Beginning, None, stop.clone());
        log.map(Result::unwrap)
            .flat_map(|batch| futures_util::stream::iter(batch.events))
            .map(|event| event.payload)
            .take_while(|payload| std::future::ready(payload.is_some()))
            .filter_map(std::future::ready)
            .collect()
            .await
    }
}
