//! What identity asks for of a person as a whole.

use domain::id::AccountId;
use kit::{access::Principal, convert::field, error::CallError, request::RequestKey};
use rapport_proto::chat::v1 as chat;

use crate::{
    app::{App, ErasePerson},
    error::ChatError,
};

pub(super) async fn erase(
    app: &App,
    principal: Principal,
    request: chat::ErasePersonRequest,
) -> Result<chat::ErasePersonResponse, ChatError> {
    let brand_id = principal.brand_of_call(&request.brand_id)?;
    let brand_id = brand_id.ok_or(ChatError::BrandNotFound)?;
    let (name, id) = (principal.name(), &request.request_id);
    let key = RequestKey::new(brand_id.clone(), name, "ErasePerson", id, &request)?;
    let command = ErasePerson {
        brand_id,
        erasure_id: field("erasure_id", request.erasure_id.parse())?,
        account_ids: accounts(&request.account_ids)?,
        key,
    };
    app.erase_person(command).await
}

fn accounts(ids: &[String]) -> Result<Vec<AccountId>, CallError> {
    if ids.is_empty() {
        return Err(CallError::field("account_ids", "must name one at least"));
    }
    ids.iter()
        .map(|id| field("account_ids", id.parse()))
        .collect()
}
