//! A client's connection as the lane reads and writes it: a socket in, bytes with deadlines out.
//!
//! pingora 0.9.1 bounds each read and nothing more, so a client that drips one byte a minute
//! holds a request head open for ever (#447), and so does an upstream that drips its response
//! head (#992); each bound costs it a timer. All are bounded here, with one timer a connection: the
//! lane tells the [`Connection`] what it waits for, [`Watch`] sees to it that no wait outlasts its
//! deadline. A late wait ends by a failed read, which pingora turns into an answer; where pingora
//! does not read at all (an upstream that takes no more of an upload), the connection is ended.
//!
//! While an answer is awaited, bytes that a client sends ahead are kept here and not given to
//! pingora: it would keep the first one and then stop listening to the client, and neither a
//! client that goes away nor a pause to send what is gathered would be noticed.
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
use crate::config::ClientLimits;

/// How much a client may send ahead of the answer it waits for; the rest stays in the socket.
const AHEAD: usize = 16 * 1024;

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
    /// Anything after the head, while the request's body comes in, and in a tunnel.
    Exchange = 2,
    /// The answer to a request that has come in whole.
    Answer = 3,
}

/// What lane and stream know of one client connection. One task uses both, so the atomics are
/// there for `Sync` and never contended.
///
/// A deadline is set as a length only. Its clock starts when the stream first has to wait, so that
/// what comes at once never costs a look at the time, and starts anew whenever bytes move.
#[derive(Debug)]
pub struct Connection {
    /// The other end.
    pub peer: Peer,
    clock: Clock,
    opened: Instant,
    limits: ClientLimits,
    phase: AtomicU8,
    /// Nanoseconds that the wait under way may take; 0 for any.
    within: AtomicU64,
    /// Nanoseconds after `opened` at which it is over; 0 while its clock has not started.
    due: AtomicU64,
    is_overdue: AtomicBool,
    /// Whether a read has failed for being late: then pingora knows.
    is_told: AtomicBool,
}

impl Connection {
    /// A connection just accepted; its first head is due.
    pub fn new(peer: Peer, limits: ClientLimits, clock: Clock) -> Connection {
        let connection = Connection {
            peer,
            clock,
            opened: clock.now(),
            limits,
            phase: AtomicU8::new(Phase::Head as u8),
            within: AtomicU64::new(0),
            due: AtomicU64::new(0),
            is_overdue: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
        };
        connection.enter(Phase::Head, Some(connection.limits.header_timeout));
        connection
    }

    /// The head is complete; what comes of it is not known yet.
    pub fn begin_exchange(&self) {
        self.enter(Phase::Exchange, None);
    }

    /// The request is still coming in; bytes must move within this time.
    pub fn expect_request(&self, within: Duration) {
        self.enter(Phase::Exchange, Some(within));
    }

    /// The request is here as a whole; the answer must begin, or go on, within this time.
    pub fn expect_answer(&self, within: Duration) {
        self.enter(Phase::Answer, Some(within));
    }

    /// The answer is written; the next byte begins a request.
    pub fn end_exchange(&self) {
        self.enter(Phase::Idle, Some(self.limits.keepalive));
    }

    /// Whether a deadline has passed.
    pub fn is_overdue(&self) -> bool {
        self.is_overdue.load(Ordering::Relaxed)
    }

    fn enter(&self, phase: Phase, within: Option<Duration>) {
        let within = within.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        self.within.store(within, Ordering::Relaxed);
        self.due.store(0, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is_phase(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// Bytes have moved. A head's deadline is for the whole of it, so there they change nothing.
    fn on_bytes(&self) {
        if self.is_phase(Phase::Idle) {
            self.enter(Phase::Head, Some(self.limits.header_timeout));
        } else if !self.is_phase(Phase::Head) {
            self.due.store(0, Ordering::Relaxed);
        }
    }

    /// The end of the wait under way, whose clock starts now if it has not started.
    fn due(&self) -> Option<Instant> {
        let within = self.within.load(Ordering::Relaxed);
        if within == 0 {
            return None;
        }
        let mut due = self.due.load(Ordering::Relaxed);
        if due == 0 {
            let elapsed = self.clock.now().saturating_duration_since(self.opened);
            due = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).saturating_add(within);
            self.due.store(due, Ordering::Relaxed);
        }
        Some(self.opened + Duration::from_nanos(due))
    }
}

/// A timer that follows a moving deadline.
///
/// It runs to the earliest deadline it was ever set to and only then looks for the one in force:
/// deadlines move with every request, timers are too dear to move along.
#[derive(Debug, Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether this time has come; if not, the task is woken when it does.
    fn poll_due(&mut self, due: Instant, cx: &mut Context<'_>) -> bool {
        let due = tokio::time::Instant::from_std(due);
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= due {
                return true;
            }
            timer.as_mut().reset(due);
        }
        false
    }
}

/// Whatever is done with a connection, ended if a wait outlasts its deadline and pingora is not
/// there to hear of it.
pub struct Watch<F> {
    inner: Pin<Box<F>>,
    connection: Arc<Connection>,
    alarm: Alarm,
}

impl<F: Future> Watch<F> {
    /// Watches over `inner`, which serves this connection.
    pub fn new(inner: F, connection: Arc<Connection>) -> Watch<F> {
        Watch { inner: Box::pin(inner), connection, alarm: Alarm::default() }
    }
}

impl<F: Future> Future for Watch<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.inner.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if this.connection.is_overdue() {
            // An answer is being written; what bounds that is the stream.
            return Poll::Pending;
        }
        let Some(due) = this.connection.due() else { return Poll::Pending };
        if !this.alarm.poll_due(due, cx) {
            return Poll::Pending;
        }
        this.connection.is_overdue.store(true, Ordering::Relaxed);
        let ended = this.inner.as_mut().poll(cx);
        match this.connection.is_told.load(Ordering::Relaxed) {
            true => ended.map(drop),
            // Nothing reads, so nothing will end it but this.
            false => Poll::Ready(()),
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
                let connection = &self.connection;
                let until = || connection.clock.now() + connection.limits.send_timeout;
                let due = *self.stalled.get_or_insert_with(until);
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
        let is_answer = self.connection.is_phase(Phase::Answer);
        let read = match is_answer {
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
                self.connection.is_told.store(true, Ordering::Relaxed);
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
