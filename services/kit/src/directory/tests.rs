//! Facts in any order and any number give the same tables (SPEC 51, 16, 55).

mod facts;

use diesel::{QueryableByName, sql_types::Text};
use diesel_async::RunQueryDsl;
use domain::{
    id::LinkId,
    person::{Horizon, Link, Links},
};
use facts::{Fact, facts};
use proptest::{prelude::*, test_runner::TestRunner};
use uuid::Uuid;

use super::*;
use crate::{
    query,
    testing::{self, TestEngine},
};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// The tables, each column as text on either engine, without the Brand.
const TABLES: [(&str, &[&str]); 6] = [
    (
        "account",
        &[
            "ID account_id",
            "revision",
            "kind",
            "state",
            "customer_id",
            "create_time",
            "upgrade_time",
            "erase_time",
        ],
    ),
    (
        "account_email",
        &[
            "ID account_id",
            "HEX digest",
            "provenance",
            "from_time",
            "until_time",
        ],
    ),
    (
        "link",
        &[
            "ID link_id",
            "revision",
            "ID client_account_id",
            "ID temporary_account_id",
            "scope",
            "link_time",
            "revoke_time",
        ],
    ),
    ("person", &["ID client_account_id", "link_revision"]),
    ("member", &["ID member_id", "revision", "state"]),
    (
        "member_customer",
        &["ID member_id", "customer_id", "from_time"],
    ),
];

/// Returns all that is kept of a Brand.
async fn dump(db: &Db, brand: &str) -> Vec<String> {
    let mut connection = db.read().await.unwrap();
    let is_sqlite = matches!(&*connection, Connection::Sqlite(_));
    let mut all = Vec::new();
    for (table, columns) in TABLES {
        let columns: Vec<String> = columns
            .iter()
            .map(|column| {
                let text = match column.split_once(' ') {
                    Some((_, column)) if is_sqlite => format!("hex({column})"),
                    Some((_, column)) => format!("{column}::text"),
                    None => format!("CAST({column} AS TEXT)"),
                };
                format!("coalesce({text}, '-')")
            })
            .collect();
        let sql = format!(
            "SELECT '{table} ' || {} AS line FROM {table} WHERE brand_id = '{brand}' ORDER BY 1",
            columns.join(" || ' ' || ")
        );
        let lines: Result<Vec<Line>, StoreError> =
            query!(&mut *connection, |c| diesel::sql_query(&sql).load(c).await);
        all.extend(lines.unwrap().into_iter().map(|line| line.line));
    }
    all
}

/// Applies facts one by one, in as many transactions as `cut` says.
async fn apply_all(db: &Db, brand: &str, facts: &[Fact], cut: usize) {
    for some in facts.chunks(cut.max(1)) {
        let events: Vec<Event> = some.iter().map(|fact| fact.event(brand)).collect();
        let applied: Result<(), StoreError> = db
            .run_tx("apply", events, |connection, events| {
                Box::pin(apply(connection, events))
            })
            .await;
        applied.unwrap();
    }
}

