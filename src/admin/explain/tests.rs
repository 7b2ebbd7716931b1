//! What `explain` says of a request before it comes, beside what `why` says of it afterwards: random
//! configs, in a world in which upstreams come and go, and each request asked about first and then sent.
//!
//! Both are taken in the words in which the admin API gives them. Every request is sent twice: to a
//! snapshot that questions are asked of, and to its twin, of which nobody asks anything; what becomes of
//! it is the same there, and so is all that is counted, at the end. `POINTSMAN_SEED=n` lives one life
//! again and tells what was in it.

mod agreeing;
mod asked;
mod configs;
mod lives;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::clock::Draws;

/// Lives, each with a config of its own.
const SEEDS: u64 = 200;

/// Requests of one life.
const REQUESTS: usize = 50;

/// What has to come up often, so that nobody takes configs that do nothing for ones that agree.
const WANTED: [&str; 38] = [
    "auth_failed",
    "body_too_large",
    "breaker_open",
    "by cohort",
    "by draw",
    "by override",
    "by shield",
    "by stand-in",
    "content_length",
    "denied",
    "encoded_path",
    "expectation",
    "field_name",
    "fallback answer",
    "forward",
    "held",
    "host",
    "instead cohort",
    "instead draw",
    "instead shield",
    "instead stand-in",
    "led",
    "let in",
    "maintenance",
    "no_pool",
    "no_route",
    "no_upstream",
    "answered",
    "goes no further",
    "overloaded",
    "path",
    "rate_limited",
    "rewritten",
    "sets a cookie",
    "stale",
    "throttled",
    "tried again",
    "waits",
];

/// What came up, by name.
type Seen = BTreeMap<String, u64>;

/// Dice that fall as their seed says.
#[derive(Clone, Debug)]
struct Dice(Draws);

impl Dice {
    fn seeded(seed: u64) -> Dice {
        Dice(Draws::seeded(seed))
    }

    fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Dice of their own, for what is done twice.
    fn apart(&mut self) -> Dice {
        Dice::seeded(self.bits())
    }
}

/// Lives one life; says which it was if something did not hold.
fn live(seed: u64) -> Seen {
    let lived = catch_unwind(AssertUnwindSafe(|| lives::live(seed)));
    lived.unwrap_or_else(|broken| {
        eprintln!(
            "seed {seed} failed; again: POINTSMAN_SEED={seed} cargo test --lib explain::tests"
        );
        resume_unwind(broken)
    })
}

#[test]
fn why_says_of_ten_thousand_requests_what_explain_said_before() {
    if let Ok(seed) = std::env::var("POINTSMAN_SEED") {
        let seed = seed.parse().expect("POINTSMAN_SEED is a number");
        eprintln!("{}", configs::any(&mut Dice::seeded(seed)));
        eprintln!("{:#?}", live(seed));
        return;
    }
    let mut seen = Seen::new();
    for seed in 0..SEEDS {
        for (what, times) in live(seed) {
            *seen.entry(what).or_default() += times;
        }
    }
    let requests = seen.get("requests").copied().unwrap_or_default();
    assert_eq!(requests, SEEDS * REQUESTS as u64);
    let rare: Vec<&str> = WANTED.into_iter().filter(|what| !seen.contains_key(*what)).collect();
    assert!(rare.is_empty(), "{rare:?} never came up: {seen:#?}");
}
