//! What of the revocations is kept, and for how long.

use rapport_proto::event::v1::{BrandChanged, BrandState};

use super::*;
use crate::testing::{self, TestEngine};

fn revoked(session: u128, seconds: i64) -> Event {
    let mut event = testing::event("shop", "");
    event.event_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
    event.payload = Some(Payload::SessionsRevoked(SessionsRevoked {
        subject: Some(Subject::AccountId(
            Uuid::from_u128(session << 64).to_string(),
        )),
        minimum_epoch: 3,
        session_ids: vec![Uuid::from_u128(session).to_string()],
        ..Default::default()
    }));
    event
}

fn claims(session: u128, epoch: i64) -> Claims {
    Claims {
        iss: String::new(),
        sub: Uuid::from_u128(session << 64),
        brand: "shop".to_owned(),
        kind: "CLIENT".to_owned(),
        sid: Some(Uuid::from_u128(session + 1)),
        epoch,
        link_revision: 0,
        scopes: Vec::new(),
        iat: 0,
        exp: 0,
    }
}

async fn kept(db: &Db, events: Vec<Event>) -> Result<(), StoreError> {
    db.run_tx("keep", events, |connection, events| {
        Box::pin(keep(connection, events))
    })
    .await
}

#[tokio::test]
async fn a_service_that_starts_again_refuses_what_it_refused_before() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        let mut lower = revoked(1, 1_001);
        let Some(Payload::SessionsRevoked(sessions)) = &mut lower.payload else {
            unreachable!("it was made so");
        };
        sessions.minimum_epoch = 2;
        kept(&db, vec![revoked(1, 1_000), lower]).await.unwrap();
        let revocations = Revocations::load(&db, None).await.unwrap();
        assert!(
            revocations.is_revoked(&claims(1, 2)),
            "{engine:?}: the epoch never goes back"
        );
        assert!(!revocations.is_revoked(&claims(1, 3)), "{engine:?}");
        assert!(!revocations.is_revoked(&claims(2, 0)), "{engine:?}");
    }
}

#[tokio::test]
async fn revocations_older_than_any_token_are_not_held_in_memory() {
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        kept(&db, vec![revoked(1, 0), revoked(2, 899), revoked(3, 1_000)])
            .await
            .unwrap();
        let revocations = Revocations::load(&db, None).await.unwrap();
        assert_eq!(
            revocations.known.read().unwrap().revoked.len(),
            4,
            "{engine:?}"
        );
        for session in 0..100_000 {
            let seconds = 1_000 + i64::try_from(session).unwrap();
            revocations.observe(&[revoked(session, seconds)]);
        }
        // Those of 900 seconds, two for each, and what may gather before they are looked through.
        assert!(
            revocations.known.read().unwrap().revoked.len() <= 4 * 901,
            "{engine:?}"
        );
        assert!(revocations.is_revoked(&claims(99_200, 0)), "{engine:?}");
    }
}

#[tokio::test]
async fn a_revocation_that_cannot_be_read_is_not_passed_over() {
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    let mut broken = revoked(1, 0);
    let Some(Payload::SessionsRevoked(sessions)) = &mut broken.payload else {
        unreachable!("it was made so");
    };
    sessions.session_ids.push("no id".to_owned());
    let result = kept(&db, vec![broken]).await;
    assert!(
        matches!(result, Err(StoreError::Corrupt { .. })),
        "{result:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_reads_what_happened_long_ago_does_not_know_whom_to_trust_now() {
    let (_database, db) = testing::open(TestEngine::Sqlite).await;
    let limit = Duration::from_secs(30);
    let revocations = Revocations::load(&db, Some(limit)).await.unwrap();
    assert!(revocations.is_current());
    tokio::time::advance(limit).await;
    assert!(!revocations.is_current());
    let full: Vec<Event> = (0..256).map(|_| testing::event("shop", "")).collect();
    revocations.observe(&full);
    assert!(!revocations.is_current(), "more is to come");
    revocations.observe(&full[1..]);
    assert!(revocations.is_current(), "that was all there is");
    tokio::time::advance(limit).await;
    revocations.observe(&[]);
    assert!(revocations.is_current(), "a heartbeat");
}

fn brand(revision: i64, state: BrandState) -> Event {
    let mut event = testing::event("shop", "");
    event.payload = Some(Payload::BrandChanged(BrandChanged {
        revision,
        state: state.into(),
        ..Default::default()
    }));
    event
}

#[tokio::test]
async fn of_two_states_of_a_brand_the_later_counts_also_after_a_start() {
    use BrandState::{Active, Suspended};
    let shop = BrandId::parse("shop").unwrap();
    for engine in TestEngine::ALL {
        let (_database, db) = testing::open(engine).await;
        for (events, is_suspended) in [
            (vec![brand(2, Suspended), brand(1, Active)], true),
            (vec![brand(3, Active), brand(2, Suspended)], false),
        ] {
            let told = Revocations::load(&db, None).await.unwrap();
            told.observe(&events);
            kept(&db, events).await.unwrap();
            let loaded = Revocations::load(&db, None).await.unwrap();
            for revocations in [told, loaded] {
                assert_eq!(revocations.is_suspended(&shop), is_suspended, "{engine:?}"); // SPEC 51
            }
        }
        let broken = kept(&db, vec![brand(4, BrandState::Unspecified)]).await;
        assert!(
            matches!(broken, Err(StoreError::Corrupt { .. })),
            "{broken:?}"
        );
    }
}
