//! Who may call which method, as `access_table/table.txt` says it: a second statement of SPEC 59, which
//! shares nothing with the contract's options but the truth. The running services say which methods
//! there are (by reflection), and what they answer.

mod call;
mod row;
mod world;

use std::collections::BTreeSet;

use kit::testing::TestEngine;

use self::{
    call::Answer,
    row::{Cell, Who},
    world::World,
};

/// What to do when the table is wrong, for whoever adds a method.
const HOW: &str = "tests/src/access_table/table.txt says who may call which method, one line each, and \
                   how a line reads. Write it from what the method's comment and SPEC 59 promise, not \
                   from its options. A method that is there now has another word than UNIMPLEMENTED \
                   in the column other-brand: the reason for ids that do not exist, or ok.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_has_every_method_that_the_services_have_and_no_other() {
    let world = Box::pin(World::start(TestEngine::Sqlite)).await.unwrap();
    let served = world.methods().await.unwrap();
    let rows = row::table();
    let listed: BTreeSet<String> = rows.iter().map(|row| row.method.clone()).collect();
    assert_eq!(listed.len(), rows.len(), "a method has two rows");
    let missing: Vec<_> = served.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&served).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "methods without a row: {missing:?}; rows without a method: {unknown:?}. {HOW}"
    );
    Box::pin(world.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_is_let_in_where_the_table_says_and_nowhere_else() {
    let mut world = Box::pin(World::start(TestEngine::Sqlite)).await.unwrap();
    let mut wrong = Vec::new();
    for row in row::table() {
        for who in Who::ALL {
            let token = world.token(who, &row).await.unwrap();
            let request = world.made_up(&row.request(who));
            let answer = world.call(&row, &request, token.as_deref()).await.unwrap();
            let seen = answer.cell();
            if seen != row.cell(who) || (seen == Cell::In) && answer.is_absent() != row.is_absent()
            {
                wrong.push(format!(
                    "{}, {}: the table says {}{}, and the answer is {answer}",
                    row.method,
                    who.column(),
                    row.cell(who).word(),
                    if row.is_absent() {
                        " (UNIMPLEMENTED)"
                    } else {
                        ""
                    },
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{HOW}", wrong.join("\n"));
    Box::pin(world.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_brands_ids_are_answered_like_ids_that_do_not_exist() {
    // SPEC 1
    for engine in TestEngine::ALL {
        let mut world = Box::pin(World::start(engine)).await.unwrap();
        let mut wrong = Vec::new();
        for row in row::table() {
            let expected: BTreeSet<_> = row.of_other_brand().into_iter().collect();
            let mut seen = BTreeSet::new();
            for who in row.callers_of_a_brand() {
                let token = world.stranger_token(who, &row).await.unwrap();
                let template = row.request(who);
                let real = world.real(&template);
                let real = world.call(&row, &real, token.as_deref()).await.unwrap();
                let made_up = world.made_up(&template);
                let made_up = world.call(&row, &made_up, token.as_deref()).await.unwrap();
                if world.anonymized(&real) != world.anonymized(&made_up) {
                    wrong.push(format!(
                        "{}, {}: of another Brand's ids {real}, of made-up ones {made_up}: {:?} {:?}",
                        row.method,
                        who.column(),
                        world.anonymized(&real),
                        world.anonymized(&made_up),
                    ));
                }
                seen.insert(real.to_string());
            }
            if seen != expected {
                let method = &row.method;
                wrong.push(format!(
                    "{method}: other-brand says {expected:?}, the answers are {seen:?}"
                ));
            }
        }
        assert!(wrong.is_empty(), "{engine:?}: {}\n{HOW}", wrong.join("\n"));
        Box::pin(world.stop()).await.unwrap();
    }
}

impl Answer {
    /// Tells how access was decided, which is done before the method is asked.
    fn cell(&self) -> Cell {
        match self.reason().as_str() {
            "UNAUTHENTICATED" => Cell::Unauthenticated,
            "PERMISSION_DENIED" => Cell::Denied,
            _ => Cell::In,
        }
    }

    fn is_absent(&self) -> bool {
        self.reason() == row::ABSENT
    }
}
