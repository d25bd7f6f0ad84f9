//! Meeting in person: a Member shows a code, and the visitor's own session redeems it (SPEC 34).

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    id::{AccountId, ChatroomId, EventId, MessageId},
    instant,
    message::MessageOrigin,
};
use kit::{
    db::{Connection, StoreError},
    directory::{accounts, members},
    error::CallError,
    limit::Subject,
    request::{self, RequestKey},
    secret,
};
use prost::Message as _;
use rapport_proto::chat::v1 as chat;
use secrecy::{ExposeSecret, SecretString};

use super::{
    App, Caller, ChatroomView, Party, SendMessage,
    append::{self, Appended, Draft},
    open_direct::{self, NewChatroom},
    seen, view,
};
use crate::{
    content::Content,
    error::ChatError,
    model::Message,
    store::{
        messages,
        phygital_codes::{self, Code},
    },
};

/// How long a code is good for.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// What the visitor's first message says. It is evidence, and so a text (SPEC 39); that it was written
/// for him is told by its origin, by which a widget puts it into words of its own.
const FIRST_MESSAGE: &str = "We met in person.";

/// A Member asks for a code.
#[derive(Debug)]
pub(crate) struct IssuedCode {
    /// The code; it is kept nowhere.
    pub code: SecretString,
    /// From when on it is refused.
    pub expire_time: DateTime<Utc>,
}

/// A visitor redeems a code.
#[derive(Clone, Debug)]
pub(crate) struct StartPhygital {
    /// What stands for the code.
    pub code_digest: [u8; 32],
    /// What makes the call repeatable.
    pub key: RequestKey,
}

/// What a visitor gets for a code.
#[derive(Debug)]
pub(crate) struct Started {
    /// The chatroom with the Member.
    pub chatroom: ChatroomView,
    /// The message that was written for the visitor.
    pub message: Message,
    /// Whether the chatroom was made.
    pub created: bool,
}

struct Issue {
    caller: Caller,
    key: RequestKey,
    digest: [u8; 32],
    code: Code,
    now: DateTime<Utc>,
}

struct Start {
    caller: Caller,
    account_id: AccountId,
    command: StartPhygital,
    chatroom_id: ChatroomId,
    opened_event_id: EventId,
    message_id: MessageId,
    event_id: EventId,
    now: DateTime<Utc>,
}

/// What a repeated call finds again.
type Kept = (ChatroomId, MessageId, bool);

impl App {
    /// Returns a new code of the Member who calls.
    ///
    /// The code is a secret, and so no call repeats it. Codes of his that have expired are deleted.
    ///
    /// # Errors
    ///
    /// [`CallError::RequestIdReused`], also for the same call again; [`CallError::RateLimited`].
    ///
    /// Source: SPEC 34, 61.
    pub(crate) async fn issue_phygital_code(
        &self,
        caller: Caller,
        key: RequestKey,
    ) -> Result<IssuedCode, ChatError> {
        let Party::Member(member_id) = caller.party else {
            return Err(CallError::PermissionDenied.into());
        };
        let subject = Subject::Caller(&caller.name);
        self.limits.check_account(&caller.brand_id, subject)?;
        let (code, now) = (secret::random_code(), self.clock.now());
        let expire_time = instant::after(now, LIFETIME);
        let input = Issue {
            caller,
            key,
            digest: secret::token_digest(code.expose_secret()),
            code: Code {
                member_id,
                expire_time,
                redeem_time: None,
            },
            now,
        };
        self.db
            .run_locked_tx("issue_phygital_code", input, |connection, input| {
                Box::pin(issue(connection, input))
            })
            .await?;
        Ok(IssuedCode { code, expire_time })
    }

    /// Redeems a code: opens the chatroom of the caller's person and the Member whose it is, and
    /// writes the visitor's first message; a repeated call returns both again.
    ///
    /// Chatroom, message and redemption are one transaction. Of two visitors who redeem one code at
    /// once the second waits for the first, and is refused like one whose code does not exist.
    ///
    /// # Errors
    ///
    /// [`ChatError::PhygitalCodeRefused`]: unknown, expired, redeemed or another Brand's;
    /// [`ChatError::ChatroomBlocked`], [`ChatError::MemberDeactivated`],
    /// [`ChatError::AccountNotFound`], [`ChatError::AccountErased`], after which the code is still
    /// good; [`CallError::RateLimited`]; [`CallError::ConsistencyUnavailable`]; a reused request id.
    ///
    /// Source: SPEC 23, 34.
    pub(crate) async fn start_phygital(
        &self,
        caller: Caller,
        command: StartPhygital,
    ) -> Result<Started, ChatError> {
        let (Party::Temporary(account_id) | Party::Person(account_id)) = caller.party else {
            return Err(CallError::PermissionDenied.into());
        };
        let subject = Subject::Caller(&caller.name);
        self.limits.check_account(&caller.brand_id, subject)?;
        self.catch_up(&caller).await?;
        let (brand_id, party) = (caller.brand_id.clone(), caller.party);
        let input = Start {
            // What was needed is known now, and what is known only grows.
            caller: Caller {
                needed: None,
                ..caller
            },
            account_id,
            command,
            chatroom_id: self.ids.next(),
            opened_event_id: self.ids.next(),
            message_id: self.ids.next(),
            event_id: self.ids.next(),
            now: self.clock.now(),
        };
        let (id, message_id, created) = self
            .db
            .run_tx("start_phygital_chatroom", input, |connection, input| {
                Box::pin(start(connection, input))
            })
            .await?;
        let mut connection = self.db.read().await?;
        let found = seen::find(&mut connection, &brand_id, party, id).await?;
        let chatroom = view::view(&mut connection, &brand_id, party.side(), found).await?;
        let message = messages::find(&mut connection, &brand_id, id, message_id).await?;
        Ok(Started {
            chatroom,
            message: message.ok_or(ChatError::MessageNotFound { message_id })?,
            created,
        })
    }
}

