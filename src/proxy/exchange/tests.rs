use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, Uri, Version};

use super::*;
use crate::config::Config;
use crate::snapshot::{Blueprint, RunTime};
use crate::split::Secret;

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
    let (config, _) = Config::parse(text).unwrap();
    let blueprint = Blueprint {
        config: Arc::new(config),
        run_time: &RunTime::default(),
        secret: Secret([0; 16]),
        now: Instant::now(),
    };
    Arc::new(Snapshot::build(&blueprint, None))
}

/// An exchange that sees this snapshot.
fn open(clock: Clock, snapshot: &Arc<Snapshot>) -> Exchange {
    Exchange::open(clock, Arc::new(Published::of(snapshot.clone())))
}

fn admit(exchange: &mut Exchange, fields: &[(&'static str, &str)]) -> Result<(), Cause> {
    let host = [("host", "shop.test")];
    let host = if fields.iter().any(|(name, _)| *name == "host") { &host[1..] } else { &host };
    let headers: HeaderMap = [host, fields]
        .concat()
        .iter()
        .map(|&(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    let uri = Uri::from_static("/");
    let (method, version) = (&Method::GET, Version::HTTP_11);
    let head = Head { method, target: b"/", uri: &uri, version, headers: &headers, raw: b"" };
    let peer = Peer::new([192, 0, 2, 9].into(), "http");
    let mut context = Context::from_waker(Waker::noop());
    let polled = {
        let admitted = std::pin::pin!(exchange.admit(&head, &peer));
        admitted.poll(&mut context)
    };
    match polled {
        Poll::Ready(Admitted::Forward) => Ok(()),
        Poll::Ready(Admitted::Answer(_)) => Err(exchange.cause().unwrap()),
        Poll::Pending => panic!("it waits"),
    }
}

/// As it is when an upstream closes without an answer.
const SENT: Wire = Wire { was_sent: true, was_stale: false, can_replay: true };

fn in_flight(snapshot: &Snapshot) -> u32 {
    let members = snapshot.services[0].pools[0].members.list();
    members.iter().map(|member| member.upstream.in_flight()).sum()
}

fn attempts(snapshot: &Snapshot) -> [u64; 7] {
    let members = snapshot.services[0].pools[0].members.list();
    let readings = members.iter().map(|member| member.upstream.tally.read().outcomes);
    readings.fold([0; 7], |sum, one| std::array::from_fn(|i| sum[i] + one[i]))
}

fn requests(snapshot: &Snapshot) -> [u64; 7] {
    snapshot.services[0].pools[0].state.tally.read().outcomes
}

#[test]
fn an_answered_request_is_counted_once_on_pool_and_upstream() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[("host", "shop.test")]).unwrap();
    exchange.attempt().unwrap();
    assert_eq!(in_flight(&snapshot), 1);
    exchange.on_response_head(200, &HeaderMap::new(), true).unwrap();
    exchange.finish(Some(200));
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
    exchange.attempt().unwrap();
    assert!(exchange.on_attempt_failed(Cause::Reset, SENT));
    exchange.attempt().unwrap();
    assert_eq!((in_flight(&snapshot), attempts(&snapshot)[6]), (1, 1));
    exchange.on_response_head(204, &HeaderMap::new(), true).unwrap();
    exchange.finish(Some(204));
    assert_eq!(attempts(&snapshot), [0, 1, 0, 0, 0, 0, 1]);
    assert_eq!(requests(&snapshot), [0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_good_status_with_a_body_cut_short_is_a_failure() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[("host", "shop.test")]).unwrap();
    exchange.attempt().unwrap();
    exchange.on_response_head(200, &HeaderMap::new(), true).unwrap();
    assert!(!exchange.on_attempt_failed(Cause::Reset, SENT), "its answer has begun");
    exchange.finish(Some(200));
    assert_eq!(requests(&snapshot), [0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn a_panic_gives_the_place_back_and_is_accounted_for() {
    let snapshot = snapshot();
    let seen = snapshot.clone();
    let panicked = std::thread::spawn(move || {
        let mut exchange = open(clock(), &seen);
        admit(&mut exchange, &[("host", "shop.test")]).unwrap();
        exchange.attempt().unwrap();
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
    assert_eq!(exchange.answer(Cause::NoRoute, &HeaderMap::new()).status, 404);
    exchange.finish(Some(404));
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
    exchange.finish(Some(503));
    assert_eq!(requests(&snapshot)[4], 1);
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
    plain.attempt().unwrap();
    assert_eq!(plain.on_response_head(101, &response, true), Err(Cause::BadResponse));
    let mut asked = open(clock(), &snapshot);
    let fields =
        [("host", "shop.test"), ("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")];
    admit(&mut asked, &fields).unwrap();
    asked.attempt().unwrap();
    assert_eq!(asked.on_response_head(101, &response, true), Ok(()));
    assert_eq!(asked.on_response_head(101, &HeaderMap::new(), true), Err(Cause::BadResponse));
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
    exchange.finish(Some(200));
    assert_eq!(snapshot.services[0].pools[0].state.tally.read().nanos, 1_000_000_000);
}

const TWO_POOLS: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
split = { blue = 100, green = 0 }
override = { header = "x-pool" }
retries = { statuses = [503] }
fallback = { pool = "green" }
limits = { in_flight = 1 }
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80", "192.0.2.2:80"]
green.upstreams = ["192.0.2.3:80"]
"#;

fn upstream_of(exchange: &Exchange) -> String {
    exchange.names().2.to_string()
}

#[test]
fn a_retry_goes_to_another_upstream_and_only_once() {
    let snapshot = snapshot_of(TWO_POOLS);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    let first = upstream_of(&exchange);
    assert!(exchange.on_attempt_failed(Cause::Reset, SENT));
    assert_ne!(upstream_of(&exchange), first);
    assert!(!exchange.on_attempt_failed(Cause::Reset, SENT));
    exchange.finish(Some(502));
    assert_eq!((in_flight(&snapshot), attempts(&snapshot)[6]), (0, 2));
}

#[test]
fn a_status_worth_a_retry_is_given_up_only_for_somebody_else() {
    let snapshot = snapshot_of(TWO_POOLS);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    let none = HeaderMap::new();
    assert_eq!(exchange.on_response_head(503, &none, true), Err(Cause::Retried));
    assert_eq!(exchange.on_response_head(503, &none, true), Ok(()), "no attempt is left");
    exchange.finish(Some(503));
    snapshot.services[0].pools[0].members.list()[1].upstream.set_draining(true);
    let mut alone = open(clock(), &snapshot);
    admit(&mut alone, &[]).unwrap();
    assert_eq!(alone.on_response_head(503, &none, true), Ok(()), "nobody else is there");
}

#[test]
fn a_failing_canary_is_shielded_and_pays_for_it() {
    let snapshot = snapshot_of(TWO_POOLS);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[("x-pool", "green")]).unwrap();
    assert_eq!(upstream_of(&exchange), "192.0.2.3:80");
    assert_eq!(exchange.on_response_head(500, &HeaderMap::new(), true), Err(Cause::Retried));
    assert!(
        upstream_of(&exchange).starts_with("192.0.2.1")
            || upstream_of(&exchange).starts_with("192.0.2.2")
    );
    exchange.on_response_head(200, &HeaderMap::new(), true).unwrap();
    exchange.finish(Some(200));
    let green = &snapshot.services[0].pools[1];
    assert_eq!(green.members.list()[0].upstream.tally.read().outcomes[4], 1);
    assert_eq!(green.state.shielded.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(green.state.tally.read().outcomes[1], 1, "the user saw a success");
}

#[test]
fn a_dead_kept_connection_is_no_failure_of_the_upstream() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[("host", "shop.test")]).unwrap();
    let stale = Wire { was_stale: true, ..SENT };
    (0..3).for_each(|_| assert!(exchange.on_attempt_failed(Cause::Reset, stale)));
    assert!(exchange.on_attempt_failed(Cause::Reset, SENT), "its one retry is left");
    assert!(!exchange.on_attempt_failed(Cause::Reset, SENT));
}

#[test]
fn a_pool_that_is_open_is_stood_in_for() {
    let snapshot = snapshot_of(TWO_POOLS);
    let (blue, now) = (&snapshot.services[0].pools[0], snapshot.moment(Instant::now()));
    blue.state.breaker.set_order(crate::upstream::BreakerOrder::Open, now);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert_eq!(exchange.names(), ("shop", "green", "192.0.2.3:80"));
    exchange.finish(Some(200));
    assert_eq!(snapshot.services[0].pools[1].state.tally.read().outcomes[1], 1);
}

#[test]
fn one_too_many_is_refused_and_a_place_given_back_serves_the_next() {
    let snapshot = snapshot_of(TWO_POOLS);
    let mut first = open(clock(), &snapshot);
    admit(&mut first, &[]).unwrap();
    let mut second = open(clock(), &snapshot);
    assert_eq!(admit(&mut second, &[]), Err(Cause::Full));
    first.finish(Some(200));
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
    exchange.attempt().unwrap();
    exchange.on_request_head(&Method::GET, &Uri::from_static("/a?b"), &HeaderMap::new());
    for piece in pieces {
        exchange.on_request_body(Some(&bytes::Bytes::from_static(piece.as_bytes())), false);
    }
    exchange.on_request_body(None, ends);
    exchange.on_response_head(200, &HeaderMap::new(), true).unwrap();
    exchange.on_response_body(Some(&bytes::Bytes::from_static(b"half")), false);
    exchange
}

#[test]
fn a_request_that_is_over_leaves_its_copy_once() {
    let mut exchange = mirrored(&["ab", "cd"], true);
    exchange.finish(Some(200));
    let copied = exchange.take_copy().unwrap();
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
    exchange.on_attempt_failed(Cause::ClientGone, SENT);
    exchange.finish(Some(200));
    assert!(exchange.take_copy().unwrap().live.is_none());
}
