//! What a start forgives, and what it does not.

use std::{fs, path::Path};

use clap::Parser;

use super::{development::SECRETS_FILE, *};
use crate::testing::TestAuthority;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    suite: SuiteArgs,
}

fn args(more: &[&str]) -> SuiteArgs {
    let all = ["rapport"].iter().chain(more);
    Cli::try_parse_from(all)
        .unwrap_or_else(|error| panic!("{error}"))
        .suite
}

fn in_folder(folder: &Path, more: &[&str]) -> SuiteArgs {
    let folder = folder.to_str().unwrap();
    args(&[&["--data-dir", folder], more].concat())
}

fn operator(secrets: &Secrets) -> String {
    secrets
        .operator_token
        .as_ref()
        .unwrap()
        .expose_secret()
        .to_owned()
}

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const SECRET: &str = "a-secret-of-32-characters-or-so!";

#[test]
fn a_first_start_in_development_makes_secrets_and_the_next_one_finds_them() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let first = in_folder(&folder, &[]).secrets().unwrap();
    let second = in_folder(&folder, &[]).secrets().unwrap();
    assert_eq!(operator(&first), operator(&second));
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, [SECRETS_FILE], "no draft is left behind");
}

#[test]
fn processes_that_start_at_once_agree_on_the_secrets() {
    for _ in 0..20 {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let args = in_folder(&folder, &[]);
                std::thread::spawn(move || operator(&args.secrets().unwrap()))
            })
            .collect();
        let tokens: Vec<String> = starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect();
        assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    }
}

#[cfg(unix)]
#[test]
fn secrets_and_their_folder_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    in_folder(&folder, &[]).secrets().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join(SECRETS_FILE)), 0o600);
}

#[test]
fn a_file_that_is_no_file_of_secrets_is_an_error_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(SECRETS_FILE);
    fs::write(&file, "{}").unwrap();
    let secrets = in_folder(folder.path(), &[]).secrets();
    assert!(matches!(
        secrets,
        Err(ConfigError::Invalid {
            setting: "RAPPORT_DATA_DIR",
            ..
        })
    ));
    assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
}

#[test]
fn production_makes_no_secret_and_names_the_missing_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = vec!["--mode", "production"];
    for (flag, value, setting) in [
        ("--encryption-key", KEY, "RAPPORT_ENCRYPTION_KEY"),
        ("--email-digest-key", KEY, "RAPPORT_EMAIL_DIGEST_KEY"),
        ("--suite-secret", SECRET, "RAPPORT_SUITE_SECRET"),
    ] {
        let missing = in_folder(folder.path(), &given).secrets().unwrap_err();
        assert_eq!(
            missing.to_string(),
            format!("{setting} is required in production mode")
        );
        given.extend([flag, value]);
    }
    let secrets = in_folder(folder.path(), &given).secrets().unwrap();
    assert!(
        secrets.operator_token.is_none(),
        "without one there is no operator"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_credential_that_is_empty_short_or_unfit_for_a_header_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for flag in ["--suite-secret", "--operator-token"] {
        for value in [
            "",
            "short",
            "sixteen and more but with spaces",
            "sechzehn-und-mehr-ü",
        ] {
            let argument = format!("{flag}={value}");
            let secrets = in_folder(folder.path(), &[&argument]).secrets();
            let error = secrets.unwrap_err().to_string();
            assert!(error.starts_with("RAPPORT_"), "{error}");
            assert!(value.is_empty() || !error.contains(value), "{error}");
        }
    }
    let both = ["--suite-secret", SECRET, "--operator-token", SECRET];
    assert!(
        in_folder(folder.path(), &both).secrets().is_err(),
        "the operator is not the suite"
    );
}

