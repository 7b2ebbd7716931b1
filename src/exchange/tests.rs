use std::time::{Duration, Instant, SystemTime};

use http::header::UPGRADE;
use http::{HeaderMap, Method, Uri, Version};

use super::phases::{Delivery, Link, Next, Relay};
use super::*;
use crate::balance::NotTaken;
use crate::clock::{Moment, WallTime};
use crate::config::Config;
use crate::http::admission::RequestTarget;
use crate::http::view::View;
use crate::judge::Counts;
use crate::record::Rings;
use crate::snapshot::{Blueprint, By, RunTime, Traffic};
use crate::split::{Secret, Split};
use crate::upstream::BreakerOrder;
use http::header::HeaderName;

const FILE: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[[routes]]
hosts = ["shop.test"]
service = "shop"
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80", "192.0.2.2:80"]
"#;

fn clock() -> Clock {
    Clock { now: Instant::now, wall: SystemTime::now, draw: || 42 }
}

fn snapshot() -> Arc<Snapshot> {
    snapshot_of(FILE)
}

pub(super) fn snapshot_of(text: &str) -> Arc<Snapshot> {
    build(text, RunTime::default())
}

/// The same after a shift: all but one in a hundred requests go to the canary now, which chance
/// never misses here. The stable pool is still the one that the file says.
fn snapshot_shifted(text: &str) -> Arc<Snapshot> {
    let share = |pool: &str, percent: u16| {
        (pool.into(), crate::split::BasisPoints::new(percent * 100).unwrap())
    };
    let split = Split::new([share("blue", 1), share("green", 99)]).unwrap();
    let traffic = [("shop".into(), Traffic { split, revision: 2, salt: 0, layout: None })]
        .into_iter()
        .collect();
    build(text, RunTime { traffic, ..RunTime::default() })
}

pub(super) fn build(text: &str, run_time: RunTime) -> Arc<Snapshot> {
    let (config, _) = Config::parse(text).unwrap();
    let blueprint = Blueprint {
        config: Arc::new(config),
        run_time: &run_time,
        secret: Secret([0; 16]),
        now: Instant::now(),
    };
    Arc::new(Snapshot::build(&blueprint, None))
}

/// Some time, twice.
const NOW: (Moment, WallTime) = (Moment::from_micros(0), WallTime::from_millis(0));

/// Nobody asks for these.
pub(super) fn last() -> Arc<Rings> {
    Arc::new(Rings::new(0, 1))
}

/// An exchange that sees this snapshot.
fn open(clock: Clock, snapshot: &Arc<Snapshot>) -> Exchange {
    Exchange::open(clock, Arc::new(Published::of(snapshot.clone())), last())
}

