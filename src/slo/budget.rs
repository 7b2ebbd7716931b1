//! One objective's error budget: readings of a counter in, what burns and what is left out.

use std::sync::Arc;
use std::time::Duration;

use super::{Alarms, Block, Burns, Objective, Rings, Span, State};
use crate::clock::WallTime;
use crate::judge::Counts;

/// Requests that a window must hold before its rate says anything.
const LEAST_TOTAL: u64 = 100;

/// Bad ones that it must hold. With 99.9 % and fewer than 69 requests one error alone is 14.4×.
const LEAST_BAD: u64 = 5;

/// One objective's error budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    objective: Objective,
    window: Duration,
    /// Since it began, over restarts.
    totals: Counts,
    /// The counter at the last look; none before the first.
    counter: Option<Counts>,
    rings: Rings,
    alarms: Alarms,
}

/// What is kept of a budget while the process is away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Its samples.
    pub blocks: Vec<Arc<Block>>,
    /// Where it was.
    pub alarms: Alarms,
}

/// What can be said of a budget at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Times the rate at which the budget would just last; 0 where there is too little to say.
    pub burns: Burns,
    /// The share of the budget that is left; below 0 if more is spent than there was.
    pub remaining: f64,
    /// What came within the budget's window.
    pub seen: Counts,
    /// Whether that is enough to say that the budget is spent.
    pub is_enough: bool,
    /// Whether the history is shorter than the window.
    pub is_warming: bool,
    /// Since when there is history.
    pub since: WallTime,
}

impl Budget {
    /// Begins with what is kept; with nothing, now. `is_new`: the process has just begun, and so has
    /// its counter; otherwise what the counter says at the first look was not for this objective.
    pub fn begin(
        objective: Objective,
        window: Duration,
        kept: Kept,
        is_new: bool,
        now: WallTime,
    ) -> Budget {
        let mut rings = Rings::recall(window, kept.blocks);
        let totals = rings.totals();
        if rings.began().is_none() {
            rings.note(now, totals);
        }
        let counter = is_new.then(Counts::default);
        Budget { objective, window, totals, counter, rings, alarms: kept.alarms }
    }

    /// What it is for.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// The time that it is for.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Goes on for an objective that counts alike, with another goal or window.
    pub fn set(&mut self, objective: Objective, window: Duration) {
        (self.objective, self.window) = (objective, window);
        self.rings.set_window(window);
    }

    /// Takes in what the counter says now.
    pub fn look(&mut self, counter: Counts, now: WallTime) {
        self.totals += counter.since(self.counter.unwrap_or(counter));
        self.counter = Some(counter);
        self.rings.note(now, self.totals);
        let reading = self.reading(now);
        self.alarms.look(&reading, now);
    }

    /// What can be said of it now.
    pub fn reading(&self, now: WallTime) -> Reading {
        let within = |window| self.rings.within(window, now, self.totals);
        let share = self.objective.goal().budget();
        let burn = |span: Span| {
            let counts = within(span.length());
            if is_enough(counts) { counts.ratio() / share } else { 0.0 }
        };
        let seen = within(self.window);
        let since = self.rings.began().unwrap_or(now);
        Reading {
            burns: Span::ALL.map(burn),
            remaining: 1.0 - seen.ratio() / share,
            is_enough: is_enough(seen),
            is_warming: now.elapsed_since(since) < self.window,
            seen,
            since,
        }
    }

    /// What it lets rollouts do.
    pub fn state(&self) -> State {
        self.alarms.state()
    }

    /// Where it is.
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// Its samples.
    pub fn rings(&self) -> &Rings {
        &self.rings
    }

    /// Makes what was counted up to now a part of what is to be stored.
    pub fn mark(&mut self, now: WallTime) {
        self.rings.mark(now, self.totals);
    }

    /// All of it that there is now is stored.
    pub fn set_saved(&mut self) {
        self.rings.set_saved();
    }
}

fn is_enough(counts: Counts) -> bool {
    counts.total >= LEAST_TOTAL && counts.bad >= LEAST_BAD
}

#[cfg(test)]
mod tests;
