//! A client's connection: what it sends and takes, and for how long each is waited for.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::super::socket::{End, Socket};
use super::super::stop::Stop;
use super::buffer::Buffer;
use super::timer::Timer;
use crate::clock::Clock;
use crate::config::ClientLimits;
use crate::http::codec::request::{RequestHead, RequestReader};
use crate::http::codec::{Limits, Malformed};
use crate::http::failure::Cause;

/// How much a client may send ahead of the answer it waits for; the rest stays in the socket.
const AHEAD: usize = 64 * 1024;

/// How long the next request is waited for with all that one needs at hand; after that a connection is held
/// for as little as it takes.
const SOON: Duration = Duration::from_secs(1);

/// How much of what a client still sends is taken in behind the last answer, and for how long: to
/// close before it has been read would reset the connection, and take the answer away with it.
const LINGERED: usize = 32 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// One connection.
pub(in crate::wire) struct Client {
    pub(in crate::wire) socket: Socket,
    /// What it has sent and nobody has read.
    pub(in crate::wire) inbox: Buffer,
    /// What tells that it has left while it has sent more than is read.
    end: Option<End>,
    pub(in crate::wire) timer: Timer,
    pub(in crate::wire) limits: ClientLimits,
    /// Requests that it has sent.
    pub(in crate::wire) requests: u32,
    /// Whether it was told to go because memory is short.
    pub(in crate::wire) was_squeezed: bool,
    /// The address of our end, once somebody has wanted to know.
    own_address: OnceLock<Option<SocketAddr>>,
}

/// Why there is no request.
pub(in crate::wire) enum NoHead {
    /// The client has left.
    Gone,
    /// Its head was not whole in time.
    Late,
    /// What came is no head.
    Malformed(Malformed),
}

impl Client {
    pub(in crate::wire) fn new(
        socket: Socket,
        limits: ClientLimits,
        clock: Clock,
        stop: Arc<Stop>,
    ) -> Client {
        let (inbox, timer) = (Buffer::default(), Timer::new(clock, stop));
        let (end, requests, was_squeezed) = (None, 0, false);
        let own_address = OnceLock::new();
        Client { socket, inbox, end, timer, limits, requests, was_squeezed, own_address }
    }

    /// The address of our end, which is looked up once for all requests of the connection.
    pub(in crate::wire) fn own_address(&self) -> Option<SocketAddr> {
        *self.own_address.get_or_init(|| self.socket.own_address())
    }

    /// Waits for the first byte of a request, of the connection's first for as long as for its head;
    /// whether one came. Behind a request the wait has begun with the end of its answer.
    pub(in crate::wire) async fn has_request(&mut self, is_first: bool) -> bool {
        poll_fn(|cx| match self.inbox.poll_fill(&mut self.socket, cx) {
            Poll::Ready(read) => Poll::Ready(read.is_ok_and(|length| length > 0)),
            Poll::Pending => {
                let is_late = match is_first {
                    true => self.timer.poll_late(self.limits.header_timeout, cx),
                    false => self.timer.poll_idle(self.limits.keepalive, cx),
                };
                self.was_squeezed = is_late && !is_first && self.timer.is_squeezed();
                if is_late { Poll::Ready(false) } else { Poll::Pending }
            }
        })
        .await
    }

