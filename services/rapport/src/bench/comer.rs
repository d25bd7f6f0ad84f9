//! A visitor about to sign in who has a client account and chatted as a temporary one (case 3).

use rapport_proto::identity::v1::SignInOutcomeKind;

use crate::client::{
    request_id,
    shop::{Shop, SignedIn, Visitor},
};

const EMAIL: &str = "ann@example.com";

/// He has both accounts.
#[derive(Clone)]
pub(super) struct Comer {
    pub(super) customer_id: String,
    pub(super) temporary: Visitor,
}

impl Comer {
    /// Returns one with a temporary session and a client account.
    ///
    /// # Errors
    ///
    /// When a call is refused.
    pub(super) async fn welcome(shop: &Shop) -> anyhow::Result<Self> {
        let customer_id = request_id();
        shop.sign_in(&customer_id, Some(EMAIL), None).await?;
        Ok(Self {
            customer_id,
            temporary: shop.welcome("Ann", Some(EMAIL)).await?,
        })
    }

    /// Signs him in, and checks that this linked his accounts.
    ///
    /// # Errors
    ///
    /// When the call is refused, or does something else.
    pub(super) async fn sign_in(&self, shop: &Shop) -> anyhow::Result<SignedIn> {
        let signed_in = shop
            .sign_in(&self.customer_id, Some(EMAIL), Some(&self.temporary))
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
