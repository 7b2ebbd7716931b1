//! The handshake with an upstream: where it is and how it speaks in, a connection that speaks TLS out.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;

use super::stream::Tls;
use crate::outgoing::dial::Speaks;
use crate::outgoing::tls;
use crate::upstream::{DialAddress, TlsTarget};

/// A new connection.
pub(in crate::wire) async fn connect(target: &TlsTarget) -> io::Result<Tls> {
    // In one step, and before anybody is dialled.
    let made = tls::client(target).and_then(|config| Ok((config, tls::server_name(target)?)));
    let (config, name) = made.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let &DialAddress::Socket(address) = target.below.below() else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let mut tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    if let DialAddress::Proxied(proxied) = &target.below {
        tcp.write_all(&proxied.header()).await?;
    }
    let offered = Speaks::with(target).protocols();
    let made = TlsConnector::from(config).with_alpn(offered).connect(name, tcp).await;
    made.map(Tls::from).inspect_err(|error| {
        tracing::debug!(%error, %address, "a handshake with an upstream has failed");
    })
}

/// Whether it is the handshake that has failed, and not the connection: the library hides its own errors
/// in those of I/O.
pub(in crate::wire) fn is_handshakes(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>())
}
