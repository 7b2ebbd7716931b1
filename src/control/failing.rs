//! What fails again and again: each failure in; whether it is said, and how many were not, out.

use std::time::{Duration, Instant};

/// How often what goes on failing is said: a disk that is full for a week fills no log by that.
const AGAIN: Duration = Duration::from_secs(60);

/// A run of failures.
#[derive(Debug, Default)]
pub(super) struct Failing {
    said: Option<Instant>,
    unsaid: u64,
}

impl Failing {
    /// How many failures were not said since the last that was; none if this one is not said either.
    pub fn on_failure(&mut self, now: Instant) -> Option<u64> {
        let is_due = self.said.is_none_or(|said| now.saturating_duration_since(said) >= AGAIN);
        if !is_due {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }

    /// It has worked again: the next failure is news.
    pub fn on_success(&mut self) {
        *self = Failing::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_said_at_once_and_then_each_minute_with_how_many_there_were() {
        let start = crate::server::clock::system().now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut failing = Failing::default();
        let said: Vec<(u64, u64)> =
            (0..200).filter_map(|second| Some((second, failing.on_failure(at(second))?))).collect();
        assert_eq!(said, [(0, 0), (60, 59), (120, 59), (180, 59)]);
        failing.on_success();
        assert_eq!(failing.on_failure(at(201)), Some(0));
    }
}
