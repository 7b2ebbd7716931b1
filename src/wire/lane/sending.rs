//! A request on its way to an upstream: its body from the client in, and to the next upstream again if
//! that is to be asked.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::HeaderMap;

use super::super::socket::Socket;
use super::client::Client;
use super::pump::{Broken, Passes, Pump};
use crate::config::ClientLimits;
use crate::exchange::{REPLAYED, Wait};
use crate::http::admission::Upload;
use crate::http::codec::body::BodyReader;
use crate::http::codec::framing::Framing;
use crate::http::failure::{BadRequest, Cause};
use crate::http::trailers;

/// What is to be sent of a request.
pub(super) struct Sending {
    pump: Pump,
    is_chunked: bool,
    state: State,
    /// Whether nothing of it has been tried yet: the wait for its answer began with its beginning.
    is_fresh: bool,
    withholds_trailers: bool,
    /// What was read of its body, as it is sent again; none once it is too long.
    replay: Option<Vec<u8>>,
    /// Bytes of its body that have come.
    received: u64,
    /// For how long more of it was waited for.
    spent: Duration,
    awaits: Awaits,
}

/// Whether its client is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    Nothing,
    /// So long as it is not silent for too long.
    More,
    /// So long as it comes fast enough.
    Faster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More is to be sent.
    UnderWay,
    /// All of it has been written.
    Done,
    /// The upstream takes no more of it; it may have answered all the same.
    Refused,
}

impl Sending {
    /// Of a request whose body is framed so, and read so; with the names of the trailers that it has
    /// announced.
    pub(super) fn new(framing: Framing, body: BodyReader, announced: Option<Box<[u8]>>) -> Sending {
        let is_chunked = framing == Framing::Chunked;
        let passes = announced.map_or(Passes::Nothing, Passes::Announced);
        let pump = Pump::new(body, is_chunked, Vec::new()).passing(passes);
        let (state, replay, spent) = (State::UnderWay, Some(Vec::new()), Duration::ZERO);
        Sending {
            pump,
            is_chunked,
            state,
            is_fresh: true,
            withholds_trailers: false,
            replay,
            received: 0,
            spent,
            awaits: Awaits::Nothing,
        }
    }

    /// Of its body no more than so much may come.
    pub(super) fn bound(&mut self, most: u64) {
        self.pump.bound(most);
    }

    /// Begins with this head, which has this framing's fields; with what was read of the body already
    /// behind it. `hear` is told of that. `in_frames`: frames take the place of chunks, if it has any.
    pub(super) fn begin(
        &mut self,
        mut head: Vec<u8>,
        in_frames: bool,
        (client, now): (&mut Client, Instant),
        mut hear: impl FnMut(Option<&[u8]>, bool),
    ) {
        self.pump.frame_anew(self.is_chunked && !in_frames);
        if let Some(replayed) = self.replay.as_ref().filter(|replayed| !replayed.is_empty()) {
            hear(Some(replayed), false);
            self.pump.frame(replayed, &mut head);
        }
        if self.pump.is_over() {
            hear(None, true);
        }
        self.pump.restart(head, &mut client.inbox);
        (self.state, self.is_fresh) = (State::UnderWay, true);
        client.timer.restart_at(now);
    }

    /// Nothing goes on behind its body.
    pub(super) fn withhold_trailers(&mut self) {
        self.withholds_trailers = true;
        self.pump.withhold_trailers();
    }

    /// Sends what can be sent, or says why the request has come to an end.
    pub(super) fn poll(
        &mut self,
        client: &mut Client,
        to: &mut Socket,
        cx: &mut Context<'_>,
        mut hear: impl FnMut(Option<&[u8]>, bool),
    ) -> Result<(), Cause> {
        if self.state != State::UnderWay {
            return Ok(());
        }
        let Sending { pump, replay, received, .. } = self;
        let before = pump.moved;
        let sent = pump.poll((&mut client.socket, &mut client.inbox), to, cx, |piece, is_end| {
            keep(replay, piece);
            *received += piece.map_or(0, |piece| piece.len() as u64);
            hear(piece, is_end);
        });
        let is_at_once = std::mem::take(&mut self.is_fresh) && sent.is_ready();
        if pump.moved != before && !is_at_once {
            if std::mem::replace(&mut self.awaits, Awaits::Nothing) != Awaits::Nothing {
                self.spent += client.timer.waited();
            }
            client.timer.restart();
        }
        let Poll::Ready(sent) = sent else { return Ok(()) };
        if !is_at_once {
            client.timer.restart();
        }
        self.state = match sent {
            Ok(()) => {
                let mut behind = HeaderMap::new();
                if to.is_stream() && !self.withholds_trailers {
                    trailers::write(self.pump.trailers(), &mut behind);
                }
                to.end_message(behind);
                State::Done
            }
            Err(Broken::Writing) => State::Refused,
            Err(Broken::Reading) => return Err(Cause::ClientGone),
            Err(Broken::TooLong) => return Err(Cause::BodyTooLarge),
            Err(Broken::Malformed) => return Err(Cause::BadRequest(BadRequest::Malformed)),
        };
        Ok(())
    }

