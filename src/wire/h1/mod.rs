//! The HTTP/1.1 lane: a client's connection in, its requests through the exchange and their bytes to
//! upstreams and back out.
//!
//! What a message is says the codec (`http/codec/`), what becomes of a request the exchange; here
//! bytes move and time passes. One task a connection and none a request; a connection that waits for
//! its next request holds no room for bytes (`buffer.rs`), and one timer bounds all its waits
//! (`timer.rs`). `client.rs` is the client's side, `kept.rs` has the connections to upstreams between
//! two requests. `request.rs` takes one request from upstream to upstream until one answers: `target.rs`
//! is what it asks for, `sending.rs` the request on its way, `relay.rs` the answer, `answering.rs` what
//! we say ourselves. `pump.rs` moves a body, `heads.rs` writes what is before it.

pub(super) mod answering;
pub(super) mod buffer;
pub(super) mod client;
mod heads;
pub(super) mod kept;
mod pump;
mod relay;
pub(super) mod request;
mod sending;
mod target;
pub(super) mod timer;

use std::sync::Arc;
use std::time::Duration;

use super::h2::server as http2;
use super::h2::upstreams::Upstreams;
use super::limited::{Limit, Limited};
use super::mirror::Mirrors;
use super::socket::Socket;
use super::stop::{Bounds, Stop};
use crate::clock::Clock;
use crate::config::Speaks;
use crate::http::codec::Malformed;
use crate::http::codec::request::RequestReader;
use crate::http::codec::response::ResponseReader;
use crate::http::failure::{BadRequest, Cause};
use crate::http::forwarded::Peer;
use crate::record::Reader;
use crate::snapshot::Published;
use client::{Client, NoHead};
use kept::Kept;
use request::{Request, Then};

/// How often connections to upstreams that nobody needs are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// What there is to serve with.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    /// Threads that move requests; one at least.
    pub workers: usize,
    /// Connections to upstreams that may be kept for the next request.
    pub kept: usize,
}

/// How a client's connection goes on behind the requests that were there.
enum Behind {
    /// It waits for more.
    Waits,
    /// It has ended, or is to.
    Over,
    /// It goes on in HTTP/2: nothing but the beginning of that has come.
    Http2,
}

/// Serves connections.
pub struct Lane {
    pub(super) published: Arc<Published>,
    reader: Arc<dyn Reader>,
    pub(super) clock: Clock,
    mirrors: Mirrors,
    kept: Kept,
    upstreams: Upstreams,
    pub(super) stop: Arc<Stop>,
    pub(super) limited: Arc<Limited>,
}

impl Lane {
    /// Serves what is published. The reader gets the records of requests, `mirrors` the copies of some.
    pub fn new(
        published: Arc<Published>,
        reader: Arc<dyn Reader>,
        clock: Clock,
        means: Means,
        mirrors: Mirrors,
    ) -> Lane {
        let kept = Kept::new(means.workers, means.kept);
        let upstreams = Upstreams::new(means.workers);
        let (stop, limited) = (Arc::default(), Arc::default());
        Lane { published, reader, clock, mirrors, kept, upstreams, stop, limited }
    }

    /// Has each connection end: with the next answer, or when it has said nothing for as long as
    /// this.
    pub fn wind_down(&self, bounds: Bounds) {
        self.published.wind_down();
        self.stop.call(bounds);
    }

    /// Memory is short: kept connections may say nothing for so long; none for as long as ever.
    pub fn squeeze(&self, idle: Option<Duration>) {
        self.stop.squeeze(idle);
    }

    /// Connections that a limit has ended, and a place to count those that one has refused.
    pub fn limited(&self) -> &Arc<Limited> {
        &self.limited
    }

    /// The same, while another process goes on: who is held is held.
    pub fn leave(&self, bounds: Bounds) {
        self.published.leave();
        self.stop.call(bounds);
    }

    /// How many tunnels there are.
    pub fn tunnels(&self) -> usize {
        self.stop.tunnels()
    }

