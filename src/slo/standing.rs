//! What a service's budgets and people together let rollouts do, and why.

use std::time::Duration;

use super::{Objective, Reading, State, TIERS};
use crate::clock::WallTime;

/// History that is long enough to say how much traffic there is.
const SHORTEST_HISTORY: Duration = Duration::from_secs(600);

/// Failures that no budget is too small for: fewer say nothing.
pub(super) const FEWEST: f64 = 10.0;

/// What somebody has said, until when at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decree {
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub at: WallTime,
    /// Until when; none until it is taken back.
    pub until: Option<WallTime>,
}

/// One objective for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// What is promised.
    pub objective: Objective,
    /// The time that its budget is for.
    pub window: Duration,
    /// What can be said of the budget.
    pub reading: Reading,
    /// What it lets rollouts do.
    pub state: State,
    /// Which of [`TIERS`] burn.
    pub burning: [bool; TIERS.len()],
}

/// How a service stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Its objectives; none if it promises nothing.
    pub objectives: Vec<Shown>,
    /// Somebody wants no rollouts.
    pub freeze: Option<Decree>,
    /// Somebody lets them go on whatever the budgets say.
    pub lifted: Option<Decree>,
}

impl Standing {
    /// The hardest state of its objectives; `Frozen` if somebody said so.
    pub fn state(&self) -> State {
        match self.freeze {
            Some(_) => State::Frozen,
            None => self.by_budget(),
        }
    }

    /// The hardest state of its objectives.
    pub fn by_budget(&self) -> State {
        self.objectives.iter().map(|shown| shown.state).max().unwrap_or_default()
    }

    /// Why a new rollout is refused, if it is.
    pub fn refuses(&self) -> Option<String> {
        let is_lifted = self.freeze.is_none() && self.lifted.is_some();
        (self.state() > State::Open && !is_lifted).then(|| self.why()).flatten()
    }

    /// Why rollouts under way stay where they are, if they do.
    pub fn holds(&self) -> Option<String> {
        self.refuses().filter(|_| self.state().holds())
    }

    /// Why it is in its state; none while it is open.
    pub fn why(&self) -> Option<String> {
        if let Some(Decree { by, why, .. }) = &self.freeze {
            return Some(format!("{by} froze them: {why}"));
        }
        let state = self.by_budget();
        let hardest = self.objectives.iter().find(|shown| shown.state == state);
        hardest.and_then(Shown::why)
    }

    /// How many more failures the availability budget bears if a share of it may be spent, from 0 to
    /// 1; none without such a budget, or as long as too little is known of its traffic.
    pub fn bears(&self, share: f64, now: WallTime) -> Option<f64> {
        let is_availability =
            |shown: &&Shown| matches!(shown.objective, Objective::Availability(_));
        let shown = self.objectives.iter().find(is_availability)?;
        let seen = now.elapsed_since(shown.reading.since).min(shown.window);
        if seen < SHORTEST_HISTORY {
            return None;
        }
        // A short history stands for the whole window.
        let whole = shown.window.as_secs_f64() / seen.as_secs_f64();
        let budget = shown.reading.seen.total as f64 * whole * shown.objective.goal().budget();
        Some((budget * share).max(FEWEST))
    }

    /// Which of [`TIERS`] burn for any objective.
    pub fn burning(&self) -> [bool; TIERS.len()] {
        let any = |at: usize| self.objectives.iter().any(|shown| shown.burning[at]);
        std::array::from_fn(any)
    }

    /// The objective with the least budget left.
    pub fn scarcest(&self) -> Option<&Shown> {
        let left = |shown: &&Shown| shown.reading.remaining;
        self.objectives.iter().min_by(|a, b| left(a).total_cmp(&left(b)))
    }
}

impl Shown {
    /// Why it is in its state; none while that is open.
    pub fn why(&self) -> Option<String> {
        let name = self.objective.name();
        let left = match self.reading.remaining {
            left if left < 0.0 => format!("{} of it is spent", percent(1.0 - left)),
            left => format!("{} of it is left", percent(left)),
        };
        // Of those that burn the one that made it so: the two fast ones hold, the others warn.
        let of_state = match self.state {
            State::Hold => 0..2,
            _ => 2..TIERS.len(),
        };
        let mut tiers = self.burning.iter().zip(&TIERS).skip(of_state.start).take(of_state.len());
        let burning = tiers.find(|(burns, _)| **burns);
        let (state, days) = (self.state, self.window.as_secs() / (24 * 60 * 60));
        Some(match (state, burning) {
            (State::Open, _) => return None,
            (State::Frozen, _) => {
                let more = percent(1.0 - self.reading.remaining);
                format!("the error budget of {name} is spent: {more} of what {days} d allow")
            }
            (_, Some((_, tier))) => {
                let burn = self.reading.burns[tier.long as usize];
                format!(
                    "the error budget of {name} burns {} ({}× over {} and {}), {left}",
                    times(burn),
                    tier.rate,
                    tier.long.words(),
                    tier.short.words()
                )
            }
            (State::Hold, None) => {
                format!("the error budget of {name} burned too fast within the last 30 min, {left}")
            }
            (_, None) => format!("the error budget of {name} is low: {left}"),
        })
    }
}

