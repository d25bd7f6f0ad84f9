//! What a customer does: he asks a Member, signs in, buys, asks another, buys again; and what of it was
//! acknowledged.

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use kit::{
    clock::Clock,
    convert::{instant, timestamp},
};
use rapport::client::{
    request_id,
    shop::{ShopMember, WIDGET_POLICY, paid_order},
};
use rapport_proto::{
    attribution::v1::{
        Money, OrderReport, OrderStatus, RecordOrderRequest, RecordOrderStatusRequest,
        RecordRefundRequest, Refund,
    },
    chat::v1::{
        MessageContent, OpenDirectChatroomRequest, SendMessageRequest, TextContent,
        message_content::Content,
    },
    identity::v1::{Link, SignInResponse, StartTemporarySessionRequest, Widget},
};

use crate::load::Load;

/// A customer, with all that he was told.
pub(crate) struct Story {
    pub(crate) customer_id: String,
    pub(crate) client_id: String,
    pub(crate) link: Link,
    /// Of the temporary account, and of the client where he asked again.
    pub(crate) chatrooms: Vec<Room>,
    pub(crate) orders: Vec<Placed>,
}

/// A chatroom.
pub(crate) struct Room {
    pub(crate) id: String,
    pub(crate) account_id: String,
    /// Which of the round's Members.
    pub(crate) member: usize,
    pub(crate) messages: Vec<Sent>,
}

/// A message that was acknowledged.
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) sequence: i64,
    pub(crate) is_members: bool,
    pub(crate) time: DateTime<Utc>,
}

/// An order that was acknowledged.
pub(crate) struct Placed {
    pub(crate) id: String,
    pub(crate) time: DateTime<Utc>,
    pub(crate) total_minor_units: i64,
    pub(crate) cancel_time: Option<DateTime<Utc>>,
    pub(crate) refund_minor_units: Option<i64>,
}

/// Who asks: the visitor, and the token that his calls show.
struct Asker {
    account_id: String,
    access_token: String,
}

/// Plays the customer of this number; numbers differ in what they do.
pub(crate) async fn play(load: &Load, number: usize) -> anyhow::Result<Story> {
    let customer_id = format!("customer-{}", request_id());
    let (visitor, session_token, nonce) = start(load).await?;
    let member = number % load.members.len();
    let is_answered = !number.is_multiple_of(5);
    let asked = ask(load, &visitor, member, is_answered).await?;
    let signed_in = sign_in(load, &customer_id, &session_token, &nonce).await?;
    let link = signed_in.outcome.and_then(|outcome| outcome.link);
    let client = Asker {
        account_id: signed_in.account.unwrap_or_default().account_id,
        access_token: signed_in.session.unwrap_or_default().access_token,
    };
    let mut story = Story {
        orders: vec![order(load, &customer_id, 1_000 + number).await?],
        client_id: client.account_id.clone(),
        customer_id,
        link: link.context("the temporary account is linked")?,
        chatrooms: vec![asked],
    };
    if number.is_multiple_of(3) {
        let other = (member + 1) % load.members.len();
        story.chatrooms.push(ask(load, &client, other, true).await?);
        let again = order(load, &story.customer_id, 2_000 + number).await?;
        story.orders.push(again);
    }
    match number % 4 {
        0 => cancel(load, &mut story.orders[0]).await?,
        1 => refund(load, &mut story.orders[0]).await?,
        _ => {}
    }
    Ok(story)
}

/// Begins a temporary session; whose answer is lost is nobody's.
async fn start(load: &Load) -> anyhow::Result<(Asker, String, String)> {
    let started = load.insist(&load.service_token, |mut caller| {
        let request = StartTemporarySessionRequest {
            brand_id: load.shop.brand_id.clone(),
            username: "Ann".to_owned(),
            widget: Widget::Community.into(),
            accepted_widget_policy_version: WIDGET_POLICY.to_owned(),
            request_id: request_id(),
            ..Default::default()
        };
        async move { caller.sessions.start_temporary_session(request).await }
    });
    let started = started.await?;
    let session = started.session.context("the answer holds the session")?;
    let asker = Asker {
        account_id: started.account.unwrap_or_default().account_id,
        access_token: session.access_token,
    };
    Ok((asker, session.session_token, started.nonce))
}

async fn sign_in(
    load: &Load,
    customer_id: &str,
    session_token: &str,
    nonce: &str,
) -> anyhow::Result<SignInResponse> {
    let assertion = load.shop.assertion(customer_id, None, Some(nonce));
    let request = load.shop.sign_in_request(assertion, Some(session_token));
    let signed_in = load.insist(&load.service_token, |mut caller| {
        let request = request.clone();
        async move { caller.sessions.sign_in(request).await }
    });
    signed_in.await
}

