//! All that the suite holds of a person, in one stream (SPEC 56).

use kit::testing::TestEngine;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use rapport::client::{
    request_id,
    shop::{Shop, ShopMember, Visitor},
};
use rapport_proto::{
    attribution::v1::{
        Buyer, Checkout, Money, OrderReport, RecordCheckoutRequest, RecordOrderRequest,
    },
    chat::v1::Chatroom,
    identity::v1::{ExportAccountRequest, MergePolicyPreset, SuiteService},
};

use crate::harness::TestSuite;

/// A record: who holds it, the name of its type, and what tells it from others of the type.
type Told = (SuiteService, String, String);

/// Exports a person, and reads the records as somebody who has the contract alone.
async fn export(shop: &Shop, account_id: &str) -> anyhow::Result<Vec<Told>> {
    let pool = DescriptorPool::decode(rapport_proto::FILE_DESCRIPTOR_SET)?;
    let account_id = account_id.to_owned();
    let mut accounts = shop.service.accounts.clone();
    let answer = accounts.export_account(ExportAccountRequest { account_id });
    let mut answer = answer.await?.into_inner();
    let mut told = Vec::new();
    while let Some(response) = answer.message().await? {
        let source = response.source();
        let record = response.record.unwrap();
        let name = record
            .type_url
            .strip_prefix("type.googleapis.com/")
            .unwrap();
        let descriptor = pool.get_message_by_name(name).unwrap();
        let record = DynamicMessage::decode(descriptor, record.value.as_slice())?;
        let (_, short_name) = name.rsplit_once('.').unwrap();
        told.push((source, short_name.to_owned(), key(short_name, &record)));
    }
    Ok(told)
}

fn key(name: &str, record: &DynamicMessage) -> String {
    let field = match name {
        "Account" => "account_id",
        "Link" => "link_id",
        "AuditEntry" => "audit_entry_id",
        "Chatroom" => "chatroom_id",
        "Message" => {
            let content = record.get_field_by_name("content").unwrap().into_owned();
            return text(&content);
        }
        "Checkout" => "cart_id",
        "Order" | "Attribution" => "order_id",
        other => panic!("{other} is not in the documented form"),
    };
    let value = record.get_field_by_name(field).unwrap();
    value.as_str().unwrap().to_owned()
}

fn text(content: &Value) -> String {
    let content = content.as_message().unwrap();
    let text = content.get_field_by_name("text").unwrap().into_owned();
    let text = text.as_message().unwrap().get_field_by_name("text");
    text.unwrap().as_str().unwrap().to_owned()
}

/// A client who has chatted, and a temporary account of his with a chatroom, a checkout and orders.
struct Story {
    client: Visitor,
    temporary: Visitor,
    rooms: [Chatroom; 2],
    link_id: String,
}

async fn tell(shop: &Shop, member: &ShopMember) -> anyhow::Result<Story> {
    let client = shop
        .sign_in("ann", Some("ann@mail.example"), None)
        .await?
        .visitor;
    let old = client.open_direct(member).await?;
    client.caller.say(&old, "first of the client").await?;
    let temporary = shop.welcome("Ann", None).await?;
    let recent = temporary.open_direct(member).await?;
    temporary
        .caller
        .say(&recent, "first of the visitor")
        .await?;
    member.caller.say(&recent, "answer of the Member").await?;
    let signed_in = shop
        .sign_in("ann", Some("ann@mail.example"), Some(&temporary))
        .await?;
    let link_id = signed_in.outcome.link.unwrap().link_id;

    let checkout = Checkout {
        cart_id: "cart-1".to_owned(),
        account_id: temporary.account.account_id.clone(),
        checkout_time: None,
    };
    let request = RecordCheckoutRequest {
        checkout: Some(checkout),
        request_id: request_id(),
    };
    shop.service.clone().orders.record_checkout(request).await?;
    order(
        shop,
        "order-by-customer",
        &Buyer {
            customer_id: "ann".to_owned(),
            ..Default::default()
        },
    )
    .await?;
    order(
        shop,
        "order-by-cart",
        &Buyer {
            cart_id: "cart-1".to_owned(),
            ..Default::default()
        },
    )
    .await?;
    order(
        shop,
        "order-by-email",
        &Buyer {
            email: "ANN@mail.example".to_owned(),
            ..Default::default()
        },
    )
    .await?;
    // A stronger key says that it is another's.
    let other = Buyer {
        customer_id: "bob".to_owned(),
        email: "ann@mail.example".to_owned(),
        ..Default::default()
    };
    order(shop, "order-of-another", &other).await?;
    Ok(Story {
        client,
        temporary,
        rooms: [old, recent],
        link_id,
    })
}

