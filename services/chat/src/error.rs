//! Why a call is refused, and how each reason is answered.

use std::time::Duration;

use domain::{
    id::{AccountId, ChatroomId, MemberId, MessageId},
    message::MessageKind,
};
use kit::{
    db::{StoreError, TxError},
    error::{CallError, Refusal},
};
use tonic::{Code, Status};

use crate::rewriting::Unfit;

/// The `ErrorInfo` domain of this service.
pub(crate) const DOMAIN: &str = "chat.rapport";

/// What this service answers instead of what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// A failure that the methods of all services share.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The request names another Brand than the caller's.
    #[error("there is no such Brand")]
    BrandNotFound,
    /// The account is unknown, or none that the caller may speak for.
    #[error("there is no account {account_id}")]
    AccountNotFound {
        /// The account.
        account_id: AccountId,
    },
    /// The chatroom's visitor is erased.
    #[error("account {account_id} is erased")]
    AccountErased {
        /// The account.
        account_id: AccountId,
    },
    /// The Member is unknown.
    #[error("there is no Member {member_id}")]
    MemberNotFound {
        /// The Member.
        member_id: MemberId,
    },
    /// The Member answers nobody any more.
    #[error("Member {member_id} is deactivated")]
    MemberDeactivated {
        /// The Member.
        member_id: MemberId,
    },
    /// The chatroom is unknown, or none that the caller sees; the answer does not say which.
    #[error("there is no chatroom {chatroom_id}")]
    ChatroomNotFound {
        /// The chatroom.
        chatroom_id: ChatroomId,
    },
    /// One side has blocked the other (SPEC 30).
    #[error("chatroom {chatroom_id} is blocked")]
    ChatroomBlocked {
        /// The chatroom.
        chatroom_id: ChatroomId,
    },
    /// There is no chatroom in which the visitor could go on.
    #[error("there is no chatroom to resume")]
    NothingToResume,
    /// There is no such message in the chatroom.
    #[error("there is no message {message_id}")]
    MessageNotFound {
        /// The message.
        message_id: MessageId,
    },
    /// The message to be answered asks for no rating.
    #[error("message {message_id} is no rating")]
    NotARating {
        /// The message.
        message_id: MessageId,
    },
    /// The rating has an answer (SPEC 27).
    #[error("rating {message_id} is answered")]
    RatingAnswered {
        /// The message that asked.
        message_id: MessageId,
    },
    /// Another body was sent under this message id (SPEC 29).
    #[error("message {message_id} was sent with another body")]
    MessageIdReused {
        /// The message.
        message_id: MessageId,
    },
    /// The caller may not send this kind, or not automatically (SPEC 27).
    #[error("a message of kind {kind} may not be sent so")]
    MessageKindNotAllowed {
        /// The kind.
        kind: MessageKind,
    },
    /// The message refers to an image that was not uploaded into the chatroom.
    #[error("there is no such image")]
    ImageNotFound,
    /// The code is unknown, expired, redeemed or another Brand's; the answer does not say which.
    #[error("the code is not good")]
    PhygitalCodeRefused,
    /// More waits for somebody who watches than may (SPEC 33).
    #[error("the stream is read too slowly: resume with the last position")]
    WatcherTooSlow,
    /// The bytes are no image that may be kept (SPEC 31).
    #[error("the image is no JPEG, PNG, WebP or GIF that may be kept")]
    ImageRefused(#[source] Unfit),
    /// The image is larger than may be.
    #[error("the image has more than 10 MiB")]
    ImageTooLarge,
    /// An upload did not bring what its header announced, or paused for too long.
    #[error("the upload is not the announced bytes")]
    UploadIncomplete,
    /// More images are being uploaded than may.
    #[error("too many images are being uploaded")]
    UploadsOverloaded {
        /// When to try again.
        retry_delay: Duration,
    },
    /// Where images are kept does not answer.
    #[error("images are unavailable")]
    ImagesUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More messages wait to be stored than may.
    #[error("too many messages wait to be stored")]
    Overloaded {
        /// When to try again.
        retry_delay: Duration,
    },
}