fn admit(exchange: &mut Exchange, fields: &[(&'static str, &str)]) -> Result<(), Cause> {
    admit_as(&Method::GET, exchange, fields)
}

fn admit_as(
    method: &Method,
    exchange: &mut Exchange,
    fields: &[(&'static str, &str)],
) -> Result<(), Cause> {
    let host = [("host", "shop.test")];
    let host = if fields.iter().any(|(name, _)| *name == "host") { &host[1..] } else { &host };
    let headers: HeaderMap = [host, fields]
        .concat()
        .iter()
        .map(|&(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    let uri = Uri::from_static("/");
    let version = Version::HTTP_11;
    let target = RequestTarget::read(b"/", &uri);
    let head = Head { method, target, version, view: View::Map(&headers), raw: b"" };
    let peer = Peer::new([192, 0, 2, 9].into(), "http", Instant::now());
    match exchange.admit(&head, &peer) {
        Admission::Forward(_) => Ok(()),
        Admission::Answer(_) => Err(exchange.cause().unwrap()),
        Admission::Wait(_) => panic!("it waits"),
    }
}

/// Hears a head of the upstream's.
fn head(
    exchange: &mut Exchange,
    status: u16,
    headers: &HeaderMap,
    can_replay: bool,
) -> Result<(), Cause> {
    let delivery = Delivery { can_replay, ..SENT };
    match exchange.attempt().unwrap().head(status, View::Map(headers), delivery) {
        Next::Interim(_) | Next::Forward(_) => Ok(()),
        Next::Again(_) => Err(Cause::Retried),
        Next::Answer(cause) => Err(cause),
    }
}

/// Hears of a failure; whether another attempt is made.
fn fails(exchange: &mut Exchange, cause: Cause, delivery: Delivery) -> bool {
    if let Some(relay) = exchange.relay() {
        relay.failed(cause);
        return false;
    }
    matches!(exchange.attempt().unwrap().failed(cause, delivery), Next::Again(_))
}

fn with_sent<T>(of: impl FnOnce(&Sent<'_>) -> T) -> T {
    let headers = HeaderMap::new();
    let view = View::Map(&headers);
    of(&Sent { method: &Method::GET, path_and_query: "/a?b", view })
}

pub(super) fn finish(exchange: &mut Exchange, told: Option<u16>) -> Option<Copied> {
    with_sent(|sent| exchange.end(told, sent))
}

/// Service, pool and upstream being asked.
pub(super) fn names(exchange: &Exchange) -> (&str, &str, &str) {
    let (service, pool) = exchange.pool.unwrap();
    let service = &exchange.snapshot.services[service];
    let upstream = exchange.asking.as_ref().map(|asking| &*asking.upstream().name);
    (&service.name, &service.pools[pool].name, upstream.unwrap_or_default())
}

thread_local! {
    static PASSED: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
    static BEGAN: Instant = Instant::now();
}

/// A clock that stands still but for [`pass`], in each test by itself.
fn standing() -> Clock {
    // Later than any snapshot of the test.
    let now = || BEGAN.with(|began| *began) + Duration::from_secs(60) + PASSED.get();
    Clock { now, ..clock() }
}

fn pass(length: Duration) {
    PASSED.set(PASSED.get() + length);
}

/// As it is when an upstream closes without an answer.
const SENT: Delivery = Delivery { was_sent: true, was_stale: false, can_replay: true };

fn in_flight(snapshot: &Snapshot) -> u32 {
    let members = snapshot.services[0].pools[0].members.list();
    members.iter().map(|member| member.upstream.in_flight()).sum()
}

fn attempts(snapshot: &Snapshot) -> [u64; 7] {
    let members = snapshot.services[0].pools[0].members.list();
    let readings = members.iter().map(|member| member.upstream.tally.read().outcomes);
    readings.fold([0; 7], |sum, one| std::array::from_fn(|i| sum[i] + one[i]))
}

/// What the pool of this place is judged by.
fn judged(snapshot: &Snapshot, pool: usize) -> (u64, u64) {
    let Counts { total, bad } = snapshot.services[0].pools[pool].state.attempts.read();
    (total, bad)
}

fn shielded(snapshot: &Snapshot) -> u64 {
    snapshot.services[0].pools[1].state.shielded.load(std::sync::atomic::Ordering::Relaxed)
}

fn requests(snapshot: &Snapshot) -> [u64; 7] {
    snapshot.services[0].pools[0].state.tally.read().outcomes
}

#[test]
fn an_answered_request_is_counted_once_on_pool_and_upstream() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[("host", "shop.test")]).unwrap();
    assert_eq!(in_flight(&snapshot), 1);
    head(&mut exchange, 200, &HeaderMap::new(), true).unwrap();
    finish(&mut exchange, Some(200));
    drop(exchange);
    assert_eq!(in_flight(&snapshot), 0);
    assert_eq!(attempts(&snapshot), [0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(requests(&snapshot), [0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_second_try_closes_the_first() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[("host", "shop.test")]).unwrap();
    assert!(fails(&mut exchange, Cause::Reset, SENT));
    assert_eq!((in_flight(&snapshot), exchange.noted.attempts.len()), (1, 1));
    head(&mut exchange, 204, &HeaderMap::new(), true).unwrap();
    finish(&mut exchange, Some(204));
    assert_eq!(attempts(&snapshot), [0, 1, 0, 0, 0, 0, 1]);
    assert_eq!(requests(&snapshot), [0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_good_status_with_a_body_cut_short_is_a_failure() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[("host", "shop.test")]).unwrap();
    head(&mut exchange, 200, &HeaderMap::new(), true).unwrap();
    assert!(!fails(&mut exchange, Cause::Reset, SENT), "its answer has begun");
    finish(&mut exchange, Some(200));
    assert_eq!(requests(&snapshot), [0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn a_panic_gives_the_place_back_and_is_accounted_for() {
    let snapshot = snapshot();
    let seen = snapshot.clone();
    let panicked = std::thread::spawn(move || {
        let mut exchange = open(clock(), &seen);
        admit(&mut exchange, &[("host", "shop.test")]).unwrap();
        panic!("as a bug would");
    });
    assert!(panicked.join().is_err());
    assert_eq!(in_flight(&snapshot), 0);
    assert_eq!(requests(&snapshot).iter().sum::<u64>(), 1);
}

#[test]
fn what_is_refused_before_routing_counts_as_unmatched() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    assert_eq!(admit(&mut exchange, &[("host", "other.test")]), Err(Cause::NoRoute));
    assert_eq!(exchange.answer(Cause::NoRoute, &Fields::new(&HeaderMap::new())).status, 404);
    finish(&mut exchange, Some(404));
    assert_eq!(snapshot.unmatched.read().outcomes[3], 1);
    assert_eq!(requests(&snapshot).iter().sum::<u64>(), 0);
}

#[test]
fn a_refusal_of_an_empty_pool_counts_against_the_pool() {
    let snapshot = snapshot();
    for member in snapshot.services[0].pools[0].members.list() {
        member.upstream.set_draining(true);
    }
    let mut exchange = open(clock(), &snapshot);
    assert_eq!(admit(&mut exchange, &[("host", "shop.test")]), Err(Cause::NoUpstream));
    finish(&mut exchange, Some(503));
    assert_eq!((requests(&snapshot)[4], judged(&snapshot, 0)), (1, (1, 1)));
}

#[test]
fn a_switch_of_protocols_that_nobody_asked_for_is_refused() {
    let websocket = |headers: &mut HeaderMap| {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    };
    let mut response = HeaderMap::new();
    websocket(&mut response);
    let snapshot = snapshot();
    let mut plain = open(clock(), &snapshot);
    admit(&mut plain, &[("host", "shop.test")]).unwrap();
    assert_eq!(head(&mut plain, 101, &response, true), Err(Cause::Retried));
    assert_eq!(head(&mut plain, 101, &response, true), Err(Cause::BadResponse));
    let mut asked = open(clock(), &snapshot);
    let fields =
        [("host", "shop.test"), ("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")];
    admit(&mut asked, &fields).unwrap();
    with_sent(|sent| asked.attempt().unwrap().request_head(sent, Upload::Done));
    assert_eq!(head(&mut asked, 101, &response, true), Ok(()));
    assert_eq!(asked.wait(), Wait::Request(Duration::from_secs(60)), "a tunnel");
    admit(&mut asked, &fields).unwrap();
    assert_eq!(head(&mut asked, 101, &HeaderMap::new(), true), Err(Cause::Retried));
}

#[test]
fn a_request_id_is_kept_if_it_is_fit_and_made_otherwise() {
    let id = |given: Option<&str>| {
        let mut exchange = open(clock(), &snapshot());
        let mut fields = vec![("host", "shop.test")];
        fields.extend(given.map(|given| ("x-request-id", given)));
        admit(&mut exchange, &fields).unwrap();
        exchange.request_id().to_str().unwrap().to_string()
    };
    assert_eq!(id(Some("abc-1")), "abc-1");
    let long = "x".repeat(129);
    for given in [None, Some(""), Some("a b"), Some(long.as_str())] {
        let made = id(given);
        assert!(made.len() == 32 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{made}");
    }
}

#[test]
fn durations_come_from_the_clock_given() {
    // Two readings a second apart, over and over.
    static READ: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let now = || {
        let n = READ.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        *ZERO.get_or_init(Instant::now) + Duration::from_secs(n)
    };
    let snapshot = snapshot();
    let mut exchange = open(Clock { now, ..clock() }, &snapshot);
    admit(&mut exchange, &[("host", "shop.test")]).unwrap();
    finish(&mut exchange, Some(200));
    assert_eq!(snapshot.services[0].pools[0].state.tally.read().nanos, 1_000_000_000);
}

const TWO_POOLS: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
split = { blue = 100, green = 0 }
override = { header = "x-pool" }
retries = { statuses = [503] }
limits = { in_flight = 1 }
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80", "192.0.2.2:80"]
green.upstreams = ["192.0.2.3:80"]
"#;

/// The same with a pool that stands in.
fn stood_in_for() -> String {
    TWO_POOLS.replacen("[services.shop]\n", "[services.shop]\nfallback.pool = \"green\"\n", 1)
}

fn upstream_of(exchange: &Exchange) -> String {
    names(exchange).2.to_string()
}

#[test]
fn a_retry_goes_to_another_upstream_and_only_once() {
    let snapshot = snapshot_of(TWO_POOLS);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    let first = upstream_of(&exchange);
    assert!(fails(&mut exchange, Cause::Reset, SENT));
    assert_ne!(upstream_of(&exchange), first);
    assert!(!fails(&mut exchange, Cause::Reset, SENT));
    finish(&mut exchange, Some(502));
    assert_eq!((in_flight(&snapshot), attempts(&snapshot)[6]), (0, 2));
}

#[test]
fn a_status_worth_a_retry_is_given_up_only_for_somebody_else() {
    let snapshot = snapshot_of(TWO_POOLS);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    let none = HeaderMap::new();
    assert_eq!(head(&mut exchange, 503, &none, true), Err(Cause::Retried));
    assert_eq!(head(&mut exchange, 503, &none, true), Ok(()), "no attempt is left");
    finish(&mut exchange, Some(503));
    snapshot.services[0].pools[0].members.list()[1].upstream.set_draining(true);
    let mut alone = open(clock(), &snapshot);
    admit(&mut alone, &[]).unwrap();
    assert_eq!(head(&mut alone, 503, &none, true), Ok(()), "nobody else is there");
}

#[test]
fn a_failing_canary_is_shielded_and_pays_for_it() {
    let snapshot = snapshot_shifted(TWO_POOLS);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert_eq!(upstream_of(&exchange), "192.0.2.3:80");
    assert_eq!(head(&mut exchange, 500, &HeaderMap::new(), true), Err(Cause::Retried));
    assert!(["192.0.2.1:80", "192.0.2.2:80"].contains(&&*upstream_of(&exchange)));
    head(&mut exchange, 200, &HeaderMap::new(), true).unwrap();
    finish(&mut exchange, Some(200));
    let green = &snapshot.services[0].pools[1];
    assert_eq!(green.members.list()[0].upstream.tally.read().outcomes[4], 1);
    assert_eq!(shielded(&snapshot), 1);
    assert_eq!(green.state.tally.read().outcomes[1], 1, "the user saw a success");
    assert_eq!([0, 1].map(|pool| judged(&snapshot, pool)), [(1, 0), (1, 1)], "the judge did not");
}

#[test]
fn a_tester_sees_how_the_canary_does() {
    let snapshot = snapshot_shifted(TWO_POOLS);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[("x-pool", "green")]).unwrap();
    assert_eq!(head(&mut exchange, 500, &HeaderMap::new(), true), Ok(()));
    finish(&mut exchange, Some(500));
    let mut reset = open(clock(), &snapshot);
    admit(&mut reset, &[("x-pool", "green")]).unwrap();
    assert!(!fails(&mut reset, Cause::ResponseTimeout, SENT), "nobody else is in its pool");
    finish(&mut reset, Some(502));
    assert_eq!((shielded(&snapshot), judged(&snapshot, 0)), (0, (0, 0)));
}

#[test]
fn a_canary_without_a_stable_pool_is_retried_in_itself() {
    let two = "[\"192.0.2.3:80\", \"192.0.2.4:80\"]";
    let snapshot = snapshot_shifted(&TWO_POOLS.replacen("[\"192.0.2.3:80\"]", two, 1));
    for member in snapshot.services[0].pools[0].members.list() {
        member.upstream.set_draining(true);
    }
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    let first = upstream_of(&exchange);
    assert!(fails(&mut exchange, Cause::Reset, SENT));
    assert!(names(&exchange).1 == "green" && upstream_of(&exchange) != first);
    assert_eq!(head(&mut exchange, 500, &HeaderMap::new(), true), Ok(()));
    finish(&mut exchange, Some(500));
    let mut doubted = open(clock(), &snapshot);
    admit(&mut doubted, &[]).unwrap();
    let head = head(&mut doubted, 500, &HeaderMap::new(), true);
    assert_eq!(head, Ok(()), "a 500 is worth a retry only for the shield");
    assert_eq!(shielded(&snapshot), 0);
}

/// Takes the canary out by its breaker, or all of its upstreams.
fn close_canary(snapshot: &Snapshot, by_breaker: bool) {
    let green = &snapshot.services[0].pools[1];
    match by_breaker {
        true => {
            let now = snapshot.moment(Instant::now());
            green.state.breaker.set_order(BreakerOrder::Open, now);
        }
        false => green.members.list().iter().for_each(|member| member.upstream.set_draining(true)),
    }
}

#[test]
fn a_canary_that_cannot_be_asked_yields_to_the_stable_pool() {
    for by_breaker in [true, false] {
        let snapshot = snapshot_shifted(&stood_in_for());
        close_canary(&snapshot, by_breaker);
        let mut exchange = open(clock(), &snapshot);
        admit(&mut exchange, &[]).unwrap();
        assert!(upstream_of(&exchange) != "192.0.2.3:80" && exchange.mark().is_none());
        head(&mut exchange, 200, &HeaderMap::new(), true).unwrap();
        finish(&mut exchange, Some(200));
        assert_eq!(shielded(&snapshot), 1);
        let green = &snapshot.services[0].pools[1];
        assert_eq!(green.state.tally.read().outcomes[1], 1, "it stays the canary's request");
        assert_eq!([0, 1].map(|pool| judged(&snapshot, pool)), [(1, 0), (1, 1)]);
    }
}

#[test]
fn a_tester_and_a_service_without_the_shield_are_told_that_the_canary_is_out() {
    let unshielded = TWO_POOLS.replacen("statuses = [503]", "statuses = [503], shield = false", 1);
    let tester: &[_] = &[("x-pool", "green")];
    for (text, fields) in [(TWO_POOLS, tester), (&*unshielded, &[])] {
        let snapshot = snapshot_shifted(text);
        close_canary(&snapshot, true);
        let mut exchange = open(clock(), &snapshot);
        assert_eq!(admit(&mut exchange, fields), Err(Cause::Open));
        finish(&mut exchange, Some(503));
        assert_eq!((shielded(&snapshot), judged(&snapshot, 1)), (0, (1, 1)));
    }
}

#[test]
fn a_dead_kept_connection_is_no_failure_of_the_upstream() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[("host", "shop.test")]).unwrap();
    let stale = Delivery { was_stale: true, ..SENT };
    (0..3).for_each(|_| assert!(fails(&mut exchange, Cause::Reset, stale)));
    assert_eq!((attempts(&snapshot), judged(&snapshot, 0)), ([0; 7], (0, 0)));
    assert_eq!(in_flight(&snapshot), 1);
    assert!(fails(&mut exchange, Cause::Reset, SENT), "its one retry is left");
    assert!(!fails(&mut exchange, Cause::Reset, SENT));
    finish(&mut exchange, Some(502));
    assert_eq!((attempts(&snapshot)[6], judged(&snapshot, 0)), (2, (2, 2)));
}

#[test]
fn what_cannot_be_sent_again_on_a_dead_connection_is_held_against_the_upstream() {
    let snapshot = snapshot();
    let stale = Delivery { was_stale: true, ..SENT };
    let mut asked = 0;
    for _ in 0..60 {
        let mut exchange = open(clock(), &snapshot);
        if admit_as(&Method::POST, &mut exchange, &[]).is_ok() {
            assert!(!fails(&mut exchange, Cause::Reset, stale));
            finish(&mut exchange, Some(502));
            asked += 1;
        }
    }
    assert!((20..60).contains(&asked) && attempts(&snapshot)[6] == asked, "{asked}");
    let blue = &snapshot.services[0].pools[0];
    let ejected = crate::upstream::Conditions::EJECTED;
    assert!(blue.members.list().iter().any(|member| member.upstream.conditions().any(ejected)));
    assert_eq!(blue.state.breaker.opened(), 1);
}

#[test]
fn what_was_never_sent_goes_on_to_all_others_and_costs_neither_attempts_nor_budget() {
    let upstreams: Vec<String> = (1..=20).map(|n| format!("\"192.0.2.{n}:80\"")).collect();
    let text = FILE.replace("\"192.0.2.1:80\", \"192.0.2.2:80\"", &upstreams.join(", "));
    let one = text.replace(
        "[services.shop.pools]",
        "[services.shop]\nretries = { budget = 0 }\n[services.shop.pools]",
    );
    let never_sent = Delivery { was_sent: false, ..SENT };
    let snapshot = snapshot_of(&one);
    let mut exchange = open(standing(), &snapshot);
    admit_as(&Method::POST, &mut exchange, &[]).unwrap();
    let mut offered = vec![upstream_of(&exchange)];
    while fails(&mut exchange, Cause::Connect, never_sent) {
        assert!(!offered.contains(&upstream_of(&exchange)), "each at most once");
        assert_eq!(exchange.attempt().unwrap().pause(), Duration::ZERO);
        offered.push(upstream_of(&exchange));
    }
    assert_eq!(offered.len(), 16);
    let mut slow = open(standing(), &snapshot_of(&one));
    admit_as(&Method::POST, &mut slow, &[]).unwrap();
    let connect = slow.timeouts().connect;
    pass(connect);
    assert!(fails(&mut slow, Cause::ConnectTimeout, never_sent));
    assert_eq!(slow.timeouts().connect, connect.min(Duration::from_secs(1)));
    pass(Duration::from_secs(1));
    assert!(!fails(&mut slow, Cause::ConnectTimeout, never_sent), "a second more, not one each");
    let none = one.replace("budget = 0", "attempts = 0");
    let mut exchange = open(standing(), &snapshot_of(&none));
    admit(&mut exchange, &[]).unwrap();
    assert!(!fails(&mut exchange, Cause::Connect, never_sent));
}

#[test]
fn a_trial_that_is_answered_badly_is_made_good_by_one_that_is_well() {
    let snapshot = snapshot_of(&FILE.replace(
        "[services.shop.pools]",
        "[services.shop]\nretries = { attempts = 0, budget = 0 }\n[services.shop.pools]",
    ));
    let service = &snapshot.services[0];
    let (pool, settings) = (&service.pools[0], crate::upstream::BreakerSettings::default());
    let ill = pool.members.list()[0].upstream.clone();
    let now = snapshot.moment((standing().now)());
    ill.note_failing(&settings, now, &mut Draws::seeded(1));
    pass(Duration::from_secs(6));
    pool.assess(&service.stability, snapshot.moment((standing().now)()));
    for status in [503, 500] {
        let mut exchange = open(standing(), &snapshot);
        admit(&mut exchange, &[]).unwrap();
        assert_eq!(upstream_of(&exchange), "192.0.2.1:80", "a trial is due");
        assert_eq!(head(&mut exchange, status, &HeaderMap::new(), true), Err(Cause::Retried));
        assert_eq!(upstream_of(&exchange), "192.0.2.2:80");
        assert_eq!(head(&mut exchange, status, &HeaderMap::new(), true), Ok(()), "it is no trial");
        finish(&mut exchange, Some(status));
        pass(Duration::from_secs(60));
    }
}

#[test]
fn who_is_alone_is_asked_once_more_for_what_may_be_repeated() {
    let text = FILE.replace(", \"192.0.2.2:80\"", "");
    for (method, cause, again) in [
        (Method::GET, Cause::Reset, true),
        (Method::GET, Cause::Connect, true),
        (Method::GET, Cause::ResponseTimeout, false),
        (Method::POST, Cause::Reset, false),
    ] {
        let snapshot = snapshot_of(&text);
        let mut exchange = open(standing(), &snapshot);
        admit_as(&method, &mut exchange, &[]).unwrap();
        let delivery = Delivery { was_sent: cause != Cause::Connect, ..SENT };
        assert_eq!(fails(&mut exchange, cause, delivery), again, "{method} {cause:?}");
        assert!(!again || !fails(&mut exchange, cause, delivery), "once");
    }
}

#[test]
fn a_dead_connection_is_forgiven_three_times_and_no_more() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    let stale = Delivery { was_stale: true, ..SENT };
    (0..4).for_each(|_| assert!(fails(&mut exchange, Cause::Reset, stale)));
    assert_eq!(exchange.noted.attempts.len(), 1);
}

#[test]
fn the_time_for_tries_bounds_the_later_ones_only() {
    let text = TWO_POOLS.replacen("retries = { ", "retries = { total = \"2s\", ", 1);
    let snapshot = snapshot_of(&text);
    let mut exchange = open(standing(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert_eq!(exchange.timeouts().response, Duration::from_secs(15));
    pass(Duration::from_millis(500));
    let stale = Delivery { was_stale: true, ..SENT };
    assert!(fails(&mut exchange, Cause::Reset, stale));
    assert_eq!(exchange.timeouts().response, Duration::from_secs(15), "it is the same attempt");
    assert!(fails(&mut exchange, Cause::Connect, Delivery { was_sent: false, ..SENT }));
    assert_eq!(exchange.timeouts().response, Duration::from_millis(1_500));
}

#[test]
fn a_pause_is_nobodys_latency() {
    let text = TWO_POOLS.replacen("retries = { ", "retries = { backoff = \"1s\", ", 1);
    let snapshot = snapshot_of(&text);
    let mut exchange = open(standing(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert!(fails(&mut exchange, Cause::Reset, SENT));
    let pause = exchange.attempt().unwrap().pause();
    assert!(pause > Duration::from_millis(1), "{:?}", pause);
    pass(pause + Duration::from_millis(3));
    head(&mut exchange, 200, &HeaderMap::new(), true).unwrap();
    finish(&mut exchange, Some(200));
    let members = snapshot.services[0].pools[0].members.list();
    let nanos: u64 = members.iter().map(|member| member.upstream.tally.read().nanos).sum();
    assert_eq!(nanos, 3_000_000);
}

#[test]
fn a_retry_that_nobody_is_there_for_costs_nothing() {
    let snapshot = snapshot_of(&FILE.replace(
        "[services.shop.pools]",
        "[services.shop]\nbreaker = false\nejection = false\n[services.shop.pools]",
    ));
    let other = snapshot.services[0].pools[0].members.list()[1].upstream.clone();
    other.set_draining(true);
    for _ in 0..200 {
        let mut exchange = open(standing(), &snapshot);
        admit(&mut exchange, &[]).unwrap();
        assert!(!fails(&mut exchange, Cause::ResponseTimeout, SENT));
    }
    other.set_draining(false);
    let mut exchange = open(standing(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert!(fails(&mut exchange, Cause::Reset, SENT));
    assert_eq!(snapshot.services[0].state.budget.read(), (1, 0));
}

/// Whether five clients that leave after this wait have an upstream ejected. `answers` if somebody
/// is served meanwhile.
fn is_ejected_after(wait: Duration, uploads: bool, answers: bool) -> bool {
    let snapshot = snapshot();
    let [one, other] =
        [0, 1].map(|place| snapshot.services[0].pools[0].members.list()[place].upstream.clone());
    other.set_draining(true);
    let mut exchanges: Vec<_> = (0..5).map(|_| open(standing(), &snapshot)).collect();
    for exchange in &mut exchanges {
        admit(exchange, &[]).unwrap();
        if uploads {
            with_sent(|sent| exchange.attempt().unwrap().request_head(sent, Upload::ToCome));
        }
    }
    let mut served = open(standing(), &snapshot);
    admit(&mut served, &[]).unwrap();
    pass(wait);
    if answers {
        // Its body may take for ever.
        head(&mut served, 200, &HeaderMap::new(), true).unwrap();
    }
    for mut exchange in exchanges {
        if uploads {
            exchange.attempt().unwrap().request_body(None, true);
        }
        assert!(!fails(&mut exchange, Cause::ClientGone, SENT));
        finish(&mut exchange, None);
    }
    let bad = judged(&snapshot, 0);
    let is_ejected = one.conditions().any(crate::upstream::Conditions::EJECTED);
    assert_eq!(bad, if is_ejected { (5, 5) } else { (0, 0) });
    is_ejected
}

#[test]
fn who_is_given_up_by_client_after_client_and_answers_nobody_is_ejected() {
    let long = Duration::from_millis(5_100);
    assert!(is_ejected_after(long, false, false));
    assert!(!is_ejected_after(Duration::from_millis(4_900), false, false), "they left early");
    assert!(!is_ejected_after(long, true, false), "it was the client that sent slowly");
    assert!(!is_ejected_after(long, false, true), "it is well: it answered somebody");
}

#[test]
fn what_nobody_of_a_pool_can_do_the_stand_in_is_asked_for_once() {
    let snapshot = snapshot_of(&stood_in_for());
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert!(fails(&mut exchange, Cause::Reset, SENT));
    assert!(names(&exchange).1 == "blue" && exchange.mark().is_none());
    assert!(fails(&mut exchange, Cause::Reset, SENT));
    assert_eq!(names(&exchange), ("shop", "green", "192.0.2.3:80"));
    assert_eq!(exchange.mark().unwrap(), "pool");
    assert_eq!(head(&mut exchange, 503, &HeaderMap::new(), true), Ok(()), "only once");
    finish(&mut exchange, Some(503));
    let fallbacks = &snapshot.services[0].state.fallbacks;
    assert_eq!(fallbacks.pool.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(in_flight(&snapshot), 0);
    assert_eq!([0, 1].map(|pool| judged(&snapshot, pool)), [(2, 2), (1, 1)]);
}

#[test]
fn the_stand_in_is_not_asked_for_what_may_not_be_repeated_or_is_an_answer() {
    let snapshot = snapshot_of(&stood_in_for());
    let mut post = open(clock(), &snapshot);
    admit_as(&Method::POST, &mut post, &[]).unwrap();
    assert!(!fails(&mut post, Cause::Reset, SENT));
    finish(&mut post, Some(502));
    let mut answered = open(clock(), &snapshot);
    admit(&mut answered, &[]).unwrap();
    assert_eq!(head(&mut answered, 500, &HeaderMap::new(), true), Ok(()));
    finish(&mut answered, Some(500));
    let mut tester = open(clock(), &snapshot);
    admit(&mut tester, &[("x-pool", "blue")]).unwrap();
    assert!(fails(&mut tester, Cause::Reset, SENT), "it has another upstream");
    assert!(!fails(&mut tester, Cause::Reset, SENT));
}

#[test]
fn a_pool_that_is_open_is_stood_in_for() {
    let snapshot = snapshot_of(&stood_in_for());
    let (blue, now) = (&snapshot.services[0].pools[0], snapshot.moment(Instant::now()));
    blue.state.breaker.set_order(BreakerOrder::Open, now);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert_eq!(names(&exchange), ("shop", "green", "192.0.2.3:80"));
    finish(&mut exchange, Some(200));
    assert_eq!(snapshot.services[0].pools[1].state.tally.read().outcomes[1], 1);
}

#[test]
fn one_too_many_is_refused_and_a_place_given_back_serves_the_next() {
    let snapshot = snapshot_of(TWO_POOLS);
    let mut first = open(clock(), &snapshot);
    admit(&mut first, &[]).unwrap();
    let mut second = open(clock(), &snapshot);
    assert_eq!(admit(&mut second, &[]), Err(Cause::Full));
    finish(&mut first, Some(200));
    let mut third = open(clock(), &snapshot);
    assert_eq!(admit(&mut third, &[]), Ok(()));
}

const MIRRORED: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
split = { blue = 100, green = 0 }
[services.shop.mirror]
to = "green"
percent = 100
body_limit = 4
compare = {}
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80"]
green.upstreams = ["192.0.2.2:80"]
"#;

/// A request of these body pieces that is being answered.
fn mirrored(pieces: &[&'static str], ends: bool) -> Exchange {
    let mut exchange = open(clock(), &snapshot_of(MIRRORED));
    admit(&mut exchange, &[]).unwrap();
    let mut attempt = exchange.attempt().unwrap();
    with_sent(|sent| attempt.request_head(sent, Upload::ToCome));
    for piece in pieces {
        attempt.request_body(Some(&bytes::Bytes::from_static(piece.as_bytes())), false);
    }
    attempt.request_body(None, ends);
    head(&mut exchange, 200, &HeaderMap::new(), true).unwrap();
    exchange.relay().unwrap().body(Some(&bytes::Bytes::from_static(b"half")), false);
    exchange
}

#[test]
fn a_request_that_is_over_leaves_its_copy_once() {
    let mut exchange = mirrored(&["ab", "cd"], true);
    let copied = finish(&mut exchange, Some(200)).unwrap();
    assert_eq!(copied.request.body(), "abcd");
    assert_eq!((copied.request.uri(), copied.live.is_some()), (&Uri::from_static("/a?b"), true));
    assert!(exchange.take_copy().is_none());
}

#[test]
fn a_body_that_is_too_long_or_was_cut_off_is_not_copied() {
    assert!(mirrored(&["ab", "cde"], true).take_copy().is_none());
    assert!(mirrored(&["ab"], false).take_copy().is_none());
}

#[test]
fn a_copy_has_nothing_to_be_compared_with_when_the_answer_was_cut_off() {
    let mut exchange = mirrored(&[], true);
    fails(&mut exchange, Cause::ClientGone, SENT);
    assert!(finish(&mut exchange, Some(200)).unwrap().live.is_none());
}

/// One upstream after the other is asked until one answers, as a lane does that holds each phase.
fn served<'e>(admitted: Admitted<'e>, heads: &[(u16, &HeaderMap)]) -> Result<Relay<'e>, Cause> {
    let mut attempt = admitted.next();
    let mut heads = heads.iter();
    loop {
        attempt.connected(Link::Kept);
        with_sent(|sent| attempt.request_head(sent, Upload::Done));
        let next = match heads.next() {
            Some((status, headers)) => attempt.head(*status, View::Map(headers), SENT),
            None => attempt.failed(Cause::Reset, SENT),
        };
        attempt = match next {
            Next::Interim(attempt) | Next::Again(attempt) => attempt,
            Next::Forward(relay) => return Ok(relay),
            Next::Answer(cause) => return Err(cause),
        };
    }
}

/// A request whose phases are all passed through, by one exchange after the request before it.
fn drive(exchange: &mut Exchange, heads: &[(u16, &HeaderMap)]) -> Result<(), Cause> {
    let headers = HeaderMap::from_iter([(http::header::HOST, "shop.test".parse().unwrap())]);
    let (uri, peer) =
        (Uri::from_static("/"), Peer::new([192, 0, 2, 9].into(), "http", Instant::now()));
    let (target, version) = (RequestTarget::read(b"/", &uri), Version::HTTP_11);
    let (method, view) = (&Method::GET, View::Map(&headers));
    let head = Head { method, target, version, view, raw: b"" };
    let Admission::Forward(admitted) = exchange.admit(&head, &peer) else { panic!("refused") };
    let mut relay = served(admitted, heads)?;
    relay.body(Some(&bytes::Bytes::from_static(b"hello")), true);
    relay.trailers(View::Map(&HeaderMap::new()));
    with_sent(|sent| relay.done(sent));
    Ok(())
}

#[test]
fn one_exchange_serves_request_after_request_phase_by_phase() {
    let snapshot = snapshot_of(&TWO_POOLS.replacen("limits = { in_flight = 1 }\n", "", 1));
    let (mut exchange, none) = (open(clock(), &snapshot), HeaderMap::new());
    for _ in 0..2 {
        assert_eq!(drive(&mut exchange, &[(103, &none), (503, &none), (200, &none)]), Ok(()));
        assert_eq!(in_flight(&snapshot), 0);
    }
    assert_eq!(drive(&mut exchange, &[]), Err(Cause::Reset));
    // The one that was not ended counts when the next one begins.
    assert_eq!(drive(&mut exchange, &[(200, &none)]), Ok(()));
    drop(exchange);
    assert_eq!(requests(&snapshot), [0, 3, 0, 0, 0, 0, 1]);
    assert_eq!(attempts(&snapshot), [0, 3, 0, 0, 2, 0, 2]);
}

#[test]
fn a_request_says_what_it_waits_for() {
    let snapshot = snapshot();
    let (mut exchange, none) = (open(clock(), &snapshot), HeaderMap::new());
    assert_eq!(exchange.wait(), Wait::Nothing);
    admit(&mut exchange, &[]).unwrap();
    assert_eq!(exchange.wait(), Wait::Nothing, "a connection is made in a time of its own");
    with_sent(|sent| exchange.attempt().unwrap().request_head(sent, Upload::ToCome));
    let seconds = Duration::from_secs;
    assert_eq!(exchange.wait(), Wait::Request(seconds(60)), "longer than the client's own bound");
    exchange.attempt().unwrap().request_body(None, true);
    assert_eq!(exchange.wait(), Wait::Answer(seconds(15)));
    head(&mut exchange, 103, &none, true).unwrap();
    assert_eq!(exchange.wait(), Wait::Answer(seconds(15)));
    assert!(fails(&mut exchange, Cause::ResponseTimeout, SENT));
    assert_eq!(exchange.wait(), Wait::Nothing, "nobody has been asked yet");
    with_sent(|sent| exchange.attempt().unwrap().request_head(sent, Upload::ToCome));
    head(&mut exchange, 200, &none, true).unwrap();
    assert_eq!(exchange.wait(), Wait::Request(seconds(60)), "an answer that began early");
    exchange.relay().unwrap().request_body(None, true);
    assert_eq!(exchange.wait(), Wait::Rest(seconds(60)));
    finish(&mut exchange, Some(200));
    assert_eq!(exchange.wait(), Wait::Nothing);
}

const PROMISED: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
slo = { availability = "99.9%", latency = { p99 = "100ms" } }
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80"]
"#;

fn of_type(kind: &'static str, fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| (*name, *value));
    let fields = [("content-type", kind)].into_iter().chain(fields);
    let field = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    fields.map(field).collect()
}

/// What a service with objectives counts as bad: failures and slow answers.
fn counted_bad(snapshot: &Snapshot) -> (u64, u64) {
    let service = &snapshot.services[0];
    let read = |objective| service.state.slo.read(objective).bad;
    let [failed, slow] = &service.slo.as_ref().unwrap().objectives[..] else { panic!() };
    (read(failed), read(slow))
}

#[test]
fn a_grpc_call_is_judged_by_its_status_in_the_head_or_in_the_trailers() {
    let grpc = |status| of_type("application/grpc+proto", status);
    let trailers = |status: Option<&'static str>| {
        let field = status.map(|status| ("grpc-status", status));
        of_type("-", field.as_slice())
    };
    // Head, trailers, whether it is a failure.
    let cases = [
        (grpc(&[]), Some(trailers(Some("0"))), false),
        (grpc(&[]), Some(trailers(Some("5"))), false),
        (grpc(&[]), Some(trailers(Some("14"))), true),
        (grpc(&[]), Some(trailers(None)), true),
        (grpc(&[("grpc-status", "13")]), None, true),
        (grpc(&[("grpc-status", "0")]), None, false),
        (of_type("text/plain", &[("grpc-status", "14")]), Some(trailers(Some("14"))), false),
        // The lane has thrown them away.
        (grpc(&[]), None, false),
    ];
    for (headers, trailers, is_bad) in cases {
        let snapshot = snapshot_of(PROMISED);
        let mut exchange = open(clock(), &snapshot);
        admit(&mut exchange, &[]).unwrap();
        head(&mut exchange, 200, &headers, true).unwrap();
        let mut relay = exchange.relay().unwrap();
        relay.body(Some(&bytes::Bytes::from_static(b"x")), true);
        trailers.iter().for_each(|fields| relay.trailers(View::Map(fields)));
        finish(&mut exchange, Some(200));
        let bad = u64::from(is_bad);
        let case = format!("{headers:?} {trailers:?}");
        assert_eq!(judged(&snapshot, 0), (1, bad), "{case}");
        assert_eq!(counted_bad(&snapshot), (bad, 0), "{case}");
        assert_eq!((attempts(&snapshot)[4], requests(&snapshot)[4]), (bad, bad), "{case}");
    }
}

#[test]
fn failures_in_trailers_open_a_breaker_and_hold_it_open() {
    let text = PROMISED.replacen("slo =", "ejection = false\nlimits.throttle = false\nslo =", 1);
    let snapshot = snapshot_of(&text);
    let pool = &snapshot.services[0].pools[0];
    let call = |status: &'static str| {
        let mut exchange = open(standing(), &snapshot);
        if admit(&mut exchange, &[]).is_err() {
            return false;
        }
        head(&mut exchange, 200, &of_type("application/grpc", &[]), true).unwrap();
        let fields = of_type("-", &[("grpc-status", status)]);
        exchange.relay().unwrap().trailers(View::Map(&fields));
        finish(&mut exchange, Some(200));
        true
    };
    (0..20).for_each(|_| assert!(call("14")));
    assert!(pool.state.breaker.opened() >= 1);
    // Half open: a head says nothing of how the trial goes.
    pass(Duration::from_secs(20));
    assert!(call("14"), "one trial");
    assert!(!call("0"), "it is open again");
}

#[test]
fn a_stream_is_as_fast_as_its_head_and_anything_else_as_its_end() {
    let slow = |kind: &'static str, before: u64, after: u64| {
        let snapshot = snapshot_of(PROMISED);
        let mut exchange = open(standing(), &snapshot);
        admit(&mut exchange, &[]).unwrap();
        pass(Duration::from_millis(before));
        head(&mut exchange, 200, &of_type(kind, &[]), true).unwrap();
        pass(Duration::from_millis(after));
        finish(&mut exchange, Some(200));
        counted_bad(&snapshot).1
    };
    for stream in ["text/event-stream", "application/grpc", "application/x-ndjson; charset=utf-8"] {
        assert_eq!((slow(stream, 50, 60_000), slow(stream, 150, 0)), (0, 1), "{stream}");
    }
    assert_eq!((slow("text/html", 50, 60), slow("text/html", 50, 40)), (1, 0));
}

#[test]
fn its_record_tells_what_was_tried_and_what_was_not() {
    let snapshot = snapshot();
    let last = Arc::new(Rings::new(1 << 20, 1));
    let published = Arc::new(Published::of(snapshot.clone()));
    let mut exchange = Exchange::open(standing(), published, last.clone());
    admit(&mut exchange, &[("x-request-id", "mine")]).unwrap();
    let first = upstream_of(&exchange);
    pass(Duration::from_millis(5));
    let never_sent = Delivery { was_sent: false, ..SENT };
    assert!(fails(&mut exchange, Cause::Connect, never_sent));
    let second = upstream_of(&exchange);
    pass(Duration::from_millis(4));
    exchange.attempt().unwrap().connected(Link::Kept);
    head(&mut exchange, 200, &HeaderMap::new(), true).unwrap();
    let body = bytes::Bytes::from_static(b"hello");
    exchange.relay().unwrap().body(Some(&body), true);
    pass(Duration::from_millis(1));
    finish(&mut exchange, Some(200));
    let kept = last.find("mine", NOW).unwrap();
    let millis = Duration::from_millis;
    assert_eq!((&*kept.method, &*kept.path, kept.status), ("GET", "/a", Some(200)));
    assert_eq!((kept.client, kept.to_client), (Some([192, 0, 2, 9].into()), 5));
    assert_eq!((&*kept.service, &*kept.pool, &*kept.cause), ("shop", "blue", ""));
    assert_eq!((kept.duration, kept.trace.0.len(), kept.by), (millis(10), 32, Some(By::Draw)));
    let tried: Vec<_> =
        kept.attempts.iter().map(|tried| (&*tried.upstream, &*tried.cause)).collect();
    assert_eq!(tried, [(&*first, Cause::Connect.row().name), (&*second, "")]);
    let times = |of: usize| {
        let tried = &kept.attempts[of];
        (tried.chosen, tried.connected, tried.is_reused, tried.head, tried.done)
    };
    assert_eq!(times(0), (millis(0), None, false, None, millis(5)));
    assert_eq!(times(1), (millis(5), Some(millis(9)), true, Some(millis(9)), millis(10)));
    assert_eq!(kept.not_taken, [("blue".into(), first.to_string(), NotTaken::Tried)]);
    assert_eq!(last.latest(9, NOW).len(), 1);
}

#[test]
fn the_record_of_a_refusal_names_why_nobody_was_asked() {
    let snapshot = snapshot();
    let members = snapshot.services[0].pools[0].members.list();
    members.iter().for_each(|member| member.upstream.set_draining(true));
    let last = Arc::new(Rings::new(1 << 20, 1));
    let published = Arc::new(Published::of(snapshot.clone()));
    let mut exchange = Exchange::open(standing(), published, last.clone());
    assert_eq!(admit(&mut exchange, &[("x-request-id", "mine")]), Err(Cause::NoUpstream));
    finish(&mut exchange, Some(503));
    let kept = last.find("mine", NOW).unwrap();
    assert_eq!((kept.attempts.len(), &*kept.cause), (0, Cause::NoUpstream.row().name));
    let drained = |n: u8| ("blue".into(), format!("192.0.2.{n}:80"), NotTaken::Drained);
    assert_eq!(kept.not_taken, [drained(1), drained(2)]);
}

#[test]
fn silence_after_a_head_is_held_against_who_promised_a_length_and_nobody_else() {
    for (fields, failed, cause) in [
        (&[("content-length", "9")][..], 1, Cause::ResponseTimeout),
        (&[("transfer-encoding", "chunked")], 0, Cause::Quiet),
        (&[("content-type", "text/event-stream")], 0, Cause::Quiet),
    ] {
        let snapshot = snapshot();
        let mut exchange = open(clock(), &snapshot);
        admit(&mut exchange, &[]).unwrap();
        let headers = fields
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        head(&mut exchange, 200, &headers, true).unwrap();
        assert!(!fails(&mut exchange, Cause::ResponseTimeout, SENT));
        assert_eq!(exchange.cause(), Some(cause), "{fields:?}");
        finish(&mut exchange, Some(200));
        assert_eq!(attempts(&snapshot)[6], failed, "{fields:?}");
    }
}

#[test]
fn what_we_lack_ourselves_is_held_against_nobody() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    let never_sent = Delivery { was_sent: false, ..SENT };
    assert!(!fails(&mut exchange, Cause::Exhausted, never_sent), "another one needs a port too");
    finish(&mut exchange, Some(503));
    assert_eq!((attempts(&snapshot)[6], in_flight(&snapshot)), (0, 0));
    assert_eq!(snapshot.services[0].pools[0].state.breaker.opened(), 0);
}
