//! Where one client connection stands: what the request that it carries waits for in, a deadline
//! out.
//!
//! Between requests, and until a head is whole, the waits are the connection's own. From then on
//! they are the request's: the lane passes each on, the stream says when bytes move, the watch
//! asks what is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::stop::Stop;
use crate::clock::Clock;
use crate::config::ClientLimits;
use crate::exchange::Wait;
use crate::http::forwarded::Peer;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// The first byte of a request.
    Idle = 0,
    /// The rest of a request's head.
    Head = 1,
    /// Anything after the head, while the request's body comes in.
    Exchange = 2,
    /// The next bytes in a tunnel.
    Tunnel = 3,
    /// The final head of the answer to a request that has come in whole.
    Answer = 4,
    /// The rest of that answer.
    Rest = 5,
}

/// What lane and stream know of one client connection. One task uses both, so the atomics are
/// there for `Sync` and never contended.
///
/// A deadline is set as a length only. Its clock starts when the stream first has to wait, so that
/// what comes at once never costs a look at the time, and starts anew whenever bytes move, except
/// while a head is awaited, a client's or an upstream's.
#[derive(Debug)]
pub struct Connection {
    /// The other end.
    pub peer: Peer,
    clock: Clock,
    opened: Instant,
    limits: ClientLimits,
    pub(super) stop: Arc<Stop>,
    phase: AtomicU8,
    /// Nanoseconds that the wait under way may take; 0 for any.
    within: AtomicU64,
    /// Nanoseconds after `opened` at which it is over; 0 while its clock has not started.
    due: AtomicU64,
    /// Nanoseconds after `opened` at which a tunnel is over, whatever moves in it; 0 for never.
    until: AtomicU64,
    is_overdue: AtomicBool,
    /// Whether a read has failed for being late: then pingora knows.
    is_told: AtomicBool,
}

impl Connection {
    /// A connection just accepted; its first head is due.
    pub fn new(peer: Peer, limits: ClientLimits, clock: Clock, stop: Arc<Stop>) -> Connection {
        let connection = Connection {
            opened: peer.since,
            peer,
            clock,
            limits,
            stop,
            phase: AtomicU8::new(Phase::Head as u8),
            within: AtomicU64::new(0),
            due: AtomicU64::new(0),
            until: AtomicU64::new(0),
            is_overdue: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
        };
        connection.enter(Phase::Head, Some(connection.limits.header_timeout));
        connection
    }

    /// The head is complete, or another upstream is to be asked; nothing is waited for yet, and
    /// what was overdue is so no more.
    pub fn begin_exchange(&self) {
        self.is_overdue.store(false, Ordering::Relaxed);
        self.is_told.store(false, Ordering::Relaxed);
        self.follow(Wait::Nothing);
    }

    /// The request that it carries waits for this.
    pub fn follow(&self, wait: Wait) {
        match wait {
            Wait::Nothing => self.enter(Phase::Exchange, None),
            Wait::Request(within) => self.enter(Phase::Exchange, Some(within)),
            Wait::Tunnel(within) => {
                self.enter(Phase::Tunnel, Some(within));
                self.bound_tunnel();
            }
            Wait::Answer(within) => self.enter(Phase::Answer, Some(within)),
            Wait::Rest(within) => self.enter(Phase::Rest, Some(within)),
        }
    }

    /// The answer is written; the next byte begins a request.
    pub fn end_exchange(&self) {
        let keepalive = self.limits.keepalive;
        let within = self.stop.bounds().map_or(keepalive, |bounds| bounds.idle.min(keepalive));
        self.enter(Phase::Idle, Some(within));
    }

    /// The process stops: what only waits does so for less long from now on.
    pub(super) fn on_stop(&self) {
        if self.is_phase(Phase::Idle) {
            self.end_exchange();
        } else if self.is_phase(Phase::Tunnel) {
            self.bound_tunnel();
        }
    }

    fn bound_tunnel(&self) {
        if let Some(bounds) = self.stop.bounds() {
            self.until.store(self.after(bounds.tunnels), Ordering::Relaxed);
        }
    }

    /// A time from now on in nanoseconds after `opened`, never 0.
    fn after(&self, within: Duration) -> u64 {
        let elapsed = self.clock.now().saturating_duration_since(self.opened);
        nanoseconds(elapsed).saturating_add(nanoseconds(within)).max(1)
    }

    /// Whether a deadline has passed.
    pub fn is_overdue(&self) -> bool {
        self.is_overdue.load(Ordering::Relaxed)
    }

    /// A deadline has passed.
    pub(super) fn set_overdue(&self) {
        self.is_overdue.store(true, Ordering::Relaxed);
    }

    /// Whether a read has failed for it: then the lane knows, and ends the request in its own way.
    pub(super) fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Relaxed)
    }

    /// A read fails for it.
    pub(super) fn set_told(&self) {
        self.is_told.store(true, Ordering::Relaxed);
    }

    /// When a client that takes nothing must have taken more.
    pub(super) fn send_due(&self) -> Instant {
        self.clock.now() + self.limits.send_timeout
    }

    fn enter(&self, phase: Phase, within: Option<Duration>) {
        let within = within.filter(|within| *within != Duration::MAX);
        // 0 stands for any time, so that no time at all is the next to it.
        let within = within.map_or(0, |within| nanoseconds(within).max(1));
        self.within.store(within, Ordering::Relaxed);
        self.due.store(0, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is_phase(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// Whether the request has come in whole and only the answer is waited for.
    pub(super) fn awaits_answer(&self) -> bool {
        self.phase.load(Ordering::Relaxed) >= Phase::Answer as u8
    }

    /// Bytes have moved. A head's deadline is for the whole of it, so there they change nothing:
    /// neither a client's drip, nor interim responses that an upstream sends instead of an answer.
    pub(super) fn on_bytes(&self) {
        if self.is_phase(Phase::Idle) {
            self.enter(Phase::Head, Some(self.limits.header_timeout));
        } else if !(self.is_phase(Phase::Head) || self.is_phase(Phase::Answer)) {
            self.due.store(0, Ordering::Relaxed);
        }
    }

    /// The end of the wait under way, whose clock starts now if it has not started.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = match self.within.load(Ordering::Relaxed) {
            0 => u64::MAX,
            within => self.due_of(within),
        };
        let due = match self.until.load(Ordering::Relaxed) {
            0 => due,
            until => due.min(until),
        };
        (due < u64::MAX).then(|| self.opened + Duration::from_nanos(due))
    }

    fn due_of(&self, within: u64) -> u64 {
        let mut due = self.due.load(Ordering::Relaxed);
        if due == 0 {
            due = self.after(Duration::from_nanos(within));
            self.due.store(due, Ordering::Relaxed);
        }
        due
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
