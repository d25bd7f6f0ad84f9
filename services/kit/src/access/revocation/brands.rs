//! Which Brands are suspended.

use std::collections::HashMap;

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::id::BrandId;
use rapport_proto::event::v1::{BrandState, Event, event::Payload};

use crate::{
    db::{Connection, Sql, StoreError, schema::brand_state},
    query,
};

pub(super) type Row = (BrandId, State);

/// Whether a Brand was suspended, as of one of its revisions.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    revision: i64,
    is_suspended: bool,
}

/// The states of all Brands, which are few.
#[derive(Default)]
pub(super) struct Brands(HashMap<BrandId, State>);

impl Brands {
    pub(super) async fn load(connection: &mut Connection) -> Result<Self, StoreError> {
        let rows: Vec<(Sql<BrandId>, i64, bool)> = query!(connection, |c| brand_state::table
            .select((
                brand_state::brand_id,
                brand_state::revision,
                brand_state::is_suspended,
            ))
            .load(c)
            .await)?;
        let state = |(brand_id, revision, is_suspended): (Sql<BrandId>, i64, bool)| {
            let state = State {
                revision,
                is_suspended,
            };
            (brand_id.0, state)
        };
        Ok(Self(rows.into_iter().map(state).collect()))
    }

    /// Remembers a state, unless a later one is known (SPEC 51).
    pub(super) fn remember(&mut self, (brand_id, new): Row) {
        let known = self.0.entry(brand_id).or_insert(new);
        if known.revision < new.revision {
            *known = new;
        }
    }

    pub(super) fn is_suspended(&self, brand_id: &BrandId) -> bool {
        self.0.get(brand_id).is_some_and(|state| state.is_suspended)
    }
}

/// Returns what an event says about its Brand; `None` where it says nothing or breaks the contract.
pub(super) fn row(event: &Event) -> Option<Row> {
    let Some(Payload::BrandChanged(brand)) = &event.payload else {
        return None;
    };
    let is_suspended = match brand.state() {
        BrandState::Active => false,
        BrandState::Suspended => true,
        BrandState::Unspecified => return None,
    };
    let state = State {
        revision: brand.revision,
        is_suspended,
    };
    Some((BrandId::parse(&event.brand_id).ok()?, state))
}

/// Keeps a state, unless a later one is kept.
pub(super) async fn keep(
    connection: &mut Connection,
    (brand_id, state): Row,
) -> Result<(), StoreError> {
    use diesel::query_dsl::methods::FilterDsl;
    query!(connection, |c| diesel::insert_into(brand_state::table)
        .values((
            brand_state::brand_id.eq(Sql(&brand_id)),
            brand_state::revision.eq(state.revision),
            brand_state::is_suspended.eq(state.is_suspended),
        ))
        .on_conflict(brand_state::brand_id)
        .do_update()
        .set((
            brand_state::revision.eq(state.revision),
            brand_state::is_suspended.eq(state.is_suspended),
        ))
        .filter(brand_state::revision.lt(state.revision))
        .execute(c)
        .await)?;
    Ok(())
}