/// Somebody else, who talks to the same Member.
async fn another(shop: &Shop, member: &ShopMember) -> anyhow::Result<()> {
    let other = shop.sign_in("bob", None, None).await?.visitor;
    let room = other.open_direct(member).await?;
    other.caller.say(&room, "what another says").await?;
    member.caller.say(&room, "what another is told").await?;
    Ok(())
}

async fn order(shop: &Shop, order_id: &str, buyer: &Buyer) -> anyhow::Result<()> {
    let order = OrderReport {
        order_id: order_id.to_owned(),
        buyer: Some(buyer.clone()),
        total: Some(Money {
            currency_code: "EUR".to_owned(),
            minor_units: 1_000,
        }),
        ..Default::default()
    };
    let request = RecordOrderRequest {
        order: Some(order),
        request_id: request_id(),
        ..Default::default()
    };
    shop.service.clone().orders.record_order(request).await?;
    Ok(())
}

/// Returns the keys of the records of one type, in the order in which they were told.
fn keys<'a>(told: &'a [Told], source: SuiteService, name: &str) -> Vec<&'a str> {
    let are = |one: &&Told| one.0 == source && one.1 == name;
    told.iter().filter(are).map(|one| one.2.as_str()).collect()
}

async fn check(shop: &Shop, story: &Story, asked: &Visitor) {
    let told = export(shop, &asked.account.account_id).await.unwrap();
    let (identity, chat, attribution) = (
        SuiteService::Identity,
        SuiteService::Chat,
        SuiteService::Attribution,
    );
    let ids = [&story.client, &story.temporary].map(|one| one.account.account_id.as_str());
    assert_eq!(keys(&told, identity, "Account"), ids);
    assert_eq!(keys(&told, identity, "Link"), [story.link_id.as_str()]);
    // At least the link that was made, the sessions that it revoked, and this export.
    assert!(keys(&told, identity, "AuditEntry").len() >= 3); // SPEC 60
    let mut rooms = story.rooms.each_ref().map(|room| room.chatroom_id.as_str());
    let mut found = keys(&told, chat, "Chatroom");
    rooms.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, rooms);
    let mut texts = keys(&told, chat, "Message");
    texts.sort_unstable();
    let said = [
        "answer of the Member",
        "first of the client",
        "first of the visitor",
    ];
    assert_eq!(texts, said);
    assert_eq!(keys(&told, attribution, "Checkout"), ["cart-1"]);
    let orders = ["order-by-customer", "order-by-cart", "order-by-email"];
    assert_eq!(keys(&told, attribution, "Order"), orders);
    assert_eq!(keys(&told, attribution, "Attribution"), orders);

    let sources: Vec<SuiteService> = told.iter().map(|one| one.0).collect();
    assert!(
        sources.is_sorted(),
        "identity's, then chat's, then attribution's"
    );
    let mut unique = told.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), told.len()); // SPEC 56: once
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_of_a_person_is_told_once_and_nothing_of_another() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        // Whether the client sees the temporary account's chatroom makes no difference.
        for preset in [MergePolicyPreset::TwoChatrooms, MergePolicyPreset::V48] {
            let shop = suite.shop(preset).await.unwrap();
            let member = shop.hire("Mia").await.unwrap();
            another(&shop, &member).await.unwrap();
            let story = tell(&shop, &member).await.unwrap();
            check(&shop, &story, &story.client).await;
            check(&shop, &story, &story.temporary).await; // SPEC 19
        }
        suite.stop().await.unwrap();
    }
}
