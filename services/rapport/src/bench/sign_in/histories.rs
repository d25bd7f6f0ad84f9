//! A short history and a long one, in alternation.

use std::time::Duration;

use rapport_proto::chat::v1::{Chatroom, ListMessagesRequest};
use tokio::time::Instant;

use super::World;
use crate::bench::{
    SignInArgs,
    comer::Comer,
    latencies::Latencies,
    report::{Report, progress},
    seed,
};

const SHORT: u32 = 10;
/// How many are signed in before it counts, so that connections are made and statements prepared.
const WARM_UP: u32 = 3;
/// Seeding waits for the disk as much as for the processor.
const SEEDED_AT_ONCE: usize = 2;

/// A visitor with a history, who is about to sign in.
struct Historian {
    comer: Comer,
    chatroom: Chatroom,
}

/// How long each step took, over all rounds.
#[derive(Default)]
struct Steps {
    sign_in: Latencies,
    list: Latencies,
    open: Latencies,
    total: Latencies,
}

/// Signs in visitors with short and long histories in alternation, and reports the medians.
pub(super) async fn measure(
    world: &World,
    args: &SignInArgs,
    report: &Report,
) -> anyhow::Result<()> {
    let (rounds, rows) = (args.rounds, args.rows);
    progress(&format!("writing {rounds} histories of {rows} messages"));
    let begin = Instant::now();
    for _ in 0..WARM_UP {
        let historian = world.tell(SHORT).await?;
        world.return_of(&historian, &mut Steps::default()).await?;
    }
    let short = tell_all(world, rounds, SHORT).await?;
    let long = tell_all(world, rounds, rows).await?;
    seed::analyze(&world.chat_db).await?;
    let seconds = begin.elapsed().as_secs();
    progress(&format!(
        "written in {seconds} s; signing in {rounds} of each"
    ));
    let (mut short_steps, mut long_steps) = (Steps::default(), Steps::default());
    for (short, long) in short.iter().zip(&long) {
        world.return_of(short, &mut short_steps).await?;
        world.return_of(long, &mut long_steps).await?;
    }
    short_steps.report(report, SHORT)?;
    long_steps.report(report, rows)?;
    let ratio = long_steps.total.millis_at(0.5) / short_steps.total.millis_at(0.5);
    report.figure(&format!("sign_in.p50_{rows}_to_{SHORT}"), ratio, "ratio")
}

/// Returns `count` visitors with `messages` messages each.
async fn tell_all(world: &World, count: u32, messages: u32) -> anyhow::Result<Vec<Historian>> {
    let mut historians = Vec::new();
    let counts: Vec<u32> = (0..count).collect();
    for batch in counts.chunks(SEEDED_AT_ONCE) {
        let tellings = batch.iter().map(|_| world.tell(messages));
        historians.extend(futures_util::future::try_join_all(tellings).await?);
    }
    Ok(historians)
}

impl World {
    /// Has a temporary visitor and the Member exchange so many messages, and checks through the API
    /// that they are there.
    async fn tell(&self, messages: u32) -> anyhow::Result<Historian> {
        let comer = Comer::welcome(&self.shop).await?;
        let visitor = &comer.temporary;
        let chatroom = visitor.open_direct(&self.member).await?;
        visitor
            .caller
            .say(&chatroom, "Does it come in blue?")
            .await?;
        let answer = "It does, and in green.";
        self.member.caller.say(&chatroom, answer).await?;
        let (brand_id, until) = (&self.shop.brand_id, i64::from(messages) - 1);
        seed::fill(&self.chat_db, brand_id, &chatroom.chatroom_id, until).await?;
        let last = visitor.caller.say(&chatroom, "I take it.").await?;
        anyhow::ensure!(
            last.sequence == i64::from(messages),
            "message {messages} has the sequence {}",
            last.sequence
        );
        let request = ListMessagesRequest {
            chatroom_id: chatroom.chatroom_id.clone(),
            page_size: 3,
            ..Default::default()
        };
        let mut chat = visitor.caller.chat.clone();
        let page = chat.list_messages(request).await?.into_inner().messages;
        let sequences: Vec<i64> = page
            .iter()
            .map(|message| last.sequence - message.sequence)
            .collect();
        let times_fall = page.is_sorted_by_key(|message| {
            let time = message.create_time.unwrap_or_default();
            std::cmp::Reverse((time.seconds, time.nanos))
        });
        anyhow::ensure!(
            sequences == [0, 1, 2] && times_fall,
            "the newest messages of a history do not follow each other"
        );
        Ok(Historian { comer, chatroom })
    }

    /// Signs a visitor in, lists his chatrooms and opens the one with the Member.
    async fn return_of(&self, historian: &Historian, steps: &mut Steps) -> anyhow::Result<()> {
        let start = Instant::now();
        let client = historian.comer.sign_in(&self.shop).await?.visitor;
        let signed_in = start.elapsed();
        let listed = client.caller.chatrooms().await?;
        let listing = start.elapsed();
        let opened = client.open_direct(&self.member).await?;
        let total = start.elapsed();
        let own = &historian.chatroom.chatroom_id;
        let [listed] = listed.as_slice() else {
            anyhow::bail!("who signed in sees {} chatrooms", listed.len());
        };
        anyhow::ensure!(
            listed.chatroom_id == *own && opened.chatroom_id == *own,
            "who signed in sees another chatroom than the temporary account's"
        );
        steps.record(signed_in, listing, total);
        Ok(())
    }
}

impl Steps {
    /// Adds a round, told by the time since its beginning at the end of each step.
    fn record(&mut self, signed_in: Duration, listed: Duration, opened: Duration) {
        self.sign_in.record(signed_in);
        self.list.record(listed - signed_in);
        self.open.record(opened - listed);
        self.total.record(opened);
    }

    fn report(&self, report: &Report, rows: u32) -> anyhow::Result<()> {
        let parts = [
            ("sign_in", &self.sign_in),
            ("list_chatrooms", &self.list),
            ("open_direct_chatroom", &self.open),
        ];
        for (name, latencies) in parts {
            let name = format!("sign_in.{name}_p50_{rows}");
            report.figure(&name, latencies.millis_at(0.5), "ms")?;
        }
        let total = format!("sign_in.p50_{rows}");
        report.figure(&total, self.total.millis_at(0.5), "ms")
    }
}
