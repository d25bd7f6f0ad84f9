//! `rapport bench sign-in`: what a sign-in costs, and whether the length of the history matters.
//!
//! A visitor who has a client account chatted as a temporary one and signs in (case 3, with history):
//! `SignIn` links the two, `ListChatrooms` shows the chatroom, `OpenDirectChatroom` opens it. Nothing
//! may depend on how much was said there, since a merge moves nothing.

mod histories;
mod rates;

use kit::db::Db;
use rapport_proto::identity::v1::MergePolicyPreset;

use super::{SignInArgs, report::Report, stage::Stage};
use crate::client::shop::{Shop, ShopMember};

const BRAND_ID: &str = "bench";

/// The Brand that is signed in to.
#[derive(Clone)]
struct World {
    shop: Shop,
    member: ShopMember,
    chat_db: Db,
}

/// Measures, and reports.
///
/// # Errors
///
/// When a call is refused or answers what it must not.
pub(super) async fn measure(
    stage: &Stage,
    args: &SignInArgs,
    report: &Report,
) -> anyhow::Result<()> {
    stage.describe(report).await?;
    let running = stage.start_suite().await?;
    let shop = Shop::open(&running.channels, &running.operator_token, BRAND_ID).await?;
    shop.set_merge_policy(MergePolicyPreset::TwoChatrooms)
        .await?;
    let world = World {
        member: shop.hire("Mia").await?,
        chat_db: stage.chat_db().await?,
        shop,
    };
    histories::measure(&world, args, report).await?;
    rates::measure(&world, stage, args, report).await?;
    running.suite.stop().await
}
