//! The service: its database, its peers, its tasks and its routes, put together.

use std::{slice, sync::Arc};

use chrono::{DateTime, Utc};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use kit::{
    access::{AccessLayer, InvalidToken, KeySet, Revocations, TokenVerifier, keep_revocations},
    broker::{Broker, BrokerError},
    config::{ServiceConfig, ServiceName},
    consumer::{self, EventSource},
    db::{Connection, Db, Migrations, StoreError},
    directory::{self, members},
    event_log::{Batch, EventFeed},
    ids::Ids,
    limit::Limits,
    request::RequestKeys,
    server::{Lifetime, Server, ServerError},
};
use rapport_proto::{
    chat::v1::{
        chat_service_server::{self, ChatServiceServer},
        message_event_service_server::{self, MessageEventServiceServer},
    },
    event::v1::{AccountErased, Event, event::Payload},
    identity::v1::{
        link_service_client::LinkServiceClient, session_service_client::SessionServiceClient,
    },
};
use tokio::sync::Notify;
use tonic::service::Routes;

use crate::{
    app::{App, Appender, Images, Live, WINDOW_LENGTH, erase_person, follow_changes, sweep_images},
    error::DOMAIN,
    grpc::{ChatGrpc, MessageEventGrpc},
    image_files::{ImageFiles, ImagesUnusable},
    store::chatroom_changes::{self, Change},
};

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Chatrooms and messages, as a service.
pub struct Service;

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened.
    #[error("chat's database cannot be opened")]
    Database(#[from] StoreError),
    /// A peer's address is no URI, or the own address is taken.
    #[error("chat's server cannot start")]
    Server(#[from] ServerError),
    /// The broker cannot be reached, or trusted.
    #[error("chat's events cannot be exchanged")]
    Broker(#[from] BrokerError),
    /// Images cannot be kept where they should be.
    #[error("chat's images cannot be kept")]
    Images(#[from] ImagesUnusable),
    /// The suite's secret cannot be sent.
    #[error("chat cannot call the other services")]
    SuiteSecret(#[from] InvalidToken),
}

/// Returns the migrations of chat's database.
pub fn migrations() -> Migrations {
    Migrations::of_service(ServiceName::Chat, POSTGRES, SQLITE).with_directory()
}

impl Service {
    /// Opens the database, begins to follow identity, and binds the port; calls are answered once
    /// the server runs.
    ///
    /// Identity need not be there yet: it is connected to when it is first needed, and again after
    /// each break.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what cannot be had.
    pub async fn build(config: ServiceConfig) -> Result<Server, StartError> {
        let db = Db::open(&config.database, migrations()).await?;
        let files = ImageFiles::open(&config.images).await?;
        let clock = config.clock.clone();
        let channel = config.channel(&config.peers.identity)?;
        let credential = config.suite_credential()?;
        let identity = LinkServiceClient::with_interceptor(channel.clone(), credential);
        // Before what is remembered is loaded: what comes in between is observed.
        let place = consumer::place(&db, ServiceName::Identity).await?;
        let revocations = Revocations::load(&db, Some(config.identity_silence_limit)).await?;
        let tokens = TokenVerifier::new(
            KeySet::default(),
            Some(SessionServiceClient::new(channel)),
            revocations.clone(),
            clock.clone(),
        );
        let limits = Limits::new(&config.limits, &clock);
        let access = AccessLayer::new(
            DOMAIN,
            tokens,
            config.secrets.operator_token,
            config.secrets.suite_secret,
            limits.clone(),
        );
        let lifetime = Lifetime::default();
        let broker = Broker::open(config.broker.as_ref(), ServiceName::Chat.as_str());
        let source = match broker.await? {
            None => EventSource::Identity(identity.clone()),
            Some(broker) => {
                let reader = broker.reader(ServiceName::Identity).await?;
                broker.relay(&db, &lifetime).await?;
                broker.share_commits(&db, &lifetime);
                EventSource::Broker(reader)
            }
        };
        let wake = Arc::new(Notify::new());
        let heard = revocations.clone();
        let waking = Arc::clone(&wake);
        lifetime.tasks.spawn(consumer::follow(
            source,
            place,
            db.clone(),
            clock.clone(),
            |connection, batch, now| Box::pin(apply(connection, batch, now)),
            move |batch| {
                revocations.observe(&batch.events);
                if erased(&batch.events).next().is_some() {
                    waking.notify_one();
                }
            },
            lifetime.shutdown.clone(),
        ));
        let events = MessageEventGrpc(EventFeed {
            domain: DOMAIN,
            db: db.clone(),
            clock: clock.clone(),
            shutdown: lifetime.shutdown.clone(),
        });
        let ids = Ids::new(clock.clone());
        let live = Live::open(&db, WINDOW_LENGTH).await?;
        let following = follow_changes(live.clone(), db.clone(), lifetime.shutdown.clone());
        lifetime.tasks.spawn(following);
        let database = db.clone();
        let app = App {
            live,
            request_keys: RequestKeys::new(&config.secrets.email_digest_key),
            appender: Appender::new(&db),
            images: Images::new(files),
            db,
            clock,
            ids,
            identity,
            limits,
        };
        let erasing = erase_person::run(app.clone(), wake, lifetime.shutdown.clone());
        lifetime.tasks.spawn(erasing);
        let sweeping = sweep_images::run(app.clone(), lifetime.shutdown.clone());
        lifetime.tasks.spawn(sweeping);
        let mut routes = Routes::builder();
        routes
            .add_service(ChatServiceServer::new(ChatGrpc(app)))
            .add_service(MessageEventServiceServer::new(events));
        let names = vec![
            chat_service_server::SERVICE_NAME,
            message_event_service_server::SERVICE_NAME,
        ];
        let server = Server::bind(config.listen, routes, names, access, lifetime).await?;
        Ok(server
            .with_database(database)
            .with_identity(heard)
            .with_connections(config.connections)
            .with_tls(config.tls)
            .with_health(config.health)?)
    }
}

/// Keeps what identity tells: who is who, which sessions are not to be trusted any more, and whose
/// messages are to be cleared.
async fn apply(
    connection: &mut Connection,
    batch: &Batch,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    learn(connection, &batch.events, now).await?;
    keep_revocations(connection, &batch.events).await
}

/// Keeps who is who and marks who is erased, and logs what that changes for those who watch their
/// chatrooms.
pub(crate) async fn learn(
    connection: &mut Connection,
    events: &[Event],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let corrupt = |_| StoreError::Corrupt {
        what: "event of identity",
    };
    let mut changes = Vec::new();
    for event in events {
        let brand_id = event.brand_id.parse().map_err(corrupt)?;
        match &event.payload {
            Some(Payload::LinkChanged(link)) => {
                for end in [&link.client_account_id, &link.temporary_account_id] {
                    let account_id = end.parse().map_err(corrupt)?;
                    changes.push(Change::of_person(&brand_id, account_id, now));
                }
            }
            Some(Payload::MemberChanged(member)) => {
                let id = member.member_id.parse().map_err(corrupt)?;
                let before = members::find_active(connection, &brand_id, id).await?;
                directory::apply(connection, slice::from_ref(event)).await?;
                let after = members::find_active(connection, &brand_id, id).await?;
                // One who is not known yet is taken for active.
                if (before == Some(false)) != (after == Some(false)) {
                    changes.push(Change::of_member(&brand_id, id, now));
                }
            }
            _ => {}
        }
    }
    directory::apply(connection, events).await?;
    for (event, account) in erased(events) {
        let brand_id = event.brand_id.parse().map_err(corrupt)?;
        let account_id = account.account_id.parse().map_err(corrupt)?;
        let erasure_id = account.erasure_id.parse().map_err(corrupt)?;
        erase_person::begin_account(connection, &brand_id, account_id, erasure_id, now).await?;
    }
    chatroom_changes::append(connection, &changes).await
}

fn erased(events: &[Event]) -> impl Iterator<Item = (&Event, &AccountErased)> {
    events.iter().filter_map(|event| match &event.payload {
        Some(Payload::AccountErased(erased)) => Some((event, erased)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
