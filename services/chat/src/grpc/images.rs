//! Streams of images, in and out.

use std::time::Duration;

use domain::id::RequestId;
use futures_util::{TryStreamExt, stream::BoxStream};
use kit::{access::Principal, convert::field, error::CallError, parts};
use prost::Message as _;
use rapport_proto::chat::v1::{
    self as chat, ImageVariant, download_image_response, upload_image_request::Part,
};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};
use tonic::{Status, Streaming};

use super::caller;
use crate::{
    app::{App, Downloaded, UploadImage},
    error::{ChatError, DOMAIN},
    image_files::Variant,
    rewriting::MAX_BYTES,
};

const MAX_CHUNK_BYTES: usize = 262_144;
/// How long an upload may say nothing.
const IDLE_LIMIT: Duration = Duration::from_secs(15);
/// How long it may take as a whole: 10 MiB at 350 kbit/s.
const UPLOAD_LIMIT: Duration = Duration::from_secs(240);

/// The parts of an upload, each of which has to come in time.
struct Upload {
    parts: Streaming<chat::UploadImageRequest>,
    end: Instant,
}

pub(super) async fn upload(
    app: &App,
    principal: &Principal,
    parts: Streaming<chat::UploadImageRequest>,
) -> Result<chat::UploadImageResponse, ChatError> {
    let end = Instant::now() + UPLOAD_LIMIT;
    let mut upload = Upload { parts, end };
    let header = match upload.next().await? {
        Some(Part::Header(header)) => header,
        Some(Part::Chunk(_)) | None => {
            return Err(CallError::field("header", "must come first").into());
        }
    };
    let caller = caller::participant(principal, header.acting_for.clone(), "")?;
    let chatroom_id = field("chatroom_id", header.chatroom_id.parse())?;
    // What is sent is not looked at before it is known that it may be kept.
    field("request_id", header.request_id.parse::<RequestId>())?;
    let size = size(header.size_bytes)?;
    let place = app.begin_upload(&caller, chatroom_id).await?;
    let bytes = upload.body(size).await?;
    let body = chat::ImageChunk {
        data: [header.encode_to_vec(), Sha256::digest(&bytes).to_vec()]
            .concat()
            .into(),
    };
    let key = app.request_key(&caller, "UploadImage", &header.request_id, &body)?;
    let command = UploadImage {
        chatroom_id,
        bytes,
        key,
        place,
    };
    let image = app.upload_image(caller, command).await?;
    Ok(chat::UploadImageResponse {
        image: Some(image.into()),
    })
}

fn size(size_bytes: i64) -> Result<usize, ChatError> {
    match usize::try_from(size_bytes) {
        Ok(size @ 1..=MAX_BYTES) => Ok(size),
        Ok(0) | Err(_) => Err(CallError::field("size_bytes", "must be positive").into()),
        Ok(_) => Err(ChatError::ImageTooLarge),
    }
}

impl Upload {
    /// Returns what follows the header: exactly so many bytes.
    async fn body(&mut self, size: usize) -> Result<Vec<u8>, ChatError> {
        let mut bytes = Vec::new();
        while let Some(part) = self.next().await? {
            let data = match part {
                Part::Chunk(chunk) => chunk.data,
                Part::Header(_) => return Err(CallError::field("header", "comes once").into()),
            };
            if !(1..=MAX_CHUNK_BYTES).contains(&data.len()) {
                return Err(CallError::field("chunk.data", "must be 1 to 262,144 bytes").into());
            }
            if bytes.len() + data.len() > size {
                return Err(ChatError::UploadIncomplete);
            }
            bytes.extend_from_slice(&data);
        }
        if bytes.len() == size {
            Ok(bytes)
        } else {
            Err(ChatError::UploadIncomplete)
        }
    }

    /// Returns the next part, or `None` at the end. One that breaks off has no one to be answered.
    async fn next(&mut self) -> Result<Option<Part>, ChatError> {
        let end = self.end.min(Instant::now() + IDLE_LIMIT);
        let next = timeout_at(end, self.parts.message());
        match next.await {
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(request))) => match request.part {
                Some(part) => Ok(Some(part)),
                None => Err(CallError::field("part", "is required").into()),
            },
            Ok(Err(_)) | Err(_) => Err(ChatError::UploadIncomplete),
        }
    }
}

/// An image that is told.
pub(super) type Download = BoxStream<'static, Result<chat::DownloadImageResponse, Status>>;

pub(super) async fn download(
    app: &App,
    principal: &Principal,
    request: chat::DownloadImageRequest,
) -> Result<Download, ChatError> {
    let variant = match ImageVariant::try_from(request.variant) {
        Ok(ImageVariant::Unspecified | ImageVariant::Full) => Variant::Full,
        Ok(ImageVariant::Thumbnail) => Variant::Thumbnail,
        Err(_) => return Err(CallError::field("variant", "is none of its values").into()),
    };
    let token = &request.consistency_token;
    let caller = caller::participant(principal, request.acting_for, token)?;
    let id = field("image_id", request.image_id.parse())?;
    let image = app.get_image(&caller, id).await?;
    let app = app.clone();
    let told = parts::stream(DOMAIN, |parts| async move {
        let brand_id = &caller.brand_id;
        app.download_image(brand_id, image, variant, &parts).await
    });
    Ok(Box::pin(told.map_ok(|one| chat::DownloadImageResponse {
        part: Some(one.into()),
    })))
}

impl From<Downloaded> for download_image_response::Part {
    fn from(one: Downloaded) -> Self {
        match one {
            Downloaded::Header(image, variant) => Self::Header(image.to_wire(variant)),
            Downloaded::Piece(data) => Self::Chunk(chat::ImageChunk { data }),
        }
    }
}
