//! E-mail addresses, where they come from, and what other services see of them.
//!
//! An e-mail is never a credential and never an identity key (SPEC 3). It is compared in two places
//! only: the first value of the merge policy's first axis, and the last key of a buyer.

use std::fmt;

use crate::label::labels;

/// An e-mail address without the white space around it and in lower case, so that two spellings of
/// one address are equal. At most 254 bytes (RFC 5321); its shape is checked only as far as
/// something stands on each side of an `@`.
///
/// Personal: `Debug` does not show it, and there is no `Display` (SPEC 58).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

/// Who stands for an e-mail. Kept with every e-mail, also through an upgrade (SPEC 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provenance {
    /// The visitor typed it, or an ID token did not call it verified: it proves nothing.
    Typed,
    /// The Brand stands for it.
    Attested,
}

labels!(Provenance { Typed => "TYPED", Attested => "ATTESTED" });

/// What attribution sees of an [`Email`]: a digest under a key of the Brand's, made elsewhere. Equal
/// addresses of one Brand have equal digests; across Brands nothing can be compared (SPEC 36).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailDigest([u8; 32]);

/// A text is no e-mail address. The text is not repeated, since it may be personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address of at most 254 bytes")]
pub struct InvalidEmail;

impl Email {
    /// The most bytes of an address.
    pub const MAX_BYTES: usize = 254;

    /// Returns the normalised address.
    ///
    /// # Errors
    ///
    /// [`InvalidEmail`] when it is too long, has white space or control characters inside, or
    /// nothing on one side of its last `@`.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let address = text.trim().to_lowercase();
        let is_broken = |character: char| character.is_whitespace() || character.is_control();
        match address.rsplit_once('@') {
            Some((local, host)) if !local.is_empty() && !host.is_empty() => {}
            _ => return Err(InvalidEmail),
        }
        if address.len() > Self::MAX_BYTES || address.chars().any(is_broken) {
            return Err(InvalidEmail);
        }
        Ok(Self(address))
    }

    /// Returns the normalised address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Email(..)")
    }
}

impl EmailDigest {
    /// Returns the digest with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EmailDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(formatter, "EmailDigest({first:02x}{second:02x}..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_address_are_equal() {
        let one = Email::parse("  Ann@Shop.Example ").unwrap(); // SPEC 36
        assert_eq!(one, Email::parse("ann@shop.example").unwrap());
        assert_eq!(one.as_str(), "ann@shop.example");
    }

    #[test]
    fn what_has_no_two_sides_is_refused() {
        let longest = format!("{}@b.example", "a".repeat(244));
        let too_long = format!("a{longest}");
        assert!(Email::parse(&longest).is_ok());
        for refused in [
            "",
            "ann",
            "@b",
            "a@",
            "a b@c",
            "a@b\u{0}c",
            "a@\nb",
            &too_long,
        ] {
            assert_eq!(Email::parse(refused), Err(InvalidEmail), "{refused}");
        }
    }

    #[test]
    fn debug_tells_nothing() {
        let email = Email::parse("ann@shop.example").unwrap(); // SPEC 58
        assert_eq!(format!("{email:?}"), "Email(..)");
        let digest = EmailDigest::new([0xab; 32]);
        assert_eq!(format!("{digest:?}"), "EmailDigest(abab..)");
    }
}
