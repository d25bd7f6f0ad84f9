//! The use cases: each loads facts, lets `domain` decide, and applies what it decided, with its
//! event, in one transaction.
//!
//! Nothing here knows the wire or SQL. Clock and ids are read before a transaction begins and
//! handed in, since its body may run more than once.

mod append;
mod appender;
mod caller;
mod download_image;
pub(crate) mod erase_person;
mod export_person;
mod images;
mod list_chatrooms;
mod list_messages;
mod list_person_messages;
mod mark_read;
mod memory;
mod open_direct;
mod phygital;
mod rate;
mod read_chatroom;
mod seen;
mod send_message;
mod set_archived;
mod set_blocked;
pub(crate) mod sweep_images;
mod upload_image;
mod view;
mod watch;

use chrono::{DateTime, Utc};
use domain::id::{AccountId, BrandId};
use kit::{
    access::SuiteChannel,
    clock::Clock,
    consistency::ConsistencyToken,
    db::{Connection, Db},
    directory::{self, accounts, links},
    error::CallError,
    ids::Ids,
    limit::Limits,
    request::{RequestKey, RequestKeys},
};
use prost::Message;
use rapport_proto::identity::v1::link_service_client::LinkServiceClient;

use crate::error::ChatError;

pub(crate) use appender::Appender;
pub(crate) use caller::{Caller, Party};
pub(crate) use download_image::Downloaded;
pub(crate) use erase_person::ErasePerson;
pub(crate) use export_person::Exported;
pub(crate) use images::Images;
pub(crate) use list_chatrooms::{ArchivedFilter, ListChatrooms};
pub(crate) use list_messages::{ListMessages, MessageOrder};
pub(crate) use list_person_messages::ListPersonMessages;
pub(crate) use mark_read::MarkRead;
pub(crate) use open_direct::OpenDirect;
pub(crate) use phygital::StartPhygital;
pub(crate) use rate::AnswerRating;
pub(crate) use send_message::SendMessage;
pub(crate) use set_archived::SetArchived;
pub(crate) use set_blocked::SetBlocked;
pub(crate) use upload_image::UploadImage;
pub(crate) use view::ChatroomView;
pub(crate) use watch::{Live, Told, Update, WINDOW_LENGTH, Watch, run as follow_changes};

/// What the use cases work with; clones share it.
#[derive(Clone)]
pub(crate) struct App {
    /// The service's database.
    pub db: Db,
    /// The present.
    pub clock: Clock,
    /// Where new ids come from.
    pub ids: Ids,
    /// Who is asked where the directory is behind.
    pub identity: LinkServiceClient<SuiteChannel>,
    /// Makes the keys of repeatable calls.
    pub request_keys: RequestKeys,
    /// Where messages are handed in.
    pub appender: Appender,
    /// How often somebody may make or take a code, or upload an image.
    pub limits: Limits,
    /// Where changes of chatrooms are told.
    pub live: Live,
    /// Where images are.
    pub images: Images,
}

/// What a transaction needs that carries out a command in a chatroom; everything that it must not make
/// itself.
struct Input<Command> {
    brand_id: BrandId,
    party: Party,
    command: Command,
    now: DateTime<Utc>,
}

impl App {
    /// Returns what carries out `command` for the caller, once all is known here that he has been told.
    async fn input<Command>(
        &self,
        caller: &Caller,
        command: Command,
    ) -> Result<Input<Command>, ChatError> {
        self.catch_up(caller).await?;
        Ok(Input {
            brand_id: caller.brand_id.clone(),
            party: caller.party,
            command,
            now: self.clock.now(),
        })
    }

    /// Returns what makes two calls of this caller the same call (SPEC 61).
    pub(crate) fn request_key(
        &self,
        caller: &Caller,
        method: &'static str,
        request_id: &str,
        body: &impl Message,
    ) -> Result<RequestKey, CallError> {
        let (brand_id, name) = (caller.brand_id.clone(), caller.name.clone());
        self.request_keys
            .key(brand_id, name, method, request_id, body)
    }

    /// Brings what is known of identity up to what the caller has already been told by it (SPEC 54).
    ///
    /// Asks identity at most once. An account that identity does not know either stays unknown, and
    /// is then found nowhere.
    ///
    /// # Errors
    ///
    /// [`CallError::ConsistencyUnavailable`] when identity does not answer, or does not know of that
    /// sign-in.
    async fn catch_up(&self, caller: &Caller) -> Result<(), ChatError> {
        let Some(needed) = caller.needed else {
            return Ok(());
        };
        if self.knows(&caller.brand_id, needed).await? {
            return Ok(());
        }
        let (brand_id, account_id) = (&caller.brand_id, needed.account_id);
        let found = directory::refresh(&self.db, &self.identity, brand_id, account_id)
            .await
            .map_err(|error| match error {
                CallError::IdentityUnavailable => CallError::ConsistencyUnavailable,
                error => error,
            })?;
        let stays_unknown = !found && needed.link_revision == 0;
        if stays_unknown || self.knows(brand_id, needed).await? {
            Ok(())
        } else {
            Err(CallError::ConsistencyUnavailable.into())
        }
    }

    async fn knows(&self, brand_id: &BrandId, needed: ConsistencyToken) -> Result<bool, ChatError> {
        let mut connection = self.db.read().await?;
        let account_id = needed.account_id;
        if !exists(&mut connection, brand_id, account_id).await? {
            return Ok(false);
        }
        if needed.link_revision == 0 {
            return Ok(true);
        }
        let known = links::known_revision(&mut connection, brand_id, account_id).await?;
        Ok(known >= needed.link_revision)
    }
}

async fn exists(
    connection: &mut Connection,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<bool, ChatError> {
    let account = accounts::find(connection, brand_id, account_id).await?;
    Ok(account.is_some())
}

#[cfg(test)]
mod tests;
