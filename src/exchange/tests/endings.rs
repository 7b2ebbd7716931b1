//! What a request is held to have come to, and what its record says.

use super::*;

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
fn what_is_bad_by_words_of_the_file_is_counted_though_no_rollout_is_under_way() {
    let own = "split = { blue = 100 }\njudge.errors = [\"429\"]\nslo =";
    let text = PROMISED.replacen("slo =", own, 1) + "green.upstreams = [\"192.0.2.2:80\"]\n";
    let snapshot = snapshot_of(&text);
    for status in [429, 500, 200] {
        let mut exchange = open(clock(), &snapshot);
        admit(&mut exchange, &[]).unwrap();
        head(&mut exchange, status, &of_type("text/plain", &[]), true).unwrap();
        let mut relay = exchange.relay().unwrap();
        relay.body(Some(&bytes::Bytes::from_static(b"x")), true);
        finish(&mut exchange, Some(status));
    }
    let upstream = &snapshot.services[0].pools[0].members.list()[0].upstream;
    let (counts, _) = upstream.judged.read().since(Default::default());
    assert_eq!((counts.total, counts.bad), (3, 1));
    assert_eq!(upstream.tally.read().errors(), 1, "and the totals say what they always say");
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
    exchange.attempt().unwrap().connected(Link::Kept, standing().now());
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
    assert_eq!(kept.attempts[1].sent, Some(millis(9)), "without a body with the connection");
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
fn a_call_whose_time_is_over_spends_nobodys_error_budget() {
    let snapshot = snapshot_of(PROMISED);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert!(!fails(&mut exchange, Cause::CallOver, SENT));
    let headers = of_type("application/grpc", &[]);
    assert_eq!(exchange.give_up(Cause::CallOver, &Fields::new(View::Map(&headers))).status, 200);
    finish(&mut exchange, Some(200));
    assert_eq!((judged(&snapshot, 0), counted_bad(&snapshot)), ((0, 0), (0, 0)));
    assert_eq!((requests(&snapshot)[6], attempts(&snapshot)[6]), (0, 0), "nobody failed");
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

#[test]
fn the_record_of_one_that_an_open_breaker_refused_says_why_of_each_upstream() {
    let snapshot = snapshot();
    let (blue, now) = (&snapshot.services[0].pools[0], snapshot.moment(Instant::now()));
    blue.state.breaker.set_order(BreakerOrder::Open, now);
    blue.members.list()[1].upstream.set_draining(true);
    let last = Arc::new(Rings::new(1 << 20, 1));
    let published = Arc::new(Published::of(snapshot.clone()));
    let mut exchange = Exchange::open(standing(), published, last.clone());
    assert_eq!(admit(&mut exchange, &[("x-request-id", "mine")]), Err(Cause::Open));
    finish(&mut exchange, Some(503));
    let kept = last.find("mine", NOW).unwrap();
    let why = |n: u8, why| ("blue".into(), format!("192.0.2.{n}:80"), why);
    let wanted = [why(1, NotTaken::PoolOpen), why(2, NotTaken::Drained)];
    assert_eq!((kept.not_taken, kept.route, kept.by), (wanted.into(), Some(0), Some(By::Draw)));
}

#[test]
fn who_is_taken_in_by_another_pool_came_by_the_route_it_came_by() {
    let route = |path: &str| format!("[[routes]]\npath_prefix = \"{path}\"\nservice = \"shop\"\n");
    let routes = format!("{}{}[services.shop]\n", route("/other"), route("/"));
    let text = TWO_POOLS.replacen("[services.shop]\n", &routes, 1);
    let retries = "retries = { statuses = [503] }\n";
    let unshielded = "retries = { shield = false }\nfallback.pool = \"blue\"\n";
    let stood_in_for = text.replacen(retries, unshielded, 1);
    for (text, by) in [(text, By::Shield), (stood_in_for, By::StandIn)] {
        let snapshot = snapshot_shifted(&text);
        let (green, now) = (&snapshot.services[0].pools[1], snapshot.moment(Instant::now()));
        green.state.breaker.set_order(BreakerOrder::Open, now);
        let mut exchange = open(clock(), &snapshot);
        admit(&mut exchange, &[]).unwrap();
        let noted = &exchange.noted;
        assert_eq!((noted.by, noted.route, noted.route_place), (Some(by), Some(1), Some(1)));
        assert_eq!(noted.stratum, crate::snapshot::Stratum::of(1, &Method::GET));
    }
}
