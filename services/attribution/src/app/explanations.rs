//! Why an attribution is as it is, and what it would be without a link (SPEC 47).
//!
//! Nothing is kept of an explanation: the facts explain it whenever it is asked for.

pub(crate) mod buyer_keys;

use std::collections::BTreeMap;

use domain::{
    attribution::{Attribution, OrderFacts, attribute, attribute_without_link},
    id::{BrandId, ChatroomId, LinkId, OrderId},
    ledger::{Targets, decide_targets},
    message::Side,
    order::StatusLabel,
};
use kit::{consistency::ConsistencyToken, directory::links};

use self::buyer_keys::Attempt;
use super::{
    App,
    attributions::{self, AttributionView},
};
use crate::{
    error::Error,
    evaluate::{facts, order::finding},
    store::{
        attributions::StoredAttribution,
        messages,
        orders::{self, RecordedOrder},
    },
};

/// An attribution with all that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// As it is, or as it would be.
    pub(crate) view: AttributionView,
    pub(crate) recorded: RecordedOrder,
    pub(crate) facts: OrderFacts,
    /// How many messages of each side count.
    pub(crate) evidence_counts: BTreeMap<(ChatroomId, Side), i64>,
    pub(crate) attribution: Attribution,
    pub(crate) targets: Targets,
    /// How the buyer was looked for.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) without_link: Option<LinkId>,
}

impl Explanation {
    /// Returns whether the order's status was ever `OK`.
    pub(crate) fn is_confirmed(&self) -> bool {
        let mut labels = self
            .facts
            .statuses
            .iter()
            .map(|status| status.label.as_str());
        labels.any(|label| label == StatusLabel::OK)
    }
}

/// Explains an attribution, as known now; after the sign-in of `token`, where one is given.
///
/// # Errors
///
/// [`Error::AttributionNotFound`]; [`Error::LinkNotFound`] for a link that has nothing to do with
/// the order's buyer; [`CallError::ConsistencyUnavailable`].
pub(crate) async fn explain(
    app: &App,
    brand_id: &BrandId,
    order_id: &OrderId,
    without_link: Option<LinkId>,
    token: Option<ConsistencyToken>,
) -> Result<Explanation, Error> {
    attributions::catch_up(app, brand_id, order_id, token).await?;
    let not_found = || Error::AttributionNotFound {
        order_id: order_id.clone(),
    };
    let mut connection = app.db.read().await?;
    let recorded = orders::find(&mut connection, brand_id, order_id).await?;
    let recorded = recorded.ok_or_else(not_found)?;
    let view = attributions::find(&mut connection, brand_id, order_id).await?;
    let view = view.ok_or_else(not_found)?;
    let mut facts = facts::load_one(&mut connection, brand_id, &recorded).await?;
    let evidence_counts = {
        let chatrooms = facts.chatrooms.iter().map(|room| room.chatroom);
        let (chatrooms, time): (Vec<_>, _) = (chatrooms.collect(), recorded.order_time);
        messages::count_before(&mut connection, brand_id, &chatrooms, time).await?
    };
    let attribution = match without_link {
        None => attribute(&facts),
        Some(link_id) if facts.links.get(link_id).is_none() => {
            return Err(Error::LinkNotFound { link_id });
        }
        Some(link_id) => {
            let attribution = attribute_without_link(&facts, link_id);
            facts.links = facts.links.without(link_id);
            attribution
        }
    };
    if let Some(freeze_time) = attribution.freeze_time {
        facts = facts.as_of(freeze_time);
    }
    let targets = decide_targets(&facts, &attribution);
    let link_revision = match attribution.person {
        Some(person) => links::known_revision(&mut connection, brand_id, person).await?,
        None => 0,
    };
    let attempts = buyer_keys::attempts(&facts, &attribution.policy.policy);
    let computed = finding(&attribution, &targets, link_revision);
    Ok(Explanation {
        view: explained(view, computed, &recorded),
        recorded,
        facts,
        evidence_counts,
        attribution,
        targets,
        attempts,
        without_link,
    })
}

/// The facts may be a moment newer than the last evaluation, so the attribution that is shown beside
/// them is computed from them.
fn explained(
    view: AttributionView,
    computed: crate::store::attributions::Finding,
    recorded: &RecordedOrder,
) -> AttributionView {
    let stored = match view.stored {
        Some(stored) => StoredAttribution {
            finding: computed,
            ..stored
        },
        None => StoredAttribution {
            revision: 0,
            evaluate_time: recorded.receive_time,
            finding: computed,
        },
    };
    AttributionView {
        stored: Some(stored),
        ..view
    }
}
