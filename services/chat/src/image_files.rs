//! Where the bytes of images are kept: a folder, or a bucket.
//!
//! A file is written once, under the image's id, and never changed. Which of them count is said by
//! the table `image` alone: files are written before the row and deleted before it, so a row always
//! has its files, and files without a row are nobody's.

use std::{
    error::Error as _, future::ready, io, iter::successors, ops::Range, path::PathBuf, sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use domain::id::{BrandId, ImageId};
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use kit::config::{self, ImagesUrl};
use object_store::{
    ClientConfigKey, Error, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    client::{HttpError, HttpErrorKind},
    local::LocalFileSystem,
    memory::InMemory,
    path::Path,
    prefix::PrefixStore,
};
use tokio_util::bytes::Bytes;

/// How long a bucket that does not answer is asked again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is asked at the start, and how long it may take to answer: who waits for it says so.
const FIRST_RETRIES: usize = 2;
const FIRST_ANSWER_LIMIT: &str = "5s";

/// Which of an image's two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The whole image.
    Full,
    /// The thumbnail.
    Thumbnail,
}

/// The place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImagesUnusable {
    /// The folder cannot be made or entered.
    #[error("the folder {folder} cannot be used for images (RAPPORT_IMAGES_URL)")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What is configured makes no place.
    #[error("images cannot be kept where RAPPORT_IMAGES_URL says")]
    Configuration(#[source] Error),
    /// Nobody answers for the bucket.
    #[error(
        "the bucket {bucket} (RAPPORT_IMAGES_URL), or who gives credentials for it, cannot be reached: \
         {cause}"
    )]
    BucketUnreachable {
        /// The bucket.
        bucket: String,
        /// Why not.
        cause: String,
    },
    /// The bucket is not there, or not for whom the variables name.
    #[error(
        "the bucket {bucket} (RAPPORT_IMAGES_URL) cannot be used as the AWS_… variables say: {cause}"
    )]
    BucketRefused {
        /// The bucket.
        bucket: String,
        /// What was answered.
        cause: String,
    },
}

impl ImagesUnusable {
    /// Returns whether it may be usable later, without anybody's doing.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::BucketUnreachable { .. })
    }
}

/// The files of images; clones share them.
#[derive(Clone)]
pub(crate) struct ImageFiles {
    files: Arc<dyn ObjectStore>,
    /// Where they are in a folder: that.
    folder: Option<PathBuf>,
}

impl ImageFiles {
    /// Makes the folder, or the client of the bucket, which is asked once what it holds.
    ///
    /// # Errors
    ///
    /// [`ImagesUnusable`] says why it cannot be had.
    pub(crate) async fn open(url: &ImagesUrl) -> Result<Self, ImagesUnusable> {
        let (files, folder): (Arc<dyn ObjectStore>, _) = match url {
            ImagesUrl::Folder(folder) => {
                let unusable = |source| ImagesUnusable::Folder {
                    folder: folder.clone(),
                    source,
                };
                config::create_private_folder(folder).map_err(unusable)?;
                let files = LocalFileSystem::new_with_prefix(folder)
                    .map_err(ImagesUnusable::Configuration)?
                    .with_fsync(true)
                    .with_automatic_cleanup(true);
                (Arc::new(files), Some(folder.clone()))
            }
            ImagesUrl::S3 { bucket, prefix } => {
                (Arc::new(open_bucket(bucket, prefix).await?), None)
            }
            ImagesUrl::Memory => (Arc::new(InMemory::new()), None),
        };
        Ok(Self { files, folder })
    }

    /// Writes a file.
    ///
    /// # Errors
    ///
    /// What the folder or the bucket fails with.
    pub(crate) async fn put(
        &self,
        brand_id: &BrandId,
        id: ImageId,
        variant: Variant,
        bytes: Vec<u8>,
    ) -> Result<(), Error> {
        let path = path(brand_id, id, variant);
        self.files.put(&path, bytes.into()).await.map(drop)
    }