/// A share as a percentage with one decimal, if it has any.
fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{} %", text.trim_end_matches(".0"))
}

/// A burn rate: `14.4×`, `230×`.
fn times(burn: f64) -> String {
    let text = if burn < 99.95 { format!("{burn:.1}") } else { format!("{burn:.0}") };
    format!("{}×", text.trim_end_matches(".0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Counts;
    use crate::slo::{DEFAULT_WINDOW, Goal};

    fn shown(state: State, remaining: f64, burning: [bool; 4]) -> Shown {
        let reading = Reading {
            burns: [20.04, 10.0, 15.55, 5.0, 6.0, 3.0, 1.25],
            remaining,
            seen: Counts::default(),
            is_enough: true,
            is_warming: false,
            since: WallTime::default(),
        };
        let objective = Objective::Availability(Goal::THREE_NINES);
        Shown { objective, window: DEFAULT_WINDOW, reading, state, burning }
    }

    fn decree(by: &str) -> Option<Decree> {
        let (by, why, at) = (by.into(), "party".into(), WallTime::default());
        Some(Decree { by, why, at, until: None })
    }

    #[test]
    fn each_state_says_why_with_numbers() {
        let none = [false; 4];
        let why = |state, remaining, burning| shown(state, remaining, burning).why();
        assert_eq!(why(State::Open, 1.0, none), None);
        let cases = [
            (
                why(State::Hold, 0.978, [true, true, false, false]),
                "the error budget of availability burns 15.6× (14.4× over 1 h and 5 min), 97.8 % \
                 of it is left",
            ),
            (
                why(State::Caution, 0.5, [false, false, false, true]),
                "the error budget of availability burns 1.2× (1× over 3 d and 6 h), 50 % of it is \
                 left",
            ),
            (
                why(State::Hold, 0.9, [false, false, true, true]),
                "the error budget of availability burned too fast within the last 30 min, 90 % of \
                 it is left",
            ),
            (
                why(State::Caution, 0.08, none),
                "the error budget of availability is low: 8 % of it is left",
            ),
            (
                why(State::Hold, -0.25, none),
                "the error budget of availability burned too fast within the last 30 min, 125 % of \
                 it is spent",
            ),
            (
                why(State::Frozen, -0.25, [true; 4]),
                "the error budget of availability is spent: 125 % of what 30 d allow",
            ),
        ];
        for (said, expected) in cases {
            assert_eq!(said.as_deref(), Some(expected));
        }
        assert_eq!(
            (times(99.94), times(99.96), times(1_000.0)),
            ("99.9×".into(), "100×".into(), "1000×".into())
        );
    }

    #[test]
    fn the_hardest_objective_counts_and_people_stand_above() {
        let objectives = vec![
            shown(State::Caution, 0.08, [false; 4]),
            shown(State::Hold, 0.5, [true, false, false, false]),
            shown(State::Open, 1.0, [false; 4]),
        ];
        let mut standing = Standing { objectives, ..Standing::default() };
        assert_eq!(standing.state(), State::Hold);
        assert!(standing.holds().unwrap().contains("burns 15.6×"));
        assert_eq!(standing.scarcest().unwrap().reading.remaining, 0.08);
        standing.lifted = decree("ada");
        assert_eq!((standing.refuses(), standing.holds()), (None, None));
        assert_eq!(standing.state(), State::Hold, "lifted or not");
        standing.freeze = decree("bob");
        assert_eq!(standing.holds().as_deref(), Some("bob froze them: party"));
        assert_eq!(Standing::default().refuses(), None);
        let objectives = vec![shown(State::Caution, 0.08, [false; 4])];
        let cautious = Standing { objectives, ..Standing::default() };
        assert!(cautious.refuses().is_some() && cautious.holds().is_none());
    }

    #[test]
    fn a_short_history_stands_for_the_whole_window() {
        let hour = Duration::from_secs(3_600);
        let at = |length: Duration| WallTime::from_millis(1_000) + length;
        let of = |total| Standing {
            objectives: vec![Shown {
                objective: Objective::Availability(Goal::THREE_NINES),
                window: hour * 720,
                reading: Reading {
                    burns: Default::default(),
                    remaining: 1.0,
                    seen: Counts { total, bad: 0 },
                    is_enough: true,
                    is_warming: true,
                    since: at(Duration::ZERO),
                },
                state: State::default(),
                burning: Default::default(),
            }],
            ..Standing::default()
        };
        let bears = |total, after| of(total).bears(0.02, at(after));
        let after_an_hour = bears(36_000, hour).unwrap();
        assert!((after_an_hour - 36_000.0 * 720.0 * 0.001 * 0.02).abs() < 1e-6);
        assert_eq!(bears(36_000, hour / 12), None, "too early to say");
        assert_eq!(bears(100, hour), Some(FEWEST));
        assert_eq!(Standing::default().bears(0.02, at(hour)), None);
    }
}
