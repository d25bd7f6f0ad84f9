//! What a service has to be told: where it listens, its database, its peers, its secrets.
//!
//! In development mode, the default, missing secrets are made and kept in the data folder, and the
//! service listens on loopback alone. In production every secret is given, and a missing one is a
//! usage error.

mod development;
mod events;
mod images;
mod private;
mod tls;

use std::{path::PathBuf, time::Duration};

use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use tonic::transport::Channel;

use self::development::DevelopmentSecrets;
pub use self::{
    events::{BrokerConfig, BrokerUrl, EventsArgs, UnknownBroker},
    images::{ImagesUrl, UnknownImagesUrl},
    private::{create_private_folder, write_private},
    tls::{TlsArgs, peer},
};
use crate::{
    access::{Bearer, InvalidToken},
    clock::Clock,
    db::DatabaseUrl,
    limit::LimitConfig,
    secret::{EmailDigestKey, Key, SealingKey},
    server::{ConnectionArgs, Listen, ServerError, channel_by},
    telemetry::TelemetryArgs,
    tls::{Tls, TlsError},
};

/// In characters; those that a first start makes have 43.
const SHORTEST_CREDENTIAL: usize = 16;
const DEFAULT_SIGNING_KEY_LIFETIME_DAYS: i64 = 30;
/// How old a signing key becomes where nobody says otherwise.
pub const DEFAULT_SIGNING_KEY_LIFETIME: TimeDelta =
    TimeDelta::days(DEFAULT_SIGNING_KEY_LIFETIME_DAYS);

/// How much a start forgives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Makes missing secrets, and listens on loopback only.
    Development,
    /// Takes nothing for granted.
    Production,
}

/// The flags that every service takes; each has an environment variable.
#[derive(Args, Clone, Debug)]
pub struct SuiteArgs {
    /// How much a start forgives.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_MODE",
        value_enum,
        default_value = "development"
    )]
    pub mode: Mode,
    /// Folder of the SQLite databases and, in development, of the secrets that were made.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_DATA_DIR",
        default_value = ".rapport"
    )]
    pub data_dir: PathBuf,
    /// Where identity listens, or is found by the others.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_IDENTITY_ADDR",
        default_value = "127.0.0.1:50051"
    )]
    pub identity_addr: String,
    /// Where chat listens, or is found by the others.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_CHAT_ADDR",
        default_value = "127.0.0.1:50052"
    )]
    pub chat_addr: String,
    /// Where attribution listens, or is found by the others.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_ATTRIBUTION_ADDR",
        default_value = "127.0.0.1:50053"
    )]
    pub attribution_addr: String,
    /// identity's database: postgres://… or sqlite://FILE [default: a file in the data folder].
    #[arg(
        long,
        global = true,
        env = "RAPPORT_IDENTITY_DATABASE_URL",
        hide_env_values = true
    )]
    pub identity_database_url: Option<DatabaseUrl>,
    /// chat's database: postgres://… or sqlite://FILE [default: a file in the data folder].
    #[arg(
        long,
        global = true,
        env = "RAPPORT_CHAT_DATABASE_URL",
        hide_env_values = true
    )]
    pub chat_database_url: Option<DatabaseUrl>,
    /// attribution's database: postgres://… or sqlite://FILE [default: a file in the data folder].
    #[arg(
        long,
        global = true,
        env = "RAPPORT_ATTRIBUTION_DATABASE_URL",
        hide_env_values = true
    )]
    pub attribution_database_url: Option<DatabaseUrl>,
    /// Where chat keeps images: file:///FOLDER or s3://BUCKET/PREFIX [default: a folder in the data folder].
    #[arg(long, global = true, env = "RAPPORT_IMAGES_URL")]
    pub images_url: Option<ImagesUrl>,
    /// How events go from one service to the others.
    #[command(flatten)]
    pub events: EventsArgs,
    /// Key that encrypts secrets at rest, 32 bytes in base64url.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_ENCRYPTION_KEY",
        hide_env_values = true
    )]
    pub encryption_key: Option<SecretString>,
    /// Key that turns e-mails into digests, 32 bytes in base64url; the same for all services, for ever.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_EMAIL_DIGEST_KEY",
        hide_env_values = true
    )]
    pub email_digest_key: Option<SecretString>,
    /// Secret that the three services show each other.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_SUITE_SECRET",
        hide_env_values = true
    )]
    pub suite_secret: Option<SecretString>,
    /// Credential of the operator, who makes Brands.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_OPERATOR_TOKEN",
        hide_env_values = true
    )]
    pub operator_token: Option<SecretString>,
    /// Seconds without word from identity after which a service no longer trusts what it knows.
    #[arg(
        long,
        env = "RAPPORT_IDENTITY_SILENCE_LIMIT_SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(2..)
    )]
    pub identity_silence_limit_seconds: u64,
    /// What anonymous callers are held to.
    #[command(flatten)]
    pub limits: LimitConfig,
    /// What connections are held to.
    #[command(flatten)]
    pub connections: ConnectionArgs,
    /// What encrypts calls.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Lets a Brand's jwks_uri be http, and lead to private addresses: for development.
    #[arg(long, global = true, env = "RAPPORT_ALLOW_PRIVATE_KEY_ADDRESSES")]
    pub allow_private_key_addresses: bool,
    /// Days after which identity makes another key to sign access tokens with.
    #[arg(
        long,
        global = true,
        env = "RAPPORT_SIGNING_KEY_LIFETIME_DAYS",
        default_value_t = DEFAULT_SIGNING_KEY_LIFETIME_DAYS,
        value_parser = clap::value_parser!(i64).range(1..=3_650)
    )]
    pub signing_key_lifetime_days: i64,
    /// What is told to operators.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// The services of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceName {
    /// Who is who.
    Identity,
    /// Chatrooms and messages.
    Chat,
    /// Orders and credit.
    Attribution,
}

