//! What a message says, checked: by its kind, and by the lengths that the contract gives.
//!
//! | kind                                          | required                | at most, in characters                      |
//! |-----------------------------------------------|-------------------------|---------------------------------------------|
//! | text                                          | text, not blank         | text 4,000 (SPEC 32)                        |
//! | image                                         | an uploaded image's id  | caption 1,000                               |
//! | product                                       | product id              | product id 200, title 200, addresses 2,048  |
//! | video                                         | address                 | address 2,048, caption 1,000                |
//! | e-mail                                        | text, not blank         | subject 200, text 4,000                     |
//! | connection, request, unavailable, missed      | nothing                 | text 1,000                                  |
//! | rating                                        | nothing; it is not sent | comment 1,000                               |
//!
//! Addresses begin with `https://`. Nothing is cut or trimmed: what is kept is what was sent.

use domain::{
    id::ImageId,
    message::MessageKind,
    text::{InvalidText, MessageText},
};
use kit::{convert::field, error::CallError};
use rapport_proto::chat::v1::{
    Image, MessageContent, RatingContent, TextContent, message_content::Content as Wire,
};

const MAX_CAPTION: usize = 1_000;
const MAX_LABEL: usize = 200;
const MAX_URI: usize = 2_048;

/// What a message says, in one of its kinds, within its bounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Content {
    kind: MessageKind,
    /// The image that is shown.
    image_id: Option<ImageId>,
    wire: MessageContent,
}

impl Content {
    /// Returns the content that a request carries.
    ///
    /// # Errors
    ///
    /// [`CallError::FieldInvalid`] names the field that is missing, too long or malformed.
    pub(crate) fn parse(content: Option<MessageContent>) -> Result<Self, CallError> {
        let wire = content.ok_or_else(|| CallError::field("content", "is required"))?;
        let said = wire.content.as_ref();
        let kind = check(said.ok_or_else(|| CallError::field("content", "is required"))?)?;
        let image_id = said.map(shown).transpose()?.flatten();
        Ok(Self {
            kind,
            image_id,
            wire,
        })
    }

    /// Returns a text that the service itself says.
    pub(crate) fn text(text: &'static str) -> Self {
        Self {
            kind: MessageKind::Text,
            image_id: None,
            wire: MessageContent {
                content: Some(Wire::Text(TextContent { text: text.into() })),
            },
        }
    }

    /// Returns a rating that nobody has answered yet.
    pub(crate) fn unanswered_rating() -> Self {
        Self {
            kind: MessageKind::Rating,
            image_id: None,
            wire: MessageContent {
                content: Some(Wire::Rating(RatingContent::default())),
            },
        }
    }

    /// Returns the kind.
    pub(crate) fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Returns the image that it shows.
    pub(crate) fn image_id(&self) -> Option<ImageId> {
        self.image_id
    }

    /// Returns the wire form, in which it is also stored. Of an image it says what the server knows,
    /// whatever its sender has said.
    pub(crate) fn into_wire(mut self, image: Option<Image>) -> MessageContent {
        if let Some(Wire::Image(content)) = &mut self.wire.content {
            content.image = image;
        }
        self.wire
    }
}

/// Returns a comment on a rating.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] names the field when it is too long.
pub(crate) fn comment<'a>(field: &'static str, text: &'a str) -> Result<&'a str, CallError> {
    at_most(field, text, MAX_CAPTION)?;
    Ok(text)
}

/// Returns the image that a content shows.
fn shown(said: &Wire) -> Result<Option<ImageId>, CallError> {
    let Wire::Image(content) = said else {
        return Ok(None);
    };
    let name = "content.image.image.image_id";
    let id = content
        .image
        .as_ref()
        .map(|image| field(name, image.image_id.parse()));
    id.unwrap_or_else(|| Err(CallError::field(name, "is required")))
        .map(Some)
}

fn check(said: &Wire) -> Result<MessageKind, CallError> {
    match said {
        Wire::Text(text) => {
            body("content.text.text", &text.text)?;
            Ok(MessageKind::Text)
        }
        Wire::Image(image) => {
            at_most("content.image.caption", &image.caption, MAX_CAPTION)?;
            Ok(MessageKind::Image)
        }
        Wire::Product(product) => {
            required("content.product.product_id", &product.product_id)?;
            at_most("content.product.product_id", &product.product_id, MAX_LABEL)?;
            at_most("content.product.title", &product.title, MAX_LABEL)?;
            uri("content.product.uri", &product.uri)?;
            uri("content.product.picture_uri", &product.picture_uri)?;
            Ok(MessageKind::Product)
        }
        Wire::Video(video) => {
            required("content.video.uri", &video.uri)?;
            uri("content.video.uri", &video.uri)?;
            at_most("content.video.caption", &video.caption, MAX_CAPTION)?;
            Ok(MessageKind::Video)
        }
        Wire::Email(email) => {
            at_most("content.email.subject", &email.subject, MAX_LABEL)?;
            body("content.email.text", &email.text)?;
            Ok(MessageKind::Email)
        }
        Wire::Connection(notice) => {
            at_most("content.connection.text", &notice.text, MAX_CAPTION)?;
            Ok(MessageKind::Connection)
        }
        Wire::Request(notice) => {
            at_most("content.request.text", &notice.text, MAX_CAPTION)?;
            Ok(MessageKind::Request)
        }
        Wire::Unavailable(notice) => {
            at_most("content.unavailable.text", &notice.text, MAX_CAPTION)?;
            Ok(MessageKind::Unavailable)
        }
        Wire::Missed(notice) => {
            at_most("content.missed.text", &notice.text, MAX_CAPTION)?;
            Ok(MessageKind::Missed)
        }
        Wire::Rating(_) => Ok(MessageKind::Rating),
    }
}

