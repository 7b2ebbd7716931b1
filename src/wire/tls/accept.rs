//! The handshake of a client's connection: a socket in, one that speaks TLS or why it does not out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::rustls::{Error, HandshakeKind, PeerIncompatible};

use super::handshake::Handshake;
use super::stream::Tls;
use super::termination::Termination;
use crate::certificate::Certificate;
use crate::http::secured::Secured;

/// The first byte of a record that begins a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// A fatal alert, `unrecognized_name` (RFC 6066 section 3): 112.
const UNKNOWN_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What who speaks plain HTTP is told.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 58\r\nconnection: close\r\n\r\nBad Request: this is plain HTTP, and HTTPS is spoken \
    here\n";

/// How much of what a client sends that is refused is taken in, so that the answer is not taken away by
/// a reset.
const LINGERED: usize = 64 * 1024;

/// A connection that speaks TLS.
#[derive(Debug)]
pub struct Accepted {
    /// It, as a socket has it.
    pub tls: Box<Tls>,
    /// What it says of requests, if that is anything.
    pub secured: Option<Arc<Secured>>,
    /// How the handshake went.
    pub how: Handshake,
}

/// Makes the handshake, within this time; how it ended if it came to nothing.
pub async fn accept(
    tcp: TcpStream,
    termination: &Termination,
    within: Duration,
) -> Result<Accepted, Handshake> {
    timeout(within, shake_hands(tcp, termination)).await.unwrap_or(Err(Handshake::Timeout))
}

async fn shake_hands(mut tcp: TcpStream, termination: &Termination) -> Result<Accepted, Handshake> {
    let mut first = [0];
    match tcp.peek(&mut first).await {
        Ok(1..) if first[0] == HANDSHAKE => {}
        Ok(1..) if first[0].is_ascii_alphabetic() => {
            refuse_plain(&mut tcp).await;
            return Err(Handshake::Plain);
        }
        // The library tells the client what is wrong with it.
        Ok(1..) => {}
        Ok(0) | Err(_) => return Err(Handshake::Closed),
    }
    let greeted = LazyConfigAcceptor::new(Acceptor::default(), tcp).await;
    let mut greeted = greeted.map_err(|error| why(&error))?;
    if let Some(rules) = termination.challenge(&greeted.client_hello()) {
        let mut tls = greeted.into_stream(rules).await.map_err(|error| why(&error))?;
        // It has seen what it came for, and has nothing to say; nor have we.
        let _ = tls.shutdown().await;
        return Err(Handshake::Challenge);
    }
    let Some((rules, scope)) = termination.rules(greeted.client_hello().server_name()) else {
        // It closes right after; who has left already need not be told.
        let _ = greeted.io.write_all(&UNKNOWN_NAME).await;
        return Err(Handshake::UnknownName);
    };
    let tls = greeted.into_stream(rules).await.map_err(|error| why(&error))?;
    let session = tls.get_ref().1;
    let how = match session.handshake_kind() {
        Some(HandshakeKind::Resumed) => Handshake::Resumed,
        _ => Handshake::Full,
    };
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    let subject = shown.and_then(|der| Certificate::read(der).ok()).map(|shown| shown.subject);
    // What says nothing of who it is says so.
    let subject = subject.and_then(|subject| HeaderValue::from_str(&subject).ok());
    let scope = termination.scopes().map(|scopes| (scopes.clone(), scope));
    let secured = (subject.is_some() || scope.is_some()).then(|| Secured { subject, scope });
    Ok(Accepted { tls: Box::new(tls.into()), secured: secured.map(Arc::new), how })
}

/// Tells who speaks plain HTTP so, in plain HTTP.
async fn refuse_plain(tcp: &mut TcpStream) {
    let mut room = [0; 4096];
    let mut left = LINGERED;
    // A request is read first, as far as it has come: an answer before it may be lost.
    let _ = tcp.read(&mut room).await;
    if tcp.write_all(PLAIN).await.is_err() || tcp.shutdown().await.is_err() {
        return;
    }
    while let Ok(length @ 1..) = tcp.read(&mut room).await
        && length < left
    {
        left -= length;
    }
}

/// Why a handshake has failed: the library hides its own errors in those of I/O.
fn why(error: &io::Error) -> Handshake {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    tracing::debug!(%error, "a handshake has failed");
    match cause {
        None => Handshake::Closed,
        Some(Error::AlertReceived(_)) => Handshake::Alert,
        Some(Error::NoApplicationProtocol) => Handshake::Protocol,
        Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => {
            Handshake::ClientCertificate
        }
        Some(Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )) => Handshake::Version,
        Some(Error::PeerIncompatible(_)) => Handshake::Incompatible,
        Some(_) => Handshake::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_in_plain_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
