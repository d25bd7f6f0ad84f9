//! Tests over a real database, with facts that are made up here.

mod booking;
mod concurrency;
mod events;
mod importing;
mod methods;
mod migrations;
mod persons;
mod properties;
mod recomputation;
mod recording;
mod service;
mod store;
mod watching;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    attribution::Outcome,
    id::{AccountId, BrandId, MemberId, OrderId},
    money::{Currency, Money},
    order::{BuyerKeys, RecordedRefund, StatusLabel},
};
use kit::{
    access::Bearer,
    clock::Clock,
    config::Secrets,
    consistency::ConsistencyToken,
    consumer::Apply,
    db::{Db, StoreError},
    event_log::Batch,
    ids::Ids,
    request::{RequestKey, RequestKeys},
    server::channel,
    testing::{TestDatabase, TestEngine},
};
use rapport_proto::{
    attribution::v1 as wire, event::v1::Event, identity::v1::link_service_client::LinkServiceClient,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::{
        App,
        attributions::{self, AttributionView},
        import_orders::{self, ImportedOrder},
        ledger,
        record_checkout::{CheckoutReport, record_checkout},
        record_order::{OrderReport, StatusReport, record_order},
        record_refund::{RefundReport, record_refund},
        record_status::record_status,
        recorder::Recorder,
    },
    consume, convert,
    error::Error,
    evaluate, migrations,
    store::last_instant,
};

/// The service without its port: a database of its own, a clock that stands still, and an identity
/// that never answers.
pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) brand: BrandId,
    pub(crate) clock: Clock,
    pub(crate) database: Arc<TestDatabase>,
}

impl World {
    pub(crate) async fn create(engine: TestEngine) -> Self {
        let database = Arc::new(TestDatabase::create(engine).await);
        let clock = Clock::manual(day(0));
        let app = Self::replica(&database, &clock).await;
        Self {
            app,
            brand: BrandId::parse("shop").unwrap(),
            clock,
            database,
        }
    }

    /// Returns another process on the same database.
    pub(crate) async fn another(&self) -> Arc<App> {
        Self::replica(&self.database, &self.clock).await
    }

    /// Returns the same world as another process sees it.
    pub(crate) async fn beside(&self) -> Self {
        Self {
            app: self.another().await,
            brand: self.brand.clone(),
            clock: self.clock.clone(),
            database: Arc::clone(&self.database),
        }
    }

    /// Returns the same world at an instant of its own.
    pub(crate) fn at(&self, time: DateTime<Utc>) -> Self {
        let clock = Clock::manual(time);
        Self {
            app: Self::process(self.app.db.clone(), &clock),
            brand: self.brand.clone(),
            database: Arc::clone(&self.database),
            clock,
        }
    }

    async fn replica(database: &TestDatabase, clock: &Clock) -> Arc<App> {
        Self::process(database.open(migrations()).await, clock)
    }

    fn process(db: Db, clock: &Clock) -> Arc<App> {
        let secrets = Secrets::random();
        let credential = Bearer::new(&secrets.suite_secret).unwrap();
        // Nobody listens on port 1.
        let nobody = channel("http://127.0.0.1:1").unwrap();
        Arc::new_cyclic(|app| App {
            db,
            recorder: Recorder::new(app.clone()),
            clock: clock.clone(),
            ids: Ids::new(clock.clone()),
            request_keys: RequestKeys::new(&secrets.email_digest_key),
            email_digest_key: secrets.email_digest_key,
            identity: LinkServiceClient::with_interceptor(nobody, credential),
            shutdown: CancellationToken::new(),
            wake: Notify::new(),
            recompute_wake: Notify::new(),
        })
    }

    pub(crate) async fn hear_identity(&self, events: impl IntoIterator<Item = Event>) {
        self.hear(consume::apply_identity, events).await;
    }

