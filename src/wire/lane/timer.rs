//! How long a connection waits: what it waits for and the time in, whether it is late out.
//!
//! One timer a connection. The clock of a wait starts when the connection first has to wait, so that
//! what comes at once never costs a look at the time.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::sync::futures::OwnedNotified;
use tokio::task::coop::unconstrained;
use tokio::time::Sleep;

use super::super::stop::{Bounds, Stop};
use crate::clock::Clock;

/// The time of one connection.
pub(in crate::wire) struct Timer {
    clock: Clock,
    alarm: Alarm,
    /// When the wait under way began; none while its clock has not started.
    since: Option<Instant>,
    stop: Arc<Stop>,
    /// What wakes the connection when the process stops, since it first waited for what ends then; asked
    /// once, as its task stays the same.
    called: Option<Pin<Box<OwnedNotified>>>,
    /// Whether it was told that the process stops.
    is_told: bool,
    /// The last call for lack of memory that was heard.
    squeezes: u32,
    /// When a tunnel is over whatever moves in it: set once the process stops.
    until: Option<Instant>,
}

/// Why a tunnel is over that nobody has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunnelOver {
    /// Nothing has moved in it for too long.
    Quiet,
    /// The process stops.
    Stopping,
}

impl Timer {
    pub(in crate::wire) fn new(clock: Clock, stop: Arc<Stop>) -> Timer {
        let (alarm, since, called, until) = (Alarm::default(), None, None, None);
        Timer { clock, alarm, since, stop, called, is_told: false, squeezes: 0, until }
    }

    /// Something has happened that was waited for: the next wait has a time of its own.
    pub(in crate::wire) fn restart(&mut self) {
        self.since = None;
    }

    /// The same, and that was at this time.
    pub(in crate::wire) fn restart_at(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Since when what is waited for has been waited for, to be resumed behind another wait.
    pub(in crate::wire) fn begun(&self) -> Option<Instant> {
        self.since
    }

    /// For how long what is waited for has been waited for.
    pub(super) fn waited(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| self.clock.now().saturating_duration_since(since))
    }

    /// Whether memory is short, so that waits for nothing are.
    pub(in crate::wire) fn is_squeezed(&self) -> bool {
        self.stop.squeezed().is_some()
    }

    /// Goes on with a wait that began then.
    pub(in crate::wire) fn resume(&mut self, begun: Option<Instant>) {
        self.since = begun;
    }

    /// Whether the wait under way has lasted for so long; if not, the task is woken when it has.
    pub(in crate::wire) fn poll_late(&mut self, within: Duration, cx: &mut Context<'_>) -> bool {
        if within == Duration::MAX {
            return false;
        }
        let since = *self.since.get_or_insert_with(|| self.clock.now());
        self.alarm.poll_due(since + within, cx)
    }

    /// Whether this time has come, whatever moves; if not, the task is woken when it has.
    pub(in crate::wire) fn poll_over(&mut self, at: Instant, cx: &mut Context<'_>) -> bool {
        self.alarm.poll_due(at, cx)
    }

    /// The same of a client that may say something, or nothing, for so long; less once the process
    /// stops or while memory is short.
    pub(in crate::wire) fn poll_idle(&mut self, within: Duration, cx: &mut Context<'_>) -> bool {
        if self.poll_stop(cx) {
            self.since = None;
        }
        let stop = self.stop.bounds().map_or(within, |bounds| bounds.idle);
        let squeezed = self.stop.squeezed().unwrap_or(within);
        self.poll_late(within.min(stop).min(squeezed), cx)
    }

    /// Why a tunnel is over in which nothing moves for so long; once the process stops it ends in
    /// time all the same.
    pub(super) fn poll_tunnel(
        &mut self,
        within: Duration,
        cx: &mut Context<'_>,
    ) -> Option<TunnelOver> {
        self.poll_stop(cx);
        if let Some(Bounds { tunnels, .. }) = self.stop.bounds() {
            let until = *self.until.get_or_insert_with(|| self.clock.now() + tunnels);
            if self.alarm.poll_due(until, cx) {
                return Some(TunnelOver::Stopping);
            }
        }
        self.poll_late(within, cx).then_some(TunnelOver::Quiet)
    }

    /// Whether the process stops.
    pub(in crate::wire) fn is_stopping(&self) -> bool {
        self.stop.bounds().is_some()
    }

    /// Asks once to be woken when the process stops; says once that it does.
    fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_told {
            return false;
        }
        let squeezes = self.stop.squeezes();
        // A call for lack of memory is one of these, and uses it up.
        if self.called.is_none() || squeezes != self.squeezes {
            self.squeezes = squeezes;
            let called = self.called.insert(Box::pin(self.stop.called()));
            // Whether it has been called is seen below.
            let _ = called.as_mut().poll(cx);
        }
        self.is_told = self.stop.bounds().is_some();
        if self.is_told {
            self.called = None;
        }
        self.is_told
    }
}

/// A timer that follows a moving deadline.
///
/// It runs to the earliest deadline it was ever set to and only then looks for the one in force:
/// deadlines move with every request, timers are too dear to move along.
#[derive(Debug, Default)]
struct Alarm(Option<Set>);

/// One that is set.
#[derive(Debug)]
struct Set {
    timer: Pin<Box<Sleep>>,
    /// Whom it wakes.
    wakes: Waker,
}

impl Alarm {
    /// Whether this time has come; if not, the task is woken when it does.
    fn poll_due(&mut self, due: Instant, cx: &mut Context<'_>) -> bool {
        let due = tokio::time::Instant::from_std(due);
        let Set { timer, wakes } = match &mut self.0 {
            // Nearly always: to ask it again costs as much as all the rest.
            Some(Set { timer, wakes })
                if timer.deadline() <= due
                    && !timer.is_elapsed()
                    && wakes.will_wake(cx.waker()) =>
            {
                return false;
            }
            set => set.get_or_insert_with(|| {
                let timer = Box::pin(tokio::time::sleep_until(due));
                Set { timer, wakes: cx.waker().clone() }
            }),
        };
        wakes.clone_from(cx.waker());
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        // Also by a task that has had its turn: a timer that is not polled wakes nobody.
        while pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
            if timer.deadline() >= due {
                return true;
            }
            timer.as_mut().reset(due);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::task::coop;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn an_alarm_rings_for_who_has_had_its_turn_when_it_was_set() {
        let due = Instant::now() + Duration::from_millis(20);
        let mut alarm = Alarm::default();
        let rings = tokio::spawn(poll_fn(move |cx| {
            while coop::has_budget_remaining() {
                match coop::poll_proceed(cx) {
                    Poll::Ready(turn) => turn.made_progress(),
                    Poll::Pending => break,
                }
            }
            if alarm.poll_due(due, cx) { Poll::Ready(()) } else { Poll::Pending }
        }));
        timeout(Duration::from_secs(60), rings).await.unwrap().unwrap();
    }
}
