//! Members: made, changed, deactivated.

use chrono::{DateTime, Utc};
use domain::{
    id::{BrandId, CustomerId, MemberId},
    session::SessionEnd,
};
use kit::db::{Connection, StoreError};
use rapport_proto::{event::v1::event::Payload, identity::v1::AuditAction};

use super::{App, Stamp, Write, find_answer, find_serving_brand, journal::Journal, keep_answer};
use crate::{
    convert::{
        self,
        event::{RevokedSubject, member_changed, sessions_revoked},
    },
    error::IdentityError,
    model::{Member, MemberCustomer, MemberState},
    store::{members, sessions, sessions::Owner},
};

/// A Member with the customer ids of his own.
#[derive(Clone, Debug)]
pub(crate) struct MemberWithCustomers {
    pub(crate) member: Member,
    pub(crate) customers: Vec<MemberCustomer>,
}

/// A customer id of a Member's own; from now on where it has no time.
pub(crate) type OwnCustomer = (CustomerId, Option<DateTime<Utc>>);

/// A Member to be made.
pub(crate) struct NewMember {
    pub(crate) display_name: String,
    pub(crate) customers: Vec<OwnCustomer>,
}

/// New values for some fields of a Member; what is absent stays.
#[derive(Default)]
pub(crate) struct MemberChange {
    pub(crate) display_name: Option<String>,
    pub(crate) state: Option<MemberState>,
    pub(crate) customers: Option<Vec<OwnCustomer>>,
    /// What the caller read last; `None` where he does not mind.
    pub(crate) etag: Option<String>,
}

struct Creation {
    write: Write,
    stamp: Stamp,
    member_id: MemberId,
    new: NewMember,
}

struct Update {
    write: Write,
    stamp: Stamp,
    member_id: MemberId,
    change: MemberChange,
}

impl App {
    /// Makes a Member.
    pub(crate) async fn create_member(
        &self,
        write: Write,
        new: NewMember,
    ) -> Result<MemberWithCustomers, IdentityError> {
        let creation = Creation {
            stamp: self.write_stamp(&write),
            member_id: self.ids.next(),
            write,
            new,
        };
        self.db
            .run_tx("create_member", creation, |c, i| Box::pin(create(c, i)))
            .await
    }

    /// Changes some fields of a Member; deactivated, his sessions end.
    pub(crate) async fn update_member(
        &self,
        write: Write,
        member_id: MemberId,
        change: MemberChange,
    ) -> Result<MemberWithCustomers, IdentityError> {
        let update = Update {
            stamp: self.write_stamp(&write),
            write,
            member_id,
            change,
        };
        self.db
            .run_tx("update_member", update, |c, i| {
                Box::pin(change_fields(c, i))
            })
            .await
    }
}

async fn create(
    connection: &mut Connection,
    input: &Creation,
) -> Result<MemberWithCustomers, IdentityError> {
    let (brand_id, now) = (&input.stamp.brand_id, input.stamp.now);
    find_serving_brand(connection, brand_id).await?;
    if let Some(id) = find_answer::<String>(connection, &input.write.key).await? {
        let id = id.parse().map_err(|_| StoreError::Corrupt {
            what: "request.response",
        })?;
        return Ok(with_customers(connection, brand_id, id).await?);
    }
    let member = Member {
        brand_id: brand_id.clone(),
        member_id: input.member_id,
        display_name: input.new.display_name.clone(),
        state: MemberState::Active,
        session_epoch: 0,
        session_revocations: 0,
        revision: 1,
        create_time: now,
        update_time: now,
        deactivate_time: None,
    };
    members::insert(connection, &member).await?;
    for customer in &input.new.customers {
        add_customer(connection, &member, customer, now).await?;
    }
    let made = with_customers(connection, brand_id, input.member_id).await?;
    let mut journal = Journal::new(&input.stamp);
    journal.audit(AuditAction::MemberChanged, input.member_id, "CREATED");
    journal.event(Payload::MemberChanged(member_changed(
        &made.member,
        &made.customers,
    )));
    journal.write(connection).await?;
    let kept = input.member_id.to_string();
    keep_answer(connection, &input.write.key, &kept, now).await?;
    Ok(made)
}

