use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Version;

use super::*;
use crate::balance::NotTaken;
use crate::clock::{Moment, WallTime};
use crate::config::Config;
use crate::http::failure::Cause;
use crate::record::{Attempt, Decided, KeptAttempt, Noted, Said, TimedAttempt, Traced};
use crate::snapshot::{Blueprint, By, RunTime};
use crate::split::{Cohort, Secret};
use crate::upstream::{Outcome, StatusClass};

const FILE: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
split = { blue = 90, green = 10 }
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80", "192.0.2.2:80"]
green.upstreams = ["192.0.2.3:80"]
"#;

fn snapshot() -> Snapshot {
    let (config, _) = Config::parse(FILE).unwrap();
    let (config, run_time) = (Arc::new(config), RunTime::default());
    let (secret, now) = (Secret([1; 16]), Instant::now());
    Snapshot::build(&Blueprint { config, run_time: &run_time, secret, now }, None)
}

/// A time at which the nth request came in the nth millisecond.
const NOW: (Moment, WallTime) =
    (Moment::from_micros(1_000_000_000), WallTime::from_millis(1_000_000));

/// A request that took the usual way, the nth.
fn record<'r>(nth: u64, request_id: &'r str, outcome: Outcome, noted: &'r Noted) -> Record<'r> {
    Record {
        own: None,
        pool: Some((0, 0)),
        closed: None,
        outcome,
        status: Some(200),
        cause: None,
        duration: Duration::from_millis(5),
        waited: Duration::ZERO,
        felt: Duration::from_millis(5),
        at: Moment::from_micros(nth * 1_000),
        request_id: request_id.as_bytes(),
        said: Said { method: "GET", host: b"shop.test", target: "/?a", ..Said::default() },
        noted,
    }
}

/// This many milliseconds after the seventh request came.
const fn at(millis: u64) -> Moment {
    Moment::from_micros((7 + millis) * 1_000)
}

/// An attempt that nothing was noted of.
const ATTEMPT: Attempt = Attempt {
    span: 0,
    pool: 0,
    member: 0,
    chosen: at(0),
    began: at(0),
    connected: None,
    is_reused: false,
    sent: None,
    head: None,
    done: at(0),
    status: None,
    cause: None,
    outcome: Outcome::ClientGone,
    held: Outcome::ClientGone,
    is_withheld: false,
    grpc: None,
    metrics: 0,
    is_judged: false,
    to_upstream: 0,
    from_upstream: 0,
};

/// Of a request that a collector is told of.
const SAMPLED: Traced =
    Traced { parent: None, flags: 3, is_sampled: true, decided: Decided::Here, is_https: false };

const GOOD: Outcome = Outcome::Status(StatusClass::Success);
const BAD: Outcome = Outcome::Status(StatusClass::ServerError);

fn ids(rings: &Rings) -> Vec<String> {
    rings.latest(usize::MAX, NOW).into_iter().map(|kept| kept.request_id).collect()
}

#[test]
fn all_that_was_noted_is_found_again() {
    let (rings, snapshot) = (Rings::new(1 << 20, 2), snapshot());
    let millis = Duration::from_millis;
    let mut noted = Noted {
        client: Some([192, 0, 2, 9].into()),
        version: Version::HTTP_10,
        connection_age: millis(77),
        route: Some(2),
        by: Some(By::Cohort(Cohort::new(4_321))),
        trace: Some(([b'a'; 32], [b'b'; 16])),
        traced: Some(SAMPLED),
        from_client: 17,
        to_client: 1 << 40,
        ..Noted::default()
    };
    let failed = Attempt {
        pool: 1,
        member: 0,
        connected: Some(at(1)),
        is_reused: true,
        sent: Some(at(2)),
        done: at(3),
        cause: Some(Cause::Reset),
        to_upstream: 17,
        ..ATTEMPT
    };
    let answered = Attempt {
        pool: 0,
        member: 1,
        chosen: at(4),
        began: at(5),
        head: Some(at(9)),
        done: at(10),
        status: Some(503),
        from_upstream: 1 << 40,
        ..ATTEMPT
    };
    [failed, answered].into_iter().for_each(|attempt| noted.tried(attempt));
    noted.pass_over(0, vec![(0, NotTaken::Ejected)]);
    let path = format!("/{}é", "a".repeat(254));
    let mut record = record(7, "some-id", BAD, &noted);
    (record.status, record.cause) = (Some(502), Some(Cause::Reset));
    record.waited = millis(40);
    record.said = Said { method: "PROPFIND", target: &path, ..record.said };
    rings.read(&record, &snapshot);
    let first = KeptAttempt {
        pool: "green".into(),
        upstream: "192.0.2.3:80".into(),
        chosen: Duration::ZERO,
        connected: Some(millis(1)),
        is_reused: true,
        sent: Some(millis(2)),
        head: None,
        done: millis(3),
        status: None,
        cause: Cause::Reset.row().name.into(),
        began: Duration::ZERO,
        to_upstream: 17,
        from_upstream: 0,
    };
    let second = KeptAttempt {
        pool: "blue".into(),
        upstream: "192.0.2.2:80".into(),
        chosen: millis(4),
        connected: None,
        is_reused: false,
        sent: None,
        head: Some(millis(9)),
        done: millis(10),
        status: Some(503),
        cause: String::new(),
        began: millis(5),
        to_upstream: 0,
        from_upstream: 1 << 40,
    };
    let kept = Kept {
        at: WallTime::from_millis(7),
        request_id: "some-id".into(),
        method: "PROPFIND".into(),
        host: "shop.test".into(),
        // The last letter is cut in two.
        path: format!("/{}…", "a".repeat(254)),
        version: Version::HTTP_10,
        client: Some([192, 0, 2, 9].into()),
        status: Some(502),
        cause: Cause::Reset.row().name.into(),
        duration: millis(5),
        waited: millis(40),
        connection_age: millis(77),
        service: "shop".into(),
        route: Some(2),
        pool: "blue".into(),
        revision: 0,
        by: Some(By::Cohort(Cohort::new(4_321))),
        trace: ("a".repeat(32), "b".repeat(16)),
        is_sampled: true,
        from_client: 17,
        to_client: 1 << 40,
        attempts: vec![first, second],
        not_taken: vec![("blue".into(), "192.0.2.1:80".into(), NotTaken::Ejected)],
    };
    assert_eq!(rings.find("some-id", NOW), Some(kept));
    assert_eq!(rings.find("some-i", NOW), None);
}

