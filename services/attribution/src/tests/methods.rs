//! The methods as they are called, behind the access layer.

use std::sync::Arc;

use domain::id::BrandId;
use kit::{
    access::{Principal, Subject},
    convert::timestamp,
    testing::TestEngine,
};
use rapport_proto::attribution::v1::{
    self as wire, attribution_service_server::AttributionService,
    order_service_server::OrderService,
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::{World, account, day, events, member, minute};
use crate::grpc::{AttributionMethods, OrderMethods};

fn service<T>(message: T) -> Request<T> {
    call(
        message,
        Principal::Service {
            brand_id: BrandId::parse("shop").unwrap(),
            key_id: Uuid::nil().into(),
            scopes: Default::default(),
        },
    )
}

fn as_member<T>(number: u128, message: T) -> Request<T> {
    call(
        message,
        Principal::Member(Subject {
            brand_id: BrandId::parse("shop").unwrap(),
            id: member(number),
            session_id: Uuid::nil().into(),
            link_revision: 0,
        }),
    )
}

fn call<T>(message: T, principal: Principal) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(principal);
    request
}

fn request_id(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

fn eur(minor_units: i64) -> Option<wire::Money> {
    Some(wire::Money {
        currency_code: "EUR".to_owned(),
        minor_units,
    })
}

fn report() -> wire::RecordOrderRequest {
    wire::RecordOrderRequest {
        order: Some(wire::OrderReport {
            order_id: "o".to_owned(),
            order_time: Some(timestamp(minute(1))),
            buyer: Some(wire::Buyer {
                customer_id: "ann".to_owned(),
                email: "ann@shop.example".to_owned(),
                ..wire::Buyer::default()
            }),
            total: eur(10_000),
            shipping: eur(1_000),
            status: None,
        }),
        consistency_token: String::new(),
        request_id: request_id(1),
    }
}

/// A client who talked with the Member, at a Brand that pays 5 %.
async fn talked(engine: TestEngine) -> (World, OrderMethods, AttributionMethods) {
    let world = World::create(engine).await;
    let (orders, attributions) = (
        OrderMethods(Arc::clone(&world.app)),
        AttributionMethods(Arc::clone(&world.app)),
    );
    let ann = events::client(account(1), "ann");
    let him = events::member_changed(member(1), 1, &[]);
    world.hear_identity([ann, him]).await;
    let talk = events::talk(1, account(1), member(1), day(-2), day(-1));
    world.hear_chat(talk).await;
    let policy = wire::SetAttributionPolicyRequest {
        policy: Some(wire::AttributionPolicy {
            commission_rate_ppm: 50_000,
            ..wire::AttributionPolicy::default()
        }),
        effective_time: Some(timestamp(day(-9))),
        request_id: request_id(2),
    };
    for _ in 0..2 {
        let set = attributions.set_attribution_policy(service(policy.clone()));
        let set = set.await.unwrap().into_inner().policy_revision.unwrap();
        assert_eq!(set.revision, 1); // SPEC 61
        assert_eq!(set.policy.unwrap().window.unwrap().seconds, 14 * 24 * 3_600);
    }
    (world, orders, attributions)
}

async fn pay(orders: &OrderMethods) {
    let status = wire::RecordOrderStatusRequest {
        order_id: "o".to_owned(),
        status: Some(wire::OrderStatus {
            label: "OK".to_owned(),
            status_time: None,
        }),
        request_id: request_id(3),
    };
    for _ in 0..2 {
        let answer = orders.record_order_status(service(status.clone())).await;
        let order = answer.unwrap().into_inner().order.unwrap();
        assert_eq!(order.statuses.len(), 1);
        assert!(order.confirm_time.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_recorded_explained_and_paid() {
    for engine in TestEngine::ALL {
        let (world, orders, attributions) = talked(engine).await;
        for _ in 0..2 {
            let answer = orders.record_order(service(report())).await.unwrap();
            let answer = answer.into_inner();
            let order = answer.order.unwrap();
            let buyer = order.buyer.unwrap();
            assert_eq!((buyer.email.as_str(), buyer.email_given), ("", true)); // SPEC 36
            assert_eq!(order.net, eur(9_000));
            let attribution = answer.attribution.unwrap();
            let outcome = wire::AttributionOutcome::Conversation;
            assert_eq!(attribution.outcome(), outcome);
            assert_eq!(attribution.buyer_key(), wire::BuyerKey::CustomerId);
            assert_eq!(attribution.revision, 1);
        }
        pay(&orders).await;
        let explain = wire::ExplainAttributionRequest {
            order_id: "o".to_owned(),
            ..Default::default()
        };
        let explained = attributions.explain_attribution(service(explain)).await;
        let explained = explained.unwrap().into_inner().explanation.unwrap();
        let arithmetic = explained.arithmetic.unwrap();
        assert_eq!(arithmetic.house_remainder, eur(0));
        assert_eq!(arithmetic.shares[0].target, eur(450));
        assert_eq!(explained.chatrooms[0].reason(), wire::ChatroomReason::Won);
        let credit = &explained.attribution.unwrap().credits[0];
        assert_eq!(
            (credit.target.clone(), credit.booked.clone()),
            (eur(450), eur(450))
        ); // SPEC 47
        let get = wire::GetBalanceRequest::default();
        let balance = attributions.get_balance(as_member(1, get)).await.unwrap();
        let balance = balance.into_inner().balance.unwrap();
        assert_eq!(balance.amounts, [eur(450).unwrap()]);
        let list = wire::ListLedgerEntriesRequest::default();
        let entries = attributions.list_ledger_entries(as_member(1, list)).await;
        let entries = entries.unwrap().into_inner().ledger_entries;
        assert_eq!(
            (entries[0].number, entries[0].target.clone()),
            (1, eur(450))
        );
        assert_eq!(world.entries().await, [450]);
    }
}

fn check<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: &str) {
    let status = answer.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!((status.code(), info.reason.as_str()), (code, reason));
    assert_eq!(info.domain, "attribution.rapport");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_a_reason_and_keeps_no_row() {
    let (_world, orders, attributions) = talked(TestEngine::Sqlite).await;
    let invalid = |change: fn(&mut wire::OrderReport)| {
        let mut request = report();
        change(request.order.as_mut().unwrap());
        service(request)
    };
    let refused = orders
        .record_order(invalid(|order| order.total = None))
        .await;
    check(refused, Code::InvalidArgument, "FIELD_INVALID");
    let unknown = invalid(|order| order.total.as_mut().unwrap().currency_code = "AAA".to_owned());
    let refused = orders.record_order(unknown).await;
    check(refused, Code::InvalidArgument, "FIELD_INVALID");
    for minor_units in [-1, 1_000_000_000_001, i64::MAX] {
        let mut request = report();
        let total = request.order.as_mut().unwrap().total.as_mut().unwrap();
        total.minor_units = minor_units;
        let refused = orders.record_order(service(request)).await; // SPEC 46
        check(refused, Code::InvalidArgument, "FIELD_INVALID");
    }
    let ahead = invalid(|order| order.order_time = Some(timestamp(minute(6))));
    let refused = orders.record_order(ahead).await;
    check(refused, Code::InvalidArgument, "ORDER_IN_FUTURE");
    let mut no_request_id = report();
    no_request_id.request_id = "7".to_owned();
    let refused = orders.record_order(service(no_request_id)).await;
    check(refused, Code::InvalidArgument, "FIELD_INVALID");
    let get = wire::GetOrderRequest {
        order_id: "o".to_owned(),
    };
    let missing = orders.get_order(service(get)).await;
    check(missing, Code::NotFound, "ORDER_NOT_FOUND");
    let get = wire::GetAttributionRequest {
        order_id: "o".to_owned(),
        consistency_token: String::new(),
    };
    let missing = attributions.get_attribution(service(get)).await;
    check(missing, Code::NotFound, "ATTRIBUTION_NOT_FOUND");
    orders.record_order(service(report())).await.unwrap();
    let other_body = invalid(|order| order.shipping = None);
    let refused = orders.record_order(other_body).await;
    check(refused, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let foreign = wire::GetBalanceRequest {
        member_id: member(1).to_string(),
        until_time: None,
    };
    let refused = attributions.get_balance(as_member(2, foreign)).await;
    check(refused, Code::NotFound, "MEMBER_NOT_FOUND"); // SPEC 58
}

#[tokio::test(flavor = "multi_thread")]
async fn another_brand_sees_nothing() {
    let (_world, orders, _) = talked(TestEngine::Sqlite).await;
    orders.record_order(service(report())).await.unwrap();
    let get = wire::GetOrderRequest {
        order_id: "o".to_owned(),
    };
    let other = Principal::Service {
        brand_id: BrandId::parse("other").unwrap(),
        key_id: Uuid::nil().into(),
        scopes: Default::default(),
    };
    let missing = orders.get_order(call(get, other)).await; // SPEC 1
    check(missing, Code::NotFound, "ORDER_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recomputation_is_asked_for_and_tells_how_far_it_is() {
    for engine in TestEngine::ALL {
        let (world, orders, attributions) = talked(engine).await;
        orders.record_order(service(report())).await.unwrap();
        let request = wire::RecomputeAttributionsRequest {
            from_time: Some(timestamp(day(0))),
            until_time: None,
            request_id: request_id(9),
        };
        let ask = async || {
            let answer = attributions.recompute_attributions(service(request.clone()));
            answer.await.unwrap().into_inner()
        };
        let asked = ask().await;
        assert_eq!((asked.order_count, asked.complete_time), (1, None));
        let mut second = request.clone();
        second.request_id = request_id(10);
        let refused = attributions.recompute_attributions(service(second));
        let running = "RECOMPUTATION_RUNNING";
        check(refused.await, Code::FailedPrecondition, running);
        world.settle().await;
        let done = ask().await;
        assert_eq!((done.evaluated_count, done.changed_count), (1, 0));
        assert!(done.complete_time.is_some());
    }
}