/// Facts, and the same again in another order and some of them repeatedly.
fn twice_in_different_orders() -> impl Strategy<Value = (Vec<Fact>, Vec<Fact>, usize)> {
    facts().prop_flat_map(|facts| {
        let repeated = proptest::sample::subsequence(facts.clone(), 0..=facts.len());
        let one = Just(facts.clone()).prop_shuffle();
        let other = (Just(facts), repeated)
            .prop_map(|(mut facts, repeated)| {
                facts.extend(repeated);
                facts
            })
            .prop_shuffle();
        (one, other, 1_usize..5)
    })
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

/// Runs a property whose body is asynchronous; each case gets a number for Brands of its own.
fn check_property<T: std::fmt::Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    property: impl AsyncFn(u32, T) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let number = std::cell::Cell::new(0);
    let result = runner(cases).run(&strategy, |value| {
        number.set(number.get() + 1);
        runtime.block_on(property(number.get(), value))
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

fn open(engine: TestEngine) -> (testing::TestDatabase, Db) {
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(testing::open(engine))
}

fn order_and_repetition_do_not_matter(engine: TestEngine, cases: u32) {
    let (_database, db) = open(engine);
    check_property(
        cases,
        twice_in_different_orders(),
        async |case, (one, other, cut)| {
            let brands = [format!("one-{case}"), format!("other-{case}")];
            apply_all(&db, &brands[0], &one, 1).await;
            apply_all(&db, &brands[1], &other, cut).await;
            let first = dump(&db, &brands[0]).await;
            prop_assert!(!first.is_empty());
            prop_assert_eq!(&first, &dump(&db, &brands[1]).await);
            // Twice is once.
            apply_all(&db, &brands[0], &other, cut).await;
            prop_assert_eq!(&first, &dump(&db, &brands[0]).await);
            Ok(())
        },
    );
}

#[test]
fn facts_in_any_order_and_number_give_the_same_tables_on_sqlite() {
    order_and_repetition_do_not_matter(TestEngine::Sqlite, 120);
}

#[test]
fn facts_in_any_order_and_number_give_the_same_tables_on_postgres() {
    order_and_repetition_do_not_matter(TestEngine::Postgres, 20);
}

#[test]
fn the_star_around_an_account_is_what_the_domain_makes_of_all_facts() {
    let (_database, db) = open(TestEngine::Sqlite);
    check_property(60, facts(), async |case, facts| {
        let brand = format!("star-{case}");
        apply_all(&db, &brand, &facts, 3).await;
        let all: Links = facts.iter().filter_map(Fact::link).collect();
        let brand = BrandId::parse(&brand).unwrap();
        let mut connection = db.read().await.unwrap();
        for account in facts::accounts() {
            let near = links::around(&mut connection, &brand, account)
                .await
                .unwrap();
            prop_assert_eq!(near.person_of(account), all.person_of(account));
            prop_assert_eq!(near.seen_by(account), all.seen_by(account));
            for second in 0..8 {
                let horizon = Horizon::Until(facts::time(second));
                prop_assert_eq!(
                    near.person_at(account, horizon),
                    all.person_at(account, horizon)
                );
            }
            let connected = links::connected(&mut connection, &brand, &[account])
                .await
                .unwrap();
            prop_assert_eq!(connected.person_of(account), all.person_of(account));
        }
        Ok(())
    });
}

#[tokio::test]
async fn a_revocation_before_its_link_is_never_undone() {
    // SPEC 16, 51.
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let made = Fact::Link {
            number: 0,
            client: 0,
            temporary: 2,
            made: 1,
            revoked: None,
        };
        let revoked = Fact::Link {
            number: 0,
            client: 0,
            temporary: 2,
            made: 1,
            revoked: Some(4),
        };
        apply_all(&db, "shop", &[revoked, made.clone(), made], 1).await;
        let brand = BrandId::parse("shop").unwrap();
        let mut connection = db.read().await.unwrap();
        let links = links::around(&mut connection, &brand, facts::account(2))
            .await
            .unwrap();
        let kept: &Link = links.get(LinkId::new(Uuid::from_u128(1_000))).unwrap();
        assert_eq!((kept.revision, kept.is_active()), (2, false), "{engine:?}");
    }
}

#[tokio::test]
async fn an_erasure_raises_the_link_revision_of_its_person() {
    // Else a reader who knows of it would ask identity for ever (SPEC 54).
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let changed = Fact::Account {
            number: 0,
            revision: 1,
        };
        apply_all(&db, "shop", &[changed, Fact::Erased { number: 0 }], 2).await;
        let brand = BrandId::parse("shop").unwrap();
        let mut connection = db.read().await.unwrap();
        let known = links::known_revision(&mut connection, &brand, facts::account(0))
            .await
            .unwrap();
        assert_eq!(known, facts::ERASED_LINK_REVISION, "{engine:?}");
    }
}

#[tokio::test]
async fn an_answer_about_an_erased_person_erases_all_its_accounts() {
    // SPEC 55: whichever comes first, the answer, the events, or a mark without either.
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let Some(Payload::AccountErased(erasure)) =
            Fact::Erased { number: 0 }.event("shop").payload
        else {
            unreachable!("it was made so");
        };
        let accounts = [0, 1].map(|number| {
            let mut account = facts::changed(number, 2);
            account.set_state(AccountState::Erased);
            account
        });
        let person = Person {
            person_id: facts::account(0).to_string(),
            accounts: accounts.to_vec(),
            erasure: Some(erasure),
            ..Default::default()
        };
        let brand = BrandId::parse("shop").unwrap();
        let later = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(40_000);
        let kept: Result<(), StoreError> = db
            .run_tx(
                "keep_person",
                (brand.clone(), person, later),
                |connection, (brand, person, later)| {
                    Box::pin(async move {
                        accounts::mark_erased(connection, brand, facts::account(1), *later).await?;
                        keep_person(connection, brand, person).await
                    })
                },
            )
            .await;
        kept.unwrap();
        let ids = [0, 1].map(facts::account);
        let mut connection = db.read().await.unwrap();
        let known = accounts::list(&mut connection, &brand, &ids).await.unwrap();
        let times: Vec<_> = known.iter().map(|account| account.erase_time).collect();
        assert!(times[0].is_some() && times[0] < Some(later), "{engine:?}");
        assert_eq!(times[0], times[1], "{engine:?}");
    }
}

#[tokio::test]
async fn an_answer_of_identity_is_known_up_to_its_own_revision() {
    // The revision may have been raised by what no account or link of the answer tells.
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let person = Person {
            person_id: facts::account(0).to_string(),
            accounts: vec![facts::changed(0, 1)],
            link_revision: 17,
            ..Default::default()
        };
        let brand = BrandId::parse("shop").unwrap();
        let kept: Result<(), StoreError> = db
            .run_tx(
                "keep_person",
                (brand.clone(), person),
                |connection, (brand, person)| Box::pin(keep_person(connection, brand, person)),
            )
            .await;
        kept.unwrap();
        let mut connection = db.read().await.unwrap();
        let known = links::known_revision(&mut connection, &brand, facts::account(0))
            .await
            .unwrap();
        assert_eq!(known, 17, "{engine:?}");
    }
}

#[tokio::test]
async fn an_event_that_breaks_the_contract_is_refused_whole() {
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    let good = Fact::Account {
        number: 0,
        revision: 1,
    }
    .event("shop");
    let mut bad = Fact::Account {
        number: 1,
        revision: 1,
    }
    .event("shop");
    let Some(Payload::AccountChanged(state)) = &mut bad.payload else {
        unreachable!("it was made so");
    };
    state.create_time = None;
    let applied: Result<(), StoreError> = db
        .run_tx("apply", vec![good, bad], |connection, events| {
            Box::pin(apply(connection, events))
        })
        .await;
    assert!(
        matches!(applied, Err(StoreError::Corrupt { .. })),
        "{applied:?}"
    );
    assert!(dump(&db, "shop").await.is_empty());
}
