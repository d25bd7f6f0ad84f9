//! The five pre-hijacking attacks: Mallory comes before Vera has an account, and waits.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use kit::clock::Clock;
use prost_types::FieldMask;
use rapport::client::request_id;
use rapport_proto::{
    attribution::v1::Buyer,
    event::v1::EmailProvenance,
    identity::v1::{
        Account, AssertionSettings, Brand, CreateAssertionKeyRequest, GetAccountRequest,
        MergePolicyPreset, SignInOutcomeKind, TokenAlgorithm, UpdateAccountRequest,
        UpdateBrandRequest, create_assertion_key_request::Material, sign_in_request::Assertion,
    },
};
use serde_json::json;
use tonic::Code;

use super::*;

fn by_email(email: &str) -> Buyer {
    Buyer {
        email: email.to_owned(),
        ..Default::default()
    }
}

/// Classic-federated merge. The attacker makes an account by the classic way under the victim's e-mail;
/// when she comes by a federated login with that e-mail, the service merges the two, and both are in.
///
/// Here Mallory types Vera's e-mail into a temporary session. He ends with an anonymous account of his
/// own: an e-mail matches nothing (SPEC 3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_federated_merge_joins_nobody_by_e_mail() {
    on_both_engines(MergePolicyPreset::TwoChatrooms, async |scene| {
        let mallory = scene.shop.welcome("Vera", Some(VERAS_EMAIL)).await.unwrap();
        let vera = scene.vera_signs_in(None).await;
        assert_eq!(vera.outcome.kind(), SignInOutcomeKind::NoTemporary); // SPEC 7
        let vera = vera.visitor;
        assert_ne!(vera.account.account_id, mallory.account.account_id);
        let secret = scene.talk(&vera, &scene.mia, SECRET).await;
        let bait = scene.talk(&mallory, &scene.crony, BAIT).await;

        assert_sees(&vera.caller, &[(&secret, SECRET)]).await;
        assert_sees(&mallory.caller, &[(&bait, BAIT)]).await;
        assert_hidden(&mallory.caller, &secret).await;
        assert_hidden(&vera.caller, &bait).await;
        assert_eq!(scene.credit_of_customer(VERA).await, (CREDIT, 0));
        assert_eq!(scene.credit_of(by_email(VERAS_EMAIL)).await, (CREDIT, 0)); // SPEC 36
    })
    .await;
}

/// Unexpired session identifier. The attacker makes the account and keeps a session of it open; when
/// the victim takes the account over, the service forgets to end that session.
///
/// Here Mallory starts the temporary session of the browser that Vera then uses, and keeps copies of
/// all its tokens. He ends with tokens that open nothing: her sign-in ended the session (SPEC 12).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unexpired_session_identifiers_die_with_the_sign_in() {
    on_both_engines(MergePolicyPreset::TwoChatrooms, async |scene| {
        let copied = scene.shop.welcome("Vera", None).await.unwrap();
        let secret = scene.talk(&copied, &scene.mia, SECRET).await;
        let vera = scene.vera_signs_in(Some(&copied)).await;
        assert_eq!(vera.outcome.kind(), SignInOutcomeKind::Upgraded);
        scene.assert_session_is_dead(&copied).await; // SPEC 12, 59
        let mallory = scene.assert_token_leads_nowhere(MALLORY, &copied).await;
        let bait = scene.talk(&mallory, &scene.crony, BAIT).await;

        assert_sees(&mallory.caller, &[(&bait, BAIT)]).await;
        assert_hidden(&mallory.caller, &secret).await;
        assert_sees(&vera.visitor.caller, &[(&secret, SECRET)]).await;
        assert_eq!(scene.credit_of_customer(VERA).await, (CREDIT, 0));
        assert_eq!(scene.credit_of_customer(MALLORY).await, (0, CREDIT)); // his own purchase alone
    })
    .await;
}

