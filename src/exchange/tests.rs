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

mod acting;
mod again;
mod calls;
mod endings;
mod mirroring;
mod one_client;
mod phases;
mod trials;
mod uploads;

const FILE: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[[routes]]
hosts = ["shop.test"]
service = "shop"
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80", "192.0.2.2:80"]
"#;

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
    admit_in(Version::HTTP_11, method, exchange, fields)
}

fn admit_in(
    version: Version,
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
    let target = RequestTarget::read(b"/", &uri);
    let view = View::Map(&headers);
    let upload = if has_body(&Fields::new(view)) { Upload::ToCome } else { Upload::Done };
    let head = Head { method, target, version, view, raw: b"", upload };
    let peer = Peer::new([192, 0, 2, 9].into(), "http", Instant::now());
    match exchange.admit(&head, &peer) {
        Admission::Forward(_) => Ok(()),
        Admission::Answer(_) => Err(exchange.cause().unwrap()),
        Admission::Wait(_) | Admission::Door(_) => panic!("it waits"),
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
    exchange.attempt().unwrap().failed(cause, delivery).is_ok()
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
    static DRAWN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    static BEGAN: Instant = Instant::now();
}

fn upstream_of(exchange: &Exchange) -> String {
    names(exchange).2.to_string()
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
    assert_eq!(asked.wait(), Wait::Tunnel(Duration::from_secs(900), Duration::from_secs(60)));
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
