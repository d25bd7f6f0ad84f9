//! The shapes that all methods share: repeatable writes, paged lists, types of ids, times, amounts.

use std::collections::BTreeSet;

use prost_reflect::{
    EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

use crate::{all_methods, contract, value_names};

/// Writes without `request_id`, each with what stands in its place.
const WRITES_WITHOUT_REQUEST_ID: &[(&str, &str)] = &[
    (
        "rapport.identity.v1.SessionService.IssueServiceToken",
        "stores nothing",
    ),
    (
        "rapport.identity.v1.AccountService.ExportAccount",
        "a read; each call leaves an audit entry",
    ),
    ("rapport.chat.v1.ChatService.SendMessage", "message_id"),
    ("rapport.chat.v1.ChatService.RequestRating", "message_id"),
    (
        "rapport.attribution.v1.OrderService.ImportOrders",
        "order_id",
    ),
];

/// The error reasons that all services share, with their numbers.
const COMMON_REASONS: &[&str] = &[
    "FIELD_INVALID",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "REQUEST_ID_REUSED",
    "PAGE_TOKEN_INVALID",
    "RATE_LIMITED",
    "DEADLINE_EXCEEDED",
    "DATABASE_UNAVAILABLE",
    "IDENTITY_UNAVAILABLE",
    "CONSISTENCY_UNAVAILABLE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "REQUEST_TOO_LARGE",
    "SHUTTING_DOWN",
    "RESUME_POSITION_INVALID",
    "BRAND_SUSPENDED",
];

/// Returns whether the contract says that a method has no side effects.
fn is_read(method: &MethodDescriptor) -> bool {
    const NO_SIDE_EFFECTS: i32 = 1;
    let options = method.options();
    let level = options.get_field_by_name("idempotency_level");
    level.as_deref().and_then(Value::as_enum_number) == Some(NO_SIDE_EFFECTS)
}

/// Returns whether a request has `request_id`, or, of a client stream, its first part has.
fn has_request_id(request: &MessageDescriptor) -> bool {
    let header = request
        .get_field_by_name("header")
        .map(|field| field.kind());
    request.get_field_by_name("request_id").is_some()
        || matches!(header, Some(Kind::Message(header)) if has_request_id(&header))
}

fn messages() -> Vec<MessageDescriptor> {
    let pool = contract();
    pool.all_messages()
        .filter(|message| message.full_name().starts_with("rapport."))
        .collect()
}

fn fields() -> Vec<FieldDescriptor> {
    messages()
        .iter()
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .collect()
}

fn error_reasons() -> Vec<EnumDescriptor> {
    let pool = contract();
    pool.all_enums()
        .filter(|kind| kind.name() == "ErrorReason")
        .collect()
}

/// Rule 61.
#[test]
fn every_write_takes_a_request_id() {
    let without: BTreeSet<String> = all_methods(&contract())
        .iter()
        .filter(|method| !is_read(method) && !has_request_id(&method.input()))
        .map(|method| method.full_name().to_owned())
        .collect();
    let expected = WRITES_WITHOUT_REQUEST_ID
        .iter()
        .map(|(name, _)| (*name).to_owned());
    assert_eq!(without, expected.collect());
}

#[test]
fn no_read_takes_a_request_id() {
    for method in all_methods(&contract())
        .iter()
        .filter(|method| is_read(method))
    {
        assert!(!has_request_id(&method.input()), "{}", method.full_name());
    }
}

#[test]
fn a_method_is_a_read_as_its_name_says() {
    const READS: &[&str] = &[
        "Get", "List", "Watch", "Explain", "Simulate", "Resolve", "Resume",
    ];
    for method in all_methods(&contract()) {
        let name = method.name();
        let reads = READS.iter().any(|verb| name.starts_with(verb))
            || matches!(name, "DownloadImage" | "ExportPerson");
        assert_eq!(is_read(&method), reads, "{}", method.full_name());
    }
}

#[test]
fn every_list_is_paged() {
    for method in all_methods(&contract()) {
        if !method.name().starts_with("List") {
            continue;
        }
        let (request, response) = (method.input(), method.output());
        let kind = |message: &MessageDescriptor, field: &str| {
            message.get_field_by_name(field).map(|field| field.kind())
        };
        let name = method.full_name();
        assert_eq!(kind(&request, "page_size"), Some(Kind::Int32), "{name}");
        assert_eq!(kind(&request, "page_token"), Some(Kind::String), "{name}");
        assert_eq!(
            kind(&response, "next_page_token"),
            Some(Kind::String),
            "{name}"
        );
        assert_eq!(
            response.fields().filter(FieldDescriptor::is_list).count(),
            1,
            "{name}"
        );
    }
}

#[test]
fn what_can_be_watched_can_be_resumed() {
    for method in all_methods(&contract()) {
        if !method.name().starts_with("Watch") {
            continue;
        }
        let name = method.full_name();
        assert!(method.is_server_streaming(), "{name}");
        assert!(
            method
                .input()
                .get_field_by_name("resume_position")
                .is_some(),
            "{name}"
        );
        assert!(
            method.output().get_field_by_name("position").is_some(),
            "{name}"
        );
        assert!(
            method.output().get_field_by_name("heartbeat").is_some(),
            "{name}"
        );
    }
}

#[test]
fn ids_are_strings_and_times_are_timestamps() {
    for field in fields() {
        let name = field.full_name();
        if field.name().ends_with("_id") || field.name().ends_with("_ids") {
            let is_own_customer_id = field.name() == "own_customer_ids";
            assert!(field.kind() == Kind::String || is_own_customer_id, "{name}");
        }
        let is_timestamp = matches!(field.kind(), Kind::Message(message)
            if message.full_name() == "google.protobuf.Timestamp");
        assert_eq!(field.name().ends_with("_time"), is_timestamp, "{name}");
    }
}

/// Rule 46: money is whole minor units, and nothing else here needs a fraction either.
#[test]
fn nothing_is_a_float() {
    for field in fields() {
        let is_float = matches!(field.kind(), Kind::Float | Kind::Double);
        assert!(!is_float, "{}", field.full_name());
    }
}

#[test]
fn enums_begin_with_an_unspecified_value() {
    let pool = contract();
    for kind in pool
        .all_enums()
        .filter(|kind| kind.full_name().starts_with("rapport."))
    {
        assert!(
            kind.default_value().name().ends_with("_UNSPECIFIED"),
            "{}",
            kind.full_name()
        );
    }
}

#[test]
fn common_error_reasons_are_the_same_in_every_service() {
    let reasons = error_reasons();
    assert_eq!(reasons.len(), 3);
    for kind in reasons {
        for (index, reason) in COMMON_REASONS.iter().enumerate() {
            let value = kind.get_value_by_name(&format!("ERROR_REASON_{reason}"));
            let number = value.map(|value| value.number());
            assert_eq!(
                number,
                i32::try_from(index + 1).ok(),
                "{} {reason}",
                kind.full_name()
            );
        }
    }
}

#[test]
fn an_events_payload_carries_its_revision() {
    let pool = contract();
    let event = pool
        .get_message_by_name("rapport.event.v1.Event")
        .expect("declared");
    let payload = event.oneofs().next().expect("the payload");
    assert_eq!(payload.fields().count(), 8);
    for field in payload.fields() {
        let Kind::Message(message) = field.kind() else {
            panic!("{} is no message", field.full_name());
        };
        let revision = message
            .get_field_by_name("revision")
            .map(|field| field.kind());
        assert_eq!(revision, Some(Kind::Int64), "{}", message.full_name()); // SPEC 51
    }
}

#[test]
fn every_error_reason_is_named_by_a_method() {
    for kind in error_reasons() {
        let said: String = all_methods(&contract())
            .iter()
            .filter(|method| method.parent_file().package_name() == kind.package_name())
            .map(crate::comments::of_method)
            .collect();
        for reason in value_names(&kind) {
            let is_common = COMMON_REASONS.contains(&reason.as_str());
            assert!(
                is_common || said.contains(&reason),
                "{} {reason}",
                kind.full_name()
            );
        }
    }
}
