//! What is done about attempts that fail: retries, the shield, stand-ins.

use super::*;

/// The same with a pool that stands in.
fn stood_in_for() -> String {
    TWO_POOLS.replacen("[services.shop]\n", "[services.shop]\nfallback.pool = \"green\"\n", 1)
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
    // Moments are whole microseconds; a pause is not.
    assert!((3_000_000..=3_001_000).contains(&nanos), "{nanos}");
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
    assert_eq!(
        exchange.noted.by,
        Some(By::StandIn),
        "no longer the one that its client belongs to"
    );
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
fn a_drawn_request_stays_in_its_pool_when_only_who_is_not_well_is_left() {
    let even = TWO_POOLS.replace("blue = 100, green = 0", "blue = 50, green = 50");
    let fallback = "fallback.stale = { bytes = \"64KiB\" }\n[services.shop.pools]";
    let snapshot = snapshot_of(&even.replace("[services.shop.pools]", fallback));
    let blue = &snapshot.services[0].pools[0];
    let now = snapshot.moment(Instant::now());
    blue.members.list().iter().for_each(|member| member.upstream.note_refused(now));
    blue.assess(&snapshot.services[0].stability, now);
    let mut pools = std::collections::BTreeMap::new();
    for seed in 0..40 {
        DRAWN.set(seed);
        let mut exchange = open(Clock { draw: || DRAWN.get(), ..standing() }, &snapshot);
        admit_as(&Method::POST, &mut exchange, &[]).unwrap();
        *pools.entry(names(&exchange).1.to_string()).or_insert(0) += 1;
        finish(&mut exchange, Some(200));
    }
    assert_eq!(pools.keys().collect::<Vec<_>>(), ["blue", "green"]);
    // Were it drawn anew, green had three of four.
    assert!(pools["blue"] > 12, "{pools:?}");
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
