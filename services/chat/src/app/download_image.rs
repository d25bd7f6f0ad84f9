//! Telling an image to whoever sees its chatroom.

use domain::id::{BrandId, ImageId};
use kit::parts::Parts;
use tokio_util::bytes::Bytes;

use super::{App, Caller, seen};
use crate::{error::ChatError, image_files::Variant, model::Image, store::images};

/// A part of an image that is told.
#[derive(Debug)]
pub(crate) enum Downloaded {
    /// What it is; first, and once.
    Header(Image, Variant),
    /// The next bytes.
    Piece(Bytes),
}

impl App {
    /// Returns an image whose chatroom the caller sees.
    ///
    /// # Errors
    ///
    /// [`ChatError::ImageNotFound`] when there is none, or he does not see its chatroom;
    /// [`CallError::ConsistencyUnavailable`](kit::error::CallError).
    ///
    /// Source: SPEC 31.
    pub(crate) async fn get_image(&self, caller: &Caller, id: ImageId) -> Result<Image, ChatError> {
        self.catch_up(caller).await?;
        let mut connection = self.db.read().await?;
        let brand_id = &caller.brand_id;
        let found = images::find(&mut connection, brand_id, id).await?;
        let image = found.ok_or(ChatError::ImageNotFound)?;
        match seen::find(&mut connection, brand_id, caller.party, image.chatroom_id).await {
            Ok(_) => Ok(image),
            Err(ChatError::ChatroomNotFound { .. }) => Err(ChatError::ImageNotFound),
            Err(error) => Err(error),
        }
    }

    /// Tells an image that the caller has just been seen to see, at the reader's pace.
    ///
    /// # Errors
    ///
    /// [`ChatError::ImageNotFound`] when it is erased meanwhile; [`ChatError::ImagesUnavailable`].
    pub(crate) async fn download_image(
        &self,
        brand_id: &BrandId,
        image: Image,
        variant: Variant,
        parts: &Parts<Downloaded>,
    ) -> Result<(), ChatError> {
        parts.send(Downloaded::Header(image.clone(), variant)).await;
        let mut offset = 0;
        while let Some(piece) = self.next_piece(brand_id, &image, variant, offset).await? {
            offset += piece.len() as u64;
            parts.send(Downloaded::Piece(piece)).await;
        }
        Ok(())
    }
}