/// Trojan identifier. The attacker makes an account under the victim's e-mail and adds an identifier of
/// his own to it; she takes the account over, and he still comes in by his.
///
/// Here Mallory types Vera's e-mail, makes the account his client account by signing in as himself, and
/// leaves its session token in her browser. He ends alone in it: an account has one customer, and hers
/// is another account, as the outcome of her sign-in says (SPEC 11).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trojan_identifier_opens_no_account_but_the_attackers() {
    on_both_engines(MergePolicyPreset::TwoChatrooms, async |scene| {
        let planted = scene.shop.welcome("Vera", Some(VERAS_EMAIL)).await.unwrap();
        let mallory = scene
            .shop
            .sign_in(MALLORY, None, Some(&planted))
            .await
            .unwrap();
        assert_eq!(mallory.outcome.kind(), SignInOutcomeKind::Upgraded);
        let vera = scene.assert_token_leads_nowhere(VERA, &planted).await;
        assert_ne!(vera.account.account_id, mallory.visitor.account.account_id);
        let secret = scene.talk(&vera, &scene.mia, SECRET).await;
        let again = scene
            .shop
            .sign_in(MALLORY, None, Some(&planted))
            .await
            .unwrap();
        assert_eq!(again.visitor.account.account_id, planted.account.account_id);
        let bait = scene.talk(&again.visitor, &scene.crony, BAIT).await;

        assert_sees(&again.visitor.caller, &[(&bait, BAIT)]).await;
        assert_hidden(&again.visitor.caller, &secret).await;
        assert_sees(&vera.caller, &[(&secret, SECRET)]).await;
        assert_hidden(&vera.caller, &bait).await;
        scene.assert_session_is_dead(&planted).await;
        assert_eq!(scene.credit_of_customer(VERA).await, (CREDIT, 0));
    })
    .await;
}

/// Unexpired e-mail change. The attacker begins to change the account's e-mail to his own and does not
/// confirm it; after the victim has taken the account over, he confirms.
///
/// Here Mallory sets his e-mail on the temporary account of Vera's browser, and after her sign-in sends
/// the same call again, and a new one. He ends refused: the Brand's e-mail has replaced his (SPEC 6), his
/// session is over, and nobody can set the e-mail of a client account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unexpired_e_mail_change_changes_nothing_after_the_sign_in() {
    const HIS: &str = "mallory@mail.example";
    on_both_engines(MergePolicyPreset::TwoChatrooms, async |scene| {
        let copied = scene.shop.welcome("Vera", Some(VERAS_EMAIL)).await.unwrap();
        let secret = scene.talk(&copied, &scene.mia, SECRET).await;
        let change = || UpdateAccountRequest {
            account: Some(Account {
                account_id: copied.account.account_id.clone(),
                email: HIS.to_owned(),
                ..Default::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["email".to_owned()],
            }),
            request_id: request_id(),
        };
        let begun = change();
        let mut accounts = copied.caller.accounts.clone();
        accounts.update_account(begun.clone()).await.unwrap();
        let vera = scene.vera_signs_in(Some(&copied)).await;
        assert!(vera.outcome.email_replaced); // SPEC 6
        scene.assert_session_is_dead(&copied).await;
        for completed in [begun, change()] {
            let refused = accounts.update_account(completed).await;
            assert_refused(refused, Code::Unauthenticated, "UNAUTHENTICATED");
        }
        let mut service = scene.shop.service.accounts.clone();
        let refused = service.update_account(change()).await;
        assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID"); // SPEC 14
        let request = GetAccountRequest::default();
        let shown = vera
            .visitor
            .caller
            .accounts
            .clone()
            .get_account(request)
            .await;
        let shown = shown.unwrap().into_inner().account.unwrap();
        assert_eq!(shown.email, VERAS_EMAIL);
        assert_eq!(shown.email_provenance(), EmailProvenance::Attested); // SPEC 3

        // Nor does the e-mail that was hers for a while lead him to her, though it is his at the Brand.
        let mallory = scene
            .shop
            .sign_in(MALLORY, Some(HIS), None)
            .await
            .unwrap()
            .visitor;
        assert_ne!(mallory.account.account_id, shown.account_id);
        assert_hidden(&mallory.caller, &secret).await;
        let bait = scene.talk(&mallory, &scene.crony, BAIT).await;
        assert_sees(&mallory.caller, &[(&bait, BAIT)]).await;
        assert_eq!(scene.credit_of_customer(VERA).await, (CREDIT, 0));
        assert_eq!(scene.credit_of(by_email(VERAS_EMAIL)).await, (CREDIT, 0));
    })
    .await;
}

