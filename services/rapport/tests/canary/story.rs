//! A person in whose every field a canary sits, as the Brand, he and a Member give it.

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use kit::clock::Clock;
use rapport::client::{
    Caller, request_id,
    shop::{Shop, ShopMember, Visitor, WIDGET_POLICY},
};
use rapport_proto::{
    attribution::v1::{Buyer, Money, OrderReport, RecordOrderRequest},
    chat::v1::{
        EmailContent, ImageContent, MessageContent, NoticeContent, ProductContent,
        SendMessageRequest, TextContent, VideoContent, message_content::Content,
    },
    identity::v1::{
        ListLinksRequest, MergePolicyPreset, RefreshSessionRequest, RevokeLinkRequest, Session,
        SignInRequest, SignedUserData, Widget, sign_in_request::Assertion,
    },
};
use sha2::Sha256;

use crate::{
    installation::Installation,
    search::{Canaries, Place},
};

/// What is left of the story for the checks.
pub(crate) struct Story {
    pub(crate) shop: Shop,
    pub(crate) client: Visitor,
    pub(crate) temporary_account_id: String,
    pub(crate) chatroom_id: String,
}

/// Lets the person chat without an account at the Brand, sign in and buy.
pub(crate) async fn tell(suite: &Installation, canaries: &mut Canaries) -> anyhow::Result<Story> {
    for name in [
        "operator_token",
        "suite_secret",
        "encryption_key",
        "email_digest_key",
    ] {
        canaries.know(name, Place::Nowhere, suite.secret(name)?);
    }
    let operator = suite.secret("operator_token")?;
    let shop = Shop::open(&suite.channels, &operator, "canary-shop").await?;
    // Both accounts stay, with what each of them was given.
    shop.set_merge_policy(MergePolicyPreset::AlwaysLinked)
        .await?;
    canaries.know("assertion secret", Place::Nowhere, &shop.assertion_secret);
    canaries.know("API key", Place::Nowhere, &shop.api_key);

    let name = canaries.hatch("Member's name", Place::IdentityForGood);
    let member = shop.hire(&name).await?;
    canaries.know(
        "Member's access token",
        Place::Nowhere,
        signature(&member.access_token),
    );

    let username = canaries.hatch("username", Place::Identity);
    let typed = canaries.hatch("typed e-mail", Place::Identity);
    let typed = format!("{typed}@mail.example");
    let temporary = shop.welcome(&username, Some(&typed)).await?;
    know_session(
        ["temporary access token", "temporary session token"],
        &temporary.session,
        canaries,
    );
    canaries.know("nonce", Place::Nowhere, &temporary.nonce);
    let chatroom_id = converse(&temporary, &member, &shop, canaries).await?;

    link_and_unlink(suite, &shop, canaries).await?;
    let client = sign_in(suite, &shop, &temporary, canaries).await?;
    let client = refresh(suite, &shop, client, canaries).await?;
    order(&shop, canaries).await?;
    Ok(Story {
        shop,
        client,
        temporary_account_id: temporary.account.account_id,
        chatroom_id,
    })
}

/// Returns the part of an access token that nothing but the token has.
fn signature(access_token: &str) -> &str {
    access_token.rsplit('.').next().unwrap_or(access_token)
}

