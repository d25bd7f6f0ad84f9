//! Erasing what was said with a person (SPEC 55).
//!
//! Chat learns of an erasure from identity's event or from its call, whichever comes first. Either
//! marks the accounts as erased, and from then on nobody writes into their chatrooms; only then is
//! cleared what was written before, in small transactions:
//!
//! 1. The mark stands in the chatroom's row, which whoever writes a message looks at once he has its
//!    lock. So he sees the mark, or has written before it was made.
//! 2. Each step locks a chatroom, clears some messages, of both sides, and counts them.
//! 3. The chatroom's images follow: their files, then their rows.
//! 4. When a look at every chatroom has found nothing more, the account is complete.
//!
//! A crash leaves an account that is not complete, and [`run`] goes on with it. So does a database put
//! back from an older copy: it reads identity's log again, and is marked and cleared again.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use domain::id::{AccountId, BrandId, ChatroomId, ErasureId, ImageId};
use kit::{
    backoff::Backoff,
    convert::timestamp,
    db::{Connection, StoreError},
    directory::accounts,
    error::CallError,
    request::{self, RequestKey},
};
use prost::Message as _;
use rapport_proto::chat::v1 as chat;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::{
    convert::number,
    error::ChatError,
    store::{
        account_erasures,
        chatroom_changes::{self, Change},
        chatrooms, images, messages,
    },
};

/// How many messages one transaction clears: few enough that a sender hardly waits for the chatroom.
const STEP: i64 = 200;
/// How many images one transaction deletes, after their files.
const IMAGE_STEP: i64 = 20;
/// How many steps one call takes before it answers that it is not complete.
const STEPS_OF_A_CALL: usize = 50;
/// How many accounts are looked for at a time.
const PAGE: i64 = 100;
/// How soon is looked for what another replica has learnt of.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Identity wants a person erased.
#[derive(Clone, Debug)]
pub(crate) struct ErasePerson {
    pub brand_id: BrandId,
    pub erasure_id: ErasureId,
    /// All accounts of the person.
    pub account_ids: Vec<AccountId>,
    /// What makes the call repeatable.
    pub key: RequestKey,
}

struct Step {
    brand_id: BrandId,
    account_id: AccountId,
    chatroom_id: ChatroomId,
    /// The last sequence of the step before.
    after: u64,
    now: DateTime<Utc>,
}

impl App {
    /// Marks a person's accounts as erased and clears what it can in a bounded time.
    ///
    /// # Errors
    ///
    /// A reused request id; what the database fails with.
    pub(crate) async fn erase_person(
        &self,
        command: ErasePerson,
    ) -> Result<chat::ErasePersonResponse, ChatError> {
        let input = (command.clone(), self.clock.now());
        let begun = self.db.run_tx("begin_erasure", input, |c, (command, now)| {
            Box::pin(begin(c, command, *now))
        });
        if let Some(kept) = begun.await? {
            return Ok(kept);
        }
        let mut steps = STEPS_OF_A_CALL;
        for account_id in &command.account_ids {
            self.clear_account(&command.brand_id, *account_id, &mut steps)
                .await?;
        }
        let input = (command, self.clock.now());
        self.db
            .run_tx("answer_erasure", input, |c, (command, now)| {
                Box::pin(answer(c, command, *now))
            })
            .await
    }

    /// Clears the chatrooms of an erased account, as far as `steps` reach.
    async fn clear_account(
        &self,
        brand_id: &BrandId,
        account_id: AccountId,
        steps: &mut usize,
    ) -> Result<(), ChatError> {
        for chatroom_id in self.chatrooms_of(brand_id, account_id).await? {
            let mut after = 0;
            loop {
                let Some(left) = steps.checked_sub(1) else {
                    return Ok(());
                };
                *steps = left;
                let step = Step {
                    brand_id: brand_id.clone(),
                    account_id,
                    chatroom_id,
                    after,
                    now: self.clock.now(),
                };
                let cleared = self
                    .db
                    .run_locked_tx("clear_messages", step, |c, step| Box::pin(clear(c, step)));
                match cleared.await? {
                    Some(last) => after = last,
                    None => break,
                }
            }
            let account = (brand_id, account_id);
            if !self.delete_images(account, chatroom_id, steps).await? {
                return Ok(());
            }
        }
        self.db.empty_log().await?;
        let input = (brand_id.clone(), account_id, self.clock.now());
        self.db
            .run_tx(
                "complete_erasure",
                input,
                |c, (brand_id, account_id, now)| Box::pin(complete(c, brand_id, *account_id, *now)),
            )
            .await
    }

    /// Deletes the images of a chatroom, the files before the rows, so that a crash leaves rows by
    /// which to go on; returns whether none is left. The chatroom has been locked since the account
    /// was marked, so no more come.
    async fn delete_images(
        &self,
        (brand_id, account_id): (&BrandId, AccountId),
        chatroom_id: ChatroomId,
        steps: &mut usize,
    ) -> Result<bool, ChatError> {
        loop {
            let some = {
                let mut connection = self.db.read().await?;
                images::list_after(&mut connection, brand_id, chatroom_id, None, IMAGE_STEP).await?
            };
            if some.is_empty() {
                return Ok(true);
            }
            let Some(left) = steps.checked_sub(1) else {
                return Ok(false);
            };
            *steps = left;
            let ids: Vec<ImageId> = some.iter().map(|image| image.id).collect();
            for id in &ids {
                self.images.files.delete(brand_id, *id).await?;
            }
            let input = (brand_id.clone(), account_id, ids);
            self.db
                .run_locked_tx("delete_images", input, |c, (brand_id, account_id, ids)| {
                    Box::pin(delete(c, brand_id, *account_id, ids))
                })
                .await?;
        }
    }

