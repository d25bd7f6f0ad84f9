//! Attribution: which Member an order is credited to, why, and what that earns him.
//!
//! It keeps facts: what the Brand's checkout reports (`app::record_*`), and what identity and chat
//! say happened (`consume`). What follows from them is decided by `domain`, and booked as the
//! difference to what was booked before (`evaluate`). Therefore it has no code for a late message, a
//! late or revoked link, a refund or a cancellation: each is one more fact.
//!
//! A call goes `grpc` → `app` → `store`. It must not know how facts came to be, look at names,
//! e-mails or texts, or change an entry of the ledger.

mod app;
mod consume;
mod convert;
mod error;
mod evaluate;
mod grpc;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use kit::{
    access::{AccessLayer, InvalidToken, KeySet, Revocations, TokenVerifier},
    broker::{Broker, BrokerError},
    config::{ServiceConfig, ServiceName},
    consumer::{self, EventSource},
    db::{Db, Migrations, StoreError},
    event_log::Batch,
    ids::Ids,
    limit::Limits,
    request::RequestKeys,
    server::{Lifetime, Listen, Server, ServerError},
};
use rapport_proto::{
    attribution::v1::{
        attribution_service_server::{self, AttributionServiceServer},
        order_service_server::{self, OrderServiceServer},
    },
    chat::v1::message_event_service_client::MessageEventServiceClient,
    identity::v1::{
        link_service_client::LinkServiceClient, session_service_client::SessionServiceClient,
    },
};
use tokio::sync::Notify;
use tonic::service::RoutesBuilder;

use crate::{
    app::{App, recorder::Recorder},
    grpc::{AttributionMethods, OrderMethods},
};

