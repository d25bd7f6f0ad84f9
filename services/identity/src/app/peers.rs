//! Whom identity calls: the other services, which hold the rest of a person, and the Brands' key sets.

use kit::{
    access::{Bearer, SuiteChannel},
    config,
    server::channel,
};
use rapport_proto::{
    attribution::v1::attribution_service_client::AttributionServiceClient,
    chat::v1::chat_service_client::ChatServiceClient,
};
use secrecy::SecretString;

use crate::{StartError, assertion::Reach};

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
    /// Returns the clients; the peers need not be there yet.
    pub(crate) fn new(
        peers: &config::Peers,
        suite_secret: &SecretString,
    ) -> Result<Self, StartError> {
        let credential = Bearer::new(suite_secret)?;
        let (chat, attribution) = (channel(&peers.chat)?, channel(&peers.attribution)?);
        Ok(Self {
            chat: ChatServiceClient::with_interceptor(chat, credential.clone()),
            attribution: AttributionServiceClient::with_interceptor(attribution, credential),
        })
    }
}
