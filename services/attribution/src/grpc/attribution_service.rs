//! `rapport.attribution.v1.AttributionService`.

use std::sync::Arc;

use domain::{id::MemberId, money::Money};
use kit::{
    consistency::ConsistencyToken,
    convert::{field, optional_instant, required_instant, timestamp},
    error::CallError,
    page::{self, Page},
};
use rapport_proto::attribution::v1::{
    Balance, ExplainAttributionRequest, ExplainAttributionResponse, ExportPersonRequest,
    GetAttributionRequest, GetAttributionResponse, GetBalanceRequest, GetBalanceResponse,
    GetDigestRequest, GetDigestResponse, ListAttributionPolicyRevisionsRequest,
    ListAttributionPolicyRevisionsResponse, ListLedgerEntriesRequest, ListLedgerEntriesResponse,
    MemberDifference, RecomputeAttributionsRequest, RecomputeAttributionsResponse,
    SetAttributionPolicyRequest, SetAttributionPolicyResponse, SimulateAttributionPolicyRequest,
    SimulateAttributionPolicyResponse, WatchAttributionsRequest,
    attribution_service_server::AttributionService,
};
use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Caller, answer, persons, watching};
use crate::{
    app::{
        App, attributions, digest, explanations,
        ledger::{self, Reader},
        policies, recomputations, simulations,
        watch::PATIENCE,
    },
    convert,
    error::Error,
    store::{
        first_instant, last_instant,
        ledger_entries::{Filter, Moment},
    },
};

/// The methods of the service.
pub(crate) struct AttributionMethods(pub(crate) Arc<App>);

/// Where the next page of a statement begins.
#[derive(Deserialize, Serialize)]
struct Cursor {
    /// In microseconds since 1970.
    book_time: i64,
    ledger_entry_id: Uuid,
    moment: Moment,
}

