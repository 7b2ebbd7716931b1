//! A client's connection as the lane reads and writes it: a socket in, bytes with deadlines out.
//!
//! pingora 0.9.1 bounds each read and nothing more, so a client that drips one byte a minute
//! holds a request head open for ever (#447), and so does an upstream that drips its response
//! head (#992); each bound costs it a timer. All are bounded here, with one timer a connection: the
//! lane tells the [`Connection`] what it waits for, and a [`Watch`](super::deadline::Watch) sees to it
//! that no wait outlasts its deadline. A late wait ends by a failed read, which pingora turns into
//! an answer; where pingora does not read at all (an upstream that takes no more of an upload), the
//! connection is ended.
//!
//! While an answer is awaited, bytes that a client sends ahead are kept here and not given to
//! pingora: it would keep the first one and then stop listening to the client, and neither a
//! client that goes away nor a pause to send what is gathered would be noticed.
//!
//! It also stands in for pingora's own stream type, which would set aside 64 KiB for reading
//! before a byte arrives. Small answers are gathered so that head and body leave in one write;
//! what is gathered leaves as soon as there is nothing else to do.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::connection::Connection;
use super::deadline::Alarm;
use crate::http::forwarded::Peer;

/// How much a client may send ahead of the answer it waits for; the rest stays in the socket.
const AHEAD: usize = 16 * 1024;

/// How much of an answer is gathered before it is written: most heads and small bodies together.
const GATHER: usize = 4 * 1024;

/// The socket beneath.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
}

/// A client's connection.
#[derive(Debug)]
pub struct ClientStream {
    socket: Socket,
    connection: Arc<Connection>,
    /// Carries the connection to pingora's hooks, which see digests but not streams.
    digest: Arc<ProxyDigest>,
    socket_digest: Arc<SocketDigest>,
    gathered: Vec<u8>,
    written: usize,
    /// Sent ahead of the answer, from `given` on.
    ahead: Vec<u8>,
    given: usize,
    /// When the client must have taken more, while it takes nothing.
    stalled: Option<Instant>,
    stall_alarm: Alarm,
}

impl ClientStream {
    /// The stream of a socket just accepted.
    pub fn new(socket: Socket, connection: Arc<Connection>) -> ClientStream {
        let head = ResponseHeader::build(200, Some(0)).expect("200 is a status code");
        let digest = ProxyDigest::new(Box::new(head), Some(Box::new(connection.clone())));
        let socket_digest = SocketDigest::from_raw_fd(socket.fd());
        ClientStream {
            socket,
            connection,
            digest: Arc::new(digest),
            socket_digest: Arc::new(socket_digest),
            gathered: Vec::new(),
            written: 0,
            ahead: Vec::new(),
            given: 0,
            stalled: None,
            stall_alarm: Alarm::default(),
        }
    }

    /// Gives out what was sent ahead; whether there was any.
    fn give_ahead(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let left = &self.ahead[self.given..];
        let n = left.len().min(buf.remaining());
        buf.put_slice(&left[..n]);
        self.given += n;
        if self.given == self.ahead.len() {
            self.ahead = Vec::new();
            self.given = 0;
        }
        n > 0
    }

    /// Keeps what the client sends ahead; ready only when it goes away.
    fn poll_listen(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() - self.given < AHEAD {
            let mut room = [0; 1024];
            let mut read = ReadBuf::new(&mut room);
            ready!(self.socket.poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(read.filled());
        }
        Poll::Pending
    }

    /// Writes what is gathered, and `more` behind it; answers with how much of `more` was taken.
    fn poll_send(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        let rest = &self.gathered[self.written..];
        let left = rest.len();
        let sent = match (left, more.len()) {
            (0, _) => self.socket.poll_write(cx, more),
            (_, 0) => self.socket.poll_write(cx, rest),
            _ => self.socket.poll_write_both(cx, rest, more),
        };
        match sent {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(n)) => {
                self.stalled = None;
                self.connection.on_bytes();
                self.written += n.min(left);
                Poll::Ready(Ok(n.saturating_sub(left)))
            }
            Poll::Pending => {
                let due = *self.stalled.get_or_insert_with(|| self.connection.send_due());
                match self.stall_alarm.poll_due(due, cx) {
                    true => Poll::Ready(Err(late())),
                    false => Poll::Pending,
                }
            }
            failed => failed,
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            ready!(self.poll_send(cx, &[]))?;
        }
        self.gathered.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl Drop for ClientStream {
    /// An answer cut short reaches the client as far as it came.
    fn drop(&mut self) {
        let left = self.gathered.get(self.written..).unwrap_or_default();
        if !left.is_empty() {
            let _ = match &self.socket {
                Socket::Tcp(tcp) => tcp.try_write(left),
                Socket::Unix(unix) => unix.try_write(left),
            };
        }
    }
}

impl Socket {
    fn fd(&self) -> RawFd {
        match self {
            Socket::Tcp(tcp) => tcp.as_raw_fd(),
            Socket::Unix(unix) => unix.as_raw_fd(),
        }
    }

    /// The other end, connected since then.
    pub fn peer(&self, since: Instant) -> Peer {
        match self {
            Socket::Tcp(tcp) => match tcp.peer_addr() {
                Ok(address) => Peer::new(address.ip(), "http", since),
                Err(_) => Peer::without_address("http", since),
            },
            Socket::Unix(_) => Peer::unix("http", since),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Socket::Unix(unix) => Pin::new(unix).poll_read(cx, buf),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Socket::Unix(unix) => Pin::new(unix).poll_write(cx, buf),
        }
    }

    fn poll_write_both(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let both = [IoSlice::new(first), IoSlice::new(second)];
        match self {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, &both),
            Socket::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, &both),
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match self.connection.awaits_answer() {
            // An empty read is the end of the connection, whatever was sent ahead of it.
            true => self.poll_listen(cx),
            false if self.give_ahead(buf) => {
                self.connection.on_bytes();
                return Poll::Ready(Ok(()));
            }
            false => self.socket.poll_read(cx, buf),
        };
        if let Poll::Ready(result) = read {
            if !buf.filled().is_empty() {
                self.connection.on_bytes();
            }
            return Poll::Ready(result);
        }
        // The exchange waits, so the client should have what there is. Whether the socket takes all
        // of it now does not matter to a read.
        if self.written < self.gathered.len()
            && let Poll::Ready(Err(error)) = self.poll_drain(cx)
        {
            return Poll::Ready(Err(error));
        }
        match self.connection.is_overdue() {
            true => {
                self.connection.set_told();
                Poll::Ready(Err(late()))
            }
            false => Poll::Pending,
        }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "a deadline of the exchange has passed")
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gathered.len() + buf.len() <= GATHER {
            self.gathered.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        loop {
            let taken = ready!(self.poll_send(cx, buf))?;
            if self.written == self.gathered.len() {
                self.gathered.clear();
                self.written = 0;
            }
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Neither socket gathers by itself.
        self.poll_drain(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        match &mut self.socket {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Socket::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
        }
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // Nobody is left to tell of a failure here.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.socket.fd()
    }
}

impl Ssl for ClientStream {}

impl Peek for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket_digest.clone())
    }
}
