//! A client's connection as the lane reads and writes it: a socket in, bytes with deadlines out.
//!
//! pingora 0.9.1 bounds each read and nothing more, so a client that drips one byte a minute
//! holds a request head open for ever (#447), and so does an upstream that drips its response
//! head (#992). Both are bounded here. The lane tells the [`Connection`] where in a request it
//! stands; when a deadline passes while the stream has nothing to give, the read fails. During
//! the wait for a response pingora keeps a read pending on the client (to notice that it goes
//! away), so the response's deadline reaches it the same way.
//!
//! It also stands in for pingora's own stream type, which would set aside 64 KiB for reading
//! before a byte arrives. Small answers are gathered so that head and body leave in one write;
//! what is gathered leaves as soon as there is nothing else to do.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;

use super::forwarded::Peer;
use crate::clock::Clock;

/// How much of an answer is gathered before it is written: most heads and small bodies together.
const GATHER: usize = 4 * 1024;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// The first byte of a request.
    Idle = 0,
    /// The rest of a request's head.
    Head = 1,
    /// Anything after the head, up to the end of the answer.
    Exchange = 2,
}

/// What lane and stream know of one client connection. One task uses both, so the atomics are
/// there for `Sync` and never contended.
#[derive(Debug)]
pub struct Connection {
    /// The other end.
    pub peer: Peer,
    clock: Clock,
    opened: Instant,
    header_timeout: Duration,
    phase: AtomicU8,
    /// Nanoseconds after `opened`; 0 for no deadline.
    due: AtomicU64,
    is_overdue: AtomicBool,
}

impl Connection {
    /// A connection just accepted; its first head is due within `header_timeout`.
    pub fn new(peer: Peer, header_timeout: Duration, clock: Clock) -> Connection {
        Connection {
            peer,
            clock,
            opened: clock.now(),
            header_timeout,
            phase: AtomicU8::new(Phase::Head as u8),
            due: AtomicU64::new(0),
            is_overdue: AtomicBool::new(false),
        }
    }

    /// The head is complete; what follows has other deadlines.
    pub fn begin_exchange(&self) {
        self.phase.store(Phase::Exchange as u8, Ordering::Relaxed);
        self.due.store(0, Ordering::Relaxed);
    }

    /// The answer is due within this time.
    pub fn expect_response(&self, within: Duration) {
        self.set_due(within);
    }

    /// The answer has begun, or will not come.
    pub fn end_wait(&self) {
        self.due.store(0, Ordering::Relaxed);
    }

    /// The answer is written; the next byte begins a request.
    pub fn end_exchange(&self) {
        self.due.store(0, Ordering::Relaxed);
        self.phase.store(Phase::Idle as u8, Ordering::Relaxed);
    }

    /// Whether a deadline has passed.
    pub fn is_overdue(&self) -> bool {
        self.is_overdue.load(Ordering::Relaxed)
    }

    fn set_due(&self, within: Duration) {
        let due = self.clock.now().saturating_duration_since(self.opened) + within;
        let nanos = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
        self.due.store(nanos.max(1), Ordering::Relaxed);
    }

    fn is_phase(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    fn on_bytes(&self) {
        if self.is_phase(Phase::Idle) {
            self.phase.store(Phase::Head as u8, Ordering::Relaxed);
        }
    }

    /// The deadline in force. A head's clock starts when it is first waited for: heads that come
    /// in one piece never cost a look at the time.
    fn due(&self) -> Option<Instant> {
        if self.is_phase(Phase::Head) && self.due.load(Ordering::Relaxed) == 0 {
            self.set_due(self.header_timeout);
        }
        match self.due.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(self.opened + Duration::from_nanos(nanos)),
        }
    }
}

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
    timer: Option<Pin<Box<Sleep>>>,
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
            timer: None,
        }
    }

    /// Whether the deadline in force has passed; if not, this task is woken when it does.
    ///
    /// The timer runs to the earliest deadline it was ever set to and only then looks for the one
    /// in force: deadlines move with every request, timers are too dear to move along.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(due) = self.connection.due() else { return false };
        let due = tokio::time::Instant::from_std(due);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= due {
                self.connection.is_overdue.store(true, Ordering::Relaxed);
                return true;
            }
            timer.as_mut().reset(due);
        }
        false
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let n = ready!(self.socket.poll_write(cx, &self.gathered[self.written..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
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

    /// The address of the other end; unspecified for a Unix socket.
    pub fn peer_address(&self) -> IpAddr {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        match self {
            Socket::Tcp(tcp) => tcp.peer_addr().map_or(nobody, |address| address.ip()),
            Socket::Unix(_) => nobody,
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
        let before = buf.filled().len();
        if let Poll::Ready(result) = self.socket.poll_read(cx, buf) {
            if buf.filled().len() > before {
                self.connection.on_bytes();
            }
            // A client that keeps dripping never lets the read below become pending.
            let in_time = !self.connection.is_phase(Phase::Head) || !self.poll_overdue_head(cx);
            return Poll::Ready(if in_time { result } else { Err(late()) });
        }
        // The exchange waits, so the client should have what there is. Whether the socket takes all
        // of it now does not matter to a read.
        if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        match self.poll_overdue(cx) {
            true => Poll::Ready(Err(late())),
            false => Poll::Pending,
        }
    }
}

impl ClientStream {
    /// As `poll_overdue`, but only for a head whose clock already runs.
    fn poll_overdue_head(&mut self, cx: &mut Context<'_>) -> bool {
        self.connection.due.load(Ordering::Relaxed) != 0 && self.poll_overdue(cx)
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
        while self.written < self.gathered.len() {
            let this = &mut *self;
            let rest = &this.gathered[this.written..];
            let left = rest.len();
            let n = ready!(this.socket.poll_write_both(cx, rest, buf))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.written += n.min(left);
            if n > left {
                this.gathered.clear();
                this.written = 0;
                return Poll::Ready(Ok(n - left));
            }
        }
        self.gathered.clear();
        self.written = 0;
        self.socket.poll_write(cx, buf)
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
