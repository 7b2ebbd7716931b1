//! Requests whose bodies take their time, and what they count for.

use super::*;
use crate::upstream::Load;

/// One pool of two upstreams; everything is limited.
const LIMITED: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
limits = { in_flight = 2, upstream_in_flight = 2, adaptive = true }
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80", "192.0.2.2:80"]
"#;

const BODY: &[(&str, &str)] = &[("content-length", "5")];

/// What the service, its pool and all upstreams of that hold.
fn loads(snapshot: &Snapshot) -> [Load; 3] {
    let service = &snapshot.services[0];
    let pool = &service.pools[0];
    let upstreams = pool.members.list().iter().map(|member| member.upstream.load());
    let add =
        |sum: Load, one: Load| Load { all: sum.all + one.all, sending: sum.sending + one.sending };
    [service.state.load(), pool.state.load(), upstreams.fold(Load::default(), add)]
}

fn hold(all: u32, sending: u32) -> [Load; 3] {
    [Load { all, sending }; 3]
}

/// A request whose body is on its way.
fn sending(snapshot: &Arc<Snapshot>) -> Exchange {
    let mut exchange = open(clock(), snapshot);
    admit_as(&Method::PUT, &mut exchange, BODY).unwrap();
    with_sent(|sent| exchange.attempt().unwrap().request_head(sent, Upload::ToCome));
    exchange.attempt().unwrap().request_body(Some(b"or"), false);
    exchange
}

#[test]
fn a_request_counts_from_the_end_of_its_body() {
    let snapshot = snapshot_of(LIMITED);
    let mut exchange = sending(&snapshot);
    assert_eq!(loads(&snapshot), hold(1, 1));
    exchange.attempt().unwrap().request_body(Some(b"der"), false);
    exchange.attempt().unwrap().request_body(None, true);
    assert_eq!(loads(&snapshot), hold(1, 0));
    head(&mut exchange, 200, &HeaderMap::new(), true).unwrap();
    assert_eq!(loads(&snapshot), hold(1, 0));
    finish(&mut exchange, Some(200));
    assert_eq!(loads(&snapshot), hold(0, 0));
}

#[test]
fn a_request_counts_from_the_head_of_its_answer_if_that_comes_first() {
    let snapshot = snapshot_of(LIMITED);
    let mut exchange = sending(&snapshot);
    head(&mut exchange, 103, &HeaderMap::new(), true).unwrap();
    assert_eq!(loads(&snapshot), hold(1, 1), "that is no answer yet");
    head(&mut exchange, 200, &HeaderMap::new(), true).unwrap();
    assert_eq!(loads(&snapshot), hold(1, 0));
    exchange.relay().unwrap().request_body(None, true);
    assert_eq!(loads(&snapshot), hold(1, 0));
    drop(exchange);
    assert_eq!(loads(&snapshot), hold(0, 0));
}

#[test]
fn a_body_that_came_with_its_head_or_that_nobody_limits_counts_at_once() {
    let snapshot = snapshot_of(LIMITED);
    let mut exchange = open(clock(), &snapshot);
    admit(&mut exchange, &[]).unwrap();
    assert_eq!(loads(&snapshot), hold(1, 0));
    let limits = "limits = { in_flight = 2, upstream_in_flight = 2, adaptive = true }\n";
    let snapshot = snapshot_of(&LIMITED.replacen(limits, "", 1));
    let exchange = sending(&snapshot);
    assert_eq!(loads(&snapshot), hold(1, 0), "to tell them apart is not free");
    drop(exchange);
    assert_eq!(loads(&snapshot), hold(0, 0));
}

#[test]
fn another_attempt_counts_as_the_one_before() {
    let snapshot = snapshot_of(LIMITED);
    let mut exchange = sending(&snapshot);
    assert!(fails(&mut exchange, Cause::Reset, SENT));
    assert_eq!(loads(&snapshot), hold(1, 1), "the rest of its body has yet to come");
    drop(exchange);
    let mut exchange = sending(&snapshot);
    exchange.attempt().unwrap().request_body(None, true);
    assert!(fails(&mut exchange, Cause::Reset, SENT));
    assert_eq!(loads(&snapshot), hold(1, 0), "what is sent again is here");
    drop(exchange);
    assert_eq!(loads(&snapshot), hold(0, 0));
}

