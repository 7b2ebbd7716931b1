//! The phases of a request as types: what may happen in each in, the next phase out.
//!
//! Each borrows the exchange, and what ends a phase takes that borrow by value, so that a wrong
//! order does not compile and nothing large moves:
//!
//! ```text
//! Exchange::admit ─┬─ AtDoor ── checked, told ─┐
//!                  ├─ Line ── called, gave_up ─┤
//!                  ├───────────────────────────┴─ Admitted ── next ── Attempt ── head ── Relay ── done
//!                  └─ Answer                                     ▲       │
//!                                                                └─ Again ┴─ head, failed
//! ```
//!
//! What is over cannot be gone on with:
//!
//! ```compile_fail,E0382
//! use pointsman::exchange::phases::{Attempt, Delivery};
//! use pointsman::http::failure::Cause;
//!
//! fn fails_twice(attempt: Attempt<'_>, delivery: Delivery) {
//!     let _ = attempt.failed(Cause::Reset, delivery);
//!     let _ = attempt.failed(Cause::Reset, delivery);
//! }
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use http::header::{HeaderName, HeaderValue};

use super::door::AtDoor;
use super::line::Line;
use super::wait::Wait;
use super::{Exchange, Phase};
use crate::config::Timeouts;
use crate::http::admission::Upload;
use crate::http::answer::Answer;
use crate::http::compression::Compression;
use crate::http::edits::Edits;
use crate::http::failure::Cause;
use crate::http::forwarded::Peer;
use crate::http::response::Additions;
use crate::http::view::View;
use crate::mirror::Copied;
use crate::upstream::DialAddress;

/// What becomes of a request.
#[derive(Debug)]
#[must_use]
pub enum Admission<'e, 'r> {
    /// It goes to an upstream.
    Forward(Admitted<'e>),
    /// It stands in line for a place.
    Wait(Box<Line<'e, 'r>>),
    /// Something has to be found out before it is let in.
    Door(Box<AtDoor<'e, 'r>>),
    /// It is answered at once.
    Answer(Box<Answer>),
}

/// A request that goes to an upstream; its place there is taken.
#[derive(Debug)]
#[must_use]
pub struct Admitted<'e>(pub(super) &'e mut Exchange);

/// One attempt at one upstream, until the head of its answer or its failure.
#[derive(Debug)]
#[must_use]
pub struct Attempt<'e>(&'e mut Exchange);

/// An upstream's answer that is passed on.
#[derive(Debug)]
#[must_use]
pub struct Relay<'e>(&'e mut Exchange);

/// What follows from a head.
#[derive(Debug)]
#[must_use]
pub enum Next<'e> {
    /// An interim head is passed on, and the attempt goes on.
    Interim(Attempt<'e>),
    /// The head is passed on, and its body after it.
    Forward(Relay<'e>),
    /// Another attempt is made; its place is taken.
    Again(Attempt<'e>),
    /// The client is told of this.
    Answer(Cause),
}

/// How far a request had got on its way to the upstream, as only the lane knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whether the upstream may have seen any of it.
    pub was_sent: bool,
    /// Whether it was sent on a kept connection that turned out to be dead.
    pub was_stale: bool,
    /// Whether its body, if any, can be sent again.
    pub can_replay: bool,
}

/// The upstream's connection that an attempt goes out on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// One made for it.
    New,
    /// One kept from before.
    Kept,
}

/// A request as it goes on.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'r> {
    /// The method.
    pub method: &'r Method,
    /// What is asked for.
    pub path_and_query: &'r str,
    /// All fields.
    pub view: View<'r>,
}

impl<'e> Admitted<'e> {
    /// Whether it stood in line before.
    pub fn has_waited(&self) -> bool {
        self.0.has_waited
    }

    /// What becomes of the request's fields on the way to an upstream.
    pub fn edits(&self) -> &Edits {
        &self.0.edits
    }

