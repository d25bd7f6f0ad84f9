//! The merge policies of a Brand.

use domain::{id::BrandId, merge_policy::MergePolicy};
use kit::db::Connection;
use rapport_proto::identity::v1::AuditAction;

use super::{
    App, Stamp, Write, brands::touch_brand, find_answer, find_brand, journal::Journal, keep_answer,
};
use crate::{
    error::IdentityError,
    model::{Brand, MergePolicyRevision},
    store::merge_policies,
};

struct Setting {
    write: Write,
    stamp: Stamp,
    policy: MergePolicy,
}

impl App {
    /// Sets the merge policy for all sign-ins from now on, as a new revision (SPEC 6).
    pub(crate) async fn set_merge_policy(
        &self,
        write: Write,
        policy: MergePolicy,
    ) -> Result<MergePolicyRevision, IdentityError> {
        let stamp = self.write_stamp(&write);
        let setting = Setting {
            write,
            stamp,
            policy,
        };
        self.db
            .run_tx("set_merge_policy", setting, |c, i| Box::pin(set(c, i)))
            .await
    }

    /// Lists the Brand's policies, newest first, those before `before`.
    pub(crate) async fn list_merge_policies(
        &self,
        brand_id: &BrandId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<MergePolicyRevision>, IdentityError> {
        let mut connection = self.db.read().await?;
        find_brand(&mut connection, brand_id).await?;
        Ok(merge_policies::list(&mut connection, brand_id, before, limit).await?)
    }
}

async fn set(
    connection: &mut Connection,
    input: &Setting,
) -> Result<MergePolicyRevision, IdentityError> {
    let Setting {
        write,
        stamp,
        policy,
    } = input;
    let brand = find_brand(connection, &stamp.brand_id).await?;
    if let Some(revision) = find_answer::<i64>(connection, &write.key).await? {
        return Ok(merge_policies::get(connection, &stamp.brand_id, revision).await?);
    }
    let made = MergePolicyRevision {
        brand_id: brand.brand_id.clone(),
        revision: brand.merge_policy_revision + 1,
        on_new_client: policy.on_new_client,
        on_existing_client: policy.on_existing_client,
        actor_caller: stamp.actor.caller_name(),
        actor_id: stamp.actor.id_text(),
        create_time: stamp.now,
    };
    merge_policies::insert(connection, &made).await?;
    let brand = Brand {
        merge_policy_revision: made.revision,
        ..brand
    };
    let mut journal = Journal::new(stamp);
    journal.audit(AuditAction::MergePolicySet, made.revision, "");
    touch_brand(connection, &mut journal, brand, stamp.now).await?;
    journal.write(connection).await?;
    keep_answer(connection, &write.key, &made.revision, stamp.now).await?;
    Ok(made)
}