impl ServiceName {
    /// Returns the name as commands, files and folders spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Chat => "chat",
            Self::Attribution => "attribution",
        }
    }
}

/// The secrets of an installation.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Encrypts secrets at rest.
    pub sealing_key: SealingKey,
    /// Turns e-mails into digests.
    pub email_digest_key: EmailDigestKey,
    /// What the services show each other.
    pub suite_secret: SecretString,
    /// The operator's credential; without one there is no operator.
    pub operator_token: Option<SecretString>,
}

impl Secrets {
    /// Returns new ones, for an installation that lives no longer than the process.
    pub fn random() -> Self {
        Self {
            sealing_key: SealingKey::new(Key::random()),
            email_digest_key: EmailDigestKey::new(Key::random()),
            suite_secret: Key::random().to_text(),
            operator_token: Some(Key::random().to_text()),
        }
    }
}

/// All that one service needs for its start.
#[derive(Clone)]
pub struct ServiceConfig {
    /// Where to listen.
    pub listen: Listen,
    /// Where to tell health without TLS, if anywhere.
    pub health: Option<Listen>,
    /// What encrypts calls, to the service and to its peers, if anything does.
    pub tls: Option<Tls>,
    /// The service's own database.
    pub database: DatabaseUrl,
    /// Where images are kept, if the service keeps any.
    pub images: ImagesUrl,
    /// The broker that events go through; without one they are read over gRPC.
    pub broker: Option<BrokerConfig>,
    /// Where the peers are, as `http://HOST:PORT`, with TLS as `https://HOST:PORT`.
    pub peers: Peers,
    /// The installation's secrets.
    pub secrets: Secrets,
    /// The present.
    pub clock: Clock,
    /// How long identity may be silent (SPEC 59).
    pub identity_silence_limit: Duration,
    /// What anonymous callers are held to (SPEC 59).
    pub limits: LimitConfig,
    /// What connections are held to.
    pub connections: ConnectionArgs,
    /// Whether a Brand's key set is also fetched over http, and from addresses that are not public.
    pub allow_private_key_addresses: bool,
    /// How old identity's newest signing key becomes before it makes another, at least a day.
    pub signing_key_lifetime: TimeDelta,
}

impl ServiceConfig {
    /// Returns a channel to one of the peers.
    ///
    /// # Errors
    ///
    /// [`ServerError::Peer`] when `peer` is no URI.
    pub fn channel(&self, peer: &str) -> Result<Channel, ServerError> {
        channel_by(self.tls.as_ref(), peer)
    }

    /// Returns what shows peers that it is the suite that calls: the certificate of the connection, or, on
    /// loopback and without TLS, the secret (SPEC 59).
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] when no header can carry the secret.
    pub fn suite_credential(&self) -> Result<Bearer, InvalidToken> {
        match self.tls {
            Some(_) => Ok(Bearer::without_token()),
            None => Bearer::new(&self.secrets.suite_secret),
        }
    }
}

/// Where the services find each other, as URIs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// identity.
    pub identity: String,
    /// chat.
    pub chat: String,
    /// attribution.
    pub attribution: String,
}

