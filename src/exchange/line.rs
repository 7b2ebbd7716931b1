//! The wait for a place: a refusal that may pass in, a place or a refusal that stands out.
//!
//! A request stands in the line of what is full: its service's, or its pool's, so that a pool whose
//! upstreams are stuck keeps nobody from another. It may have to stand in both, one after the
//! other; then it keeps its place in the order of each.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::timeout;

use super::Exchange;
use crate::balance::{Queue, Waiting};
use crate::clock::Draws;
use crate::route::Facts;
use crate::snapshot::{Asks, Mode, Refusal, Why};

/// How much later than announced a hold may end.
const GRACE: Duration = Duration::from_secs(1);

/// How long a line may be, and how long to wait in it.
struct Bounds {
    most: usize,
    left: Duration,
}

/// The lines in which a request stood; in the last of them it stands.
#[derive(Default)]
struct Lines {
    all: SmallVec<[Waiting; 2]>,
    /// The snapshot is another since it last looked.
    are_new: bool,
}

impl Lines {
    /// Stands in this line and no other; no if it is full.
    fn stand_in(&mut self, queue: &Arc<Queue>, most: usize) -> bool {
        let known = self.all.iter().position(|line| line.is_in(queue));
        if !self.stands_in(queue) {
            self.all.last_mut().into_iter().for_each(Waiting::leave);
        }
        let line = match known {
            Some(at) => {
                let mut line = self.all.remove(at);
                line.again();
                Some(line)
            }
            None => queue.join(most),
        };
        line.map(|line| self.all.push(line)).is_some()
    }

    fn stands_in(&self, queue: &Arc<Queue>) -> bool {
        self.all.last().is_some_and(|line| line.is_in(queue))
    }

    fn stands_first(&mut self) -> bool {
        self.all.last_mut().is_some_and(Waiting::is_first)
    }
}

impl Exchange {
    /// Waits in line, sees the snapshot in force when its turn has come, and is decided anew, by
    /// these draws each time: a client without a cohort keeps its pool as long as the split stays.
    pub(super) async fn wait(
        &mut self,
        facts: &Facts<'_>,
        first: Refusal,
        draws: Draws,
    ) -> Result<(), Refusal> {
        self.has_waited = true;
        let since = self.clock.now();
        self.waits_since = Some(since);
        let placed = self.stand_in_line(facts, first, draws).await;
        self.waits_since = None;
        self.waited = self.clock.now().saturating_duration_since(since);
        placed
    }

    async fn stand_in_line(
        &mut self,
        facts: &Facts<'_>,
        first: Refusal,
        draws: Draws,
    ) -> Result<(), Refusal> {
        let mut refusal = first;
        let mut lines = Lines::default();
        loop {
            let (queue, most) = self.line(&refusal).ok_or(refusal)?;
            if !lines.stand_in(&queue, most) {
                self.count_turned_away(&refusal);
                return Err(refusal);
            }
            // Whoever made room or changed the rules before it stood there has called nobody, so
            // it looks again before it waits.
            self.renew(&mut lines);
            if lines.are_new || lines.stands_first() {
                refusal = match self.look(facts, &mut lines, &draws, refusal) {
                    Ok(()) => return Ok(()),
                    Err(still) => still,
                };
                if !self.is_in(&refusal, &lines) {
                    continue;
                }
            }
            let Bounds { left, .. } = self.bounds(&refusal).ok_or(refusal)?;
            let Some(line) = lines.all.last_mut() else { return Err(refusal) };
            if timeout(left, line).await.is_err() {
                // Leaving the line lets the next one look.
                return Err(refusal);
            }
            self.renew(&mut lines);
            refusal = match self.look(facts, &mut lines, &draws, refusal) {
                // Leaving the line passes the turn on.
                Ok(()) => return Ok(()),
                Err(still) => still,
            };
        }
    }

    /// Asks for a decision and a place once more.
    fn look(
        &mut self,
        facts: &Facts<'_>,
        lines: &mut Lines,
        draws: &Draws,
        before: Refusal,
    ) -> Result<(), Refusal> {
        if before.why == Why::Held {
            // Its time for a place and for tries begins when the hold is over.
            self.let_in = self.clock.now();
        }
        self.draws = draws.clone();
        let placed = self.place(facts, Asks { lines: &lines.all, doubtful: false });
        let are_new = std::mem::take(&mut lines.are_new);
        if let Err(still) = placed
            && are_new
            && self.is_in(&still, lines)
        {
            // What is still full for this one may not be what those behind want now.
            lines.all.last().into_iter().for_each(Waiting::call_behind);
        }
        placed
    }

    /// Takes the snapshot in force, if it is another.
    fn renew(&mut self, lines: &mut Lines) {
        let now = self.published.load();
        if Arc::ptr_eq(&now, &self.snapshot) {
            return;
        }
        // Nothing is kept of the one before: what was at a place there may be gone here.
        self.snapshot = now;
        (self.pool, self.hold) = (None, None);
        lines.all.drain(..lines.all.len().saturating_sub(1));
        lines.are_new = true;
    }

    /// The line to stand in after this refusal, and how long it may be; none if waiting is no use.
    fn line(&self, refusal: &Refusal) -> Option<(Arc<Queue>, usize)> {
        let Bounds { most, .. } = self.bounds(refusal)?;
        Some((self.queue(refusal)?.clone(), most))
    }

    fn queue(&self, refusal: &Refusal) -> Option<&Arc<Queue>> {
        let (service, pool) = refusal.at?;
        let service = &self.snapshot.services[service];
        match refusal.why {
            Why::Full | Why::Held => Some(&service.state.queue),
            Why::PoolFull => Some(&service.pools[pool].state.queue),
            _ => None,
        }
    }

    fn is_in(&self, refusal: &Refusal, lines: &Lines) -> bool {
        self.queue(refusal).is_some_and(|queue| lines.stands_in(queue))
    }

    fn bounds(&self, refusal: &Refusal) -> Option<Bounds> {
        if !refusal.why.may_pass() {
            return None;
        }
        let service = &self.snapshot.services[refusal.at?.0];
        let now = self.clock.now();
        match (refusal.why, &service.mode) {
            (Why::Held, Mode::Hold { most, until }) => Some(Bounds {
                most: *most,
                left: until.elapsed_since(self.snapshot.moment(now)) + GRACE,
            }),
            _ => {
                let limits = &service.stability.limits;
                let waited = now.saturating_duration_since(self.let_in);
                let left = limits.queue_timeout.saturating_sub(waited);
                (limits.queue > 0 && !left.is_zero()).then_some(Bounds { most: limits.queue, left })
            }
        }
    }

    fn count_turned_away(&self, refusal: &Refusal) {
        let Some((service, _)) = refusal.at else { return };
        let state = &self.snapshot.services[service].state;
        state.turned_away.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Why {
    /// Whether waiting may help.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Why::Full | Why::PoolFull | Why::Held)
    }
}

#[cfg(test)]
mod tests;
