//! Whoever lost his standing at identity is refused by all three services, and his streams end (SPEC 59).

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::{FutureExt, future::BoxFuture};
use kit::{access::Bearer, testing::TestEngine};
use prost_types::FieldMask;
use rapport::client::{Caller, request_id, shop::service_token, wait_until};
use rapport_proto::{
    chat::v1::message_event_service_client::MessageEventServiceClient,
    event::v1::{BrandState, MemberState},
    identity::v1::{
        Brand, EndSessionRequest, EraseAccountRequest, ListApiKeysRequest, Member,
        MergePolicyPreset, RefreshSessionRequest, RevokeApiKeyRequest, UpdateBrandRequest,
        UpdateMemberRequest,
    },
};
use tokio::task::JoinHandle;
use tonic::{Response, Status, Streaming};
use tonic_types::StatusExt;

use crate::harness::TestSuite;

/// What ends the worth of a token before it expires.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Upgrade,
    Link,
    Abandonment,
    Erasure,
    EndOfSession,
    EndOfAllSessions,
    RefreshReuse,
    DeactivatedMember,
    RevokedApiKey,
    SuspendedBrand,
}

impl Loss {
    const ALL: [Self; 10] = [
        Self::Upgrade,
        Self::Link,
        Self::Abandonment,
        Self::Erasure,
        Self::EndOfSession,
        Self::EndOfAllSessions,
        Self::RefreshReuse,
        Self::DeactivatedMember,
        Self::RevokedApiKey,
        Self::SuspendedBrand,
    ];

    /// Returns what the caller is told afterwards.
    fn reason(self) -> &'static str {
        match self {
            Self::SuspendedBrand => "BRAND_SUSPENDED",
            _ => "UNAUTHENTICATED",
        }
    }

    /// Returns a token that is good, and what takes that from it.
    async fn prepare(self, suite: &TestSuite) -> anyhow::Result<(String, Act)> {
        match self {
            Self::Upgrade => sign_in(suite, MergePolicyPreset::TwoChatrooms, false).await,
            Self::Link => sign_in(suite, MergePolicyPreset::AlwaysLinked, false).await,
            Self::Abandonment => sign_in(suite, MergePolicyPreset::V44, true).await,
            Self::Erasure => erase(suite).await,
            Self::EndOfSession => end_session(suite, false).await,
            Self::EndOfAllSessions => end_session(suite, true).await,
            Self::RefreshReuse => reuse_refresh(suite).await,
            Self::DeactivatedMember => deactivate_member(suite).await,
            Self::RevokedApiKey => revoke_api_key(suite).await,
            Self::SuspendedBrand => suspend_brand(suite).await,
        }
    }
}

type Act = BoxFuture<'static, anyhow::Result<()>>;

/// A temporary account whose visitor signs in, as somebody new or as one who has an account.
async fn sign_in(
    suite: &TestSuite,
    preset: MergePolicyPreset,
    is_known: bool,
) -> anyhow::Result<(String, Act)> {
    let shop = suite.shop(preset).await?;
    if is_known {
        shop.sign_in("ann", None, None).await?;
    }
    let visitor = shop.welcome("Ann", None).await?;
    let token = visitor.session.access_token.clone();
    let act = async move { shop.sign_in("ann", None, Some(&visitor)).await.map(|_| ()) };
    Ok((token, act.boxed()))
}

async fn erase(suite: &TestSuite) -> anyhow::Result<(String, Act)> {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await?;
    let client = shop.sign_in("ann", None, None).await?.visitor;
    let mut accounts = shop.service.accounts.clone();
    let act = async move {
        let request = EraseAccountRequest {
            account_id: client.account.account_id,
            request_id: request_id(),
        };
        accounts.erase_account(request).await?;
        Ok(())
    };
    Ok((client.session.access_token, act.boxed()))
}

/// A client who ends his session, or all of them from another device.
async fn end_session(suite: &TestSuite, all_sessions: bool) -> anyhow::Result<(String, Act)> {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await?;
    let here = shop.sign_in("ann", None, None).await?.visitor;
    let there = shop.sign_in("ann", None, None).await?.visitor;
    let mut ending = if all_sessions { there } else { here.clone() };
    let act = async move {
        let request = EndSessionRequest {
            all_sessions,
            request_id: request_id(),
        };
        ending.caller.sessions.end_session(request).await?;
        Ok(())
    };
    Ok((here.session.access_token, act.boxed()))
}

