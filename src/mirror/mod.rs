//! Copies of live requests for a pool that is yet to get traffic: settings and a draw in, whether a
//! request is copied out; two answers in, what they differ in out.
//!
//! This is the *dark* step before a canary's first percent: the new version meets real requests
//! while nobody sees what it answers. How copies travel is the rim's (`wire/mirror`); here is what
//! is copied, what is compared, and what came of it.

mod answered;
mod copied;
mod state;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use crate::split::{BasisPoints, Cohort};

pub use answered::{Answered, Differing};
pub use copied::Copied;
pub use state::{Difference, Kind, MirrorState, QueuePlace};

/// The field that tells a copy from a live request. Only we may set it.
pub const MARK: HeaderName = HeaderName::from_static("x-pointsman-mirror");

/// Its value.
pub const MARKED: HeaderValue = HeaderValue::from_static("1");

/// What a service mirrors, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorSettings {
    /// The pool that gets the copies; one of the service's.
    pub to: Arc<str>,
    /// The share of requests that are copied, of those that may be.
    pub percent: BasisPoints,
    /// Idempotent ones only.
    pub methods: Vec<Method>,
    /// The longest body of a request that is copied, in bytes.
    pub body_limit: usize,
    /// Copies that wait; more are dropped.
    pub queue: usize,
    /// Copies under way at once.
    pub concurrent: usize,
    /// For a copy from being picked up to the end of its answer.
    pub timeout: Duration,
    /// What answers are compared by; none if they are not.
    pub compare: Option<CompareSettings>,
}

/// What two answers to the same request are compared by.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareSettings {
    /// The status code.
    pub status: bool,
    /// The values of these fields.
    pub headers: Vec<HeaderName>,
    /// The body.
    pub body: bool,
    /// How much of a body is looked at, in bytes.
    pub body_limit: usize,
}

impl MirrorSettings {
    /// The defaults, to this pool.
    pub fn to(pool: Arc<str>) -> MirrorSettings {
        MirrorSettings {
            to: pool,
            percent: BasisPoints::new(1_000).unwrap_or_default(),
            methods: vec![Method::GET, Method::HEAD],
            body_limit: 64 * 1024,
            queue: 100,
            concurrent: 16,
            timeout: Duration::from_secs(5),
            compare: None,
        }
    }

    /// Whether a request that may be copied is, by 64 random bits.
    pub fn chooses(&self, bits: u64) -> bool {
        Cohort::from_bits(bits).get() < self.percent.get()
    }

    /// How much of a copy's answer is read, in bytes.
    pub fn answer_limit(&self) -> usize {
        self.compare.as_ref().map_or(CompareSettings::default().body_limit, |by| by.body_limit)
    }
}

impl Default for CompareSettings {
    fn default() -> Self {
        CompareSettings {
            status: true,
            headers: vec![CONTENT_TYPE],
            body: true,
            body_limit: 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Draws;

    fn chosen(percent: &str) -> usize {
        let percent = BasisPoints::from_percent(percent).unwrap();
        let settings = MirrorSettings { percent, ..MirrorSettings::to("green".into()) };
        let mut draws = Draws::seeded(9);
        (0..100_000).filter(|_| settings.chooses(draws.bits())).count()
    }

    #[test]
    fn a_share_is_chosen_and_none_or_all_are_exact() {
        assert_eq!((chosen("0"), chosen("100")), (0, 100_000));
        // Four standard deviations of 100,000 draws at 12.5 %.
        assert!(chosen("12.5").abs_diff(12_500) < 419, "{}", chosen("12.5"));
    }
}