/// A configuration that no service can start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A required setting is missing in production.
    #[error("{setting} is required in production mode")]
    Missing {
        /// The environment variable.
        setting: &'static str,
    },
    /// A setting has a value that it cannot have.
    #[error("{setting}: {problem}")]
    Invalid {
        /// The environment variable.
        setting: &'static str,
        /// What is wrong, without the value where it is secret.
        problem: String,
    },
    /// The data folder cannot be used.
    #[error("the data folder {folder} cannot be used")]
    DataDir {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file of TLS cannot be used.
    #[error("RAPPORT_TLS_… names what cannot be used")]
    Tls(#[source] TlsError),
}

impl SuiteArgs {
    /// Returns the configuration of one service, which uses `tls`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which setting is missing or wrong.
    pub fn service(
        &self,
        name: ServiceName,
        secrets: Secrets,
        tls: Option<Tls>,
    ) -> Result<ServiceConfig, ConfigError> {
        let (setting, addr, database) = match name {
            ServiceName::Identity => (
                "RAPPORT_IDENTITY_ADDR",
                &self.identity_addr,
                &self.identity_database_url,
            ),
            ServiceName::Chat => (
                "RAPPORT_CHAT_ADDR",
                &self.chat_addr,
                &self.chat_database_url,
            ),
            ServiceName::Attribution => (
                "RAPPORT_ATTRIBUTION_ADDR",
                &self.attribution_addr,
                &self.attribution_database_url,
            ),
        };
        let listen = self.listen(setting, addr, tls.as_ref())?;
        let peer = |setting, addr: &String| peer(setting, addr, tls.as_ref());
        let file = || {
            let file = format!("{}.sqlite3", name.as_str());
            DatabaseUrl::Sqlite(self.data_dir.join(file))
        };
        let folder = || ImagesUrl::Folder(self.data_dir.join("images"));
        Ok(ServiceConfig {
            listen: Listen::At(listen),
            health: self.tls.health_addr.map(Listen::At),
            database: database.clone().unwrap_or_else(file),
            images: self.images_url.clone().unwrap_or_else(folder),
            broker: self.broker()?,
            peers: Peers {
                identity: peer("RAPPORT_IDENTITY_ADDR", &self.identity_addr)?,
                chat: peer("RAPPORT_CHAT_ADDR", &self.chat_addr)?,
                attribution: peer("RAPPORT_ATTRIBUTION_ADDR", &self.attribution_addr)?,
            },
            tls: tls.clone(),
            secrets,
            clock: Clock::system(),
            identity_silence_limit: Duration::from_secs(self.identity_silence_limit_seconds),
            limits: self.limits.clone(),
            connections: self.connections,
            allow_private_key_addresses: self.allow_private_key_addresses,
            signing_key_lifetime: TimeDelta::days(self.signing_key_lifetime_days),
        })
    }

    /// Returns the installation's secrets; in development mode makes the missing ones, and keeps
    /// them in the data folder, readable by its owner alone.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which secret is missing or malformed, or why the folder cannot be used.
    pub fn secrets(&self) -> Result<Secrets, ConfigError> {
        let made = match self.mode {
            Mode::Development => Some(DevelopmentSecrets::load_or_make(&self.data_dir)?),
            Mode::Production => None,
        };
        let pick = |setting, given: &Option<SecretString>, made: Option<&String>| {
            given
                .clone()
                .or_else(|| made.map(|made| made.as_str().into()))
                .ok_or(ConfigError::Missing { setting })
        };
        let made = made.as_ref();
        let encryption_key = pick(
            "RAPPORT_ENCRYPTION_KEY",
            &self.encryption_key,
            made.map(|made| &made.encryption_key),
        )?;
        let email_digest_key = pick(
            "RAPPORT_EMAIL_DIGEST_KEY",
            &self.email_digest_key,
            made.map(|made| &made.email_digest_key),
        )?;
        let suite_secret = pick(
            "RAPPORT_SUITE_SECRET",
            &self.suite_secret,
            made.map(|made| &made.suite_secret),
        )?;
        let operator_token = self
            .operator_token
            .clone()
            .or_else(|| made.map(|made| made.operator_token.as_str().into()));
        check_credential("RAPPORT_SUITE_SECRET", &suite_secret)?;
        if let Some(operator_token) = &operator_token {
            check_credential("RAPPORT_OPERATOR_TOKEN", operator_token)?;
            if operator_token.expose_secret() == suite_secret.expose_secret() {
                return Err(ConfigError::Invalid {
                    setting: "RAPPORT_OPERATOR_TOKEN",
                    problem: "is the suite's secret too".to_owned(),
                });
            }
        }
        Ok(Secrets {
            sealing_key: SealingKey::new(key("RAPPORT_ENCRYPTION_KEY", &encryption_key)?),
            email_digest_key: EmailDigestKey::new(key(
                "RAPPORT_EMAIL_DIGEST_KEY",
                &email_digest_key,
            )?),
            suite_secret,
            operator_token,
        })
    }
}

fn key(setting: &'static str, text: &SecretString) -> Result<Key, ConfigError> {
    text.expose_secret()
        .parse()
        .map_err(|error: crate::secret::InvalidKey| ConfigError::Invalid {
            setting,
            problem: error.to_string(),
        })
}

/// Refuses a credential that a header cannot carry, or that can be guessed; an empty one above all.
fn check_credential(setting: &'static str, credential: &SecretString) -> Result<(), ConfigError> {
    let text = credential.expose_secret();
    if text.len() >= SHORTEST_CREDENTIAL && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(ConfigError::Invalid {
        setting,
        problem: format!(
            "must be {SHORTEST_CREDENTIAL} or more visible ASCII characters without spaces"
        ),
    })
}

#[cfg(test)]
mod tests;
