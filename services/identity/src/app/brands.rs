//! Brands and their settings.

use chrono::{DateTime, Utc};
use domain::{id::BrandId, merge_policy::MergePolicy};
use kit::db::{Connection, StoreError};
use rapport_proto::{event::v1::event::Payload, identity::v1::AuditAction};

use super::{App, Stamp, Write, find_answer, find_brand, journal::Journal, keep_answer};
use crate::{
    convert::{self, event::brand_changed},
    error::IdentityError,
    model::{Brand, BrandState, List, MergePolicyRevision, TokenAlgorithm},
    store::{assertion_keys, brands, merge_policies},
};

/// A Brand with the merge policy in force.
#[derive(Clone, Debug)]
pub(crate) struct BrandWithPolicy {
    pub(crate) brand: Brand,
    pub(crate) policy: MergePolicyRevision,
}

/// New values for some fields of a Brand; what is absent stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrandChange {
    pub(crate) display_name: Option<String>,
    pub(crate) state: Option<BrandState>,
    pub(crate) nonce_required: Option<bool>,
    pub(crate) token_algorithms: Option<List<TokenAlgorithm>>,
    pub(crate) issuer: Option<String>,
    pub(crate) audiences: Option<List<String>>,
    pub(crate) customer_id_claim: Option<String>,
    pub(crate) widget_policy_version: Option<String>,
    pub(crate) temporary_account_ttl_seconds: Option<i64>,
    pub(crate) attribution_window_limit_seconds: Option<i64>,
    pub(crate) client_session_ttl_seconds: Option<i64>,
    pub(crate) time_zone: Option<String>,
    /// What the caller read last; `None` where he does not mind.
    pub(crate) etag: Option<String>,
}

struct Creation {
    write: Write,
    stamp: Stamp,
    brand: Brand,
}

struct Update {
    write: Write,
    stamp: Stamp,
    change: BrandChange,
}

impl App {
    /// Makes a Brand, with the merge policy of the preset `TWO_CHATROOMS` (SPEC 6).
    pub(crate) async fn create_brand(
        &self,
        write: Write,
        brand: Brand,
    ) -> Result<BrandWithPolicy, IdentityError> {
        check_settings(&brand)?;
        let stamp = self.write_stamp(&write);
        let creation = Creation {
            write,
            stamp,
            brand,
        };
        self.db
            .run_tx("create_brand", creation, |c, i| Box::pin(create(c, i)))
            .await
    }

    /// Returns a Brand.
    pub(crate) async fn get_brand(
        &self,
        brand_id: &BrandId,
    ) -> Result<BrandWithPolicy, IdentityError> {
        let mut connection = self.db.read().await?;
        let brand = find_brand(&mut connection, brand_id).await?;
        Ok(with_policy(&mut connection, brand).await?)
    }

    /// Lists Brands by id, those behind `after`.
    pub(crate) async fn list_brands(
        &self,
        after: Option<&BrandId>,
        limit: i64,
    ) -> Result<Vec<BrandWithPolicy>, IdentityError> {
        let mut connection = self.db.read().await?;
        let mut listed = Vec::new();
        for brand in brands::list(&mut connection, after, limit).await? {
            listed.push(with_policy(&mut connection, brand).await?);
        }
        Ok(listed)
    }

    /// Changes some fields of a Brand.
    pub(crate) async fn update_brand(
        &self,
        write: Write,
        change: BrandChange,
    ) -> Result<BrandWithPolicy, IdentityError> {
        let stamp = self.write_stamp(&write);
        let update = Update {
            write,
            stamp,
            change,
        };
        self.db
            .run_tx("update_brand", update, |c, i| Box::pin(change_fields(c, i)))
            .await
    }
}

async fn create(
    connection: &mut Connection,
    input: &Creation,
) -> Result<BrandWithPolicy, IdentityError> {
    let Creation {
        write,
        stamp,
        brand,
    } = input;
    if let Some(()) = find_answer(connection, &write.key).await? {
        let brand = find_brand(connection, &brand.brand_id).await?;
        return Ok(with_policy(connection, brand).await?);
    }
    if brands::find(connection, &brand.brand_id).await?.is_some() {
        return Err(IdentityError::BrandIdTaken);
    }
    let default = MergePolicy::default();
    let policy = MergePolicyRevision {
        brand_id: brand.brand_id.clone(),
        revision: brand.merge_policy_revision,
        on_new_client: default.on_new_client,
        on_existing_client: default.on_existing_client,
        actor_caller: stamp.actor.caller_name(),
        actor_id: stamp.actor.id_text(),
        create_time: brand.create_time,
    };
    brands::insert(connection, brand).await?;
    merge_policies::insert(connection, &policy).await?;
    let mut journal = Journal::new(stamp);
    journal.audit(AuditAction::BrandChanged, &brand.brand_id, "CREATED");
    note_brand(connection, &mut journal, brand, stamp.now).await?;
    journal.write(connection).await?;
    keep_answer(connection, &write.key, &(), stamp.now).await?;
    Ok(BrandWithPolicy {
        brand: brand.clone(),
        policy,
    })
}

