//! Telling what attribution holds of a person.

use std::{collections::BTreeSet, sync::Arc};

use domain::id::AccountId;
use futures_util::{TryStreamExt, stream::BoxStream};
use kit::{
    access::principal,
    convert::{field, timestamp},
    error::CallError,
    parts,
};
use rapport_proto::attribution::v1::{
    ErasureApplied, ExportPersonRequest, ExportPersonResponse, export_person_response::Record,
};
use tonic::{Request, Status};

use crate::{
    app::{
        App,
        export_person::{Exported, export_person},
    },
    convert,
    error::{DOMAIN, Error},
};

/// What is told of a person.
pub(super) type Export = BoxStream<'static, Result<ExportPersonResponse, Status>>;

pub(super) fn export(
    app: &Arc<App>,
    request: &Request<ExportPersonRequest>,
) -> Result<Export, Error> {
    let principal = principal(request)?;
    let request = request.get_ref();
    let brand_id = principal.brand_of_call(&request.brand_id)?;
    let brand_id = brand_id.ok_or(CallError::PermissionDenied)?;
    let accounts = accounts(&request.account_ids)?;
    let app = Arc::clone(app);
    let told = parts::stream(DOMAIN, |parts| async move {
        export_person(&app, &brand_id, &accounts, &parts)
            .await
            .map_err(Error::into_status)
    });
    Ok(Box::pin(told.map_ok(|one| ExportPersonResponse {
        record: Some(record(&one)),
    })))
}

fn accounts(ids: &[String]) -> Result<BTreeSet<AccountId>, CallError> {
    if ids.is_empty() {
        return Err(CallError::field("account_ids", "is required"));
    }
    ids.iter()
        .map(|id| field("account_ids", id.parse()))
        .collect()
}

fn record(one: &Exported) -> Record {
    match one {
        Exported::Checkout(checkout) => Record::Checkout(convert::checkout(checkout)),
        Exported::Order(view) => Record::Order(convert::order(view)),
        Exported::Attribution(view) => Record::Attribution(convert::attribution::attribution(view)),
        Exported::Erased(applied) => Record::ErasureApplied(ErasureApplied {
            erasure_id: applied.erasure_id.to_string(),
            apply_time: Some(timestamp(applied.apply_time)),
        }),
    }
}
