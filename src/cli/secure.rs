//! HTTPS to the admin API: an address and files of certificates in, a connection out.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Reach;
use crate::crypto;

/// By what files the other end is known, and we are to it.
pub struct Secure(Arc<ClientConfig>);

impl Secure {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn of(reach: &Reach) -> anyhow::Result<Secure> {
        let builder = ClientConfig::builder_with_provider(crypto::provider());
        let builder = builder.with_protocol_versions(crypto::FROM_1_2)?;
        let builder = builder.with_root_certificates(roots(reach.ca.as_deref())?);
        let mut config = match (&reach.cert, &reach.key) {
            (Some(certificate), Some(key)) => {
                let of_key = || format!("the key in {}", key.display());
                let der = PrivateKeyDer::from_pem_file(key).with_context(of_key)?;
                let chain = certificates(certificate)?;
                builder.with_client_auth_cert(chain, der).with_context(of_key)?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Secure(Arc::new(config)))
    }

    /// A connection to `NAME:PORT`, which has to show that it is that.
    ///
    /// # Errors
    ///
    /// Those of the connection and of the handshake; `InvalidInput` for a name that no certificate can have.
    pub async fn connect(&self, address: &str) -> io::Result<TlsStream<TcpStream>> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
        let name = ServerName::try_from(host);
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let tcp = TcpStream::connect(address).await?;
        TlsConnector::from(self.0.clone()).connect(name, tcp).await
    }
}

/// The authorities in this file, or the system's.
fn roots(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            for der in certificates(file)? {
                roots.add(der).with_context(|| format!("the authorities in {}", file.display()))?;
            }
        }
        None => {
            let found = crypto::system_certificates();
            roots.add_parsable_certificates(found.context("the system's trusted certificates")?);
        }
    }
    Ok(roots)
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let what = || format!("the certificates in {}", file.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .with_context(what)?
        .collect::<Result<_, _>>()
        .with_context(what)?;
    anyhow::ensure!(!found.is_empty(), "{} holds no certificate in PEM form", file.display());
    Ok(found)
}
