//! Plays the product document's cases on a suite of its own, under each preset of the merge policy.

mod story;
mod table;

use anyhow::Context;
use clap::Args;
use kit::{
    broker::Broker,
    config::{BrokerConfig, BrokerUrl, Secrets},
    db::DatabaseUrl,
    limit::LimitConfig,
};
use rapport_proto::identity::v1::MergePolicyPreset;
use secrecy::ExposeSecret;

use crate::{
    client::{Channels, shop::Shop},
    databases::{self, Databases},
    suite::Suite,
};

pub use story::Row;

const PRESETS: [MergePolicyPreset; 5] = [
    MergePolicyPreset::V44,
    MergePolicyPreset::V462,
    MergePolicyPreset::V48,
    MergePolicyPreset::TwoChatrooms,
    MergePolicyPreset::AlwaysLinked,
];

/// What the demo is played on.
#[derive(Args)]
pub struct DemoArgs {
    /// Prints one JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// A PostgreSQL server to make the databases on, postgres://…/DATABASE [default: SQLite files].
    #[arg(long)]
    database_url: Option<DatabaseUrl>,
    /// A NATS server for the events, which nothing else uses; the demo's streams stay there [default: gRPC].
    #[arg(long)]
    broker_url: Option<BrokerUrl>,
    /// How many replicas of each service there are, among which callers take turns.
    #[arg(
        long,
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=9),
    )]
    replicas: u8,
}

/// Plays every case under every preset and prints a row for each as it is known.
///
/// The suite listens on free ports; its databases are files in a fresh folder, or databases of their
/// own on a PostgreSQL server, and are removed at the end, also when `stop` comes first.
///
/// # Errors
///
/// When a call is refused, when it is stopped, or when a row is not what the document says.
pub async fn run(args: &DemoArgs, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let broker = match &args.broker_url {
        None => None,
        Some(url) => Some(unused_broker(url).await?),
    };
    let databases = match &args.database_url {
        None if args.replicas > 1 => {
            anyhow::bail!("replicas share a PostgreSQL server: name one by --database-url")
        }
        None => Databases::in_folder("demo")?,
        Some(DatabaseUrl::Postgres(server)) => {
            Databases::on_server(server.clone(), "demo", databases::SUITE).await?
        }
        Some(DatabaseUrl::Sqlite(_)) => {
            anyhow::bail!("--database-url names a PostgreSQL server; without it files are used")
        }
    };
    let played = tokio::select! {
        played = play_on(&databases, broker, args) => played,
        () = stop => Err(anyhow::anyhow!("the demo was stopped")),
    };
    databases.remove().await?;
    played
}

/// The events of an installation would be taken for another's, so the demo has a broker for itself.
async fn unused_broker(url: &BrokerUrl) -> anyhow::Result<BrokerConfig> {
    let config = BrokerConfig {
        url: url.clone(),
        tls: None,
        replica_count: 1,
        monitors: Vec::new(),
    };
    let broker = Broker::open(Some(&config), "demo").await?;
    if let Some(broker) = broker
        && !broker.is_unused().await?
    {
        anyhow::bail!(
            "the server of --broker-url has streams already; the demo needs one of its own"
        );
    }
    Ok(config)
}

async fn play_on(
    databases: &Databases,
    broker: Option<BrokerConfig>,
    args: &DemoArgs,
) -> anyhow::Result<()> {
    let secrets = Secrets::random();
    let operator_token = secrets
        .operator_token
        .clone()
        .context("random secrets have an operator")?;
    let mut suites = Vec::new();
    for _ in 0..args.replicas {
        let mut config = databases.suite_config(&secrets, &LimitConfig::default());
        for service in [
            &mut config.identity,
            &mut config.chat,
            &mut config.attribution,
        ] {
            service.broker.clone_from(&broker);
        }
        suites.push(Suite::start(config).await?);
    }
    let addrs = suites
        .iter()
        .map(|suite| [suite.identity, suite.chat, suite.attribution]);
    let channels = Channels::to_replicas(&addrs.collect::<Vec<_>>())?;
    let played = Box::pin(play(&channels, operator_token.expose_secret(), args.json)).await;
    for suite in suites {
        suite.stop().await?;
    }
    played
}

async fn play(channels: &Channels, operator_token: &str, json: bool) -> anyhow::Result<()> {
    let mut printer = table::Printer::new(json);
    for preset in PRESETS {
        let name = story::preset_name(preset);
        let brand_id = format!("demo-{}", name.to_lowercase().replace('_', "-"));
        let shop = Shop::open(channels, operator_token, &brand_id).await?;
        shop.set_merge_policy(preset).await?;
        for scene in story::SCENES {
            let row = story::play(&shop, preset, scene)
                .await
                .with_context(|| format!("case {} under {name}", scene.case))?;
            printer.print(&row)?;
        }
    }
    printer.finish()
}
