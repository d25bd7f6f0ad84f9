//! What the files of TLS hold, and what is made of it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject},
    },
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};

/// HTTP/2, which gRPC is spoken over.
const PROTOCOL: &[u8] = b"h2";

/// Where a process finds what it needs for TLS, each file in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that the certificates of others are signed by, and its own.
    pub authority: PathBuf,
    /// Its own certificate; a client may do without.
    pub certificate: Option<CertificateFiles>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those between it and the authority.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why files of TLS cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{file} cannot be read")]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: Arc<io::Error>,
    },
    /// A file does not hold what it should.
    #[error("{file} does not hold {what} in PEM")]
    Pem {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: Arc<pem::Error>,
    },
    /// A certificate is none, is not its key's, is too old, or is signed by somebody else.
    #[error("the certificate in {file} cannot be used")]
    Certificate {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

/// The bytes of the files.
#[derive(PartialEq, Eq)]
pub(super) struct Content {
    authority: Vec<u8>,
    /// Chain and key.
    certificate: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsFiles {
    pub(super) async fn read(&self) -> Result<Content, TlsError> {
        let certificate = match &self.certificate {
            Some(files) => Some((read(&files.chain).await?, read(&files.key).await?)),
            None => None,
        };
        Ok(Content {
            authority: read(&self.authority).await?,
            certificate,
        })
    }
}

async fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let content = tokio::fs::read(file).await;
    content.map_err(|source| TlsError::Read {
        file: file.to_owned(),
        source: Arc::new(source),
    })
}

/// What new connections begin with.
pub(super) struct Material {
    /// As who is connected to; without a certificate nobody can be.
    pub(super) server: Option<Arc<ServerConfig>>,
    /// As who connects.
    pub(super) client: Arc<ClientConfig>,
}

impl Material {
    /// A certificate that this process would refuse itself, were it another's, is refused.
    pub(super) fn new(files: &TlsFiles, content: &Content) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let unusable = |file: &Path| {
            let file = file.to_owned();
            move |source| TlsError::Certificate { file, source }
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.authority, &content.authority)? {
            let added = roots.add(certificate);
            added.map_err(unusable(&files.authority))?;
        }
        let roots = Arc::new(roots);
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable(&files.authority))?
            .with_root_certificates(Arc::clone(&roots));
        let own = files.certificate.as_ref().zip(content.certificate.as_ref());
        let Some((files, (chain, key))) = own else {
            return Ok(Self {
                server: None,
                client: over_http2(client.with_no_client_auth()),
            });
        };
        let chain = certificates(&files.chain, chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(malformed(&files.key, "a private key without a password"))?;
        let server = server(&provider, roots, chain.clone(), key.clone_key());
        let client = client.with_client_auth_cert(chain, key);
        Ok(Self {
            server: Some(server.map_err(unusable(&files.chain))?),
            client: over_http2(client.map_err(unusable(&files.chain))?),
        })
    }
}

fn server(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let callers = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let (own, between) = chain
        .split_first()
        .ok_or(rustls::Error::NoCertificatesPresented)?;
    callers.verify_client_cert(own, between, UnixTime::now())?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(callers)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Connections are few and long. One that is resumed would be trusted by what was true before.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn over_http2(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Arc::new(config)
}

/// Returns the certificates of a file, of which there is at least one.
fn certificates(file: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    let certificates = certificates.and_then(|certificates| {
        let is_any = !certificates.is_empty();
        is_any
            .then_some(certificates)
            .ok_or(pem::Error::NoItemsFound)
    });
    certificates.map_err(malformed(file, "certificates"))
}

fn malformed(file: &Path, what: &'static str) -> impl FnOnce(pem::Error) -> TlsError + use<> {
    let file = file.to_owned();
    move |source| TlsError::Pem {
        file,
        what,
        source: Arc::new(source),
    }
}
