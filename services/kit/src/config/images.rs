//! Where chat keeps the bytes of images.

use std::{path::PathBuf, str::FromStr};

/// Where chat keeps the bytes of images: a place that nothing else is kept in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImagesUrl {
    /// `file:///FOLDER`, which is made where it is missing. Replicas share it.
    Folder(PathBuf),
    /// `s3://BUCKET/PREFIX`: a bucket of S3, or of what speaks its protocol; region, address and
    /// credentials are given by the usual variables that begin with `AWS_`.
    S3 {
        /// The bucket.
        bucket: String,
        /// What all names in it begin with; may be empty.
        prefix: String,
    },
    /// The memory of the process, for what lives no longer than it; no text names it.
    #[default]
    Memory,
}

/// A text that names no place for images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("images are kept in file:///FOLDER or s3://BUCKET/PREFIX")]
pub struct UnknownImagesUrl;

impl FromStr for ImagesUrl {
    type Err = UnknownImagesUrl;

    fn from_str(text: &str) -> Result<Self, UnknownImagesUrl> {
        if let Some(path) = text.strip_prefix("file://") {
            let is_folder = path.starts_with('/') && !path.trim_end_matches('/').is_empty();
            return is_folder
                .then(|| Self::Folder(PathBuf::from(path)))
                .ok_or(UnknownImagesUrl);
        }
        let place = text.strip_prefix("s3://").ok_or(UnknownImagesUrl)?;
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_bucket = (3..=63).contains(&bucket.len()) && bucket.bytes().all(is_name);
        let is_segment = |part: &str| !part.is_empty() && part.bytes().any(|byte| byte != b'.');
        let is_prefix = prefix.is_empty()
            || prefix
                .split('/')
                .all(|part| is_segment(part) && part.bytes().all(is_name));
        if !is_bucket || !is_prefix {
            return Err(UnknownImagesUrl);
        }
        Ok(Self::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

/// What needs no escaping anywhere.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<ImagesUrl>) {
        assert_eq!(text.parse().ok(), expected, "{text}");
    }

    fn s3(bucket: &str, prefix: &str) -> Option<ImagesUrl> {
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Some(ImagesUrl::S3 { bucket, prefix })
    }

    #[test]
    fn a_folder_or_a_bucket_is_named_and_nothing_else() {
        let folder = |path| Some(ImagesUrl::Folder(PathBuf::from(path)));
        check("file:///var/lib/rapport", folder("/var/lib/rapport"));
        check("s3://bucket", s3("bucket", ""));
        check("s3://my.bucket/", s3("my.bucket", ""));
        check("s3://bucket/chat/images/", s3("bucket", "chat/images"));
        for text in [
            "",
            "file://relative",
            "file:///",
            "/var/lib",
            "s3://",
            "s3://bu cket",
            "s3://bucket//x",
            "s3://bucket/../x",
            "s3://bucket/a?b",
            "gs://bucket",
            "memory:",
        ] {
            check(text, None);
        }
    }
}