    /// The names of trailers that may follow its body.
    pub(super) fn announced(&self) -> Option<&[u8]> {
        self.pump.announced()
    }

    /// Whether more is to be sent.
    pub(super) fn is_under_way(&self) -> bool {
        self.state == State::UnderWay
    }

    /// Whether all of it has been sent.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether nothing more of it is to come from the client.
    pub(super) fn is_read(&self) -> bool {
        self.pump.is_over() || self.pump.body().is_complete() && !self.pump.is_writing()
    }

    /// Whether the body of one that is framed so has yet to come, if so many bytes have. Where its end
    /// is not known before all of it has been read, it has.
    pub(super) fn to_come(framing: Framing, here: usize) -> Upload {
        match framing {
            Framing::Empty => Upload::Done,
            Framing::Length(length) if length <= here as u64 => Upload::Done,
            _ => Upload::ToCome,
        }
    }

    /// Whether it has no body at all.
    pub(super) fn is_empty(&self) -> bool {
        self.pump.body().is_complete() && self.replay.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether its body has yet to come.
    pub(super) fn upload(&self) -> Upload {
        let is_whole = self.pump.is_over() || self.pump.body().is_complete();
        if is_whole { Upload::Done } else { Upload::ToCome }
    }

    /// Whether it can be sent again.
    pub(super) fn can_replay(&self) -> bool {
        self.replay.is_some()
    }

    /// It will not be sent again.
    pub(super) fn forget(&mut self) {
        self.replay = None;
    }

    /// How long to wait for what is waited for, and what has failed if it does not come.
    pub(super) fn due(&mut self, wait: Wait, limits: &ClientLimits) -> (Duration, Cause) {
        self.awaits = Awaits::Nothing;
        match wait {
            Wait::Nothing => (Duration::MAX, Cause::Internal),
            // The upstream has taken all that there is.
            Wait::Request(_) if self.is_under_way() && !self.pump.is_writing() => {
                let left = self.left(limits);
                let is_nearer = left < limits.body_timeout;
                self.awaits = if is_nearer { Awaits::Faster } else { Awaits::More };
                (left.min(limits.body_timeout), Cause::ClientTimeout)
            }
            Wait::Talk(_, within) if self.is_under_way() && self.pump.is_writing() => {
                (within, Cause::ResponseTimeout)
            }
            Wait::Talk(within, _) => (within, Cause::Quiet),
            Wait::Request(within)
            | Wait::Answer(within)
            | Wait::Rest(within)
            | Wait::Tunnel(within, _) => (within, Cause::ResponseTimeout),
        }
    }

    /// For how long more of its body may be waited for now, so that all of it so far has come fast
    /// enough. What an upstream takes its time for is not counted.
    fn left(&self, limits: &ClientLimits) -> Duration {
        if limits.body_rate == 0 {
            return Duration::MAX;
        }
        let earned = Duration::from_secs_f64(self.received as f64 / limits.body_rate as f64);
        (limits.body_grace + earned).saturating_sub(self.spent)
    }

    /// Whether what was waited for in vain was that its body comes faster.
    pub(super) fn is_too_slow(&self) -> bool {
        self.awaits == Awaits::Faster
    }
}

fn keep(replay: &mut Option<Vec<u8>>, piece: Option<&[u8]>) {
    let (Some(kept), Some(piece)) = (&mut *replay, piece) else { return };
    match kept.len() + piece.len() <= REPLAYED {
        true => kept.extend_from_slice(piece),
        false => *replay = None,
    }
}