async fn change_fields(
    connection: &mut Connection,
    input: &Update,
) -> Result<BrandWithPolicy, IdentityError> {
    let Update {
        write,
        stamp,
        change,
    } = input;
    let current = find_brand(connection, &stamp.brand_id).await?;
    if let Some(()) = find_answer(connection, &write.key).await? {
        return Ok(with_policy(connection, current).await?);
    }
    if change
        .etag
        .as_ref()
        .is_some_and(|etag| *etag != convert::etag(current.revision))
    {
        return Err(IdentityError::EtagMismatch);
    }
    let brand = changed(&current, change, stamp.now);
    check_settings(&brand)?;
    if brand.attribution_window_limit_seconds < current.attribution_window_limit_seconds {
        return Err(IdentityError::field(
            "brand.attribution_window_limit",
            "can only be raised",
        ));
    }
    brands::update(connection, &brand).await?;
    let mut journal = Journal::new(stamp);
    journal.audit(AuditAction::BrandChanged, &brand.brand_id, "UPDATED");
    note_brand(connection, &mut journal, &brand, stamp.now).await?;
    journal.write(connection).await?;
    keep_answer(connection, &write.key, &(), stamp.now).await?;
    Ok(with_policy(connection, brand).await?)
}

fn changed(current: &Brand, change: &BrandChange, now: DateTime<Utc>) -> Brand {
    fn pick<T: Clone>(new: &Option<T>, current: &T) -> T {
        new.as_ref().unwrap_or(current).clone()
    }
    Brand {
        display_name: pick(&change.display_name, &current.display_name),
        state: pick(&change.state, &current.state),
        nonce_required: pick(&change.nonce_required, &current.nonce_required),
        token_algorithms: pick(&change.token_algorithms, &current.token_algorithms),
        issuer: pick(&change.issuer, &current.issuer),
        audiences: pick(&change.audiences, &current.audiences),
        customer_id_claim: pick(&change.customer_id_claim, &current.customer_id_claim),
        widget_policy_version: pick(
            &change.widget_policy_version,
            &current.widget_policy_version,
        ),
        temporary_account_ttl_seconds: pick(
            &change.temporary_account_ttl_seconds,
            &current.temporary_account_ttl_seconds,
        ),
        attribution_window_limit_seconds: pick(
            &change.attribution_window_limit_seconds,
            &current.attribution_window_limit_seconds,
        ),
        client_session_ttl_seconds: pick(
            &change.client_session_ttl_seconds,
            &current.client_session_ttl_seconds,
        ),
        time_zone: pick(&change.time_zone, &current.time_zone),
        revision: current.revision + 1,
        update_time: now,
        ..current.clone()
    }
}

/// Refuses settings that contradict each other.
fn check_settings(brand: &Brand) -> Result<(), IdentityError> {
    if brand.temporary_account_ttl_seconds < brand.attribution_window_limit_seconds {
        return Err(IdentityError::field(
            "brand.temporary_account_ttl",
            "must not be shorter than attribution_window_limit",
        ));
    }
    let takes_tokens = !brand.token_algorithms.0.is_empty();
    if takes_tokens && brand.issuer.is_empty() {
        return Err(IdentityError::field(
            "brand.assertion_settings.issuer",
            "is required where token_algorithms is not empty",
        ));
    }
    if takes_tokens && brand.audiences.0.is_empty() {
        return Err(IdentityError::field(
            "brand.assertion_settings.audiences",
            "is required where token_algorithms is not empty",
        ));
    }
    Ok(())
}

async fn with_policy(
    connection: &mut Connection,
    brand: Brand,
) -> Result<BrandWithPolicy, StoreError> {
    let policy =
        merge_policies::get(connection, &brand.brand_id, brand.merge_policy_revision).await?;
    Ok(BrandWithPolicy { brand, policy })
}

/// Notes the Brand's state, after its row, policies and keys were written.
pub(super) async fn note_brand(
    connection: &mut Connection,
    journal: &mut Journal<'_>,
    brand: &Brand,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let policy =
        merge_policies::get(connection, &brand.brand_id, brand.merge_policy_revision).await?;
    let keys = assertion_keys::list_in_force(connection, &brand.brand_id, now).await?;
    journal.event(Payload::BrandChanged(brand_changed(brand, &policy, &keys)));
    Ok(())
}

/// Counts a change of the Brand's policies or keys, and notes its state.
pub(super) async fn touch_brand(
    connection: &mut Connection,
    journal: &mut Journal<'_>,
    brand: Brand,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let brand = Brand {
        revision: brand.revision + 1,
        update_time: now,
        ..brand
    };
    brands::update(connection, &brand).await?;
    note_brand(connection, journal, &brand, now).await
}
