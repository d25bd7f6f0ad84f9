//! Telling all that chat holds of a person (SPEC 56).

use std::collections::BTreeSet;

use domain::{
    id::{AccountId, BrandId, ChatroomId},
    message::Side,
};
use kit::parts::Parts;
use tokio_util::bytes::Bytes;

use super::{App, ChatroomView, view};
use crate::{
    error::ChatError,
    image_files::Variant,
    model::{Image, Message},
    store::{
        chatrooms::{self, WithLast},
        images,
        messages::{self, Range},
    },
};

/// How much is read at once.
const PAGE_SIZE: i64 = 100;

/// One thing that chat holds of a person.
#[derive(Debug)]
pub(crate) enum Exported {
    /// A chatroom, without its newest message, which is among those that follow it.
    Chatroom(ChatroomView),
    /// A message of the chatroom before, of whichever side: what the Member said to him is part of
    /// his conversation.
    Message(Message),
    /// An image of that chatroom, of whichever side.
    Image(Image),
    /// The next bytes of the image before.
    Piece(Bytes),
}

impl App {
    /// Tells the chatrooms of `accounts`, each followed by its messages as the visitor's side sees
    /// them and by its images, each thing once.
    ///
    /// Reads page by page and holds nothing between two pages. Chatrooms are told by account and
    /// id, which never change; of each as many messages as it had when it was told, so what is
    /// written meanwhile is told whole or not at all.
    ///
    /// # Errors
    ///
    /// What the database fails with.
    pub(crate) async fn export_person(
        &self,
        brand_id: &BrandId,
        accounts: &BTreeSet<AccountId>,
        parts: &Parts<Exported>,
    ) -> Result<(), ChatError> {
        for account_id in accounts {
            let mut told = None;
            while let Some(chatroom) = self.next_chatroom(brand_id, *account_id, told).await? {
                told = Some(chatroom.chatroom.id);
                parts.send(Exported::Chatroom(chatroom.clone())).await;
                self.export_messages(brand_id, &chatroom, parts).await?;
                self.export_images(brand_id, chatroom.chatroom.id, parts)
                    .await?;
            }
        }
        Ok(())
    }

    async fn next_chatroom(
        &self,
        brand_id: &BrandId,
        account_id: AccountId,
        told: Option<ChatroomId>,
    ) -> Result<Option<ChatroomView>, ChatError> {
        let mut connection = self.db.read().await?;
        let next = chatrooms::find_after(&mut connection, brand_id, account_id, told).await?;
        let Some(chatroom) = next else {
            return Ok(None);
        };
        let row = WithLast {
            chatroom,
            last_message: None,
        };
        let seen = view::view(&mut connection, brand_id, Side::Visitor, row).await?;
        Ok(Some(seen))
    }

    async fn export_images(
        &self,
        brand_id: &BrandId,
        id: ChatroomId,
        parts: &Parts<Exported>,
    ) -> Result<(), ChatError> {
        let mut told = None;
        loop {
            let page = {
                let mut connection = self.db.read().await?;
                images::list_after(&mut connection, brand_id, id, told, PAGE_SIZE).await?
            };
            if page.is_empty() {
                return Ok(());
            }
            for image in page {
                told = Some(image.id);
                parts.send(Exported::Image(image.clone())).await;
                let mut offset = 0;
                while let Some(piece) = self
                    .next_piece(brand_id, &image, Variant::Full, offset)
                    .await?
                {
                    offset += piece.len() as u64;
                    parts.send(Exported::Piece(piece)).await;
                }
            }
        }
    }

    async fn export_messages(
        &self,
        brand_id: &BrandId,
        view: &ChatroomView,
        parts: &Parts<Exported>,
    ) -> Result<(), ChatError> {
        let (id, last) = (view.chatroom.id, view.chatroom.last_sequence());
        let mut told = 0;
        while told < last {
            let range = Range::OldestAbove(told);
            let page = {
                let mut connection = self.db.read().await?;
                messages::list(&mut connection, brand_id, id, range, PAGE_SIZE).await?
            };
            if page.is_empty() {
                break;
            }
            for message in page {
                told = message.place.sequence;
                if told <= last {
                    parts.send(Exported::Message(message)).await;
                }
            }
        }
        Ok(())
    }
}
