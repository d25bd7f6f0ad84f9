//! Strings that stand for something personal or secret, and the search for them.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use uuid::Uuid;

/// Where a canary may be found before an erasure, and what the erasure leaves of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In identity's database until the person is erased.
    Identity,
    /// In chat's database until the person is erased.
    Chat,
    /// In identity's database for good: it is not the person's.
    IdentityForGood,
    /// Nowhere at any time: a token, a secret, or what is kept as a digest alone.
    Nowhere,
}

/// A string that can be found again wherever it has been written.
#[derive(Clone, Debug)]
struct Canary {
    name: &'static str,
    place: Place,
    value: Vec<u8>,
}

/// All canaries of a story.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canaries(Vec<Canary>);

impl Canaries {
    /// Makes a new string of letters and digits, which no escaping changes: neither that of JSON nor
    /// of URLs nor of SQL.
    pub(crate) fn hatch(&mut self, name: &'static str, place: Place) -> String {
        let value = format!("Kanarie{}", Uuid::new_v4().simple());
        self.know(name, place, &value);
        value
    }

    /// Takes a value that the suite has made, such as a token.
    pub(crate) fn know(&mut self, name: &'static str, place: Place, value: impl AsRef<[u8]>) {
        let value = value.as_ref().to_vec();
        assert!(value.len() >= 16, "{name} could be found by chance");
        self.0.push(Canary { name, place, value });
    }

    /// Returns the names of those at one of these places.
    pub(crate) fn names(&self, places: &[Place]) -> BTreeSet<&'static str> {
        let at = |canary: &&Canary| places.contains(&canary.place);
        self.0.iter().filter(at).map(|canary| canary.name).collect()
    }

    /// Returns the names of those that are in `text`, in any form.
    pub(crate) fn found_in(&self, text: &[u8]) -> BTreeSet<&'static str> {
        let forms: Vec<(&'static str, Vec<u8>)> = self
            .0
            .iter()
            .flat_map(|canary| {
                forms(&canary.value)
                    .into_iter()
                    .map(|form| (canary.name, form))
            })
            .collect();
        let search: AhoCorasick = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .build(forms.iter().map(|(_, form)| form))
            .unwrap();
        search
            .find_overlapping_iter(text)
            .map(|found| forms[found.pattern().as_usize()].0)
            .collect()
    }
}

/// Returns how a value may have been written down: as it is, in hexadecimal (a dump of PostgreSQL),
/// as a list of numbers (`Debug` of bytes), in base64 within something longer. Upper and lower case
/// are not told apart.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<String> = value.iter().map(ToString::to_string).collect();
    let mut forms = vec![
        value.to_vec(),
        hex.into_bytes(),
        numbers.join(", ").into_bytes(),
    ];
    for offset in 0..3 {
        // The characters at both ends depend on what stands beside the value.
        let mut bytes = vec![0; offset];
        bytes.extend(value);
        let skipped = [0, 2, 3][offset];
        let cut = usize::from(bytes.len() % 3 != 0);
        for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&bytes);
            forms.push(encoded.as_bytes()[skipped..encoded.len() - cut].to_vec());
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

#[test]
fn a_canary_is_found_in_each_of_its_forms() {
    let mut canaries = Canaries::default();
    let value = canaries.hatch("a name", Place::Identity);
    canaries.hatch("another", Place::Identity);
    let found = |text: &[u8]| canaries.found_in(text).into_iter().collect::<Vec<_>>();
    let check = |text: &str| assert_eq!(found(text.as_bytes()), ["a name"], "{text}");
    check(&format!("INSERT INTO account VALUES ('{value}')"));
    check(&format!("{{\"username\":\"{}\"}}", value.to_uppercase()));
    check(&format!(
        "\\x0a{}00",
        value
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    ));
    check(&format!("{:?}", format!("x{value}y").as_bytes()));
    for before in ["", "a", "ab", "abc"] {
        let document = format!("{before}{value}?~~");
        check(&BASE64_STANDARD_NO_PAD.encode(&document));
        check(&BASE64_URL_SAFE_NO_PAD.encode(&document));
    }
    assert_eq!(found(b"Kanarie"), [""; 0]);
}
