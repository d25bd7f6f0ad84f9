//! Pages of lists: sizes, and tokens that say where the next page begins.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::CallError;

/// What a list gives without `page_size`.
const DEFAULT_SIZE: i64 = 50;
/// What a list gives at most.
const MAX_SIZE: i64 = 200;

/// Returns how many items a page holds: 50 where the caller does not say, at most 200.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] for a negative size.
pub fn size(page_size: i32) -> Result<i64, CallError> {
    match i64::from(page_size) {
        0 => Ok(DEFAULT_SIZE),
        size @ 1.. => Ok(size.min(MAX_SIZE)),
        _ => Err(CallError::field("page_size", "is negative")),
    }
}

/// Returns the token for the page that begins at `cursor`.
pub fn token<T: Serialize>(cursor: &T) -> String {
    let json = serde_json::to_vec(cursor).expect("a cursor is a plain struct without maps");
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

/// Returns where the page begins, or `None` for the first.
///
/// # Errors
///
/// [`CallError::PageTokenInvalid`] for a token of another method or of no method.
pub fn cursor<T: DeserializeOwned>(page_token: &str) -> Result<Option<T>, CallError> {
    if page_token.is_empty() {
        return Ok(None);
    }
    let json = BASE64_URL_SAFE_NO_PAD
        .decode(page_token)
        .map_err(|_| CallError::PageTokenInvalid)?;
    serde_json::from_slice(&json).map_err(|_| CallError::PageTokenInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_cursor() {
        assert_eq!(
            cursor::<(i64, String)>(&token(&(7, "a"))).unwrap(),
            Some((7, "a".to_owned()))
        );
        assert!(cursor::<(i64, String)>("").unwrap().is_none());
    }

    #[test]
    fn a_foreign_token_is_refused() {
        for text in ["no base64!", "e30", &token(&"other")] {
            assert!(matches!(
                cursor::<(i64, String)>(text),
                Err(CallError::PageTokenInvalid)
            ));
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size(0).unwrap(), 50);
        assert_eq!(size(i32::MAX).unwrap(), 200);
        assert!(size(-1).is_err());
    }
}