#[test]
fn what_was_refused_before_it_had_a_pool_is_kept_too() {
    let (rings, snapshot, noted) = (Rings::new(1 << 20, 1), snapshot(), Noted::default());
    let mut record = record(1, "-", Outcome::Status(StatusClass::ClientError), &noted);
    (record.pool, record.cause) = (None, Some(Cause::NoRoute));
    record.said = Said::default();
    rings.read(&record, &snapshot);
    let kept = rings.find("-", NOW).unwrap();
    assert_eq!((&*kept.service, &*kept.pool, &*kept.host, kept.client), ("", "", "", None));
    assert_eq!((kept.by, &*kept.cause), (None, Cause::NoRoute.row().name));
}

#[test]
fn the_oldest_go_first_and_no_more_bytes_are_taken_than_may_be() {
    const BYTES: usize = 64 << 10;
    let (rings, snapshot, noted) = (Rings::new(BYTES, 1), snapshot(), Noted::default());
    assert_eq!(rings.bytes(), 0, "nothing is taken before it is needed");
    let mut most = 0;
    for nth in 0..5_000 {
        rings.read(&record(nth, &nth.to_string(), GOOD, &noted), &snapshot);
        most = most.max(rings.bytes());
    }
    assert!((BYTES / 4..=BYTES / 2).contains(&most), "{most}");
    let ids = ids(&rings);
    let expected: Vec<String> =
        (0..5_000u64).rev().take(ids.len()).map(|n| n.to_string()).collect();
    assert!(ids.len() > 100 && ids == expected, "{ids:?}");
    assert_eq!((rings.find("0", NOW), rings.left_out()), (None, 0));
}

#[test]
fn a_flood_of_good_ones_washes_no_failure_away() {
    let (rings, snapshot, noted) = (Rings::new(64 << 10, 1), snapshot(), Noted::default());
    rings.read(&record(0, "failed", BAD, &noted), &snapshot);
    (1..5_000).for_each(|nth| rings.read(&record(nth, "good", GOOD, &noted), &snapshot));
    assert!(rings.find("failed", NOW).is_some());
    (1..5_000).for_each(|nth| rings.read(&record(nth, "bad", BAD, &noted), &snapshot));
    assert!(rings.find("failed", NOW).is_none() && rings.find("good", NOW).is_some());
    assert!(rings.bytes() <= 64 << 10, "{}", rings.bytes());
}

#[test]
fn of_two_with_the_same_id_the_later_is_found() {
    let (rings, snapshot, noted) = (Rings::new(1 << 20, 1), snapshot(), Noted::default());
    for (nth, outcome) in [(1, GOOD), (3, BAD), (2, GOOD)] {
        rings.read(&record(nth, "same", outcome, &noted), &snapshot);
    }
    assert_eq!(rings.find("same", NOW).map(|kept| kept.at.millis()), Some(3));
}

#[test]
fn a_writer_never_waits_for_a_reader() {
    let (rings, snapshot, noted) = (Rings::new(1 << 20, 1), snapshot(), Noted::default());
    let reader = rings.rings[0].lock().unwrap();
    // With a wait this would never end.
    rings.read(&record(1, "left-out", GOOD, &noted), &snapshot);
    drop(reader);
    rings.read(&record(2, "kept", GOOD, &noted), &snapshot);
    assert_eq!((ids(&rings), rings.left_out()), (vec!["kept".into()], 1));
}

