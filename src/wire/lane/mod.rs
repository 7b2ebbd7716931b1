//! The lane: a request in, through the exchange to an upstream, and its answer back out.
//!
//! What a message is says the codec (`http/codec/`), what becomes of a request the exchange; here
//! bytes move and time passes, in whichever version of HTTP either side speaks. A connection that waits
//! for its next request holds no room for bytes (`buffer.rs`), and one timer bounds all its waits
//! (`timer.rs`). `client.rs` is the client's side, `kept.rs` has the connections to upstreams between
//! two requests. `door.rs` finds out what has to be known before a request is let in. `request.rs` takes one request from upstream to upstream until one answers: `target.rs`
//! is what it asks for, `sending.rs` the request on its way, `relay.rs` the answer, `answering.rs` what
//! we say ourselves. `pump.rs` moves a body, in a coding if `coder.rs` makes it smaller, `heads.rs` writes what is before it.

pub(super) mod answering;
pub(super) mod buffer;
pub(super) mod client;
mod door;
mod coder;
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

use super::h2::upstreams::Upstreams;
use super::limited::Limited;
use super::mirror::Mirrors;
use super::stop::{Bounds, Stop};
use crate::clock::Clock;
use crate::http::codec::Malformed;
use crate::http::failure::{BadRequest, Cause};
use crate::record::Reader;
use crate::snapshot::Published;
use crate::upstream::DialAddress;
use client::NoHead;
use coder::Coders;
use door::Checks;
use kept::Kept;

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

/// Serves connections.
pub struct Lane {
    pub(super) published: Arc<Published>,
    reader: Arc<dyn Reader>,
    pub(super) clock: Clock,
    mirrors: Mirrors,
    kept: Kept,
    upstreams: Upstreams,
    /// Where passwords are checked.
    checks: Checks,
    coders: Coders,
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
        let (checks, coders) = (Checks::default(), Coders::default());
        Lane { published, reader, clock, mirrors, kept, upstreams, checks, coders, stop, limited }
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

    /// Closes connections to upstreams that nobody needs, for ever.
    pub async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            if self.kept.is_empty() && self.upstreams.is_empty() {
                continue;
            }
            let (now, snapshot) = (self.clock.now(), self.published.load());
            // Before any shelf is locked: with thousands of upstreams it takes a while.
            let known = kept::targets(&snapshot);
            // Who has left needs none of those that said its address.
            let is_known = |to: &DialAddress| match to.speaking_for_nobody() {
                None => known.contains(to),
                Some(own) => !to.is_forsaken() && known.contains(&own),
            };
            self.kept.sweep(now, is_known);
            self.upstreams.sweep(now, is_known);
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
