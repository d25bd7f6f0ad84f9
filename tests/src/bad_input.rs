//! Bad input gets a clear error with a stable reason, and leaves no row and no event.

use chrono::TimeDelta;
use kit::{clock::Clock, testing::TestEngine};
use rapport::client::{
    UserData, request_id,
    shop::{Shop, WIDGET_POLICY},
};
use rapport_proto::{
    chat::v1::{
        GetChatroomRequest, MessageContent, SendMessageRequest, TextContent,
        message_content::Content,
    },
    identity::v1::{
        GetAccountRequest, GetLinkRequest, MergePolicyPreset, SignInRequest,
        StartTemporarySessionRequest, Widget, sign_in_request::Assertion,
    },
};
use tonic::Code;
use uuid::Uuid;

use crate::harness::{TestSuite, assert_refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_and_leaves_nothing_behind() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let visitor = shop.welcome("Ann", None).await.unwrap();
        let member = shop.hire("Mia").await.unwrap();
        let chatroom = visitor.open_direct(&member).await.unwrap();
        let other_shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let stranger = other_shop.welcome("Eve", None).await.unwrap();

        let before = suite.resting_row_counts().await.unwrap();
        refuses_temporary_sessions(&suite, &shop).await;
        refuses_assertions(&suite, &shop, &other_shop).await;
        refuses_unknown_ids(&shop, &visitor.caller).await;
        refuses_texts(&visitor.caller, &chatroom.chatroom_id).await;
        refuses_strangers(&stranger.caller, &chatroom.chatroom_id).await;
        assert_eq!(
            suite.resting_row_counts().await.unwrap(),
            before,
            "{engine:?}"
        );
        suite.stop().await.unwrap();
    }
}

async fn refuses_temporary_sessions(suite: &TestSuite, shop: &Shop) {
    let good = StartTemporarySessionRequest {
        brand_id: shop.brand_id.clone(),
        username: "Ann".to_owned(),
        email: String::new(),
        widget: Widget::Community.into(),
        accepted_widget_policy_version: WIDGET_POLICY.to_owned(),
        request_id: request_id(),
    };
    let refused = async |request: StartTemporarySessionRequest, code, reason| {
        let answer = suite
            .channels
            .anonymous()
            .start_temporary_session(request)
            .await;
        assert_refused(answer, code, reason);
    };
    let request = |change: fn(&mut StartTemporarySessionRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let invalid = Code::InvalidArgument;
    refused(
        request(|r| r.username = "  ".to_owned()),
        invalid,
        "FIELD_INVALID",
    )
    .await; // SPEC 2
    refused(request(|r| r.widget = 77), invalid, "FIELD_INVALID").await;
    refused(
        request(|r| r.request_id = "7".to_owned()),
        invalid,
        "FIELD_INVALID",
    )
    .await;
    refused(
        request(|r| r.email = "no e-mail".to_owned()),
        invalid,
        "FIELD_INVALID",
    )
    .await;
    refused(
        request(|r| r.brand_id = "nobody".to_owned()),
        Code::NotFound,
        "BRAND_NOT_FOUND",
    )
    .await;
    refused(
        request(|r| r.widget = Widget::Profile.into()),
        Code::FailedPrecondition,
        "WIDGET_NEEDS_CLIENT",
    )
    .await; // SPEC 2
    refused(
        request(|r| r.accepted_widget_policy_version = String::new()),
        Code::FailedPrecondition,
        "WIDGET_POLICY_NOT_ACCEPTED",
    )
    .await; // SPEC 2
}

async fn refuses_assertions(suite: &TestSuite, shop: &Shop, other_shop: &Shop) {
    let now = Clock::system().now();
    let user_data = UserData {
        brand_id: &shop.brand_id,
        customer_id: "ann",
        email: None,
        nonce: None,
        sign_time: now,
    };
    let mut tampered = user_data.sign(&shop.assertion_secret);
    tampered.user_data_json = tampered.user_data_json.replace("ann", "bob");
    let expired = UserData {
        sign_time: now - TimeDelta::hours(1),
        ..user_data.clone()
    };
    let others = UserData {
        brand_id: &other_shop.brand_id,
        ..user_data.clone()
    };
    let forged = [
        ("tampered", tampered),
        ("expired", expired.sign(&shop.assertion_secret)),
        (
            "another Brand's secret",
            user_data.sign(&other_shop.assertion_secret),
        ),
        (
            "another Brand's assertion",
            others.sign(&other_shop.assertion_secret),
        ),
    ];
    for (what, assertion) in forged {
        let request = SignInRequest {
            brand_id: shop.brand_id.clone(),
            assertion: Some(Assertion::SignedUserData(assertion)),
            widget: Widget::Community.into(),
            request_id: request_id(),
            accepted_widget_policy_version: WIDGET_POLICY.to_owned(),
            ..Default::default()
        };
        println!("{what}");
        let answer = suite.channels.anonymous().sign_in(request).await;
        assert_refused(answer, Code::Unauthenticated, "ASSERTION_REFUSED"); // SPEC 4
    }
}

async fn refuses_unknown_ids(shop: &Shop, visitor: &rapport::client::Caller) {
    let unknown = Uuid::new_v4().to_string();
    let mut service = shop.service.clone();
    let account = GetAccountRequest {
        account_id: unknown.clone(),
    };
    assert_refused(
        service.accounts.get_account(account).await,
        Code::NotFound,
        "ACCOUNT_NOT_FOUND",
    );
    let link = GetLinkRequest {
        link_id: unknown.clone(),
    };
    assert_refused(
        service.links.get_link(link).await,
        Code::NotFound,
        "LINK_NOT_FOUND",
    );
    let chatroom = GetChatroomRequest {
        chatroom_id: unknown,
        ..Default::default()
    };
    assert_refused(
        visitor.chat.clone().get_chatroom(chatroom).await,
        Code::NotFound,
        "CHATROOM_NOT_FOUND",
    );
}

async fn refuses_texts(visitor: &rapport::client::Caller, chatroom_id: &str) {
    let texts = [
        (" \n ".to_owned(), Code::InvalidArgument, "FIELD_INVALID"), // SPEC 32
        ("x".repeat(4_001), Code::InvalidArgument, "FIELD_INVALID"), // SPEC 32
        (
            "x".repeat(5 << 20),
            Code::ResourceExhausted,
            "REQUEST_TOO_LARGE",
        ),
    ];
    for (text, code, reason) in texts {
        assert_refused(say(visitor, chatroom_id, text).await, code, reason);
    }
}

async fn refuses_strangers(stranger: &rapport::client::Caller, chatroom_id: &str) {
    // Another Brand's chatroom answers like one that does not exist (SPEC 1).
    assert_refused(
        say(stranger, chatroom_id, "hello".to_owned()).await,
        Code::NotFound,
        "CHATROOM_NOT_FOUND",
    );
    let chatroom = GetChatroomRequest {
        chatroom_id: chatroom_id.to_owned(),
        ..Default::default()
    };
    assert_refused(
        stranger.chat.clone().get_chatroom(chatroom).await,
        Code::NotFound,
        "CHATROOM_NOT_FOUND",
    );
}

async fn say(
    caller: &rapport::client::Caller,
    chatroom_id: &str,
    text: String,
) -> Result<(), tonic::Status> {
    let request = SendMessageRequest {
        chatroom_id: chatroom_id.to_owned(),
        message_id: request_id(),
        content: Some(MessageContent {
            content: Some(Content::Text(TextContent { text })),
        }),
        ..Default::default()
    };
    caller.chat.clone().send_message(request).await.map(|_| ())
}