impl ChatError {
    /// Returns the answer.
    pub fn refusal(&self) -> Refusal {
        let message = self.to_string();
        match self {
            Self::Call(error) => error.refusal(),
            Self::BrandNotFound => Refusal::new(Code::NotFound, "BRAND_NOT_FOUND", message),
            Self::AccountNotFound { account_id } => {
                Refusal::new(Code::NotFound, "ACCOUNT_NOT_FOUND", message)
                    .with("accountId", account_id)
            }
            Self::AccountErased { account_id } => {
                Refusal::new(Code::FailedPrecondition, "ACCOUNT_ERASED", message)
                    .with("accountId", account_id)
            }
            Self::MemberNotFound { member_id } => {
                Refusal::new(Code::NotFound, "MEMBER_NOT_FOUND", message)
                    .with("memberId", member_id)
            }
            Self::MemberDeactivated { member_id } => {
                Refusal::new(Code::FailedPrecondition, "MEMBER_DEACTIVATED", message)
                    .with("memberId", member_id)
            }
            Self::ChatroomNotFound { chatroom_id } => {
                Refusal::new(Code::NotFound, "CHATROOM_NOT_FOUND", message)
                    .with("chatroomId", chatroom_id)
            }
            Self::ChatroomBlocked { chatroom_id } => {
                Refusal::new(Code::FailedPrecondition, "CHATROOM_BLOCKED", message)
                    .with("chatroomId", chatroom_id)
            }
            Self::PhygitalCodeRefused => {
                Refusal::new(Code::FailedPrecondition, "PHYGITAL_CODE_REFUSED", message)
            }
            Self::NothingToResume => Refusal::new(Code::NotFound, "CHATROOM_NOT_FOUND", message),
            Self::MessageNotFound { message_id } => {
                Refusal::new(Code::NotFound, "MESSAGE_NOT_FOUND", message)
                    .with("messageId", message_id)
            }
            Self::NotARating { message_id } => {
                Refusal::new(Code::FailedPrecondition, "NOT_A_RATING", message)
                    .with("messageId", message_id)
            }
            Self::RatingAnswered { message_id } => {
                Refusal::new(Code::FailedPrecondition, "RATING_ANSWERED", message)
                    .with("messageId", message_id)
            }
            Self::MessageIdReused { message_id } => {
                Refusal::new(Code::AlreadyExists, "MESSAGE_ID_REUSED", message)
                    .with("messageId", message_id)
            }
            Self::MessageKindNotAllowed { kind } => {
                Refusal::new(Code::PermissionDenied, "MESSAGE_KIND_NOT_ALLOWED", message)
                    .with("kind", kind)
            }
            Self::ImageNotFound => Refusal::new(Code::NotFound, "IMAGE_NOT_FOUND", message),
            Self::WatcherTooSlow => {
                Refusal::new(Code::ResourceExhausted, "WATCHER_TOO_SLOW", message)
            }
            Self::ImageRefused(_) => Refusal::new(Code::InvalidArgument, "IMAGE_REFUSED", message),
            Self::ImageTooLarge => Refusal::new(Code::InvalidArgument, "IMAGE_TOO_LARGE", message),
            Self::UploadIncomplete => {
                Refusal::new(Code::InvalidArgument, "UPLOAD_INCOMPLETE", message)
            }
            Self::ImagesUnavailable(error) => {
                tracing::warn!(error = error.as_ref(), "images unavailable");
                Refusal::new(Code::Unavailable, "IMAGES_UNAVAILABLE", message)
            }
            Self::UploadsOverloaded { retry_delay } | Self::Overloaded { retry_delay } => {
                Refusal::new(Code::ResourceExhausted, "OVERLOADED", message)
                    .retry_after(*retry_delay)
            }
        }
    }
}

impl From<StoreError> for ChatError {
    fn from(error: StoreError) -> Self {
        Self::Call(error.into())
    }
}

impl From<Unfit> for ChatError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::TooLarge => Self::ImageTooLarge,
            Unfit::Unreadable(_) | Unfit::Measures => Self::ImageRefused(unfit),
        }
    }
}

impl From<object_store::Error> for ChatError {
    fn from(error: object_store::Error) -> Self {
        Self::ImagesUnavailable(Box::new(error))
    }
}