#[test]
fn what_is_given_up_while_it_is_sent_counts_for_nothing_any_more() {
    let snapshot = snapshot_of(LIMITED);
    let mut exchange = sending(&snapshot);
    assert!(!fails(&mut exchange, Cause::ClientGone, SENT));
    finish(&mut exchange, None);
    assert_eq!(loads(&snapshot), hold(0, 0));
    // Nobody is left who could be asked.
    let mut exchange = sending(&snapshot);
    assert!(fails(&mut exchange, Cause::Reset, SENT));
    assert!(!fails(&mut exchange, Cause::Reset, SENT));
    finish(&mut exchange, Some(502));
    assert_eq!(loads(&snapshot), hold(0, 0));
}

#[test]
fn who_sends_slowly_takes_no_place_and_as_many_may_as_the_file_says() {
    for limits in ["in_flight = 2", "in_flight = 9", "upstream_in_flight = 2"] {
        let limits = format!("limits = {{ {limits}, uploads = 3 }}\n");
        let all = "limits = { in_flight = 2, upstream_in_flight = 2, adaptive = true }\n";
        let snapshot = snapshot_of(&LIMITED.replacen(all, &limits, 1));
        let mut slow: Vec<_> = (0..3).map(|_| sending(&snapshot)).collect();
        let more = |fields| {
            let mut exchange = open(clock(), &snapshot);
            admit_as(&Method::PUT, &mut exchange, fields).map(|()| exchange)
        };
        assert_eq!(more(BODY).unwrap_err(), Cause::Full, "{limits}");
        let others = [more(&[]).unwrap(), more(&[]).unwrap()];
        drop(others);
        slow.pop();
        slow.push(more(BODY).unwrap());
        assert_eq!(more(BODY).unwrap_err(), Cause::Full, "{limits}");
    }
}

#[test]
fn those_that_have_been_sent_keep_others_out_however_many_they_are() {
    let snapshot = snapshot_of(LIMITED);
    let mut slow: Vec<_> = (0..3).map(|_| sending(&snapshot)).collect();
    for exchange in &mut slow {
        exchange.attempt().unwrap().request_body(None, true);
    }
    let ask = |fields| admit_as(&Method::PUT, &mut open(clock(), &snapshot), fields);
    assert_eq!((ask(&[]), ask(BODY)), (Err(Cause::Full), Err(Cause::Full)));
    slow.truncate(2);
    assert_eq!((ask(&[]), ask(BODY)), (Err(Cause::Full), Err(Cause::Full)));
    slow.truncate(1);
    assert_eq!((ask(&[]), ask(BODY)), (Ok(()), Ok(())));
}

#[test]
fn a_client_that_sends_slowly_does_not_make_its_upstream_slow() {
    let text = LIMITED.replacen("limits", "breaker.slow = \"1s\"\nlimits", 1);
    let snapshot = snapshot_of(&text);
    let latency = |exchange: &mut Exchange, is_answered_early: bool| {
        let name = upstream_of(exchange);
        pass(Duration::from_secs(20));
        if !is_answered_early {
            exchange.attempt().unwrap().request_body(None, true);
            pass(Duration::from_millis(10));
        }
        head(exchange, 200, &HeaderMap::new(), true).unwrap();
        let now = exchange.now();
        finish(exchange, Some(200));
        let members = snapshot.services[0].pools[0].members.list();
        let member = members.iter().find(|member| *member.upstream.name == *name).unwrap();
        member.upstream.latency.last(now)
    };
    let mut exchange = open(standing(), &snapshot);
    let mut send = |is_answered_early| {
        admit_as(&Method::PUT, &mut exchange, BODY).unwrap();
        with_sent(|sent| exchange.attempt().unwrap().request_head(sent, Upload::ToCome));
        latency(&mut exchange, is_answered_early)
    };
    assert_eq!(send(true), None, "nothing is known of how long it takes");
    let (seconds, _) = send(false).unwrap();
    assert!((seconds - 0.01).abs() < 0.001, "{seconds}");
    let mut gone = open(standing(), &snapshot);
    admit_as(&Method::PUT, &mut gone, BODY).unwrap();
    with_sent(|sent| gone.attempt().unwrap().request_head(sent, Upload::ToCome));
    let name = upstream_of(&gone);
    pass(Duration::from_secs(20));
    let now = gone.now();
    drop(gone);
    let members = snapshot.services[0].pools[0].members.list();
    let member = members.iter().find(|member| *member.upstream.name == *name).unwrap();
    assert!(member.upstream.latency.last(now).is_none_or(|(seconds, _)| seconds < 1.0));
}
