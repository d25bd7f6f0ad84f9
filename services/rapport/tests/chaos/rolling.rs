//! A new release: every process is ended by SIGTERM and started anew, one after the other, under load. No call
//! fails; who listens is sent to another replica, goes on where he was, and misses nothing.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use rapport::client::{
    Channels,
    shop::{Shop, ShopMember},
    wait_until,
};
use rapport_proto::{
    chat::v1::{WatchChatroomsRequest, watch_chatrooms_response::Update},
    identity::v1::MergePolicyPreset,
};
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    AFTERWARDS, BEFORE, CALLERS,
    checks::{self, Ledger},
    load::Load,
    stack::Stack,
    story::Story,
    work,
};

/// To each service; callers take turns among them.
const CONNECTIONS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call_and_streams_go_on() {
    Box::pin(roll()).await.unwrap();
}

async fn roll() -> anyhow::Result<()> {
    let mut stack = Stack::start_balanced().await?;
    let channels = stack.balanced_channels(CONNECTIONS)?;
    let shop = Shop::open(&channels, &stack.operator_token()?, "shop").await?;
    shop.set_merge_policy(MergePolicyPreset::AlwaysLinked)
        .await?;
    let load = Load::prepare_strictly(&channels, &shop).await?;
    let heard = load.members.each_ref().map(|_| Heard::default());
    let stories = {
        let listening = try_join_all(
            load.members
                .iter()
                .zip(&heard)
                .map(|(member, heard)| heard.listen(&channels, member)),
        );
        let playing = play(&mut stack, &load, &heard);
        tokio::select! {
            listened = listening => {
                listened?;
                unreachable!("streams are resumed as long as somebody plays")
            }
            played = playing => played?,
        }
    };
    for heard in &heard {
        let endings = heard.endings.load(Ordering::SeqCst);
        ensure!(
            endings > 0,
            "a stream outlives the replica that it came from"
        );
    }
    println!(
        "{} calls answered, {} of them at the second try",
        load.answered(),
        load.tries() - load.answered()
    );
    checks::check(&stack, &load, &stories, &mut Ledger::default()).await
}

/// Plays stories, restarts everything meanwhile, and waits until the Members have heard all that they were told.
async fn play(stack: &mut Stack, load: &Load, heard: &[Heard; 2]) -> anyhow::Result<Vec<Story>> {
    let workers = try_join_all((0..CALLERS).map(|caller| work(load, caller)));
    let restarts = async {
        for index in 0..stack.process_count() {
            load.wait_for_answers(BEFORE).await?;
            stack.restart(index).await?;
        }
        load.wait_for_answers(AFTERWARDS).await?;
        load.end();
        anyhow::Ok(())
    };
    let (stories, ()) = tokio::try_join!(workers, restarts)?;
    let stories: Vec<Story> = stories.into_iter().flatten().collect();
    for (member, heard) in heard.iter().enumerate() {
        let rooms = stories.iter().flat_map(|story| &story.chatrooms);
        let own = rooms.filter(|room| room.member == member);
        let ids = own.flat_map(|room| &room.messages).map(|sent| &sent.id);
        let expected: BTreeSet<String> = ids.cloned().collect();
        let all = wait_until("the Member has heard all", async || {
            Ok(heard
                .messages
                .lock()
                .expect("nobody panics with it")
                .is_superset(&expected)
                .then_some(()))
        });
        all.await?;
        ensure!(!expected.is_empty(), "a Member was told nothing");
    }
    Ok(stories)
}

/// What a Member has heard on a stream that he resumes for as long as he listens.
#[derive(Default)]
struct Heard {
    /// By id; a message may be told twice.
    messages: Mutex<BTreeSet<String>>,
    /// How often he was sent to another replica.
    endings: AtomicUsize,
}

impl Heard {
    /// Listens until something goes wrong.
    async fn listen(&self, channels: &Channels, member: &ShopMember) -> anyhow::Result<()> {
        let policy = kit::retry::RetryBudget::new("chat");
        let mut resume_position = String::new();
        loop {
            let caller = channels.caller(&member.access_token)?;
            let request = WatchChatroomsRequest {
                resume_position: resume_position.clone(),
                ..Default::default()
            };
            let stream = policy.call(|| {
                let (mut chat, request) = (caller.chat.clone(), request.clone());
                async move { chat.watch_chatrooms(request).await }
            });
            let mut stream = stream.await?.into_inner();
            let status = loop {
                let told = match stream.message().await {
                    Ok(told) => told.context("a stream does not end without a word")?,
                    Err(status) => break status,
                };
                if let Some(Update::Message(message)) = told.update {
                    self.messages
                        .lock()
                        .expect("nobody panics with it")
                        .insert(message.message_id);
                }
                resume_position = told.position;
            };
            let reason = status.get_details_error_info().map(|info| info.reason);
            ensure!(
                (status.code(), reason.as_deref()) == (Code::Unavailable, Some("SHUTTING_DOWN")),
                "{status:?}"
            );
            self.endings.fetch_add(1, Ordering::SeqCst);
        }
    }
}
