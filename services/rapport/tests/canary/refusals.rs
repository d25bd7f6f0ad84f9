//! Calls that are refused because of what is in them, which the answers must not repeat.

use rapport::client::{Caller, request_id, shop::WIDGET_POLICY};
use rapport_proto::{
    attribution::v1::{Buyer, Money, OrderReport, RecordOrderRequest},
    chat::v1::{
        ListMessagesRequest, MessageContent, SendMessageRequest, TextContent,
        message_content::Content,
    },
    identity::v1::{
        CreateMemberRequest, GetAccountRequest, IssueServiceTokenRequest, RefreshSessionRequest,
        RevokeLinkRequest, SignInRequest, SignedUserData, StartTemporarySessionRequest,
        WatchEventsRequest, Widget, sign_in_request::Assertion,
    },
};
use tonic::{Response, Status};

use crate::{installation::Installation, story::Story};

/// Sends `canary` in every kind of field that can be wrong, and returns what the answers say.
pub(crate) async fn provoke(
    suite: &Installation,
    story: &Story,
    canary: &str,
) -> anyhow::Result<Vec<u8>> {
    let mut said = Vec::new();
    let mut anonymous = suite.channels.anonymous();
    let start = StartTemporarySessionRequest {
        brand_id: story.shop.brand_id.clone(),
        username: "Ann".to_owned(),
        widget: Widget::Community.into(),
        accepted_widget_policy_version: WIDGET_POLICY.to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    for wrong in [
        StartTemporarySessionRequest {
            username: canary.repeat(5),
            ..start.clone()
        },
        StartTemporarySessionRequest {
            email: format!("no e-mail {canary}"),
            ..start.clone()
        },
        StartTemporarySessionRequest {
            brand_id: format!("X {canary}"),
            ..start.clone()
        },
        StartTemporarySessionRequest {
            request_id: canary.to_owned(),
            ..start.clone()
        },
        StartTemporarySessionRequest {
            accepted_widget_policy_version: canary.to_owned(),
            ..start.clone()
        },
    ] {
        note(&mut said, anonymous.start_temporary_session(wrong).await);
    }
    for assertion in assertions(canary) {
        let request = SignInRequest {
            brand_id: story.shop.brand_id.clone(),
            assertion: Some(assertion),
            temporary_session_token: canary.to_owned(),
            widget: Widget::Community.into(),
            validate_only: false,
            request_id: request_id(),
            accepted_widget_policy_version: WIDGET_POLICY.to_owned(),
        };
        note(&mut said, anonymous.sign_in(request).await);
    }
    let request = RefreshSessionRequest {
        brand_id: story.shop.brand_id.clone(),
        session_token: canary.to_owned(),
        request_id: request_id(),
    };
    note(&mut said, anonymous.refresh_session(request).await);
    let request = IssueServiceTokenRequest {
        brand_id: story.shop.brand_id.clone(),
        api_key: canary.to_owned(),
    };
    note(&mut said, anonymous.issue_service_token(request).await);
    let forged = suite.channels.caller(canary)?;
    note(
        &mut said,
        forged
            .accounts
            .clone()
            .get_account(GetAccountRequest::default())
            .await,
    );
    of_service(&mut said, &story.shop.service, canary).await;
    of_visitor(&mut said, story, canary).await;
    Ok(said)
}

fn assertions(canary: &str) -> [Assertion; 3] {
    let signed = |user_data_json: String| {
        Assertion::SignedUserData(SignedUserData {
            user_data_json,
            signature: canary.to_owned(),
            assertion_key_id: String::new(),
        })
    };
    [
        Assertion::IdToken(format!("{canary}.{canary}.{canary}")),
        signed(format!("not JSON {canary}")),
        signed(format!(
            "{{\"brand_id\":\"{canary}\",\"email\":\"{canary}\"}}"
        )),
    ]
}

async fn of_service(said: &mut Vec<u8>, service: &Caller, canary: &str) {
    let mut service = service.clone();
    let account_id = canary.to_owned();
    note(
        said,
        service
            .accounts
            .get_account(GetAccountRequest { account_id })
            .await,
    );
    let request = CreateMemberRequest {
        display_name: canary.repeat(5),
        own_customer_ids: Vec::new(),
        request_id: request_id(),
    };
    note(said, service.accounts.create_member(request).await);
    let request = RevokeLinkRequest {
        link_id: request_id(),
        reason: canary.repeat(20),
        request_id: request_id(),
    };
    note(said, service.links.revoke_link(request).await);
    let request = WatchEventsRequest {
        brand_id: String::new(),
        resume_position: canary.to_owned(),
    };
    note(said, service.links.watch_events(request).await);
    let buyer = Buyer {
        email: format!("no e-mail {canary}"),
        ..Default::default()
    };
    let total = Money {
        currency_code: "EUR".to_owned(),
        minor_units: 1,
    };
    let order = OrderReport {
        order_id: "order-2".to_owned(),
        buyer: Some(buyer),
        total: Some(total.clone()),
        ..Default::default()
    };
    let known = Buyer {
        customer_id: "customer-1".to_owned(),
        ..Default::default()
    };
    let wrong_currency = OrderReport {
        buyer: Some(known),
        total: Some(Money {
            currency_code: canary.to_owned(),
            ..total
        }),
        ..order.clone()
    };
    for order in [order, wrong_currency] {
        let request = RecordOrderRequest {
            order: Some(order),
            consistency_token: String::new(),
            request_id: request_id(),
        };
        note(said, service.orders.record_order(request).await);
    }
}

async fn of_visitor(said: &mut Vec<u8>, story: &Story, canary: &str) {
    let mut chat = story.client.caller.chat.clone();
    let text = |text: String| MessageContent {
        content: Some(Content::Text(TextContent { text })),
    };
    let message = SendMessageRequest {
        chatroom_id: story.chatroom_id.clone(),
        message_id: request_id(),
        content: Some(text(canary.repeat(200))),
        ..Default::default()
    };
    let nowhere = SendMessageRequest {
        chatroom_id: canary.to_owned(),
        content: Some(text("hello".to_owned())),
        ..message.clone()
    };
    for wrong in [message, nowhere] {
        note(said, chat.send_message(wrong).await);
    }
    let request = ListMessagesRequest {
        chatroom_id: story.chatroom_id.clone(),
        page_token: canary.to_owned(),
        ..Default::default()
    };
    note(said, chat.list_messages(request).await);
}

/// Adds all that a refusal says: its message, its details and its metadata.
#[track_caller]
fn note<T>(said: &mut Vec<u8>, answer: Result<Response<T>, Status>) {
    let Err(status) = answer else {
        panic!("the call is refused");
    };
    said.extend(status.message().as_bytes());
    said.extend(status.details());
    said.extend(format!("{status:?}\n").as_bytes());
}