/// A session whose token was refreshed by one and is shown again by another.
async fn reuse_refresh(suite: &TestSuite) -> anyhow::Result<(String, Act)> {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await?;
    let visitor = shop.welcome("Ann", None).await?;
    let refresh = move || RefreshSessionRequest {
        brand_id: shop.brand_id.clone(),
        session_token: visitor.session.session_token.clone(),
        request_id: request_id(),
    };
    let mut anonymous = suite.channels.anonymous();
    let refreshed = anonymous.refresh_session(refresh()).await?.into_inner();
    let session = refreshed.session.context("the answer holds the session")?;
    let act = async move {
        let refused = anonymous.refresh_session(refresh()).await;
        ensure!(refused.is_err(), "a token was taken twice");
        Ok(())
    };
    Ok((session.access_token, act.boxed()))
}

async fn deactivate_member(suite: &TestSuite) -> anyhow::Result<(String, Act)> {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await?;
    let member = shop.hire("Max").await?;
    let mut accounts = shop.service.accounts.clone();
    let act = async move {
        let request = UpdateMemberRequest {
            member: Some(Member {
                member_id: member.id,
                state: MemberState::Deactivated.into(),
                ..Default::default()
            }),
            update_mask: mask("state"),
            request_id: request_id(),
        };
        accounts.update_member(request).await?;
        Ok(())
    };
    Ok((member.access_token, act.boxed()))
}

async fn revoke_api_key(suite: &TestSuite) -> anyhow::Result<(String, Act)> {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await?;
    let token = service_token(&suite.channels, &shop.brand_id, &shop.api_key).await?;
    let mut brands = suite.channels.caller(&suite.operator_token)?.brands;
    let act = async move {
        let request = ListApiKeysRequest {
            brand_id: shop.brand_id.clone(),
            ..Default::default()
        };
        let keys = brands.list_api_keys(request).await?.into_inner().api_keys;
        let request = RevokeApiKeyRequest {
            brand_id: shop.brand_id,
            api_key_id: keys[0].api_key_id.clone(),
            request_id: request_id(),
        };
        brands.revoke_api_key(request).await?;
        Ok(())
    };
    Ok((token, act.boxed()))
}

async fn suspend_brand(suite: &TestSuite) -> anyhow::Result<(String, Act)> {
    let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await?;
    let token = service_token(&suite.channels, &shop.brand_id, &shop.api_key).await?;
    let operator = suite.channels.caller(&suite.operator_token)?;
    let act = async move { set_state(operator, &shop.brand_id, BrandState::Suspended).await };
    Ok((token, act.boxed()))
}

async fn set_state(mut operator: Caller, brand_id: &str, state: BrandState) -> anyhow::Result<()> {
    let request = UpdateBrandRequest {
        brand: Some(Brand {
            brand_id: brand_id.to_owned(),
            state: state.into(),
            ..Default::default()
        }),
        update_mask: mask("state"),
        request_id: request_id(),
    };
    operator.brands.update_brand(request).await?;
    Ok(())
}

fn mask(path: &str) -> Option<FieldMask> {
    Some(FieldMask {
        paths: vec![path.to_owned()],
    })
}

const SERVICES: [&str; 3] = ["identity", "chat", "attribution"];

/// Returns why each service refuses the caller. What he may not do, or what is not there, is no refusal
/// of his token.
async fn refusals(caller: &Caller) -> [Option<String>; 3] {
    let Caller {
        mut links,
        mut chat,
        mut attributions,
        ..
    } = caller.clone();
    let (identity, chat, attribution) = tokio::join!(
        links.get_link(rapport_proto::identity::v1::GetLinkRequest::default()),
        chat.list_chatrooms(rapport_proto::chat::v1::ListChatroomsRequest::default()),
        attributions.get_balance(rapport_proto::attribution::v1::GetBalanceRequest::default()),
    );
    let refusal = |status: Option<Status>| {
        let reason = reason(&status?);
        let is_refusal = ["UNAUTHENTICATED", "BRAND_SUSPENDED", "IDENTITY_UNAVAILABLE"]
            .contains(&reason.as_str());
        is_refusal.then_some(reason)
    };
    [identity.err(), chat.err(), attribution.err()].map(refusal)
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.expect("a refusal has a reason").reason
}

