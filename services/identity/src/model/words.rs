//! The words in the rows: each has one stored name, and stands for a value of the contract.

use std::{fmt, str::FromStr};

use domain::label::UnknownLabel;
use rapport_proto::{event::v1 as event, identity::v1 as proto};

/// Defines an enum with stored names, each value being one of a proto enum's.
macro_rules! words {
    ($(#[$doc:meta])+ $name:ident: $proto:ty { $($(#[$variant_doc:meta])+ $variant:ident => $label:literal),+ $(,)? }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum $name {
            $($(#[$variant_doc])+ $variant,)+
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self {
                    $(Self::$variant => $label),+
                })
            }
        }

        impl FromStr for $name {
            type Err = UnknownLabel;

            fn from_str(text: &str) -> Result<Self, UnknownLabel> {
                match text {
                    $($label => Ok(Self::$variant),)+
                    _ => Err(UnknownLabel { expected: stringify!($name) }),
                }
            }
        }

        impl From<$name> for $proto {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$variant => Self::$variant),+
                }
            }
        }

        impl TryFrom<$proto> for $name {
            type Error = UnknownLabel;

            fn try_from(word: $proto) -> Result<Self, UnknownLabel> {
                match word {
                    $(<$proto>::$variant => Ok(Self::$variant),)+
                    _ => Err(UnknownLabel { expected: stringify!($name) }),
                }
            }
        }
    };
}

words!(
    /// Whether a Brand is served.
    BrandState: event::BrandState {
        /// It is.
        Active => "ACTIVE",
        /// Its visitors, Members and services are refused.
        Suspended => "SUSPENDED",
    }
);
words!(
    /// What a visitor's account is.
    AccountKind: event::AccountKind {
        /// An anonymous visitor's.
        Temporary => "TEMPORARY",
        /// One of whom the Brand has said who he is.
        Client => "CLIENT",
    }
);
words!(
    /// What can still happen with an account.
    AccountState: event::AccountState {
        /// It is in use.
        Active => "ACTIVE",
        /// A sign-in has linked, separated or abandoned it.
        Settled => "SETTLED",
        /// Nothing personal is left of it.
        Erased => "ERASED",
    }
);
words!(
    /// Whether a Member answers visitors.
    MemberState: event::MemberState {
        /// He does.
        Active => "ACTIVE",
        /// He does not any more.
        Deactivated => "DEACTIVATED",
    }
);
words!(
    /// What an assertion key is.
    AssertionKeyKind: proto::AssertionKeyKind {
        /// Signs user data.
        HmacSecret => "HMAC_SECRET",
        /// Public keys for ID tokens.
        JwkSet => "JWK_SET",
        /// Public keys for ID tokens, on a server of the Brand's.
        JwksUri => "JWKS_URI",
    }
);
words!(
    /// How an ID token may be signed; asymmetric ones only.
    TokenAlgorithm: proto::TokenAlgorithm {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 => "RS256",
        /// RSASSA-PSS with SHA-256.
        Ps256 => "PS256",
        /// ECDSA on P-256 with SHA-256.
        Es256 => "ES256",
        /// EdDSA on Ed25519.
        Eddsa => "EdDSA",
    }
);

/// What the owner of a session was when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionKind {
    /// An anonymous visitor.
    Temporary,
    /// A signed-in visitor.
    Client,
    /// A Member.
    Member,
}

impl fmt::Display for SessionKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Temporary => "TEMPORARY",
            Self::Client => "CLIENT",
            Self::Member => "MEMBER",
        })
    }
}

impl FromStr for SessionKind {
    type Err = UnknownLabel;

    fn from_str(text: &str) -> Result<Self, UnknownLabel> {
        match text {
            "TEMPORARY" => Ok(Self::Temporary),
            "CLIENT" => Ok(Self::Client),
            "MEMBER" => Ok(Self::Member),
            _ => Err(UnknownLabel {
                expected: "SessionKind",
            }),
        }
    }
}

/// Several words in one column, as a JSON array of strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

/// A stored list that is no JSON array of the expected words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a JSON array of words")]
pub(crate) struct InvalidList;

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<serde_json::Value> =
            self.0.iter().map(|word| word.to_string().into()).collect();
        write!(formatter, "{}", serde_json::Value::Array(words))
    }
}

impl<T: FromStr> FromStr for List<T> {
    type Err = InvalidList;

    fn from_str(text: &str) -> Result<Self, InvalidList> {
        let words: Vec<String> = serde_json::from_str(text).map_err(|_| InvalidList)?;
        let parsed = words.iter().map(|word| word.parse());
        let parsed: Result<Vec<T>, _> = parsed.collect();
        parsed.map(Self).map_err(|_| InvalidList)
    }
}
