//! Pages of lists: how much of one a caller asks for, and the token that says where to go on.
//!
//! A list is read in an order that nothing changes, and a page begins behind the last item of the
//! one before, so that what is written meanwhile moves nothing from one page to another. One item
//! more than the page holds is read: it tells whether there is another page.
//!
//! ```text
//! let page = Page::open(request.page_size, &request.page_token, &("ListLinks", brand, filter))?;
//! let links = links::list(connection, brand, filter, page.after(), page.limit()).await?;
//! let (links, next_page_token) = page.close(links, |last| last.link_id.uuid());
//! ```

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::error::CallError;

/// What a list gives without `page_size`.
const DEFAULT_SIZE: i64 = 50;
/// What a list gives at most.
const MAX_SIZE: i64 = 200;

/// A page that a caller asks for, of a list whose places are `C`.
#[derive(Clone, Debug)]
pub struct Page<C> {
    size: i64,
    list: String,
    after: Option<C>,
}

/// What a page token says.
#[derive(Deserialize, Serialize)]
struct Wire<C> {
    /// Of which list the place is.
    list: String,
    after: C,
}

impl<C: DeserializeOwned + Serialize> Page<C> {
    /// Returns the page that a request asks for: 50 items where it does not say, at most 200.
    ///
    /// `list` says which list it is: the method, whose list, and every filter and order. A token is
    /// good for that list alone; another page size is no other list.
    ///
    /// # Errors
    ///
    /// [`CallError::FieldInvalid`] for a negative size; [`CallError::PageTokenInvalid`] for a token
    /// that this list did not give.
    pub fn open(
        page_size: i32,
        page_token: &str,
        list: &impl Serialize,
    ) -> Result<Self, CallError> {
        let size = size(page_size)?;
        let list = name(list);
        let after = match cursor::<Wire<C>>(page_token)? {
            Some(wire) if wire.list != list => return Err(CallError::PageTokenInvalid),
            wire => wire.map(|wire| wire.after),
        };
        Ok(Self { size, list, after })
    }

    /// Returns the last place of the page before, or `None` for the first page.
    pub fn after(&self) -> Option<&C> {
        self.after.as_ref()
    }

    /// Returns how many items to read behind [`after`](Self::after): one more than are shown.
    pub fn limit(&self) -> i64 {
        self.size + 1
    }

    /// Splits what was read into the page and the token of the next one, which is empty where there
    /// is none.
    pub fn close<T>(&self, mut items: Vec<T>, place: impl FnOnce(&T) -> C) -> (Vec<T>, String) {
        let size = usize::try_from(self.size).expect("a size is 1 to 200");
        let has_more = items.len() > size;
        items.truncate(size);
        let token = items.last().filter(|_| has_more).map(|last| {
            token(&Wire {
                list: self.list.clone(),
                after: place(last),
            })
        });
        (items, token.unwrap_or_default())
    }
}

/// Returns an instant of a place, of the years 1 to 9999, as the contract's timestamps are.
///
/// # Errors
///
/// [`CallError::PageTokenInvalid`] for another: no list has given it.
pub fn instant(micros: i64) -> Result<DateTime<Utc>, CallError> {
    const YEAR_1_MICROS: i64 = -62_135_596_800_000_000;
    const YEAR_10000_MICROS: i64 = 253_402_300_800_000_000;
    if !(YEAR_1_MICROS..YEAR_10000_MICROS).contains(&micros) {
        return Err(CallError::PageTokenInvalid);
    }
    DateTime::from_timestamp_micros(micros).ok_or(CallError::PageTokenInvalid)
}

fn size(page_size: i32) -> Result<i64, CallError> {
    match i64::from(page_size) {
        0 => Ok(DEFAULT_SIZE),
        size @ 1.. => Ok(size.min(MAX_SIZE)),
        _ => Err(CallError::field("page_size", "is negative")),
    }
}

/// Returns a short name of a list; its filters may be personal, and a token is kept by strangers.
fn name(list: &impl Serialize) -> String {
    let json = serde_json::to_vec(list).expect("a list is told by plain words and numbers");
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(json)[..16])
}

/// Returns an opaque token that stands for `cursor`.
pub(crate) fn token<T: Serialize>(cursor: &T) -> String {
    let json = serde_json::to_vec(cursor).expect("a cursor is a plain struct without maps");
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

/// Returns what a token stands for, or `None` where it is empty.
///
/// # Errors
///
/// [`CallError::PageTokenInvalid`] for a token of another kind.
pub(crate) fn cursor<T: DeserializeOwned>(token: &str) -> Result<Option<T>, CallError> {
    if token.is_empty() {
        return Ok(None);
    }
    let json = BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|_| CallError::PageTokenInvalid)?;
    serde_json::from_slice(&json).map_err(|_| CallError::PageTokenInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: (&str, i64) = ("ListThings", 7);

    fn open(page_size: i32, page_token: &str) -> Result<Page<i64>, CallError> {
        Page::open(page_size, page_token, &LIST)
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = open(2, &token).unwrap();
            let first = page.after().map_or(0, |last| last + 1);
            let read = (first..5).take(usize::try_from(page.limit()).unwrap());
            let (items, next) = page.close(read.collect(), |last| *last);
            assert!(items.len() <= 2);
            seen.extend(items);
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_last_page_that_is_full_is_the_last() {
        let (items, next) = open(2, "").unwrap().close(vec![1, 2], |last| *last);
        assert_eq!((items, next.as_str()), (vec![1, 2], ""));
    }

    #[test]
    fn a_token_is_good_for_its_list_alone() {
        let (_, next) = open(1, "").unwrap().close(vec![1, 2], |last| *last);
        assert_eq!(open(9, &next).unwrap().after(), Some(&1));
        let others = [("ListThings", 8), ("ListOthers", 7)];
        let refusals = others.map(|list| Page::<i64>::open(1, &next, &list).map(|_| ()));
        let broken = ["no base64!", "e30", &token(&"other")].map(|text| open(1, text).map(|_| ()));
        let of_other_places = Page::<(i64, String)>::open(1, &next, &LIST).map(|_| ());
        for refused in refusals.into_iter().chain(broken).chain([of_other_places]) {
            assert!(matches!(refused, Err(CallError::PageTokenInvalid)));
        }
    }

    #[test]
    fn instants_that_no_database_knows_are_refused() {
        assert_eq!(instant(-7).unwrap().timestamp_micros(), -7);
        for micros in [i64::MIN, i64::MAX, 253_402_300_800_000_000] {
            assert!(matches!(instant(micros), Err(CallError::PageTokenInvalid)));
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(open(0, "").unwrap().limit(), 51);
        assert_eq!(open(i32::MAX, "").unwrap().limit(), 201);
        assert!(matches!(
            open(-1, ""),
            Err(CallError::FieldInvalid {
                field: "page_size",
                ..
            })
        ));
    }
}
