//! The one binary of the suite: `rapport [all|identity|chat|attribution|migrate|import-orders|events|demo|bench]`.

use std::{pin::pin, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use kit::{
    config::{ConfigError, Mode, ServiceName, SuiteArgs},
    telemetry::Telemetry,
};
use mimalloc::MiMalloc;
use rapport::{
    bench::{self, Benchmark},
    demo::{self, DemoArgs},
    events::{self, EventsCommand},
    first_start,
    import_orders::{self, ImportArgs},
    say,
    suite::{self, Suite},
};
use tokio::signal::unix::{SignalKind, signal};

/// A call allocates some hundred times, on any of the threads: a tenth of its time with the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What a shell expects of a program that was called wrongly.
const USAGE: u8 = 2;

/// Keeps a conversation, and the credit for it, with the person it belongs to.
///
/// Without a subcommand all three services start in this process.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    suite: SuiteArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Starts identity, chat and attribution in this process.
    All,
    /// Starts identity alone: accounts, sessions, links.
    Identity,
    /// Starts chat alone; it finds identity by address.
    Chat,
    /// Starts attribution alone; it finds identity and chat by address.
    Attribution,
    /// Brings the three databases up to date, and exits.
    Migrate,
    /// Imports the orders of a CSV file into a suite that runs, as after an outage of the shop.
    #[command(after_long_help = import_orders::COLUMNS)]
    ImportOrders(ImportArgs),
    /// Shows the events that a service could not apply, and has them replayed; with a broker alone.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Plays the product document's cases on a suite of its own, and prints what became of them.
    Demo(DemoArgs),
    /// Measures the suite on this machine, beside what its PostgreSQL can do. Only a release build counts.
    #[command(subcommand)]
    Bench(Benchmark),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match Box::pin(run(cli)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rapport: {error:#}");
            if error.chain().any(|cause| cause.is::<ConfigError>()) {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let (process, quiet) = match &cli.command {
        None | Some(Command::All | Command::Migrate) => ("suite", false),
        Some(Command::Identity) => ("identity", false),
        Some(Command::Chat) => ("chat", false),
        Some(Command::Attribution) => ("attribution", false),
        Some(
            Command::ImportOrders(_) | Command::Events(_) | Command::Demo(_) | Command::Bench(_),
        ) => ("suite", true),
    };
    let args = &cli.suite.telemetry;
    let filter = if quiet { "error" } else { &args.log };
    let telemetry = Telemetry::start(args, process, filter).await?;
    if let Some(addr) = telemetry.metrics_addr() {
        say!("metrics      {addr}");
    }
    let result = Box::pin(carry_out(cli)).await;
    telemetry.stop().await;
    result
}

async fn carry_out(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None | Some(Command::All) => run_all(&cli.suite).await,
        Some(Command::Identity) => run_one(&cli.suite, ServiceName::Identity).await,
        Some(Command::Chat) => run_one(&cli.suite, ServiceName::Chat).await,
        Some(Command::Attribution) => run_one(&cli.suite, ServiceName::Attribution).await,
        Some(Command::Migrate) => suite::migrate(&cli.suite).await,
        Some(Command::ImportOrders(import)) => {
            Box::pin(import_orders::run(&cli.suite, &import)).await
        }
        Some(Command::Events(command)) => Box::pin(events::run(&cli.suite, &command)).await,
        Some(Command::Demo(demo)) => Box::pin(demo::run(&demo, stop_signal()?)).await,
        Some(Command::Bench(benchmark)) => Box::pin(bench::run(&benchmark, stop_signal()?)).await,
    }
}

async fn run_all(args: &SuiteArgs) -> anyhow::Result<()> {
    if args.tls.health_addr.is_some() {
        return Err(anyhow::Error::from(ConfigError::Invalid {
            setting: "RAPPORT_HEALTH_ADDR",
            problem: "is for a process of one service".to_owned(),
        }));
    }
    let stop = stop_signal()?;
    let suite = Suite::start(suite::configs(args).await?).await?;
    say!("identity     {}", suite.identity);
    say!("chat         {}", suite.chat);
    say!("attribution  {}", suite.attribution);
    if args.mode == Mode::Development
        && let Err(error) = first_start::greet(args, &suite).await
    {
        // The suite is of use without the demo Brand, which may be another database's.
        tracing::warn!(error = format!("{error:#}"), "no demo Brand to try");
    }
    suite.run_until(stop).await
}

async fn run_one(args: &SuiteArgs, name: ServiceName) -> anyhow::Result<()> {
    let mut stop = pin!(stop_signal()?);
    let mut config = args.service(name, args.secrets()?, args.tls().await?)?;
    let (listen, addr) = config.listen.bound()?;
    config.listen = listen;
    if let Some(health) = config.health.take() {
        let (health, addr) = health.bound()?;
        config.health = Some(health);
        say!("health       {addr}");
    }
    say!("{:<12} {addr}", name.as_str());
    let server = tokio::select! {
        server = Box::pin(suite::build_patiently(name, config)) => server?,
        () = &mut stop => return Ok(()),
    };
    server.run_until(stop).await?;
    Ok(())
}

/// Returns what completes at the first SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}
