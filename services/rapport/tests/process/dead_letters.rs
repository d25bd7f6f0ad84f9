//! What a service cannot apply is set aside, counted, and there for an operator.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Output,
};

use kit::testing::TestNats;

use super::{Process, metrics::Page, rapport, wait_until};

fn events(nats: &TestNats, arguments: &[&str]) -> Output {
    let mut command = rapport();
    command.arg("events").args(arguments);
    command.args(["--events-url", nats.url()]).output().unwrap()
}

/// Publishes as anybody can who may write to the broker.
fn publish(nats: &TestNats, subject: &str, payload: &str) {
    let (_, addr) = nats.url().split_once("//").unwrap();
    let mut connection = TcpStream::connect(addr).unwrap();
    let length = payload.len();
    let said =
        format!("CONNECT {{\"verbose\":false}}\r\nPUB {subject} {length}\r\n{payload}\r\nPING\r\n");
    connection.write_all(said.as_bytes()).unwrap();
    let mut heard = String::new();
    while !heard.contains("PONG") {
        let mut part = [0; 4_096];
        let length = connection.read(&mut part).unwrap();
        assert_ne!(length, 0, "{heard}");
        heard += std::str::from_utf8(&part[..length]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_were_set_aside_are_listed_and_replayed() {
    let nats = TestNats::start().await;
    let none = events(&nats, &["list"]);
    assert!(none.status.success() && none.stdout.is_empty(), "{none:?}");
    let all = events(&nats, &["replay"]);
    assert_eq!(all.stdout, b"0 replayed\n", "{all:?}");
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("RAPPORT_EVENTS_URL", nats.url()),
        ("RAPPORT_METRICS_ADDR", "127.0.0.1:0"),
    ];
    let mut process = Process::start_with(folder.path(), &variables);
    // Those are printed once all is served, and the streams are there.
    assert_eq!(process.calls().len(), 3);
    publish(&nats, "rapport.events.chat", "nonsense");

    let letters = wait_until("it is set aside", async || {
        let listed = String::from_utf8(events(&nats, &["list"]).stdout)?;
        Ok((!listed.is_empty()).then_some(listed))
    });
    let letters = letters.await.unwrap();
    let [letter] = letters.lines().collect::<Vec<_>>()[..] else {
        panic!("one message was refused by one reader: {letters}");
    };
    let fields: Vec<&str> = letter.split("  ").collect();
    let [number, _, edge, event_id, reason] = fields[..] else {
        panic!("{letter}");
    };
    assert_eq!(
        (edge, event_id, reason),
        ("chat -> attribution", "-", "it holds no events")
    );
    let page = Page::get(process.metrics.unwrap());
    let labels = [("service", "attribution"), ("source", "chat")];
    assert_eq!(page.sum("rapport_event_dead_letters_total", &labels), 1.0);
    let unknown = events(&nats, &["replay", "7"]);
    assert_eq!(unknown.status.code(), Some(1));
    let replayed = events(&nats, &["replay", number]);
    assert_eq!(replayed.stdout, b"1 replayed\n", "{replayed:?}");
    let none = events(&nats, &["list"]);
    assert!(none.status.success() && none.stdout.is_empty(), "{none:?}");
    let nowhere = rapport().args(["events", "list"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(2), "{nowhere:?}");
    assert!(process.terminate());
}
