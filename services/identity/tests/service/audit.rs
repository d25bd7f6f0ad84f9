//! The audit log, as those read it who ask later (SPEC 60).

use kit::testing::{TestDatabase, TestEngine};
use rapport_proto::{
    access::v1::{Caller, Scope},
    event::v1 as event,
    identity::v1::{self as proto, AuditAction, sign_in_request::Assertion},
};
use tonic::{Code, Status};

use crate::harness::*;

async fn list(
    service: &Running,
    token: &str,
    request: &proto::ListAuditEntriesRequest,
) -> Result<proto::ListAuditEntriesResponse, Status> {
    let listed = service
        .brands()
        .list_audit_entries(with(request.clone(), token))
        .await;
    listed.map(tonic::Response::into_inner)
}

fn actions(entries: &[proto::AuditEntry]) -> Vec<AuditAction> {
    entries.iter().map(proto::AuditEntry::action).collect()
}

/// A Brand in which a link was made and revoked, a sign-in refused and a Member let go.
async fn play(service: &Running, program: &str) -> proto::Link {
    service.sign_in("shop", "c-1", "").await;
    let visitor = service.start_session("shop").await.session.unwrap();
    let signed_in = service.sign_in("shop", "c-1", &visitor.session_token).await;
    let link = signed_in.outcome.unwrap().link.unwrap();
    let request = proto::RevokeLinkRequest {
        link_id: link.link_id.clone(),
        reason: "Ann Smith complained".to_owned(),
        request_id: id(),
    };
    let revoked = service.links().revoke_link(with(request, program)).await;
    let mut tampered = sign_in_request("shop", "c-1", "");
    if let Some(Assertion::SignedUserData(data)) = &mut tampered.assertion {
        data.user_data_json = data.user_data_json.replace("c-1", "c-2");
    }
    let refused = service.sessions().sign_in(tampered).await;
    check(refused, Code::Unauthenticated, "ASSERTION_REFUSED");
    let request = proto::CreateMemberRequest {
        display_name: "Mia".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    let member = service
        .accounts()
        .create_member(with(request, program))
        .await;
    let request = proto::UpdateMemberRequest {
        member: Some(proto::Member {
            state: event::MemberState::Deactivated.into(),
            ..member.unwrap().into_inner().member.unwrap()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["state".to_owned()],
        }),
        request_id: id(),
    };
    let deactivated = service
        .accounts()
        .update_member(with(request, program))
        .await;
    let member = deactivated.unwrap().into_inner().member.unwrap();
    assert_eq!(member.state(), event::MemberState::Deactivated);
    revoked.unwrap().into_inner().link.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_who_did_what_and_holds_no_callers_text() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let scopes = [Scope::AuditRead, Scope::LinksWrite, Scope::AccountsWrite];
        let program = service.add_brand("shop", &scopes).await;
        let link = play(&service, &program).await;
        assert_eq!(link.revoke_reason, "Ann Smith complained"); // SPEC 16

        let all = proto::ListAuditEntriesRequest::default();
        let entries = list(&service, &program, &all).await.unwrap().audit_entries;
        use AuditAction as A;
        let expected = [
            A::MemberChanged,
            A::SessionsRevoked,
            A::MemberChanged,
            A::SignInRefused,
            A::LinkRevoked,
            A::LinkCreated,
            A::SessionsRevoked,
        ];
        // Newest first; what one call did has one time, and goes by id.
        let told = actions(&entries);
        assert_eq!(told[..7], expected, "{engine:?}"); // SPEC 60
        let is_free_of_texts = |entry: &proto::AuditEntry| !format!("{entry:?}").contains("Smith");
        assert!(entries.iter().all(is_free_of_texts)); // SPEC 58
        let revocation = &entries[4];
        assert_eq!(
            (revocation.subject_id.as_str(), revocation.reason.as_str()),
            (link.link_id.as_str(), "")
        );
        let actor = revocation.actor.clone().unwrap();
        assert_eq!(actor.caller(), Caller::Service);
        assert!(uuid::Uuid::parse_str(&actor.actor_id).is_ok());
        let refusal = &entries[3];
        assert_eq!(refusal.reason, "SIGNATURE_INVALID");
        let actor = refusal.actor.clone().unwrap();
        assert_eq!(
            (actor.caller(), actor.actor_id.as_str()),
            (Caller::Anonymous, "")
        );
        assert_eq!(
            entries.last().unwrap().actor.clone().unwrap().caller(),
            Caller::Operator
        );
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_filtered_and_paged() {
    for engine in TestEngine::ALL {
        let database = TestDatabase::create(engine).await;
        let service = Running::start(&database.url, secrets()).await;
        let scopes = [Scope::AuditRead, Scope::LinksWrite, Scope::AccountsWrite];
        let program = service.add_brand("shop", &scopes).await;
        let other = service.add_brand("other", &[Scope::LinksRead]).await;
        let link = play(&service, &program).await;
        let all = proto::ListAuditEntriesRequest::default();
        let entries = list(&service, &program, &all).await.unwrap().audit_entries;
        let revocation = entries
            .iter()
            .find(|entry| entry.action() == AuditAction::LinkRevoked);
        let revocation = revocation.unwrap();
        let action = proto::ListAuditEntriesRequest {
            action: AuditAction::LinkRevoked.into(),
            ..all.clone()
        };
        let subject = proto::ListAuditEntriesRequest {
            subject_id: link.link_id.clone(),
            ..all.clone()
        };
        let from = proto::ListAuditEntriesRequest {
            from_time: revocation.create_time,
            ..all.clone()
        };
        let until = proto::ListAuditEntriesRequest {
            until_time: revocation.create_time,
            ..all.clone()
        };
        let place = entries
            .iter()
            .position(|entry| entry == revocation)
            .unwrap();
        let created = entries
            .iter()
            .find(|entry| entry.action() == AuditAction::LinkCreated);
        let lists = [
            (&action, vec![revocation.clone()]),
            (&subject, vec![revocation.clone(), created.unwrap().clone()]),
            (&from, entries[..=place].to_vec()),
            (&until, entries[place + 1..].to_vec()),
        ];
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = proto::ListAuditEntriesRequest {
                page_size: 2,
                page_token: page_token.clone(),
                ..all.clone()
            };
            let page = list(&service, &program, &request).await.unwrap();
            seen.extend(page.audit_entries);
            if page.next_page_token.is_empty() {
                break;
            }
            page_token = page.next_page_token;
            // What is written meanwhile stands before the first page.
            service.sign_in("shop", "c-3", "").await;
            let visitor = service.start_session("shop").await.session.unwrap();
            service.sign_in("shop", "c-3", &visitor.session_token).await;
        }
        assert_eq!(seen, entries, "{engine:?}");
        for (request, expected) in lists {
            let mixed = proto::ListAuditEntriesRequest {
                page_token: page_token.clone(),
                ..request.clone()
            };
            let refused = list(&service, &program, &mixed).await;
            check(refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
            if request.from_time.is_none() {
                let listed = list(&service, &program, request).await.unwrap();
                assert_eq!(listed.audit_entries, expected, "{engine:?} {request:?}");
            }
        }
        let bounded = proto::ListAuditEntriesRequest {
            until_time: entries[0].create_time,
            ..from.clone()
        };
        let listed = list(&service, &program, &bounded)
            .await
            .unwrap()
            .audit_entries;
        let newest = entries[0].create_time;
        let first = entries
            .iter()
            .position(|entry| entry.create_time != newest)
            .unwrap();
        assert_eq!(listed, entries[first..=place].to_vec(), "{engine:?}");

        check(
            list(&service, &other, &all).await,
            Code::PermissionDenied,
            "PERMISSION_DENIED",
        ); // SPEC 59
        let foreign = proto::ListAuditEntriesRequest {
            brand_id: "other".to_owned(),
            ..all.clone()
        };
        let refused = list(&service, &program, &foreign).await;
        check(refused, Code::NotFound, "BRAND_NOT_FOUND"); // SPEC 1
        assert_eq!(
            list(&service, OPERATOR, &foreign)
                .await
                .unwrap()
                .audit_entries
                .len(),
            3
        );
        service.stop().await;
    }
}
