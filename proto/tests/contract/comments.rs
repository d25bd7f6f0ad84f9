//! What comments promise, compared with what options and enums say.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DescriptorPool, FileDescriptor, MethodDescriptor};

use crate::{access, all_methods, contract, short_name, value_names};

/// Returns the comment above a method.
pub(crate) fn of_method(method: &MethodDescriptor) -> String {
    at(&method.parent_file(), method.path())
}

fn at(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.clone();
    info.unwrap_or_default()
        .location
        .iter()
        .find(|location| location.path == path)
        .map(|location| location.leading_comments().to_owned())
        .unwrap_or_default()
}

/// Returns the words of `text` that are of `words`.
fn named(text: &str, words: &BTreeSet<String>) -> BTreeSet<String> {
    text.split(|character: char| !(character.is_ascii_uppercase() || character == '_'))
        .filter(|word| words.contains(*word))
        .map(str::to_owned)
        .collect()
}

/// Returns the reasons of a package with the gRPC code that each one's comment begins with.
fn reasons(pool: &DescriptorPool, package: &str) -> BTreeMap<String, String> {
    let kind = pool
        .get_enum_by_name(&format!("{package}.ErrorReason"))
        .expect("every package with services has one");
    kind.values()
        .filter(|value| value.number() != 0)
        .map(|value| {
            let comment = at(&kind.parent_file(), value.path());
            let code = comment
                .trim()
                .split('.')
                .next()
                .unwrap_or_default()
                .to_owned();
            (short_name(&kind, value.name()), code)
        })
        .collect()
}

/// Rule 59: a method says in words, too, who may call it.
#[test]
fn the_callers_in_words_are_those_of_the_option() {
    let pool = contract();
    let enum_names = |name: &str| {
        value_names(
            &pool
                .get_enum_by_name(&format!("rapport.access.v1.{name}"))
                .expect("declared"),
        )
    };
    let (all_callers, all_scopes) = (enum_names("Caller"), enum_names("Scope"));
    for method in all_methods(&pool) {
        let name = method.full_name();
        let comment = of_method(&method);
        let (_, words) = comment
            .split_once("\n Callers:")
            .unwrap_or_else(|| panic!("{name}"));
        let (words, _) = words.split_once("\n\n").unwrap_or_else(|| panic!("{name}"));
        let access = access(&pool, &method);
        assert_eq!(named(words, &all_callers), access.callers, "{name}");
        assert_eq!(named(words, &all_scopes), access.scopes, "{name}");
    }
}

#[test]
fn every_method_ends_with_errors_that_exist_under_their_code() {
    let pool = contract();
    for method in all_methods(&pool) {
        let name = method.full_name();
        let reasons = reasons(&pool, method.parent_file().package_name());
        let codes: BTreeSet<String> = reasons.values().cloned().collect();
        let comment = of_method(&method);
        let (_, errors) = comment
            .split_once("\n Errors:\n")
            .unwrap_or_else(|| panic!("{name}"));
        assert!(!errors.contains("\n\n"), "{name} goes on after its errors");

        let mut code = String::new();
        let mut found = 0;
        for line in errors.lines() {
            let mut text = line.trim();
            if let Some((first, rest)) = text.split_once(' ')
                && codes.contains(first)
                && line.starts_with("   ")
                && !line.starts_with("    ")
            {
                (code, text) = (first.to_owned(), rest);
            }
            let words = text
                .split(|character: char| !(character.is_ascii_uppercase() || character == '_'))
                .filter(|word| word.len() > 1)
                .filter(|word| word.contains('_') || reasons.contains_key(*word));
            for word in words {
                assert_eq!(reasons.get(word), Some(&code), "{name}: {word}");
                found += 1;
            }
        }
        assert!(found > 0, "{name} names no error");
    }
}

#[test]
fn every_error_reason_begins_with_a_code_of_grpc() {
    const CODES: &[&str] = &[
        "ABORTED",
        "ALREADY_EXISTS",
        "DEADLINE_EXCEEDED",
        "FAILED_PRECONDITION",
        "INTERNAL",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "UNAUTHENTICATED",
        "UNAVAILABLE",
        "UNIMPLEMENTED",
    ];
    let pool = contract();
    for service in ["identity", "chat", "attribution"] {
        for (reason, code) in reasons(&pool, &format!("rapport.{service}.v1")) {
            assert!(CODES.contains(&code.as_str()), "{service} {reason}: {code}");
        }
    }
}
