//! Two replicas that are replaced in turn, and a caller who does not notice.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use rapport_proto::identity::v1::{GetKeySetRequest, session_service_client::SessionServiceClient};

use super::{channel::channel_to, *};
use crate::{
    retry::IDENTITY,
    testing::{stub::RunningStub, wait_until},
};

/// In each of which both are replaced.
const ROUNDS: usize = 10;

/// Starts one where nobody has looked for one yet.
async fn start() -> RunningStub {
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    Stub::default().run_for_suite(anywhere(), &db).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call() {
    let mut replicas = [start().await, start().await].map(Some);
    let addrs = replicas.each_ref().map(|one| one.as_ref().unwrap().addr);
    let names = Arc::new(Mutex::new(addrs));
    let resolve = {
        let names = Arc::clone(&names);
        move |_| std::future::ready(Ok(names.lock().unwrap().to_vec()))
    };
    let channel = channel_to(None, "http://stub:1", resolve).unwrap();
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let calls = join_all((0..8).map(|_| async {
        let client = SessionServiceClient::new(channel.clone());
        while !is_over.load(Ordering::SeqCst) {
            let answer = IDENTITY.call(|| {
                let mut client = client.clone();
                async move { client.get_key_set(GetKeySetRequest {}).await }
            });
            answer.await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
    }));
    let restarts = async {
        for round in 0..2 * ROUNDS {
            let before = count.load(Ordering::SeqCst);
            let is_under_load = async || count.load(Ordering::SeqCst) > before + 100;
            wait_until(Duration::from_secs(60), is_under_load).await;
            let replica = &mut replicas[round % 2];
            replica.take().unwrap().stop().await;
            // Its name leads to where nobody is until there is a new one.
            let new = start().await;
            names.lock().unwrap()[round % 2] = new.addr;
            *replica = Some(new);
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(calls, restarts);
}
