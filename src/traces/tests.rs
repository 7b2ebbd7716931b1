use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Version;
use proptest::prelude::*;

use super::decision::{kept_for, may_be_kept};
use super::*;
use crate::clock::{Draws, Moment, WallTime};
use crate::config::{Config, Keep, Traces};
use crate::http::failure::Cause;
use crate::record::{Attempt, Decided, Noted, Reader, Record, Said, Traced};
use crate::snapshot::{Blueprint, By, RunTime, Snapshot, TraceLimits};
use crate::split::{Cohort, Secret};
use crate::upstream::{BreakerState, Outcome, StatusClass};

/// A shop whose canary has a tenth, with these lines about traces.
fn snapshot(traces: &str) -> Snapshot {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [traces]\nendpoint = \"http://127.0.0.1:4318\"\n{traces}\n\
         [[routes]]\npath_prefix = \"/\"\nservice = \"shop\"\n\
         [[routes]]\npath_prefix = \"/old\"\nredirect = {{ to = \"https://new.test/\" }}\n\
         [[routes]]\npath_prefix = \"/cart\"\nservice = \"shop\"\n\
         [services.shop]\nsplit = {{ blue = 90, green = 10 }}\n\
         [services.shop.pools]\nblue.upstreams = [\"192.0.2.1:80\"]\n\
         green.upstreams = [\"192.0.2.3:80\"]\n"
    );
    let (config, _) = Config::parse(&text).unwrap();
    let (config, run_time) = (Arc::new(config), RunTime::default());
    let (secret, now) = (Secret([1; 16]), Instant::now());
    Snapshot::build(&Blueprint { config, run_time: &run_time, secret, now }, None)
}

fn settings(snapshot: &Snapshot) -> &Traces {
    snapshot.config.traces.as_ref().unwrap()
}

/// This many milliseconds after a request came.
const fn at(millis: u64) -> Moment {
    Moment::from_micros(7_000_000 + millis * 1_000)
}

const BLUE: (usize, usize) = (0, 0);
const GREEN: (usize, usize) = (0, 1);

fn attempt(pool: usize, took: u64) -> Attempt {
    Attempt {
        span: 0xb0b0 + pool as u64,
        pool,
        member: 0,
        chosen: at(0),
        began: at(0),
        connected: Some(at(0)),
        is_reused: true,
        sent: Some(at(0)),
        head: Some(at(took)),
        done: at(took),
        status: Some(200),
        cause: None,
        outcome: Outcome::Status(StatusClass::Success),
        held: Outcome::Status(StatusClass::Success),
        is_withheld: false,
        grpc: None,
        metrics: 0,
        is_judged: true,
        to_upstream: 0,
        from_upstream: 5,
    }
}

fn traced(decided: Decided, is_sampled: bool) -> Traced {
    Traced { parent: None, flags: 2, is_sampled, decided, is_https: false }
}

fn noted(attempts: &[Attempt]) -> Noted {
    Noted {
        version: Version::HTTP_11,
        route: Some(1),
        route_place: Some(2),
        by: Some(By::Cohort(Cohort::new(77))),
        trace: Some(([b'a'; 32], [b'b'; 16])),
        traced: Some(traced(Decided::Here, false)),
        attempts: attempts.iter().copied().collect(),
        ..Noted::default()
    }
}

fn record<'r>(pool: (usize, usize), status: u16, noted: &'r Noted) -> Record<'r> {
    Record {
        own: None,
        pool: Some(pool),
        closed: None,
        outcome: Outcome::Status(StatusClass::of(status)),
        status: Some(status),
        cause: None,
        duration: Duration::from_millis(5),
        waited: Duration::ZERO,
        felt: Duration::from_millis(5),
        at: at(0),
        request_id: b"mine",
        said: Said { method: "GET", host: b"shop.test", target: "/cart?a=1", ..Said::default() },
        noted,
    }
}

const ALL: &str = "keep = [\"error\", \"retried\", \"shed\", \"canary\", \"slow\"]";

proptest! {
    /// A trusted proxy is followed whatever else is said; a stranger gets no more than the limit, and by chance
    /// as much as anybody.
    #[test]
    fn who_is_trusted_decides_and_nobody_else_does(
        asks in any::<bool>(),
        share in 0u16..=100,
        from_strangers in 0u32..20,
        seed in any::<u64>(),
    ) {
        let snapshot = snapshot(&format!("share = {share}\nfrom_strangers = {from_strangers}"));
        let (traces, limits, mut draws) = (settings(&snapshot), TraceLimits::default(), Draws::seeded(seed));
        let mut ask = |brought| decide(brought, traces, &limits, at(0), &mut draws);
        prop_assert_eq!(ask(Brought::Trusted(asks)), (Decided::Parent, asks));
        let (decided, is_sampled) = ask(Brought::Nothing);
        prop_assert_eq!(decided, Decided::Here);
        prop_assert!(share > 0 || !is_sampled);
        prop_assert!(share < 100 || is_sampled);
        let granted = (0..50).filter(|_| ask(Brought::Strange(true)).1).count() as u32;
        match share {
            0 => prop_assert_eq!(granted, from_strangers.min(50)),
            100 => prop_assert_eq!(granted, 50),
            _ => prop_assert!(granted >= from_strangers.min(50)),
        }
        let silent = (0..50).filter(|_| ask(Brought::Strange(false)).1).count();
        prop_assert!(share > 0 || silent == 0, "who says no takes no place of the limit");
    }
}

