//! What is secret or personal is left out of `Debug`, and is in no event (rules 53 and 58).

use std::collections::BTreeSet;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};
use rapport_proto::{
    chat::v1::{ImageChunk, Message, MessageContent, TextContent, message_content::Content},
    identity::v1::{
        Account, SignInRequest, SignInResponse, SignedUserData, Widget, sign_in_request::Assertion,
    },
};

use crate::contract;

/// Names that only a field with something secret or personal has.
const SENSITIVE: &[&str] = &[
    "access_token",
    "api_key",
    "caption",
    "code",
    "comment",
    "email",
    "family_name",
    "given_name",
    "hmac_secret",
    "id_token",
    "imported_secret",
    "nonce",
    "picture_uri",
    "secret",
    "session_token",
    "signature",
    "subject",
    "temporary_session_token",
    "text",
    "title",
    "user_data_json",
    "username",
];

const CANARY: &str = "canary-7f31";

fn fields() -> Vec<FieldDescriptor> {
    let pool = contract();
    pool.all_messages()
        .filter(|message| message.full_name().starts_with("rapport."))
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .collect()
}

fn is_redacted(field: &FieldDescriptor) -> bool {
    let options = field.options();
    let redact = options.get_field_by_name("debug_redact");
    redact.as_deref().and_then(Value::as_bool).unwrap_or(false)
}

/// Checks that `Debug` of a message tells nothing of the canaries in it.
fn check(message: &impl std::fmt::Debug) -> String {
    let text = format!("{message:?}");
    assert!(!text.contains(CANARY), "{text}");
    assert!(text.contains("[redacted]"), "{text}");
    text
}

#[test]
fn sensitive_fields_are_marked() {
    for field in fields() {
        let holds_text = matches!(field.kind(), Kind::String | Kind::Bytes);
        if holds_text && SENSITIVE.contains(&field.name()) {
            assert!(is_redacted(&field), "{}", field.full_name());
        }
    }
}

#[test]
fn a_message_in_debug_tells_neither_tokens_nor_texts() {
    let canary = || CANARY.to_owned();
    let request = SignInRequest {
        brand_id: "shop".to_owned(),
        assertion: Some(Assertion::IdToken(canary())),
        temporary_session_token: canary(),
        widget: Widget::Community.into(),
        ..SignInRequest::default()
    };
    let text = check(&request);
    assert!(text.contains("brand_id: \"shop\""), "{text}");
    assert!(text.contains("widget: Community"), "{text}");

    check(&SignedUserData {
        user_data_json: canary(),
        signature: canary(),
        assertion_key_id: String::new(),
    });
    check(&SignInResponse {
        account: Some(Account {
            username: canary(),
            email: canary(),
            given_name: canary(),
            family_name: canary(),
            ..Account::default()
        }),
        ..SignInResponse::default()
    });
    check(&Message {
        content: Some(MessageContent {
            content: Some(Content::Text(TextContent { text: canary() })),
        }),
        ..Message::default()
    });
    check(&ImageChunk {
        data: CANARY.into(),
    });
}

/// Rule 53: ids, kinds, times and keyed digests; never a name, an e-mail or a text.
#[test]
fn no_event_has_room_for_anything_personal() {
    let pool = contract();
    let event = pool
        .get_message_by_name("rapport.event.v1.Event")
        .expect("declared");
    let mut seen = BTreeSet::new();
    visit(&event, &mut seen);
    assert!(seen.contains("rapport.event.v1.EmailDigest"));
}

fn visit(message: &MessageDescriptor, seen: &mut BTreeSet<String>) {
    if !seen.insert(message.full_name().to_owned()) {
        return;
    }
    for field in message.fields() {
        let name = field.name();
        match field.kind() {
            Kind::Message(inner) if inner.full_name().starts_with("rapport.") => {
                visit(&inner, seen)
            }
            Kind::String => {
                let is_id =
                    name.ends_with("_id") || name.ends_with("_ids") || name == "trace_parent";
                assert!(is_id, "{}", field.full_name());
            }
            Kind::Bytes => assert_eq!(name, "digest", "{}", field.full_name()),
            _ => {}
        }
    }
}
