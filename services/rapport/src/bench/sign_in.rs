//! `rapport bench sign-in`: what a sign-in costs, and whether the length of the history matters.
//!
//! A visitor who has a client account chatted as a temporary one and signs in (case 3, with history):
//! `SignIn` links the two, `ListChatrooms` shows the chatroom, `OpenDirectChatroom` opens it. Nothing
//! may depend on how much was said there, since a merge moves nothing.

mod histories;
mod rates;

use kit::db::Db;
use rapport_proto::identity::v1::{MergePolicyPreset, SignInOutcomeKind};

use super::{SignInArgs, report::Report, stage::Stage};
use crate::client::shop::{Shop, ShopMember, SignedIn, Visitor};

const BRAND_ID: &str = "bench";
const EMAIL: &str = "ann@example.com";

/// The Brand that is signed in to.
#[derive(Clone)]
struct World {
    shop: Shop,
    member: ShopMember,
    chat_db: Db,
}

/// A visitor about to sign in, who has both accounts.
#[derive(Clone)]
struct Comer {
    customer_id: String,
    temporary: Visitor,
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

impl World {
    /// Returns a visitor with a temporary session and a client account.
    async fn welcome(&self) -> anyhow::Result<Comer> {
        let customer_id = crate::client::request_id();
        self.shop.sign_in(&customer_id, Some(EMAIL), None).await?;
        Ok(Comer {
            customer_id,
            temporary: self.shop.welcome("Ann", Some(EMAIL)).await?,
        })
    }

    /// Signs him in, and checks that this linked his accounts.
    async fn sign_in(&self, comer: &Comer) -> anyhow::Result<SignedIn> {
        let signed_in = self
            .shop
            .sign_in(&comer.customer_id, Some(EMAIL), Some(&comer.temporary))
            .await?;
        let kind = signed_in.outcome.kind();
        anyhow::ensure!(
            kind == SignInOutcomeKind::Linked,
            "a sign-in of case 3 links the accounts, and this one answered {}",
            kind.as_str_name()
        );
        Ok(signed_in)
    }
}