    pub(crate) async fn hear_chat(&self, events: impl IntoIterator<Item = Event>) {
        self.hear(consume::apply_chat, events).await;
    }

    async fn hear(&self, apply: Apply, events: impl IntoIterator<Item = Event>) {
        let batch = Batch {
            unread_count: 0,
            events: events.into_iter().collect(),
            position: String::new(),
        };
        let input = (batch, self.clock.now(), apply);
        let applied: Result<(), StoreError> = self
            .app
            .db
            .run_tx("apply_events", input, |connection, (batch, now, apply)| {
                apply(connection, batch, *now)
            })
            .await;
        applied.unwrap();
    }

    /// Evaluates everything that is marked, and recomputes what there is to recompute.
    pub(crate) async fn settle(&self) {
        evaluate::evaluate_marked(&self.app).await.unwrap();
        while evaluate::recompute::recompute(&self.app).await.unwrap() > 0 {}
    }

    /// A request of the Brand's own program, with a body that `tag` tells from others.
    pub(crate) fn request(&self, method: &'static str, id: u128, tag: &str) -> RequestKey {
        let body = wire::GetOrderRequest {
            order_id: tag.to_owned(),
        };
        let id = Uuid::from_u128(id).to_string();
        let (brand, name) = (self.brand.clone(), "service/1".to_owned());
        self.app
            .request_keys
            .key(brand, name, method, &id, &body)
            .unwrap()
    }

    fn new_request(&self, method: &'static str) -> RequestKey {
        let id: Uuid = self.app.ids.next();
        self.request(method, id.as_u128(), "")
    }

    pub(crate) async fn record(&self, report: OrderReport) -> Result<AttributionView, Error> {
        self.record_after(report, None).await
    }

    pub(crate) async fn record_after(
        &self,
        report: OrderReport,
        token: Option<ConsistencyToken>,
    ) -> Result<AttributionView, Error> {
        let key = self.new_request("RecordOrder");
        let id = report.id.clone();
        let (order, view) = record_order(&self.app, &self.brand, key, report, token).await?;
        assert_eq!(order.order.id, id);
        Ok(view)
    }

    /// Records orders as an import does that breaks off before they are evaluated.
    pub(crate) async fn import(&self, reports: Vec<OrderReport>) {
        let imported = reports.into_iter().map(ImportedOrder::from);
        let recorded = import_orders::record(&self.app, &self.brand, imported.collect());
        for answer in recorded.await.unwrap().answers {
            answer.unwrap();
        }
    }

    pub(crate) async fn status(&self, order: &str, label: &str, time: DateTime<Utc>) {
        let report = StatusReport {
            label: StatusLabel::parse(label).unwrap(),
            given_time: Some(time),
        };
        let (key, id) = (self.new_request("RecordOrderStatus"), order_id(order));
        record_status(&self.app, &self.brand, key, &id, report)
            .await
            .unwrap();
    }

    pub(crate) async fn refund(
        &self,
        order: &str,
        refund: &str,
        amount: Money,
    ) -> Result<wire::Refund, Error> {
        let refund = domain::order::Refund {
            id: refund.parse().unwrap(),
            amount,
        };
        let refund_time = self.clock.now();
        let recorded = RecordedRefund {
            refund,
            refund_time,
        };
        self.refund_at(order, recorded).await
    }

    pub(crate) async fn refund_at(
        &self,
        order: &str,
        recorded: RecordedRefund,
    ) -> Result<wire::Refund, Error> {
        let report = RefundReport {
            refund: recorded.refund,
            given_time: Some(recorded.refund_time),
        };
        let (key, id) = (self.new_request("RecordRefund"), order_id(order));
        record_refund(&self.app, &self.brand, key, &id, report).await
    }

    pub(crate) async fn checkout(
        &self,
        cart: &str,
        account: AccountId,
        time: DateTime<Utc>,
    ) -> Result<wire::Checkout, Error> {
        let report = CheckoutReport {
            cart: cart.parse().unwrap(),
            account,
            given_time: Some(time),
        };
        let key = self.new_request("RecordCheckout");
        record_checkout(&self.app, &self.brand, key, report).await
    }

