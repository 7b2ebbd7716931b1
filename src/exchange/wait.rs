//! What a request waits for: how far it has got in, what must happen and how soon out.
//!
//! The lane asks after each thing that happens, and keeps the time. A request has one wait; a
//! connection that carries many has as many.

use std::time::{Duration, Instant};

use super::Exchange;
use crate::http::admission::Upload;
use crate::http::streaming::BodyKind;

/// What is waited for, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing that the client's or the upstream's bytes could end.
    Nothing,
    /// The rest of the request: the upstream must take what there is of it within this time. How
    /// long a client may take to send more is the connection's to say.
    Request(Duration),
    /// The next word of either side's, within the first time: their silence is nobody's failure. What the
    /// upstream is sent it must take within the second.
    Talk(Duration, Duration),
    /// The next bytes in a tunnel, within the first time; within the second while somebody takes nothing of
    /// what there is for them.
    Tunnel(Duration, Duration),
    /// The final head of the answer to a request that is here as a whole: within this time,
    /// whatever comes before it.
    Answer(Duration),
    /// The rest of that answer: it must go on within this time.
    Rest(Duration),
}

impl Exchange {
    /// When the client of a call waits no longer, as it has said.
    pub(super) fn ends(&self) -> Option<Instant> {
        let call = self.call?;
        let started = Duration::from_micros(self.started.micros());
        self.snapshot.origin().checked_add(started)?.checked_add(call)
    }

    /// How much longer its client waits, if it has said so.
    pub(super) fn call_left(&self) -> Option<Duration> {
        let call = self.call?;
        Some(call.saturating_sub(self.now().elapsed_since(self.started)))
    }

    /// What is waited for now.
    pub fn wait(&self) -> Wait {
        let Some(asking) = self.asking.as_ref() else { return Wait::Nothing };
        let Some(upload) = asking.upload else { return Wait::Nothing };
        let timeouts = self.timeouts();
        let (idle, stream_idle) = (timeouts.idle, timeouts.stream_idle);
        let is_stream = asking.kind != BodyKind::Whole;
        match (asking.status, upload) {
            (Some(101), _) => Wait::Tunnel(stream_idle, idle),
            // Who answers with a stream before all of the request is there has a talk with its client.
            (Some(_), Upload::ToCome) if is_stream => Wait::Talk(stream_idle, stream_idle),
            // Its client may say something only now and then, and be told nothing before.
            (None, Upload::ToCome) if self.may_talk() => Wait::Talk(stream_idle, idle),
            (_, Upload::ToCome) => Wait::Request(idle),
            (None, Upload::Done) => Wait::Answer(timeouts.response),
            // One that began early is bounded like any other once the request has come in.
            (Some(_), Upload::Done) => Wait::Rest(if is_stream { stream_idle } else { idle }),
        }
    }

    /// Whether both sides may talk for as long as they like: it says so, and who is asked speaks HTTP/2, as
    /// all do that know such calls. Anybody can say so, and others are not to be held open by it.
    fn may_talk(&self) -> bool {
        self.talks && self.pool_asked().is_some_and(|pool| pool.http2)
    }
}