/// Non-verifying identity provider. The attacker has an identity provider that checks no e-mail say that
/// the victim's is his; the service finds or makes her account by it, and both are in.
///
/// Here Mallory's valid ID token has his own subject and Vera's e-mail, unverified. He ends in an account
/// of his own, for which that e-mail is merely typed (SPEC 3): it neither finds hers, nor does hers find
/// his, nor is it the buyer of her orders (SPEC 36).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_non_verifying_identity_provider_lends_no_e_mail() {
    for mallory_is_first in [true, false] {
        on_both_engines(MergePolicyPreset::TwoChatrooms, async |scene| {
            let provider = Provider::register(scene).await;
            let hijack = async || {
                let token = Assertion::IdToken(provider.token(MALLORY, VERAS_EMAIL));
                let request = scene.shop.sign_in_request(token, None);
                scene.shop.send_sign_in(request).await.unwrap().visitor
            };
            let early = if mallory_is_first {
                Some(hijack().await)
            } else {
                None
            };
            let vera = scene.vera_signs_in(None).await.visitor;
            let secret = scene.talk(&vera, &scene.mia, SECRET).await;
            let mallory = match early {
                Some(early) => early,
                None => hijack().await,
            };
            assert_ne!(mallory.account.account_id, vera.account.account_id);
            assert_eq!(mallory.account.email_provenance(), EmailProvenance::Typed); // SPEC 3
            let bait = scene.talk(&mallory, &scene.crony, BAIT).await;

            assert_sees(&mallory.caller, &[(&bait, BAIT)]).await;
            assert_hidden(&mallory.caller, &secret).await;
            assert_sees(&vera.caller, &[(&secret, SECRET)]).await;
            assert_hidden(&vera.caller, &bait).await;
            assert_eq!(scene.credit_of_customer(VERA).await, (CREDIT, 0));
            assert_eq!(scene.credit_of(by_email(VERAS_EMAIL)).await, (CREDIT, 0)); // SPEC 36
        })
        .await;
    }
}

/// An identity provider that the Brand trusts for subjects, and that checks no e-mail.
struct Provider {
    key: SigningKey,
}

impl Provider {
    const ISSUER: &'static str = "https://login.shop.example";
    const AUDIENCE: &'static str = "shop";

    /// Has the Brand take its ID tokens.
    async fn register(scene: &Scene) -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = BASE64_URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let key_set =
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": public }] });
        let mut brands = scene.shop.service.brands.clone();
        let request = UpdateBrandRequest {
            brand: Some(Brand {
                assertion_settings: Some(AssertionSettings {
                    token_algorithms: vec![TokenAlgorithm::Eddsa.into()],
                    issuer: Self::ISSUER.to_owned(),
                    audiences: vec![Self::AUDIENCE.to_owned()],
                    ..Default::default()
                }),
                ..Default::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["assertion_settings".to_owned()],
            }),
            request_id: request_id(),
        };
        brands.update_brand(request).await.unwrap();
        let request = CreateAssertionKeyRequest {
            material: Some(Material::JwkSetJson(key_set.to_string())),
            request_id: request_id(),
            ..Default::default()
        };
        brands.create_assertion_key(request).await.unwrap();
        Self { key }
    }

    /// Returns an ID token with an e-mail that nobody has checked.
    fn token(&self, subject: &str, email: &str) -> String {
        let now = Clock::system().now().timestamp();
        let header = json!({ "alg": "EdDSA", "kid": "1" });
        let claims = json!({
            "iss": Self::ISSUER,
            "aud": Self::AUDIENCE,
            "sub": subject,
            "iat": now,
            "exp": now + 300,
            "email": email,
            "email_verified": false,
        });
        let part = |part: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(message.as_bytes()).to_bytes();
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}