/// Opens each stream that the caller may, and returns the reason with which each ends.
async fn open_streams(
    suite: &TestSuite,
    token: &str,
    caller: &Caller,
) -> anyhow::Result<Vec<JoinHandle<String>>> {
    let Caller {
        mut links,
        mut chat,
        mut attributions,
        ..
    } = caller.clone();
    let channel = kit::server::channel(&format!("http://{}", suite.suite.chat))?;
    let mut messages =
        MessageEventServiceClient::with_interceptor(channel, Bearer::new(&token.into())?);
    let (identity_events, chat_events, chatrooms, attributions) = tokio::join!(
        links.watch_events(rapport_proto::identity::v1::WatchEventsRequest::default()),
        messages.watch_events(rapport_proto::chat::v1::WatchEventsRequest::default()),
        chat.watch_chatrooms(rapport_proto::chat::v1::WatchChatroomsRequest::default()),
        attributions.watch_attributions(
            rapport_proto::attribution::v1::WatchAttributionsRequest::default()
        ),
    );
    let streams = [
        follow(identity_events),
        follow(chat_events),
        follow(chatrooms),
        follow(attributions),
    ];
    Ok(streams.into_iter().flatten().collect())
}

fn follow<T: Send + 'static>(
    opened: Result<Response<Streaming<T>>, Status>,
) -> Option<JoinHandle<String>> {
    // Not for this caller.
    let mut stream = opened.ok()?.into_inner();
    Some(tokio::spawn(async move {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return "none".to_owned(),
                Err(status) => return reason(&status),
            }
        }
    }))
}

/// Waits until all services refuse the caller for `expected`, or for nothing.
pub(crate) async fn wait_for_refusals(
    caller: &Caller,
    expected: Option<&str>,
) -> anyhow::Result<[Duration; 3]> {
    let begin = Instant::now();
    let mut times = [None; 3];
    for (service, name) in SERVICES.iter().enumerate() {
        times[service] = wait_until(&format!("{name} says {expected:?}"), async || {
            let refusals = refusals(caller).await;
            Ok((refusals[service].as_deref() == expected).then(|| Some(begin.elapsed())))
        })
        .await?;
    }
    Ok(times.map(|time: Option<Duration>| time.unwrap_or_default()))
}

async fn check(suite: &TestSuite, engine: TestEngine, loss: Loss) -> anyhow::Result<()> {
    let (token, act) = loss.prepare(suite).await?;
    let caller = suite.channels.caller(&token)?;
    wait_for_refusals(&caller, None).await?;
    let streams = open_streams(suite, &token, &caller).await?;
    if matches!(loss, Loss::RevokedApiKey | Loss::SuspendedBrand) {
        ensure!(streams.len() >= 2, "a service reads both logs");
    } else {
        ensure!(!streams.is_empty(), "whoever chats may watch");
    }
    act.await?;
    let begin = Instant::now();
    let times = wait_for_refusals(&caller, Some(loss.reason())).await?;
    let count = streams.len();
    for stream in streams {
        let ended = tokio::time::timeout(Duration::from_secs(30), stream).await??;
        ensure!(ended == loss.reason(), "a stream ended with {ended}");
    }
    println!(
        "{engine:?} {loss:?}: refused after {times:.0?}, {count} streams ended after {:.0?}",
        begin.elapsed()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_the_worth_of_a_token_reaches_all_services_and_their_streams() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        for loss in Loss::ALL {
            let checked = check(&suite, engine, loss).await;
            checked
                .with_context(|| format!("{loss:?} on {engine:?}"))
                .unwrap(); // SPEC 59
        }
        suite.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brand_that_is_resumed_is_served_again_everywhere() {
    for engine in TestEngine::ALL {
        let suite = TestSuite::start(engine).await.unwrap();
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let other = suite.shop(MergePolicyPreset::TwoChatrooms).await.unwrap();
        let operator = suite.channels.caller(&suite.operator_token).unwrap();
        for (state, expected) in [
            (BrandState::Suspended, Some("BRAND_SUSPENDED")),
            (BrandState::Active, None),
        ] {
            set_state(operator.clone(), &shop.brand_id, state)
                .await
                .unwrap();
            wait_for_refusals(&shop.service, expected).await.unwrap();
            assert_eq!(refusals(&other.service).await, [None, None, None]);
        }
        suite.stop().await.unwrap();
    }
}