    /// Whether a request follows the one before at once, or soon.
    pub(in crate::wire) async fn has_another(&mut self) -> bool {
        if !self.inbox.is_empty() {
            return true;
        }
        let (within, mut was_asked) = (self.limits.keepalive.min(SOON), false);
        poll_fn(|cx| {
            let read = match std::mem::replace(&mut was_asked, true) {
                false => self.inbox.poll_fill(&mut self.socket, cx),
                true => self.inbox.poll_fill_woken(&mut self.socket, cx),
            };
            match read {
                // Of an end, too, the next who reads hears again.
                Poll::Ready(read) => Poll::Ready(read.is_ok_and(|length| length > 0)),
                Poll::Pending if self.timer.poll_idle(within, cx) => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// The next head. Behind a request an empty line begins nothing: clients of old send one behind a
    /// body.
    pub(in crate::wire) async fn head(
        &mut self,
        reader: &mut RequestReader,
        is_next: bool,
    ) -> Result<RequestHead, NoHead> {
        let limits = Limits { bytes: self.limits.header_bytes, fields: self.limits.header_fields };
        self.timer.restart();
        reader.begin();
        poll_fn(|cx| {
            loop {
                match reader.read(self.inbox.bytes(), limits) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(malformed) => return Poll::Ready(Err(NoHead::Malformed(malformed))),
                }
                match self.inbox.poll_fill(&mut self.socket, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(Err(NoHead::Gone)),
                    Poll::Pending if is_next && matches!(self.inbox.bytes(), b"\r" | b"\r\n") => {
                        return match self.timer.poll_idle(self.limits.keepalive, cx) {
                            true => Poll::Ready(Err(NoHead::Gone)),
                            false => Poll::Pending,
                        };
                    }
                    Poll::Pending if self.timer.poll_late(self.limits.header_timeout, cx) => {
                        return Poll::Ready(Err(NoHead::Late));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Ready when the client has left. What it sends ahead is kept, so far as there is room for it; what
    /// is behind that stays where it is.
    pub(in crate::wire) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Socket::Stream(stream) = &mut self.socket {
            return stream.poll_left(cx);
        }
        if self.inbox.len() < AHEAD {
            self.end = None;
        }
        while self.inbox.len() < AHEAD {
            match ready!(self.inbox.poll_fill(&mut self.socket, cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        if self.end.is_none() {
            // Without a descriptor for it nobody sees the client leave, and it is waited for in vain.
            self.end = self.socket.end().ok();
        }
        self.end.as_ref().map_or(Poll::Pending, |end| end.poll(cx))
    }

    /// A request is over, and nobody waits for its answer any more.
    pub(in crate::wire) fn forget_end(&mut self) {
        self.end = None;
    }

    /// Waits for this long, or until the client has left; whether it has.
    pub(in crate::wire) async fn pause(&mut self, within: Duration) -> bool {
        self.timer.restart();
        let left = poll_fn(|cx| {
            if self.poll_left(cx).is_ready() {
                return Poll::Ready(true);
            }
            if self.timer.poll_late(within, cx) { Poll::Ready(false) } else { Poll::Pending }
        });
        left.await
    }

    /// What becomes of this within the time for a connection, unless the client leaves before.
    pub(super) async fn unless_left<T>(
        &mut self,
        within: Duration,
        connecting: impl Future<Output = T>,
    ) -> Result<T, Cause> {
        self.timer.restart();
        // Rare and large, so that it is no part of the usual way's future.
        let mut connecting = Box::pin(connecting);
        poll_fn(|cx| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(Ok(connected));
            }
            if self.poll_left(cx).is_ready() {
                return Poll::Ready(Err(Cause::ClientGone));
            }
            match self.timer.poll_late(within, cx) {
                true => Poll::Ready(Err(Cause::ConnectTimeout)),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Writes all of it, until it has left.
    pub(in crate::wire) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.timer.restart();
        poll_fn(|cx| {
            let polled = loop {
                if bytes.is_empty() {
                    let mut moved = 0;
                    let flushed = self.socket.poll_flush(cx, &mut moved);
                    if moved > 0 {
                        self.timer.restart();
                    }
                    break flushed;
                }
                match self.socket.poll_write(cx, [bytes, &[], &[]], false) {
                    Poll::Ready(taken) => {
                        bytes = &bytes[taken?..];
                        self.timer.restart();
                    }
                    Poll::Pending => break Poll::Pending,
                }
            };
            match polled {
                Poll::Pending if self.timer.poll_late(self.limits.send_timeout, cx) => {
                    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                }
                polled => polled,
            }
        })
        .await
    }

    /// Ends the connection, behind a word that this is its end if it has such.
    pub(in crate::wire) async fn close(&mut self) {
        if !self.socket.says_its_end() {
            return;
        }
        self.timer.restart();
        poll_fn(|cx| match self.socket.poll_shutdown(cx) {
            Poll::Pending if !self.timer.poll_late(LINGER, cx) => Poll::Pending,
            // Who does not take even this has left.
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Ends the connection, once the client has had time to read what it was told.
    pub(in crate::wire) async fn linger(&mut self) {
        self.timer.restart();
        let mut left = LINGERED;
        poll_fn(|cx| {
            if self.socket.poll_shutdown(cx).is_pending() {
                return match self.timer.poll_late(LINGER, cx) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                };
            }
            loop {
                if self.timer.poll_late(LINGER, cx) {
                    return Poll::Ready(());
                }
                self.inbox.skip(self.inbox.len());
                match self.inbox.poll_fill(&mut self.socket, cx) {
                    Poll::Ready(Ok(length @ 1..)) if length < left => left -= length,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}
