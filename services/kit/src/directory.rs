//! What a service knows of identity: accounts, links and Members, kept from its events.
//!
//! Each event carries the whole state of its subject, and the greatest revision wins, so [`apply`]
//! neither depends on the order of events nor on how often it sees one (SPEC 51). Where a caller
//! has signed in more recently than this knowledge reaches, [`refresh`] asks identity once and
//! keeps the answer (SPEC 54).

pub mod accounts;
pub mod links;
pub mod members;
mod schema;

use chrono::{DateTime, Utc};
use domain::id::{AccountId, BrandId};
use rapport_proto::{
    event::v1::{AccountErased, AccountState, Event, event::Payload},
    identity::v1::{
        Person, ResolvePersonRequest, link_service_client::LinkServiceClient,
        resolve_person_request::Key,
    },
};

use crate::{
    access::SuiteChannel,
    convert,
    db::{Connection, Db, StoreError},
    error::CallError,
    retry::IDENTITY,
};

/// Keeps what events of identity say, in the transaction of `connection`; others are passed over.
///
/// # Errors
///
/// [`StoreError::Corrupt`] when an event breaks the contract; what the database fails with.
pub async fn apply(connection: &mut Connection, events: &[Event]) -> Result<(), StoreError> {
    for event in events {
        let brand_id: BrandId = read("event.brand_id", event.brand_id.parse())?;
        match &event.payload {
            Some(Payload::AccountChanged(state)) => {
                accounts::keep(connection, &brand_id, state).await?;
            }
            Some(Payload::AccountErased(state)) => {
                accounts::keep_erased(connection, &brand_id, state).await?;
            }
            Some(Payload::LinkChanged(state)) => {
                let client = links::keep(connection, &brand_id, state).await?;
                links::keep_revision(connection, &brand_id, client, state.link_revision).await?;
            }
            Some(Payload::MemberChanged(state)) => {
                members::keep(connection, &brand_id, state).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Asks identity for the person of an account, and keeps the answer.
///
/// Returns `false` when identity knows no such account.
///
/// # Errors
///
/// [`CallError::IdentityUnavailable`] when it does not answer; what the database fails with.
pub async fn refresh(
    db: &Db,
    identity: &LinkServiceClient<SuiteChannel>,
    brand_id: &BrandId,
    account_id: AccountId,
) -> Result<bool, CallError> {
    let request = ResolvePersonRequest {
        brand_id: brand_id.to_string(),
        key: Some(Key::AccountId(account_id.to_string())),
    };
    let answer = IDENTITY.call(|| {
        let (mut identity, request) = (identity.clone(), request.clone());
        async move { identity.resolve_person(request).await }
    });
    let person = match answer.await {
        Ok(response) => response.into_inner().person,
        Err(status) if status.code() == tonic::Code::NotFound => None,
        Err(status) => {
            tracing::warn!(code = ?status.code(), "identity does not resolve a person");
            return Err(CallError::IdentityUnavailable);
        }
    };
    let Some(person) = person else {
        return Ok(false);
    };
    db.run_tx(
        "keep_person",
        (brand_id.clone(), person),
        |connection, (brand_id, person)| Box::pin(keep_person(connection, brand_id, person)),
    )
    .await?;
    Ok(true)
}

async fn keep_person(
    connection: &mut Connection,
    brand_id: &BrandId,
    person: &Person,
) -> Result<(), StoreError> {
    for account in &person.accounts {
        // The erasure is told once, of the person; all of its accounts were erased by it.
        if let Some(erasure) = &person.erasure
            && account.state() == AccountState::Erased
        {
            let erased = AccountErased {
                account_id: account.account_id.clone(),
                revision: account.revision,
                customer_id: account.customer_id.clone(),
                email_digests: account.email_digests.clone(),
                ..erasure.clone()
            };
            accounts::keep_erased(connection, brand_id, &erased).await?;
        }
        accounts::keep(connection, brand_id, account).await?;
    }
    // A revoked link may be another client's, of whose links this answer says nothing.
    for link in &person.links {
        links::keep(connection, brand_id, link).await?;
    }
    // The answer is whole, so the links are known up to its revision, whatever its parts say.
    let person_id: AccountId = read("person_id", person.person_id.parse())?;
    links::keep_revision(connection, brand_id, person_id, person.link_revision).await
}

/// Returns a value that the contract promises to be well formed.
fn read<T, E>(what: &'static str, parsed: Result<T, E>) -> Result<T, StoreError> {
    parsed.map_err(|_| StoreError::Corrupt { what })
}

/// Returns an instant that the contract promises to be there.
fn read_instant(
    what: &'static str,
    timestamp: Option<&prost_types::Timestamp>,
) -> Result<DateTime<Utc>, StoreError> {
    timestamp
        .and_then(convert::instant)
        .ok_or(StoreError::Corrupt { what })
}

/// Returns an instant that may be absent.
fn read_optional_instant(
    what: &'static str,
    timestamp: Option<&prost_types::Timestamp>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    timestamp
        .map(|timestamp| read_instant(what, Some(timestamp)))
        .transpose()
}

#[cfg(test)]
mod tests;