impl AttributionMethods {
    async fn do_get_attribution(
        &self,
        request: Request<GetAttributionRequest>,
    ) -> Result<GetAttributionResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let order_id = convert::order_id(&request.order_id)?;
        let token = ConsistencyToken::parse(&request.consistency_token)?;
        let view =
            attributions::get_attribution(&self.0, &caller.brand_id, &order_id, token).await?;
        Ok(GetAttributionResponse {
            attribution: Some(convert::attribution::attribution(&view)),
        })
    }

    async fn do_explain_attribution(
        &self,
        request: Request<ExplainAttributionRequest>,
    ) -> Result<ExplainAttributionResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let order_id = convert::order_id(&request.order_id)?;
        let without_link = match request.without_link_id.as_str() {
            "" => None,
            text => Some(field("without_link_id", text.parse())?),
        };
        let token = ConsistencyToken::parse(&request.consistency_token)?;
        let explanation =
            explanations::explain(&self.0, &caller.brand_id, &order_id, without_link, token)
                .await?;
        Ok(ExplainAttributionResponse {
            explanation: Some(convert::attribution::explanation(&explanation)),
        })
    }

    async fn do_set_policy(
        &self,
        request: Request<SetAttributionPolicyRequest>,
    ) -> Result<SetAttributionPolicyResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let policy = convert::policy::policy(request.policy.as_ref())?;
        let effective_time = optional_instant("effective_time", request.effective_time.as_ref())?;
        let key = caller.request_key(
            &self.0,
            "SetAttributionPolicy",
            &request.request_id,
            &request,
        )?;
        let service_id = caller.service_id;
        let set = policies::set_policy(
            &self.0,
            &caller.brand_id,
            key,
            policy,
            effective_time,
            service_id,
        )
        .await?;
        Ok(SetAttributionPolicyResponse {
            policy_revision: Some(convert::policy::policy_revision(&set)),
        })
    }

    async fn do_list_policies(
        &self,
        request: Request<ListAttributionPolicyRevisionsRequest>,
    ) -> Result<ListAttributionPolicyRevisionsResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let list = ("ListAttributionPolicyRevisions", caller.brand_id.as_str());
        let page = Page::<u64>::open(request.page_size, &request.page_token, &list)?;
        let last = page.after().map(|last| i64::try_from(*last));
        let before = last
            .transpose()
            .map_err(|_| CallError::PageTokenInvalid)?
            .unwrap_or(i64::MAX);
        let (brand_id, limit) = (&caller.brand_id, page.limit());
        let found = policies::list_policies(&self.0, brand_id, before, limit).await?;
        let (found, next_page_token) = page.close(found, |last| last.revision.revision);
        Ok(ListAttributionPolicyRevisionsResponse {
            policy_revisions: found.iter().map(convert::policy::policy_revision).collect(),
            next_page_token,
        })
    }

    async fn do_simulate(
        &self,
        request: Request<SimulateAttributionPolicyRequest>,
    ) -> Result<SimulateAttributionPolicyResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let policy = convert::policy::policy(request.policy.as_ref())?;
        let from_time = required_instant("from_time", request.from_time.as_ref())?;
        let until_time = optional_instant("until_time", request.until_time.as_ref())?;
        let brand_id = &caller.brand_id;
        let simulation =
            simulations::simulate(&self.0, brand_id, policy, from_time, until_time).await?;
        let differences = simulation.differences().map(|(member, currency, sums)| {
            let amount = |minor_units| Some(convert::money(Money::new(minor_units, currency)));
            MemberDifference {
                member_id: member.to_string(),
                present: amount(sums.present),
                simulated: amount(sums.simulated),
            }
        });
        Ok(SimulateAttributionPolicyResponse {
            order_count: simulation.order_count,
            changed_count: simulation.changed_count,
            differences: differences.collect(),
        })
    }

    async fn do_recompute(
        &self,
        request: Request<RecomputeAttributionsRequest>,
    ) -> Result<RecomputeAttributionsResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let from_time = optional_instant("from_time", request.from_time.as_ref())?;
        let until_time = optional_instant("until_time", request.until_time.as_ref())?;
        let key = caller.request_key(
            &self.0,
            "RecomputeAttributions",
            &request.request_id,
            &request,
        )?;
        let brand_id = &caller.brand_id;
        let progress =
            recomputations::recompute(&self.0, brand_id, key, from_time, until_time).await?;
        Ok(RecomputeAttributionsResponse {
            order_count: progress.order_count,
            evaluated_count: progress.evaluated_count,
            changed_count: progress.changed_count,
            complete_time: progress.complete_time.map(timestamp),
        })
    }

    async fn do_get_digest(
        &self,
        request: Request<GetDigestRequest>,
    ) -> Result<GetDigestResponse, Error> {
        let caller = Caller::of(&request)?;
        let digest = digest::digest(&self.0, &caller.brand_id).await?;
        Ok(GetDigestResponse {
            digest: digest.digest.to_vec(),
            order_count: digest.order_count,
            settled: digest.is_settled,
        })
    }

    async fn do_list_ledger_entries(
        &self,
        request: Request<ListLedgerEntriesRequest>,
    ) -> Result<ListLedgerEntriesResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let from_time = optional_instant("from_time", request.from_time.as_ref())?;
        let until_time = optional_instant("until_time", request.until_time.as_ref())?;
        let filter = Filter {
            member: self.member_to_read(&caller, &request.member_id).await?,
            order_id: match request.order_id.as_str() {
                "" => None,
                text => Some(convert::order_id(text)?),
            },
            currency: convert::ledger::optional_currency(&request.currency_code)?,
            from_time: from_time.unwrap_or_else(first_instant),
            until_time: until_time.unwrap_or_else(last_instant),
        };
        let list = (
            "ListLedgerEntries",
            caller.brand_id.as_str(),
            filter.member.map(MemberId::uuid),
            &request.order_id,
            &request.currency_code,
            from_time.map(|time| time.timestamp_micros()),
            until_time.map(|time| time.timestamp_micros()),
        );
        let page = Page::<Cursor>::open(request.page_size, &request.page_token, &list)?;
        let after = page.after().map(place).transpose()?;
        let (brand_id, limit) = (&caller.brand_id, page.limit());
        let listed = ledger::list_entries(&self.0, brand_id, &filter, after, limit);
        let (found, moment) = listed.await?;
        let (found, next_page_token) = page.close(found, |last| Cursor {
            moment,
            book_time: last.book_time.timestamp_micros(),
            ledger_entry_id: last.id.uuid(),
        });
        Ok(ListLedgerEntriesResponse {
            ledger_entries: found.iter().map(convert::ledger::ledger_entry).collect(),
            next_page_token,
        })
    }

    async fn do_get_balance(
        &self,
        request: Request<GetBalanceRequest>,
    ) -> Result<GetBalanceResponse, Error> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let until_time = optional_instant("until_time", request.until_time.as_ref())?;
        let member = self.member_to_read(&caller, &request.member_id).await?;
        let member = member.ok_or_else(|| CallError::field("member_id", "is required"))?;
        let until_time = until_time.unwrap_or_else(last_instant);
        let amounts = ledger::balance(&self.0, &caller.brand_id, member, until_time).await?;
        Ok(GetBalanceResponse {
            balance: Some(Balance {
                member_id: member.to_string(),
                amounts: amounts.into_iter().map(convert::money).collect(),
            }),
        })
    }

    fn do_watch(
        &self,
        request: &Request<WatchAttributionsRequest>,
    ) -> Result<watching::Watch, Error> {
        let caller = Caller::of(request)?;
        let resume_position = &request.get_ref().resume_position;
        watching::watch(&self.0, caller.brand_id, resume_position, PATIENCE)
    }

    async fn member_to_read(
        &self,
        caller: &Caller,
        member_id: &str,
    ) -> Result<Option<MemberId>, Error> {
        let requested = match member_id {
            "" => None,
            text => Some(field("member_id", text.parse())?),
        };
        let reader = caller.member.map_or(Reader::Service, Reader::Member);
        ledger::member_to_read(&self.0, &caller.brand_id, reader, requested).await
    }
}

