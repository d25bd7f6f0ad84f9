//! `ExportAccount`: one stream of all that the three services hold of a person.

use std::sync::Arc;

use domain::id::AccountId;
use futures_util::{TryStreamExt, stream::BoxStream};
use kit::{access::Principal, parts};
use prost::Message;
use prost_types::Any;
use rapport_proto::{
    attribution::v1::export_person_response::Record as AttributionRecord,
    chat::v1::export_person_response::Record as ChatRecord,
    identity::v1::{self as proto, SuiteService},
};
use tonic::Status;

use super::own_brand;
use crate::{
    app::{App, Exported},
    convert::{account, audit_entry, link},
    error::{DOMAIN, IdentityError},
};

/// What is told of a person.
pub(super) type Export = BoxStream<'static, Result<proto::ExportAccountResponse, Status>>;

pub(super) async fn export(
    app: &Arc<App>,
    principal: &Principal,
    account_id: AccountId,
) -> Result<Export, IdentityError> {
    let brand_id = own_brand(principal)?;
    let export = app.begin_export(principal, &brand_id, account_id).await?;
    let app = Arc::clone(app);
    let told = parts::stream(
        DOMAIN,
        |parts| async move { app.export(&export, &parts).await },
    );
    Ok(Box::pin(told.map_ok(|one| {
        let (source, record) = record(one);
        proto::ExportAccountResponse {
            source: source.into(),
            record: Some(record),
        }
    })))
}

fn record(one: Exported) -> (SuiteService, Any) {
    match one {
        Exported::Account(shown) => (
            SuiteService::Identity,
            any("identity.v1.Account", &account::show(&shown)),
        ),
        Exported::Link(one) => (
            SuiteService::Identity,
            any("identity.v1.Link", &link::show(&one)),
        ),
        Exported::AuditEntry(entry) => (
            SuiteService::Identity,
            any("identity.v1.AuditEntry", &audit_entry::show(&entry)),
        ),
        Exported::Chat(record) => (SuiteService::Chat, chat(&record)),
        Exported::Attribution(record) => (SuiteService::Attribution, attribution(&record)),
    }
}

fn chat(record: &ChatRecord) -> Any {
    match record {
        ChatRecord::Chatroom(chatroom) => any("chat.v1.Chatroom", chatroom),
        ChatRecord::Message(message) => any("chat.v1.Message", message),
        ChatRecord::Image(image) => any("chat.v1.Image", image),
        ChatRecord::ImageChunk(chunk) => any("chat.v1.ImageChunk", chunk),
    }
}

fn attribution(record: &AttributionRecord) -> Any {
    match record {
        AttributionRecord::Checkout(checkout) => any("attribution.v1.Checkout", checkout),
        AttributionRecord::Order(order) => any("attribution.v1.Order", order),
        AttributionRecord::Attribution(one) => any("attribution.v1.Attribution", one),
        AttributionRecord::ErasureApplied(one) => any("attribution.v1.ErasureApplied", one),
    }
}

/// Returns a message of the contract with the address of its type.
fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/rapport.{name}"),
        value: message.encode_to_vec(),
    }
}
