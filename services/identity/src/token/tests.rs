//! Two replicas on one database, with a clock that the test moves.

use kit::testing::{TestDatabase, TestEngine};

use super::*;

const MONTH: TimeDelta = TimeDelta::days(30);

/// Two replicas of identity, as far as they sign.
struct Replicas {
    clock: Clock,
    sealing_key: SealingKey,
    db: Db,
    both: [TokenSigner; 2],
    _database: TestDatabase,
}

impl Replicas {
    async fn start(engine: TestEngine) -> Self {
        let database = TestDatabase::create(engine).await;
        let db = database.open(crate::migrations()).await;
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let sealing_key = SealingKey::new(kit::secret::Key::random());
        let load = || TokenSigner::load(&db, &sealing_key, MONTH, &clock);
        let (one, other) = tokio::join!(load(), load());
        Self {
            both: [one.unwrap(), other.unwrap()],
            clock,
            sealing_key,
            db,
            _database: database,
        }
    }

    /// Moves the time, and lets both look at once.
    async fn after(&self, by: TimeDelta) {
        self.clock.advance(by);
        let (one, other) = tokio::join!(self.both[0].look(), self.both[1].look());
        one.unwrap();
        other.unwrap();
    }

    /// Returns which key both sign with, and which ones both publish, newest first; a replica that
    /// starts now says the same.
    async fn state(&self) -> (String, Vec<String>) {
        let started = TokenSigner::load(&self.db, &self.sealing_key, MONTH, &self.clock);
        let states = [&self.both[0], &self.both[1], &started.await.unwrap()].map(|signer| {
            let token = signer.sign(bearer()).unwrap().token;
            let header = jsonwebtoken::decode_header(token.expose_secret()).unwrap();
            let published = signer.published_keys().into_iter().map(|key| key.kid);
            (header.kid.unwrap(), published.collect::<Vec<_>>())
        });
        assert_eq!(states[0], states[1]);
        assert_eq!(states[0], states[2]);
        states[0].clone()
    }
}

fn bearer() -> Bearer {
    Bearer {
        caller: Caller::Service,
        brand: "shop".to_owned(),
        subject: Uuid::nil(),
        session: None,
        epoch: 1,
        link_revision: 0,
        scopes: Vec::new(),
    }
}

#[tokio::test]
async fn replicas_rotate_together_and_leave_nobody_with_a_key_that_is_not_published() {
    for engine in TestEngine::ALL {
        let replicas = Replicas::start(engine).await;
        let (first, published) = replicas.state().await;
        assert_eq!(published, [first.as_str()], "{engine:?}: both took one key");

        replicas.after(MONTH).await;
        let (signing, published) = replicas.state().await;
        assert_eq!(
            signing, first,
            "{engine:?}: the next key is published first"
        );
        assert_eq!(published.len(), 2, "{engine:?}: both took one key");
        let second = published[0].clone();

        replicas.after(rotation::LEAD).await;
        let both = vec![second.clone(), first.clone()];
        assert_eq!(replicas.state().await, (second.clone(), both), "{engine:?}");

        replicas.after(rotation::OVERLAP).await;
        let alone = (second.clone(), vec![second]);
        assert_eq!(replicas.state().await, alone, "{engine:?}");
        let mut connection = replicas.db.read().await.unwrap();
        let kept = signing_keys::list(&mut connection).await.unwrap();
        assert_eq!(kept.len(), 1, "{engine:?}: an old private key is not kept");
    }
}

#[tokio::test]
async fn a_replica_that_slept_through_a_rotation_signs_with_the_key_of_the_other() {
    for engine in TestEngine::ALL {
        let replicas = Replicas::start(engine).await;
        let [awake, asleep] = &replicas.both;
        replicas.clock.advance(MONTH);
        awake.look().await.unwrap();
        replicas.clock.advance(rotation::LEAD);
        asleep.look().await.unwrap();
        let (signing, published) = replicas.state().await;
        assert_eq!(signing, published[0], "{engine:?}");
    }
}

#[tokio::test]
async fn keys_do_not_open_under_another_encryption_key() {
    let replicas = Replicas::start(TestEngine::Sqlite).await;
    let other = SealingKey::new(kit::secret::Key::random());
    let loaded = TokenSigner::load(&replicas.db, &other, MONTH, &replicas.clock).await;
    assert!(matches!(loaded, Err(SigningKeyError::Sealed { .. })));
}