fn body(field: &'static str, text: &str) -> Result<(), CallError> {
    match MessageText::parse(text) {
        Ok(_) => Ok(()),
        Err(
            problem @ (InvalidText::Blank | InvalidText::TooLong { .. } | InvalidText::Control),
        ) => Err(CallError::field(field, problem)),
    }
}

fn required(field: &'static str, text: &str) -> Result<(), CallError> {
    if text.is_empty() {
        return Err(CallError::field(field, "is required"));
    }
    Ok(())
}

fn at_most(field: &'static str, text: &str, max_characters: usize) -> Result<(), CallError> {
    if text.chars().count() > max_characters {
        let problem = InvalidText::TooLong { max_characters };
        return Err(CallError::field(field, problem));
    }
    Ok(())
}

fn uri(field: &'static str, text: &str) -> Result<(), CallError> {
    at_most(field, text, MAX_URI)?;
    if text.is_empty() || text.starts_with("https://") {
        return Ok(());
    }
    Err(CallError::field(field, "must begin with https://"))
}

#[cfg(test)]
mod tests {
    use rapport_proto::chat::v1::{
        EmailContent, ImageContent, NoticeContent, ProductContent, VideoContent,
    };

    use super::*;

    fn parse(said: Wire) -> Result<MessageKind, &'static str> {
        let content = MessageContent {
            content: Some(said),
        };
        match Content::parse(Some(content)) {
            Ok(content) => Ok(content.kind()),
            Err(CallError::FieldInvalid { field, .. }) => Err(field),
            Err(other) => panic!("{other}"),
        }
    }

    fn text(text: &str) -> Wire {
        Wire::Text(TextContent { text: text.into() })
    }

    fn video(uri: &str) -> Wire {
        let uri = uri.into();
        Wire::Video(VideoContent {
            uri,
            ..Default::default()
        })
    }

    fn product(product_id: &str, uri: &str) -> Wire {
        let (product_id, uri) = (product_id.into(), uri.into());
        Wire::Product(ProductContent {
            product_id,
            uri,
            ..Default::default()
        })
    }

    #[test]
    fn a_text_is_1_to_4000_characters_and_not_blank() {
        assert_eq!(parse(text("hello")), Ok(MessageKind::Text)); // SPEC 32
        assert_eq!(parse(text(&"ñ".repeat(4_000))), Ok(MessageKind::Text));
        let refused = Err("content.text.text");
        assert_eq!(parse(text(&"ñ".repeat(4_001))), refused);
        assert_eq!(parse(text(" \n ")), refused);
        assert_eq!(parse(text("")), refused);
    }

    #[test]
    fn each_kind_has_its_fields() {
        let notice = NoticeContent {
            text: "x".repeat(1_001),
        };
        let email = EmailContent {
            subject: "s".into(),
            text: " ".into(),
        };
        assert_eq!(parse(product("7", "")), Ok(MessageKind::Product)); // SPEC 27
        assert_eq!(parse(product("", "")), Err("content.product.product_id"));
        assert_eq!(parse(product("7", "http://x")), Err("content.product.uri"));
        assert_eq!(parse(video("https://x")), Ok(MessageKind::Video));
        assert_eq!(parse(video("")), Err("content.video.uri"));
        assert_eq!(parse(Wire::Email(email)), Err("content.email.text"));
        assert_eq!(parse(Wire::Missed(notice)), Err("content.missed.text"));
        let image = Wire::Image(ImageContent::default());
        assert_eq!(parse(image), Err("content.image.image.image_id"));
        let rating = Wire::Rating(RatingContent::default());
        assert_eq!(parse(rating), Ok(MessageKind::Rating));
    }

    #[test]
    fn a_message_says_something() {
        for nothing in [None, Some(MessageContent { content: None })] {
            let refused = Content::parse(nothing).unwrap_err();
            assert!(matches!(
                refused,
                CallError::FieldInvalid {
                    field: "content",
                    ..
                }
            ));
        }
    }
}
