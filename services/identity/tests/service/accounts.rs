//! Accounts: listed, and changed by whom they are about.

use kit::testing::{TestDatabase, TestEngine};
use prost_types::FieldMask;
use rapport_proto::{
    access::v1::Scope,
    event::v1::{self as event, event::Payload},
    identity::v1::{self as proto, watch_events_response::Content},
};
use tonic::{Code, Status};

use crate::harness::*;

const SCOPES: [Scope; 3] = [Scope::AccountsRead, Scope::AccountsWrite, Scope::EventsRead];

async fn list(
    service: &Running,
    token: &str,
    request: &proto::ListAccountsRequest,
) -> Result<proto::ListAccountsResponse, Status> {
    let listed = service
        .accounts()
        .list_accounts(with(request.clone(), token))
        .await;
    listed.map(tonic::Response::into_inner)
}

fn ids(accounts: &[proto::Account]) -> Vec<String> {
    let ids = accounts.iter().map(|account| account.account_id.clone());
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_keep_their_place_in_the_list_whatever_becomes_of_them() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let program = service.add_brand("shop", &SCOPES).await;
        let mut tokens = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..5 {
            let started = service.start_session("shop").await;
            tokens.push(started.session.unwrap().session_token);
            expected.push(started.account.unwrap().account_id);
        }
        let client = service.sign_in("shop", "c-0", "").await;
        expected.push(client.account.unwrap().account_id);
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        for number in 0.. {
            let request = proto::ListAccountsRequest {
                page_size: 1,
                page_token,
                ..Default::default()
            };
            let page = list(&service, &program, &request).await.unwrap();
            assert_eq!(page.accounts.len(), 1);
            seen.extend(ids(&page.accounts));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
            // One is upgraded, the others are linked, before and behind the page.
            if let Some(token) = tokens.pop() {
                let customer = format!("c-{}", number % 2);
                service.sign_in("shop", &customer, &token).await;
            }
        }
        assert_eq!(seen[..6], expected, "{engine:?}");
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "{engine:?}");
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_filtered_and_a_token_is_good_for_its_filter_alone() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let program = service.add_brand("shop", &SCOPES).await;
        let other = service.add_brand("other", &SCOPES).await;
        service.start_session("other").await;
        let active = service.start_session("shop").await.account.unwrap();
        let settled = service.start_session("shop").await;
        let client = service.sign_in("shop", "c-1", "").await.account.unwrap();
        let token = settled.session.unwrap().session_token;
        service.sign_in("shop", "c-1", &token).await;
        let settled = settled.account.unwrap();
        let all = proto::ListAccountsRequest::default();
        let kind = proto::ListAccountsRequest {
            kind: event::AccountKind::Temporary.into(),
            ..all.clone()
        };
        let state = proto::ListAccountsRequest {
            state: event::AccountState::Settled.into(),
            ..all.clone()
        };
        let customer = proto::ListAccountsRequest {
            customer_id: "c-1".to_owned(),
            ..all.clone()
        };
        let from = proto::ListAccountsRequest {
            from_time: settled.create_time,
            ..all.clone()
        };
        let until = proto::ListAccountsRequest {
            until_time: settled.create_time,
            ..all.clone()
        };
        let [a, s, c] = [&active, &settled, &client].map(|account| account.account_id.clone());
        let lists = [
            (&all, vec![a.clone(), s.clone(), c.clone()]),
            (&kind, vec![a.clone(), s.clone()]),
            (&state, vec![s.clone()]),
            (&customer, vec![c.clone()]),
            (&from, vec![s, c.clone()]),
            (&until, vec![a]),
        ];
        let first = proto::ListAccountsRequest {
            page_size: 1,
            ..all.clone()
        };
        let page_token = list(&service, &program, &first)
            .await
            .unwrap()
            .next_page_token;
        for (request, expected) in lists {
            let page = list(&service, &program, request).await.unwrap();
            assert_eq!(ids(&page.accounts), expected, "{engine:?} {request:?}");
            if request != &all {
                let page_token = page_token.clone();
                let mixed = proto::ListAccountsRequest {
                    page_token,
                    ..request.clone()
                };
                let refused = list(&service, &program, &mixed).await;
                check(refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
            }
        }
        let second = proto::ListAccountsRequest {
            page_token,
            ..all.clone()
        };
        assert_eq!(
            list(&service, &program, &second)
                .await
                .unwrap()
                .accounts
                .len(),
            2
        );
        let refused = list(&service, &other, &second).await; // SPEC 1
        check(refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
        let unknown = proto::ListAccountsRequest {
            kind: 9,
            ..all.clone()
        };
        let refused = list(&service, &program, &unknown).await;
        check(refused, Code::InvalidArgument, "FIELD_INVALID");
        let linked = list(&service, &program, &state).await.unwrap();
        let linked = &linked.accounts[0];
        assert_eq!(linked.person_id, c); // SPEC 19
        assert_eq!(linked.expire_time, None); // SPEC 57
        assert_eq!(linked.email, "ann@mail.example");
        service.stop().await;
    }
}

