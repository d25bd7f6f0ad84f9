//! Carries out what was decided.

use chrono::{DateTime, Utc};
use domain::{
    id::AccountId,
    person::LinkScope,
    session::SessionEnd,
    sign_in::{ClientStep, MergeStep, SignInDecision},
};
use kit::db::{Connection, StoreError};
use rapport_proto::{event::v1::event::Payload, identity::v1::AuditAction};

use super::{
    SignInInput, SignInOutcome, SignedIn,
    facts::{Facts, Found, Presented},
};
use crate::{
    app::{
        accounts::{end_all_sessions, note_account, replace_email},
        journal::Journal,
        sessions::open_session,
    },
    assertion::Profile,
    convert::event::link_changed,
    error::IdentityError,
    model::{
        Account, AccountKind, AccountState, Brand, Link, Session, SessionKind, Settlement, SignIn,
    },
    store::{accounts, links, settlements, sign_ins},
};

/// What will be, before any of it is written.
struct Plan {
    client: Account,
    client_is_new: bool,
    /// Some column of the client account changes.
    client_changes: bool,
    /// The client's e-mail becomes another, or somebody else stands for it.
    email_changes: bool,
    /// Other services are to know the client's new state.
    client_is_news: bool,
    /// The temporary account that is settled beside the client.
    settled: Option<Account>,
    settlement: Option<Settlement>,
    /// A link to be made.
    new_link: Option<Link>,
}

/// Applies the decision, or with `validate_only` answers what it would leave.
pub(super) async fn apply(
    connection: &mut Connection,
    brand: &Brand,
    input: &SignInInput,
    facts: Facts,
    decision: &SignInDecision,
) -> Result<SignedIn, IdentityError> {
    let link = match decision.repeated_link {
        Some(link_id) => links::find(connection, &brand.brand_id, link_id).await?,
        None => None,
    };
    let earlier = earlier_policy(&facts, decision);
    let policy_revision = earlier.unwrap_or(facts.policy.revision);
    let mut plan = plan(input, facts, decision);
    let outcome = SignInOutcome {
        kind: decision.kind,
        merge_case: decision.merge_case,
        policy_revision,
        link: link.or_else(|| plan.new_link.clone()),
        temporary_account_id: decision.temporary,
        email_replaced: decision.email_replaced,
        account_created: plan.client_is_new,
    };
    if input.key.is_none() {
        return Ok(SignedIn {
            account: plan.client,
            outcome,
            session: None,
        });
    }
    let mut journal = Journal::new(&input.stamp);
    write(connection, &mut journal, input, &mut plan).await?;
    journal.write(connection).await?;
    let session = open(connection, brand, &plan.client, input).await?;
    record(connection, &session, &plan.client, &outcome).await?;
    Ok(SignedIn {
        account: plan.client,
        outcome,
        session: Some(session),
    })
}

/// Opens a session of the client account.
pub(super) async fn open(
    connection: &mut Connection,
    brand: &Brand,
    account: &Account,
    input: &SignInInput,
) -> Result<Session, StoreError> {
    let session = Session {
        brand_id: brand.brand_id.clone(),
        session_id: input.session.session_id,
        kind: SessionKind::Client,
        account_id: Some(account.account_id),
        member_id: None,
        create_time: input.stamp.now,
        expire_time: input.stamp.now + brand.client_session_ttl(),
        end_kind: None,
        end_time: None,
    };
    open_session(connection, &session, &input.session).await?;
    Ok(session)
}

/// Returns the policy under which an outcome that is repeated was decided (SPEC 18).
fn earlier_policy(facts: &Facts, decision: &SignInDecision) -> Option<i64> {
    match &facts.temporary {
        Presented::Temporary(found) if decision.temporary.is_some() => found
            .settlement
            .as_ref()
            .map(|settled| settled.policy_revision),
        _ => None,
    }
}

fn plan(input: &SignInInput, facts: Facts, decision: &SignInDecision) -> Plan {
    let now = input.stamp.now;
    let policy_revision = facts.policy.revision;
    let found = match facts.temporary {
        Presented::Temporary(found) => Some(*found),
        Presented::Nothing | Presented::Unusable => None,
    };
    let (before, client_is_new, temporary) = match (decision.client, facts.client, found) {
        (ClientStep::Open(_), Some(client), found) => (client, false, found),
        // The temporary account is the client account from now on.
        (ClientStep::Upgrade(_), _, Some(found)) => (found.account, false, None),
        (_, _, found) => (new_client(input), true, found),
    };
    let mut client = before.clone();
    if let ClientStep::Upgrade(_) = decision.client {
        client.kind = AccountKind::Client;
        client.customer_id = Some(input.assertion.customer_id().clone());
        client.link_revision = 1;
        client.upgrade_time = Some(now);
        client.expire_time = None;
    }
    let email_changes = refresh_profile(&mut client, input.assertion.profile());
    let new_link = match (decision.merge, &temporary) {
        (MergeStep::Link(scope), Some(found)) => {
            client.link_revision += 1;
            let temporary = found.account.account_id;
            Some(new_link(input, &client, temporary, scope, policy_revision))
        }
        _ => None,
    };
    let client_changes = !client_is_new && client != before;
    if client_changes {
        client.revision += 1;
        client.update_time = now;
    }
    let client_is_news = client_is_new
        || email_changes
        || client.kind != before.kind
        || client.link_revision != before.link_revision;
    let settlement = settlement(&client, decision, &new_link, policy_revision, now);
    let settled = match decision.merge {
        MergeStep::Link(_) | MergeStep::Separate | MergeStep::Abandon => {
            temporary.map(|found| settle(found, now))
        }
        MergeStep::None | MergeStep::Upgrade => None,
    };
    Plan {
        client,
        client_is_new,
        client_changes,
        email_changes,
        client_is_news,
        settled,
        settlement,
        new_link,
    }
}

