//! A client's connection in HTTP/2: a socket in, one task for each of its requests out.
//!
//! Frames, windows and their bounds are the library's; what a request is, and what becomes of it, is
//! said where it is said for every other.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Version};

use super::super::lane::answering;
use super::super::lane::buffer::Buffer;
use super::super::lane::client::Client;
use super::super::lane::request::{self, Then};
use super::super::lane::timer::Timer;
use super::super::lane::{Lane, cause_of};
use super::super::limited::Limit;
use super::super::socket::Socket;
use super::allowance::{Allowance, Signs};
use super::heads::{self, Unfit};
use super::io::Io;
use super::stream::Stream;
use crate::config::ClientLimits;
use crate::http::codec::request::RequestReader;
use crate::http::codec::response::ResponseReader;
use crate::http::failure::{BadRequest, Cause};
use crate::http::forwarded::{Ends, Peer};

/// Bytes of bodies that a client may send ahead of those who read: of one request, and of all on a
/// connection.
const WINDOW: u32 = 256 * 1024;
const ALL_WINDOWS: u32 = 1024 * 1024;

/// What pieces of bodies may take beside their bytes, of all that wait on a connection: 256 bytes a piece, less
/// what is in it. A call's messages of 30 bytes and more reach its window before this, so that an upstream
/// which takes its time does not cost its clients their connections.
const PIECES: usize = 2 * 1024 * 1024;

/// Bytes of an answer that may wait for room at the client; that many times the requests at once wait for one
/// that takes nothing, for as long as `send_timeout`.
const UNSENT: usize = 64 * 1024;

/// What a field counts for there beside its bytes (RFC 9113, 6.5.2).
const EACH: usize = 32;

/// How many of a client's requests may be reset because of what it sent before its connection ends, beside as
/// many as it may have at once: who has not read our settings yet sends more, and these are refused.
const BROKEN: usize = 100;

/// How long a client may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves one connection to its end. `before` are bytes of it that have been read.
pub(in crate::wire) async fn serve(lane: &Arc<Lane>, socket: Socket, before: Buffer, peer: Peer) {
    // No stream knows it.
    let destination = peer.ends.destination.or_else(|| socket.own_address());
    let peer = Peer { ends: Arc::new(Ends { destination, ..*peer.ends }), ..peer };
    let limits = lane.published.load().config.server.client.clone();
    let mut watch = Watch::new(lane, &limits);
    let allowance = Allowance::new(watch.signs.clone(), lane.clock.now);
    let io = Io::of_client(before, socket, allowance);
    let mut handshake = pin!(options(&limits).handshake::<_, Bytes>(io));
    let connection = poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Ready(connection) => Poll::Ready(connection.ok()),
        Poll::Pending if watch.timer.poll_late(limits.header_timeout, cx) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let Some(mut connection) = connection.await else { return };
    let (peer, mut requests) = (Arc::new(peer), 0_u32);
    watch.timer.restart();
    loop {
        match watch.next(&mut connection).await {
            Next::Request(request, respond) => {
                requests = requests.saturating_add(1);
                match watch.stage {
                    Stage::Open if requests >= limits.requests => {
                        lane.limited.count(Limit::Requests);
                        watch.say_goodbye(&mut connection);
                    }
                    Stage::Open => watch.within = limits.keepalive,
                    // Those that were on their way when it was said are served, and no others.
                    Stage::Ending if requests > limits.requests.saturating_add(limits.streams) => {
                        watch.dismiss(&mut connection);
                        continue;
                    }
                    Stage::Ending => {}
                    Stage::Dismissed => continue,
                }
                let (lane, peer, limits) = (lane.clone(), peer.clone(), limits.clone());
                tokio::spawn(async move {
                    serve_stream(&lane, *request, respond, &peer, limits).await;
                });
            }
            Next::TooMuch(limit) => {
                lane.limited.count(limit);
                watch.dismiss(&mut connection);
            }
            Next::Ending if watch.stage == Stage::Open => {
                if requests > 0 && watch.timer.is_squeezed() {
                    lane.limited.count(Limit::MemoryIdle);
                }
                watch.say_goodbye(&mut connection);
            }
            Next::Ending => return,
            Next::Over(limit) => {
                limit.into_iter().for_each(|limit| lane.limited.count(limit));
                return;
            }
        }
    }
}

