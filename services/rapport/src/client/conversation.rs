//! What visitors and Members do in chatrooms.

use anyhow::Context;
use futures_util::stream;
use rapport_proto::chat::v1::{
    Chatroom, DownloadImageRequest, Image, ImageChunk, ImageVariant, ListChatroomsRequest,
    ListMessagesRequest, Message, MessageContent, OpenDirectChatroomRequest, SendMessageRequest,
    TextContent, UploadImageHeader, UploadImageRequest, download_image_response,
    message_content::Content, upload_image_request::Part,
};
use tonic::{Code, Status};

use super::{
    Caller, request_id,
    shop::{ShopMember, Visitor},
    wait_until,
};

impl Visitor {
    /// Opens the chatroom with a Member, whom chat may not have heard of for a moment.
    ///
    /// # Errors
    ///
    /// When the call is refused for another reason, or chat has not heard of him in time.
    pub async fn open_direct(&self, member: &ShopMember) -> anyhow::Result<Chatroom> {
        let request = OpenDirectChatroomRequest {
            member_id: member.id.clone(),
            account_id: String::new(),
            consistency_token: String::new(),
            request_id: request_id(),
        };
        let chatroom = wait_until("chat knows the Member", async || {
            let mut chat = self.caller.chat.clone();
            match chat.open_direct_chatroom(request.clone()).await {
                Ok(response) => Ok(Some(response.into_inner().chatroom)),
                Err(status) if status.code() == Code::NotFound => Ok(None),
                Err(status) => Err(status.into()),
            }
        });
        chatroom.await?.context("the answer holds the chatroom")
    }
}

impl Caller {
    /// Writes a text.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn say(&self, chatroom: &Chatroom, text: &str) -> anyhow::Result<Message> {
        let text = TextContent {
            text: text.to_owned(),
        };
        let request = SendMessageRequest {
            chatroom_id: chatroom.chatroom_id.clone(),
            message_id: request_id(),
            content: Some(MessageContent {
                content: Some(Content::Text(text)),
            }),
            ..Default::default()
        };
        let response = self.chat.clone().send_message(request).await?;
        response
            .into_inner()
            .message
            .context("the answer holds the message")
    }

    /// Uploads an image in two chunks.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn upload_image(&self, chatroom: &Chatroom, bytes: &[u8]) -> Result<Image, Status> {
        let header = UploadImageHeader {
            chatroom_id: chatroom.chatroom_id.clone(),
            size_bytes: bytes.len() as i64,
            acting_for: None,
            request_id: request_id(),
        };
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let chunk = |part: &[u8]| {
            Part::Chunk(ImageChunk {
                data: part.to_vec().into(),
            })
        };
        self.upload_parts([Part::Header(header), chunk(first), chunk(second)])
            .await
    }

    /// Uploads what may be no image.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn upload_parts(
        &self,
        parts: impl IntoIterator<Item = Part, IntoIter: Send + 'static>,
    ) -> Result<Image, Status> {
        let request = |part| UploadImageRequest { part: Some(part) };
        let requests = stream::iter(parts.into_iter().map(request));
        let response = self.chat.clone().upload_image(requests).await?;
        let image = response.into_inner().image;
        image.ok_or_else(|| Status::internal("the answer holds no image"))
    }

    /// Returns what a rendering of an image is, and its bytes.
    ///
    /// # Errors
    ///
    /// When the call is refused, or its answer ends with an error.
    pub async fn download_image(
        &self,
        image_id: &str,
        variant: ImageVariant,
    ) -> Result<(Image, Vec<u8>), Status> {
        let request = DownloadImageRequest {
            image_id: image_id.to_owned(),
            variant: variant.into(),
            ..Default::default()
        };
        let mut parts = self
            .chat
            .clone()
            .download_image(request)
            .await?
            .into_inner();
        let (mut header, mut bytes) = (None, Vec::new());
        while let Some(response) = parts.message().await? {
            match response.part {
                Some(download_image_response::Part::Header(image)) => header = Some(image),
                Some(download_image_response::Part::Chunk(chunk)) => bytes.extend(chunk.data),
                None => {}
            }
        }
        let header = header.ok_or_else(|| Status::internal("the answer holds no header"))?;
        Ok((header, bytes))
    }

    /// Returns the caller's chatrooms, newest message first.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn chatrooms(&self) -> anyhow::Result<Vec<Chatroom>> {
        let request = ListChatroomsRequest::default();
        let response = self.chat.clone().list_chatrooms(request).await?;
        Ok(response.into_inner().chatrooms)
    }

    /// Returns the texts in a chatroom, newest first.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn texts(&self, chatroom: &Chatroom) -> anyhow::Result<Vec<String>> {
        let request = ListMessagesRequest {
            chatroom_id: chatroom.chatroom_id.clone(),
            ..Default::default()
        };
        let response = self.chat.clone().list_messages(request).await?;
        let texts = response
            .into_inner()
            .messages
            .into_iter()
            .filter_map(|message| match message.content?.content? {
                Content::Text(text) => Some(text.text),
                _ => None,
            });
        Ok(texts.collect())
    }
}
