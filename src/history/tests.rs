use super::*;
use crate::config::Config;
use crate::snapshot::{Blueprint, RunTime, Traffic};
use crate::split::{Secret, Split};
use crate::upstream::{Outcome, StatusClass};

const FILE: &str = "[[listeners]]\naddress = \":0\"\n[services.s]\nsplit = { a = 100 }\n\
                    pools.a.upstreams = [\"a:1\"]\npools.b.upstreams = [\"b:1\"]\n";

fn snapshot_of(file: &str, to: &str, revision: u64, before: Option<&Snapshot>) -> Snapshot {
    let traffic = Traffic { split: Split::all_to(to.into()), revision, salt: 0, layout: None };
    let traffic = [("s".into(), traffic)].into_iter().collect();
    let run_time = RunTime { traffic, ..RunTime::default() };
    let config = Arc::new(Config::parse(file).unwrap().0);
    let now = Instant::now();
    let blueprint = Blueprint { config, run_time: &run_time, secret: Secret([1; 16]), now };
    Snapshot::build(&blueprint, before)
}

fn snapshot(to: &str, revision: u64, before: Option<&Snapshot>) -> Snapshot {
    snapshot_of(FILE, to, revision, before)
}

/// A request that a pool answers with this status.
fn ask(snapshot: &Snapshot, pool: &str, status: u16) {
    let pool = snapshot.services[0].pool(pool).unwrap();
    let outcome = Outcome::Status(StatusClass::of(status));
    pool.state.tally.record(outcome, Duration::from_millis(30));
    pool.members.list()[0].upstream.tally.record(outcome, Duration::from_millis(30));
}

