//! What is put back from a backup goes on, as `docs/scaling.md` says (SPEC 50, 51, 55).

mod cluster;

use anyhow::Context;
use kit::{
    db::{DatabaseUrl, Db},
    event_log,
    testing::{TestDatabase, TestEngine, create_on_postgres, query_postgres},
};
use rapport::client::{
    request_id,
    shop::{Shop, ShopMember, Visitor},
    wait_until,
};
use rapport_proto::{
    attribution::v1::Money,
    event::v1::AccountState,
    identity::v1::{
        EraseAccountRequest, ErasureState, GetAccountRequest, GetErasureRequest, MergePolicyPreset,
        SignInOutcomeKind,
    },
};

use self::cluster::{Backup, Cluster};
use crate::harness::{TestSuite, identity_events};

const SERVICES: [&str; 3] = ["identity", "chat", "attribution"];

fn paid() -> Money {
    Money {
        currency_code: "EUR".to_owned(),
        minor_units: 12_000,
    }
}

/// A temporary account talks to a Member, who answers, and signs in as a customer.
async fn conversation(
    shop: &Shop,
    member: &ShopMember,
    customer_id: &str,
) -> anyhow::Result<(Visitor, SignInOutcomeKind)> {
    let temporary = shop.welcome("Ann", None).await?;
    let chatroom = temporary.open_direct(member).await?;
    temporary.caller.say(&chatroom, "In blue?").await?;
    member.caller.say(&chatroom, "It comes in blue.").await?;
    let signed_in = shop.sign_in(customer_id, None, Some(&temporary)).await?;
    Ok((signed_in.visitor, signed_in.outcome.kind()))
}

/// Returns a Member of before, in the session that he has.
fn again(suite: &TestSuite, member: &ShopMember) -> anyhow::Result<ShopMember> {
    Ok(ShopMember {
        caller: suite.channels.caller(&member.access_token)?,
        ..member.clone()
    })
}

/// A customer buys, and the Member earns a tenth of it.
async fn buy(
    shop: &Shop,
    member: &ShopMember,
    order_id: &str,
    customer_id: &str,
) -> anyhow::Result<()> {
    let booked = shop.balance(&member.id, "EUR").await?;
    shop.order(order_id, customer_id, paid()).await?;
    wait_until("the order is booked", async || {
        let balance = shop.balance(&member.id, "EUR").await?;
        Ok((balance == booked + 1_200).then_some(()))
    })
    .await
}

async fn erase(shop: &Shop, account_id: &str) -> anyhow::Result<()> {
    let request = EraseAccountRequest {
        account_id: account_id.to_owned(),
        request_id: request_id(),
    };
    let answer = shop.service.accounts.clone().erase_account(request).await?;
    let erasure = answer.into_inner().erasure.context("the answer holds it")?;
    wait_until("the erasure is complete", async || {
        let request = GetErasureRequest {
            erasure_id: erasure.erasure_id.clone(),
        };
        let found = shop.service.accounts.clone().get_erasure(request).await?;
        let state = found.into_inner().erasure.unwrap_or_default().state();
        Ok((state == ErasureState::Complete).then_some(()))
    })
    .await
}

async fn state(shop: &Shop, account_id: &str) -> anyhow::Result<AccountState> {
    let request = GetAccountRequest {
        account_id: account_id.to_owned(),
    };
    let found = shop.service.accounts.clone().get_account(request).await?;
    Ok(found.into_inner().account.unwrap_or_default().state())
}

async fn incarnation(url: &DatabaseUrl) -> String {
    let db: Db = TestDatabase::at(url.clone())
        .open(identity::migrations())
        .await;
    let mut connection = db.read().await.unwrap();
    event_log::incarnation(&mut connection).await.unwrap()
}

