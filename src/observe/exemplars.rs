//! One request of each bucket, so that a graph of durations leads to a trace: the latest requests in, an
//! [`Exemplar`] for each bucket out.
//!
//! Of two the one that a collector was told of, for whoever looks for the other finds nothing; and then the later.
//! They are chosen when somebody scrapes, from what is remembered anyway (`server.remember`), and of that from
//! the latest few hundred only: the request path knows nothing of it, and a scrape costs the same however
//! much is remembered.

use std::collections::HashMap;
use std::time::Duration;

use super::families::push_number;
use crate::record::Timed;
use crate::upstream::DURATION_BOUNDS;

/// One value of a bucket, and the trace of the request that it is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    /// Its trace, in hex digits.
    pub trace: [u8; 32],
    /// Whether a collector was told of that for sure.
    pub is_sampled: bool,
    /// The value, in seconds.
    pub value: f64,
    /// When its request came, in milliseconds since the epoch.
    pub millis: u64,
}

/// By bucket; the last for what is above all bounds.
pub(super) type OfBuckets = [Option<Exemplar>; DURATION_BOUNDS.len() + 1];

/// Those of requests by service and pool, and those of attempts by service, pool and upstream.
#[derive(Debug, Default)]
pub(super) struct Exemplars<'t>(HashMap<(&'t str, &'t str, &'t str), OfBuckets>);

/// For what nothing is known of.
const NONE: OfBuckets = [None; DURATION_BOUNDS.len() + 1];

impl<'t> Exemplars<'t> {
    /// The latest of each bucket that can be looked up, or the latest.
    pub fn choose(requests: &'t [Timed]) -> Exemplars<'t> {
        let mut chosen = Exemplars::default();
        for request in requests {
            let mut note = |of, took: Duration| chosen.note(of, request, took);
            note((&request.service, &request.pool, ""), request.duration);
            for attempt in &request.attempts {
                note((&request.service, &attempt.pool, &attempt.upstream), attempt.took);
            }
        }
        chosen
    }

    /// Those of a pool's requests; of an upstream's attempts, if one is named.
    pub fn of(&'t self, service: &'t str, pool: &'t str, upstream: &'t str) -> &'t OfBuckets {
        self.0.get(&(service, pool, upstream)).unwrap_or(&NONE)
    }

    fn note(&mut self, of: (&'t str, &'t str, &'t str), request: &Timed, took: Duration) {
        let value = took.as_secs_f64();
        let bucket = DURATION_BOUNDS.partition_point(|bound| *bound < value);
        let Timed { trace, is_sampled, at, .. } = *request;
        let exemplar = Exemplar { trace, is_sampled, value, millis: at.millis() };
        let worth = |one: Exemplar| (one.is_sampled, one.millis);
        let known = &mut self.0.entry(of).or_insert(NONE)[bucket];
        if known.is_none_or(|known| worth(known) <= worth(exemplar)) {
            *known = Some(exemplar);
        }
    }
}

impl Exemplar {
    /// As it stands behind the value of a bucket.
    pub fn write(&self, text: &mut String) {
        text.push_str(" # {trace_id=\"");
        text.extend(self.trace.iter().map(|digit| char::from(*digit)));
        text.push_str("\"} ");
        push_number(text, self.value);
        text.push(' ');
        push_number(text, self.millis as f64 / 1e3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::record::TimedAttempt;

    fn request(nth: u8, millis: u64, took: Duration) -> Timed {
        Timed {
            at: WallTime::from_millis(1_000 + millis),
            trace: [nth; 32],
            is_sampled: false,
            duration: took,
            service: "shop".into(),
            pool: "blue".into(),
            attempts: vec![TimedAttempt {
                pool: "green".into(),
                upstream: "192.0.2.1:80".into(),
                took: took / 2,
            }],
        }
    }

    #[test]
    fn each_bucket_has_the_latest_of_its_requests_at_the_time_that_it_came() {
        let millis = Duration::from_millis;
        let requests = [
            request(b'a', 10, millis(3)),
            request(b'c', 30, millis(4)),
            request(b'b', 20, millis(4)),
            request(b'd', 5, Duration::from_secs(100)),
            request(b'e', 5, millis(5)),
        ];
        let exemplars = Exemplars::choose(&requests);
        let found = |of: &OfBuckets| -> Vec<(usize, u8, f64, u64)> {
            let known = |(at, known): (usize, &Option<Exemplar>)| {
                known.map(|known| (at, known.trace[0], known.value, known.millis))
            };
            of.iter().enumerate().filter_map(known).collect()
        };
        // 4 and 5 ms lie in the bucket that ends with 5 ms, the bound included.
        let of_pool = [(3, b'c', 0.004, 1_030), (20, b'd', 100.0, 1_005)];
        assert_eq!(found(exemplars.of("shop", "blue", "")), of_pool);
        let of_upstream = [(2, b'c', 0.002, 1_030), (19, b'd', 50.0, 1_005)];
        let of_attempts = exemplars.of("shop", "green", "192.0.2.1:80");
        assert_eq!(found(of_attempts), of_upstream);
        assert_eq!(*exemplars.of("shop", "green", ""), NONE);
    }

    #[test]
    fn of_two_in_a_bucket_the_one_that_can_be_looked_up_is_named() {
        let took = Duration::from_millis(4);
        let sampled = |nth, millis| Timed { is_sampled: true, ..request(nth, millis, took) };
        let requests =
            [sampled(b'a', 10), sampled(b'b', 20), request(b'c', 30, took), sampled(b'd', 15)];
        let exemplars = Exemplars::choose(&requests);
        let found = exemplars.of("shop", "blue", "")[3].unwrap();
        assert_eq!((found.trace[0], found.millis), (b'b', 1_020));
        let exemplars = Exemplars::choose(&requests[2..3]);
        assert_eq!(
            exemplars.of("shop", "blue", "")[3].unwrap().trace[0],
            b'c',
            "if there is no other"
        );
    }
}
