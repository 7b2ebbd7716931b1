//! What is done after a call: how it ended in, whether its spans are sent again, and when, out.

use std::time::{Duration, Instant};

use http::StatusCode;

use crate::clock::Draws;

/// The pause after a first failure; each further one in a row doubles it.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause, whatever a collector asks for.
const LONGEST: Duration = Duration::from_secs(30);

/// Calls with the same spans.
const CALLS: u32 = 5;

/// Failures in a row before somebody is told: one alone is a collector that starts anew.
const TOLD: u32 = 3;

/// How long after it was told that spans are lost it is told again at the soonest: a collector that refuses
/// every other call says as little by that once a minute as once a second.
const APART: Duration = Duration::from_secs(60);

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The collector took them, but for so many, for this reason.
    Taken { refused: u64, why: String },
    /// It may take them another time, though not before this if it said so.
    Later(Option<Duration>, String),
    /// It would take fewer.
    TooLarge(String),
    /// It will not take them.
    Never(String),
}

impl End {
    /// What a status means (OTLP specification 1.7, "Failures" and "OTLP/HTTP Throttling").
    pub fn of(status: StatusCode, retry_after: Option<Duration>, line: &str) -> End {
        let said = match line {
            "" => format!("answered {status}"),
            line => format!("answered {status}: {line}"),
        };
        match status.as_u16() {
            200..300 => End::Taken { refused: 0, why: String::new() },
            413 => End::TooLarge(said),
            429 | 502 | 503 | 504 => End::Later(retry_after, said),
            _ => End::Never(said),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// What becomes of the spans.
    pub spans: Spans,
    /// Before the next call.
    pub pause: Duration,
    /// What somebody is to be told: that spans are lost, and why, or that they are not any more.
    pub told: Option<Result<(), String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spans {
    /// They are there, but for so many.
    Sent {
        refused: u64,
    },
    Again,
    InHalves,
    /// They could not be sent each time it was tried.
    GivenUp,
    Refused,
}

/// How a collector is borne with.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Calls that failed in a row.
    failures: u32,
    /// Calls with the spans that are being sent.
    calls: u32,
    /// Whether somebody was told that spans are lost, and not yet that they are not any more.
    is_told: bool,
    /// When that was told last.
    told: Option<Instant>,
}

impl Patience {
    /// What follows from the end of a call. `is_last`: the process ends, and nothing is tried twice.
    pub fn on_end(&mut self, end: End, is_last: bool, now: Instant, draws: &mut Draws) -> Next {
        let (spans, least, why) = match end {
            // A collector that takes a part is well: the rest was wrong, and later spans need not wait for it
            // (OTLP specification 1.7, "Partial Success": the request is not to be sent again).
            End::Taken { refused, why } => {
                (self.failures, self.calls) = (0, 0);
                let told = match refused {
                    0 => std::mem::take(&mut self.is_told).then_some(Ok(())),
                    _ => self.tell(why, now),
                };
                return Next { spans: Spans::Sent { refused }, pause: Duration::ZERO, told };
            }
            End::TooLarge(why) => (Spans::InHalves, None, why),
            End::Never(why) => (Spans::Refused, None, why),
            End::Later(least, why) => {
                self.calls += 1;
                let is_over = is_last || self.calls >= CALLS;
                (if is_over { Spans::GivenUp } else { Spans::Again }, least, why)
            }
        };
        if spans != Spans::Again {
            self.calls = 0;
        }
        if spans == Spans::InHalves {
            // Nobody is to wait for what is mended at once.
            return Next { spans, pause: Duration::ZERO, told: None };
        }
        self.failures = self.failures.saturating_add(1);
        let is_lost = spans != Spans::Again || self.failures >= TOLD;
        let told = if is_lost { self.tell(why, now) } else { None };
        Next { spans, pause: self.pause(draws).max(least.unwrap_or_default()).min(LONGEST), told }
    }

    /// One request alone was too large.
    pub fn on_too_large(&mut self, why: String, now: Instant) -> Option<Result<(), String>> {
        self.tell(why, now)
    }

    /// Once until all is well again, and once a minute at most.
    fn tell(&mut self, why: String, now: Instant) -> Option<Result<(), String>> {
        let is_soon = self.told.is_some_and(|told| now.saturating_duration_since(told) < APART);
        if self.is_told || is_soon {
            return None;
        }
        (self.is_told, self.told) = (true, Some(now));
        Some(Err(why))
    }

    /// The collector is another one, or is told something else: what was, says nothing of it.
    pub fn begin_anew(&mut self) {
        (self.failures, self.calls, self.told) = (0, 0, None);
    }

    fn pause(&self, draws: &mut Draws) -> Duration {
        let doubled = FIRST.saturating_mul(1 << (self.failures - 1).min(10));
        doubled.min(LONGEST).mul_f64(0.5 + draws.unit() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later() -> End {
        End::Later(None, "timed out".into())
    }

    fn taken() -> End {
        End::Taken { refused: 0, why: String::new() }
    }

    fn begin() -> (Patience, Draws, Instant) {
        (Patience::default(), Draws::seeded(1), Instant::now())
    }

    #[test]
    fn statuses_are_what_the_protocol_says_of_them() {
        let of = |status: u16| {
            End::of(StatusCode::from_u16(status).unwrap(), Some(Duration::from_secs(7)), "no")
        };
        assert!((200..300).all(|status| matches!(of(status), End::Taken { refused: 0, .. })));
        for status in [429, 502, 503, 504] {
            let said = format!("answered {}: no", StatusCode::from_u16(status).unwrap());
            assert_eq!(of(status), End::Later(Some(Duration::from_secs(7)), said));
        }
        assert!(matches!(of(413), End::TooLarge(_)));
        assert!(
            [301, 400, 401, 403, 404, 415, 500]
                .map(of)
                .iter()
                .all(|end| matches!(end, End::Never(_)))
        );
    }

    #[test]
    fn pauses_double_to_a_bound_and_the_same_spans_are_given_up_in_the_end() {
        let (mut patience, mut draws, now) = begin();
        let mut last = Duration::ZERO;
        for nth in 1..=12 {
            let next = patience.on_end(later(), false, now, &mut draws);
            let is_given_up = nth % CALLS == 0;
            assert_eq!(
                next.spans,
                if is_given_up { Spans::GivenUp } else { Spans::Again },
                "{nth}"
            );
            assert_eq!(next.told, (nth == TOLD).then(|| Err("timed out".into())), "{nth}");
            let most = FIRST * (1 << (nth - 1).min(10));
            assert!(next.pause <= most.min(LONGEST) && next.pause >= most.min(LONGEST) / 2);
            last = next.pause;
        }
        assert!(last >= LONGEST / 2);
        let next = patience.on_end(taken(), false, now, &mut draws);
        assert_eq!((next.spans, next.told), (Spans::Sent { refused: 0 }, Some(Ok(()))));
        let next = patience.on_end(taken(), false, now, &mut draws);
        assert_eq!((next.pause, next.told), (Duration::ZERO, None));
    }

    #[test]
    fn a_collector_may_ask_for_a_longer_pause_but_not_for_any() {
        let (mut patience, mut draws, now) = begin();
        let mut pause = |secs| {
            let end = End::Later(Some(Duration::from_secs(secs)), String::new());
            patience.on_end(end, false, now, &mut draws).pause
        };
        assert_eq!([pause(20), pause(86_400)], [Duration::from_secs(20), LONGEST]);
    }

    #[test]
    fn what_is_refused_is_told_at_once_and_not_tried_again() {
        let (mut patience, mut draws, now) = begin();
        let never = || End::Never("answered 401 Unauthorized".into());
        let next = patience.on_end(never(), false, now, &mut draws);
        assert_eq!(next.spans, Spans::Refused);
        assert_eq!(next.told, Some(Err("answered 401 Unauthorized".into())));
        assert_eq!(patience.on_end(never(), false, now, &mut draws).told, None, "once");
        let some = End::Taken { refused: 3, why: "no".into() };
        assert_eq!(patience.on_end(some, false, now, &mut draws).spans, Spans::Sent { refused: 3 });
        assert_eq!(patience.on_end(taken(), false, now, &mut draws).told, Some(Ok(())));
    }

    #[test]
    fn a_collector_that_refuses_every_other_call_is_told_of_once_a_minute() {
        let (mut patience, mut draws, start) = begin();
        let never = || End::Never("answered 400 Bad Request".into());
        let mut told = Vec::new();
        for second in 0..180 {
            let end = if second % 2 == 0 { never() } else { taken() };
            let now = start + Duration::from_secs(second);
            let next = patience.on_end(end, false, now, &mut draws);
            told.extend(next.told.map(|told| (second, told.is_ok())));
        }
        let pairs = [0, 60, 120].map(|at| [(at, false), (at + 1, true)]);
        assert_eq!(told, pairs.concat());
        // Another collector is another matter.
        patience.begin_anew();
        let next = patience.on_end(never(), false, start + Duration::from_secs(181), &mut draws);
        assert!(next.told.is_some_and(|told| told.is_err()));
    }

    #[test]
    fn who_takes_a_part_is_well_and_the_next_call_comes_at_once() {
        let (mut patience, mut draws, now) = begin();
        (0..2).for_each(|_| drop(patience.on_end(later(), false, now, &mut draws)));
        let some = || End::Taken { refused: 3, why: "refused 3 spans".into() };
        let told = Some(Err("refused 3 spans".into()));
        let next = patience.on_end(some(), false, now, &mut draws);
        assert_eq!(next, Next { spans: Spans::Sent { refused: 3 }, pause: Duration::ZERO, told });
        assert_eq!(patience.on_end(some(), false, now, &mut draws).told, None, "once");
        // What failed before it counts no more: this is a first failure again.
        let next = patience.on_end(later(), false, now, &mut draws);
        assert!((next.spans, next.told) == (Spans::Again, None) && next.pause <= FIRST);
    }

    #[test]
    fn a_process_that_ends_tries_nothing_twice() {
        let (mut patience, mut draws, now) = begin();
        assert_eq!(patience.on_end(later(), true, now, &mut draws).spans, Spans::GivenUp);
    }
}