/// identity's server is lost; its last base backup and the log archived since are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_identity_comes_back_as_it_was_archived_and_goes_on() {
    let backup = Backup::new().unwrap();
    let cluster = Cluster::start(&backup).await;
    let lost_url = cluster.create_database("identity").unwrap();
    let of_chat = create_on_postgres().await;
    let databases = [
        TestDatabase::at(lost_url.clone()),
        TestDatabase::at(of_chat.parse().unwrap()),
        TestDatabase::create(TestEngine::Postgres).await,
    ];
    let suite = TestSuite::start_on(databases).await.unwrap();
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
    let member = shop.hire("Mia").await.unwrap();
    shop.sign_in("ann", None, None).await.unwrap();
    let erased = shop.welcome("Bob", None).await.unwrap().account.account_id;
    cluster.back_up(&backup).unwrap();

    let (kept, outcome) = conversation(&shop, &member, "ann").await.unwrap();
    assert_eq!(outcome, SignInOutcomeKind::Linked);
    buy(&shop, &member, "kept", "ann").await.unwrap();
    cluster.archive().await.unwrap();
    // What comes now is younger than the archive: a link, an account, an erasure.
    let (_, outcome) = conversation(&shop, &member, "ann").await.unwrap();
    assert_eq!(outcome, SignInOutcomeKind::Linked);
    let forgotten = shop.sign_in("zoe", None, None).await.unwrap().visitor;
    erase(&shop, &erased).await.unwrap();
    let lost_incarnation = incarnation(&lost_url).await;
    let mut remains = suite.halt().await.unwrap();
    drop(cluster);

    let cluster = Cluster::restore(&backup).await;
    let url = cluster.url("identity").unwrap();
    assert_ne!(incarnation(&url).await, lost_incarnation); // SPEC 51
    remains.put_back_identity(url);
    let suite = remains.restart().await.unwrap();
    let shop = suite.reopen(&shop).await.unwrap();
    let member = again(&suite, &member).unwrap();

    let ann = shop.sign_in("ann", None, None).await.unwrap().visitor;
    assert_eq!(ann.account.account_id, kept.account.account_id);
    // Each has a chatroom: the temporary of before, and the one whose link was lost.
    assert_eq!(member.caller.chatrooms().await.unwrap().len(), 2);
    let zoe = shop.sign_in("zoe", None, None).await.unwrap().visitor;
    assert_ne!(zoe.account.account_id, forgotten.account.account_id);

    // Events of the new life reach the others, also where the lost life had gone further.
    let (_, outcome) = conversation(&shop, &member, "ann").await.unwrap();
    assert_eq!(outcome, SignInOutcomeKind::Linked);
    buy(&shop, &member, "after", "ann").await.unwrap();
    conversation(&shop, &member, "new").await.unwrap();
    buy(&shop, &member, "first of new", "new").await.unwrap();

    // identity has forgotten the erasure; chat has not, and the operator repeats it.
    assert_eq!(state(&shop, &erased).await.unwrap(), AccountState::Active);
    let known = query_postgres(&of_chat, "SELECT account_id FROM account_erasure");
    assert_eq!(known, Ok(erased.clone()));
    erase(&shop, &erased).await.unwrap();
    assert_eq!(state(&shop, &erased).await.unwrap(), AccountState::Erased); // SPEC 55
    suite.stop().await.unwrap();
}

/// All three databases are written down, and put back on another server, whose transactions have
/// smaller numbers than those of the events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dumps_put_back_on_another_server_go_on() {
    let backup = Backup::new().unwrap();
    let cluster = Cluster::start(&backup).await;
    let databases = SERVICES.map(|name| TestDatabase::at(cluster.create_database(name).unwrap()));
    let suite = TestSuite::start_on(databases).await.unwrap();
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
    let member = shop.hire("Mia").await.unwrap();
    for number in 0..20 {
        let customer_id = format!("customer-{number}");
        conversation(&shop, &member, &customer_id).await.unwrap();
    }
    buy(&shop, &member, "before", "customer-0").await.unwrap();
    let before = identity_events(&shop).await.unwrap();
    let mut remains = suite.halt().await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let empty = Backup::new().unwrap();
    let other = Cluster::start(&empty).await;
    let urls = SERVICES.map(|name| {
        let file = folder.path().join(name);
        cluster::dump(&cluster.uri(name), &file).unwrap();
        let url = other.create_database(name).unwrap();
        cluster::put_back(&file, &other.uri(name)).unwrap();
        url
    });
    drop(cluster);
    let ahead = "SELECT count(*) > 0 FROM event_log \
                 WHERE transaction_id > pg_snapshot_xmax(pg_current_snapshot())";
    assert_eq!(other.query("identity", ahead), "t");
    remains.put_back_all(urls);
    let suite = remains.restart().await.unwrap();
    let shop = suite.reopen(&shop).await.unwrap();
    let member = again(&suite, &member).unwrap();

    assert_eq!(member.caller.chatrooms().await.unwrap().len(), 20);
    buy(&shop, &member, "after", "customer-1").await.unwrap();
    conversation(&shop, &member, "new").await.unwrap();
    buy(&shop, &member, "first of new", "new").await.unwrap();
    let after = identity_events(&shop).await.unwrap();
    let ids = |events: &[rapport_proto::event::v1::Event]| -> Vec<String> {
        events.iter().map(|event| event.event_id.clone()).collect()
    };
    let (before, after) = (ids(&before), ids(&after));
    assert!(before.iter().all(|id| after.contains(id))); // SPEC 50
    assert!(after.len() > before.len());
    suite.stop().await.unwrap();
}
