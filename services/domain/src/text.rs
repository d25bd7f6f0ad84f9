//! What people write: a visitor's name for himself, and the body of a message.
//!
//! Both are personal: neither appears in `Debug`, nor in an error (SPEC 58).
//!
//! | type            | length                  | blank   | kept                          |
//! |-----------------|-------------------------|---------|-------------------------------|
//! | [`Username`]    | 1 to 80 characters      | refused | without the blanks around it  |
//! | [`MessageText`] | 1 to 4,000 characters   | refused | verbatim                      |
//!
//! Characters are Unicode scalar values.

use std::fmt;

/// A text cannot be what it was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Empty, or nothing but white space.
    #[error("must not be blank")]
    Blank,
    /// More characters than allowed.
    #[error("must have at most {max_characters} characters")]
    TooLong {
        /// The most that it may have.
        max_characters: usize,
    },
    /// A control character where none may be.
    #[error("must have no control characters")]
    Control,
}

/// The name that a visitor gives himself.
///
/// Source: SPEC 2; the length is ours.
#[derive(Clone, PartialEq, Eq)]
pub struct Username(String);

/// The text of a message.
///
/// Source: SPEC 32.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageText(String);

impl Username {
    /// The most characters of a name.
    pub const MAX_CHARACTERS: usize = 80;

    /// Returns the name, without the white space around it.
    ///
    /// # Errors
    ///
    /// [`InvalidText::Blank`], [`InvalidText::TooLong`], and [`InvalidText::Control`], since a name
    /// is shown on one line.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let name = text.trim();
        check(name, Self::MAX_CHARACTERS)?;
        if name.chars().any(char::is_control) {
            return Err(InvalidText::Control);
        }
        Ok(Self(name.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MessageText {
    /// The most characters of a message.
    pub const MAX_CHARACTERS: usize = 4_000;

    /// Returns the text, verbatim.
    ///
    /// # Errors
    ///
    /// [`InvalidText::Blank`] and [`InvalidText::TooLong`].
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        check(text, Self::MAX_CHARACTERS)?;
        Ok(Self(text.to_owned()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Username(..)")
    }
}

impl fmt::Debug for MessageText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MessageText(..)")
    }
}

fn check(text: &str, max_characters: usize) -> Result<(), InvalidText> {
    if text.trim().is_empty() {
        return Err(InvalidText::Blank);
    }
    if text.chars().count() > max_characters {
        return Err(InvalidText::TooLong { max_characters });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_not_blank() {
        assert_eq!(Username::parse("  Ann \n").unwrap().as_str(), "Ann"); // SPEC 2
        assert_eq!(Username::parse(" \t "), Err(InvalidText::Blank));
        assert_eq!(Username::parse("A\u{7}nn"), Err(InvalidText::Control));
        assert!(Username::parse(&"ñ".repeat(80)).is_ok());
        let too_long = Err(InvalidText::TooLong { max_characters: 80 });
        assert_eq!(Username::parse(&"ñ".repeat(81)), too_long);
    }

    #[test]
    fn a_message_has_1_to_4000_characters_and_is_kept_verbatim() {
        assert_eq!(MessageText::parse(" a\nb ").unwrap().as_str(), " a\nb "); // SPEC 32
        assert_eq!(MessageText::parse("\n \u{2003}"), Err(InvalidText::Blank));
        assert!(MessageText::parse(&"😀".repeat(4_000)).is_ok());
        let max_characters = MessageText::MAX_CHARACTERS;
        let too_long = Err(InvalidText::TooLong { max_characters });
        assert_eq!(MessageText::parse(&"😀".repeat(4_001)), too_long);
    }

    #[test]
    fn debug_tells_nothing() {
        let name = Username::parse("Ann").unwrap();
        let text = MessageText::parse("hello").unwrap();
        assert_eq!(format!("{name:?} {text:?}"), "Username(..) MessageText(..)"); // SPEC 58
    }
}
