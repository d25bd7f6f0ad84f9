//! Brands and merge policies on the wire.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    id::BrandId,
    merge_policy::{MergePolicy, OnExistingClient, OnNewClient, Preset},
};
use kit::convert::{field, timestamp};
use prost_types::FieldMask;
use rapport_proto::{
    access::v1::Caller,
    event::v1 as event,
    identity::v1::{self as proto, set_merge_policy_request::Choice},
};

use super::{
    MAX_DISPLAY_NAME,
    audit_entry::show_actor,
    duration, etag,
    event::{on_existing_client, on_new_client},
    optional_text, seconds, text,
};
use crate::{
    app::{BrandChange, BrandWithPolicy},
    error::IdentityError,
    model::{Brand, BrandState, List, MergePolicyRevision, TokenAlgorithm},
};

const DAYS: std::ops::RangeInclusive<TimeDelta> = TimeDelta::days(1)..=TimeDelta::days(3_650);
const SESSION: std::ops::RangeInclusive<TimeDelta> = TimeDelta::hours(1)..=TimeDelta::days(400);
const DEFAULT_TTL: TimeDelta = TimeDelta::days(30);
const MAX_AUDIENCES: usize = 16;
const MAX_POLICY_VERSION: usize = 64;
/// Longer than any issuer, audience or claim in use.
const MAX_SETTING: usize = 500;

/// Returns the Brand that a request asks for, with defaults where it says nothing.
pub(crate) fn create(
    brand: Option<&proto::Brand>,
    now: DateTime<Utc>,
) -> Result<Brand, IdentityError> {
    let brand = brand.ok_or_else(|| IdentityError::field("brand", "is required"))?;
    let state = match brand.state() {
        event::BrandState::Unspecified => BrandState::Active,
        state => field("brand.state", BrandState::try_from(state))?,
    };
    let settings = brand.assertion_settings.clone().unwrap_or_default();
    Ok(Brand {
        brand_id: field("brand.brand_id", BrandId::parse(&brand.brand_id))?,
        display_name: display_name(brand)?,
        state,
        merge_policy_revision: 1,
        nonce_required: settings.nonce_required,
        token_algorithms: token_algorithms(&settings)?,
        issuer: issuer(&settings)?,
        audiences: audiences(&settings)?,
        customer_id_claim: customer_id_claim(&settings)?,
        widget_policy_version: widget_policy_version(brand)?,
        temporary_account_ttl_seconds: temporary_account_ttl(brand)?,
        attribution_window_limit_seconds: attribution_window_limit(brand)?,
        client_session_ttl_seconds: client_session_ttl(brand)?,
        time_zone: time_zone(brand)?,
        revision: 1,
        create_time: now,
        update_time: now,
    })
}

/// Returns the fields that a request changes.
pub(crate) fn change(
    brand: &proto::Brand,
    mask: Option<&FieldMask>,
    caller: Caller,
) -> Result<BrandChange, IdentityError> {
    let mask = mask
        .filter(|mask| !mask.paths.is_empty())
        .ok_or_else(|| IdentityError::field("update_mask", "is required"))?;
    let mut change = BrandChange {
        etag: (!brand.etag.is_empty()).then(|| brand.etag.clone()),
        ..BrandChange::default()
    };
    for path in &mask.paths {
        if path == "state" && caller != Caller::Operator {
            return Err(kit::error::CallError::PermissionDenied.into());
        }
        change_field(&mut change, brand, path)?;
    }
    Ok(change)
}