impl From<ChatError> for Status {
    fn from(error: ChatError) -> Self {
        error.refusal().into_status(DOMAIN)
    }
}

impl TxError for ChatError {
    fn store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Call(error) => error.store_error(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rapport_proto::chat::v1::ErrorReason;
    use tonic_types::StatusExt;
    use uuid::Uuid;

    use super::*;

    fn check(error: ChatError, code: Code, reason: ErrorReason) {
        let text = error.to_string();
        let status = Status::from(error);
        let info = status.get_details_error_info().unwrap();
        let name = format!("ERROR_REASON_{}", info.reason);
        assert_eq!(ErrorReason::from_str_name(&name), Some(reason), "{text}");
        assert_eq!((status.code(), info.domain.as_str()), (code, DOMAIN));
        for value in info.metadata.values() {
            assert!(status.message().contains(value), "{text}");
        }
    }

    #[test]
    fn whatever_is_not_there_or_gone_has_a_reason_of_the_contract() {
        use ChatError::*;
        use ErrorReason as Reason;
        let (missing, gone) = (Code::NotFound, Code::FailedPrecondition);
        let id = Uuid::from_u128(1);
        let (account_id, member_id, chatroom_id) = (id.into(), id.into(), id.into());
        let erased = AccountErased { account_id };
        let deactivated = MemberDeactivated { member_id };
        let no_account = AccountNotFound { account_id };
        let no_chatroom = ChatroomNotFound { chatroom_id };
        check(BrandNotFound, missing, Reason::BrandNotFound);
        check(no_account, missing, Reason::AccountNotFound);
        check(
            MemberNotFound { member_id },
            missing,
            Reason::MemberNotFound,
        );
        check(no_chatroom, missing, Reason::ChatroomNotFound);
        let blocked = ChatroomBlocked { chatroom_id };
        check(blocked, gone, Reason::ChatroomBlocked);
        check(NothingToResume, missing, Reason::ChatroomNotFound);
        check(ImageNotFound, missing, Reason::ImageNotFound);
        check(erased, gone, Reason::AccountErased);
        check(deactivated, gone, Reason::MemberDeactivated);
    }

    #[test]
    fn every_other_refusal_has_a_reason_of_the_contract() {
        use ChatError::*;
        use ErrorReason as Reason;
        let later = Code::Unavailable;
        let message_id = Uuid::from_u128(1).into();
        let kind = MessageKind::Missed;
        let reused = MessageIdReused { message_id };
        let not_allowed = MessageKindNotAllowed { kind };
        let lost = CallError::from(StoreError::Unavailable("cause".into()));
        let no_message = MessageNotFound { message_id };
        check(no_message, Code::NotFound, Reason::MessageNotFound);
        let gone = Code::FailedPrecondition;
        check(NotARating { message_id }, gone, Reason::NotARating);
        check(PhygitalCodeRefused, gone, Reason::PhygitalCodeRefused);
        let answered = RatingAnswered { message_id };
        check(answered, gone, Reason::RatingAnswered);
        check(reused, Code::AlreadyExists, Reason::MessageIdReused);
        check(
            not_allowed,
            Code::PermissionDenied,
            Reason::MessageKindNotAllowed,
        );
        let full = Code::ResourceExhausted;
        check(WatcherTooSlow, full, Reason::WatcherTooSlow);
        let retry_delay = Duration::from_secs(1);
        let overloaded = Overloaded { retry_delay };
        check(overloaded, full, Reason::Overloaded);
        let overloaded = UploadsOverloaded { retry_delay };
        check(overloaded, full, Reason::Overloaded);
        let unfit = ImageRefused(Unfit::Measures);
        check(unfit, Code::InvalidArgument, Reason::ImageRefused);
        check(ImageTooLarge, Code::InvalidArgument, Reason::ImageTooLarge);
        check(
            UploadIncomplete,
            Code::InvalidArgument,
            Reason::UploadIncomplete,
        );
        check(
            ImagesUnavailable("cause".into()),
            later,
            Reason::ImagesUnavailable,
        );
        check(Call(lost), later, Reason::DatabaseUnavailable);
    }
}
