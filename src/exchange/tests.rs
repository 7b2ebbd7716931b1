use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use http::header::UPGRADE;
use http::{HeaderMap, Method, Uri, Version};

use super::*;
use crate::config::Config;
use crate::http::admission::RequestTarget;
use crate::http::view::View;
use crate::judge::Counts;
use crate::snapshot::{Blueprint, RunTime, Traffic};
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

fn build(text: &str, run_time: RunTime) -> Arc<Snapshot> {
    let (config, _) = Config::parse(text).unwrap();
    let blueprint = Blueprint {
        config: Arc::new(config),
        run_time: &run_time,
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
    exchange.attempt().unwrap();
    assert_eq!(in_flight(&snapshot), 1);
    exchange.on_response_head(200, View::Map(&HeaderMap::new()), true).unwrap();
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
    exchange.on_response_head(204, View::Map(&HeaderMap::new()), true).unwrap();
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
    exchange.on_response_head(200, View::Map(&HeaderMap::new()), true).unwrap();
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
    assert_eq!(exchange.answer(Cause::NoRoute, &Fields::new(&HeaderMap::new())).status, 404);
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
    plain.attempt().unwrap();
    assert_eq!(plain.on_response_head(101, View::Map(&response), true), Err(Cause::BadResponse));
    let mut asked = open(clock(), &snapshot);
    let fields =
        [("host", "shop.test"), ("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")];
    admit(&mut asked, &fields).unwrap();
    asked.attempt().unwrap();
    assert_eq!(asked.on_response_head(101, View::Map(&response), true), Ok(()));
    assert_eq!(
        asked.on_response_head(101, View::Map(&HeaderMap::new()), true),
        Err(Cause::BadResponse)
    );
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
    assert_eq!(exchange.on_response_head(503, View::Map(&none), true), Err(Cause::Retried));
    assert_eq!(
        exchange.on_response_head(503, View::Map(&none), true),
        Ok(()),
        "no attempt is left"
    );
    exchange.finish(Some(503));
    snapshot.services[0].pools[0].members.list()[1].upstream.set_draining(true);
    let mut alone = open(clock(), &snapshot);
    admit(&mut alone, &[]).unwrap();
    assert_eq!(alone.on_response_head(503, View::Map(&none), true), Ok(()), "nobody else is there");
}

#[test]
fn a_failing_canary_is_shielded_and_pays_for_it() {
    let snapshot = snapshot_shifted(TWO_POOLS);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert_eq!(upstream_of(&exchange), "192.0.2.3:80");
    assert_eq!(
        exchange.on_response_head(500, View::Map(&HeaderMap::new()), true),
        Err(Cause::Retried)
    );
    assert!(["192.0.2.1:80", "192.0.2.2:80"].contains(&&*upstream_of(&exchange)));
    exchange.on_response_head(200, View::Map(&HeaderMap::new()), true).unwrap();
    exchange.finish(Some(200));
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
    assert_eq!(exchange.on_response_head(500, View::Map(&HeaderMap::new()), true), Ok(()));
    exchange.finish(Some(500));
    let mut reset = open(clock(), &snapshot);
    admit(&mut reset, &[("x-pool", "green")]).unwrap();
    assert!(!reset.on_attempt_failed(Cause::Reset, SENT), "nobody else is in its pool");
    reset.finish(Some(502));
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
    assert!(exchange.on_attempt_failed(Cause::Reset, SENT));
    assert!(exchange.names().1 == "green" && upstream_of(&exchange) != first);
    assert_eq!(exchange.on_response_head(500, View::Map(&HeaderMap::new()), true), Ok(()));
    exchange.finish(Some(500));
    let mut doubted = open(clock(), &snapshot);
    admit(&mut doubted, &[]).unwrap();
    let head = doubted.on_response_head(500, View::Map(&HeaderMap::new()), true);
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
        exchange.on_response_head(200, View::Map(&HeaderMap::new()), true).unwrap();
        exchange.finish(Some(200));
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
        exchange.finish(Some(503));
        assert_eq!((shielded(&snapshot), judged(&snapshot, 1)), (0, (1, 1)));
    }
}

#[test]
fn a_dead_kept_connection_is_no_failure_of_the_upstream() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[("host", "shop.test")]).unwrap();
    let stale = Wire { was_stale: true, ..SENT };
    (0..3).for_each(|_| assert!(exchange.on_attempt_failed(Cause::Reset, stale)));
    assert_eq!((attempts(&snapshot), judged(&snapshot, 0)), ([0; 7], (0, 0)));
    assert_eq!(in_flight(&snapshot), 1);
    assert!(exchange.on_attempt_failed(Cause::Reset, SENT), "its one retry is left");
    assert!(!exchange.on_attempt_failed(Cause::Reset, SENT));
    exchange.finish(Some(502));
    assert_eq!((attempts(&snapshot)[6], judged(&snapshot, 0)), (2, (2, 2)));
}