/// Returns an empty client account. It begins with link revision 1: a token that tells of it is then
/// one that the other services cannot take for known before they have heard of the account.
fn new_client(input: &SignInInput) -> Account {
    let brand_id = input.assertion.brand_id().clone();
    let kind = AccountKind::Client;
    Account {
        customer_id: Some(input.assertion.customer_id().clone()),
        link_revision: 1,
        ..Account::empty(brand_id, input.new_account_id, kind, input.stamp.now)
    }
}

fn new_link(
    input: &SignInInput,
    client: &Account,
    temporary: AccountId,
    scope: LinkScope,
    policy_revision: i64,
) -> Link {
    Link {
        brand_id: client.brand_id.clone(),
        link_id: input.new_link_id,
        client_account_id: client.account_id,
        temporary_account_id: temporary,
        scope,
        policy_revision,
        revision: 1,
        link_revision: client.link_revision,
        link_time: input.stamp.now,
        revoke_time: None,
        revoke_reason: None,
    }
}

/// Takes over the fields that the Brand owns; an absent one is not cleared (SPEC 14). Returns
/// whether the e-mail became another, or somebody else stands for it.
fn refresh_profile(account: &mut Account, profile: &Profile) -> bool {
    let fields = [
        (&mut account.given_name, &profile.given_name),
        (&mut account.family_name, &profile.family_name),
        (&mut account.locale, &profile.locale),
        (&mut account.picture_uri, &profile.picture_uri),
    ];
    for (field, word) in fields {
        if word.is_some() {
            field.clone_from(word);
        }
    }
    let Some(email) = &profile.email else {
        return false;
    };
    let is_same = account.normalized_email().as_ref() == Some(&email.email)
        && account.email_provenance == Some(email.provenance);
    account.email = Some(email.spelling.clone());
    account.email_provenance = Some(email.provenance);
    !is_same
}

fn settle(found: Found, now: DateTime<Utc>) -> Account {
    Account {
        state: AccountState::Settled,
        revision: found.account.revision + 1,
        update_time: now,
        ..found.account
    }
}

fn settlement(
    client: &Account,
    decision: &SignInDecision,
    new_link: &Option<Link>,
    policy_revision: i64,
    now: DateTime<Utc>,
) -> Option<Settlement> {
    if decision.merge == MergeStep::None {
        return None;
    }
    Some(Settlement {
        brand_id: client.brand_id.clone(),
        temporary_account_id: decision.temporary?,
        outcome: decision.kind,
        merge_case: decision.merge_case,
        client_account_id: client.account_id,
        link_id: new_link.as_ref().map(|link| link.link_id),
        policy_revision,
        settle_time: now,
    })
}

/// Writes the plan, and notes what it does.
async fn write(
    connection: &mut Connection,
    journal: &mut Journal<'_>,
    input: &SignInInput,
    plan: &mut Plan,
) -> Result<(), StoreError> {
    let now = input.stamp.now;
    let end = SessionEnd::Merged;
    let is_upgrade = plan.settlement.is_some() && plan.settled.is_none();
    if is_upgrade {
        journal.audit(AuditAction::AccountUpgraded, plan.client.account_id, "");
        end_all_sessions(connection, journal, &mut plan.client, end, now).await?;
    }
    if plan.client_is_new {
        accounts::insert(connection, &plan.client).await?;
    } else if plan.client_changes {
        accounts::update(connection, &plan.client).await?;
    }
    if plan.email_changes {
        replace_email(connection, &plan.client, input.email_digest, now).await?;
    }
    // Before the account, whose link revision says that this link is known (SPEC 54): a reader may
    // be told the two apart.
    if let Some(link) = &plan.new_link {
        journal.event(Payload::LinkChanged(link_changed(link)));
    }
    if plan.client_is_news {
        note_account(connection, journal, &plan.client).await?;
    }
    if let Some(settled) = &mut plan.settled {
        end_all_sessions(connection, journal, settled, end, now).await?;
        accounts::update(connection, settled).await?;
        note_account(connection, journal, settled).await?;
    }
    if let Some(link) = &plan.new_link {
        links::insert(connection, link).await?;
        journal.audit(AuditAction::LinkCreated, link.link_id, "");
    }
    if let Some(settlement) = &plan.settlement {
        settlements::insert(connection, settlement).await?;
    }
    Ok(())
}

/// Records what the sign-in was decided to be, for good (SPEC 6).
async fn record(
    connection: &mut Connection,
    session: &Session,
    client: &Account,
    outcome: &SignInOutcome,
) -> Result<(), StoreError> {
    let sign_in = SignIn {
        brand_id: session.brand_id.clone(),
        session_id: session.session_id,
        account_id: client.account_id,
        outcome: outcome.kind,
        merge_case: outcome.merge_case,
        policy_revision: outcome.policy_revision,
        temporary_account_id: outcome.temporary_account_id,
        link_id: outcome.link.as_ref().map(|link| link.link_id),
        email_replaced: outcome.email_replaced,
        account_created: outcome.account_created,
        sign_in_time: session.create_time,
    };
    sign_ins::insert(connection, &sign_in).await
}
