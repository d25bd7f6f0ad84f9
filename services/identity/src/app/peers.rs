//! Whom identity calls: the other services, which hold the rest of a person, and the Brands' key sets.

use kit::access::{Bearer, SuiteChannel};
use rapport_proto::{
    attribution::v1::attribution_service_client::AttributionServiceClient,
    chat::v1::chat_service_client::ChatServiceClient,
};
use tonic::transport::Channel;

use crate::assertion::Reach;

/// What is outside of identity.
pub(crate) struct Outward {
    /// Where a Brand's key set may be fetched from.
    pub(crate) key_reach: Reach,
    pub(crate) peers: Peers,
}

/// Clients that connect when they are first used, and again after each break.
pub(crate) struct Peers {
    pub(crate) chat: ChatServiceClient<SuiteChannel>,
    pub(crate) attribution: AttributionServiceClient<SuiteChannel>,
}

impl Peers {
    /// Returns the clients that call by these channels as the suite; the peers need not be there yet.
    pub(crate) fn new(chat: Channel, attribution: Channel, credential: Bearer) -> Self {
        Self {
            chat: ChatServiceClient::with_interceptor(chat, credential.clone()),
            attribution: AttributionServiceClient::with_interceptor(attribution, credential),
        }
    }
}