#[test]
fn what_cannot_be_sent_again_on_a_dead_connection_is_held_against_the_upstream() {
    let snapshot = snapshot();
    let stale = Wire { was_stale: true, ..SENT };
    for _ in 0..20 {
        let mut exchange = open(clock(), &snapshot);
        admit_as(&Method::POST, &mut exchange, &[]).unwrap();
        assert!(!exchange.on_attempt_failed(Cause::Reset, stale));
        exchange.finish(Some(502));
    }
    assert_eq!((attempts(&snapshot)[6], judged(&snapshot, 0)), (20, (20, 20)));
    let blue = &snapshot.services[0].pools[0];
    let ejected = crate::upstream::Conditions::EJECTED;
    assert!(blue.members.list().iter().any(|member| member.upstream.conditions().any(ejected)));
    assert_eq!(blue.state.breaker.opened(), 1);
}

#[test]
fn a_dead_connection_is_forgiven_three_times_and_no_more() {
    let snapshot = snapshot();
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    let stale = Wire { was_stale: true, ..SENT };
    (0..4).for_each(|_| assert!(exchange.on_attempt_failed(Cause::Reset, stale)));
    assert_eq!(attempts(&snapshot)[6], 1);
}

#[test]
fn the_time_for_tries_bounds_the_later_ones_only() {
    let text = TWO_POOLS.replacen("retries = { ", "retries = { total = \"2s\", ", 1);
    let snapshot = snapshot_of(&text);
    let mut exchange = open(standing(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert_eq!(exchange.timeouts().response, Duration::from_secs(15));
    pass(Duration::from_millis(500));
    let stale = Wire { was_stale: true, ..SENT };
    assert!(exchange.on_attempt_failed(Cause::Reset, stale));
    assert_eq!(exchange.timeouts().response, Duration::from_secs(15), "it is the same try");
    assert!(exchange.on_attempt_failed(Cause::Connect, Wire { was_sent: false, ..SENT }));
    assert_eq!(exchange.timeouts().response, Duration::from_millis(1_500));
}

#[test]
fn a_pause_is_nobodys_latency() {
    let text = TWO_POOLS.replacen("retries = { ", "retries = { backoff = \"1s\", ", 1);
    let snapshot = snapshot_of(&text);
    let mut exchange = open(standing(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert!(exchange.on_attempt_failed(Cause::Reset, SENT));
    let next = exchange.attempt().unwrap();
    assert!(next.pause > Duration::from_millis(1), "{:?}", next.pause);
    pass(next.pause + Duration::from_millis(3));
    exchange.on_response_head(200, View::Map(&HeaderMap::new()), true).unwrap();
    exchange.finish(Some(200));
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
        assert!(!exchange.on_attempt_failed(Cause::Reset, SENT));
    }
    other.set_draining(false);
    let mut exchange = open(standing(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert!(exchange.on_attempt_failed(Cause::Reset, SENT));
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
            exchange.on_upload();
        }
    }
    let mut served = open(standing(), &snapshot);
    admit(&mut served, &[]).unwrap();
    pass(wait);
    if answers {
        // Its body may take for ever.
        served.on_response_head(200, View::Map(&HeaderMap::new()), true).unwrap();
    }
    for mut exchange in exchanges {
        if uploads {
            exchange.on_request_end();
        }
        assert!(!exchange.on_attempt_failed(Cause::ClientGone, SENT));
        exchange.finish(None);
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
    assert!(exchange.on_attempt_failed(Cause::Reset, SENT));
    assert!(exchange.names().1 == "blue" && exchange.mark().is_none());
    assert!(exchange.on_attempt_failed(Cause::Reset, SENT));
    assert_eq!(exchange.names(), ("shop", "green", "192.0.2.3:80"));
    assert_eq!(exchange.mark().unwrap(), "pool");
    assert_eq!(
        exchange.on_response_head(503, View::Map(&HeaderMap::new()), true),
        Ok(()),
        "only once"
    );
    exchange.finish(Some(503));
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
    assert!(!post.on_attempt_failed(Cause::Reset, SENT));
    post.finish(Some(502));
    let mut answered = open(clock(), &snapshot);
    admit(&mut answered, &[]).unwrap();
    assert_eq!(answered.on_response_head(500, View::Map(&HeaderMap::new()), true), Ok(()));
    answered.finish(Some(500));
    let mut tester = open(clock(), &snapshot);
    admit(&mut tester, &[("x-pool", "blue")]).unwrap();
    assert!(tester.on_attempt_failed(Cause::Reset, SENT), "it has another upstream");
    assert!(!tester.on_attempt_failed(Cause::Reset, SENT));
}

#[test]
fn a_pool_that_is_open_is_stood_in_for() {
    let snapshot = snapshot_of(&stood_in_for());
    let (blue, now) = (&snapshot.services[0].pools[0], snapshot.moment(Instant::now()));
    blue.state.breaker.set_order(BreakerOrder::Open, now);
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
    exchange.on_request_head(&Method::GET, "/a?b", View::Map(&HeaderMap::new()));
    for piece in pieces {
        exchange.on_request_body(Some(&bytes::Bytes::from_static(piece.as_bytes())), false);
    }
    exchange.on_request_body(None, ends);
    exchange.on_response_head(200, View::Map(&HeaderMap::new()), true).unwrap();
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