    /// Returns a part of a file, or `None` where there is no such file.
    ///
    /// # Errors
    ///
    /// What the folder or the bucket fails with.
    pub(crate) async fn read(
        &self,
        brand_id: &BrandId,
        id: ImageId,
        variant: Variant,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, Error> {
        let path = path(brand_id, id, variant);
        match self.files.get_range(&path, range).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes what there is of an image.
    ///
    /// # Errors
    ///
    /// What the folder or the bucket fails with.
    pub(crate) async fn delete(&self, brand_id: &BrandId, id: ImageId) -> Result<(), Error> {
        for variant in [Variant::Full, Variant::Thumbnail] {
            match self.files.delete(&path(brand_id, id, variant)).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns the images that have files from before `time`, some of them twice.
    pub(crate) fn list_before(
        &self,
        time: DateTime<Utc>,
    ) -> BoxStream<'static, Result<(BrandId, ImageId), Error>> {
        self.files
            .list(None)
            .try_filter_map(move |file| {
                let is_old = file.last_modified < time;
                ready(Ok(is_old.then(|| image_of(&file.location)).flatten()))
            })
            .boxed()
    }

    /// Deletes what a write to the folder that was broken off has left from before `time`; a bucket
    /// keeps no such thing.
    ///
    /// # Errors
    ///
    /// What the folder fails with.
    pub(crate) async fn delete_drafts_before(&self, time: DateTime<Utc>) -> io::Result<()> {
        let Some(folder) = self.folder.clone() else {
            return Ok(());
        };
        let deleted = tokio::task::spawn_blocking(move || delete_drafts(&folder, time));
        deleted.await.map_err(io::Error::other)?
    }
}

/// Makes the client of a bucket. Who has named a wrong one, or is not let in, shall learn it now and not
/// from the first who uploads.
async fn open_bucket(bucket: &str, prefix: &str) -> Result<PrefixStore<AmazonS3>, ImagesUnusable> {
    // The first one of the process counts, and there is no other than this.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let build = |builder: AmazonS3Builder, max_retries| {
        let retry = RetryConfig {
            max_retries,
            retry_timeout: RETRY_TIMEOUT,
            ..RetryConfig::default()
        };
        let built = builder.with_retry(retry).build();
        let files = built.map_err(ImagesUnusable::Configuration)?;
        Ok(PrefixStore::new(files, prefix))
    };
    let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let limit = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
    let impatient = builder.clone().with_config(limit, FIRST_ANSWER_LIMIT);
    let asked = build(impatient, FIRST_RETRIES)?;
    if let Err(error) = asked.list(None).try_next().await {
        let (bucket, cause) = (bucket.to_owned(), told_once(&error));
        return Err(if is_unanswered(&error) {
            ImagesUnusable::BucketUnreachable { bucket, cause }
        } else {
            ImagesUnusable::BucketRefused { bucket, cause }
        });
    }
    build(builder, RetryConfig::default().max_retries)
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    successors(error.source(), |&cause| cause.source())
}

/// Returns an error with its causes; the library's most often say themselves what caused them.
fn told_once(error: &Error) -> String {
    causes(error).fold(error.to_string(), |told, cause| {
        let cause = cause.to_string();
        if told.contains(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    })
}

fn is_unanswered(error: &Error) -> bool {
    causes(error)
        .find_map(|cause| cause.downcast_ref::<HttpError>())
        .is_some_and(|error| {
            matches!(
                error.kind(),
                HttpErrorKind::Connect
                    | HttpErrorKind::Request
                    | HttpErrorKind::Timeout
                    | HttpErrorKind::Interrupted
            )
        })
}

/// A draft has the name of its file, a `#` and a number; a listing leaves it out.
fn delete_drafts(folder: &std::path::Path, time: DateTime<Utc>) -> io::Result<()> {
    for brand in std::fs::read_dir(folder)? {
        let brand = brand?.path();
        if !brand.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(brand)? {
            let file = file?;
            let is_draft = file.file_name().to_string_lossy().contains('#');
            if is_draft && DateTime::<Utc>::from(file.metadata()?.modified()?) < time {
                std::fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}

fn path(brand_id: &BrandId, id: ImageId, variant: Variant) -> Path {
    let ending = match variant {
        Variant::Full => "full",
        Variant::Thumbnail => "thumbnail",
    };
    Path::from(format!("{brand_id}/{id}.{ending}"))
}

/// Returns the image whose file this is, or `None` for a file that is none of ours.
fn image_of(path: &Path) -> Option<(BrandId, ImageId)> {
    let (brand_id, file) = path.as_ref().split_once('/')?;
    let (id, _) = file.split_once('.')?;
    Some((brand_id.parse().ok()?, id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use chrono::TimeZone;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_folder_is_its_owners_and_keeps_no_draft_and_no_empty_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("chat/images");
        let files = ImageFiles::open(&ImagesUrl::Folder(folder.clone()))
            .await
            .unwrap();
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let (brand_id, id) = (BrandId::parse("shop").unwrap(), Uuid::new_v4().into());
        let put = files.put(&brand_id, id, Variant::Full, vec![1, 2, 3]);
        put.await.unwrap();
        let read = files.read(&brand_id, id, Variant::Full, 1..3);
        assert_eq!(read.await.unwrap().unwrap(), [2, 3][..]);
        // What a killed process leaves of a write.
        let draft = folder.join("shop").join(format!("{id}.thumbnail#1"));
        fs::write(&draft, b"half").unwrap();
        let now = Utc.timestamp_opt(i64::from(u32::MAX), 0).unwrap();
        files
            .delete_drafts_before(DateTime::UNIX_EPOCH)
            .await
            .unwrap();
        assert!(draft.exists());
        files.delete_drafts_before(now).await.unwrap();
        assert!(!draft.exists());
        let listed: Vec<_> = files.list_before(now).try_collect().await.unwrap();
        assert_eq!(listed, [(brand_id.clone(), id)]);
        files.delete(&brand_id, id).await.unwrap();
        files.delete(&brand_id, id).await.unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        let read = files.read(&brand_id, id, Variant::Full, 0..3);
        assert_eq!(read.await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let url = ImagesUrl::Folder(file.path().join("images"));
        let refused = ImageFiles::open(&url).await.err().unwrap().to_string();
        assert!(refused.contains("RAPPORT_IMAGES_URL"), "{refused}");
    }
}