async fn issue(connection: &mut Connection, input: &Issue) -> Result<(), ChatError> {
    let Issue {
        caller, code, now, ..
    } = input;
    let kept = request::claim(connection, &input.key, Vec::new(), *now).await?;
    if kept.is_some() {
        return Err(CallError::RequestIdReused.into());
    }
    let brand_id = &caller.brand_id;
    phygital_codes::delete_expired(connection, brand_id, code.member_id, *now).await?;
    Ok(phygital_codes::insert(connection, brand_id, &input.digest, code, *now).await?)
}

async fn start(connection: &mut Connection, input: &Start) -> Result<Kept, ChatError> {
    let Start {
        caller,
        command,
        now,
        ..
    } = input;
    let (brand_id, digest) = (&caller.brand_id, &command.code_digest);
    let code = phygital_codes::lock(connection, brand_id, digest).await?;
    if let Some(kept) = request::find(connection, &command.key).await? {
        return kept_answer(&kept);
    }
    let code = code.filter(|code| code.redeem_time.is_none() && *now < code.expire_time);
    let code = code.ok_or(ChatError::PhygitalCodeRefused)?;
    open_direct::refuse_missing(connection, brand_id, input.account_id).await?;
    let missing = ChatError::AccountNotFound {
        account_id: input.account_id,
    };
    let person = seen::person(connection, brand_id, caller.party).await?;
    let person = person.ok_or(missing)?;
    // Of a Member who has issued a code nothing may have been heard yet; he is active then.
    let member_id = code.member_id;
    let active = members::find_active(connection, brand_id, member_id).await? != Some(false);
    let new = NewChatroom {
        id: input.chatroom_id,
        member_id,
        event_id: input.opened_event_id,
        cause: command.key.request_id(),
        now: *now,
    };
    let (chatroom, created) =
        open_direct::find_or_create(connection, brand_id, &person, active, &new).await?;
    // An erasure marks the account before it looks for its chatrooms: it waits here, and finds this
    // one and the message, or it came first and is seen by what follows.
    accounts::lock(connection, brand_id, chatroom.account_id).await?;
    write_first(connection, input, chatroom.id).await?;
    phygital_codes::redeem(connection, brand_id, digest, *now).await?;
    let answer = (chatroom.id, input.message_id, created);
    request::keep(connection, &command.key, to_kept(answer), *now).await?;
    Ok(answer)
}

async fn write_first(
    connection: &mut Connection,
    input: &Start,
    chatroom_id: ChatroomId,
) -> Result<(), ChatError> {
    let draft = Draft {
        caller: input.caller.clone(),
        command: SendMessage {
            chatroom_id,
            message_id: input.message_id,
            content: Content::text(FIRST_MESSAGE),
            origin: MessageOrigin::Phygital,
        },
        event_id: input.event_id,
        now: input.now,
        // That of the transaction, which this call has alone.
        trace_parent: String::new(),
    };
    let (answers, _) = append::append(connection, &[Arc::new(draft)]).await?;
    for answer in answers {
        match answer? {
            Appended::Message(_) => {}
            Appended::Behind => return Err(CallError::ConsistencyUnavailable.into()),
        }
    }
    Ok(())
}

fn to_kept((chatroom_id, message_id, created): Kept) -> Vec<u8> {
    let response = chat::StartPhygitalChatroomResponse {
        chatroom: Some(chat::Chatroom {
            chatroom_id: chatroom_id.to_string(),
            ..Default::default()
        }),
        message: Some(chat::Message {
            message_id: message_id.to_string(),
            ..Default::default()
        }),
        created,
    };
    response.encode_to_vec()
}

fn kept_answer(kept: &[u8]) -> Result<Kept, ChatError> {
    let corrupt = || StoreError::Corrupt {
        what: "request.response",
    };
    let response = chat::StartPhygitalChatroomResponse::decode(kept).map_err(|_| corrupt())?;
    let chatroom = response.chatroom.unwrap_or_default().chatroom_id.parse();
    let message = response.message.unwrap_or_default().message_id.parse();
    match (chatroom, message) {
        (Ok(chatroom), Ok(message)) => Ok((chatroom, message, response.created)),
        _ => Err(corrupt().into()),
    }
}