#[test]
fn shares_of_the_split_before_are_none_of_this_one() {
    let (history, start) = (History::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let shares = |revision| -> Vec<Option<f64>> {
        let rates = history.rates("s", revision);
        ["a", "b"].map(|pool| rates[pool].share).into()
    };
    let first = snapshot("a", 1, None);
    history.look(&first, at(0), WallTime::default());
    ask(&first, "a", 200);
    history.look(&first, at(1), WallTime::default());
    assert_eq!(shares(1), [Some(1.0), Some(0.0)]);
    let second = snapshot("b", 2, Some(&first));
    assert_eq!(shares(2), [None, None], "nobody has looked at it yet");
    history.look(&second, at(2), WallTime::default());
    assert_eq!(shares(2), [None, None], "nothing has come yet");
    ask(&second, "b", 200);
    history.look(&second, at(3), WallTime::default());
    assert_eq!(shares(2), [Some(0.0), Some(1.0)]);
}

#[test]
fn a_pool_that_came_meanwhile_is_counted_from_its_beginning() {
    let (history, start) = (History::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let alone = FILE.replace("pools.b.upstreams = [\"b:1\"]\n", "");
    let first = snapshot_of(&alone, "a", 1, None);
    (0..20).for_each(|second| history.look(&first, at(second), WallTime::default()));
    let second = snapshot("a", 1, Some(&first));
    (0..4).for_each(|_| ask(&second, "b", 200));
    (0..4).for_each(|_| ask(&second, "b", 500));
    history.look(&second, at(20), WallTime::default());
    let rate = history.rates("s", 1)["b"];
    assert_eq!((rate.requests, rate.errors, rate.share), (0.8, 0.5, Some(1.0)));
    assert!((rate.mean - 0.03).abs() < 1e-9, "{rate:?}");
}

#[test]
fn what_is_kept_has_a_bound_and_goes_with_its_service() {
    let (history, start) = (History::default(), Instant::now());
    let full = snapshot("a", 1, None);
    // Two looks within a second are one; an hour of seconds is kept.
    let look = |half: u64| {
        let wall = WallTime::from_millis(500 * half);
        history.look(&full, start + Duration::from_millis(500 * half), wall);
    };
    for half in 0..8_000 {
        ask(&full, "a", 503);
        look(half);
    }
    let kept = format!("{:?}", history.0.lock().unwrap());
    (8_000..16_000).for_each(look);
    let later = format!("{:?}", history.0.lock().unwrap());
    assert!(later.len() < kept.len() * 11 / 10, "{} grew to {}", kept.len(), later.len());
    let empty = "[[listeners]]\naddress = \":0\"\n[services.t.pools.a]\nupstreams = [\"a:1\"]\n";
    let other = snapshot_of(empty, "a", 1, None);
    history.look(&other, start + Duration::from_secs(9_000), WallTime::default());
    assert_eq!(history.0.lock().unwrap().services.keys().collect::<Vec<_>>(), [&"t".into()]);
    assert!(history.rates("s", 1).is_empty());
}

#[test]
fn seconds_that_nobody_could_look_in_make_no_spike() {
    let (history, start) = (History::default(), Instant::now());
    let full = snapshot("a", 1, None);
    for second in (0..20).chain(24..30) {
        let asked = if second == 24 { 5 } else { 1 };
        (0..asked).for_each(|_| ask(&full, "a", 200));
        let wall = WallTime::from_millis(second * 1_000);
        history.look(&full, start + Duration::from_secs(second), wall);
    }
    let points = &history.newest_points("s", 100)["a"];
    let told: Vec<(u32, u32)> = points.iter().map(|it| (it.at, it.requests)).collect();
    // What it had done by the first look was not done in a second.
    assert_eq!(told, (1..30).map(|at| (at, 1)).collect::<Vec<_>>());
}

#[test]
fn a_past_is_the_last_ten_to_twelve_minutes() {
    let (history, start) = (History::default(), Instant::now());
    let snapshot = snapshot("a", 1, None);
    let pool = snapshot.services[0].pool("a").unwrap();
    for second in 0..1_800 {
        history.look(&snapshot, start + Duration::from_secs(second), WallTime::default());
        ask(&snapshot, "a", 200);
        pool.state.latency.record(Duration::from_millis(1));
    }
    let taken = history.past(&snapshot.services[0], pool).latency.total();
    assert!((600..=720).contains(&taken), "{taken}");
    assert_eq!(
        History::default().past(&snapshot.services[0], pool).latency.total(),
        1_800,
        "all there is"
    );
}

#[test]
fn a_pool_that_nobody_knows_took_nothing() {
    assert_eq!(History::default().latencies("s", "p"), <[Distribution; 3]>::default());
}

#[test]
fn a_service_that_rests_is_told_of_as_if_all_of_it_had_been_read() {
    let (history, start) = (History::default(), Instant::now());
    let first = snapshot("a", 1, None);
    let mut second = 0;
    let mut look = |snapshot: &Snapshot, times: u64| {
        for _ in 0..times {
            history.look(snapshot, start + Duration::from_secs(second), WallTime::default());
            second += 1;
        }
    };
    let rests = |snapshot: &Snapshot| {
        let minutes = history.minutes();
        minutes.services["s"].rests(&snapshot.services[0].pools)
    };
    look(&first, 20);
    assert!(rests(&first), "it was never asked");
    (0..5).for_each(|_| ask(&first, "a", 500));
    assert!(!rests(&first));
    look(&first, 600);
    assert!(!rests(&first), "some of what it did is still told");
    look(&first, 400);
    assert!(rests(&first));
    let pool = first.services[0].pool("a").unwrap();
    (0..10).for_each(|_| ask(&first, "a", 200));
    (0..10).for_each(|_| pool.state.latency.record(Duration::from_millis(1)));
    look(&first, 1);
    let rate = history.rates("s", 1)["a"];
    assert_eq!((rate.requests, rate.errors), (1.0, 0.0));
    assert_eq!(history.upstream_rates("s", "a")["a:1"].requests, 1.0);
    assert_eq!(history.past(&first.services[0], pool).latency.total(), 10);
    assert_eq!(history.latencies("s", "a").map(|window| window.total()), [10; 3]);
    look(&first, 1_000);
    assert!(rests(&first));
    let grown = FILE.replace("[\"b:1\"]", "[\"b:1\", \"b:2\"]");
    let second = snapshot_of(&grown, "a", 1, Some(&first));
    assert!(!rests(&second), "one of its upstreams is new");
    look(&second, 1);
    assert!(history.upstream_rates("s", "b").contains_key("b:2"));
}

#[test]
fn what_was_bad_before_a_rollout_is_what_is_bad_in_it() {
    let own = format!("{FILE}judge.errors = [\"429\"]\n");
    for (file, counted) in [(FILE, (40, 10)), (&own, (40, 20))] {
        let (history, start) = (History::default(), Instant::now());
        let snapshot = snapshot_of(file, "a", 1, None);
        let service = &snapshot.services[0];
        assert_eq!(service.counted.is_some(), file != FILE);
        let pool = service.pool("a").unwrap();
        history.look(&snapshot, start, WallTime::default());
        // What the record of a request tells both accounts.
        for at in 0..40 {
            let status = [429, 500, 429, 200][at % 4];
            ask(&snapshot, "a", status);
            pool.state.attempts.count(status >= 500);
            if let Some(errors) = &service.counted {
                let is_bad = errors.count(crate::judge::Ending::Answer { status, grpc: None });
                pool.members.list()[0].upstream.judged.count(is_bad);
            }
        }
        (1..=10).for_each(|second| {
            history.look(&snapshot, start + Duration::from_secs(second), WallTime::default())
        });
        let past = history.past(service, pool);
        assert_eq!((past.attempts.total, past.attempts.bad), counted);
        // What it had done by the first look was not done in a second.
        assert!((past.bursts.seconds().mean() * 9.0 - 40.0).abs() < 1e-9);
    }
}

#[test]
fn what_upstreams_do_is_recorded_where_the_file_has_rollouts() {
    let (history, start) = (History::default(), Instant::now());
    let with = snapshot_of(&format!("{FILE}rollout.hold = \"1m\"\n"), "a", 1, None);
    let without = snapshot("a", 1, Some(&with));
    let mut at = 0;
    let mut look = |history: &History, snapshot: &Snapshot, seconds: u64| {
        for _ in 0..seconds {
            ask(snapshot, "a", if at % 10 == 0 { 500 } else { 200 });
            let wall = WallTime::from_millis(at * 1_000);
            history.look(snapshot, start + Duration::from_secs(at), wall);
            at += 1;
        }
    };
    look(&history, &without, 100);
    assert_eq!(history.recording("s"), None);
    look(&history, &with, 150);
    let recording = history.recording("s").unwrap();
    assert_eq!(recording.length(), Duration::from_secs(120));
    assert_eq!(recording.busiest().as_deref(), Some("a"));
    let last = &recording.minutes[1];
    let pools: Vec<&str> = last.pools.iter().map(|pool| &*pool.pool).collect();
    assert_eq!((pools, last.follows, last.pools[0].requests()), (vec!["a", "b"], true, 60));
    let text = &last.pools[0].upstreams[0].1;
    assert_eq!(text.matches("1/1").count(), 6, "{text}");

    let unsaved = history.unsaved_minutes();
    let keys: Vec<&str> = unsaved.iter().map(|(of, _)| &**of).collect();
    assert_eq!((keys, history.unsaved_minutes()), (vec!["s/00", "s/01"], Vec::new()));
    let kept: Vec<(Arc<str>, Arc<Minute>)> =
        unsaved.into_iter().map(|(of, minute)| (of, minute.unwrap())).collect();
    let next = History::default();
    next.restore_recorded(kept.iter().map(|(of, minute)| (of, minute)));
    look(&next, &with, 60);
    let minutes = next.recording("s").unwrap().minutes;
    assert_eq!((minutes.len(), minutes[2].number, minutes[2].follows), (3, 2, false));
    look(&next, &without, 1);
    assert_eq!(next.recording("s"), None);
}

#[test]
fn what_is_recorded_takes_no_more_room_than_there_is() {
    let (history, start) = (History::default(), Instant::now());
    let snapshot = snapshot_of(&format!("{FILE}rollout.hold = \"1m\"\n"), "a", 1, None);
    for at in 0..=600 {
        ask(&snapshot, "a", 200);
        history.look(&snapshot, start + Duration::from_secs(at), WallTime::default());
    }
    let whole = history.minutes().services["s"].ring().unwrap().bytes();
    history.minutes().keep_within(whole);
    assert_eq!(history.recording("s").unwrap().minutes.len(), 10);
    history.minutes().keep_within(whole / 2);
    let left = history.recording("s").unwrap().minutes;
    assert!((3..=5).contains(&left.len()) && left.last().unwrap().number == 9, "{}", left.len());
    history.minutes().keep_within(0);
    assert_eq!(history.recording("s").unwrap().minutes.len(), 0);
    assert!(history.minutes().services["s"].ring().unwrap().bytes() < whole / 10);
}
