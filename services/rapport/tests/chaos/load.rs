//! Callers who do not give up: a call that fails is made again, to another replica, until it is answered. Or,
//! where nothing may fail, callers who take no failure.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, ensure};
use kit::{backoff::Backoff, retry::RetryBudget};
use rapport::client::{
    Caller, Channels,
    shop::{Shop, ShopMember, service_token},
    wait_until,
};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

/// Far above what any call takes while something is restarted.
const LONGEST_CALL: Duration = Duration::from_secs(20);

/// What one round of callers shares.
pub(crate) struct Load {
    pub(crate) shop: Shop,
    pub(crate) service_token: String,
    /// Hired for this round.
    pub(crate) members: [ShopMember; 2],
    channels: Channels,
    under_way: AtomicUsize,
    answered: AtomicUsize,
    failed: AtomicUsize,
    is_over: AtomicBool,
    /// The policy of callers who take no failure.
    policy: Option<RetryBudget>,
    tries: AtomicUsize,
}

impl Load {
    /// Hires Members, and waits until chat knows them.
    pub(crate) async fn prepare(channels: &Channels, shop: &Shop) -> anyhow::Result<Self> {
        let shop = shop.renew().await?;
        let members = [shop.hire("Mia").await?, shop.hire("Max").await?];
        for member in &members {
            shop.welcome("Ann", None).await?.open_direct(member).await?;
        }
        Ok(Self {
            service_token: service_token(channels, &shop.brand_id, &shop.api_key).await?,
            shop,
            members,
            channels: channels.clone(),
            under_way: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            policy: None,
            tries: AtomicUsize::new(0),
        })
    }

    /// As [`Load::prepare`], for callers who take no failure: all their calls may be made twice, so the services'
    /// own policy makes one again that nobody took, once and at once.
    pub(crate) async fn prepare_strictly(channels: &Channels, shop: &Shop) -> anyhow::Result<Self> {
        Ok(Self {
            policy: Some(RetryBudget::new("a service")),
            ..Self::prepare(channels, shop).await?
        })
    }

    /// Makes a call as the bearer of `token` until it is answered.
    ///
    /// # Errors
    ///
    /// What it is refused for, where that is no fault's doing, or no failure is taken; that it is not answered
    /// at all.
    pub(crate) async fn insist<T, F>(
        &self,
        token: &str,
        call: impl Fn(Caller) -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut backoff = Backoff::new();
        let call = |caller| {
            self.tries.fetch_add(1, Ordering::SeqCst);
            call(caller)
        };
        loop {
            let caller = self.channels.caller(token)?;
            self.under_way.fetch_add(1, Ordering::SeqCst);
            let answer = async {
                match &self.policy {
                    Some(policy) => policy.call(|| call(caller.clone())).await,
                    None => call(caller).await,
                }
            };
            let answer = tokio::time::timeout(LONGEST_CALL, answer).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            match answer.context("a call hangs")? {
                Ok(response) => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    return Ok(response.into_inner());
                }
                Err(status) => {
                    let is_taken = self.policy.is_none() && is_a_faults_doing(&status);
                    ensure!(is_taken, "{status:?}");
                    self.failed.fetch_add(1, Ordering::SeqCst);
                }
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    /// Waits until so many more calls are answered, and one is under way.
    pub(crate) async fn wait_for_answers(&self, count: usize) -> anyhow::Result<()> {
        let goal = self.answered() + count;
        wait_until("calls are answered", async || {
            let is_under_way = self.under_way.load(Ordering::SeqCst) > 0;
            Ok((self.answered() >= goal && is_under_way).then_some(()))
        })
        .await
    }

    /// Waits until more calls have failed than `before`.
    pub(crate) async fn wait_for_a_failure(&self, before: usize) -> anyhow::Result<()> {
        wait_until("a call fails", async || {
            Ok((self.failed() > before).then_some(()))
        })
        .await
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Returns how often a call was made, be it for the first time or again.
    pub(crate) fn tries(&self) -> usize {
        self.tries.load(Ordering::SeqCst)
    }

    /// Returns how many calls have failed and were made again.
    pub(crate) fn failed(&self) -> usize {
        self.failed.load(Ordering::SeqCst)
    }

    /// Lets callers end what they have begun, and begin nothing more.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

/// A service says that it cannot for now; a connection that breaks says what it likes.
fn is_a_faults_doing(status: &Status) -> bool {
    match status.get_details_error_info() {
        Some(_) => status.code() == Code::Unavailable,
        None => matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
        ),
    }
}
