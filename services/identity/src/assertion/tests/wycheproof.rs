//! Google's Wycheproof vectors of JWS and JWK, through the one entry point.
//!
//! They are read from a folder beside the project, and never copied into it. A vector's payload is no
//! ID token: one that is accepted has passed everything up to its signature, and is refused for its
//! claims alone.

use std::{collections::BTreeMap, path::PathBuf};

use super::*;

const FOLDER: &str = "RAPPORT_TEST_WYCHEPROOF";

#[derive(Deserialize)]
struct File {
    #[serde(rename = "numberOfTests")]
    number_of_tests: usize,
    #[serde(rename = "testGroups")]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    comment: String,
    #[serde(default)]
    public: Option<Value>,
    #[serde(default)]
    private: Option<Value>,
    tests: Vec<Vector>,
}

impl Group {
    /// Returns the key or keys; where there is no public half, that of an HMAC.
    fn key(&self) -> &Value {
        self.public.as_ref().or(self.private.as_ref()).unwrap()
    }
}

#[derive(Deserialize)]
struct Vector {
    #[serde(rename = "tcId")]
    number: u32,
    comment: String,
    jws: String,
    result: String,
}

/// What became of the vectors.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    refused: usize,
    accepted: usize,
    /// The valid ones that no Brand can allow, by their algorithm.
    unsupported: BTreeMap<String, usize>,
}

fn read(name: &str) -> File {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/wycheproof");
    let folder = std::env::var_os(FOLDER).map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let file = folder.join(name);
    let json = std::fs::read(&file).unwrap_or_else(|error| {
        panic!(
            "the Wycheproof vectors {} cannot be read ({error}): set {FOLDER} to their folder",
            file.display()
        )
    });
    serde_json::from_slice(&json).unwrap()
}

/// Returns the set that a Brand would give for the group's key or keys, if we take such a set.
fn key_set(group: &Group) -> Option<KeySet> {
    let key = group.key();
    let set = match key.get("keys") {
        Some(_) => key.clone(),
        None => json!({ "keys": [key] }),
    };
    KeySet::import(&set.to_string()).ok()
}

/// Shows the vector at a sign-in, and returns why it is refused.
fn refusal(key_set: Option<&KeySet>, vector: &Vector) -> AssertionRefusal {
    let keys = key_set.map(|key_set| AssertionKey {
        key_set: Some(key_set.to_json()),
        ..key(AssertionKeyKind::JwkSet)
    });
    let trust = Trust {
        brand: &brand(),
        keys: keys.as_slice(),
        published_keys: &PublishedKeys::new(Reach::Public),
        sealing_key: &SealingKey::new(Key::random()),
        now: now(),
    };
    let presented = PresentedAssertion::IdToken(vector.jws.clone());
    let refusal = verify_now(&presented, &trust).err();
    refusal.expect("no vector is an ID token of the Brand's")
}

/// Returns the algorithm in the header, or that of the key where the header cannot be read.
fn algorithm(jws: &str, key: &Value) -> String {
    let header = jws.split('.').next().unwrap_or_default();
    let header: Value = BASE64_URL_SAFE_NO_PAD
        .decode(header)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .unwrap_or_default();
    let of_key = key["alg"].as_str();
    let named = header["alg"].as_str().or(of_key);
    named.unwrap_or("none").to_owned()
}

fn check(name: &str, expected: &Tally) {
    let file = read(name);
    let mut tally = Tally::default();
    for group in &file.groups {
        let key_set = key_set(group);
        for vector in &group.tests {
            let refusal = refusal(key_set.as_ref(), vector);
            let is_signed = refusal == AssertionRefusal::ClaimsMalformed;
            let algorithm = algorithm(&vector.jws, group.key());
            let is_supported = algorithm.parse::<TokenAlgorithm>().is_ok();
            let what = format!(
                "{name} {} {}: {}: {refusal}",
                vector.number, group.comment, vector.comment
            );
            match vector.result.as_str() {
                "invalid" => {
                    assert!(!is_signed, "{what}");
                    tally.refused += 1;
                }
                "valid" if is_supported => {
                    assert!(is_signed, "{what}");
                    tally.accepted += 1;
                }
                "valid" => {
                    assert!(!is_signed, "{what}");
                    *tally.unsupported.entry(algorithm).or_default() += 1;
                }
                result => panic!("{what}: {result} is no result that is known"),
            }
        }
    }
    println!("{name}: {tally:?}");
    let unsupported: usize = tally.unsupported.values().sum();
    assert_eq!(
        tally.refused + tally.accepted + unsupported,
        file.number_of_tests,
        "none is left out"
    );
    assert_eq!(&tally, expected, "{name}");
}

fn unsupported(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let counts = counts.iter();
    counts
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[test]
fn wycheproof_signatures_are_told_apart() {
    let expected = Tally {
        refused: 355,
        accepted: 16,
        unsupported: unsupported(&[
            ("ES512", 2),
            ("HS256", 10),
            ("PS384", 6),
            ("PS512", 4),
            ("RS384", 4),
            ("RS512", 4),
        ]),
    };
    check("json_web_signature.json", &expected);
}

#[test]
fn wycheproof_keys_are_told_apart() {
    let expected = Tally {
        refused: 21,
        accepted: 1,
        unsupported: unsupported(&[("HS256", 2), ("HS384", 1), ("HS512", 1)]),
    };
    check("json_web_key.json", &expected);
}
