//! The wait for a place: a refusal that may pass in, a place or a refusal that stands out.

use std::time::Duration;

use tokio::time::timeout;

use super::Exchange;
use crate::balance::Waiting;
use crate::route::Facts;
use crate::snapshot::{Asks, Mode, Refusal, Why};

/// How a decision is asked for from a line.
const WAITED: Asks = Asks { waited: true, doubtful: false };

/// How much later than announced a hold may end.
const GRACE: Duration = Duration::from_secs(1);

/// Where to wait, and how long.
struct Line {
    most: usize,
    left: Duration,
}

impl Exchange {
    /// Waits in line, sees the snapshot in force when its turn has come, and is decided anew.
    pub(super) async fn wait(&mut self, facts: &Facts<'_>, first: Refusal) -> Result<(), Refusal> {
        self.has_waited = true;
        let mut refusal = first;
        let mut waiting: Option<Waiting> = None;
        loop {
            let stands =
                |refusal: Refusal| if refusal.why.may_pass() { Ok(refusal) } else { Err(refusal) };
            refusal = stands(refusal)?;
            let line = self.line(&refusal).ok_or(refusal)?;
            let place = self.join(waiting.take(), line.most, &refusal).ok_or(refusal)?;
            // Whoever made room before we stood in line has called nobody, so the first in line
            // looks again before it waits.
            let mut place = match self.is_first(&refusal) {
                true => match self.place(facts, WAITED) {
                    Ok(()) => return Ok(()),
                    Err(still) => {
                        refusal = stands(still)?;
                        place
                    }
                },
                false => place,
            };
            if timeout(line.left, &mut place).await.is_err() {
                return Err(refusal);
            }
            if refusal.why == Why::Held {
                // Its time for a place and for tries begins now.
                self.let_in = self.clock.now();
            }
            // Nothing is kept of the one before: what was at a place there may be gone here.
            self.snapshot = self.published.load();
            (self.pool, self.hold) = (None, None);
            match self.place(facts, WAITED) {
                // Leaving the line passes the turn on.
                Ok(()) => return Ok(()),
                Err(still) => refusal = still,
            }
            waiting = Some(place);
        }
    }

    fn line(&self, refusal: &Refusal) -> Option<Line> {
        let service = &self.snapshot.services[refusal.at?.0];
        let now = self.clock.now();
        match (refusal.why, &service.mode) {
            (Why::Held, Mode::Hold { most, until }) => Some(Line {
                most: *most,
                left: until.elapsed_since(self.snapshot.moment(now)) + GRACE,
            }),
            _ => {
                let limits = &service.stability.limits;
                let waited = now.saturating_duration_since(self.let_in);
                let left = limits.queue_timeout.saturating_sub(waited);
                (limits.queue > 0 && !left.is_zero()).then_some(Line { most: limits.queue, left })
            }
        }
    }

    fn join(&self, waiting: Option<Waiting>, most: usize, refusal: &Refusal) -> Option<Waiting> {
        match waiting {
            Some(waiting) => Some(waiting.again()),
            None => self.snapshot.services[refusal.at?.0].state.queue.join(most),
        }
    }

    fn is_first(&self, refusal: &Refusal) -> bool {
        refusal.at.is_some_and(|at| self.snapshot.services[at.0].state.queue.waiting() <= 1)
    }
}

impl Why {
    /// Whether waiting may help.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Why::Full | Why::Held)
    }
}
