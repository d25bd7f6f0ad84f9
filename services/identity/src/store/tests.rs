//! The same rows on both engines: written, read back, and refused where the schema says so.

mod keys;
mod schema;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    email::Provenance,
    id::{AccountId, BrandId, KeyId, LinkId, MemberId, RequestId, SessionId},
    merge_policy::{OnExistingClient, OnNewClient},
    person::LinkScope,
    session::SessionEnd,
    sign_in::{MergeCase, OutcomeKind},
};
use futures_util::future::BoxFuture;
use kit::{
    db::{Connection, Db, StoreError},
    testing::{TestDatabase, TestEngine},
};
use uuid::Uuid;

use super::{sessions::Owner, *};
use crate::model::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 123_456_000).unwrap()
}

fn shop() -> BrandId {
    BrandId::parse("shop").unwrap()
}

fn id<T: From<Uuid>>(number: u128) -> T {
    T::from(Uuid::from_u128(number))
}

fn brand(slug: &str) -> Brand {
    Brand {
        brand_id: BrandId::parse(slug).unwrap(),
        display_name: "Shop ✓".to_owned(),
        state: BrandState::Active,
        merge_policy_revision: 1,
        nonce_required: true,
        token_algorithms: List(vec![TokenAlgorithm::Rs256, TokenAlgorithm::Eddsa]),
        issuer: "https://login.shop.example".to_owned(),
        audiences: List(vec!["a \"quoted\" one".to_owned()]),
        customer_id_claim: "sub".to_owned(),
        widget_policy_version: String::new(),
        temporary_account_ttl_seconds: 30,
        attribution_window_limit_seconds: 20,
        client_session_ttl_seconds: 10,
        time_zone: "UTC".to_owned(),
        revision: 1,
        create_time: at(0),
        update_time: at(0),
    }
}

fn policy(revision: i64) -> MergePolicyRevision {
    MergePolicyRevision {
        brand_id: shop(),
        revision,
        on_new_client: OnNewClient::Upgrade,
        on_existing_client: OnExistingClient::LinkForTracking,
        actor_caller: "OPERATOR".to_owned(),
        actor_id: String::new(),
        create_time: at(0),
    }
}

fn temporary(number: u128) -> Account {
    Account {
        brand_id: shop(),
        account_id: id(number),
        kind: AccountKind::Temporary,
        state: AccountState::Active,
        customer_id: None,
        username: Some("Ann".to_owned()),
        email: Some("ann@mail.example".to_owned()),
        email_provenance: Some(Provenance::Typed),
        given_name: None,
        family_name: None,
        locale: None,
        picture_uri: None,
        nonce_digest: Some(vec![1, 2, 3]),
        link_revision: 0,
        session_epoch: 0,
        session_revocations: 0,
        revision: 1,
        create_time: at(0),
        update_time: at(0),
        upgrade_time: None,
        expire_time: Some(at(30)),
    }
}

fn client(number: u128, customer: &str) -> Account {
    Account {
        kind: AccountKind::Client,
        customer_id: Some(customer.parse().unwrap()),
        link_revision: 1,
        expire_time: None,
        ..temporary(number)
    }
}

fn link(number: u128, client: u128, temporary: u128) -> Link {
    Link {
        brand_id: shop(),
        link_id: id(number),
        client_account_id: id(client),
        temporary_account_id: id(temporary),
        scope: LinkScope::History,
        policy_revision: 1,
        revision: 1,
        link_revision: 2,
        link_time: at(1),
        revoke_time: None,
        revoke_reason: None,
    }
}

fn session(number: u128, account: u128) -> Session {
    Session {
        brand_id: shop(),
        session_id: id(number),
        kind: SessionKind::Temporary,
        account_id: Some(id(account)),
        member_id: None,
        create_time: at(0),
        expire_time: at(30),
        end_kind: None,
        end_time: None,
    }
}

type Body = for<'a> fn(&'a mut Connection, &'a ()) -> BoxFuture<'a, Result<(), StoreError>>;

async fn database(engine: TestEngine) -> (TestDatabase, Db) {
    let database = TestDatabase::create(engine).await;
    let db = database.open(crate::migrations()).await;
    let base: Body = |c, ()| {
        Box::pin(async move {
            brands::insert(c, &brand("shop")).await?;
            merge_policies::insert(c, &policy(1)).await?;
            accounts::insert(c, &temporary(1)).await?;
            accounts::insert(c, &temporary(2)).await?;
            accounts::insert(c, &client(3, "c-1")).await
        })
    };
    db.run_tx("base", (), base).await.unwrap();
    (database, db)
}

/// Runs the body as one transaction on each engine; it asserts for itself.
async fn check(body: Body) {
    for engine in TestEngine::ALL {
        let (_database, db) = database(engine).await;
        db.run_tx("test", (), body).await.unwrap();
    }
}

