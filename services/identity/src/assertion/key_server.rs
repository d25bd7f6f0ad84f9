//! The server on which a Brand publishes its public keys, and how it is asked.
//!
//! The address was chosen by a Brand and the answer is a stranger's, so both are bounded: see
//! [`address`] for where a connection may lead, and the limits below for what it may bring. A
//! redirect is not followed, a proxy of the environment not used; each fetch resolves the name
//! anew and connects to what was just checked, so that a name cannot change its meaning in between.

mod address;

use std::{net::IpAddr, sync::Arc, time::Duration};

use reqwest::{
    Client, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::ACCEPT,
    redirect,
};
use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::sync::OnceCell;

use super::key_set::{InvalidKeySet, KeySet, MAX_BYTES};

pub(crate) use address::Reach;

/// How long a fetch may take, from the look-up of the name to the last byte.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// The most characters of an address.
const MAX_URI_CHARACTERS: usize = 2_000;

/// The address of a key set, as a Brand gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JwksUri(Url);

/// An address that no key set is fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidJwksUri {
    /// Not an address on the web, or not on the encrypted one.
    #[error("must be an https address of at most 2,000 characters")]
    NotHttps,
    /// It would carry a password in each request and each log on the way.
    #[error("must not hold a user or password")]
    HasCredential,
    /// The host is an address that is not reached.
    #[error("must be on a public address")]
    NotPublic,
}

impl JwksUri {
    /// Returns an address of the Brand's. Whether its name leads to a public address is seen when
    /// it is fetched.
    ///
    /// # Errors
    ///
    /// [`InvalidJwksUri`] says why it is none.
    pub(crate) fn parse(text: &str, reach: Reach) -> Result<Self, InvalidJwksUri> {
        if text.chars().count() > MAX_URI_CHARACTERS {
            return Err(InvalidJwksUri::NotHttps);
        }
        let uri = Url::parse(text).map_err(|_| InvalidJwksUri::NotHttps)?;
        let is_allowed = match uri.scheme() {
            "https" => true,
            "http" => reach == Reach::Anywhere,
            _ => false,
        };
        let host = uri.host_str().filter(|_| is_allowed);
        let host = host.ok_or(InvalidJwksUri::NotHttps)?;
        if !uri.username().is_empty() || uri.password().is_some() {
            return Err(InvalidJwksUri::HasCredential);
        }
        let literal: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
        if literal.is_ok_and(|address| !reach.covers(address)) {
            return Err(InvalidJwksUri::NotPublic);
        }
        Ok(Self(uri))
    }

    /// Returns the address as it is stored and shown.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Why a key set could not be fetched. For the log: it speaks of the Brand's server, and of nobody.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The address was taken under other settings, and is not reached under these.
    #[error("the address is not reached")]
    Address(#[from] InvalidJwksUri),
    /// This machine cannot tell whom to trust.
    #[error("no certificate authorities are installed")]
    Authorities(#[source] rustls::Error),
    /// No connection, no trust in its certificate, or an answer that is not HTTP.
    #[error("the server does not answer")]
    Exchange(#[source] reqwest::Error),
    /// A redirect is among them.
    #[error("the server answers with status {0}")]
    Status(StatusCode),
    /// The answer is no key set.
    #[error("the key set cannot be used")]
    KeySet(#[from] InvalidKeySet),
    /// It takes too long.
    #[error("the server takes longer than {TIME_LIMIT:?}")]
    TooSlow,
}

/// Fetches key sets.
pub(super) struct KeyServer {
    reach: Reach,
    /// Made at the first fetch, so that a machine without certificate authorities serves the Brands
    /// that give their keys inline.
    client: OnceCell<Client>,
}

impl KeyServer {
    pub(super) fn new(reach: Reach) -> Self {
        Self {
            reach,
            client: OnceCell::new(),
        }
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// Fetches the key set at an address.
    ///
    /// # Errors
    ///
    /// [`FetchError`] says why there is none.
    pub(super) async fn fetch(&self, uri: &str) -> Result<KeySet, FetchError> {
        let uri = JwksUri::parse(uri, self.reach)?;
        let fetched = tokio::time::timeout(TIME_LIMIT, self.exchange(uri)).await;
        fetched.map_err(|_| FetchError::TooSlow)?
    }

    async fn exchange(&self, uri: JwksUri) -> Result<KeySet, FetchError> {
        // The address is in the database, under the key that the log names.
        let failed = |error: reqwest::Error| FetchError::Exchange(error.without_url());
        let client = self.client.get_or_try_init(async || client(self.reach));
        let request = client.await?.get(uri.0);
        let request = request.header(ACCEPT, "application/jwk-set+json, application/json");
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(InvalidKeySet::TooLarge.into());
            }
        }
        let json = str::from_utf8(&body).map_err(|_| InvalidKeySet::Malformed)?;
        Ok(KeySet::import(json)?)
    }
}

fn client(reach: Reach) -> Result<Client, FetchError> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(FetchError::Authorities)?
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(reach == Reach::Public)
        .dns_resolver(Resolver(reach))
        .redirect(redirect::Policy::none())
        .no_proxy()
        // A kept connection would outlive the check of its address.
        .pool_max_idle_per_host(0)
        .build()
        .map_err(FetchError::Exchange)
}

/// Resolves names to the addresses that are reached, and hides the others.
struct Resolver(Reach);

/// What the name leads to is not for us.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to no public address")]
struct NoPublicAddress;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let reached: Vec<_> = found.filter(|found| reach.covers(found.ip())).collect();
            if reached.is_empty() {
                return Err(NoPublicAddress.into());
            }
            Ok(Box::new(reached.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, InvalidJwksUri>) {
        let parsed = JwksUri::parse(text, Reach::Public);
        assert_eq!(
            parsed.as_ref().map(JwksUri::as_str),
            expected.as_ref().copied(),
            "{text}"
        );
    }

    #[test]
    fn an_address_is_https_and_public() {
        let keys = "https://shop.example/keys";
        check(keys, Ok(keys));
        check(
            "https://shop.example:8443/keys?a=b",
            Ok("https://shop.example:8443/keys?a=b"),
        );
        for text in [
            "",
            "keys",
            "http://shop.example/",
            "file:///etc/passwd",
            "ftp://shop.example/",
        ] {
            check(text, Err(InvalidJwksUri::NotHttps));
        }
        let long = format!("{keys}?{}", "a".repeat(2_000));
        check(&long, Err(InvalidJwksUri::NotHttps));
        for text in ["https://ann@shop.example/", "https://:word@shop.example/"] {
            check(text, Err(InvalidJwksUri::HasCredential));
        }
        // The last three are loopback too, as browsers and resolvers read them.
        for text in [
            "https://10.0.0.1/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
        ] {
            check(text, Err(InvalidJwksUri::NotPublic));
        }
        let local = JwksUri::parse("http://127.0.0.1:80/keys", Reach::Anywhere);
        assert_eq!(local.unwrap().as_str(), "http://127.0.0.1/keys");
    }
}