    /// Sets a policy of 5 % commission, changed by `change`.
    pub(crate) async fn policy(
        &self,
        effective_time: DateTime<Utc>,
        change: impl FnOnce(&mut wire::AttributionPolicy),
    ) -> Result<u64, Error> {
        let mut policy = wire::AttributionPolicy {
            commission_rate_ppm: 50_000,
            ..wire::AttributionPolicy::default()
        };
        change(&mut policy);
        let policy = convert::policy::policy(Some(&policy))?;
        let key = self.new_request("SetAttributionPolicy");
        let set = crate::app::policies::set_policy(
            &self.app,
            &self.brand,
            key,
            policy,
            Some(effective_time),
            "service".to_owned(),
        )
        .await?;
        Ok(set.revision.revision)
    }

    pub(crate) async fn attribution(&self, order: &str) -> AttributionView {
        attributions::get_attribution(&self.app, &self.brand, &order_id(order), None)
            .await
            .unwrap()
    }

    pub(crate) async fn outcome(&self, order: &str) -> Option<Outcome> {
        outcome(&self.attribution(order).await)
    }

    /// What a Member has, in minor units of euros.
    pub(crate) async fn balance(&self, member: MemberId) -> i64 {
        let amounts = ledger::balance(&self.app, &self.brand, member, last_instant())
            .await
            .unwrap();
        assert!(amounts.len() <= 1, "{amounts:?}");
        amounts.first().map_or(0, |amount| amount.minor_units())
    }

    /// The amounts of all entries, oldest first.
    pub(crate) async fn entries(&self) -> Vec<i64> {
        let filter = crate::store::ledger_entries::Filter {
            member: None,
            order_id: None,
            currency: None,
            from_time: crate::store::first_instant(),
            until_time: last_instant(),
        };
        let listed = ledger::list_entries(&self.app, &self.brand, &filter, None, 200);
        let (entries, _) = listed.await.unwrap();
        entries
            .iter()
            .map(|entry| entry.amount.minor_units())
            .collect()
    }
}

pub(crate) fn outcome(view: &AttributionView) -> Option<Outcome> {
    view.stored.as_ref().map(|stored| stored.finding.outcome)
}

pub(crate) fn day(days: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::days(days)
}

pub(crate) fn minute(minutes: i64) -> DateTime<Utc> {
    day(0) + TimeDelta::minutes(minutes)
}

pub(crate) fn account(number: u128) -> AccountId {
    Uuid::from_u128(0xacc0_0000 + number).into()
}

pub(crate) fn member(number: u128) -> MemberId {
    Uuid::from_u128(0x3e3b_0000 + number).into()
}

pub(crate) fn order_id(text: &str) -> OrderId {
    text.parse().unwrap()
}

pub(crate) fn eur(minor_units: i64) -> Money {
    Money::new(minor_units, Currency::parse("EUR").unwrap())
}

/// An order of 100 euros, 10 of them shipping.
pub(crate) fn order(id: &str, time: DateTime<Utc>, keys: BuyerKeys) -> OrderReport {
    let mut report = OrderReport {
        id: order_id(id),
        given_time: Some(time),
        keys,
        total: eur(10_000),
        shipping: eur(1_000),
        status: None,
        digest: [0; 32],
    };
    report.digest = convert::report_digest(&report);
    report
}

pub(crate) fn by_account(account: AccountId) -> BuyerKeys {
    BuyerKeys {
        account: Some(account),
        ..BuyerKeys::default()
    }
}

pub(crate) fn by_customer(customer: &str) -> BuyerKeys {
    BuyerKeys {
        customer: Some(customer.parse().unwrap()),
        ..BuyerKeys::default()
    }
}