/// Runs a body that the schema must refuse, on each engine.
async fn check_refused(what: &str, body: Body) {
    for engine in TestEngine::ALL {
        let (_database, db) = database(engine).await;
        let refused = db.run_tx("test", (), body).await;
        let is_constraint = matches!(refused, Err(StoreError::Constraint { .. }));
        assert!(is_constraint, "{what} on {engine:?}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brands_and_policies() {
    check(|c, ()| {
        Box::pin(async move {
            assert_eq!(brands::find(c, &shop()).await?, Some(brand("shop")));
            brands::insert(c, &brand("another")).await?;
            let changed = Brand {
                state: BrandState::Suspended,
                token_algorithms: List(Vec::new()),
                revision: 2,
                ..brand("shop")
            };
            brands::update(c, &changed).await?;
            assert_eq!(brands::find(c, &shop()).await?, Some(changed.clone()));
            let all = brands::list(c, None, 9).await?;
            assert_eq!(all, [brand("another"), changed.clone()]);
            let second = brands::list(c, Some(&all[0].brand_id), 9).await?;
            assert_eq!(second, [changed]);
            merge_policies::insert(c, &policy(2)).await?;
            assert_eq!(merge_policies::get(c, &shop(), 2).await?, policy(2));
            let listed = merge_policies::list(c, &shop(), None, 9).await?;
            assert_eq!(listed, [policy(2), policy(1)]);
            assert_eq!(merge_policies::list(c, &shop(), Some(2), 9).await?.len(), 1);
            Ok(())
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_their_emails() {
    check(|c, ()| {
        Box::pin(async move {
            let account: AccountId = id(1);
            assert_eq!(
                accounts::find(c, &shop(), account).await?,
                Some(temporary(1))
            );
            let customer = "c-1".parse().unwrap();
            let found = accounts::find_by_customer(c, &shop(), &customer).await?;
            assert_eq!(found, Some(client(3, "c-1")));
            // SPEC 55: an erased customer makes room for a new account.
            let erased = Account {
                state: AccountState::Erased,
                email: None,
                email_provenance: None,
                ..client(3, "c-1")
            };
            accounts::update(c, &erased).await?;
            assert_eq!(
                accounts::find_by_customer(c, &shop(), &customer).await?,
                None
            );
            accounts::insert(c, &client(4, "c-1")).await?;

            let email = |number, until_time| AccountEmail {
                brand_id: shop(),
                account_id: id(1),
                number,
                digest: vec![9; 32],
                provenance: Provenance::Attested,
                from_time: at(0),
                until_time,
            };
            accounts::insert_email(c, &email(1, None)).await?;
            accounts::end_email(c, &shop(), account, at(3)).await?;
            accounts::insert_email(c, &email(2, None)).await?;
            let emails = accounts::list_emails(c, &shop(), account).await?;
            assert_eq!(emails, [email(1, Some(at(3))), email(2, None)]);
            Ok(())
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members() {
    check(|c, ()| {
        Box::pin(async move {
            let member = Member {
                brand_id: shop(),
                member_id: id(1),
                display_name: "Mia".to_owned(),
                state: MemberState::Active,
                session_epoch: 0,
                session_revocations: 0,
                revision: 1,
                create_time: at(0),
                update_time: at(0),
                deactivate_time: None,
            };
            let id_of: MemberId = id(1);
            super::members::insert(c, &member).await?;
            let gone = Member {
                state: MemberState::Deactivated,
                deactivate_time: Some(at(1)),
                ..member
            };
            super::members::update(c, &gone).await?;
            assert_eq!(super::members::find(c, &shop(), id_of).await?, Some(gone));
            let own = MemberCustomer {
                brand_id: shop(),
                member_id: id_of,
                customer_id: "c-9".parse().unwrap(),
                from_time: at(0),
            };
            super::members::insert_customer(c, &own).await?;
            assert_eq!(
                super::members::list_customers(c, &shop(), id_of).await?,
                [own]
            );
            Ok(())
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_their_tokens() {
    check(|c, ()| {
        Box::pin(async move {
            let first: SessionId = id(1);
            sessions::insert(c, &session(1, 1)).await?;
            sessions::insert(c, &session(2, 1)).await?;
            sessions::insert(c, &session(3, 2)).await?;
            let later = Session {
                expire_time: at(90),
                ..session(1, 1)
            };
            sessions::update(c, &later).await?;
            assert_eq!(sessions::find(c, &shop(), first).await?, Some(later));
            let token = |byte, previous: Option<u8>| SessionToken {
                brand_id: shop(),
                token_digest: vec![byte; 32],
                session_id: id(1),
                previous_digest: previous.map(|byte| vec![byte; 32]),
                create_time: at(0),
                spend_time: None,
                spend_request_id: None,
            };
            let request: RequestId = id(8);
            sessions::insert_token(c, &token(1, None)).await?;
            sessions::spend_token(c, &shop(), &[1; 32], request, at(1)).await?;
            sessions::insert_token(c, &token(2, Some(1))).await?;
            let spent = sessions::find_token(c, &shop(), &[1; 32]).await?.unwrap();
            assert_eq!(
                (spent.spend_time, spent.spend_request_id),
                (Some(at(1)), Some(request))
            );
            let newest = sessions::find_unspent_token(c, &shop(), first).await?;
            assert_eq!(newest, Some(token(2, Some(1))));
            sessions::delete_unspent_token(c, &shop(), first).await?;
            assert_eq!(sessions::find_unspent_token(c, &shop(), first).await?, None);
            assert!(sessions::find_token(c, &shop(), &[1; 32]).await?.is_some());

            let owner = Owner::Account(id(1));
            let mut ended = sessions::end_all(c, &shop(), owner, SessionEnd::Merged, at(4)).await?;
            ended.sort_unstable();
            assert_eq!(ended, [first, id(2)]);
            let again = sessions::end_all(c, &shop(), owner, SessionEnd::Ended, at(5)).await?;
            assert!(again.is_empty());
            let session = sessions::find(c, &shop(), first).await?.unwrap();
            assert_eq!(
                (session.end_kind, session.end_time),
                (Some(SessionEnd::Merged), Some(at(4)))
            );
            Ok(())
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_settlements_and_sign_ins() {
    check(|c, ()| {
        Box::pin(async move {
            let (one, client_id): (AccountId, AccountId) = (id(1), id(3));
            links::insert(c, &link(1, 3, 1)).await?;
            let active = links::find_active_of_temporary(c, &shop(), one).await?;
            assert_eq!(active, Some(link(1, 3, 1)));
            let settlement = Settlement {
                brand_id: shop(),
                temporary_account_id: one,
                outcome: OutcomeKind::Linked,
                merge_case: MergeCase::Case3,
                client_account_id: client_id,
                link_id: Some(id(1)),
                policy_revision: 1,
                settle_time: at(1),
            };
            settlements::insert(c, &settlement).await?;
            assert_eq!(settlements::find(c, &shop(), one).await?, Some(settlement));
            let revoked = Link {
                revision: 2,
                revoke_time: Some(at(2)),
                revoke_reason: Some("wrong".to_owned()),
                ..link(1, 3, 1)
            };
            links::update(c, &revoked).await?;
            let link_id: LinkId = id(1);
            assert_eq!(
                links::find(c, &shop(), link_id).await?,
                Some(revoked.clone())
            );
            assert_eq!(
                links::find_active_of_temporary(c, &shop(), one).await?,
                None
            );
            for account in [one, client_id] {
                let listed = links::list_of_account(c, &shop(), account).await?;
                assert_eq!(listed, std::slice::from_ref(&revoked));
            }
            sessions::insert(c, &session(1, 3)).await?;
            let sign_in = SignIn {
                brand_id: shop(),
                session_id: id(1),
                account_id: client_id,
                outcome: OutcomeKind::Linked,
                merge_case: MergeCase::Case3,
                policy_revision: 1,
                temporary_account_id: Some(one),
                link_id: Some(link_id),
                email_replaced: false,
                account_created: true,
                sign_in_time: at(1),
            };
            sign_ins::insert(c, &sign_in).await?;
            let session_id: SessionId = id(1);
            assert_eq!(sign_ins::find(c, &shop(), session_id).await?, Some(sign_in));
            Ok(())
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_entries_and_signing_keys() {
    check(|c, ()| {
        Box::pin(async move {
            let entry = AuditEntry {
                brand_id: shop(),
                audit_entry_id: id(1),
                action: "LINK_CREATED".to_owned(),
                actor_caller: "ANONYMOUS".to_owned(),
                actor_id: String::new(),
                subject_id: "x".to_owned(),
                reason: String::new(),
                request_id: None,
                create_time: at(0),
            };
            audit_entries::insert(c, &entry).await?;
            let filter = audit_entries::Filter::default();
            let listed = audit_entries::list(c, &shop(), &filter, None, 9).await?;
            assert_eq!(listed, [entry]);
            for (name, seconds) in [("old", 0), ("new", 1)] {
                let key = SigningKey {
                    signing_key_id: name.to_owned(),
                    sealed_private_key: vec![1],
                    public_key: vec![2],
                    create_time: at(seconds),
                };
                signing_keys::insert(c, &key).await?;
            }
            let keys = signing_keys::list(c).await?;
            let names: Vec<&str> = keys.iter().map(|key| key.signing_key_id.as_str()).collect();
            assert_eq!(names, ["new", "old"]);
            Ok(())
        })
    })
    .await;
}
