//! Typed identifiers, so that an account cannot be passed where a chatroom is meant.
//!
//! | kind         | types                                         | made by            | form |
//! |--------------|-----------------------------------------------|--------------------|------|
//! | ours         | [`AccountId`], [`MemberId`], [`ChatroomId`], … | `kit`, as UUIDv7   | a hyphenated UUID |
//! | the tenant's | [`BrandId`]                                   | the operator       | a slug |
//! | the Brand's  | [`CustomerId`], [`OrderId`], [`CartId`], [`RefundId`] | the Brand's shop | any text, kept verbatim |
//!
//! Every id but [`BrandId`] means something only within its Brand (SPEC 1).

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

/// A text is not the id it was read as. The caller knows the text; it is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not the 36 characters of a hyphenated UUID (RFC 9562).
    #[error("must be a hyphenated UUID")]
    Uuid,
    /// Not a Brand's slug.
    #[error("must be 3 to 40 of a to z, 0 to 9 and -, begin with a letter and not end with a dash")]
    Slug,
    /// Not an id that a Brand's shop may use.
    #[error("must be 1 to 200 characters without control characters")]
    BrandText,
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Returns the id that is written as `uuid`.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_uuid(text).map(Self)
            }
        }
    )+};
}

uuid_ids! {
    /// A visitor's account, temporary or client; an upgrade keeps it (SPEC 1).
    AccountId;
    /// A person who answers visitors for the Brand.
    MemberId;
    /// A session of a visitor, Member or service.
    SessionId;
    /// A link between a temporary and a client account.
    LinkId;
    /// A thread of one visitor account and one Member.
    ChatroomId;
    /// A message, by the id that its sender gave it (SPEC 29).
    MessageId;
    /// An image that was uploaded into a chatroom.
    ImageId;
    /// An event in a service's log.
    EventId;
    /// A write, by the id that its caller gave it (SPEC 61).
    RequestId;
    /// A booking in the ledger.
    LedgerEntryId;
    /// A span of orders that is evaluated again.
    RecomputationId;
    /// An erasure of a person, in all services (SPEC 55).
    ErasureId;
    /// A key of the Brand: for assertions, or for its services.
    KeyId;
}

/// A Brand, by its slug: 3 to 40 of `a` to `z`, `0` to `9` and `-`, beginning with a letter and not
/// ending with a dash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrandId(Arc<str>);

impl BrandId {
    /// Returns the Brand that `text` names.
    ///
    /// # Errors
    ///
    /// [`InvalidId::Slug`] when it is not a slug.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let is_slug = (3..=40).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !text.ends_with('-');
        if is_slug {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::Slug)
        }
    }

    /// Returns the slug.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BrandId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for BrandId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

macro_rules! brand_text_ids {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        ///
        /// The Brand's own text: 1 to 200 characters, none a control character, kept verbatim and
        /// compared exactly.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Returns the id that is written as `text`.
            ///
            /// # Errors
            ///
            /// [`InvalidId::BrandText`] when it is empty, too long, or has a control character.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                parse_brand_text(text).map(Self)
            }

            /// Returns the Brand's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    )+};
}

brand_text_ids! {
    /// A customer in the Brand's own account system; the key of a client account (SPEC 1).
    CustomerId;
    /// An order at the Brand (SPEC 35).
    OrderId;
    /// A shopping cart at the Brand (SPEC 36).
    CartId;
    /// A refund at the Brand (SPEC 45).
    RefundId;
}

/// One spelling per id: `Uuid` alone would also take braces, `urn:uuid:` and no hyphens.
fn parse_uuid(text: &str) -> Result<Uuid, InvalidId> {
    const HYPHENATED_LENGTH: usize = 36;
    if text.len() != HYPHENATED_LENGTH {
        return Err(InvalidId::Uuid);
    }
    Uuid::try_parse(text).map_err(|_| InvalidId::Uuid)
}

fn parse_brand_text(text: &str) -> Result<String, InvalidId> {
    let length_fits = (1..=200).contains(&text.chars().count());
    if length_fits && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(InvalidId::BrandText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let text = "0197a6f0-5c1e-7a3b-8d2f-001122334455";
        let id: AccountId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(AccountId::from(Uuid::from(id)), id);
        for refused in [
            "",
            "0197a6f05c1e7a3b8d2f001122334455",
            "{0197a6f0-5c1e-7a3b-8d2f-001122334455}",
            "0197a6f0-5c1e-7a3b-8d2f-00112233445g",
        ] {
            assert_eq!(refused.parse::<AccountId>(), Err(InvalidId::Uuid));
        }
    }

    #[test]
    fn a_brand_is_named_by_a_slug() {
        let longest = "a".repeat(40);
        for accepted in ["abc", "a-1", "shop-24", &longest] {
            assert_eq!(BrandId::parse(accepted).unwrap().as_str(), accepted);
        }
        let too_long = "a".repeat(41);
        for refused in [
            "", "ab", "1ab", "-ab", "ab-", "aBc", "a b", "äbc", &too_long,
        ] {
            assert_eq!(BrandId::parse(refused), Err(InvalidId::Slug), "{refused}");
        }
    }

    #[test]
    fn the_brands_own_ids_are_kept_verbatim() {
        let longest = "ä".repeat(200);
        for accepted in [" 7 ", "A/b#ç", "0", &longest] {
            assert_eq!(CustomerId::parse(accepted).unwrap().as_str(), accepted);
        }
        let too_long = "ä".repeat(201);
        for refused in ["", "a\nb", "a\0", &too_long] {
            assert_eq!(OrderId::parse(refused), Err(InvalidId::BrandText));
        }
    }
}
