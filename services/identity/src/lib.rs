//! Who is who: Brands, sessions, accounts, links.
//!
//! Identity decides what becomes of a temporary account when its visitor signs in, and tells the
//! other services by events. It signs the access tokens that all services verify.
//!
//! ```text
//! grpc ─► app ─► domain (pure), assertion (proof), token (signing)
//!          └───► store ─► PostgreSQL | SQLite, with the event log in the same transaction
//! ```
//!
//! `grpc` parses and answers, `convert` translates, `app` is one function per use case, `store` is
//! SQL only. It stores no chatroom, no order and no credit. It calls the other services for one thing
//! alone: what they hold of a person, to export it or to have it erased.

mod app;
mod assertion;
mod convert;
mod eraser;
mod error;
mod grpc;
mod model;
mod revocations;
mod store;
mod token;

use std::sync::Arc;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use kit::{
    access::{AccessLayer, InvalidToken, TokenVerifier},
    broker::{Broker, BrokerError},
    config::{ServiceConfig, ServiceName},
    db::{Db, Migrations, StoreError},
    ids::Ids,
    limit::Limits,
    server::{Lifetime, Server, ServerError},
};

pub use token::SigningKeyError;

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened or read.
    #[error("identity's database cannot be opened")]
    Store(#[from] StoreError),
    /// The key that signs access tokens cannot be had.
    #[error("identity has no signing key")]
    SigningKey(#[from] SigningKeyError),
    /// The suite's secret cannot be presented to the other services.
    #[error("the suite secret cannot be used")]
    SuiteSecret(#[from] InvalidToken),
    /// The broker cannot be reached, or trusted.
    #[error("identity's events cannot be published")]
    Broker(#[from] BrokerError),
    /// The server cannot listen, or a peer's address is none.
    #[error("identity cannot be reached or cannot reach others")]
    Server(#[from] ServerError),
}

/// The identity service.
pub struct Service;

impl Service {
    /// Builds the service: opens its database, loads or makes its signing keys, binds its port.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what could not be had.
    pub async fn build(config: ServiceConfig) -> Result<Server, StartError> {
        let lifetime = Lifetime::default();
        let ids = Ids::new(config.clock.clone());
        let db = Db::open(&config.database, migrations()).await?;
        let broker = Broker::open(config.broker.as_ref(), ServiceName::Identity.as_str());
        if let Some(broker) = broker.await? {
            broker.relay(&db, &lifetime).await?;
            broker.share_commits(&db, &lifetime);
        }
        let revocations = revocations::follow(&db, &lifetime).await?;
        let peers = app::Peers::new(
            config.channel(&config.peers.chat)?,
            config.channel(&config.peers.attribution)?,
            config.suite_credential()?,
        );
        let secrets = config.secrets;
        let outward = app::Outward {
            key_reach: if config.allow_private_key_addresses {
                assertion::Reach::Anywhere
            } else {
                assertion::Reach::Public
            },
            peers,
        };
        let signer = token::TokenSigner::load(
            &db,
            &secrets.sealing_key,
            config.signing_key_lifetime,
            &config.clock,
        );
        let signer = Arc::new(signer.await?);
        lifetime
            .tasks
            .spawn(Arc::clone(&signer).follow(lifetime.clone()));
        let keys = signer.key_set();
        let tokens = TokenVerifier::new(keys, None, revocations, config.clock.clone());
        let limits = Limits::new(&config.limits, &config.clock);
        let access = AccessLayer::new(
            error::DOMAIN,
            tokens,
            secrets.operator_token,
            secrets.suite_secret,
            limits.clone(),
        );
        let app = Arc::new(app::App::new(
            db.clone(),
            config.clock,
            secrets.sealing_key,
            secrets.email_digest_key,
            signer,
            limits,
            outward,
        ));
        let shutdown = &lifetime.shutdown;
        let erasing = eraser::run(Arc::clone(&app), ids, shutdown.clone());
        lifetime.tasks.spawn(erasing);
        let expiring = eraser::run_expiry(Arc::clone(&app), shutdown.clone());
        lifetime.tasks.spawn(expiring);
        let server = Server::bind(
            config.listen,
            grpc::routes(&app, &lifetime),
            grpc::SERVICE_NAMES.to_vec(),
            access,
            lifetime,
        )
        .await?;
        Ok(server
            .with_database(db)
            .with_connections(config.connections)
            .with_tls(config.tls)
            .with_health(config.health)?)
    }
}

/// Returns the service's migrations, the shared ones included.
pub fn migrations() -> Migrations {
    const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
    const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
    Migrations::of_service(ServiceName::Identity, POSTGRES, SQLITE)
}
