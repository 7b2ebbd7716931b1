//! A fresh connection for one probe: a target in, a stream of bytes out, with TLS if wanted.
//!
//! Probes share no connection with requests: that a pooled one still works would not show that a
//! new one can be made. The system's trusted certificates are read when the first probe needs
//! them, off the runtime's threads, and once.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::failure::ProbeFailure;
use crate::upstream::Target;

/// Bytes in both directions, over whatever was dialled.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Makes connections.
#[derive(Default)]
pub struct Dialer {
    roots: OnceCell<Arc<RootCertStore>>,
}

impl Dialer {
    /// A dialer that trusts these certificates rather than the system's.
    #[cfg(test)]
    pub fn trusting(roots: RootCertStore) -> Dialer {
        Dialer { roots: OnceCell::new_with(Some(Arc::new(roots))) }
    }

    /// A plain connection.
    pub async fn connect(&self, target: &Target) -> Result<Box<dyn Stream>, ProbeFailure> {
        let connected: std::io::Result<Box<dyn Stream>> = match target {
            Target::Socket(socket) => TcpStream::connect(socket).await.map(|s| Box::new(s) as _),
            Target::Unix(path) => UnixStream::connect(&**path).await.map(|s| Box::new(s) as _),
        };
        connected.map_err(|error| ProbeFailure::connecting(&error))
    }

    /// A TLS connection to whom a trusted certificate names so.
    pub async fn connect_tls(
        &self,
        target: &Target,
        name: &str,
        speaks: Speaks,
    ) -> Result<Box<dyn Stream>, ProbeFailure> {
        // An authority writes an IPv6 address in brackets, a certificate without.
        let bare = name.trim_start_matches('[').trim_end_matches(']').to_string();
        let server = ServerName::try_from(bare).map_err(|_| ProbeFailure::Name(name.into()))?;
        let connector = TlsConnector::from(Arc::new(self.tls(speaks).await?));
        let plain = self.connect(target).await?;
        let stream = connector.connect(server, plain).await;
        Ok(Box::new(stream.map_err(|error| ProbeFailure::handshaking(&error))?))
    }

    /// A config of its own for each connection: resuming a session would skip the check of the
    /// certificate, which is part of what is probed.
    async fn tls(&self, speaks: Speaks) -> Result<ClientConfig, ProbeFailure> {
        let roots = self.roots.get_or_try_init(system_roots).await?.clone();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(ProbeFailure::Tls)?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = match speaks {
            Speaks::Http1 => vec![b"http/1.1".to_vec()],
            Speaks::Http2 => vec![b"h2".to_vec()],
        };
        Ok(config)
    }
}

/// What the system trusts. Certificates in it that cannot be read are left out, as elsewhere.
async fn system_roots() -> Result<Arc<RootCertStore>, ProbeFailure> {
    let read = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let certificates = read.map_err(|error| ProbeFailure::Roots(error.kind()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    Ok(Arc::new(roots))
}

#[cfg(test)]
pub mod tests;