    /// The first attempt.
    pub fn next(self) -> Attempt<'e> {
        self.0.phase = Phase::Asking;
        Attempt(self.0)
    }
}

impl<'e> Attempt<'e> {
    /// Where to dial.
    pub fn target(&self) -> &DialAddress {
        &self.0.asking().target
    }

    /// Has it be dialled for this request's client, where a connection says whom it is for. `own_end` is
    /// asked for our end of the client's connection where the peer does not say it.
    pub fn speak_for_client(&mut self, peer: &Peer, own_end: impl FnOnce() -> Option<SocketAddr>) {
        self.0.speak_for_client(peer, own_end);
    }

    /// Whether it is asked in HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.0.pool_asked().is_some_and(|pool| pool.http2)
    }

    /// The bounds of the service; the response's is that of this attempt.
    pub fn timeouts(&self) -> Timeouts {
        self.0.timeouts()
    }

    /// What it asks for, if that is not what the client did: a path, and a query if there is one.
    pub fn path_and_query(&self) -> Option<Arc<str>> {
        self.0.target()
    }

    /// How many bytes the request's body may have.
    pub fn body_limit(&self) -> u64 {
        self.0.body_limit
    }

    /// How long to wait before it begins.
    pub fn pause(&self) -> Duration {
        self.0.asking().pause
    }

    /// A `Host` for a request that named none, as one of HTTP/1.0 need not: the upstream's own address.
    /// It goes on as HTTP/1.1, which wants one (RFC 9112 section 3.2).
    pub fn host(&self) -> Option<HeaderValue> {
        if self.0.names_host {
            return None;
        }
        let upstream = &*self.0.asking().upstream().name;
        let host = if upstream.starts_with("unix:") { "localhost" } else { upstream };
        let localhost = HeaderValue::from_static("localhost");
        Some(HeaderValue::from_str(host).unwrap_or(localhost))
    }

    /// What becomes of the request's fields on the way to this upstream.
    pub fn edits(&self) -> &Edits {
        &self.0.edits
    }

    /// The id that the request is known by.
    pub fn request_id(&self) -> &[u8] {
        self.0.request_id.bytes()
    }

    /// Whether nothing goes on behind the request's body: rules of the file's own say which fields the
    /// upstream may not hear of, and to some a trailer is as good as a field.
    pub fn withholds_trailers(&self) -> bool {
        self.0.has_own_rules()
    }

    /// Whether the client's `Connection` names fields of its request, which go no further.
    pub fn nominates(&self) -> bool {
        self.0.nominates
    }

    /// Whether it asks for a switch of protocols that it may have.
    pub fn switches(&self) -> bool {
        self.0.asks_websocket
    }

    /// What is added to a head of the upstream's with this status.
    pub fn additions<'a>(&'a self, status: u16, peer: &'a Peer) -> Additions<'a> {
        self.0.additions(status, peer)
    }

    /// What is waited for now.
    pub fn wait(&self) -> Wait {
        self.0.wait()
    }

    /// When its client waits no longer, if it has said so.
    pub fn ends(&self) -> Option<Instant> {
        self.0.ends()
    }

    /// Whether another pool gets a copy of the request, which is made of what this upstream is sent.
    pub fn is_copied(&self) -> bool {
        self.0.mirroring.is_some()
    }

    /// Hears which connection it goes out on, and since when.
    pub fn connected(&mut self, link: Link, now: Instant) {
        self.0.note_link(link, now);
    }

    /// Hears that the head of the request goes out.
    pub fn request_head(&mut self, sent: &Sent<'_>, upload: Upload) {
        self.0.copy_head(sent);
        self.0.note_upload(upload);
    }

    /// Hears a piece of the request's body, and its end.
    pub fn request_body(&mut self, piece: Option<&[u8]>, is_end: bool) {
        self.0.note_request_body(piece, is_end);
    }

    /// Hears a head of the upstream's.
    pub fn head(self, status: u16, view: View<'_>, delivery: Delivery) -> Next<'e> {
        let Attempt(exchange) = self;
        match exchange.hear_head(status, view, delivery) {
            Heard::Interim => Next::Interim(Attempt(exchange)),
            Heard::Final => {
                exchange.phase = Phase::Relaying;
                Next::Forward(Relay(exchange))
            }
            Heard::Again => Next::Again(Attempt(exchange)),
            Heard::Withheld => Next::Answer(Cause::NoUpstream),
            Heard::Unfit => match Attempt(exchange).failed(Cause::BadResponse, delivery) {
                Ok(again) => Next::Again(again),
                Err(cause) => Next::Answer(cause),
            },
        }
    }

    /// Hears that it came to nothing: the next one, whose place is taken, or what the client is told.
    pub fn failed(self, cause: Cause, delivery: Delivery) -> Result<Attempt<'e>, Cause> {
        match self.0.hear_failure(cause, delivery) {
            true => Ok(self),
            false => Err(cause),
        }
    }
}

