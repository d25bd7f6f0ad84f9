//! Attacks on accounts that are not there yet, or are about to be merged: no attack gains a chatroom, a
//! message, a session or a credit.
//!
//! [`pre_hijacking`] plays the five attacks of Sudhodanan and Paverd, "Pre-hijacked accounts" (USENIX
//! Security 2022), [`forced_linking`] those on the merge itself. In each there is a victim, Vera, who
//! talks with the Member Mia; and Mallory, who talks with a Member in his pay, the crony, and writes
//! last, so that a wrong merge would give the crony the credit for what Vera buys.

mod forced_linking;
mod pre_hijacking;

use futures_util::{FutureExt, future::LocalBoxFuture};
use kit::testing::TestEngine;
use rapport::client::{
    Caller, request_id,
    shop::{Shop, ShopMember, SignedIn, Visitor},
    wait_until,
};
use rapport_proto::{
    attribution::v1::{
        AttributionOutcome, Buyer, Money, OrderReport, OrderStatus, RecordOrderRequest,
    },
    chat::v1::{Chatroom, ListChatroomsRequest, ListMessagesRequest},
    identity::v1::{
        GetAccountRequest, MergePolicyPreset, RefreshSessionRequest, SignInOutcomeKind,
    },
};
use tonic::Code;

use crate::harness::{TestSuite, assert_refused};

/// What Vera tells Mia, and nobody else may read.
const SECRET: &str = "I live at 7 Harbour Road.";
/// What Mallory writes to be seen in her name.
const BAIT: &str = "Buy what I recommend.";
const VERA: &str = "vera";
const VERAS_EMAIL: &str = "vera@mail.example";
const MALLORY: &str = "mallory";
/// A tenth of a hundred euros, in cents.
const CREDIT: i64 = 1_000;

/// A shop with an honest Member and one who works for the attacker.
pub(crate) struct Scene {
    suite: TestSuite,
    shop: Shop,
    mia: ShopMember,
    crony: ShopMember,
}

/// Plays an attack on both engines, each in a shop of its own.
fn on_both_engines<'a>(
    preset: MergePolicyPreset,
    attack: impl AsyncFn(&Scene) + 'a,
) -> LocalBoxFuture<'a, ()> {
    let played = async move {
        for engine in TestEngine::ALL {
            let suite = TestSuite::start(engine).await.unwrap();
            let shop = suite.shop(preset).await.unwrap();
            let scene = Scene {
                mia: shop.hire("Mia").await.unwrap(),
                crony: shop.hire("Crony").await.unwrap(),
                shop,
                suite,
            };
            attack(&scene).await;
            scene.suite.stop().await.unwrap();
        }
    };
    played.boxed_local()
}

impl Scene {
    /// Signs Vera in, with the session token that her browser has.
    async fn vera_signs_in(&self, browser: Option<&Visitor>) -> SignedIn {
        let signed_in = self.shop.sign_in(VERA, Some(VERAS_EMAIL), browser).await;
        signed_in.unwrap()
    }

    /// Lets the visitor and the Member write to each other.
    async fn talk(&self, visitor: &Visitor, member: &ShopMember, text: &str) -> Chatroom {
        let chatroom = visitor.open_direct(member).await.unwrap();
        visitor.caller.say(&chatroom, text).await.unwrap();
        member.caller.say(&chatroom, "I see.").await.unwrap();
        chatroom
    }

    /// Has the shop report that somebody bought for a hundred euros, once attribution knows all that
    /// has happened so far, and returns what Mia and the crony earn by it.
    async fn credit_of(&self, buyer: Buyer) -> (i64, i64) {
        self.let_attribution_catch_up().await;
        let before = self.balances().await;
        let order_id = request_id();
        let order = OrderReport {
            order_id: order_id.clone(),
            buyer: Some(buyer),
            total: Some(Money {
                currency_code: "EUR".to_owned(),
                minor_units: 10 * CREDIT,
            }),
            status: Some(OrderStatus {
                label: "OK".to_owned(),
                status_time: None,
            }),
            ..Default::default()
        };
        let request = RecordOrderRequest {
            order: Some(order),
            consistency_token: String::new(),
            request_id: request_id(),
        };
        let mut orders = self.shop.service.orders.clone();
        orders.record_order(request).await.unwrap();
        wait_until("the order is judged", async || {
            let attribution = self.shop.attribution(&order_id).await?;
            let is_judged = attribution.outcome() != AttributionOutcome::Pending;
            Ok(is_judged.then_some(()))
        })
        .await
        .unwrap();
        let after = self.balances().await;
        (after.0 - before.0, after.1 - before.1)
    }

