//! Imports the orders of a CSV file into a suite that runs (SPEC 48).
//!
//! ```text
//! file ─► a thread reads and checks lines ─► ImportOrders ─► answers, by line
//! ```
//!
//! A line that is refused, here or there, is named with its number and stops no other. Where the
//! stream breaks or its token expires, another goes on from the first order without an answer; and the
//! whole file may be imported again, since an order is recorded once.

mod lines;
mod values;

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, bail};
use chrono_tz::Tz;
use clap::Args;
use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use kit::{
    access::Bearer,
    backoff::Backoff,
    config::{self, SuiteArgs},
    server::channel_by,
};
use rapport_proto::{
    attribution::v1::{
        AttributionOutcome, ImportOrdersRequest, ImportOrdersResponse,
        import_orders_response::Result as Told, order_service_client::OrderServiceClient,
    },
    identity::v1::{
        GetBrandRequest, IssueServiceTokenRequest, brand_service_client::BrandServiceClient,
        session_service_client::SessionServiceClient,
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use tonic::{Code, Status, transport::Channel};

use lines::Columns;

/// What `--help` says of the file.
pub const COLUMNS: &str = "\
The file is CSV in UTF-8. Its first line names its columns, in any order:

  order_id       the order's id at the Brand (required)
  currency       the ISO 4217 code of all amounts of the line (required)
  total          with shipping, such as 129.90 (required)
  shipping       the shipping in it
  order_time     when it was placed; empty: now
  account_id, customer_id, cart_id, email
                 who bought; at least one of them
  status, status_time
                 a status, such as OK, and since when
  refund_id, refund_amount, refund_time
                 a refund

A time is 2026-11-22T18:30:00+01:00, or without an offset in the Brand's time zone; a date alone is the
end of that day there. Several lines may name one order, to bring it more statuses or refunds, if they
say the same of the order itself. An order is recorded once: after a break, import the file again; give
order_time for that, and status_time where the same status comes more than once.

Exit status: 0 when every line was recorded, 1 when one was refused or the import failed.";

/// How many lines may be read ahead of what is sent.
const LINES_AHEAD: usize = 512;
/// How often in a row a stream may break without an answer.
const MOST_ATTEMPTS: u32 = 8;

/// What is imported, and as whom.
#[derive(Args)]
pub struct ImportArgs {
    /// The file; - is the standard input.
    file: PathBuf,
    /// The Brand whose orders they are.
    #[arg(long, env = "RAPPORT_BRAND")]
    brand: String,
    /// An API key of the Brand with ORDERS_WRITE, and BRAND_READ where its time zone is asked for.
    #[arg(long, env = "RAPPORT_API_KEY", hide_env_values = true)]
    api_key: SecretString,
    /// The IANA name of the time zone of times without an offset [default: the Brand's].
    #[arg(long)]
    time_zone: Option<String>,
    /// Reads the file and names bad lines, and records nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Imports the file, and tells what became of its lines.
///
/// # Errors
///
/// When a line is refused, the file cannot be read, or the suite does not answer.
pub async fn run(suite: &SuiteArgs, args: &ImportArgs) -> anyhow::Result<()> {
    let tls = suite.tls().await?;
    let channel = |setting, addr: &str| -> anyhow::Result<Channel> {
        let uri = config::peer(setting, addr, tls.as_ref())?;
        Ok(channel_by(tls.as_ref(), &uri)?)
    };
    let shop = Shop {
        identity: channel("RAPPORT_IDENTITY_ADDR", &suite.identity_addr)?,
        attribution: channel("RAPPORT_ATTRIBUTION_ADDR", &suite.attribution_addr)?,
        brand_id: args.brand.clone(),
        api_key: args.api_key.clone(),
    };
    let zone = shop.time_zone(args.time_zone.as_deref()).await?;
    let (source, size_bytes) = open(&args.file)?;
    let report = Arc::new(Report::new(size_bytes));
    let (sender, lines) = mpsc::channel(LINES_AHEAD);
    let reading = Arc::clone(&report);
    let reading = tokio::task::spawn_blocking(move || read(source, zone, &sender, &reading));
    let imported = if args.dry_run {
        pass_over(lines, &report).await;
        Ok(())
    } else {
        import(&shop, lines, &report).await
    };
    report.bar.finish_and_clear();
    imported?;
    reading.await??;
    report.conclude(args.dry_run)
}

fn open(file: &Path) -> anyhow::Result<(Box<dyn Read + Send>, Option<u64>)> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let cannot = || format!("{} cannot be read", file.display());
    let source = File::open(file).with_context(cannot)?;
    let size_bytes = source.metadata().with_context(cannot)?.len();
    Ok((Box::new(source), Some(size_bytes)))
}

/// What became of the lines so far.
struct Report {
    bar: ProgressBar,
    credited: AtomicU64,
    unattributed: AtomicU64,
    pending: AtomicU64,
    refused: AtomicU64,
}

impl Report {
    fn new(size_bytes: Option<u64>) -> Self {
        // It shows itself on a terminal alone.
        let bar = match size_bytes {
            Some(size_bytes) => {
                let style = ProgressStyle::with_template(
                    "{bar:40} {percent}% {bytes}/{total_bytes} {eta} {msg}",
                );
                let bar = ProgressBar::new(size_bytes);
                bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            }
            None => ProgressBar::new_spinner(),
        };
        Self {
            bar,
            credited: AtomicU64::new(0),
            unattributed: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn refuse(&self, line_number: i64, reason: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.bar
            .suspend(|| eprintln!("line {line_number}: {reason}"));
    }

    fn tell(&self, answer: &ImportOrdersResponse) {
        let line_number = answer.line_number;
        match &answer.result {
            Some(Told::Attribution(attribution)) => {
                let count = match attribution.outcome() {
                    AttributionOutcome::Conversation => &self.credited,
                    AttributionOutcome::Unattributed => &self.unattributed,
                    AttributionOutcome::Pending | AttributionOutcome::Unspecified => &self.pending,
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
            Some(Told::Refusal(refusal)) => {
                let reason = refusal.reason().as_str_name();
                let reason = reason.trim_start_matches("ERROR_REASON_");
                self.refuse(line_number, &format!("{reason}: {}", refusal.message));
            }
            None => self.refuse(line_number, "has no answer"),
        }
    }

    fn conclude(&self, is_dry: bool) -> anyhow::Result<()> {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let (credited, unattributed) = (count(&self.credited), count(&self.unattributed));
        let (pending, refused) = (count(&self.pending), count(&self.refused));
        if is_dry {
            crate::say!("{pending} lines could be sent, {refused} refused");
        } else {
            crate::say!(
                "{} lines recorded: {credited} credited to a conversation, {unattributed} to none, \
                 {pending} pending; {refused} refused",
                credited + unattributed + pending
            );
        }
        if refused > 0 {
            bail!("{refused} lines were refused");
        }
        Ok(())
    }
}

/// Reads the lines of the file, and hands over those that say what an order is.
fn read(
    source: Box<dyn Read + Send>,
    zone: Option<Tz>,
    sender: &mpsc::Sender<ImportOrdersRequest>,
    report: &Report,
) -> anyhow::Result<()> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(source);
    let columns = Columns::of(
        reader.headers().context("the file has no first line")?,
        zone,
    )?;
    let mut record = StringRecord::new();
    loop {
        let line = match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let line = line_number(record.position());
                let order = columns.order(line, &record);
                order.map_err(|problem| (line, problem))
            }
            Err(error) => Err(unreadable(error)?),
        };
        match line {
            Ok(request) => {
                if sender.blocking_send(request).is_err() {
                    return Ok(()); // The import has failed, and says why.
                }
            }
            Err((line, problem)) => report.refuse(line, &problem),
        }
        report.bar.set_position(reader.position().byte());
    }
}

fn line_number(position: Option<&csv::Position>) -> i64 {
    let line = position.map_or(0, csv::Position::line);
    i64::try_from(line).unwrap_or(i64::MAX)
}

/// Returns which line cannot be read, and why; another failure is the file's.
fn unreadable(error: csv::Error) -> anyhow::Result<(i64, String)> {
    match error.kind() {
        ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => {
            let problem = format!("has {len} cells where the first line has {expected_len}");
            Ok((line_number(pos.as_ref()), problem))
        }
        ErrorKind::Utf8 { pos, .. } => Ok((line_number(pos.as_ref()), "is not UTF-8".to_owned())),
        _ => Err(error).context("the file cannot be read"),
    }
}

async fn pass_over(mut lines: mpsc::Receiver<ImportOrdersRequest>, report: &Report) {
    while lines.recv().await.is_some() {
        report.pending.fetch_add(1, Ordering::Relaxed);
    }
}

type Lines = Arc<tokio::sync::Mutex<mpsc::Receiver<ImportOrdersRequest>>>;
type Unanswered = Arc<Mutex<VecDeque<ImportOrdersRequest>>>;

async fn import(
    shop: &Shop,
    lines: mpsc::Receiver<ImportOrdersRequest>,
    report: &Report,
) -> anyhow::Result<()> {
    let lines: Lines = Arc::new(tokio::sync::Mutex::new(lines));
    let unanswered = Unanswered::default();
    let (mut backoff, mut attempts) = (Backoff::new(), 0);
    loop {
        let mut answered = false;
        let broken = match shop
            .stream(&lines, &unanswered, report, &mut answered)
            .await
        {
            Ok(()) => return Ok(()),
            Err(status) => status,
        };
        if answered {
            (backoff, attempts) = (Backoff::new(), 0);
        }
        attempts += 1;
        if attempts > MOST_ATTEMPTS || !may_pass(&broken) {
            bail!(
                "the import broke off: {}; it may be repeated",
                broken.message()
            );
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

/// Whether another stream, under another token, may succeed.
fn may_pass(status: &Status) -> bool {
    let code = status.code();
    let is_lost = matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled);
    is_lost || code == Code::Unauthenticated
}

/// The Brand's access to the suite.
struct Shop {
    identity: Channel,
    attribution: Channel,
    brand_id: String,
    api_key: SecretString,
}

impl Shop {
    async fn credential(&self) -> Result<Bearer, Status> {
        let request = IssueServiceTokenRequest {
            brand_id: self.brand_id.clone(),
            api_key: self.api_key.expose_secret().to_owned(),
        };
        let mut sessions = SessionServiceClient::new(self.identity.clone());
        let answer = sessions.issue_service_token(request).await;
        // A key that is refused stays refused.
        let answer = answer.map_err(|status| match status.code() {
            Code::Unauthenticated => Status::permission_denied(status.message()),
            _ => status,
        })?;
        Bearer::new(&answer.into_inner().access_token.into())
            .map_err(|_| Status::internal("the token fits in no header"))
    }

    /// Returns the time zone of that name, or the Brand's; `None` where the key may not ask for it.
    async fn time_zone(&self, name: Option<&str>) -> anyhow::Result<Option<Tz>> {
        if let Some(name) = name {
            return zone(name).map(Some);
        }
        let credential = self.credential().await.map_err(failed)?;
        let mut brands = BrandServiceClient::with_interceptor(self.identity.clone(), credential);
        let request = GetBrandRequest {
            brand_id: self.brand_id.clone(),
        };
        let brand = match brands.get_brand(request).await {
            Ok(answer) => answer.into_inner().brand.unwrap_or_default(),
            Err(status) if status.code() == Code::PermissionDenied => return Ok(None),
            Err(status) => return Err(failed(status)),
        };
        zone(&brand.time_zone).map(Some)
    }

    /// Sends what is left without an answer, then the lines that follow, and tells their answers.
    async fn stream(
        &self,
        lines: &Lines,
        unanswered: &Unanswered,
        report: &Report,
        answered: &mut bool,
    ) -> Result<(), Status> {
        let credential = self.credential().await?;
        let again: Vec<_> = locked(unanswered).iter().cloned().collect();
        let state = (Arc::clone(lines), Arc::clone(unanswered));
        let next = stream::unfold(state, async |(lines, unanswered)| {
            let request = lines.lock().await.recv().await?;
            locked(&unanswered).push_back(request.clone());
            Some((request, (lines, unanswered)))
        });
        let mut orders = OrderServiceClient::with_interceptor(self.attribution.clone(), credential);
        let requests = stream::iter(again).chain(next);
        let mut answers = orders.import_orders(requests).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            *answered = true;
            locked(unanswered).pop_front();
            report.tell(&answer);
        }
        match locked(unanswered).is_empty() {
            true => Ok(()),
            false => Err(Status::unavailable("the stream ended early")),
        }
    }
}

fn zone(name: &str) -> anyhow::Result<Tz> {
    let zone = name.parse().ok();
    zone.with_context(|| format!("there is no time zone {name:?}"))
}

fn failed(status: Status) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message().to_owned())
}

/// Nothing can panic while it holds the lock.
fn locked(
    unanswered: &Mutex<VecDeque<ImportOrdersRequest>>,
) -> std::sync::MutexGuard<'_, VecDeque<ImportOrdersRequest>> {
    unanswered.lock().unwrap_or_else(PoisonError::into_inner)
}
