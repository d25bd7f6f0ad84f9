//! What a Brand wants to become of a temporary account when its visitor signs in.
//!
//! Two axes, because the product behaves differently in two situations, and changed each of them
//! on its own. Every value is what some version of the product did or announced:
//!
//! | the Brand's user …          | value                        | product version | effect |
//! |-----------------------------|------------------------------|-----------------|--------|
//! | has **no** client account   | `UPGRADE_UNLESS_EMAIL_DIFFERS` | 4.4 to 4.6.1  | other e-mail typed: a new client, the history stays behind; else upgrade |
//! | yet (cases 1 and 2)         | `UPGRADE` (default)          | 4.6.2 and later | the temporary account becomes the client account |
//! |                             | `LINK`                       | announced       | a new client, linked with history |
//! | **has** a client account    | `ABANDON`                    | before 4.8      | the temporary chatrooms are lost to the visitor |
//! | (case 3)                    | `LINK_FOR_TRACKING`          | 4.8             | linked for attribution alone |
//! |                             | `LINK_WITH_HISTORY` (default) | after 4.8      | linked, and both histories are shown |
//!
//! | [`Preset`]      | first axis                   | second axis        |
//! |-----------------|------------------------------|--------------------|
//! | `V4_4`          | `UPGRADE_UNLESS_EMAIL_DIFFERS` | `ABANDON`        |
//! | `V4_6_2`        | `UPGRADE`                    | `ABANDON`          |
//! | `V4_8`          | `UPGRADE`                    | `LINK_FOR_TRACKING` |
//! | `TWO_CHATROOMS` | `UPGRADE`                    | `LINK_WITH_HISTORY` |
//! | `ALWAYS_LINKED` | `LINK`                       | `LINK_WITH_HISTORY` |
//!
//! Source: SPEC 6; product document, cases 1 to 3 and their version notes.

use crate::label::labels;

/// The merge policy of a Brand. A change makes a new revision; a sign-in keeps the one that it was
/// decided under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MergePolicy {
    /// For a user of the Brand without a client account.
    pub on_new_client: OnNewClient,
    /// For a user of the Brand with one.
    pub on_existing_client: OnExistingClient,
}

/// What to do when the Brand's user has **no** client account yet (cases 1 and 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnNewClient {
    /// Keep the two apart if the visitor typed another e-mail than the Brand gives; else upgrade.
    UpgradeUnlessEmailDiffers,
    /// Let the temporary account become the client account, under the Brand's e-mail.
    #[default]
    Upgrade,
    /// Make a client account and link the temporary one to it, with history.
    Link,
}

labels!(OnNewClient {
    UpgradeUnlessEmailDiffers => "UPGRADE_UNLESS_EMAIL_DIFFERS",
    Upgrade => "UPGRADE",
    Link => "LINK",
});

/// What to do when the Brand's user **has** a client account (case 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnExistingClient {
    /// Leave the temporary account behind: nothing is shown, nothing attributed through it.
    Abandon,
    /// Link it for attribution alone.
    LinkForTracking,
    /// Link it for attribution and history.
    #[default]
    LinkWithHistory,
}

labels!(OnExistingClient {
    Abandon => "ABANDON",
    LinkForTracking => "LINK_FOR_TRACKING",
    LinkWithHistory => "LINK_WITH_HISTORY",
});

/// The merge policies that the product had or announced, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// Versions 4.4 to 4.6.1.
    V4_4,
    /// Versions 4.6.2 to 4.7.
    V4_6_2,
    /// Version 4.8.
    V4_8,
    /// Planned after 4.8; what a new Brand has.
    TwoChatrooms,
    /// Announced without a version.
    AlwaysLinked,
}

labels!(Preset {
    V4_4 => "V4_4",
    V4_6_2 => "V4_6_2",
    V4_8 => "V4_8",
    TwoChatrooms => "TWO_CHATROOMS",
    AlwaysLinked => "ALWAYS_LINKED",
});

impl Preset {
    /// Returns the policy of that name.
    ///
    /// Source: SPEC 6.
    pub const fn policy(self) -> MergePolicy {
        let (on_new_client, on_existing_client) = match self {
            Self::V4_4 => (
                OnNewClient::UpgradeUnlessEmailDiffers,
                OnExistingClient::Abandon,
            ),
            Self::V4_6_2 => (OnNewClient::Upgrade, OnExistingClient::Abandon),
            Self::V4_8 => (OnNewClient::Upgrade, OnExistingClient::LinkForTracking),
            Self::TwoChatrooms => (OnNewClient::Upgrade, OnExistingClient::LinkWithHistory),
            Self::AlwaysLinked => (OnNewClient::Link, OnExistingClient::LinkWithHistory),
        };
        MergePolicy {
            on_new_client,
            on_existing_client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_keeps_and_shows_both_chatrooms() {
        assert_eq!(MergePolicy::default(), Preset::TwoChatrooms.policy()); // SPEC 6
    }

    #[test]
    fn each_preset_is_another_policy() {
        for (index, one) in Preset::ALL.iter().enumerate() {
            for other in &Preset::ALL[index + 1..] {
                assert_ne!(one.policy(), other.policy(), "{one} {other}"); // SPEC 6
            }
        }
    }
}