fn change_field(
    change: &mut BrandChange,
    brand: &proto::Brand,
    path: &str,
) -> Result<(), IdentityError> {
    let settings = brand.assertion_settings.clone().unwrap_or_default();
    match path {
        "display_name" => change.display_name = Some(display_name(brand)?),
        "state" => {
            change.state = Some(field("brand.state", BrandState::try_from(brand.state()))?);
        }
        "assertion_settings" => {
            for field in [
                "nonce_required",
                "token_algorithms",
                "issuer",
                "audiences",
                "customer_id_claim",
            ] {
                change_field(change, brand, &format!("assertion_settings.{field}"))?;
            }
        }
        "assertion_settings.nonce_required" => {
            change.nonce_required = Some(settings.nonce_required);
        }
        "assertion_settings.token_algorithms" => {
            change.token_algorithms = Some(token_algorithms(&settings)?);
        }
        "assertion_settings.issuer" => change.issuer = Some(issuer(&settings)?),
        "assertion_settings.audiences" => change.audiences = Some(audiences(&settings)?),
        "assertion_settings.customer_id_claim" => {
            change.customer_id_claim = Some(customer_id_claim(&settings)?);
        }
        "widget_policy_version" => {
            change.widget_policy_version = Some(widget_policy_version(brand)?);
        }
        "temporary_account_ttl" => {
            change.temporary_account_ttl_seconds = Some(temporary_account_ttl(brand)?);
        }
        "attribution_window_limit" => {
            change.attribution_window_limit_seconds = Some(attribution_window_limit(brand)?);
        }
        "client_session_ttl" => {
            change.client_session_ttl_seconds = Some(client_session_ttl(brand)?);
        }
        "time_zone" => change.time_zone = Some(time_zone(brand)?),
        _ => {
            let problem = "names a field that is unknown or cannot be changed";
            return Err(IdentityError::field("update_mask", problem));
        }
    }
    Ok(())
}

fn display_name(brand: &proto::Brand) -> Result<String, IdentityError> {
    text("brand.display_name", &brand.display_name, MAX_DISPLAY_NAME)
}

fn widget_policy_version(brand: &proto::Brand) -> Result<String, IdentityError> {
    let version = &brand.widget_policy_version;
    optional_text("brand.widget_policy_version", version, MAX_POLICY_VERSION)
}

fn temporary_account_ttl(brand: &proto::Brand) -> Result<i64, IdentityError> {
    let ttl = brand.temporary_account_ttl.as_ref();
    seconds("brand.temporary_account_ttl", ttl, DAYS, DEFAULT_TTL)
}

fn attribution_window_limit(brand: &proto::Brand) -> Result<i64, IdentityError> {
    let limit = brand.attribution_window_limit.as_ref();
    seconds("brand.attribution_window_limit", limit, DAYS, DEFAULT_TTL)
}

fn client_session_ttl(brand: &proto::Brand) -> Result<i64, IdentityError> {
    let ttl = brand.client_session_ttl.as_ref();
    seconds("brand.client_session_ttl", ttl, SESSION, DEFAULT_TTL)
}

/// Checks the form of the name only: which zones there are is known where dates are read.
fn time_zone(brand: &proto::Brand) -> Result<String, IdentityError> {
    let name = match brand.time_zone.as_str() {
        "" => "UTC",
        name => name,
    };
    let is_name = name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
    if !is_name {
        return Err(IdentityError::field(
            "brand.time_zone",
            "must be the IANA name of a time zone",
        ));
    }
    Ok(name.to_owned())
}

fn token_algorithms(
    settings: &proto::AssertionSettings,
) -> Result<List<TokenAlgorithm>, IdentityError> {
    let parsed: Result<Vec<_>, _> = settings
        .token_algorithms()
        .map(TokenAlgorithm::try_from)
        .collect();
    let name = "brand.assertion_settings.token_algorithms";
    let mut algorithms = field(name, parsed)?;
    algorithms.sort_unstable();
    algorithms.dedup();
    Ok(List(algorithms))
}

fn issuer(settings: &proto::AssertionSettings) -> Result<String, IdentityError> {
    let name = "brand.assertion_settings.issuer";
    optional_text(name, &settings.issuer, MAX_SETTING)
}

fn audiences(settings: &proto::AssertionSettings) -> Result<List<String>, IdentityError> {
    let name = "brand.assertion_settings.audiences";
    if settings.audiences.len() > MAX_AUDIENCES {
        let problem = format!("must be at most {MAX_AUDIENCES}");
        return Err(IdentityError::field(name, problem));
    }
    let audiences = settings.audiences.iter();
    let parsed: Result<Vec<_>, _> = audiences
        .map(|audience| text(name, audience, MAX_SETTING))
        .collect();
    parsed.map(List)
}

/// Claims that a customer may change, share or never have proven: an e-mail is no identity key
/// (SPEC 3; OpenID Connect Core 5.7 says so of all but `sub`).
const NO_IDENTITY_KEYS: [&str; 3] = ["email", "phone_number", "preferred_username"];