#[test]
fn a_malformed_key_is_refused_without_being_shown() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = in_folder(folder.path(), &["--encryption-key", "hunter2"]).secrets();
    let error = secrets.unwrap_err().to_string();
    assert!(
        error.starts_with("RAPPORT_ENCRYPTION_KEY") && !error.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn calls_that_are_not_encrypted_stay_on_loopback() {
    // SPEC 59: the suite's secret is shown on loopback only.
    for addr in [
        "0.0.0.0:50052",
        "192.0.2.1:50052",
        "[::]:50052",
        "chat:50052",
        "50052",
    ] {
        for (flag, name) in [
            ("--chat-addr", ServiceName::Chat),
            ("--identity-addr", ServiceName::Chat),
        ] {
            let config = args(&[flag, addr]).service(name, Secrets::random(), None);
            assert!(
                matches!(config.map(|_| ()), Err(ConfigError::Invalid { .. })),
                "{flag} {addr}"
            );
        }
    }
    let local = ["--chat-addr", "[::1]:7", "--identity-addr", "localhost:8"];
    let config = args(&local)
        .service(ServiceName::Chat, Secrets::random(), None)
        .unwrap();
    assert!(matches!(config.listen, Listen::At(addr) if addr.port() == 7));
    assert_eq!(config.peers.identity, "http://localhost:8");
}

#[tokio::test]
async fn with_a_certificate_services_leave_loopback_in_production() {
    let authority = TestAuthority::new();
    let own = authority.issue(&[]);
    let files = authority.trusted_by(None);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let authority_flag = ["--tls-authority".to_owned(), text(&files.authority)];
    let certificate = ["--tls-certificate".to_owned(), text(&own.chain)];
    let key = ["--tls-key".to_owned(), text(&own.key)];
    let away = ["--chat-addr", "0.0.0.0:1", "--identity-addr", "identity:2"];
    let production = [&["--mode", "production"], &away[..]].concat();
    let chat = async |more: &[&str], tls: &[&[String; 2]]| {
        let tls = tls.iter().flat_map(|flag| flag.iter().map(String::as_str));
        let args = args(&more.iter().copied().chain(tls).collect::<Vec<_>>());
        let tls = args.tls().await?;
        args.service(ServiceName::Chat, Secrets::random(), tls)
    };
    let all = [&authority_flag, &certificate, &key];
    let config = chat(&production, &all).await.unwrap();
    assert_eq!(config.peers.identity, "https://identity:2");
    let says = async |more: &[&str], tls: &[&[String; 2]]| {
        chat(more, tls).await.map(|_| ()).unwrap_err().to_string()
    };
    let developing = says(&away, &all).await;
    assert!(developing.contains("development"), "{developing}");
    let alone = says(&production, &[&authority_flag]).await;
    assert!(alone.starts_with("RAPPORT_TLS_CERTIFICATE"), "{alone}");
    let nameless = ["--identity-addr", "identity", "--chat-addr", "[::1]:1"];
    assert!(says(&nameless, &all).await.contains("identity is not"));
    let flags = ["rapport", "--tls-certificate", "x", "--tls-key", "y"];
    assert!(Cli::try_parse_from(flags).is_err(), "whom is it to trust?");
}

#[test]
fn each_service_has_a_file_of_its_own_unless_told_otherwise() {
    let args = args(&[
        "--data-dir",
        "x",
        "--chat-database-url",
        "postgres://host/chat",
    ]);
    let database = |name| {
        args.service(name, Secrets::random(), None)
            .unwrap()
            .database
    };
    assert!(matches!(
        database(ServiceName::Chat),
        DatabaseUrl::Postgres(_)
    ));
    let DatabaseUrl::Sqlite(file) = database(ServiceName::Identity) else {
        panic!("identity was told nothing");
    };
    assert_eq!(file, Path::new("x/identity.sqlite3"));
}

#[test]
fn limits_are_flags_and_zero_is_none() {
    let limits = args(&[]).limits;
    assert_eq!(limits.address_per_minute, 6_000);
    assert!(limits.trusted_proxies.is_empty(), "nobody is believed");
    let flags = [
        "--limit-address-per-minute=0",
        "--limit-account-per-minute=7",
        "--trusted-proxies=10.0.0.0/8,fd00::/8",
    ];
    let limits = args(&flags).limits;
    assert_eq!(
        (limits.address_per_minute, limits.account_per_minute),
        (0, 7)
    );
    let proxies: Vec<_> = limits
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "fd00::/8"]);
    let host = ["rapport", "--trusted-proxies=proxy.example"];
    assert!(Cli::try_parse_from(host).is_err());
}

#[test]
fn a_broker_that_could_be_overheard_or_lose_events_unnoticed_is_refused() {
    let check = |arguments: &[&str], says: &str| {
        let error = args(arguments).broker().unwrap_err();
        assert!(error.to_string().contains(says), "{arguments:?}: {error}");
    };
    let remote = [
        "--events-url",
        "nats://127.0.0.1,nats://user:secret@nats:4222",
    ];
    check(&remote, "nats is not on loopback");
    let unmonitored = ["--mode", "production", "--events-url", "tls://nats:4222"];
    check(&unmonitored, "RAPPORT_EVENTS_MONITORS");

    assert!(args(&[]).broker().unwrap().is_none());
    let local = args(&["--events-url", "nats://localhost:4222"]);
    assert!(local.broker().unwrap().is_some());
    let monitored = [&unmonitored[..], &["--events-monitors", "a:8222,b:8222"]].concat();
    let broker = args(&monitored).broker().unwrap().unwrap();
    assert_eq!(broker.monitors, ["a:8222", "b:8222"]);
    let shown = format!("{:?}", "tls://user:secret@nats:4222".parse::<BrokerUrl>());
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(
        "http://nats:4222".parse::<BrokerUrl>().err(),
        Some(UnknownBroker)
    );
}
