//! Attacks on the merge itself: a session token shown by somebody whose it is not.
//!
//! A session token is a bearer's: who holds it is the visitor (SPEC 5). A Brand that must reckon with
//! tokens in the wrong hands requires the nonce: it is put into the assertion by the shop, which knows
//! whose browser it speaks of. Each attack is played with it, where nothing is gained, and without it,
//! where the test says what the token was worth and that its loss can be mended.

use prost_types::FieldMask;
use rapport::client::wait_until;
use rapport_proto::identity::v1::{
    AssertionSettings, Brand, MergePolicyPreset, RevokeLinkRequest, SignInOutcomeKind,
    UpdateBrandRequest,
};

use super::*;

/// Makes the Brand require the nonce for a merge.
async fn require_nonce(scene: &Scene) {
    let request = UpdateBrandRequest {
        brand: Some(Brand {
            assertion_settings: Some(AssertionSettings {
                nonce_required: true,
                ..Default::default()
            }),
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["assertion_settings.nonce_required".to_owned()],
        }),
        request_id: request_id(),
    };
    let mut brands = scene.shop.service.brands.clone();
    brands.update_brand(request).await.unwrap();
}

/// Signs a customer in with a session token that another browser got; the shop knows the nonce of the
/// customer's own browser, if of any.
async fn sign_in_with_foreign_token(
    scene: &Scene,
    customer_id: &str,
    own_nonce: Option<&str>,
    foreign: &Visitor,
) -> SignedIn {
    let assertion = scene.shop.assertion(customer_id, None, own_nonce);
    let token = foreign.session.session_token.as_str();
    let request = scene.shop.sign_in_request(assertion, Some(token));
    scene.shop.send_sign_in(request).await.unwrap()
}

async fn revoke_link(scene: &Scene, signed_in: &SignedIn) {
    let request = RevokeLinkRequest {
        link_id: signed_in.outcome.link.clone().unwrap().link_id,
        reason: "another person".to_owned(),
        request_id: request_id(),
    };
    let mut links = scene.shop.service.links.clone();
    links.revoke_link(request).await.unwrap();
}

/// Forced linking, planted. The attacker plants the token of his own anonymous session in the victim's
/// browser; her sign-in merges his account into hers, and with it what he has prepared.
///
/// Here Mallory has talked with his crony, who is to earn by what Vera buys. With the nonce he ends where
/// he was: the planted session merges nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_session_merges_nothing_without_its_nonce() {
    on_both_engines(MergePolicyPreset::TwoChatrooms, async |scene| {
        require_nonce(scene).await;
        let own = scene.shop.welcome("Vera", None).await.unwrap();
        let vera = scene.vera_signs_in(Some(&own)).await.visitor;
        let secret = scene.talk(&vera, &scene.mia, SECRET).await;
        let planted = scene.shop.welcome("Mallory", None).await.unwrap();
        let bait = scene.talk(&planted, &scene.crony, BAIT).await;
        for nonce in [None, Some(own.nonce.as_str())] {
            let again = sign_in_with_foreign_token(scene, VERA, nonce, &planted).await;
            assert_eq!(
                again.outcome.kind(),
                SignInOutcomeKind::TemporarySessionUnusable
            ); // SPEC 5
            assert_sees(&again.visitor.caller, &[(&secret, SECRET)]).await;
            assert_hidden(&again.visitor.caller, &bait).await;
        }
        assert_sees(&planted.caller, &[(&bait, BAIT)]).await;
        assert_hidden(&planted.caller, &secret).await;
        assert_eq!(scene.credit_of_customer(VERA).await, (CREDIT, 0));
    })
    .await;
}

/// Forced linking, planted, in a Brand that does not require the nonce: what is planted is merged.
///
/// Mallory ends with less than he had: nothing of Vera's is shown to him, his own chatroom is hers now and
/// his session is over. What he prepared counts for her until the shop revokes the link, which takes the
/// chatroom and the crony's credit back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_session_shows_the_attacker_nothing_and_can_be_undone() {
    on_both_engines(MergePolicyPreset::AlwaysLinked, async |scene| {
        let vera = scene.vera_signs_in(None).await.visitor;
        let secret = scene.talk(&vera, &scene.mia, SECRET).await;
        let planted = scene.shop.welcome("Mallory", None).await.unwrap();
        let bait = scene.talk(&planted, &scene.crony, BAIT).await;
        let again = sign_in_with_foreign_token(scene, VERA, None, &planted).await;
        assert_eq!(again.outcome.kind(), SignInOutcomeKind::Linked);
        scene.assert_session_is_dead(&planted).await; // SPEC 12
        let mallory = scene.assert_token_leads_nowhere(MALLORY, &planted).await;
        assert_hidden(&mallory.caller, &secret).await;
        assert_hidden(&mallory.caller, &bait).await;
        assert_eq!(scene.credit_of_customer(VERA).await, (0, CREDIT)); // SPEC 40
        let booked = scene.balances().await;

        revoke_link(scene, &again).await; // SPEC 16
        wait_until("the credit has gone where it belongs", async || {
            let (mia, crony) = scene.balances().await;
            Ok(((mia, crony) == (booked.0 + CREDIT, booked.1 - CREDIT)).then_some(()))
        })
        .await
        .unwrap(); // SPEC 43
        let after = scene.vera_signs_in(Some(&planted)).await;
        assert_eq!(
            after.outcome.kind(),
            SignInOutcomeKind::TemporarySessionUnusable
        ); // SPEC 16
        assert_sees(&after.visitor.caller, &[(&secret, SECRET)]).await;
        assert_hidden(&after.visitor.caller, &bait).await;
        assert_eq!(scene.credit_of_customer(VERA).await, (CREDIT, 0));
    })
    .await;
}

