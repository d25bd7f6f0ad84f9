//! Taking an image into a chatroom.
//!
//! The files are written first and the row last, in one transaction with what makes the call
//! repeatable. So an upload that breaks off anywhere is one of which nobody knows, and what it has
//! written is deleted: at once, or by the sweep after a crash.

use chrono::{DateTime, Utc};
use domain::id::{BrandId, ChatroomId, ImageId};
use kit::{
    db::{Connection, StoreError, TxError},
    limit::Subject,
    request::{self, RequestKey},
};
use prost::Message as _;
use rapport_proto::chat::v1 as chat;
use tracing::Instrument;

use super::{
    App, Caller, Party,
    append::refuse_unwritable,
    images::{UploadPlace, defect},
    seen,
};
use crate::{
    error::ChatError,
    image_files::Variant,
    model::{Chatroom, Image, Measures},
    rewriting::Rewritten,
    store::{
        appending::{self, Question},
        images,
    },
};

/// Somebody has sent an image.
#[derive(Debug)]
pub(crate) struct UploadImage {
    /// The chatroom.
    pub chatroom_id: ChatroomId,
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// What makes the call repeatable; it covers the bytes.
    pub key: RequestKey,
    /// Its place, which it has until the bytes are worked off.
    pub place: UploadPlace,
}

struct Target {
    brand_id: BrandId,
    party: Party,
    chatroom_id: ChatroomId,
}

struct Input {
    target: Target,
    key: RequestKey,
    image: Image,
    now: DateTime<Utc>,
}

impl App {
    /// Returns a place for an upload that the caller may begin.
    ///
    /// # Errors
    ///
    /// As [`upload_image`](Self::upload_image), before the image is known;
    /// [`ChatError::UploadsOverloaded`], [`CallError::RateLimited`](kit::error::CallError).
    pub(crate) async fn begin_upload(
        &self,
        caller: &Caller,
        chatroom_id: ChatroomId,
    ) -> Result<UploadPlace, ChatError> {
        let participant = Subject::Participant(caller.party.author().id());
        self.limits.check_account(&caller.brand_id, participant)?;
        let place = self.images.take_place()?;
        self.catch_up(caller).await?;
        let target = Target::of(caller, chatroom_id);
        self.db
            .run_locked_tx("begin_upload", target, |connection, target| {
                Box::pin(async move {
                    let chatroom = lock(connection, target).await?;
                    refuse(connection, target, &chatroom).await
                })
            })
            .await?;
        Ok(place)
    }

    /// Keeps an image, and returns it; a repeated upload of the same bytes returns the first one. It
    /// is carried out also when the caller goes away.
    ///
    /// # Errors
    ///
    /// [`ChatError::ImageRefused`], [`ChatError::ImageTooLarge`], [`ChatError::ChatroomNotFound`],
    /// [`ChatError::ChatroomBlocked`], [`ChatError::AccountErased`],
    /// [`ChatError::MemberDeactivated`], [`ChatError::ImagesUnavailable`]; a reused request id.
    ///
    /// Source: SPEC 31.
    pub(crate) async fn upload_image(
        &self,
        caller: Caller,
        command: UploadImage,
    ) -> Result<Image, ChatError> {
        let app = self.clone();
        let keeping = async move { app.keep_image(&caller, command).await };
        let kept = tokio::spawn(keeping.in_current_span());
        kept.await.map_err(defect)?
    }

    async fn keep_image(&self, caller: &Caller, command: UploadImage) -> Result<Image, ChatError> {
        let UploadImage {
            chatroom_id,
            bytes,
            key,
            place: _place,
        } = command;
        let brand_id = &caller.brand_id;
        if let Some(first) = find_first(&mut *self.db.read().await?, brand_id, &key).await? {
            return Ok(first);
        }
        let rewritten = self.images.rewrite(bytes).await?;
        let now = self.clock.now();
        let image = Image {
            id: self.ids.next(),
            chatroom_id,
            uploader: caller.party.author(),
            create_time: now,
            full: Measures::of(&rewritten.full),
            thumbnail: Measures::of(&rewritten.thumbnail),
        };
        let id = image.id;
        let written = self.write_files(brand_id, id, rewritten).await;
        if let Err(error) = written {
            self.discard(brand_id, id).await;
            return Err(error);
        }
        let input = Input {
            target: Target::of(caller, chatroom_id),
            key,
            image,
            now,
        };
        let kept = self
            .db
            .run_locked_tx("keep_image", input, |c, input| Box::pin(keep(c, input)))
            .await;
        let is_kept = match &kept {
            Ok(kept) => kept.id == id,
            // Where the database has failed it may have committed all the same.
            Err(error) => error.store_error().is_some(),
        };
        if !is_kept {
            self.discard(brand_id, id).await;
        }
        kept
    }

    async fn write_files(
        &self,
        brand_id: &BrandId,
        id: ImageId,
        image: Rewritten,
    ) -> Result<(), ChatError> {
        let files = &self.images.files;
        let (full, thumbnail) = (image.full.bytes, image.thumbnail.bytes);
        files.put(brand_id, id, Variant::Full, full).await?;
        files
            .put(brand_id, id, Variant::Thumbnail, thumbnail)
            .await?;
        Ok(())
    }
}

impl Target {
    fn of(caller: &Caller, chatroom_id: ChatroomId) -> Self {
        Self {
            brand_id: caller.brand_id.clone(),
            party: caller.party,
            chatroom_id,
        }
    }
}

async fn lock(connection: &mut Connection, target: &Target) -> Result<Chatroom, ChatError> {
    let (brand_id, party) = (&target.brand_id, target.party);
    seen::lock(connection, brand_id, party, target.chatroom_id).await
}

/// Refuses a chatroom into which the party could not write now; the caller has locked it, so whoever
/// erases it comes before or after.
async fn refuse(
    connection: &mut Connection,
    target: &Target,
    chatroom: &Chatroom,
) -> Result<(), ChatError> {
    let question = Question::of_chatroom((target.brand_id.clone(), chatroom.id));
    let (_, facts) = appending::lock(connection, &[question]).await?;
    for facts in &facts {
        refuse_unwritable(chatroom, facts, target.party)?;
    }
    Ok(())
}

async fn keep(connection: &mut Connection, input: &Input) -> Result<Image, ChatError> {
    let Input {
        target, key, image, ..
    } = input;
    let chatroom = lock(connection, target).await?;
    // Looked for under the lock, so that of two equal uploads at once the second finds the first.
    if let Some(first) = find_first(connection, &target.brand_id, key).await? {
        return Ok(first);
    }
    refuse(connection, target, &chatroom).await?;
    images::insert(connection, &target.brand_id, image).await?;
    let response = chat::UploadImageResponse {
        image: Some(chat::Image {
            image_id: image.id.to_string(),
            ..Default::default()
        }),
    };
    request::keep(connection, key, response.encode_to_vec(), input.now).await?;
    Ok(image.clone())
}

/// Returns the image that this very call has made before.
async fn find_first(
    connection: &mut Connection,
    brand_id: &BrandId,
    key: &RequestKey,
) -> Result<Option<Image>, ChatError> {
    let Some(kept) = request::find(connection, key).await? else {
        return Ok(None);
    };
    let corrupt = || StoreError::Corrupt {
        what: "request.response",
    };
    let response = chat::UploadImageResponse::decode(kept.as_slice()).map_err(|_| corrupt())?;
    let id = response.image.and_then(|image| image.image_id.parse().ok());
    let first = images::find(connection, brand_id, id.ok_or_else(corrupt)?).await?;
    first.map(Some).ok_or(ChatError::ImageNotFound)
}
