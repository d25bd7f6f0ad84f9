//! Attributions and explanations on the wire.

use domain::{
    attribution::{Considered, Outcome, Reason},
    buyer::BuyerKey,
    evidence::SideEvidence,
    message::Side,
    money::Money,
    order::PaymentState,
};
use kit::{convert::timestamp, error::CallError};
use rapport_proto::attribution::v1 as wire;

use super::money;
use crate::{
    app::{
        attributions::AttributionView,
        explanations::{
            Explanation,
            buyer_keys::{Attempt, AttemptResult},
        },
    },
    store::attributions::StoredCredit,
};

/// Returns whether an order is credited, and why.
fn outcome(outcome: Outcome) -> (wire::AttributionOutcome, wire::AttributionReason) {
    use wire::{AttributionOutcome as Is, AttributionReason as Because};
    match outcome {
        Outcome::Conversation => (Is::Conversation, Because::Conversation),
        Outcome::NoChatroom => (Is::Unattributed, Because::NoChatroom),
        Outcome::NoQualifyingChatroom => (Is::Unattributed, Because::NoQualifyingChatroom),
        Outcome::SelfPurchase => (Is::Unattributed, Because::SelfPurchase),
        Outcome::BuyerUnknown => (Is::Pending, Because::BuyerUnknown),
        Outcome::BuyerAmbiguous => (Is::Unattributed, Because::BuyerAmbiguous),
        Outcome::BuyerErased => (Is::Unattributed, Because::BuyerErased),
    }
}

/// Returns the outcomes that a list's filter stands for, and whether orders that were never
/// evaluated are among them.
pub(crate) fn outcomes(filter: i32) -> Result<(Vec<Outcome>, bool), CallError> {
    let wanted = wire::AttributionOutcome::try_from(filter)
        .map_err(|_| CallError::field("outcome", "is not one of its values"))?;
    let matches = |found: &wire::AttributionOutcome| match wanted {
        wire::AttributionOutcome::Unspecified => true,
        wanted => *found == wanted,
    };
    let outcomes = Outcome::ALL
        .iter()
        .copied()
        .filter(|one| matches(&outcome(*one).0))
        .collect();
    Ok((outcomes, matches(&wire::AttributionOutcome::Pending)))
}

fn chatroom_reason(reason: Reason) -> wire::ChatroomReason {
    use wire::ChatroomReason as Because;
    match reason {
        Reason::LinkRevoked => Because::LinkRevoked,
        Reason::LinkedAfterOrder => Because::LinkedAfterOrder,
        Reason::UpgradedAfterOrder => Because::UpgradedAfterOrder,
        Reason::NoEvidence => Because::NoEvidence,
        Reason::OneSidedVisitor => Because::OneSidedVisitor,
        Reason::OneSidedMember => Because::OneSidedMember,
        Reason::OutsideWindow => Because::OutsideWindow,
        Reason::SelfPurchase => Because::SelfPurchase,
        Reason::Won => Because::Won,
        Reason::Shared => Because::Shared,
        Reason::LessRecent => Because::LessRecent,
        Reason::LessEarly => Because::LessEarly,
    }
}

fn buyer_key(key: BuyerKey) -> wire::BuyerKey {
    match key {
        BuyerKey::Account => wire::BuyerKey::AccountId,
        BuyerKey::Customer => wire::BuyerKey::CustomerId,
        BuyerKey::Cart => wire::BuyerKey::CartId,
        BuyerKey::AttestedEmail => wire::BuyerKey::AttestedEmail,
        BuyerKey::TypedEmail => wire::BuyerKey::TypedEmail,
    }
}

/// Returns the wire form of an attribution.
pub(crate) fn attribution(view: &AttributionView) -> wire::Attribution {
    let pending = |reason: wire::AttributionReason| wire::Attribution {
        order_id: view.order_id.to_string(),
        outcome: wire::AttributionOutcome::Pending.into(),
        reason: reason.into(),
        ..wire::Attribution::default()
    };
    if view.awaits_sign_in {
        return pending(wire::AttributionReason::SignInNotSeen);
    }
    let Some(stored) = &view.stored else {
        return pending(wire::AttributionReason::NotEvaluated);
    };
    let finding = &stored.finding;
    let (outcome, reason) = outcome(finding.outcome);
    let buyer = finding.buyer;
    wire::Attribution {
        order_id: view.order_id.to_string(),
        outcome: outcome.into(),
        reason: reason.into(),
        buyer_key: buyer
            .map_or(wire::BuyerKey::Unspecified, |buyer| buyer_key(buyer.key))
            .into(),
        buyer_account_id: buyer.map_or_else(String::new, |buyer| buyer.account.to_string()),
        person_id: finding.person.map_or_else(String::new, |id| id.to_string()),
        credits: finding
            .credits
            .iter()
            .map(|one| credit(view, one))
            .collect(),
        policy_revision: to_wire(finding.policy_revision),
        link_revision: finding.link_revision,
        revision: to_wire(stored.revision),
        evaluate_time: (stored.revision > 0).then(|| timestamp(stored.evaluate_time)),
        frozen: finding.is_frozen,
    }
}

