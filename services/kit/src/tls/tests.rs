//! TLS as those see it who connect: whom they are let in as, and what an exchange of files changes.

use std::{
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use prometheus::Registry;
use rapport_proto::identity::v1::{ResolvePersonRequest, link_service_client::LinkServiceClient};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_util::sync::CancellationToken;
use tonic_types::StatusExt;

use super::*;
use crate::{
    access::{AccessLayer, Bearer, KeySet, Revocations, SuiteChannel, TokenVerifier},
    clock::Clock,
    limit::Limits,
    server::channel_by,
    telemetry::tests::{registry, sample},
    testing::{
        self, TestAuthority, TestEngine,
        stub::{DOMAIN, SUITE_SECRET, Stub, anywhere},
        wait_until,
    },
};

const LONG: Duration = Duration::from_secs(60);
const SUITE: &[&str] = &["URI:rapport:suite"];

/// What the stub says to the suite alone, when it is asked for a person.
const LET_IN: Option<&str> = Some("UNIMPLEMENTED");
const REFUSED: Option<&str> = Some("UNAUTHENTICATED");
/// Nobody has answered.
const NO_CONNECTION: Option<&str> = None;

/// A stub that serves with a certificate, until the test ends.
struct World {
    authority: TestAuthority,
    own: CertificateFiles,
    addr: SocketAddr,
    shutdown: CancellationToken,
}

impl World {
    async fn start() -> Self {
        let authority = TestAuthority::new();
        let own = authority.issue(SUITE);
        let tls = Tls::open(authority.trusted_by(Some(own.clone()))).await;
        let (_database, db) = testing::open(TestEngine::Sqlite).await;
        let revocations = Revocations::load(&db, None).await.unwrap();
        let tokens = TokenVerifier::new(KeySet::default(), None, revocations, Clock::system());
        let access = AccessLayer::new(DOMAIN, tokens, None, SUITE_SECRET.into(), Limits::default());
        let stub = Stub::default();
        let shutdown = stub.lifetime.shutdown.clone();
        let server = stub.bind(anywhere(), access).await;
        let server = server.with_tls(Some(tls.unwrap()));
        let addr = server.local_addr();
        tokio::spawn(server.run_until(std::future::pending()));
        Self {
            authority,
            own,
            addr,
            shutdown,
        }
    }

    /// Calls over a connection of its own, as who has a certificate with these names.
    async fn check(&self, names: Option<&[&str]>, expected: Option<&str>) {
        let certificate = names.map(|names| self.authority.issue(names));
        let files = self.authority.trusted_by(certificate);
        assert_eq!(self.call(files).await.as_deref(), expected, "{names:?}");
    }

    async fn call(&self, files: TlsFiles) -> Option<String> {
        let tls = Tls::open(files).await.unwrap();
        ask(client(Some(&tls), &format!("https://{}", self.addr))).await
    }

    /// Returns the certificate that new connections are shown.
    async fn shown(&self) -> CertificateDer<'static> {
        let tls = Tls::open(self.authority.trusted_by(None)).await.unwrap();
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let stream = tls.connect("localhost", stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    async fn wait_until_it_shows(&self, files: &CertificateFiles) {
        let expected = CertificateDer::from_pem_file(&files.chain).unwrap();
        wait_until(LONG, async || self.shown().await == expected).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

type Client = LinkServiceClient<SuiteChannel>;

fn client(tls: Option<&Tls>, uri: &str) -> Client {
    let channel = channel_by(tls, uri).unwrap();
    LinkServiceClient::with_interceptor(channel, Bearer::without_token())
}

/// Asks for a person, and returns the reason why there is none.
async fn ask(mut client: Client) -> Option<String> {
    let answer = client.resolve_person(ResolvePersonRequest::default()).await;
    let details = answer.unwrap_err().get_details_error_info();
    details.map(|details| details.reason)
}

#[tokio::test]
async fn a_certificate_says_who_calls() {
    let world = World::start().await;
    world.check(Some(SUITE), LET_IN).await; // SPEC 59
    // It stands for a secret, not for a token.
    let key = format!("URI:rapport:api-key:shop:{}", uuid::Uuid::nil());
    for names in [
        None,
        Some(&[][..]),
        Some(&["URI:rapport:operator"]),
        Some(&["DNS:suite"]),
        Some(&["URI:rapport:suite", "URI:rapport:suite"]),
        Some(&[key.as_str()]),
    ] {
        world.check(names, REFUSED).await;
    }
}

#[tokio::test]
async fn nobody_is_talked_to_who_is_not_trusted() {
    let world = World::start().await;
    let stranger = TestAuthority::new();
    // The server does not take the certificate; the client does not take the server's.
    let both = [&world.authority, &stranger].map(|one| one.trusted_by(None).authority);
    let both = both.map(|file| fs::read(file).unwrap()).concat();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.pem");
    fs::write(&file, both).unwrap();
    let forged = TlsFiles {
        authority: file,
        certificate: Some(stranger.issue(SUITE)),
    };
    for files in [forged, stranger.trusted_by(None)] {
        assert_eq!(world.call(files).await.as_deref(), NO_CONNECTION);
    }
    let plain = ask(client(None, &format!("http://{}", world.addr)));
    assert_eq!(plain.await.as_deref(), NO_CONNECTION);
    // The certificate is for other names.
    let tls = Tls::open(world.authority.trusted_by(None)).await.unwrap();
    let stream = TcpStream::connect(world.addr).await.unwrap();
    assert!(tls.connect("elsewhere.example", stream).await.is_err());
    world.check(None, REFUSED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_exchanged_without_a_failed_call() {
    let world = World::start().await;
    let own = world.authority.issue(SUITE);
    let tls = Tls::open(world.authority.trusted_by(Some(own))).await;
    let tls = tls.unwrap();
    let uri = format!("https://{}", world.addr);
    let lasting = client(Some(&tls), &uri);
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let calls = join_all((0..4).map(|_| async {
        while !is_over.load(Ordering::SeqCst) {
            for client in [client(Some(&tls), &uri), lasting.clone()] {
                assert_eq!(ask(client).await.as_deref(), LET_IN);
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    }));
    let exchanges = async {
        for _ in 0..3 {
            let before = count.load(Ordering::SeqCst);
            let new = world.authority.issue(SUITE);
            fs::copy(&new.key, &world.own.key).unwrap();
            // For this long the pair is broken.
            wait_until(LONG, async || count.load(Ordering::SeqCst) > before).await;
            fs::copy(&new.chain, &world.own.chain).unwrap();
            world.wait_until_it_shows(&new).await;
            let before = count.load(Ordering::SeqCst);
            wait_until(LONG, async || count.load(Ordering::SeqCst) > before).await;
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(calls, exchanges);
}

fn reloads(registry: &Registry, outcome: &str) -> f64 {
    let name = "rapport_tls_reloads_total";
    let sample = sample(registry, name, &[("outcome", outcome)]);
    sample.map_or(0.0, |sample| sample.get_counter().get_value())
}

#[tokio::test]
async fn what_cannot_be_used_leaves_the_certificate_before_and_is_counted() {
    let registry = registry();
    let world = World::start().await;
    let first = world.shown().await;
    let elsewhere = TestAuthority::new();
    let stranger = elsewhere.issue(SUITE);
    let new = world.authority.issue(SUITE);
    let mut refused = 0.0;
    for (file, content) in [
        (&world.own.chain, b"no certificate".to_vec()),
        (&world.own.chain, fs::read(&stranger.chain).unwrap()),
        (&world.own.chain, fs::read(&new.chain).unwrap()),
        (&world.own.key, fs::read(&stranger.key).unwrap()),
        (&world.own.key, Vec::new()),
    ] {
        fs::write(file, content).unwrap();
        refused += 1.0;
        wait_until(LONG, async || reloads(&registry, "REFUSED") >= refused).await;
        assert_eq!(world.shown().await, first);
    }
    fs::remove_file(&world.own.key).unwrap();
    wait_until(LONG, async || reloads(&registry, "REFUSED") > refused).await;
    world.check(Some(SUITE), LET_IN).await;
    assert_eq!(reloads(&registry, "TAKEN"), 0.0);
    fs::copy(&new.key, &world.own.key).unwrap();
    world.wait_until_it_shows(&new).await;
    assert_eq!(reloads(&registry, "TAKEN"), 1.0);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let authority = TestAuthority::new();
    let elsewhere = TestAuthority::new();
    let stranger = elsewhere.issue(SUITE);
    let own = authority.issue(SUITE);
    let check = async |files: TlsFiles, says: &str| {
        let error = Tls::open(files).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    let nowhere = "/nowhere/file".into();
    let trusted = |certificate| authority.trusted_by(Some(certificate));
    check(
        TlsFiles {
            authority: nowhere,
            certificate: None,
        },
        "/nowhere/file cannot be read",
    )
    .await;
    let mixed = CertificateFiles {
        key: stranger.key.clone(),
        ..own.clone()
    };
    check(trusted(mixed), "cannot be used").await;
    check(trusted(stranger), "cannot be used").await;
    let exchanged = CertificateFiles {
        chain: own.key,
        key: own.chain,
    };
    check(trusted(exchanged), "does not hold certificates in PEM").await;
}