    /// Serves one connection to its end.
    pub async fn serve(self: &Arc<Lane>, socket: Socket, peer: Peer, speaks: Speaks) {
        let limits = self.published.load().config.server.client.clone();
        let mut client = Client::new(socket, limits, self.clock, self.stop.clone());
        let (mut requests, mut responses) = (RequestReader::default(), ResponseReader::default());
        let mut is_first = true;
        while client.has_request(is_first).await {
            // All that is needed while there are requests and not while there are none: most of a
            // future's size.
            let readers = (&mut requests, &mut responses);
            let how = (speaks, !is_first);
            match Box::pin(self.serve_requests(&mut client, &peer, readers, how)).await {
                Behind::Waits => is_first = false,
                Behind::Over => return,
                Behind::Http2 => {
                    let Client { socket, inbox, .. } = client;
                    return Box::pin(http2::serve(self, socket, inbox, peer)).await;
                }
            }
        }
        if client.was_squeezed {
            self.limited.count(Limit::MemoryIdle);
        }
        client.close().await;
    }

    /// Serves the requests that are there; how the connection goes on.
    async fn serve_requests(
        &self,
        client: &mut Client,
        peer: &Peer,
        (requests, responses): (&mut RequestReader, &mut ResponseReader),
        (speaks, is_next): (Speaks, bool),
    ) -> Behind {
        let mut is_next = is_next;
        loop {
            let head = match client.head(requests, is_next).await {
                Ok(head) if speaks.http1 => head,
                Ok(_) => {
                    let cause = Cause::BadRequest(BadRequest::Http1);
                    answering::refuse(self, client, peer, cause).await;
                    return Behind::Over;
                }
                Err(NoHead::Gone) => return Behind::Over,
                // It begins a connection, and nothing else.
                Err(NoHead::Malformed(Malformed::Http2)) if speaks.http2 && !is_next => {
                    return Behind::Http2;
                }
                Err(none) => {
                    answering::refuse(self, client, peer, cause_of(&none)).await;
                    return Behind::Over;
                }
            };
            is_next = true;
            client.requests += 1;
            let bytes = client.inbox.split(head.length);
            let request = Request::new(self, client, peer, &head, bytes.bytes(), requests.lines());
            let then = request.serve(responses).await;
            client.forget_end();
            match then {
                Then::Next if client.inbox.is_empty() => return Behind::Waits,
                Then::Next => {}
                Then::Close => {
                    client.close().await;
                    return Behind::Over;
                }
                Then::Break => return Behind::Over,
                Then::Linger => {
                    client.linger().await;
                    return Behind::Over;
                }
            }
        }
    }

    /// Closes connections to upstreams that nobody needs, for ever.
    pub async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let (now, snapshot) = (self.clock.now(), self.published.load());
            let known = kept::targets(&snapshot);
            self.kept.sweep(now, &known);
            self.upstreams.sweep(now, |to| known.contains(to));
        }
    }
}

/// What is wrong with what is no request.
pub(super) fn cause_of(none: &NoHead) -> Cause {
    match none {
        NoHead::Gone => Cause::ClientGone,
        NoHead::Late => Cause::ClientTimeout,
        NoHead::Malformed(malformed) => Cause::BadRequest(rule(*malformed)),
    }
}

/// Which rule it breaks.
fn rule(malformed: Malformed) -> BadRequest {
    match malformed {
        Malformed::TooLong | Malformed::TooManyFields => BadRequest::HeaderTooLarge,
        Malformed::Target => BadRequest::Target,
        Malformed::FieldName | Malformed::SpaceBeforeColon => BadRequest::FieldName,
        Malformed::FieldValue => BadRequest::FieldValue,
        Malformed::ContentLength => BadRequest::ContentLength,
        Malformed::TransferEncoding => BadRequest::TransferEncoding,
        Malformed::TwoFramings => BadRequest::TwoFramings,
        Malformed::Tls => BadRequest::Tls,
        Malformed::ProxyHeader => BadRequest::ProxyHeader,
        Malformed::Http2 => BadRequest::Http2,
        Malformed::Version => BadRequest::Version,
        Malformed::Connect => BadRequest::Connect,
        _ => BadRequest::Malformed,
    }
}
