//! Attribution policies on the wire.

use domain::{
    attribution_policy::{AttributionPolicy, ClockTolerance, Model, Window},
    money::{MoneyError, PartsPerMillion},
};
use kit::{
    convert::{field, timestamp},
    error::CallError,
};
use rapport_proto::attribution::v1 as wire;

use super::{duration, span};
use crate::store::attribution_policies::SetPolicy;

/// Returns the policy of a request, its defaults filled in.
///
/// # Errors
///
/// [`CallError::FieldInvalid`].
pub(crate) fn policy(
    policy: Option<&wire::AttributionPolicy>,
) -> Result<AttributionPolicy, CallError> {
    let policy = policy.ok_or_else(|| CallError::field("policy", "is required"))?;
    let window = optional_span("policy.window", policy.window.as_ref())?;
    let tolerance = optional_span("policy.clock_tolerance", policy.clock_tolerance.as_ref())?;
    let rate = u32::try_from(policy.commission_rate_ppm).map_err(|_| MoneyError::Negative);
    Ok(AttributionPolicy {
        model: model(policy.model)?,
        window: match window {
            Some(window) => field("policy.window", Window::new(window))?,
            None => Window::default(),
        },
        clock_tolerance: match tolerance {
            Some(tolerance) => field("policy.clock_tolerance", ClockTolerance::new(tolerance))?,
            None => ClockTolerance::default(),
        },
        commission_rate: field(
            "policy.commission_rate_ppm",
            rate.and_then(PartsPerMillion::new),
        )?,
        retroactive_links: policy.retroactive_links,
        typed_email_allowed: policy.typed_email_allowed,
    })
}

fn optional_span(
    name: &'static str,
    duration: Option<&prost_types::Duration>,
) -> Result<Option<chrono::TimeDelta>, CallError> {
    duration
        .map(|duration| span(duration).ok_or_else(|| CallError::field(name, "is out of range")))
        .transpose()
}

fn model(number: i32) -> Result<Model, CallError> {
    match wire::AttributionModel::try_from(number) {
        Ok(wire::AttributionModel::Unspecified | wire::AttributionModel::LastTouch) => {
            Ok(Model::LastTouch)
        }
        Ok(wire::AttributionModel::FirstTouch) => Ok(Model::FirstTouch),
        Ok(wire::AttributionModel::EvenSplit) => Ok(Model::EvenSplit),
        Err(_) => Err(CallError::field("policy.model", "is not one of its values")),
    }
}

/// Returns the wire form of a policy, in one spelling.
pub(crate) fn policy_to_wire(policy: &AttributionPolicy) -> wire::AttributionPolicy {
    let model = match policy.model {
        Model::LastTouch => wire::AttributionModel::LastTouch,
        Model::FirstTouch => wire::AttributionModel::FirstTouch,
        Model::EvenSplit => wire::AttributionModel::EvenSplit,
    };
    wire::AttributionPolicy {
        model: model.into(),
        window: Some(duration(policy.window.length())),
        // At most a million.
        commission_rate_ppm: i32::try_from(policy.commission_rate.parts()).unwrap_or(i32::MAX),
        retroactive_links: policy.retroactive_links,
        clock_tolerance: Some(duration(policy.clock_tolerance.length())),
        typed_email_allowed: policy.typed_email_allowed,
    }
}

/// Returns the wire form of a policy revision.
pub(crate) fn policy_revision(set: &SetPolicy) -> wire::AttributionPolicyRevision {
    wire::AttributionPolicyRevision {
        revision: i64::try_from(set.revision.revision).unwrap_or(i64::MAX),
        policy: Some(policy_to_wire(&set.revision.policy)),
        effective_time: Some(timestamp(set.revision.effective_time)),
        create_time: Some(timestamp(set.revision.create_time)),
        service_id: set.service_id.clone(),
    }
}
