//! Whose failures they are: what each upstream of the canary did since evidence began to rise in, the one
//! that has most of the excess out.
//!
//! A canary of which one upstream is broken is taken back, for nobody can tell it from a version that breaks
//! one in so many. But who is told should be told which one it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Counts;
use super::bursts::ByUpstream;

/// The share of the excess from which on one upstream is named.
const MOST: f64 = 0.8;

/// The canary's upstreams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Suspects(Vec<(Arc<str>, Counts)>);

impl Suspects {
    /// Adds a second; `ln_e` is the evidence before it.
    pub(super) fn tick(&mut self, ln_e: f64, upstreams: &[ByUpstream]) {
        if ln_e <= 0.0 {
            self.0.clear();
        }
        for upstream in upstreams.iter().filter(|upstream| upstream.attempts.total > 0) {
            match self.0.iter_mut().find(|(name, _)| *name == upstream.name) {
                Some((_, counts)) => *counts += upstream.attempts,
                None => self.0.push((upstream.name.clone(), upstream.attempts)),
            }
        }
    }

    /// The one that has most of the failures beyond what the stable pool, at this rate, would have had; with
    /// its share of them, 0 to 1. None of a single one, whose they are anyway.
    pub(super) fn named(&self, rate: f64) -> Option<(&Arc<str>, f64)> {
        if self.0.len() < 2 {
            return None;
        }
        let excess = |counts: Counts| (counts.bad as f64 - counts.total as f64 * rate).max(0.0);
        let all: f64 = self.0.iter().map(|(_, counts)| excess(*counts)).sum();
        let (name, counts) =
            self.0.iter().max_by(|one, other| excess(one.1).total_cmp(&excess(other.1)))?;
        let share = excess(*counts) / all;
        (all > 0.0 && share >= MOST).then_some((name, share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_that_fails_alone_is_named_and_no_other() {
        let second = |failed: &[u64]| -> Vec<ByUpstream> {
            let upstream = |(place, &bad): (usize, &u64)| ByUpstream {
                name: format!("10.0.1.1{place}:80").into(),
                attempts: Counts { total: 100, bad },
                ..ByUpstream::default()
            };
            failed.iter().enumerate().map(upstream).collect()
        };
        let named = |seconds: &[(f64, &[u64])]| {
            let mut suspects = Suspects::default();
            seconds.iter().for_each(|(ln_e, failed)| suspects.tick(*ln_e, &second(failed)));
            suspects.named(0.01).map(|(name, share)| (name.to_string(), (share * 100.0).round()))
        };
        assert_eq!(named(&[(0.0, &[1, 20, 2])]), Some(("10.0.1.11:80".into(), 95.0)));
        assert_eq!(named(&[(0.0, &[9, 20, 2])]), None, "two of them do");
        assert_eq!(named(&[(0.0, &[20])]), None, "there is no other");
        assert_eq!(named(&[(0.0, &[1, 1])]), None, "there is no excess");
        let seconds: [(f64, &[u64]); 2] = [(0.0, &[90, 1]), (-0.5, &[1, 20])];
        assert_eq!(
            named(&seconds),
            Some(("10.0.1.11:80".into(), 100.0)),
            "what was before is over"
        );
    }
}