/// Asks for a change of an account.
async fn update(
    service: &Running,
    token: &str,
    account: &proto::Account,
    paths: &[&str],
    request_id: &str,
) -> Result<proto::Account, Status> {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = proto::UpdateAccountRequest {
        account: Some(account.clone()),
        update_mask: (!paths.is_empty()).then_some(FieldMask { paths }),
        request_id: request_id.to_owned(),
    };
    let updated = service
        .accounts()
        .update_account(with(request, token))
        .await?;
    Ok(updated.into_inner().account.unwrap())
}

fn named(account_id: &str, username: &str, email: &str) -> proto::Account {
    proto::Account {
        account_id: account_id.to_owned(),
        username: username.to_owned(),
        email: email.to_owned(),
        ..Default::default()
    }
}

/// Returns the e-mail history in the newest event about an account, once there are so many; there are no more.
async fn told(
    service: &Running,
    program: &str,
    account_id: &str,
    expected: usize,
) -> Vec<event::EmailDigest> {
    let request = with(proto::WatchEventsRequest::default(), program);
    let mut stream = service
        .links()
        .watch_events(request)
        .await
        .unwrap()
        .into_inner();
    let (mut digests, mut count) = (Vec::new(), 0);
    loop {
        let response = stream.message().await.unwrap().unwrap();
        let events = match response.content.unwrap() {
            Content::Batch(batch) => batch.events,
            Content::Heartbeat(_) if count >= expected => break,
            Content::Heartbeat(_) => continue,
        };
        for event in events {
            if let Some(Payload::AccountChanged(account)) = event.payload
                && account.account_id == account_id
            {
                digests = account.email_digests;
                count += 1;
            }
        }
    }
    assert_eq!(count, expected);
    digests
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_visitor_sets_and_clears_what_he_says_of_himself() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let program = service.add_brand("shop", &SCOPES).await;
        let started = service.start_session("shop").await;
        let (account, own) = (
            started.account.unwrap(),
            started.session.unwrap().access_token,
        );
        let account_id = account.account_id.as_str();

        let request = id();
        let wanted = named("", "Anna", "Anna@Mail.example");
        let both = ["username", "email"];
        let changed = update(&service, &own, &wanted, &both, &request)
            .await
            .unwrap();
        let said = (
            changed.username.as_str(),
            changed.email.as_str(),
            changed.revision,
        );
        assert_eq!(said, ("Anna", "Anna@Mail.example", 2));
        assert_eq!(changed.email_provenance(), event::EmailProvenance::Typed); // SPEC 3
        let digests = told(&service, &program, account_id, 2).await;
        assert_eq!(digests.len(), 2);
        assert!(digests[0].until_time.is_some() && digests[1].until_time.is_none()); // SPEC 51
        assert_ne!(digests[0].digest, digests[1].digest); // SPEC 36
        let again = update(&service, &own, &wanted, &both, &request)
            .await
            .unwrap();
        assert_eq!(again, changed); // SPEC 61
        let reused = update(&service, &own, &wanted, &["email"], &request).await;
        check(reused, Code::AlreadyExists, "REQUEST_ID_REUSED");

        let stale = proto::Account {
            etag: account.etag.clone(),
            ..wanted.clone()
        };
        let refused = update(&service, &own, &stale, &["username"], &id()).await;
        check(refused, Code::Aborted, "ETAG_MISMATCH");
        // A service's word for the e-mail of a temporary account is no better than the visitor's.
        let by_service = named(account_id, "", "b@mail.example");
        let changed = update(&service, &program, &by_service, &["email"], &id())
            .await
            .unwrap();
        assert_eq!(changed.email_provenance(), event::EmailProvenance::Typed); // SPEC 3
        assert_eq!(changed.username, "Anna");
        let known = proto::Account {
            etag: changed.etag.clone(),
            ..named("", "", "")
        };
        let cleared = update(&service, &own, &known, &["email"], &id())
            .await
            .unwrap();
        assert_eq!((cleared.email.as_str(), cleared.email_provenance), ("", 0));
        let digests = told(&service, &program, account_id, 4).await;
        assert_eq!(digests.len(), 3);
        assert!(digests.iter().all(|digest| digest.until_time.is_some()));
        // A name is nothing to the other services (SPEC 53).
        update(&service, &own, &named("", "Ann", ""), &["username"], &id())
            .await
            .unwrap();
        told(&service, &program, account_id, 4).await;
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_means_what_field_masks_mean() {
    let database = TestDatabase::create(TestEngine::Sqlite).await;
    let service = Running::start(&database.url, secrets()).await;
    service.add_brand("shop", &SCOPES).await;
    let started = service.start_session("shop").await;
    let own = started.session.unwrap().access_token;
    let change = async |account: &proto::Account, paths: &[&str]| {
        let changed = update(&service, &own, account, paths, &id()).await?;
        Ok::<_, Status>((changed.username, changed.email))
    };
    let pair = |username: &str, email: &str| (username.to_owned(), email.to_owned());
    // No mask: what has a value.
    let changed = change(&named("", "Bea", ""), &[]).await.unwrap();
    assert_eq!(changed, pair("Bea", "ann@mail.example"));
    // `*`: everything, so that an empty e-mail is none.
    let changed = change(&named("", "Cleo", ""), &["*"]).await.unwrap();
    assert_eq!(changed, pair("Cleo", ""));
    let account = named("", "Dora", "d@mail.example");
    let refused_masks: [&[&str]; 4] = [
        &["customer_id"],
        &["username", "kind"],
        &["*", "username"],
        &["account.username"],
    ];
    for paths in refused_masks {
        check(
            change(&account, paths).await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
    }
    for account in [named("", " ", ""), named("", &"a".repeat(81), "")] {
        let refused = change(&account, &["username"]).await;
        check(refused, Code::InvalidArgument, "FIELD_INVALID");
    }
    let refused = change(&named("", "", "nobody"), &["email"]).await;
    check(refused, Code::InvalidArgument, "FIELD_INVALID");
    let unchanged = change(&proto::Account::default(), &[]).await.unwrap();
    assert_eq!(unchanged, pair("Cleo", ""));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_what_is_not_his_to_change() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let program = service.add_brand("shop", &SCOPES).await;
        let other = service.add_brand("other", &SCOPES).await;
        let stranger = service.start_session("shop").await.account.unwrap();
        let temporary = service.start_session("shop").await;
        let client = service.sign_in("shop", "c-1", "").await;
        let (mine, own) = (
            client.account.unwrap(),
            client.session.unwrap().access_token,
        );

        let theirs = named(&stranger.account_id, "Mallory", "");
        let refused = update(&service, &own, &theirs, &["username"], &id()).await;
        check(refused, Code::NotFound, "ACCOUNT_NOT_FOUND");
        let refused = update(&service, &other, &theirs, &["username"], &id()).await;
        check(refused, Code::NotFound, "ACCOUNT_NOT_FOUND"); // SPEC 1
        let nobody = named("", "Mallory", "");
        let refused = update(&service, &program, &nobody, &["username"], &id()).await;
        check(refused, Code::InvalidArgument, "FIELD_INVALID");

        // The e-mail of a client is the Brand's word (SPEC 14), for him and for a service.
        let email = named(&mine.account_id, "Bob", "m@mail.example");
        for token in [&own, &program] {
            let refused = update(&service, token, &email, &["email"], &id()).await;
            check(refused, Code::InvalidArgument, "FIELD_INVALID");
            for paths in [&[][..], &["*"]] {
                let changed = update(&service, token, &email, paths, &id()).await.unwrap();
                assert_eq!(
                    (changed.username.as_str(), changed.email.as_str()),
                    ("Bob", "")
                );
            }
        }

        let token = temporary.session.unwrap().session_token;
        service.sign_in("shop", "c-1", &token).await;
        let settled = named(&temporary.account.unwrap().account_id, "", "m@mail.example");
        let refused = update(&service, &program, &settled, &["email"], &id()).await;
        check(refused, Code::FailedPrecondition, "ACCOUNT_SETTLED");
        service.stop().await;
    }
}
