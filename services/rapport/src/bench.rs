//! Benchmarks: what the suite does on this machine, beside what the machine's PostgreSQL can do.
//!
//! An absolute figure says more of the machine than of the suite. So each benchmark measures what it
//! is compared with in the same run, in alternation, takes medians, and tells the ratio; and it says
//! which machine, database and build that was. The services run in this process as `rapport` runs
//! them, and are called over sockets.

mod attribution;
mod chat;
mod cluster;
mod comer;
mod floor;
mod latencies;
mod load;
mod machine;
mod programs;
mod report;
mod seed;
mod sign_in;
mod stage;

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use kit::db::{DatabaseUrl, UnknownDatabase};
use secrecy::SecretString;

use programs::Programs;
use report::Report;
use stage::Stage;

/// What is measured.
#[derive(Subcommand)]
pub enum Benchmark {
    /// Sign-in with a link, then the first ListChatrooms and OpenDirectChatroom: for a temporary account
    /// with 10 messages and one with many, and how many sign-ins a second there can be.
    SignIn(SignInArgs),
    /// Messages a second and how long one takes, beside the empty call and pgbench; and whether listing
    /// messages and chatrooms depends on how many there are.
    Chat(ChatArgs),
    /// Orders recorded and imported and message facts consumed a second, beside pgbench; how long a credit
    /// follows its link; and whether it matters how much there is already.
    Attribution(AttributionArgs),
    /// The watchers of `chat`, which starts them.
    #[command(hide = true)]
    Watchers,
}

/// What every benchmark is told.
#[derive(Args)]
pub struct CommonArgs {
    /// Prints one JSON object a line (name, value, unit) instead of a table.
    #[arg(long)]
    json: bool,
    /// How many seconds each measured slice lasts; a run has some ten of them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// postgres://…/DATABASE, a server to make the databases on and drop them afterwards (a password in
    /// it is among pgbench's arguments, which others on this machine can read), or sqlite, files in the
    /// temporary folder [default: a private PostgreSQL in the temporary folder, with fsync]
    #[arg(long)]
    database_url: Option<Engine>,
    /// The folder of PostgreSQL's programs [default: the newest of /usr/lib/postgresql, else the PATH's].
    #[arg(long)]
    postgres_bin: Option<PathBuf>,
}

/// What the benchmark of sign-in is told.
#[derive(Args)]
pub struct SignInArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// How many messages the long history has; the short one has 10.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(20..=10_000_000))]
    rows: u32,
    /// How many temporary accounts of either size are signed in, in alternation; medians are compared.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How many sign in at once, and pgbench's clients [default: the best of 4, 8, 16 and 32 for each].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=200))]
    callers: Option<u16>,
}

/// What the benchmark of chat is told.
#[derive(Args)]
pub struct ChatArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// How many messages the large database has, a hundred in each chatroom; the small one has 10,000.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(20_000..=100_000_000))]
    rows: u32,
    /// How many send at once [default: the best of 32 to 256].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    callers: Option<u16>,
    /// How many watch their chatrooms at once, each on a stream of his own.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..=50_000))]
    streams: u16,
    /// What the random choice of chatrooms begins with: the same seed chooses the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What the benchmark of attribution is told.
#[derive(Args)]
pub struct AttributionArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// How many orders the large database has, and ten times as many messages; the small one has 1,000.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(2_000..=10_000_000))]
    rows: u32,
    /// How many record orders at once, streams that import, and pgbench's clients [default: the best of 8
    /// to 64, of 1 to 8, and of 8 to 64].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=200))]
    callers: Option<u16>,
    /// How many links are made in either database, fifty a second, each with an order to be credited.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    links: u32,
    /// What the random choice of customers begins with: the same seed chooses the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What the suite runs on, where it is not a private PostgreSQL.
#[derive(Clone, Debug)]
enum Engine {
    Server(SecretString),
    Sqlite,
}

impl FromStr for Engine {
    type Err = UnknownDatabase;

    fn from_str(text: &str) -> Result<Self, UnknownDatabase> {
        if text == "sqlite" {
            return Ok(Self::Sqlite);
        }
        match text.parse()? {
            DatabaseUrl::Postgres(server) => Ok(Self::Server(server)),
            DatabaseUrl::Sqlite(_) => Err(UnknownDatabase),
        }
    }
}

/// Runs a benchmark: prints its figures, and on standard error how far it has come.
///
/// What it makes is removed at the end, also when `stop` comes first.
///
/// # Errors
///
/// When PostgreSQL's programs are missing, a call is refused or answers what it must not, or when it
/// is stopped.
pub async fn run(benchmark: &Benchmark, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let common = match benchmark {
        Benchmark::SignIn(args) => &args.common,
        Benchmark::Chat(args) => &args.common,
        Benchmark::Attribution(args) => &args.common,
        Benchmark::Watchers => return chat::watchers::watch().await,
    };
    let report = Report::new(common.json);
    machine::describe(&report)?;
    let programs = Programs::find(common.postgres_bin.as_deref())?;
    let stage = Stage::set(common.database_url.as_ref(), programs).await?;
    let measuring = async {
        match benchmark {
            Benchmark::SignIn(args) => Box::pin(sign_in::measure(&stage, args, &report)).await,
            Benchmark::Chat(args) => Box::pin(chat::measure(&stage, args, &report)).await,
            Benchmark::Attribution(args) => {
                Box::pin(attribution::measure(&stage, args, &report)).await
            }
            Benchmark::Watchers => Ok(()),
        }
    };
    let measured = tokio::select! {
        measured = measuring => measured,
        () = stop => Err(anyhow::anyhow!("the benchmark was stopped")),
    };
    stage.clear().await?;
    measured
}