fn credit(view: &AttributionView, credit: &StoredCredit) -> wire::Credit {
    let amount = |minor_units| Some(money(Money::new(minor_units, view.currency)));
    let booked = view
        .booked
        .iter()
        .find(|booked| booked.member == credit.member)
        .map_or(0, |booked| booked.minor_units);
    wire::Credit {
        member_id: credit.member.to_string(),
        chatroom_id: credit.chatroom.to_string(),
        link_id: credit.link.map_or_else(String::new, |id| id.to_string()),
        share_ppm: credit.share_ppm,
        target: amount(credit.target_minor_units),
        booked: amount(booked),
    }
}

/// Returns the wire form of an explanation.
pub(crate) fn explanation(explanation: &Explanation) -> wire::Explanation {
    wire::Explanation {
        attribution: Some(attribution(&explanation.view)),
        buyer_keys: explanation.attempts.iter().map(attempt).collect(),
        chatrooms: explanation
            .attribution
            .considered
            .iter()
            .map(|one| considered(one, explanation))
            .collect(),
        arithmetic: Some(arithmetic(explanation)),
        without_link_id: explanation
            .without_link
            .map_or_else(String::new, |id| id.to_string()),
    }
}

fn attempt(attempt: &Attempt) -> wire::BuyerKeyAttempt {
    let result = match attempt.result {
        AttemptResult::Found => wire::BuyerKeyResult::Found,
        AttemptResult::NotGiven => wire::BuyerKeyResult::NotGiven,
        AttemptResult::NotFound => wire::BuyerKeyResult::NotFound,
        AttemptResult::Ambiguous => wire::BuyerKeyResult::Ambiguous,
        AttemptResult::Erased => wire::BuyerKeyResult::Erased,
        AttemptResult::NotTried => wire::BuyerKeyResult::NotTried,
        AttemptResult::NotAllowed => wire::BuyerKeyResult::NotAllowed,
    };
    wire::BuyerKeyAttempt {
        key: buyer_key(attempt.key).into(),
        result: result.into(),
        account_ids: attempt.accounts.iter().map(ToString::to_string).collect(),
    }
}

fn considered(considered: &Considered, explanation: &Explanation) -> wire::ConsideredChatroom {
    let mut evidence = explanation.facts.chatrooms.iter();
    let evidence = evidence
        .find(|one| one.chatroom == considered.chatroom)
        .map(|one| one.evidence)
        .unwrap_or_default();
    let summary = |side: Side, evidence: Option<SideEvidence>| wire::SideSummary {
        evidence_count: evidence
            .and(
                explanation
                    .evidence_counts
                    .get(&(considered.chatroom, side)),
            )
            .copied()
            .unwrap_or(0),
        first_evidence_time: evidence.map(|one| timestamp(one.first_time)),
        last_evidence_time: evidence.map(|one| timestamp(one.last_time)),
    };
    wire::ConsideredChatroom {
        chatroom_id: considered.chatroom.to_string(),
        account_id: considered.visitor.to_string(),
        member_id: considered.member.to_string(),
        reason: chatroom_reason(considered.reason).into(),
        link_id: considered
            .link
            .map_or_else(String::new, |id| id.to_string()),
        visitor_side: Some(summary(Side::Visitor, evidence.visitor)),
        member_side: Some(summary(Side::Member, evidence.member)),
    }
}

fn arithmetic(explanation: &Explanation) -> wire::Arithmetic {
    let (recorded, targets) = (&explanation.recorded, &explanation.targets);
    let currency = recorded.total.currency();
    let refunded = explanation
        .facts
        .refunds
        .iter()
        .filter(|refund| refund.refund.amount.currency() == currency)
        .fold(0_i64, |sum, refund| {
            sum.saturating_add(refund.refund.amount.minor_units())
        });
    let shares = targets.targets.iter().map(|target| wire::ShareLine {
        member_id: target.member.to_string(),
        share: Some(money(target.share)),
        target: Some(money(target.amount)),
    });
    wire::Arithmetic {
        total: Some(money(recorded.total)),
        shipping: Some(money(recorded.shipping)),
        refunded: Some(money(Money::new(refunded, currency))),
        net: Some(money(targets.net)),
        confirmed: explanation.is_confirmed(),
        cancelled: PaymentState::of(&explanation.facts.statuses) == PaymentState::Cancelled,
        commission_rate_ppm: i32::try_from(targets.commission_rate.parts()).unwrap_or(i32::MAX),
        shares: shares.collect(),
        house_remainder: Some(money(targets.remainder)),
    }
}

/// Counts are 63 bits at most, since that is what a column holds.
fn to_wire(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_and_reason_of_domain_has_the_name_of_the_contract() {
        for one in Outcome::ALL {
            let expected = format!("ATTRIBUTION_REASON_{one}");
            assert_eq!(outcome(*one).1.as_str_name(), expected);
        }
        for one in Reason::ALL {
            let expected = format!("CHATROOM_REASON_{one}");
            assert_eq!(chatroom_reason(*one).as_str_name(), expected);
        }
    }

    #[test]
    fn a_filter_stands_for_its_outcomes() {
        let pending = outcomes(wire::AttributionOutcome::Pending.into()).unwrap();
        assert_eq!(pending, (vec![Outcome::BuyerUnknown], true));
        let credited = outcomes(wire::AttributionOutcome::Conversation.into()).unwrap();
        assert_eq!(credited, (vec![Outcome::Conversation], false));
        assert_eq!(outcomes(0).unwrap(), (Outcome::ALL.to_vec(), true));
        assert!(outcomes(99).is_err());
    }
}
