//! A fresh connection: a target in, a stream of bytes out, with TLS if wanted.
//!
//! Probes share no connection with requests: that a pooled one still works would not show that a
//! new one can be made. The system's trusted certificates are read when the first connection needs
//! them, off the runtime's threads, and once for a dialer.

use std::io;
use std::sync::Arc;

use http::uri::Scheme;
use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::tls;
use crate::crypto;
use crate::upstream::{DialAddress, TlsTarget};

/// Bytes in both directions, over whatever was dialled.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DialError {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// We lack what a connection needs: descriptors, memory, ports. It says nothing of who is called.
    #[error("out of descriptors, memory or ports")]
    Exhausted,
    /// No connection for another reason.
    #[error("cannot connect: {0}")]
    Connect(io::ErrorKind),
    /// The connection ended before the handshake did.
    #[error("connection broken: {0}")]
    Broken(io::ErrorKind),
    /// The certificate or the handshake is not acceptable.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// The system's trusted certificates cannot be read, so no certificate can be checked.
    #[error("the system's trusted certificates cannot be read: {0}")]
    Roots(io::ErrorKind),
    /// Who is called has no name that a certificate could carry.
    #[error("`{0}` is no name for a certificate")]
    Name(String),
}

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Speaks {
    /// What is spoken with this upstream.
    pub fn with(target: &TlsTarget) -> Speaks {
        if target.http2 { Speaks::Http2 } else { Speaks::Http1 }
    }

    /// As it is offered.
    pub fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Speaks::Http1 => vec![b"http/1.1".to_vec()],
            Speaks::Http2 => vec![b"h2".to_vec()],
        }
    }
}

/// Makes connections.
#[derive(Default)]
pub struct Dialer {
    roots: OnceCell<Arc<RootCertStore>>,
}

impl Dialer {
    /// A dialer that trusts these certificates rather than the system's.
    pub fn trusting(roots: RootCertStore) -> Dialer {
        Dialer { roots: OnceCell::new_with(Some(Arc::new(roots))) }
    }

    /// A connection: plain, or by TLS where the target says so.
    pub async fn connect(&self, target: &DialAddress) -> Result<Box<dyn Stream>, DialError> {
        match target {
            DialAddress::Tls(target) => self.connect_by(target, Speaks::with(target)).await,
            plain => self.connect_plain(plain).await,
        }
    }

    /// A connection by TLS, by the target's own settings. No session is taken up: that would skip the
    /// check of the certificate.
    pub async fn connect_by(
        &self,
        target: &TlsTarget,
        speaks: Speaks,
    ) -> Result<Box<dyn Stream>, DialError> {
        let config = tls::client(target).map_err(DialError::Tls)?;
        let mut config = (*config).clone();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = speaks.protocols();
        let server = tls::server_name(target).map_err(DialError::Tls)?;
        let plain = self.connect_plain(&target.below).await?;
        let stream = TlsConnector::from(Arc::new(config)).connect(server, plain).await;
        Ok(Box::new(stream.map_err(|error| DialError::handshaking(&error))?))
    }

    async fn connect_plain(&self, target: &DialAddress) -> Result<Box<dyn Stream>, DialError> {
        let connected: io::Result<Box<dyn Stream>> = match target.below() {
            DialAddress::Socket(socket) => {
                TcpStream::connect(socket).await.map(|s| Box::new(s) as _)
            }
            DialAddress::Unix(path) => UnixStream::connect(&**path).await.map(|s| Box::new(s) as _),
            // Nothing is below twice.
            DialAddress::Tls(_) | DialAddress::Proxied(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        let mut stream = connected.map_err(|error| DialError::connecting(&error))?;
        if let DialAddress::Proxied(proxied) = target {
            let said = stream.write_all(&proxied.header()).await;
            said.map_err(|error| DialError::Broken(error.kind()))?;
        }
        Ok(stream)
    }

    /// A connection to who is probed, and the scheme of what is asked there: by the target's own settings if it
    /// has any, else by the probe's, to whom a trusted certificate names so.
    pub async fn connect_to_probe(
        &self,
        target: &DialAddress,
        tls: bool,
        name: &str,
        speaks: Speaks,
    ) -> Result<(Scheme, Box<dyn Stream>), DialError> {
        Ok(match (target, tls) {
            (DialAddress::Tls(target), _) => {
                (Scheme::HTTPS, self.connect_by(target, speaks).await?)
            }
            (_, true) => (Scheme::HTTPS, self.connect_tls(target, name, speaks).await?),
            (_, false) => (Scheme::HTTP, self.connect_plain(target).await?),
        })
    }

    /// A TLS connection to whom a trusted certificate names so.
    pub async fn connect_tls(
        &self,
        target: &DialAddress,
        name: &str,
        speaks: Speaks,
    ) -> Result<Box<dyn Stream>, DialError> {
        // An authority writes an IPv6 address in brackets, a certificate without.
        let bare = name.trim_start_matches('[').trim_end_matches(']').to_string();
        let server = ServerName::try_from(bare).map_err(|_| DialError::Name(name.into()))?;
        let connector = TlsConnector::from(Arc::new(self.tls(speaks).await?));
        let plain = self.connect_plain(target).await?;
        let stream = connector.connect(server, plain).await;
        Ok(Box::new(stream.map_err(|error| DialError::handshaking(&error))?))
    }

    /// A config of its own for each connection: resuming a session would skip the check of the
    /// certificate, which is part of what a probe is for; the other callers are rare.
    async fn tls(&self, speaks: Speaks) -> Result<ClientConfig, DialError> {
        let roots = self.roots.get_or_try_init(system_roots).await?.clone();
        let builder = ClientConfig::builder_with_provider(crypto::provider())
            .with_safe_default_protocol_versions()
            .map_err(DialError::Tls)?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = speaks.protocols();
        Ok(config)
    }
}

/// What the system trusts.
async fn system_roots() -> Result<Arc<RootCertStore>, DialError> {
    let read = tokio::task::spawn_blocking(crypto::system_certificates).await;
    let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
    let certificates = read.map_err(|error| DialError::Roots(error.kind()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    Ok(Arc::new(roots))
}

/// Whether no connection could be made, or taken, for lack of what is ours: descriptors, memory, ports.
pub fn is_exhaustion(error: &io::Error) -> bool {
    use Errno::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    let lacks = [EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL].map(|lack| lack as i32);
    error.raw_os_error().is_some_and(|number| lacks.contains(&number))
}

impl DialError {
    /// The failure of a connection attempt.
    fn connecting(error: &io::Error) -> DialError {
        match error.kind() {
            _ if is_exhaustion(error) => DialError::Exhausted,
            io::ErrorKind::ConnectionRefused => DialError::Refused,
            kind => DialError::Connect(kind),
        }
    }

    /// The failure of a TLS handshake: rustls hides its own errors in those of I/O.
    fn handshaking(error: &io::Error) -> DialError {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(cause) => DialError::Tls(cause.clone()),
            None => DialError::Broken(error.kind()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
