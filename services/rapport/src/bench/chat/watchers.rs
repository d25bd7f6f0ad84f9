//! Many who watch: what an idle stream holds at the server, and how soon a message reaches it.
//!
//! The watchers are a process of their own, which this program starts a second time: so the memory of
//! this process is the server's, and what grows between no stream and all of them is theirs. A message
//! says when it was sent, by the clock that both processes share.

use std::{process::Stdio, sync::Arc, time::Duration};

use anyhow::Context;
use futures_util::future::BoxFuture;
use kit::{access::Bearer, clock::Clock};
use rapport_proto::chat::v1::{
    Message, WatchChatroomsRequest, chat_service_client::ChatServiceClient,
    message_content::Content, watch_chatrooms_response::Update,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    task::spawn_blocking,
};
use tonic::transport::Channel;

use super::{Room, World};
use crate::bench::{
    ChatArgs,
    latencies::Latencies,
    load::open_loop,
    machine,
    report::{Report, progress},
};

/// How many streams share a connection.
const STREAMS_PER_CONNECTION: usize = 100;
/// Messages a second.
const RATE: f64 = 1_000.0;
const BYTES_PER_KIB: f64 = 1_024.0;

/// What the watchers are told: where chat is, and as whom each of them watches.
#[derive(Serialize, Deserialize)]
struct Watch {
    chat: String,
    access_tokens: Vec<String>,
}

/// What the watchers saw, once nothing more is to come.
#[derive(Serialize, Deserialize)]
struct Seen {
    messages: u64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Lets every visitor watch, sends messages to some of them, and reports.
pub(super) async fn measure(
    world: &World,
    chat: &str,
    args: &ChatArgs,
    report: &Report,
) -> anyhow::Result<()> {
    let rooms = &world.rooms;
    progress(&format!("opening {} streams", rooms.len()));
    let before = machine::resident_kib()?;
    let (mut child, mut lines) = start(chat, rooms).await?;
    let ready: usize = read(&mut lines).await?;
    anyhow::ensure!(ready == rooms.len(), "{ready} streams have begun");
    let grown = (machine::resident_kib()? - before) * BYTES_PER_KIB;
    let per_stream = grown / f64::from(u32::try_from(rooms.len())?);
    report.figure("watch.bytes_per_stream", per_stream, "bytes")?;

    let seconds = args.common.seconds;
    progress(&format!("sending {RATE:.0} messages a second"));
    let work = world.choose((RATE * f64::from(seconds)) as usize, 0);
    let sent = open_loop(work, RATE, Duration::MAX, sending(rooms)).await?;
    // The last ones are still on their way.
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(child.stdin.take());
    let seen: Seen = read(&mut lines).await?;
    child.wait().await?;
    anyhow::ensure!(
        seen.messages == sent.latencies.len(),
        "of {} messages {} reached their watchers",
        sent.latencies.len(),
        seen.messages
    );
    report.figure("watch.delivery_p50_ms", seen.p50_ms, "ms")?;
    report.figure("watch.delivery_p99_ms", seen.p99_ms, "ms")
}

type Lines = tokio::io::Lines<BufReader<ChildStdout>>;

async fn start(chat: &str, rooms: &[Room]) -> anyhow::Result<(Child, Lines)> {
    let token = |room: &Room| room.visitor.session.access_token.clone();
    let watch = Watch {
        chat: chat.to_owned(),
        access_tokens: rooms.iter().map(token).collect(),
    };
    let mut child = Command::new(std::env::current_exe()?)
        .args(["bench", "watchers"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdin = child.stdin.as_mut().context("it is piped")?;
    stdin.write_all(&serde_json::to_vec(&watch)?).await?;
    stdin.write_all(b"\n").await?;
    let stdout = child.stdout.take().context("it is piped")?;
    Ok((child, BufReader::new(stdout).lines()))
}

async fn read<T: for<'a> Deserialize<'a>>(lines: &mut Lines) -> anyhow::Result<T> {
    let line = lines.next_line().await?;
    Ok(serde_json::from_str(
        &line.context("the watchers have ended")?,
    )?)
}

fn sending(
    rooms: &Arc<[Room]>,
) -> impl Fn(usize) -> BoxFuture<'static, anyhow::Result<()>> + Clone + Send + use<> {
    let rooms = Arc::clone(rooms);
    move |number| {
        let rooms = Arc::clone(&rooms);
        Box::pin(async move {
            let room = &rooms[number];
            let text = micros_now().to_string();
            room.visitor.caller.say(&room.chatroom, &text).await?;
            Ok(())
        })
    }
}

fn micros_now() -> i64 {
    Clock::system().now().timestamp_micros()
}

/// Watches as it is told on standard input, says there when all streams have begun, and, once standard
/// input ends, what they saw.
///
/// # Errors
///
/// When a stream cannot begin.
pub(crate) async fn watch() -> anyhow::Result<()> {
    let line = spawn_blocking(|| std::io::stdin().lines().next()).await?;
    let watch: Watch = serde_json::from_str(&line.context("nothing to watch")??)?;
    let (sender, mut delays) = mpsc::unbounded_channel();
    let (ready, mut begun) = mpsc::channel(1);
    for tokens in watch.access_tokens.chunks(STREAMS_PER_CONNECTION) {
        let channel = kit::server::channel(&watch.chat)?;
        for token in tokens {
            let following = follow(
                channel.clone(),
                token.clone(),
                ready.clone(),
                sender.clone(),
            );
            tokio::spawn(async move {
                if let Err(error) = following.await {
                    progress(&format!("a stream has ended: {error:#}"));
                }
            });
        }
    }
    let mut count = 0;
    while count < watch.access_tokens.len() && begun.recv().await.is_some() {
        count += 1;
    }
    crate::say!("{count}");
    spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await?;
    let mut latencies = Latencies::default();
    while let Ok(delay) = delays.try_recv() {
        latencies.record(delay);
    }
    let seen = Seen {
        messages: latencies.len(),
        p50_ms: latencies.millis_at(0.5),
        p99_ms: latencies.millis_at(0.99),
    };
    crate::say!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// Watches as one visitor: tells when the snapshot is complete, and then how long each message took.
async fn follow(
    channel: Channel,
    access_token: String,
    ready: mpsc::Sender<()>,
    delays: mpsc::UnboundedSender<Duration>,
) -> anyhow::Result<()> {
    let credential = Bearer::new(&access_token.into())?;
    let mut chat = ChatServiceClient::with_interceptor(channel, credential);
    let request = WatchChatroomsRequest::default();
    let mut stream = chat.watch_chatrooms(request).await?.into_inner();
    while let Some(response) = stream.message().await? {
        match response.update {
            Some(Update::Snapshot(snapshot)) if snapshot.complete => ready.send(()).await?,
            Some(Update::Message(message)) => {
                if let Some(sent) = sent_micros(&message) {
                    let delay = u64::try_from(micros_now() - sent)?;
                    delays.send(Duration::from_micros(delay))?;
                }
            }
            _ => {}
        }
    }
    anyhow::bail!("the server has ended it")
}

fn sent_micros(message: &Message) -> Option<i64> {
    match message.content.as_ref()?.content.as_ref()? {
        Content::Text(text) => text.text.parse().ok(),
        _ => None,
    }
}