/// Opens the chatroom with a Member and asks him, who may answer.
async fn ask(load: &Load, asker: &Asker, member: usize, is_answered: bool) -> anyhow::Result<Room> {
    let token = &asker.access_token;
    let answers: &ShopMember = &load.members[member];
    let request = OpenDirectChatroomRequest {
        member_id: answers.id.clone(),
        request_id: request_id(),
        ..Default::default()
    };
    let opened = load.insist(token, |mut caller| {
        let request = request.clone();
        async move { caller.chat.open_direct_chatroom(request).await }
    });
    let chatroom = opened.await?.chatroom.context("the answer holds it")?;
    let mut room = Room {
        id: chatroom.chatroom_id,
        account_id: asker.account_id.clone(),
        member,
        messages: Vec::new(),
    };
    say(load, &mut room, token, false).await?;
    say(load, &mut room, token, false).await?;
    if is_answered {
        say(load, &mut room, &answers.access_token, true).await?;
    }
    Ok(room)
}

async fn say(load: &Load, room: &mut Room, token: &str, is_members: bool) -> anyhow::Result<()> {
    let id = request_id();
    let text = format!("text of {id}");
    let content = Content::Text(TextContent { text: text.clone() });
    let request = SendMessageRequest {
        chatroom_id: room.id.clone(),
        message_id: id.clone(),
        content: Some(MessageContent {
            content: Some(content),
        }),
        ..Default::default()
    };
    let sent = load.insist(token, |mut caller| {
        let request = request.clone();
        async move { caller.chat.send_message(request).await }
    });
    let message = sent.await?.message.context("the answer holds it")?;
    ensure!(message.message_id == id, "another message is acknowledged");
    room.messages.push(Sent {
        id,
        text,
        sequence: message.sequence,
        is_members,
        time: told(message.create_time)?,
    });
    Ok(())
}

async fn order(load: &Load, customer_id: &str, minor_units: usize) -> anyhow::Result<Placed> {
    let placed = Placed {
        id: request_id(),
        time: Clock::system().now(),
        total_minor_units: i64::try_from(minor_units)?,
        cancel_time: None,
        refund_minor_units: None,
    };
    let total = euros(placed.total_minor_units);
    let report = OrderReport {
        order_time: Some(timestamp(placed.time)),
        ..paid_order(&placed.id, customer_id, total)
    };
    let request = RecordOrderRequest {
        order: Some(report),
        consistency_token: String::new(),
        request_id: request_id(),
    };
    let recorded = load.insist(&load.service_token, |mut caller| {
        let request = request.clone();
        async move { caller.orders.record_order(request).await }
    });
    let recorded = recorded.await?.order.context("the answer holds it")?;
    ensure!(recorded.order_id == placed.id, "another order is recorded");
    Ok(placed)
}

async fn cancel(load: &Load, order: &mut Placed) -> anyhow::Result<()> {
    let time = Clock::system().now();
    let request = RecordOrderStatusRequest {
        order_id: order.id.clone(),
        status: Some(OrderStatus {
            label: "CANCELLED".to_owned(),
            status_time: Some(timestamp(time)),
        }),
        request_id: request_id(),
    };
    let recorded = load.insist(&load.service_token, |mut caller| {
        let request = request.clone();
        async move { caller.orders.record_order_status(request).await }
    });
    recorded.await?;
    order.cancel_time = Some(time);
    Ok(())
}

async fn refund(load: &Load, order: &mut Placed) -> anyhow::Result<()> {
    let minor_units = order.total_minor_units / 4;
    let request = RecordRefundRequest {
        order_id: order.id.clone(),
        refund: Some(Refund {
            refund_id: "first".to_owned(),
            amount: Some(euros(minor_units)),
            refund_time: None,
        }),
        request_id: request_id(),
    };
    let recorded = load.insist(&load.service_token, |mut caller| {
        let request = request.clone();
        async move { caller.orders.record_refund(request).await }
    });
    recorded.await?;
    order.refund_minor_units = Some(minor_units);
    Ok(())
}

fn euros(minor_units: i64) -> Money {
    Money {
        currency_code: "EUR".to_owned(),
        minor_units,
    }
}

pub(crate) fn told(time: Option<prost_types::Timestamp>) -> anyhow::Result<DateTime<Utc>> {
    let time = time.as_ref().and_then(instant);
    time.context("the answer holds the time")
}