async fn change_fields(
    connection: &mut Connection,
    input: &Update,
) -> Result<MemberWithCustomers, IdentityError> {
    let (brand_id, now, change) = (&input.stamp.brand_id, input.stamp.now, &input.change);
    find_serving_brand(connection, brand_id).await?;
    let member = members::find(connection, brand_id, input.member_id).await?;
    let mut member = member.ok_or(IdentityError::MemberNotFound)?;
    let is_repeated = find_answer::<()>(connection, &input.write.key)
        .await?
        .is_some();
    let changes_nothing =
        change.display_name.is_none() && change.state.is_none() && change.customers.is_none();
    if is_repeated || changes_nothing {
        return Ok(with_customers(connection, brand_id, input.member_id).await?);
    }
    if change
        .etag
        .as_ref()
        .is_some_and(|etag| *etag != convert::etag(member.revision))
    {
        return Err(IdentityError::EtagMismatch);
    }
    let mut journal = Journal::new(&input.stamp);
    if let Some(customers) = &change.customers {
        extend_customers(connection, &member, customers, now).await?;
    }
    if let Some(display_name) = &change.display_name {
        member.display_name.clone_from(display_name);
    }
    if let Some(state) = change.state.filter(|state| *state != member.state) {
        member.state = state;
        member.deactivate_time = (state == MemberState::Deactivated).then_some(now);
        if state == MemberState::Deactivated {
            let end = SessionEnd::Revoked;
            end_all_member_sessions(connection, &mut journal, &mut member, end, now).await?;
        }
    }
    member.revision += 1;
    member.update_time = now;
    members::update(connection, &member).await?;
    let changed = with_customers(connection, brand_id, input.member_id).await?;
    journal.audit(AuditAction::MemberChanged, input.member_id, "UPDATED");
    journal.event(Payload::MemberChanged(member_changed(
        &changed.member,
        &changed.customers,
    )));
    journal.write(connection).await?;
    keep_answer(connection, &input.write.key, &(), now).await?;
    Ok(changed)
}

/// Adds the customer ids that are new; those that were given stay, since orders were judged by them.
async fn extend_customers(
    connection: &mut Connection,
    member: &Member,
    wanted: &[OwnCustomer],
    now: DateTime<Utc>,
) -> Result<(), IdentityError> {
    let known = members::list_customers(connection, &member.brand_id, member.member_id).await?;
    let is_kept = |known: &MemberCustomer| {
        wanted.iter().any(|(id, from_time)| {
            *id == known.customer_id && from_time.is_none_or(|time| time == known.from_time)
        })
    };
    if !known.iter().all(is_kept) {
        return Err(IdentityError::field(
            "member.own_customer_ids",
            "must keep each one that was given, with its time",
        ));
    }
    let is_new = |(id, _): &&OwnCustomer| known.iter().all(|known| known.customer_id != *id);
    for customer in wanted.iter().filter(is_new) {
        add_customer(connection, member, customer, now).await?;
    }
    Ok(())
}

async fn add_customer(
    connection: &mut Connection,
    member: &Member,
    (customer_id, from_time): &OwnCustomer,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let customer = MemberCustomer {
        brand_id: member.brand_id.clone(),
        member_id: member.member_id,
        customer_id: customer_id.clone(),
        from_time: from_time.unwrap_or(now),
    };
    members::insert_customer(connection, &customer).await
}

async fn with_customers(
    connection: &mut Connection,
    brand_id: &BrandId,
    member_id: MemberId,
) -> Result<MemberWithCustomers, StoreError> {
    let member = get(connection, brand_id, member_id).await?;
    let customers = members::list_customers(connection, brand_id, member_id).await?;
    Ok(MemberWithCustomers { member, customers })
}

/// Returns the Member that a row refers to, and who therefore exists.
pub(super) async fn get(
    connection: &mut Connection,
    brand_id: &BrandId,
    member_id: MemberId,
) -> Result<Member, StoreError> {
    let member = members::find(connection, brand_id, member_id).await?;
    member.ok_or(StoreError::Corrupt { what: "member" })
}

/// Ends all sessions of a Member and notes it. The Member is changed and left to be written.
pub(super) async fn end_all_member_sessions(
    connection: &mut Connection,
    journal: &mut Journal<'_>,
    member: &mut Member,
    end: SessionEnd,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let owner = Owner::Member(member.member_id);
    let ended = sessions::end_all(connection, &member.brand_id, owner, end, now).await?;
    member.session_epoch += 1;
    member.session_revocations += 1;
    journal.audit(AuditAction::SessionsRevoked, member.member_id, end.as_str());
    journal.event(Payload::SessionsRevoked(sessions_revoked(
        RevokedSubject::Member(member.member_id),
        member.session_revocations,
        member.session_epoch,
        &ended,
        now,
    )));
    Ok(())
}