/// What an upstream's head is taken for.
pub(super) enum Heard {
    /// More heads will come.
    Interim,
    /// Its answer.
    Final,
    /// An answer that is given up for a better one; its place is taken.
    Again,
    /// An answer that is not shown: it failed a trial, and the client gets a fallback.
    Withheld,
    /// What may not be passed on.
    Unfit,
}

impl Relay<'_> {
    /// What is added to the upstream's head, which has this status.
    pub fn additions<'a>(&'a self, status: u16, peer: &'a Peer) -> Additions<'a> {
        self.0.additions(status, peer)
    }

    /// What is waited for now.
    pub fn wait(&self) -> Wait {
        self.0.wait()
    }

    /// When its client waits no longer, if it has said so.
    pub fn ends(&self) -> Option<Instant> {
        self.0.ends()
    }

    /// How long its connection to the upstream may wait for the next request.
    pub fn pool_idle(&self) -> Duration {
        self.0.pool_idle()
    }

    /// What its service makes smaller, if anything.
    pub fn compression(&self) -> Option<&Compression> {
        self.0.compression()
    }

    /// Who answers.
    pub fn target(&self) -> &DialAddress {
        &self.0.asking().target
    }

    /// Hears a piece of the request's body, which may still be coming in, and its end.
    pub fn request_body(&mut self, piece: Option<&[u8]>, is_end: bool) {
        self.0.note_request_body(piece, is_end);
    }

    /// Hears a piece of the answer's body, and its end.
    pub fn body(&mut self, piece: Option<&[u8]>, is_end: bool) {
        self.0.note_body(piece, is_end);
    }

    /// Fields that the client does not get from behind the body.
    pub fn withheld(&self) -> Vec<HeaderName> {
        self.0.withheld()
    }

    /// Hears what comes behind the body.
    pub fn trailers(&mut self, view: View<'_>) {
        self.0.hear_trailers(view);
    }

    /// Hears that the client has all of it, and since when.
    pub fn told(&mut self, now: Instant) {
        self.0.note_end(now);
    }

    /// Hears that it was cut off.
    pub fn failed(self, cause: Cause) {
        self.0.hear_cut(cause);
    }

    /// Ends the request: the client has all of the answer. Gives its copy for another pool.
    pub fn done(self, request: &Sent<'_>) -> Option<Copied> {
        let told = self.0.asking.as_ref().and_then(|asking| asking.status);
        self.0.end(told, request)
    }
}

/// For tests, which do not keep a borrow between two calls.
#[cfg(any(test, fuzzing))]
impl Exchange {
    /// The attempt under way, or the first one of a request that has been admitted.
    pub fn attempt(&mut self) -> Option<Attempt<'_>> {
        match self.phase {
            Phase::Admitted => Some(Admitted(self).next()),
            Phase::Asking => Some(Attempt(self)),
            _ => None,
        }
    }

    /// The answer that is passed on.
    pub fn relay(&mut self) -> Option<Relay<'_>> {
        (self.phase == Phase::Relaying).then_some(Relay(self))
    }
}