fn customer_id_claim(settings: &proto::AssertionSettings) -> Result<String, IdentityError> {
    let name = "brand.assertion_settings.customer_id_claim";
    match settings.customer_id_claim.as_str() {
        "" => Ok("sub".to_owned()),
        claim if NO_IDENTITY_KEYS.contains(&claim) => Err(IdentityError::field(
            name,
            "must not be a claim that a customer can change",
        )),
        claim => text(name, claim, MAX_SETTING),
    }
}

/// Returns the policy that a request sets.
pub(crate) fn merge_policy(choice: Option<&Choice>) -> Result<MergePolicy, IdentityError> {
    let required = |name| move || IdentityError::field(name, "is required");
    match choice {
        Some(Choice::Policy(policy)) => Ok(MergePolicy {
            on_new_client: read_on_new_client(policy.on_new_client())
                .ok_or_else(required("policy.on_new_client"))?,
            on_existing_client: read_on_existing_client(policy.on_existing_client())
                .ok_or_else(required("policy.on_existing_client"))?,
        }),
        Some(Choice::Preset(number)) => {
            use proto::MergePolicyPreset as P;
            let preset = match P::try_from(*number).unwrap_or(P::Unspecified) {
                P::Unspecified => None,
                P::V44 => Some(Preset::V4_4),
                P::V462 => Some(Preset::V4_6_2),
                P::V48 => Some(Preset::V4_8),
                P::TwoChatrooms => Some(Preset::TwoChatrooms),
                P::AlwaysLinked => Some(Preset::AlwaysLinked),
            };
            let preset = preset.ok_or_else(required("preset"))?;
            Ok(preset.policy())
        }
        None => Err(required("choice")()),
    }
}

fn read_on_new_client(value: event::OnNewClient) -> Option<OnNewClient> {
    match value {
        event::OnNewClient::Unspecified => None,
        event::OnNewClient::UpgradeUnlessEmailDiffers => {
            Some(OnNewClient::UpgradeUnlessEmailDiffers)
        }
        event::OnNewClient::Upgrade => Some(OnNewClient::Upgrade),
        event::OnNewClient::Link => Some(OnNewClient::Link),
    }
}

fn read_on_existing_client(value: event::OnExistingClient) -> Option<OnExistingClient> {
    match value {
        event::OnExistingClient::Unspecified => None,
        event::OnExistingClient::Abandon => Some(OnExistingClient::Abandon),
        event::OnExistingClient::LinkForTracking => Some(OnExistingClient::LinkForTracking),
        event::OnExistingClient::LinkWithHistory => Some(OnExistingClient::LinkWithHistory),
    }
}

/// Shows a Brand.
pub(crate) fn show(shown: &BrandWithPolicy) -> proto::Brand {
    let BrandWithPolicy { brand, policy } = shown;
    proto::Brand {
        brand_id: brand.brand_id.to_string(),
        display_name: brand.display_name.clone(),
        state: event::BrandState::from(brand.state).into(),
        merge_policy: Some(show_merge_policy(policy)),
        assertion_settings: Some(proto::AssertionSettings {
            nonce_required: brand.nonce_required,
            token_algorithms: brand
                .token_algorithms
                .0
                .iter()
                .map(|algorithm| proto::TokenAlgorithm::from(*algorithm).into())
                .collect(),
            issuer: brand.issuer.clone(),
            audiences: brand.audiences.0.clone(),
            customer_id_claim: brand.customer_id_claim.clone(),
        }),
        widget_policy_version: brand.widget_policy_version.clone(),
        temporary_account_ttl: Some(duration(brand.temporary_account_ttl_seconds)),
        attribution_window_limit: Some(duration(brand.attribution_window_limit_seconds)),
        client_session_ttl: Some(duration(brand.client_session_ttl_seconds)),
        time_zone: brand.time_zone.clone(),
        revision: brand.revision,
        create_time: Some(timestamp(brand.create_time)),
        update_time: Some(timestamp(brand.update_time)),
        etag: etag(brand.revision),
    }
}

/// Shows a merge policy.
pub(crate) fn show_merge_policy(policy: &MergePolicyRevision) -> proto::MergePolicyRevision {
    proto::MergePolicyRevision {
        revision: policy.revision,
        policy: Some(proto::MergePolicy {
            on_new_client: on_new_client(policy.on_new_client).into(),
            on_existing_client: on_existing_client(policy.on_existing_client).into(),
        }),
        create_time: Some(timestamp(policy.create_time)),
        actor: Some(show_actor(&policy.actor_caller, &policy.actor_id)),
    }
}
