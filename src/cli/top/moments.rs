//! Evidence as it grows: a rollout each second in, how far both verdicts have come out.

use crate::admin::wire;

/// As many moments are kept of one rollout: a quarter of an hour.
const MOST: usize = 900;

/// How far both verdicts had come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// When, as Unix time in seconds.
    pub at: f64,
    /// The way to *it is fine*, 0 to 1.
    pub fine: f64,
    /// The way to *it is worse*, 0 to 1.
    pub worse: f64,
}

/// Those of one rollout, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    of: u64,
    reached: f64,
    list: Vec<Moment>,
}

impl Moments {
    /// Notes how far it has come, while it is under way.
    pub fn see(&mut self, rollout: Option<&wire::Rollout>, at: f64) {
        let Some(rollout) = rollout else { return };
        if self.of != rollout.id {
            *self = Moments { of: rollout.id, ..Moments::default() };
        }
        self.reached = self.reached.max(rollout.share);
        let (Some(judgement), None) = (&rollout.judgement, rollout.ended) else { return };
        if self.list.last().is_some_and(|last| last.at >= at) {
            return;
        }
        let worse = worst(judgement).map_or(0.0, |metric| way(metric.worse));
        self.list.push(Moment { at, fine: way(judgement.fine), worse });
        if self.list.len() > MOST {
            self.list.remove(0);
        }
    }

    /// The most that the target was seen with, in percent.
    pub fn reached(&self) -> f64 {
        self.reached
    }

    /// All of them.
    pub fn list(&self) -> &[Moment] {
        &self.list
    }
}

/// How far odds are on their way to enough, 0 to 1: by their logarithms, so that each second that is as
/// good as the last is a step as long.
pub fn way(odds: wire::Odds) -> f64 {
    if odds.odds <= 1.0 || odds.enough <= 1.0 {
        return 0.0;
    }
    (odds.odds.ln() / odds.enough.ln()).min(1.0)
}

/// The strongest evidence that the target is worse; none while nothing is judged.
pub fn worst(judgement: &wire::Judgement) -> Option<&wire::Judged> {
    let judged = judgement.metrics.iter().filter(|metric| metric.says != "not-judged");
    judged.max_by(|one, other| way(one.worse).total_cmp(&way(other.worse)))
}
