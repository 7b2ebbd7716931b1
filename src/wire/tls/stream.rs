//! A connection that speaks TLS: what its lane has to know of it beyond the bytes that it carries.
//!
//! rustls takes plain bytes and may hold what it made of them back until there is room below, and it
//! reads what is no data: tickets, updates of keys. `tokio-rustls` shows neither, so both are done here
//! on the session itself.

use std::io::{self, ErrorKind, Read, Write};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::{ConnectionCommon, SideData};

/// A TLS connection over TCP.
pub(in crate::wire) type Tls = TlsStream<TcpStream>;

/// How often a silent connection is read: a server sends a few tickets at most, and who goes on
/// sending is not silent.
const READS: u32 = 8;

/// Whether nothing has come that is for us: no data and no end. Tickets and the like are taken in.
/// Asked without a task, as [`Socket::is_silent`](super::super::socket::Socket::is_silent) is.
pub(in crate::wire) fn is_silent(tls: &mut Tls) -> bool {
    match tls {
        TlsStream::Client(client) => {
            let (tcp, session) = client.get_mut();
            says_nothing(tcp, session)
        }
        TlsStream::Server(server) => {
            let (tcp, session) = server.get_mut();
            says_nothing(tcp, session)
        }
    }
}

fn says_nothing<C, D>(tcp: &TcpStream, session: &mut C) -> bool
where
    C: DerefMut + Deref<Target = ConnectionCommon<D>>,
    D: SideData,
{
    for _ in 0..READS {
        // What was read before may be plain bytes by now.
        match session.process_new_packets() {
            Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
            _ => return false,
        }
        match session.read_tls(&mut Now(tcp)) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
    false
}

/// Sends what is held back; `moved` grows by what has left.
pub(in crate::wire) fn poll_flush(
    tls: &mut Tls,
    cx: &mut Context<'_>,
    moved: &mut u64,
) -> Poll<io::Result<()>> {
    let (tcp, session): (_, &mut dyn Held) = match tls {
        TlsStream::Client(client) => {
            let (tcp, session) = client.get_mut();
            (tcp, &mut **session)
        }
        TlsStream::Server(server) => {
            let (tcp, session) = server.get_mut();
            (tcp, &mut **session)
        }
    };
    while session.is_held() {
        match session.write(&mut Later { tcp, cx }) {
            Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
            Ok(length) => *moved += length as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    // There is nothing behind a socket to be flushed.
    Poll::Ready(Ok(()))
}

/// Records that wait for room below.
trait Held {
    fn is_held(&self) -> bool;
    fn write(&mut self, into: &mut dyn Write) -> io::Result<usize>;
}

impl<D: SideData> Held for ConnectionCommon<D> {
    fn is_held(&self) -> bool {
        self.wants_write()
    }

    fn write(&mut self, into: &mut dyn Write) -> io::Result<usize> {
        self.write_tls(into)
    }
}

/// Reads what is there now.
struct Now<'s>(&'s TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

/// Writes as much as there is room for; the task is woken when there is more.
struct Later<'s, 'c, 'w> {
    tcp: &'s mut TcpStream,
    cx: &'c mut Context<'w>,
}

impl Later<'_, '_, '_> {
    fn done<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
        match polled {
            Poll::Ready(done) => done,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Later<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::done(Pin::new(&mut *self.tcp).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Self::done(Pin::new(&mut *self.tcp).poll_write_vectored(self.cx, parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;

    use super::super::super::socket::Socket;
    use super::*;
    use crate::outgoing::dial::tests::{acceptor, client_config};

    /// Both ends of a connection, the client's first.
    async fn pair() -> (Socket, Tls) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let connector = TlsConnector::from(Arc::new(client_config()));
        let name = ServerName::try_from("shop.test").unwrap();
        let (client, server) =
            tokio::join!(connector.connect(name, client), acceptor(b"http/1.1").accept(server));
        (Socket::Tls(Box::new(client.unwrap().into())), server.unwrap().into())
    }

    fn below(socket: &Socket) -> &TcpStream {
        let Socket::Tls(tls) = socket else { unreachable!("it was made so") };
        tls.get_ref().0
    }

    #[tokio::test]
    async fn tickets_are_taken_in_and_data_and_ends_are_no_silence() {
        let (mut client, mut server) = pair().await;
        // The server's tickets, which it has sent before its handshake was done.
        below(&client).readable().await.unwrap();
        assert!(client.is_silent());
        assert!(client.is_silent(), "and so it stays");
        server.write_all(b"x").await.unwrap();
        below(&client).readable().await.unwrap();
        assert!(!client.is_silent());
        assert!(!client.is_silent(), "as long as nobody has read it");
        let mut read = [0; 8];
        assert_eq!(poll_fn(|cx| client.poll_read(cx, &mut read)).await.unwrap(), 1);
        server.shutdown().await.unwrap();
        below(&client).readable().await.unwrap();
        assert!(!client.is_silent(), "it has said its end");
    }

    #[tokio::test]
    async fn what_is_held_back_leaves_by_a_flush_and_is_counted() {
        let (mut client, mut server) = pair().await;
        let (piece, mut written) = (vec![b'x'; 64 * 1024], 0);
        // Until there is no room any more, neither below nor here.
        while let Poll::Ready(taken) =
            poll_fn(|cx| Poll::Ready(client.poll_write(cx, [&piece, &[], &[]], false))).await
        {
            written += taken.unwrap();
        }
        assert!(client.holds_back());
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.map(|_| all.len())
        });
        let mut moved = 0;
        poll_fn(|cx| client.poll_flush(cx, &mut moved)).await.unwrap();
        assert!(moved > 0 && !client.holds_back());
        poll_fn(|cx| client.poll_shutdown(cx)).await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), written, "and the end has been said");
    }
}
