//! Links and persons over gRPC: shown, listed, revoked for good, found by any id.

use kit::testing::{TestDatabase, TestEngine};
use rapport_proto::{
    access::v1::Scope,
    identity::v1::{
        self as proto, SignInOutcomeKind as Kind, resolve_person_request::Key,
        set_merge_policy_request::Choice,
    },
};
use tonic::{Code, Status};

use crate::harness::*;

const SCOPES: [Scope; 4] = [
    Scope::LinksRead,
    Scope::LinksWrite,
    Scope::BrandRead,
    Scope::BrandAdmin,
];

async fn revoke(
    service: &Running,
    program: &str,
    link_id: &str,
    request_id: &str,
) -> Result<proto::RevokeLinkResponse, Status> {
    let request = proto::RevokeLinkRequest {
        link_id: link_id.to_owned(),
        reason: "wrong person".to_owned(),
        request_id: request_id.to_owned(),
    };
    let revoked = service.links().revoke_link(with(request, program)).await?;
    Ok(revoked.into_inner())
}

async fn person(service: &Running, program: &str, key: Key) -> proto::Person {
    let request = proto::ResolvePersonRequest {
        brand_id: String::new(),
        key: Some(key),
    };
    let resolved = service.links().resolve_person(with(request, program)).await;
    resolved.unwrap().into_inner().person.unwrap()
}

