//! What identity asks for of a person as a whole.

use domain::id::AccountId;
use futures_util::{TryStreamExt, stream::BoxStream};
use kit::{access::Principal, convert::field, error::CallError, parts};
use rapport_proto::chat::v1::{self as chat, export_person_response::Record};
use tonic::Status;

use crate::{
    app::{App, ErasePerson, Exported},
    error::{ChatError, DOMAIN},
};

pub(super) async fn erase(
    app: &App,
    principal: Principal,
    request: chat::ErasePersonRequest,
) -> Result<chat::ErasePersonResponse, ChatError> {
    let brand_id = principal.brand_of_call(&request.brand_id)?;
    let brand_id = brand_id.ok_or(ChatError::BrandNotFound)?;
    let (name, id) = (principal.name(), &request.request_id);
    let key = app
        .request_keys
        .key(brand_id.clone(), name, "ErasePerson", id, &request)?;
    let command = ErasePerson {
        brand_id,
        erasure_id: field("erasure_id", request.erasure_id.parse())?,
        account_ids: accounts(&request.account_ids)?,
        key,
    };
    app.erase_person(command).await
}

/// What is told of a person.
pub(super) type Export = BoxStream<'static, Result<chat::ExportPersonResponse, Status>>;

pub(super) fn export(
    app: &App,
    principal: &Principal,
    request: &chat::ExportPersonRequest,
) -> Result<Export, ChatError> {
    // Chat does not know which Brands there are: of one without accounts there is nothing to tell.
    let brand_id = principal.brand_of_call(&request.brand_id)?;
    let brand_id = brand_id.ok_or(ChatError::BrandNotFound)?;
    let accounts = accounts(&request.account_ids)?.into_iter().collect();
    let app = app.clone();
    let told = parts::stream(DOMAIN, |parts| async move {
        app.export_person(&brand_id, &accounts, &parts).await
    });
    Ok(Box::pin(told.map_ok(|one| chat::ExportPersonResponse {
        record: Some(one.into()),
    })))
}

fn accounts(ids: &[String]) -> Result<Vec<AccountId>, CallError> {
    if ids.is_empty() {
        return Err(CallError::field("account_ids", "must name one at least"));
    }
    ids.iter()
        .map(|id| field("account_ids", id.parse()))
        .collect()
}

impl From<Exported> for Record {
    fn from(one: Exported) -> Self {
        match one {
            Exported::Chatroom(view) => Self::Chatroom(view.into()),
            Exported::Message(message) => Self::Message(message.into()),
            Exported::Image(image) => Self::Image(image.into()),
            Exported::Piece(data) => Self::ImageChunk(chat::ImageChunk { data }),
        }
    }
}