/// The attribution service.
#[derive(Clone, Copy, Debug)]
pub struct Service;

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its database cannot be opened or brought up to date.
    #[error("attribution's database cannot be opened")]
    Database(#[source] StoreError),
    /// The suite's secret cannot be presented to the other services.
    #[error("the suite secret cannot be used")]
    SuiteSecret(#[source] InvalidToken),
    /// The broker cannot be reached, or trusted.
    #[error("the events of the others cannot be read")]
    Broker(#[source] BrokerError),
    /// It cannot listen, or a peer's address is none.
    #[error("attribution cannot be reached or cannot reach others")]
    Server(#[source] ServerError),
}

/// Returns the migrations of the service's database.
pub fn migrations() -> Migrations {
    const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
    const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
    Migrations::of_service(ServiceName::Attribution, POSTGRES, SQLITE).with_directory()
}

impl Service {
    /// Opens the database, starts to follow identity and chat and to evaluate, and binds the port.
    ///
    /// The peers need not be there yet: their logs are read when they are.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is missing.
    pub async fn build(config: ServiceConfig) -> Result<Server, StartError> {
        let db = Db::open(&config.database, migrations())
            .await
            .map_err(StartError::Database)?;
        // Before what is remembered is loaded: what comes in between is observed.
        let place = consumer::place(&db, ServiceName::Identity).await;
        let place = place.map_err(StartError::Database)?;
        let revocations = Revocations::load(&db, Some(config.identity_silence_limit))
            .await
            .map_err(StartError::Database)?;
        let credential = config.suite_credential().map_err(StartError::SuiteSecret)?;
        let channel = |peer: &str| config.channel(peer).map_err(StartError::Server);
        let (identity, chat) = (
            channel(&config.peers.identity)?,
            channel(&config.peers.chat)?,
        );
        let links = LinkServiceClient::with_interceptor(identity.clone(), credential.clone());
        let lifetime = Lifetime::default();
        let app = Arc::new_cyclic(|app| App {
            db,
            recorder: Recorder::new(app.clone()),
            clock: config.clock.clone(),
            ids: Ids::new(config.clock.clone()),
            request_keys: RequestKeys::new(&config.secrets.email_digest_key),
            email_digest_key: config.secrets.email_digest_key.clone(),
            identity: links.clone(),
            shutdown: lifetime.shutdown.clone(),
            wake: Notify::new(),
            recompute_wake: Notify::new(),
        });
        let messages = MessageEventServiceClient::with_interceptor(chat, credential);
        let broker = Broker::open(config.broker.as_ref(), ServiceName::Attribution.as_str());
        let sources = match broker.await.map_err(StartError::Broker)? {
            None => [EventSource::Identity(links), EventSource::Chat(messages)],
            Some(broker) => {
                let sources = read_from(&broker).await.map_err(StartError::Broker)?;
                broker.share_commits(&app.db, &lifetime);
                sources
            }
        };
        let [identity_log, chat_log] = sources;
        follow_identity(&app, identity_log, place, revocations.clone(), &lifetime);
        follow_chat(&app, chat_log, &lifetime).await?;
        let shutdown = &lifetime.shutdown;
        let evaluation = evaluate::run(Arc::clone(&app), shutdown.clone());
        lifetime.tasks.spawn(evaluation);
        let recomputation = evaluate::recompute::run(Arc::clone(&app), shutdown.clone());
        lifetime.tasks.spawn(recomputation);
        let awaiting = evaluate::run_awaited(Arc::clone(&app), shutdown.clone());
        lifetime.tasks.spawn(awaiting);
        let tokens = TokenVerifier::new(
            KeySet::default(),
            Some(SessionServiceClient::new(identity)),
            revocations.clone(),
            config.clock,
        );
        let limits = Limits::new(&config.limits, &app.clock);
        let access = AccessLayer::new(
            error::DOMAIN,
            tokens,
            config.secrets.operator_token,
            config.secrets.suite_secret,
            limits,
        );
        let server = bind(config.listen, &app, access, lifetime).await?;
        server
            .with_database(app.db.clone())
            .with_identity(revocations)
            .with_connections(config.connections)
            .with_tls(config.tls)
            .with_health(config.health)
            .map_err(StartError::Server)
    }
}

async fn bind(
    listen: Listen,
    app: &Arc<App>,
    access: AccessLayer,
    lifetime: Lifetime,
) -> Result<Server, StartError> {
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(OrderServiceServer::new(OrderMethods(Arc::clone(app))))
        .add_service(AttributionServiceServer::new(AttributionMethods(
            Arc::clone(app),
        )));
    let service_names = vec![
        order_service_server::SERVICE_NAME,
        attribution_service_server::SERVICE_NAME,
    ];
    Server::bind(listen, routes, service_names, access, lifetime)
        .await
        .map_err(StartError::Server)
}

/// Returns the logs of identity and of chat.
async fn read_from(broker: &Broker) -> Result<[EventSource; 2], BrokerError> {
    let identity = broker.reader(ServiceName::Identity).await?;
    let chat = broker.reader(ServiceName::Chat).await?;
    Ok([EventSource::Broker(identity), EventSource::Broker(chat)])
}

fn follow_identity(
    app: &Arc<App>,
    log: EventSource,
    place: String,
    revocations: Revocations,
    lifetime: &Lifetime,
) {
    let waking = Arc::clone(app);
    let observe = move |batch: &Batch| {
        revocations.observe(&batch.events);
        wake(&waking, batch);
    };
    lifetime.tasks.spawn(consumer::follow(
        log,
        place,
        app.db.clone(),
        app.clock.clone(),
        consume::apply_identity,
        observe,
        lifetime.shutdown.clone(),
    ));
}

async fn follow_chat(
    app: &Arc<App>,
    log: EventSource,
    lifetime: &Lifetime,
) -> Result<(), StartError> {
    let place = consumer::place(&app.db, ServiceName::Chat).await;
    let place = place.map_err(StartError::Database)?;
    let waking = Arc::clone(app);
    lifetime.tasks.spawn(consumer::follow(
        log,
        place,
        app.db.clone(),
        app.clock.clone(),
        consume::apply_chat,
        move |batch: &Batch| wake(&waking, batch),
        lifetime.shutdown.clone(),
    ));
    Ok(())
}

/// Has the evaluation look at what a batch has touched; a heartbeat touches nothing.
fn wake(app: &App, batch: &Batch) {
    if !batch.events.is_empty() {
        app.wake.notify_one();
    }
}
