//! What visitors and Members do in chatrooms.

use anyhow::Context;
use rapport_proto::chat::v1::{
    Chatroom, ListChatroomsRequest, ListMessagesRequest, Message, MessageContent,
    OpenDirectChatroomRequest, SendMessageRequest, TextContent, message_content::Content,
};
use tonic::Code;

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
