//! What all work on images shares: their files, and how much of it there is at once.

use std::{sync::Arc, time::Duration};

use domain::id::{BrandId, ImageId};
use kit::error::CallError;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use tokio_util::bytes::Bytes;

use super::App;
use crate::{
    error::ChatError,
    image_files::{ImageFiles, Variant},
    model::Image,
    rewriting::{self, MAX_PIXEL_BYTES, Rewritten},
    store::images,
};

/// How many uploads are received at once; each holds what has come of its image, at most 10 MiB.
const UPLOADS_AT_ONCE: usize = 32;
/// When who finds no place may try again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// An image counts as no less, so that not more than four are decoded at once.
const MIN_PIXEL_BYTES: u64 = MAX_PIXEL_BYTES / 4;
const MIB: u64 = 1_024 * 1_024;
/// How much of an image is told at once.
pub(super) const CHUNK_BYTES: u64 = 256 * 1_024;

/// The images; clones share them.
#[derive(Clone)]
pub(crate) struct Images {
    /// Where their bytes are.
    pub files: ImageFiles,
    uploads: Arc<Semaphore>,
    /// In MiB of pixels, enough for the largest image.
    pixels: Arc<Semaphore>,
}

/// A place among the uploads that are received; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct UploadPlace {
    _permit: OwnedSemaphorePermit,
}

impl Images {
    pub(crate) fn new(files: ImageFiles) -> Self {
        Self {
            files,
            uploads: Arc::new(Semaphore::new(UPLOADS_AT_ONCE)),
            pixels: Arc::new(Semaphore::new(permits(MAX_PIXEL_BYTES) as usize)),
        }
    }

    /// Returns a place for an upload.
    ///
    /// # Errors
    ///
    /// [`ChatError::UploadsOverloaded`] when too many are received.
    pub(super) fn take_place(&self) -> Result<UploadPlace, ChatError> {
        let full = |_| ChatError::UploadsOverloaded {
            retry_delay: RETRY_DELAY,
        };
        let permit = Arc::clone(&self.uploads)
            .try_acquire_owned()
            .map_err(full)?;
        Ok(UploadPlace { _permit: permit })
    }

    /// Returns an image as it is kept. It waits until there is memory for its pixels.
    ///
    /// # Errors
    ///
    /// [`ChatError::ImageRefused`], [`ChatError::ImageTooLarge`].
    pub(super) async fn rewrite(&self, bytes: Vec<u8>) -> Result<Rewritten, ChatError> {
        let bytes = Arc::new(bytes);
        let header = Arc::clone(&bytes);
        let needed = spawn_blocking(move || rewriting::pixel_bytes(&header))
            .await
            .map_err(defect)??;
        let permit = Arc::clone(&self.pixels)
            .acquire_many_owned(permits(needed.max(MIN_PIXEL_BYTES)))
            .await
            .map_err(defect)?;
        let rewritten = spawn_blocking(move || {
            // Held until the work is done, also when nobody waits for it any more.
            let _permit = permit;
            rewriting::rewrite(&bytes)
        });
        Ok(rewritten.await.map_err(defect)??)
    }
}

impl App {
    /// Returns the piece of an image's file that begins at `offset`, or `None` at its end.
    ///
    /// # Errors
    ///
    /// [`ChatError::ImageNotFound`] when it has been erased, or its file was lost;
    /// [`ChatError::ImagesUnavailable`].
    pub(super) async fn next_piece(
        &self,
        brand_id: &BrandId,
        image: &Image,
        variant: Variant,
        offset: u64,
    ) -> Result<Option<Bytes>, ChatError> {
        let size = u64::try_from(image.measures(variant).size_bytes).unwrap_or(0);
        if offset >= size {
            return Ok(None);
        }
        let range = offset..size.min(offset + CHUNK_BYTES);
        let files = &self.images.files;
        if let Some(piece) = files.read(brand_id, image.id, variant, range).await? {
            return Ok(Some(piece));
        }
        // Files go before their row: where that is still there, an erasure is under way, or nobody here
        // has deleted the file.
        let mut connection = self.db.read().await?;
        if images::find(&mut connection, brand_id, image.id)
            .await?
            .is_some()
        {
            tracing::warn!(image.id = %image.id, "an image has a row and no file");
        }
        Err(ChatError::ImageNotFound)
    }

    /// Deletes files that no row will ever name; what fails is left to the sweep.
    pub(super) async fn discard(&self, brand_id: &BrandId, image_id: ImageId) {
        if let Err(error) = self.images.files.delete(brand_id, image_id).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, image.id = %image_id, "files of an image are left for the sweep");
        }
    }
}

fn permits(pixel_bytes: u64) -> u32 {
    u32::try_from(pixel_bytes.div_ceil(MIB)).unwrap_or(u32::MAX)
}

/// Neither does a decoder panic nor is a semaphore closed.
pub(super) fn defect(error: impl std::error::Error + Send + Sync + 'static) -> CallError {
    CallError::Internal(Box::new(error))
}