#[test]
fn the_share_is_what_was_asked_for() {
    let snapshot = snapshot("share = 1");
    let (limits, mut draws) = (TraceLimits::default(), Draws::seeded(1));
    let mut ask = || decide(Brought::Nothing, settings(&snapshot), &limits, at(0), &mut draws).1;
    let sampled = (0..100_000).filter(|_| ask()).count();
    // Ten standard deviations.
    assert!((700..1_300).contains(&sampled), "{sampled}");
}

#[test]
fn the_limit_of_strangers_is_one_of_each_second() {
    let snapshot = snapshot("share = 0\nfrom_strangers = 2");
    let (limits, mut draws) = (TraceLimits::default(), Draws::seeded(1));
    let mut ask = |millis| {
        decide(Brought::Strange(true), settings(&snapshot), &limits, at(millis), &mut draws).1
    };
    let granted = [0, 0, 0, 499, 500, 500, 1_500, 1_500, 1_500].map(&mut ask);
    assert_eq!(granted, [true, true, false, false, true, false, true, true, false]);
}

#[test]
fn what_is_kept_once_it_is_over_has_a_reason() {
    let snapshot = snapshot(ALL);
    let one = noted(&[attempt(0, 5)]);
    let two = noted(&[attempt(1, 2), attempt(0, 5)]);
    let shed = |cause| Record { cause: Some(cause), ..record(BLUE, 503, &one) };
    let kept = |record: &Record<'_>| kept_for(record, settings(&snapshot), &snapshot);
    assert_eq!(kept(&record(BLUE, 200, &one)), None);
    assert_eq!(kept(&record(BLUE, 404, &one)), None);
    assert_eq!(kept(&record(BLUE, 500, &one)), Some(Keep::Error));
    assert_eq!(kept(&record(GREEN, 200, &two)), Some(Keep::Retried));
    assert_eq!(kept(&record(GREEN, 500, &two)), Some(Keep::Error), "the worst is told");
    assert_eq!(kept(&record(GREEN, 200, &one)), Some(Keep::Canary));
    assert_eq!(kept(&shed(Cause::Full)), Some(Keep::Shed));
    assert_eq!(kept(&shed(Cause::RateLimited)), Some(Keep::Shed));
    assert_eq!(kept(&shed(Cause::Open)), Some(Keep::Error));
    assert_eq!(kept(&shed(Cause::Maintenance)), None, "somebody wants it so");
}

#[test]
fn slow_is_what_is_slower_than_the_p99_of_its_pool() {
    let snapshot = snapshot(ALL);
    let slow = |took| {
        let noted = noted(&[attempt(0, took)]);
        kept_for(&record(BLUE, 200, &noted), settings(&snapshot), &snapshot)
    };
    assert_eq!(slow(60_000), None, "nobody knows what is usual");
    let times = [10, 20, 30].map(Duration::from_millis);
    snapshot.services[0].pools[0].state.slow_from.set(times);
    assert_eq!([slow(25), slow(30), slow(31)], [None, None, Some(Keep::Slow)]);
}

#[test]
fn only_what_is_wanted_is_kept_and_a_trusted_no_stands() {
    let snapshot_of = snapshot;
    let snapshot = snapshot_of("keep = [\"retried\"]");
    let mut one = noted(&[attempt(0, 5)]);
    assert_eq!(kept_for(&record(BLUE, 500, &one), settings(&snapshot), &snapshot), None);
    for (lines, decided, is_sampled, expected) in [
        ("", Decided::Here, false, Some(Keep::Error)),
        ("", Decided::Stranger, false, Some(Keep::Error)),
        ("", Decided::Parent, false, None),
        ("despite_parent = true", Decided::Parent, false, Some(Keep::Error)),
        ("", Decided::Here, true, None),
    ] {
        let snapshot = snapshot_of(lines);
        one.traced = Some(traced(decided, is_sampled));
        let kept = kept_for(&record(BLUE, 500, &one), settings(&snapshot), &snapshot);
        assert_eq!(kept, expected, "{lines} {decided:?} {is_sampled}");
    }
}

#[test]
fn no_more_are_kept_than_may_be() {
    let snapshot = snapshot("keep_at_most = 3");
    let one = noted(&[attempt(0, 5)]);
    let waiting = Waiting::new(1);
    (0..5).for_each(|_| waiting.read(&record(BLUE, 500, &one), &snapshot));
    let mut spans = 0;
    waiting.take(&mut Vec::new(), |mut bytes| {
        spans += std::iter::from_fn(|| Entry::split(&mut bytes)).map(Entry::spans).sum::<u64>();
    });
    assert_eq!((spans, waiting.dropped(Dropped::KeepLimit)), (6, 4));
    let none = Traces { keep_at_most: 0, ..settings(&snapshot).clone() };
    assert!(!may_be_kept(&record(BLUE, 500, &one), &none, &snapshot));
}

