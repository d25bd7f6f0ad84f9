//! Whether a page of messages or of chatrooms costs more where there are many.
//!
//! Two suites are asked in alternation: one whose database has ten thousand messages, one with many.

use rapport_proto::chat::v1::{Chatroom, ListChatroomsRequest, ListMessagesRequest};
use tokio::time::Instant;

use super::{BRAND_ID, World, seed};
use crate::{
    bench::{
        ChatArgs,
        latencies::Latencies,
        report::{Report, progress},
        stage::Stage,
    },
    client::shop::{Shop, ShopMember},
};

const SMALL: u32 = 10_000;
/// How many of each are measured.
const ROUNDS: usize = 300;
/// How many before it counts, so that statements are prepared and pages read.
const WARM_UP: usize = 20;

/// A Member of many chatrooms.
struct Library {
    member: ShopMember,
    chatrooms: Vec<Chatroom>,
}

#[derive(Default)]
struct Steps {
    messages: Latencies,
    chatrooms: Latencies,
}

/// Fills the databases, asks both, and reports the medians.
pub(super) async fn measure(
    world: &World,
    stage: &Stage,
    args: &ChatArgs,
    report: &Report,
) -> anyhow::Result<()> {
    let beside = stage.beside().await?;
    let running = beside.start_suite().await?;
    let shop = Shop::open(&running.channels, &running.operator_token, BRAND_ID).await?;
    let small = Library::fill(&shop, &beside, SMALL).await?;
    let large = Library::fill(&world.shop, stage, args.rows).await?;
    progress(&format!("listing {ROUNDS} pages of each"));
    let (mut few, mut many) = (Steps::default(), Steps::default());
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            (few, many) = (Steps::default(), Steps::default());
        }
        small.list(round, &mut few).await?;
        large.list(round, &mut many).await?;
    }
    few.report(report, SMALL)?;
    many.report(report, args.rows)?;
    let ratio = |many: &Latencies, few: &Latencies| many.millis_at(0.5) / few.millis_at(0.5);
    let messages = ratio(&many.messages, &few.messages);
    report.figure("list_messages.p50_large_to_small", messages, "ratio")?;
    let chatrooms = ratio(&many.chatrooms, &few.chatrooms);
    report.figure("list_chatrooms.p50_large_to_small", chatrooms, "ratio")?;
    running.suite.stop().await?;
    beside.clear().await
}

impl Library {
    /// Hires a Member and gives him so many messages.
    async fn fill(shop: &Shop, stage: &Stage, messages: u32) -> anyhow::Result<Self> {
        progress(&format!("writing {messages} messages"));
        let begin = Instant::now();
        let member = shop.hire("Mia").await?;
        let visitor = shop.welcome("Ann", None).await?;
        let chatroom = visitor.open_direct(&member).await?;
        visitor
            .caller
            .say(&chatroom, "Does it come in blue?")
            .await?;
        let answer = "It does, and in green.";
        member.caller.say(&chatroom, answer).await?;
        let db = stage.chat_db().await?;
        seed::copy_chatrooms(&db, &shop.brand_id, &chatroom.chatroom_id, messages).await?;
        let seconds = begin.elapsed().as_secs();
        progress(&format!("written in {seconds} s"));
        let request = ListChatroomsRequest {
            page_size: 200,
            ..Default::default()
        };
        let page = member.caller.chat.clone().list_chatrooms(request).await?;
        let mut chatrooms = page.into_inner().chatrooms;
        chatrooms.retain(|copy| copy.last_sequence == i64::from(seed::MESSAGES));
        anyhow::ensure!(!chatrooms.is_empty(), "the copies are not listed");
        Ok(Self { member, chatrooms })
    }

    async fn list(&self, round: usize, steps: &mut Steps) -> anyhow::Result<()> {
        let chatroom = &self.chatrooms[round % self.chatrooms.len()];
        let request = ListMessagesRequest {
            chatroom_id: chatroom.chatroom_id.clone(),
            ..Default::default()
        };
        let mut chat = self.member.caller.chat.clone();
        let begin = Instant::now();
        let page = chat.list_messages(request).await?.into_inner();
        steps.messages.record(begin.elapsed());
        let begin = Instant::now();
        let listed = chat.list_chatrooms(ListChatroomsRequest::default()).await?;
        steps.chatrooms.record(begin.elapsed());
        anyhow::ensure!(
            page.messages.len() == 50 && listed.into_inner().chatrooms.len() == 50,
            "a page has 50 entries where there are as many"
        );
        Ok(())
    }
}

impl Steps {
    fn report(&self, report: &Report, rows: u32) -> anyhow::Result<()> {
        for (name, latencies) in [
            ("list_messages", &self.messages),
            ("list_chatrooms", &self.chatrooms),
        ] {
            let name = format!("{name}.p50_{rows}");
            report.figure(&name, latencies.millis_at(0.5), "ms")?;
        }
        Ok(())
    }
}
