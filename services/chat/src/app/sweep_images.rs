//! Deleting files of images that no row names: what is left of an upload that a crash has cut short,
//! or of one that a database put back from an older copy has never heard of.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;
use domain::id::{BrandId, ImageId};
use futures_util::TryStreamExt;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::{error::ChatError, store::images};

/// Far longer than an upload takes from its first file to its row, and long enough for an operator to
/// see that he has started chat on the wrong database.
const AGE: TimeDelta = TimeDelta::days(1);
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How many are looked for at a time.
const PAGE: usize = 500;

/// Sweeps until `shutdown`: at the start, and every hour.
pub(crate) async fn run(app: App, shutdown: CancellationToken) {
    loop {
        let swept = tokio::select! {
            () = shutdown.cancelled() => return,
            swept = app.sweep_images() => swept,
        };
        if let Err(error) = swept {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "files of images are not swept, trying again in an hour"
            );
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

impl App {
    /// Deletes the files that have been there for a day and belong to no image.
    ///
    /// # Errors
    ///
    /// [`ChatError::ImagesUnavailable`]; what the database fails with.
    pub(crate) async fn sweep_images(&self) -> Result<(), ChatError> {
        let files = &self.images.files;
        let time = self.clock.now() - AGE;
        let failed = |error| ChatError::ImagesUnavailable(Box::new(error));
        files.delete_drafts_before(time).await.map_err(failed)?;
        let mut pages = files.list_before(time).try_chunks(PAGE);
        while let Some(page) = pages.try_next().await.map_err(|error| error.1)? {
            let mut brands: BTreeMap<BrandId, Vec<ImageId>> = BTreeMap::new();
            for (brand_id, id) in page {
                brands.entry(brand_id).or_default().push(id);
            }
            for (brand_id, ids) in brands {
                self.sweep(&brand_id, &ids).await?;
            }
        }
        Ok(())
    }

    async fn sweep(&self, brand_id: &BrandId, ids: &[ImageId]) -> Result<(), ChatError> {
        let known = {
            let mut connection = self.db.read().await?;
            images::list_known(&mut connection, brand_id, ids).await?
        };
        for id in ids.iter().filter(|id| !known.contains(id)) {
            self.images.files.delete(brand_id, *id).await?;
        }
        Ok(())
    }
}
