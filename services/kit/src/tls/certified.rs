//! Whom a certificate names, beyond the hosts that it is for.

use domain::id::{BrandId, KeyId};
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// What our URIs in a certificate's subject alternative name begin with.
const SCHEME: &str = "rapport:";

/// Whom a caller's certificate names. An authority that is trusted answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certified {
    /// `rapport:suite`: a service of the suite.
    Suite,
    /// `rapport:api-key:BRAND:KEY`: a service of a Brand, by one of the Brand's API keys.
    ApiKey {
        /// The Brand's slug.
        brand_id: BrandId,
        /// The API key that stands for its scopes, and that can be revoked.
        key_id: KeyId,
    },
}

impl Certified {
    /// Returns whom a certificate names: one that names nobody, or several, is like none.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let names = certificate.valid_uri_names();
        let mut names = names.filter_map(|name| name.strip_prefix(SCHEME));
        match (names.next(), names.next()) {
            (Some(name), None) => Self::parse(name),
            _ => None,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        if name == "suite" {
            return Some(Self::Suite);
        }
        let (brand_id, key_id) = name.strip_prefix("api-key:")?.split_once(':')?;
        Some(Self::ApiKey {
            brand_id: BrandId::parse(brand_id).ok()?,
            key_id: key_id.parse().ok()?,
        })
    }
}
