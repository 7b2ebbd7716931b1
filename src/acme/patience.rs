//! How long to wait after an order that has failed: how often it has and what the authority says in, the
//! time of the next one out.
//!
//! An authority forgives few failures: Let's Encrypt five an hour for one name and one account. So the
//! first is made good soon, since most often something is put right by hand; the later ones are rare.

use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(60);

/// Each wait is so many times the one before. With [`FIRST`], four failures are in the first hour.
const FACTOR: u32 = 4;

/// No wait of our own choice is longer: of the two days that are left to a short-lived certificate this
/// makes some tries. Chance adds a half at most.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);

/// Who is told to slow down, and not for how long.
const SLOWED: Duration = Duration::from_secs(60 * 60);

/// What an authority asks for may be a slip: nobody has to wait longer than for a week, which is what the
/// longest of Let's Encrypt's limits takes.
const BOUND: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// By how much a clock may be set back for what was noted before to stand.
const SET_BACK: Duration = Duration::from_secs(24 * 60 * 60);

/// Between two certificates for the same names, whatever an authority and the clock say: one whose
/// certificates are good for no time at all would be asked without end.
const APART: Duration = Duration::from_secs(60 * 60);

/// What has come of orders for one certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attempts {
    /// How many have failed since the last that has not.
    pub failed: u32,
    /// Before that there is none, in seconds since the epoch.
    pub not_before: u64,
    /// Whether that is how the authority wants it.
    #[serde(default)]
    pub is_asked: bool,
}

/// What an authority says of when to come again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// There have been too many orders.
    pub is_limited: bool,
    /// After how long it may be asked again.
    pub after: Option<Duration>,
}

impl Attempts {
    /// One more has failed `now`; `draw` keeps those who have failed together from coming together again.
    pub fn failed(self, now: u64, refused: Refused, draw: u64) -> Attempts {
        let own = FACTOR.checked_pow(self.failed).and_then(|factor| FIRST.checked_mul(factor));
        let own = own.map_or(LONGEST, |own| own.min(LONGEST)).as_secs();
        let more = (u128::from(draw) * u128::from(own / 2 + 1)) >> 64;
        let least = match (refused.after, refused.is_limited) {
            (Some(after), _) => after.min(BOUND),
            (None, true) => SLOWED,
            (None, false) => Duration::ZERO,
        };
        let wait = (own + more as u64).max(least.as_secs());
        Attempts {
            failed: self.failed.saturating_add(1),
            not_before: now.saturating_add(wait),
            is_asked: !least.is_zero(),
        }
    }

    /// One has not failed.
    pub fn succeeded(now: u64) -> Attempts {
        Attempts { not_before: now.saturating_add(APART.as_secs()), ..Attempts::default() }
    }

    /// Somebody has put something right, and wants it tried now: unless the authority wants to be left
    /// alone. What fails again waits as long as it would have.
    pub fn hurried(self) -> Attempts {
        match self.failed > 0 && !self.is_asked {
            true => Attempts { not_before: 0, ..self },
            false => self,
        }
    }

    /// When one is to be made that is due then: not earlier than these allow. What is further away than a
    /// wait can be was noted by a clock that was ahead, and keeps nobody waiting: a bound from `now` on would
    /// move along with it until that date. What comes of the order takes its place.
    pub fn allow(&self, due: u64, now: u64) -> u64 {
        let at_most = now.saturating_add((BOUND + SET_BACK).as_secs());
        match self.not_before > at_most {
            true => due,
            false => due.max(self.not_before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn waits(draw: u64) -> Vec<u64> {
        let mut attempts = Attempts::default();
        let mut next = || {
            attempts = attempts.failed(NOW, Refused::default(), draw);
            attempts.not_before - NOW
        };
        (0..7).map(|_| next()).collect()
    }

    #[test]
    fn each_failure_waits_longer_up_to_a_bound() {
        assert_eq!(waits(0), [60, 240, 960, 3_840, 15_360, 21_600, 21_600]);
        assert_eq!(waits(u64::MAX), [90, 360, 1_440, 5_760, 23_040, 32_400, 32_400]);
        let in_an_hour = |waits: &[u64]| {
            let at = waits.iter().scan(0, |at, wait| {
                *at += wait;
                Some(*at)
            });
            1 + at.take_while(|at| *at < 3_600).count()
        };
        assert_eq!(in_an_hour(&waits(0)), 4, "an authority forgives five");
        let many = Attempts { failed: u32::MAX, ..Attempts::default() };
        assert_eq!(many.failed(NOW, Refused::default(), 0).not_before, NOW + 21_600);
    }

    #[test]
    fn what_the_authority_asks_for_is_kept_to() {
        let wait = |is_limited, after: Option<u64>| {
            let refused = Refused { is_limited, after: after.map(Duration::from_secs) };
            Attempts::default().failed(NOW, refused, 0).not_before - NOW
        };
        assert_eq!(wait(false, Some(10)), 60, "it is asked no sooner for that");
        assert_eq!(wait(false, Some(7_200)), 7_200);
        assert_eq!(wait(true, None), 3_600);
        assert_eq!(wait(true, Some(600)), 600);
        assert_eq!(wait(true, Some(u64::MAX)), 7 * 24 * 3_600);
    }

    #[test]
    fn who_has_put_something_right_need_not_wait() {
        let failed = |refused| Attempts::default().failed(NOW, refused, 0);
        let own = failed(Refused::default()).hurried();
        assert_eq!(own, Attempts { failed: 1, not_before: 0, is_asked: false });
        assert_eq!(own.failed(NOW, Refused::default(), 0).not_before, NOW + 240);
        let asked = failed(Refused { is_limited: true, after: None });
        assert_eq!(asked.hurried(), asked, "the authority wants to be left alone");
        let good = Attempts::succeeded(NOW);
        assert_eq!(good.hurried(), good, "nothing is ordered twice");
    }

    #[test]
    fn nothing_is_ordered_before_its_time_nor_put_off_for_ever() {
        let after = |attempts: Attempts, due| attempts.allow(due, NOW);
        assert_eq!(after(Attempts::default(), NOW - 5), NOW - 5, "at once");
        assert_eq!(after(Attempts::succeeded(NOW), NOW - 5), NOW + 3_600);
        assert_eq!(after(Attempts::succeeded(NOW), NOW + 9_999), NOW + 9_999);
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_nobody_waiting() {
        const DAY: u64 = 24 * 3_600;
        let ahead = Attempts::succeeded(NOW + 365 * DAY);
        for later in [0, 8 * DAY, 30 * DAY] {
            let now = NOW + later;
            assert_eq!(ahead.allow(now, now), now, "{later}");
        }
        let odd = Attempts { failed: 1, not_before: u64::MAX, is_asked: true };
        assert_eq!(odd.allow(0, NOW), 0);
        let refused = Refused { is_limited: true, after: Some(Duration::MAX) };
        let longest = Attempts::default().failed(NOW, refused, u64::MAX);
        assert_eq!(longest.allow(0, NOW - 60), NOW + 7 * DAY, "it was set back by a minute");
    }
}
