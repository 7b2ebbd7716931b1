//! What an authority looks for in a handshake (RFC 8737): a name and what it is to find in, how that
//! handshake is made out.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use crate::crypto;

/// What is spoken inside: nothing.
pub(super) const PROTOCOL: &[u8] = b"acme-tls/1";

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    /// No certificate for such a name.
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    /// The library does not take it.
    #[error(transparent)]
    Library(#[from] tokio_rustls::rustls::Error),
}

/// By what the handshake is made in which an authority looks: a certificate that nobody else believes,
/// with `digest` in it.
pub(super) fn rules(name: &str, digest: &[u8]) -> Result<Arc<ServerConfig>, ChallengeError> {
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let builder = ServerConfig::builder_with_provider(crypto::provider());
    let builder = builder.with_protocol_versions(crypto::FROM_1_2)?.with_no_client_auth();
    let shown = SingleCertAndKey::from(crypto::signing_unchecked(chain, key)?);
    let mut rules = builder.with_cert_resolver(Arc::new(shown));
    rules.alpn_protocols = vec![PROTOCOL.to_vec()];
    rules.send_tls13_tickets = 0;
    Ok(Arc::new(rules))
}