fn options(limits: &ClientLimits) -> Builder {
    let mut options = Builder::new();
    let head = u32::try_from(longest(limits)).unwrap_or(u32::MAX);
    let streams = limits.streams as usize;
    options
        .initial_window_size(WINDOW)
        .initial_connection_window_size(ALL_WINDOWS)
        .max_concurrent_streams(limits.streams)
        // What is longer the library refuses itself, with nothing in the answer and nothing in our records;
        // of what is many times as long it ends the connection.
        .max_header_list_size(head.saturating_add(head / 2))
        .max_send_buffer_size(UNSENT)
        .data_frame_budget(PIECES)
        // All that were under way may be taken back at once, by either side, before we have begun any; how
        // often that may be is the allowance's business.
        .max_concurrent_reset_streams(streams)
        .max_pending_accept_reset_streams(streams)
        .max_local_error_reset_streams(Some(BROKEN + streams))
        .enable_connect_protocol();
    options
}

/// What happens next on a connection.
enum Next {
    /// A request came.
    Request(Box<Request<RecvStream>>, SendResponse<Bytes>),
    /// More came than this allows.
    TooMuch(Limit),
    /// Nobody needs it any more, or the process stops.
    Ending,
    /// It has ended, perhaps by this.
    Over(Option<Limit>),
}

/// How far a connection's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not yet.
    Open,
    /// Goodbye was said: what is under way is still served.
    Ending,
    /// The client was sent away: nothing is.
    Dismissed,
}

/// What a connection is watched with.
struct Watch {
    timer: Timer,
    signs: Arc<Signs>,
    stage: Stage,
    /// How long nothing may be under way, ...
    within: Duration,
    /// ... and how long the client may take nothing of what it is sent.
    send_timeout: Duration,
    /// How much it had taken when it last took nothing.
    stuck: Option<u64>,
}

impl Watch {
    fn new(lane: &Lane, limits: &ClientLimits) -> Watch {
        Watch {
            timer: Timer::new(lane.clock, lane.stop.clone()),
            signs: Arc::default(),
            stage: Stage::Open,
            within: limits.header_timeout,
            send_timeout: limits.send_timeout,
            stuck: None,
        }
    }

    /// No new requests; those that are on their way are still served.
    fn say_goodbye(&mut self, connection: &mut Connection<Io, Bytes>) {
        connection.graceful_shutdown();
        (self.stage, self.within) = (Stage::Ending, GOODBYE);
    }

    /// Nothing more is taken from this client.
    fn dismiss(&mut self, connection: &mut Connection<Io, Bytes>) {
        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        self.stage = Stage::Dismissed;
        self.timer.restart();
    }

