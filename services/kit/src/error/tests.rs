//! Each failure has its reason, and the contract's common reasons are all here.

use super::*;

fn check(error: CallError, code: Code, reason: &str) {
    let status = error.refusal().into_status("test.rapport");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (status.code(), info.reason.as_str()),
        (code, reason),
        "{error}"
    );
    for value in info.metadata.values() {
        assert!(status.message().contains(value), "{error}");
    }
}

#[test]
fn every_failure_has_a_stable_reason() {
    check(
        CallError::field("username", "is blank"),
        Code::InvalidArgument,
        "FIELD_INVALID",
    );
    check(
        CallError::Unauthenticated,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
    check(
        CallError::PermissionDenied,
        Code::PermissionDenied,
        "PERMISSION_DENIED",
    );
    check(
        CallError::RequestIdReused,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
    );
    check(
        CallError::PageTokenInvalid,
        Code::InvalidArgument,
        "PAGE_TOKEN_INVALID",
    );
    check(
        CallError::IdentityUnavailable,
        Code::Unavailable,
        "IDENTITY_UNAVAILABLE",
    );
    check(
        CallError::Unimplemented { method: "A/B" },
        Code::Unimplemented,
        "UNIMPLEMENTED",
    );
    check(
        CallError::Internal("cause".into()),
        Code::Internal,
        "INTERNAL",
    );
    let store = StoreError::Unavailable("secret cause".into());
    check(store.into(), Code::Unavailable, "DATABASE_UNAVAILABLE");
}

#[test]
fn what_the_database_said_stays_inside() {
    let cause = diesel::result::Error::QueryBuilderError("SELECT secret".into());
    let status = CallError::from(StoreError::Query(cause))
        .refusal()
        .into_status("test.rapport");
    assert_eq!(status.message(), "internal error");
}

/// The failures of [`CallError`] but for the database's, with what the contract calls them.
fn all() -> Vec<CallError> {
    let (limit, retry_delay) = (LimitName::Brand, Duration::from_secs(1));
    vec![
        CallError::field("username", "is blank"),
        CallError::Unauthenticated,
        CallError::PermissionDenied,
        CallError::RequestIdReused,
        CallError::PageTokenInvalid,
        CallError::RateLimited { limit, retry_delay },
        CallError::DeadlineExceeded,
        StoreError::Unavailable("cause".into()).into(),
        CallError::IdentityUnavailable,
        CallError::ConsistencyUnavailable,
        CallError::Unimplemented { method: "A/B" },
        CallError::Internal("cause".into()),
        CallError::RequestTooLarge,
        CallError::ShuttingDown,
        CallError::ResumePositionInvalid,
        CallError::BrandSuspended,
    ]
}

#[test]
fn the_common_reasons_of_the_contract_are_those_of_the_kit() {
    let pool = prost_reflect::DescriptorPool::decode(rapport_proto::FILE_DESCRIPTOR_SET).unwrap();
    let ours: Vec<&str> = all().iter().map(|error| error.refusal().reason).collect();
    for service in ["identity", "chat", "attribution"] {
        let name = format!("rapport.{service}.v1.ErrorReason");
        let reasons = pool.get_enum_by_name(&name).unwrap();
        let common: Vec<String> = reasons
            .values()
            .filter(|value| (1..20).contains(&value.number()))
            .map(|value| value.name().trim_start_matches("ERROR_REASON_").to_owned())
            .collect();
        assert_eq!(common, ours, "{service}");
    }
}

#[test]
fn a_limited_caller_is_told_when_to_try_again() {
    let (limit, retry_delay) = (LimitName::Brand, Duration::from_secs(3));
    let status = CallError::RateLimited { limit, retry_delay }
        .refusal()
        .into_status("test.rapport");
    let retry = status.get_details_retry_info().unwrap();
    assert_eq!(retry.retry_delay, Some(retry_delay));
}