async fn list(
    service: &Running,
    program: &str,
    request: &proto::ListLinksRequest,
) -> Result<proto::ListLinksResponse, Status> {
    let listed = service
        .links()
        .list_links(with(request.clone(), program))
        .await?;
    Ok(listed.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_replay_brings_a_revoked_link_back() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let program = service.add_brand("shop", &SCOPES).await;
        let client = service.sign_in("shop", "c-1", "").await.account.unwrap();
        let visitor = service.start_session("shop").await;
        let (temporary, token) = (
            visitor.account.unwrap(),
            visitor.session.unwrap().session_token,
        );
        let request = sign_in_request("shop", "c-1", &token);
        let signed_in = service
            .sessions()
            .sign_in(request.clone())
            .await
            .unwrap()
            .into_inner();
        let outcome = signed_in.outcome.unwrap();
        let made = outcome.link.clone().unwrap();
        assert_eq!(outcome.kind(), Kind::Linked);
        assert_eq!(made.revision, 1);
        let by_account = |account: &proto::Account| Key::AccountId(account.account_id.clone());
        let linked = person(&service, &program, by_account(&temporary)).await;
        assert_eq!(linked.person_id, client.account_id); // SPEC 19

        let revocation = id();
        let revoked = revoke(&service, &program, &made.link_id, &revocation)
            .await
            .unwrap();
        let again = revoke(&service, &program, &made.link_id, &revocation)
            .await
            .unwrap();
        assert_eq!(again, revoked); // SPEC 61
        let anew = revoke(&service, &program, &made.link_id, &id()).await;
        check(anew, Code::FailedPrecondition, "LINK_REVOKED");
        let tombstone = revoked.link.unwrap();
        assert_eq!(
            (tombstone.revision, tombstone.revoke_reason.as_str()),
            (2, "wrong person")
        );
        assert!(tombstone.revoke_time.is_some());

        // The very same call again tells what was done then, and shows the link as it is now.
        let replayed = service
            .sessions()
            .sign_in(request)
            .await
            .unwrap()
            .into_inner();
        let replayed = replayed.outcome.unwrap();
        assert_eq!(replayed.kind(), Kind::Linked); // SPEC 61
        assert_eq!(replayed.link.as_ref(), Some(&tombstone));
        // A new call with the dead token links nothing, for the same client and for others.
        for customer in ["c-1", "c-2"] {
            let outcome = service
                .sign_in("shop", customer, &token)
                .await
                .outcome
                .unwrap();
            assert_eq!(outcome.kind(), Kind::TemporarySessionUnusable);
            assert_eq!(outcome.link, None);
        }
        let request = proto::GetLinkRequest {
            link_id: made.link_id.clone(),
        };
        let shown = service
            .links()
            .get_link(with(request, &program))
            .await
            .unwrap();
        assert_eq!(shown.into_inner().link.as_ref(), Some(&tombstone)); // SPEC 16
        let alone = person(&service, &program, by_account(&temporary)).await;
        assert_eq!(
            (alone.person_id.as_str(), alone.accounts.len()),
            (temporary.account_id.as_str(), 1)
        );
        let without = person(&service, &program, by_account(&client)).await;
        assert_eq!((without.accounts.len(), without.links.len()), (1, 1)); // history is kept
        assert_eq!(without.links[0].revoke_time, tombstone.revoke_time);
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_id_that_an_account_ever_had_leads_to_its_person() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let program = service.add_brand("shop", &SCOPES).await;
        let first = service.start_session("shop").await;
        let upgraded = service
            .sign_in("shop", "c-1", &first.session.unwrap().session_token)
            .await;
        assert_eq!(upgraded.outcome.unwrap().kind(), Kind::Upgraded);
        let (mut links, mut temporaries) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let visitor = service.start_session("shop").await;
            temporaries.push(visitor.account.unwrap().account_id);
            let token = visitor.session.unwrap().session_token;
            let outcome = service
                .sign_in("shop", "c-1", &token)
                .await
                .outcome
                .unwrap();
            links.push(outcome.link.unwrap().link_id);
        }
        let first = first.account.unwrap().account_id;
        let one = Key::CustomerId("c-1".to_owned());
        let expected = person(&service, &program, one.clone()).await;
        assert_eq!(expected.person_id, first); // an upgrade keeps the id
        let ids: Vec<_> = expected
            .accounts
            .iter()
            .map(|a| a.account_id.clone())
            .collect();
        let [second, third] = [&temporaries[0], &temporaries[1]].map(String::clone);
        assert_eq!(ids, [first.clone(), second, third]); // SPEC 10
        for id in &ids {
            let found = person(&service, &program, Key::AccountId(id.clone())).await;
            assert_eq!(found, expected, "{engine:?}"); // SPEC 19
        }
        revoke(&service, &program, &links[0], &id()).await.unwrap();
        let rest = person(&service, &program, one).await;
        assert_eq!((rest.accounts.len(), rest.links.len()), (2, 2));
        assert_eq!(rest.link_revision, expected.link_revision + 1); // SPEC 54
        let found = person(&service, &program, Key::AccountId(temporaries[1].clone())).await;
        assert_eq!(found, rest);
        let alone = person(&service, &program, Key::AccountId(temporaries[0].clone())).await;
        assert_eq!(alone.person_id, temporaries[0]);
        let upgrade = revoke(&service, &program, &first, &id()).await;
        check(upgrade, Code::FailedPrecondition, "UPGRADE_NOT_REVOCABLE"); // SPEC 16
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_policies_are_listed_and_each_sign_in_keeps_its_policy() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let program = service.add_brand("shop", &SCOPES).await;
        service.sign_in("shop", "c-1", "").await;
        let presets = [
            proto::MergePolicyPreset::V48,
            proto::MergePolicyPreset::TwoChatrooms,
        ];
        let mut made = Vec::new();
        for (number, preset) in presets.into_iter().enumerate() {
            let request = proto::SetMergePolicyRequest {
                brand_id: String::new(),
                choice: Some(Choice::Preset(preset.into())),
                request_id: id(),
            };
            service
                .brands()
                .set_merge_policy(with(request, &program))
                .await
                .unwrap();
            let visitor = service.start_session("shop").await.session.unwrap();
            let outcome = service.sign_in("shop", "c-1", &visitor.session_token).await;
            let outcome = outcome.outcome.unwrap();
            let link = outcome.link.unwrap();
            let revision = i64::try_from(number).unwrap() + 2;
            assert_eq!(
                (outcome.policy_revision, link.policy_revision),
                (revision, revision)
            ); // SPEC 6
            made.push(link);
            // A repeated outcome keeps the policy that it was decided under.
            let again = service.sign_in("shop", "c-1", &visitor.session_token).await;
            assert_eq!(again.outcome.unwrap().policy_revision, revision); // SPEC 6
        }
        let mut request = proto::ListMergePolicyRevisionsRequest {
            page_size: 2,
            ..Default::default()
        };
        let mut revisions = Vec::new();
        loop {
            let asked = with(request.clone(), &program);
            let page = service
                .brands()
                .list_merge_policy_revisions(asked)
                .await
                .unwrap()
                .into_inner();
            revisions.extend(
                page.merge_policy_revisions
                    .iter()
                    .map(|policy| policy.revision),
            );
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(revisions, [3, 2, 1]); // SPEC 6

        let all = proto::ListLinksRequest {
            page_size: 1,
            ..Default::default()
        };
        let first = list(&service, &program, &all).await.unwrap();
        assert_eq!(first.links, [made[1].clone()]);
        let page_token = first.next_page_token;
        let next = proto::ListLinksRequest {
            page_token: page_token.clone(),
            ..all.clone()
        };
        let second = list(&service, &program, &next).await.unwrap();
        assert_eq!(
            (second.links, second.next_page_token.as_str()),
            (vec![made[0].clone()], "")
        );
        let account_id = made[0].temporary_account_id.clone();
        let others = [
            proto::ListLinksRequest {
                include_revoked: true,
                ..next.clone()
            },
            proto::ListLinksRequest {
                account_id: account_id.clone(),
                ..next.clone()
            },
        ];
        for other in others {
            let refused = list(&service, &program, &other).await;
            check(refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
        }
        revoke(&service, &program, &made[0].link_id, &id())
            .await
            .unwrap();
        let of_account = proto::ListLinksRequest {
            account_id,
            ..Default::default()
        };
        assert!(
            list(&service, &program, &of_account)
                .await
                .unwrap()
                .links
                .is_empty()
        );
        let with_revoked = proto::ListLinksRequest {
            include_revoked: true,
            ..of_account
        };
        let listed = list(&service, &program, &with_revoked).await.unwrap().links;
        assert_eq!((listed.len(), listed[0].policy_revision), (1, 2)); // SPEC 16: never changed
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_only_shows_only_what_is_real() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        service.add_brand("shop", &SCOPES).await;
        let validate = async |customer: &str, token: &str| {
            let request = proto::SignInRequest {
                validate_only: true,
                request_id: String::new(),
                ..sign_in_request("shop", customer, token)
            };
            let answered = service
                .sessions()
                .sign_in(request)
                .await
                .unwrap()
                .into_inner();
            assert_eq!(
                (answered.session, answered.consistency_token.as_str()),
                (None, "")
            );
            let account = answered.account.unwrap();
            let made = (
                account.revision,
                account.link_revision,
                account.etag.as_str(),
            );
            assert_eq!((made, account.update_time), ((0, 0, ""), None)); // SPEC 15
            (account, answered.outcome.unwrap())
        };
        // Case 0: nothing of the account is there yet.
        let (account, outcome) = validate("c-1", "").await;
        assert!(outcome.account_created);
        assert_eq!(
            (account.account_id.as_str(), account.create_time),
            ("", None)
        );
        assert_eq!(account.customer_id, "c-1");
        // An upgrade: the account is there, and has not been upgraded.
        let visitor = service.start_session("shop").await;
        let (temporary, token) = (
            visitor.account.unwrap(),
            visitor.session.unwrap().session_token,
        );
        let (account, outcome) = validate("c-1", &token).await;
        assert_eq!(outcome.kind(), Kind::Upgraded);
        assert_eq!(account.account_id, temporary.account_id);
        assert_eq!(
            (account.create_time, account.upgrade_time),
            (temporary.create_time, None)
        );
        // Case 3: the client is there, the link is not.
        let client = service.sign_in("shop", "c-1", "").await.account.unwrap();
        let (account, outcome) = validate("c-1", &token).await;
        let link = outcome.link.unwrap();
        assert_eq!(
            (account.account_id.as_str(), account.create_time),
            (client.account_id.as_str(), client.create_time)
        );
        assert_eq!(
            (link.link_id.as_str(), link.revision, link.link_time),
            ("", 0, None)
        );
        assert_eq!(link.client_account_id, client.account_id);
        // A link that is there is shown as it is.
        let made = service
            .sign_in("shop", "c-1", &token)
            .await
            .outcome
            .unwrap()
            .link;
        let (_, outcome) = validate("c-1", &token).await;
        assert_eq!((outcome.kind(), outcome.link), (Kind::AlreadyLinked, made));
        service.stop().await;
    }
}