    /// Moves its frames until something happens.
    async fn next(&mut self, connection: &mut Connection<Io, Bytes>) -> Next {
        poll_fn(|cx| {
            if let Some(limit) = self.too_much() {
                return Poll::Ready(Next::TooMuch(limit));
            }
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.timer.restart();
                    return Poll::Ready(Next::Request(Box::new(request), respond));
                }
                Poll::Ready(Some(Err(error))) if is_too_often_wrong(&error) => {
                    return Poll::Ready(Next::Over(Some(Limit::Frames)));
                }
                Poll::Ready(_) => return Poll::Ready(Next::Over(None)),
                Poll::Pending => {}
            }
            match self.too_much() {
                Some(limit) => Poll::Ready(Next::TooMuch(limit)),
                None => self.wait(connection.has_streams(), cx),
            }
        })
        .await
    }

    /// The limit that is spent, unless the client was sent away for it.
    fn too_much(&self) -> Option<Limit> {
        self.signs.spent().filter(|_| self.stage != Stage::Dismissed)
    }

    /// What becomes of a connection on which nothing moves. `is_used`: requests are under way.
    fn wait(&mut self, is_used: bool, cx: &mut Context<'_>) -> Poll<Next> {
        let stuck = self.signs.stuck();
        if stuck != self.stuck {
            self.stuck = stuck;
            self.timer.restart();
        }
        if self.stage == Stage::Dismissed {
            return match self.timer.poll_late(GOODBYE, cx) {
                true => Poll::Ready(Next::Over(None)),
                false => Poll::Pending,
            };
        }
        let is_late = match stuck {
            // Requests that are under way end by themselves; their end waits for room, too.
            Some(_) if self.timer.poll_late(self.send_timeout, cx) => {
                return Poll::Ready(Next::Over(Some(Limit::Stuck)));
            }
            Some(_) => false,
            None => {
                if is_used {
                    self.timer.restart();
                }
                self.timer.poll_idle(self.within, cx) && !is_used
            }
        };
        match is_late || (self.timer.is_stopping() && self.stage == Stage::Open) {
            true => Poll::Ready(Next::Ending),
            false => Poll::Pending,
        }
    }
}

/// Whether the library has ended it, for one of its own bounds.
fn is_too_often_wrong(error: &h2::Error) -> bool {
    error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM)
}

/// How long a head may be by the library's count.
fn longest(limits: &ClientLimits) -> usize {
    limits.header_bytes.saturating_add(EACH * limits.header_fields)
}

/// Whether a head is longer than it may be, by the library's count: pieces of cookies, of which there may be
/// more than fields, are one field to those who count next.
fn is_long(fields: &HeaderMap, limits: &ClientLimits) -> bool {
    let length =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + EACH;
    fields.len() > limits.header_fields
        && fields.iter().map(length).sum::<usize>() > longest(limits)
}

/// Serves one request.
async fn serve_stream(
    lane: &Lane,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    peer: &Peer,
    limits: ClientLimits,
) {
    let (parts, body) = request.into_parts();
    let head = match is_long(&parts.headers, &limits) {
        true => Err(Unfit::Long),
        false => heads::request(&parts, body.is_end_stream(), lane.clock.draw),
    };
    let (here, unfit) = match head {
        Ok(head) => (head, None),
        Err(unfit) => (Bytes::new(), Some(unfit)),
    };
    let socket = Socket::Stream(Box::new(Stream::of_client(here, body, respond)));
    let mut client = Client::new(socket, limits, lane.clock, lane.stop.clone());
    let mut requests = RequestReader::default();
    let head = match unfit {
        Some(unfit) => Err(Cause::BadRequest(match unfit {
            Unfit::Host => BadRequest::Host,
            Unfit::Target => BadRequest::Target,
            Unfit::Connect => BadRequest::Connect,
            Unfit::Long => BadRequest::HeaderTooLarge,
        })),
        None => client.head(&mut requests, false).await.map_err(|none| cause_of(&none)),
    };
    let mut head = match head {
        Ok(head) => head,
        Err(cause) => {
            answering::refuse(lane, &mut client, peer, cause).await;
            return;
        }
    };
    head.version = Version::HTTP_2;
    let bytes = client.inbox.split(head.length);
    let request =
        request::Request::new(lane, &mut client, peer, &head, bytes.bytes(), requests.lines());
    let then = request.serve(&mut ResponseReader::default()).await;
    let Socket::Stream(stream) = &mut client.socket else { return };
    match then {
        Then::Break => stream.reset(Reason::INTERNAL_ERROR),
        // Some clients throw an answer away when its stream is reset before they have sent all of theirs.
        _ if !stream.has_all() => client.linger().await,
        _ => {}
    }
}