#[test]
fn a_writer_that_finds_a_reader_at_its_ring_takes_another() {
    let (rings, snapshot, noted) = (Rings::new(1 << 20, 2), snapshot(), Noted::default());
    for read in &rings.rings {
        let reader = read.lock().unwrap();
        rings.read(&record(1, "kept", GOOD, &noted), &snapshot);
        drop(reader);
    }
    assert_eq!((ids(&rings), rings.left_out()), (vec!["kept".into(), "kept".into()], 0));
}

#[test]
fn with_no_bytes_nothing_is_remembered() {
    let (rings, snapshot, noted) = (Rings::new(0, 4), snapshot(), Noted::default());
    rings.read(&record(1, "id", BAD, &noted), &snapshot);
    assert_eq!((rings.latest(9, NOW), rings.bytes()), (Vec::new(), 0));
}

#[test]
fn many_workers_and_a_reader_at_once_keep_whole_records() {
    let (rings, snapshot) = (Rings::new(256 << 10, 4), snapshot());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (rings, snapshot) = (&rings, &snapshot);
            scope.spawn(move || {
                let noted = Noted::default();
                for nth in 0..3_000 {
                    let id = format!("{worker}-{nth}");
                    rings.read(&record(nth, &id, GOOD, &noted), snapshot);
                }
            });
        }
        for _ in 0..50 {
            for kept in rings.latest(usize::MAX, NOW) {
                assert_eq!((&*kept.method, &*kept.path, &*kept.pool), ("GET", "/", "blue"));
                let nth = kept.request_id.split_once('-').unwrap().1;
                assert_eq!(nth.parse(), Ok(kept.at.millis()));
            }
        }
    });
    assert!(!rings.latest(1, NOW).is_empty());
}

#[test]
fn exemplars_are_made_of_the_latest_requests_however_many_are_remembered() {
    let (rings, snapshot) = (Rings::new(8 << 20, 1), snapshot());
    let millis = |millis: u64| Moment::from_micros(5_000_000 + millis * 1_000);
    let (chosen, began, done) = (millis(0), millis(1), millis(4));
    let attempt = Attempt { chosen, began, done, ..ATTEMPT };
    let noted = Noted {
        trace: Some(([b'a'; 32], [b'b'; 16])),
        attempts: [attempt].into_iter().collect(),
        ..Noted::default()
    };
    let sampled = Noted { traced: Some(SAMPLED), ..noted.clone() };
    let nameless = Noted::default();
    for nth in 0..5_000 {
        rings.read(&record(nth, "id", GOOD, &noted), &snapshot);
    }
    rings.read(&record(5_000, "id", BAD, &sampled), &snapshot);
    rings.read(&record(5_001, "id", GOOD, &nameless), &snapshot);
    assert_eq!(ids(&rings).len(), 5_002);
    let timed = rings.timed(NOW);
    assert!(timed.len() < 1_200, "{} of the last blocks", timed.len());
    let latest = timed.iter().map(|one| one.at.millis()).max();
    assert_eq!(latest, Some(5_000), "one without a trace is none");
    let last = Timed {
        at: WallTime::from_millis(5_000),
        trace: [b'a'; 32],
        is_sampled: true,
        duration: Duration::from_millis(5),
        service: "shop".into(),
        pool: "blue".into(),
        attempts: vec![TimedAttempt {
            pool: "blue".into(),
            upstream: "192.0.2.1:80".into(),
            took: Duration::from_millis(3),
        }],
    };
    let found: Vec<_> = timed.iter().filter(|one| one.at.millis() == 5_000).collect();
    assert_eq!(found, [&last]);
    assert_eq!(timed.iter().filter(|one| one.is_sampled).count(), 1);
}

#[test]
fn a_request_has_one_time_however_often_it_is_told_and_a_clock_that_was_set_counts() {
    let (rings, snapshot) = (Rings::new(1 << 20, 1), snapshot());
    let noted = Noted { trace: Some(([b'a'; 32], [b'b'; 16])), ..Noted::default() };
    rings.read(&record(7, "mine", Outcome::Status(StatusClass::Success), &noted), &snapshot);
    // The process counts microseconds and people milliseconds, so that both never step at once.
    let look = |micros: u64, set: u64| {
        let now = Moment::from_micros(NOW.0.micros() + micros);
        let wall = WallTime::from_millis(NOW.1.millis() + (micros + 300) / 1_000 + set);
        let at = rings.find("mine", (now, wall)).unwrap().at;
        assert_eq!(rings.timed((now, wall))[0].at, at, "an exemplar of it has the same");
        at
    };
    let first = look(0, 0);
    assert!((0..5_000).step_by(50).all(|micros| look(micros, 0) == first));
    assert_eq!(rings.latest(1, NOW)[0].at, first);
    assert_eq!(look(5_000, 60_000), first + Duration::from_secs(60));
}