    async fn chatrooms_of(
        &self,
        brand_id: &BrandId,
        account_id: AccountId,
    ) -> Result<Vec<ChatroomId>, ChatError> {
        let mut connection = self.db.read().await?;
        let theirs = chatrooms::list_by_accounts(&mut connection, brand_id, &[account_id]).await?;
        Ok(theirs.iter().map(|chatroom| chatroom.id).collect())
    }

    /// Goes on with every erasure that is not complete; returns whether all are now.
    pub(super) async fn go_on(&self) -> Result<bool, ChatError> {
        let running = {
            let mut connection = self.db.read().await?;
            account_erasures::list_running(&mut connection, PAGE).await?
        };
        let mut all = running.is_empty();
        for (brand_id, account_id) in running {
            let mut steps = usize::MAX;
            self.clear_account(&brand_id, account_id, &mut steps)
                .await?;
            all = false;
        }
        Ok(all)
    }
}

/// Clears the messages of erased accounts until `shutdown`, also of those that only an event has told
/// of: looks when it is woken, and every five seconds.
pub(crate) async fn run(app: App, wake: Arc<Notify>, shutdown: CancellationToken) {
    let mut backoff = Backoff::new();
    loop {
        let went = tokio::select! {
            () = shutdown.cancelled() => return,
            went = app.go_on() => went,
        };
        let pause = match went {
            Ok(false) => {
                backoff.reset();
                continue;
            }
            Ok(true) => LOOK_INTERVAL,
            Err(error) => {
                let pause = backoff.wait();
                let retry_ms = pause.as_millis();
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, retry_ms, "erasure does not go on, trying again");
                pause
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Begins to erase an account in the transaction that learns of it.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn begin_account(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    erasure_id: ErasureId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    accounts::mark_erased(connection, brand_id, account_id, now).await?;
    chatrooms::update_visitor_erased(connection, brand_id, account_id).await?;
    account_erasures::insert(connection, brand_id, account_id, erasure_id, now).await?;
    let change = Change::of_person(brand_id, account_id, now);
    chatroom_changes::append(connection, &[change]).await
}

/// Returns the answer that was given to this very request, if one was.
async fn begin(
    connection: &mut Connection,
    command: &ErasePerson,
    now: DateTime<Utc>,
) -> Result<Option<chat::ErasePersonResponse>, ChatError> {
    if let Some(kept) = request::find(connection, &command.key).await? {
        let kept = chat::ErasePersonResponse::decode(kept.as_slice());
        let corrupt = |_| StoreError::Corrupt {
            what: "request.response",
        };
        return Ok(Some(kept.map_err(corrupt)?));
    }
    for account_id in &command.account_ids {
        let (brand_id, erasure_id) = (&command.brand_id, command.erasure_id);
        begin_account(connection, brand_id, *account_id, erasure_id, now).await?;
    }
    Ok(None)
}

/// Returns the last sequence that was cleared, or `None` where nothing is left.
async fn clear(connection: &mut Connection, step: &Step) -> Result<Option<u64>, ChatError> {
    let Step {
        brand_id,
        account_id,
        chatroom_id,
        ..
    } = step;
    let Some(chatroom) = chatrooms::lock(connection, brand_id, *chatroom_id).await? else {
        return Ok(None);
    };
    let (after, now) = (step.after, step.now);
    let cleared = messages::clear(connection, brand_id, *chatroom_id, after, STEP, now).await?;
    let Some(last) = cleared.last().copied() else {
        return Ok(None);
    };
    let count = u64::try_from(cleared.len()).unwrap_or(u64::MAX);
    account_erasures::add_messages(connection, brand_id, *account_id, count).await?;
    let change = |sequence| Change::of_message(brand_id, &chatroom, sequence, now);
    let changes: Vec<Change> = cleared.into_iter().map(change).collect();
    chatroom_changes::append(connection, &changes).await?;
    Ok(Some(last))
}

async fn delete(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    ids: &[ImageId],
) -> Result<(), ChatError> {
    let count = images::delete(connection, brand_id, ids).await?;
    Ok(account_erasures::add_images(connection, brand_id, account_id, count).await?)
}

/// What the account's own calls would need to be repeated goes too; nobody is left to repeat one.
async fn complete(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
    now: DateTime<Utc>,
) -> Result<(), ChatError> {
    request::forget_all_of(connection, brand_id, &format!("account/{account_id}")).await?;
    Ok(account_erasures::complete(connection, brand_id, account_id, now).await?)
}

async fn answer(
    connection: &mut Connection,
    command: &ErasePerson,
    now: DateTime<Utc>,
) -> Result<chat::ErasePersonResponse, ChatError> {
    let accounts = &command.account_ids;
    let progress = account_erasures::list_progress(connection, &command.brand_id, accounts).await?;
    let complete = progress.iter().all(|one| one.complete_time.is_some());
    let last = progress.iter().filter_map(|one| one.complete_time).max();
    let messages = progress.iter().map(|one| one.message_count).sum();
    let images = progress.iter().map(|one| one.image_count).sum();
    let response = chat::ErasePersonResponse {
        complete,
        complete_time: last.filter(|_| complete).map(timestamp),
        message_count: number(messages),
        image_count: number(images),
    };
    match request::keep(connection, &command.key, response.encode_to_vec(), now).await {
        Ok(()) => Ok(response),
        Err(error) => Err(CallError::from(error).into()),
    }
}
