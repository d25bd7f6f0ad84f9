//! Erasures on the wire.

use chrono::{DateTime, Utc};
use kit::convert::timestamp;
use rapport_proto::identity::v1::{self as proto, SuiteService};

use super::optional_timestamp;
use crate::app::ErasedPerson;

/// Shows an erasure.
pub(crate) fn show(person: &ErasedPerson) -> proto::Erasure {
    let erasure = &person.erasure;
    let progress = [
        // Its part is one transaction, which is done when there is an erasure to show.
        (SuiteService::Identity, Some(erasure.create_time)),
        (SuiteService::Chat, erasure.chat_complete_time),
        (SuiteService::Attribution, erasure.attribution_complete_time),
    ];
    proto::Erasure {
        erasure_id: erasure.erasure_id.to_string(),
        brand_id: erasure.brand_id.to_string(),
        account_ids: person.account_ids.iter().map(ToString::to_string).collect(),
        state: state(erasure.complete_time).into(),
        progress: progress
            .into_iter()
            .map(|(service, time)| proto::ErasureProgress {
                service: service.into(),
                state: state(time).into(),
                complete_time: optional_timestamp(time),
            })
            .collect(),
        create_time: Some(timestamp(erasure.create_time)),
        complete_time: optional_timestamp(erasure.complete_time),
    }
}

fn state(complete_time: Option<DateTime<Utc>>) -> proto::ErasureState {
    match complete_time {
        None => proto::ErasureState::Running,
        Some(_) => proto::ErasureState::Complete,
    }
}