/// Forced linking, stolen. The attacker shows the victim's session token in a sign-in of his own, to get
/// her anonymous history into his account.
///
/// Here Mallory has copied the token from Vera's browser. With the nonce he ends in his own empty account,
/// and her sign-in finds her history as she left it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_session_merges_nothing_without_its_nonce() {
    on_both_engines(MergePolicyPreset::TwoChatrooms, async |scene| {
        require_nonce(scene).await;
        let browser = scene.shop.welcome("Vera", None).await.unwrap();
        let secret = scene.talk(&browser, &scene.mia, SECRET).await;
        let own = scene.shop.welcome("Mallory", None).await.unwrap();
        for nonce in [None, Some(own.nonce.as_str())] {
            let mallory = sign_in_with_foreign_token(scene, MALLORY, nonce, &browser).await;
            assert_eq!(
                mallory.outcome.kind(),
                SignInOutcomeKind::TemporarySessionUnusable
            ); // SPEC 5
            assert_sees(&mallory.visitor.caller, &[]).await;
            assert_hidden(&mallory.visitor.caller, &secret).await;
        }
        let vera = scene.vera_signs_in(Some(&browser)).await;
        assert_eq!(vera.outcome.kind(), SignInOutcomeKind::Upgraded);
        assert_sees(&vera.visitor.caller, &[(&secret, SECRET)]).await;
        assert_eq!(scene.credit_of_customer(MALLORY).await, (0, 0));
        assert_eq!(scene.credit_of_customer(VERA).await, (CREDIT, 0));
    })
    .await;
}

/// Forced linking, stolen, in a Brand that does not require the nonce: a stolen token is worth what it
/// opened before, her anonymous chatroom, and no more.
///
/// Mallory ends with nothing: Vera's own sign-in says that the session is another's, whereupon the shop
/// revokes the link, and the chatroom and what was credited through it leave his account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_session_is_noticed_and_taken_back() {
    on_both_engines(MergePolicyPreset::AlwaysLinked, async |scene| {
        let browser = scene.shop.welcome("Vera", None).await.unwrap();
        let secret = scene.talk(&browser, &scene.mia, SECRET).await;
        let mallory = sign_in_with_foreign_token(scene, MALLORY, None, &browser).await;
        assert_eq!(mallory.outcome.kind(), SignInOutcomeKind::Linked);
        let vera = scene.assert_token_leads_nowhere(VERA, &browser).await; // SPEC 11
        let later = scene.talk(&vera, &scene.crony, "And who are you?").await;
        assert_hidden(&mallory.visitor.caller, &later).await;

        revoke_link(scene, &mallory).await; // SPEC 16
        wait_until("the chatroom has left his list", async || {
            let chatrooms = mallory.visitor.caller.chatrooms().await?;
            Ok(chatrooms.is_empty().then_some(()))
        })
        .await
        .unwrap();
        assert_hidden(&mallory.visitor.caller, &secret).await;
        assert_eq!(scene.credit_of_customer(MALLORY).await, (0, 0)); // SPEC 43
        // No session comes back: it is the Member's alone now (SPEC 9, 16).
        scene.assert_session_is_dead(&browser).await;
        assert_hidden(&vera.caller, &secret).await;
        assert_sees(&scene.mia.caller, &[(&secret, SECRET)]).await;
    })
    .await;
}

/// The shared computer. Two people sign in one after the other in the browser in which the first one
/// chatted; the second one must get nothing of what the first one left.
///
/// Here Mallory sits down after Vera, under each policy. He ends in an account of his own (SPEC 11).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_shared_computer_the_second_gets_nothing_of_the_first() {
    let presets = [
        (MergePolicyPreset::TwoChatrooms, SignInOutcomeKind::Upgraded),
        (MergePolicyPreset::AlwaysLinked, SignInOutcomeKind::Linked),
    ];
    for (preset, first) in presets {
        on_both_engines(preset, async |scene| {
            let computer = scene.shop.welcome("Vera", None).await.unwrap();
            let secret = scene.talk(&computer, &scene.mia, SECRET).await;
            let vera = scene.vera_signs_in(Some(&computer)).await;
            assert_eq!(vera.outcome.kind(), first);
            let mallory = scene.assert_token_leads_nowhere(MALLORY, &computer).await;
            assert_sees(&mallory.caller, &[]).await;
            assert_hidden(&mallory.caller, &secret).await;
            scene.assert_session_is_dead(&computer).await; // SPEC 12
            assert_eq!(scene.credit_of_customer(MALLORY).await, (0, 0));
            let bait = scene.talk(&mallory, &scene.crony, BAIT).await;
            assert_hidden(&vera.visitor.caller, &bait).await;
            assert_eq!(scene.credit_of_customer(VERA).await, (CREDIT, 0));
            let again = scene.vera_signs_in(Some(&computer)).await;
            assert_eq!(again.outcome.kind(), SignInOutcomeKind::AlreadyLinked); // SPEC 11
            assert_sees(&again.visitor.caller, &[(&secret, SECRET)]).await;
        })
        .await;
    }
}