#[test]
fn what_has_no_room_is_counted() {
    let snapshot = snapshot("");
    let mut one = noted(&[attempt(0, 5)]);
    one.traced = Some(traced(Decided::Here, true));
    let waiting = Waiting::new(1);
    let mut put = 0;
    while waiting.dropped(Dropped::NoRoom) == 0 {
        waiting.read(&record(BLUE, 200, &one), &snapshot);
        put += 1;
    }
    assert_eq!(waiting.dropped(Dropped::NoRoom), 2, "its span, and that of its attempt");
    assert!(put > 2_000, "{put}");
}

#[test]
fn events_point_at_the_last_that_failed_of_their_pool_and_at_nothing_old() {
    let (snapshot, examples) = (snapshot(""), Examples::default());
    let now = (at(0), WallTime::from_millis(1_000_000));
    let note_at = |wall, pool, status, trace: u8| {
        let mut one = noted(&[attempt(0, 5)]);
        one.trace = Some(([trace; 32], [b'b'; 16]));
        let mut bytes = Vec::new();
        Entry::encode(&record(pool, status, &one), Some(Keep::Error), &snapshot, &mut bytes);
        assert_eq!(Entry::has_failed(&bytes), status == 500);
        examples.note(&Entry::decode(&bytes, (now.0, wall)).unwrap());
    };
    let note = |pool, status, trace| note_at(now.1, pool, status, trace);
    note(BLUE, 200, b'1');
    assert_eq!(examples.of("shop", "blue", now.1), None);
    note(BLUE, 500, b'2');
    note(BLUE, 500, b'3');
    let of = |pool, later| examples.of("shop", pool, now.1 + Duration::from_secs(later));
    assert_eq!(of("blue", 60), Some("3".repeat(32)));
    assert_eq!((of("green", 0), of("", 0)), (None, Some("3".repeat(32))));
    assert_eq!((of("blue", 61), examples.of("other", "", now.1)), (None, None));
    // The clock is set back by an hour: what failed before that is not of now, and makes room.
    let hour = Duration::from_secs(3_600);
    assert_eq!(examples.of("shop", "blue", now.1 - hour), None);
    note_at(now.1 + hour, BLUE, 500, b'4');
    note(BLUE, 500, b'5');
    assert_eq!(examples.of("shop", "blue", now.1), Some("5".repeat(32)));
}

#[test]
fn what_was_put_aside_is_found_again() {
    let snapshot = snapshot("");
    let mut two = noted(&[
        Attempt { status: None, cause: Some(Cause::Reset), ..attempt(1, 2) },
        attempt(0, 5),
    ]);
    let parent = Some(*b"00f067aa0ba902b7");
    two.traced = Some(Traced {
        parent,
        flags: 3,
        is_sampled: true,
        decided: Decided::Stranger,
        is_https: true,
    });
    let mut bytes = Vec::new();
    let mut rewritten = record(GREEN, 200, &two);
    rewritten.said.rewritten = Some("/?a=1");
    Entry::encode(&rewritten, Some(Keep::Retried), &snapshot, &mut bytes);
    let length = bytes.len();
    let last = noted(&[]);
    Entry::encode(&Record { pool: None, ..record(BLUE, 404, &last) }, None, &snapshot, &mut bytes);
    let mut rest = &bytes[..];
    let (first, second) = (Entry::split(&mut rest).unwrap(), Entry::split(&mut rest).unwrap());
    assert_eq!((first.len(), Entry::split(&mut rest)), (length, None));
    assert_eq!([first, second].map(Entry::spans), [3, 1]);
    let now = (at(1_000), WallTime::from_millis(1_000_000));
    let entry = Entry::decode(first, now).unwrap();
    assert_eq!((entry.at, entry.flags, entry.decided), (at(0), 3, Decided::Stranger));
    assert_eq!(
        (&*entry.parent, &*entry.route, &*entry.target, &*entry.rewritten),
        ("00f067aa0ba902b7", "/cart", "/cart?a=1", "/?a=1")
    );
    assert_eq!((entry.kept_for, entry.is_canary), (Some(Keep::Retried), Some(true)));
    assert_eq!((entry.is_https, entry.has_failed), (true, false));
    assert_eq!(entry.breaker, Some(BreakerState::Closed));
    assert_eq!(entry.kept.attempts[0].cause, "reset");
    let spans: Vec<u64> = entry.attempts.iter().map(|attempt| attempt.span).collect();
    assert_eq!(spans, [0xb0b1, 0xb0b0]);
    let entry = Entry::decode(second, now).unwrap();
    assert_eq!((entry.kept_for, entry.is_canary, entry.breaker), (None, None, None));
    assert_eq!((&*entry.parent, &*entry.rewritten, entry.attempts.len()), ("", "", 0));
    for cut in 0..first.len() {
        assert_eq!(Entry::decode(&first[..cut], now), None, "{cut}");
    }
}