fn place(cursor: &Cursor) -> Result<(ledger::Place, Moment), CallError> {
    let book_time = page::instant(cursor.book_time)?;
    let place = (book_time, cursor.ledger_entry_id.into());
    Ok((place, cursor.moment.clone()))
}

#[tonic::async_trait]
impl AttributionService for AttributionMethods {
    type ExportPersonStream = persons::Export;
    type WatchAttributionsStream = watching::Watch;

    async fn get_attribution(
        &self,
        request: Request<GetAttributionRequest>,
    ) -> Result<Response<GetAttributionResponse>, Status> {
        answer(self.do_get_attribution(request).await)
    }

    async fn explain_attribution(
        &self,
        request: Request<ExplainAttributionRequest>,
    ) -> Result<Response<ExplainAttributionResponse>, Status> {
        answer(self.do_explain_attribution(request).await)
    }

    async fn set_attribution_policy(
        &self,
        request: Request<SetAttributionPolicyRequest>,
    ) -> Result<Response<SetAttributionPolicyResponse>, Status> {
        answer(self.do_set_policy(request).await)
    }

    async fn list_attribution_policy_revisions(
        &self,
        request: Request<ListAttributionPolicyRevisionsRequest>,
    ) -> Result<Response<ListAttributionPolicyRevisionsResponse>, Status> {
        answer(self.do_list_policies(request).await)
    }

    async fn simulate_attribution_policy(
        &self,
        request: Request<SimulateAttributionPolicyRequest>,
    ) -> Result<Response<SimulateAttributionPolicyResponse>, Status> {
        answer(self.do_simulate(request).await)
    }

    async fn recompute_attributions(
        &self,
        request: Request<RecomputeAttributionsRequest>,
    ) -> Result<Response<RecomputeAttributionsResponse>, Status> {
        answer(self.do_recompute(request).await)
    }

    async fn get_digest(
        &self,
        request: Request<GetDigestRequest>,
    ) -> Result<Response<GetDigestResponse>, Status> {
        answer(self.do_get_digest(request).await)
    }

    async fn export_person(
        &self,
        request: Request<ExportPersonRequest>,
    ) -> Result<Response<Self::ExportPersonStream>, Status> {
        answer(persons::export(&self.0, &request))
    }

    async fn list_ledger_entries(
        &self,
        request: Request<ListLedgerEntriesRequest>,
    ) -> Result<Response<ListLedgerEntriesResponse>, Status> {
        answer(self.do_list_ledger_entries(request).await)
    }

    async fn get_balance(
        &self,
        request: Request<GetBalanceRequest>,
    ) -> Result<Response<GetBalanceResponse>, Status> {
        answer(self.do_get_balance(request).await)
    }

    async fn watch_attributions(
        &self,
        request: Request<WatchAttributionsRequest>,
    ) -> Result<Response<Self::WatchAttributionsStream>, Status> {
        answer(self.do_watch(&request))
    }
}