fn know_session(names: [&'static str; 2], session: &Session, canaries: &mut Canaries) {
    canaries.know(names[0], Place::Nowhere, signature(&session.access_token));
    canaries.know(names[1], Place::Nowhere, &session.session_token);
}

/// Each kind of message, from whom may send it; returns the chatroom.
async fn converse(
    visitor: &Visitor,
    member: &ShopMember,
    shop: &Shop,
    canaries: &mut Canaries,
) -> anyhow::Result<String> {
    let chatroom = visitor.open_direct(member).await?;
    let id = chatroom.chatroom_id.clone();
    let mut text = |name| canaries.hatch(name, Place::Chat);
    let uri = |text: String| format!("https://shop.example/{text}");
    let by_visitor = [Content::Text(TextContent {
        text: text("visitor's text"),
    })];
    let by_member = [
        Content::Text(TextContent {
            text: text("Member's text"),
        }),
        Content::Product(ProductContent {
            product_id: text("product"),
            title: text("product's title"),
            uri: uri(text("product's address")),
            picture_uri: uri(text("product's picture")),
        }),
        Content::Video(VideoContent {
            uri: uri(text("video's address")),
            duration: None,
            caption: text("video's caption"),
        }),
        Content::Email(EmailContent {
            subject: text("e-mail's subject"),
            text: text("e-mail's text"),
        }),
    ];
    let by_service = [Content::Missed(NoticeContent {
        text: text("notice"),
    })];
    for (caller, contents) in [
        (&visitor.caller, by_visitor.as_slice()),
        (&member.caller, by_member.as_slice()),
        (&shop.service, by_service.as_slice()),
    ] {
        for content in contents {
            send(caller, &id, content.clone()).await?;
        }
    }
    let comment = canaries.hatch("comment in an image", Place::Nowhere);
    let behind = canaries.hatch("text behind an image", Place::Nowhere);
    let picture = picture(&comment, &behind)?;
    let image = visitor.caller.upload_image(&chatroom, &picture).await?;
    let caption = canaries.hatch("image's caption", Place::Chat);
    let content = Content::Image(ImageContent {
        image: Some(image),
        caption,
    });
    send(&visitor.caller, &id, content).await?;
    member.caller.upload_image(&chatroom, &picture).await?;
    Ok(id)
}

/// A GIF of one pixel, with a comment, and with something behind it.
fn picture(comment: &str, behind: &str) -> anyhow::Result<Vec<u8>> {
    let mut gif =
        BASE64_STANDARD.decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")?;
    let end = gif.pop().context("a GIF has an end")?;
    gif.extend([0x21, 0xfe, u8::try_from(comment.len())?]);
    gif.extend(comment.bytes());
    gif.extend([0, end]);
    gif.extend(behind.bytes());
    Ok(gif)
}

async fn send(caller: &Caller, chatroom_id: &str, content: Content) -> anyhow::Result<()> {
    let request = SendMessageRequest {
        chatroom_id: chatroom_id.to_owned(),
        message_id: request_id(),
        content: Some(MessageContent {
            content: Some(content),
        }),
        ..Default::default()
    };
    caller.chat.clone().send_message(request).await?;
    Ok(())
}

/// Signs him in on a browser that is not his, and takes that back.
async fn link_and_unlink(
    suite: &Installation,
    shop: &Shop,
    canaries: &mut Canaries,
) -> anyhow::Result<()> {
    let another = shop.welcome("Somebody else", None).await?;
    sign_in(suite, shop, &another, canaries).await?;
    let request = ListLinksRequest {
        account_id: another.account.account_id,
        ..Default::default()
    };
    let links = shop.service.clone().links.list_links(request).await?;
    let link = links.into_inner().links.pop().context("there is a link")?;
    let request = RevokeLinkRequest {
        link_id: link.link_id,
        reason: canaries.hatch("reason of a revocation", Place::Identity),
        request_id: request_id(),
    };
    shop.service.clone().links.revoke_link(request).await?;
    Ok(())
}

/// Signs him in with all that the Brand may say of him.
async fn sign_in(
    suite: &Installation,
    shop: &Shop,
    temporary: &Visitor,
    canaries: &mut Canaries,
) -> anyhow::Result<Visitor> {
    let mut field = |name| canaries.hatch(name, Place::Identity);
    let now = Clock::system().now().timestamp();
    let document = serde_json::json!({
        "brand_id": shop.brand_id,
        "customer_id": "customer-1",
        "iat": now,
        "exp": now + 300,
        "nonce": temporary.nonce,
        "email": format!("{}@mail.example", field("attested e-mail")),
        "given_name": field("given name"),
        "family_name": field("family name"),
        "locale": field("locale"),
        "picture": format!("https://shop.example/{}", field("picture")),
    });
    let user_data_json = document.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(&shop.assertion_secret)?;
    mac.update(user_data_json.as_bytes());
    let signature = mac.finalize().into_bytes();
    canaries.know("assertion's signature", Place::Nowhere, &signature[..]);
    let request = SignInRequest {
        brand_id: shop.brand_id.clone(),
        assertion: Some(Assertion::SignedUserData(SignedUserData {
            signature: signature.iter().map(|byte| format!("{byte:02x}")).collect(),
            user_data_json,
            assertion_key_id: String::new(),
        })),
        temporary_session_token: temporary.session.session_token.clone(),
        widget: Widget::Community.into(),
        validate_only: false,
        request_id: request_id(),
        accepted_widget_policy_version: WIDGET_POLICY.to_owned(),
    };
    let answer = suite
        .channels
        .anonymous()
        .sign_in(request)
        .await?
        .into_inner();
    let session = answer.session.context("the answer holds the session")?;
    know_session(
        ["client's access token", "client's session token"],
        &session,
        canaries,
    );
    Ok(Visitor {
        account: answer.account.context("the answer holds the account")?,
        caller: suite.channels.caller(&session.access_token)?,
        session,
        nonce: String::new(),
    })
}

async fn refresh(
    suite: &Installation,
    shop: &Shop,
    client: Visitor,
    canaries: &mut Canaries,
) -> anyhow::Result<Visitor> {
    let request = RefreshSessionRequest {
        brand_id: shop.brand_id.clone(),
        session_token: client.session.session_token.clone(),
        request_id: request_id(),
    };
    let answer = suite.channels.anonymous().refresh_session(request).await?;
    let session = answer
        .into_inner()
        .session
        .context("the answer holds the session")?;
    know_session(
        ["renewed access token", "renewed session token"],
        &session,
        canaries,
    );
    Ok(Visitor {
        caller: suite.channels.caller(&session.access_token)?,
        session,
        ..client
    })
}

/// An order that names its buyer by an e-mail too, of which attribution keeps the digest alone.
async fn order(shop: &Shop, canaries: &mut Canaries) -> anyhow::Result<()> {
    let email = canaries.hatch("order's e-mail", Place::Nowhere);
    let order = OrderReport {
        order_id: "order-1".to_owned(),
        buyer: Some(Buyer {
            customer_id: "customer-1".to_owned(),
            email: format!("{email}@mail.example"),
            ..Default::default()
        }),
        total: Some(Money {
            currency_code: "EUR".to_owned(),
            minor_units: 1_000,
        }),
        ..Default::default()
    };
    let request = RecordOrderRequest {
        order: Some(order),
        consistency_token: String::new(),
        request_id: request_id(),
    };
    shop.service.clone().orders.record_order(request).await?;
    Ok(())
}