    async fn credit_of_customer(&self, customer_id: &str) -> (i64, i64) {
        let buyer = Buyer {
            customer_id: customer_id.to_owned(),
            ..Default::default()
        };
        self.credit_of(buyer).await
    }

    async fn balances(&self) -> (i64, i64) {
        let mia = self.shop.balance(&self.mia.id, "EUR").await.unwrap();
        let crony = self.shop.balance(&self.crony.id, "EUR").await.unwrap();
        (mia, crony)
    }

    /// Attribution reads both logs in order: once it credits a conversation and a sign-in of just now,
    /// it has read all that came before.
    async fn let_attribution_catch_up(&self) {
        let member = self.shop.hire("Dora").await.unwrap();
        let customer_id = request_id();
        let visitor = self.shop.sign_in(&customer_id, None, None).await.unwrap();
        self.talk(&visitor.visitor, &member, "Hello.").await;
        let total = Money {
            currency_code: "EUR".to_owned(),
            minor_units: 10 * CREDIT,
        };
        let order_id = request_id();
        let reported = self.shop.order(&order_id, &customer_id, total).await;
        reported.unwrap();
        wait_until("attribution has caught up", async || {
            let balance = self.shop.balance(&member.id, "EUR").await?;
            Ok((balance == CREDIT).then_some(()))
        })
        .await
        .unwrap();
    }

    /// Fails unless every token of the session is dead: for identity, for chat, for its renewal.
    async fn assert_session_is_dead(&self, visitor: &Visitor) {
        wait_until("chat refuses the session", async || {
            let request = ListChatroomsRequest::default();
            let listed = visitor.caller.chat.clone().list_chatrooms(request).await;
            Ok(listed.is_err().then_some(()))
        })
        .await
        .unwrap(); // SPEC 59
        let request = ListChatroomsRequest::default();
        let listed = visitor.caller.chat.clone().list_chatrooms(request).await;
        assert_refused(listed, Code::Unauthenticated, "UNAUTHENTICATED");
        let request = GetAccountRequest::default();
        let shown = visitor.caller.accounts.clone().get_account(request).await;
        assert_refused(shown, Code::Unauthenticated, "UNAUTHENTICATED");
        let request = RefreshSessionRequest {
            brand_id: self.shop.brand_id.clone(),
            session_token: visitor.session.session_token.clone(),
            request_id: request_id(),
        };
        let mut anonymous = self.suite.channels.anonymous();
        let renewed = anonymous.refresh_session(request).await;
        assert_refused(renewed, Code::Unauthenticated, "SESSION_REFUSED");
    }

    /// Fails unless the session token of `browser` leads this customer nowhere: not to whom it belongs,
    /// nor to anything of his.
    async fn assert_token_leads_nowhere(&self, customer_id: &str, browser: &Visitor) -> Visitor {
        let signed_in = self.shop.sign_in(customer_id, None, Some(browser)).await;
        let signed_in = signed_in.unwrap();
        assert_eq!(signed_in.outcome.kind(), SignInOutcomeKind::LinkedElsewhere); // SPEC 11
        assert_eq!(signed_in.outcome.temporary_account_id, "");
        assert_eq!(signed_in.outcome.link, None);
        signed_in.visitor
    }
}

/// Fails unless these are all the chatrooms in the caller's list, and each has this text.
async fn assert_sees(caller: &Caller, expected: &[(&Chatroom, &str)]) {
    let listed = caller.chatrooms().await.unwrap();
    let mut listed: Vec<_> = listed.iter().map(|room| &room.chatroom_id).collect();
    let mut wanted: Vec<_> = expected.iter().map(|(room, _)| &room.chatroom_id).collect();
    listed.sort();
    wanted.sort();
    assert_eq!(listed, wanted);
    for (chatroom, text) in expected {
        let texts = caller.texts(chatroom).await.unwrap();
        assert!(texts.iter().any(|read| read == text));
    }
}

/// Fails unless the chatroom does not exist for the caller: unlisted, unread, unwritten (SPEC 21).
async fn assert_hidden(caller: &Caller, chatroom: &Chatroom) {
    let listed = caller.chatrooms().await.unwrap();
    assert!(
        listed
            .iter()
            .all(|room| room.chatroom_id != chatroom.chatroom_id)
    );
    let request = ListMessagesRequest {
        chatroom_id: chatroom.chatroom_id.clone(),
        ..Default::default()
    };
    let read = caller.chat.clone().list_messages(request).await;
    assert_refused(read, Code::NotFound, "CHATROOM_NOT_FOUND");
    let written = caller.say(chatroom, BAIT).await.unwrap_err();
    let status = written.downcast::<tonic::Status>();
    assert_refused::<()>(Err(status.unwrap()), Code::NotFound, "CHATROOM_NOT_FOUND");
}
