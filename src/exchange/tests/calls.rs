//! Calls and other talks: what they wait for, and whose failure it is that nothing comes.

use super::*;

const CALLS: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
slo.availability = "99.9%"
[services.shop.pools.blue]
http2 = true
upstreams = ["192.0.2.1:80"]
"#;

const CALL: (&str, &str) = ("content-type", "application/grpc+proto");

const IDLE: Duration = Duration::from_secs(60);
const STREAM_IDLE: Duration = Duration::from_secs(15 * 60);
const RESPONSE: Duration = Duration::from_secs(15);

/// A request that was sent so far.
fn sent(
    snapshot: &Arc<Snapshot>,
    version: Version,
    fields: &[(&'static str, &str)],
    upload: Upload,
) -> Exchange {
    let mut exchange = open(standing(), snapshot);
    admit_in(version, &Method::POST, &mut exchange, fields).unwrap();
    with_sent(|sent| exchange.attempt().unwrap().request_head(sent, upload));
    exchange
}

fn of_type(kind: &str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, kind.parse().unwrap())])
}

#[test]
fn a_call_that_is_open_waits_for_either_side() {
    let (http1, http2) = (CALLS.replacen("http2 = true\n", "", 1), CALLS.to_string());
    let (talk, request) = (Wait::Talk(STREAM_IDLE, IDLE), Wait::Request(IDLE));
    let connect = ("content-type", "application/connect+proto");
    for (text, version, kind, wanted) in [
        (&http2, Version::HTTP_2, CALL, talk),
        (&http2, Version::HTTP_2, connect, talk),
        (&http2, Version::HTTP_2, ("content-type", "application/x-ndjson"), request),
        // Anybody can say so where no such calls are served.
        (&http1, Version::HTTP_2, CALL, request),
        (&http2, Version::HTTP_11, CALL, request),
    ] {
        let snapshot = snapshot_of(text);
        let mut exchange = sent(&snapshot, version, &[kind], Upload::ToCome);
        assert_eq!(exchange.wait(), wanted, "{kind:?} {version:?}");
        exchange.attempt().unwrap().request_body(None, true);
        assert_eq!(exchange.wait(), Wait::Answer(RESPONSE));
    }
}

#[test]
fn who_is_answered_with_a_stream_before_all_is_sent_has_a_talk() {
    let snapshot = snapshot_of(CALLS);
    for (kind, wanted) in [
        ("application/grpc", Wait::Talk(STREAM_IDLE, STREAM_IDLE)),
        ("text/event-stream", Wait::Talk(STREAM_IDLE, STREAM_IDLE)),
        ("text/html", Wait::Request(IDLE)),
    ] {
        for version in [Version::HTTP_2, Version::HTTP_11] {
            let mut exchange = sent(&snapshot, version, &[], Upload::ToCome);
            head(&mut exchange, 200, &of_type(kind), true).unwrap();
            assert_eq!(exchange.wait(), wanted, "{kind}");
        }
    }
}

#[test]
fn a_call_waits_for_its_answer_as_long_as_its_client_says() {
    let waits = |text: &str, fields: &[(&'static str, &str)]| {
        sent(&snapshot_of(text), Version::HTTP_2, fields, Upload::Done).wait()
    };
    let timeout = ("grpc-timeout", "1H");
    assert_eq!(waits(CALLS, &[CALL, timeout]), Wait::Answer(STREAM_IDLE));
    assert_eq!(waits(CALLS, &[CALL]), Wait::Answer(RESPONSE));
    assert_eq!(waits(CALLS, &[timeout]), Wait::Answer(RESPONSE), "that is no call");
    let own = CALLS.replacen("slo", "retries.attempt_timeout = \"2s\"\nslo", 1);
    let seconds = Duration::from_secs;
    assert_eq!(waits(&own, &[CALL, timeout]), Wait::Answer(seconds(2)), "the file says so");
    let short = CALLS.replacen("slo", "timeouts.stream_idle = \"1s\"\nslo", 1);
    assert_eq!(waits(&short, &[CALL, timeout]), Wait::Answer(RESPONSE));
}

#[test]
fn that_nobody_says_anything_is_nobodys_failure() {
    let snapshot = snapshot_of(CALLS);
    let last = Arc::new(Rings::new(1 << 20, 1));
    let published = Arc::new(Published::of(snapshot.clone()));
    for has_head in [false, true] {
        let mut exchange = Exchange::open(standing(), published.clone(), last.clone());
        let fields = [CALL, ("x-request-id", "mine")];
        admit_in(Version::HTTP_2, &Method::POST, &mut exchange, &fields).unwrap();
        with_sent(|sent| exchange.attempt().unwrap().request_head(sent, Upload::ToCome));
        if has_head {
            head(&mut exchange, 200, &of_type("application/grpc"), true).unwrap();
        }
        pass(STREAM_IDLE);
        assert!(!fails(&mut exchange, Cause::Quiet, SENT));
        if !has_head {
            let request = of_type("application/grpc");
            exchange.give_up(Cause::Quiet, &Fields::new(View::Map(&request)));
        }
        finish(&mut exchange, Some(200));
        let kept = last.find("mine", NOW).unwrap();
        assert_eq!((kept.status, &*kept.cause), (Some(200), "quiet"), "{has_head}");
    }
    assert_eq!(requests(&snapshot), [0, 1, 0, 0, 0, 1, 0]);
    assert_eq!(attempts(&snapshot), [0, 1, 0, 0, 0, 1, 0]);
    let pool = &snapshot.services[0].pools[0];
    assert_eq!((pool.state.breaker.opened(), judged(&snapshot, 0).1), (0, 0));
}

#[test]
fn who_lets_the_services_own_time_pass_is_held_to_it_unless_others_are_answered() {
    let is_blamed = |timeout: &str, waited: Duration, is_answered: bool| {
        let snapshot = snapshot_of(CALLS);
        let call = [CALL, ("grpc-timeout", timeout)];
        let mut exchange = sent(&snapshot, Version::HTTP_2, &call, Upload::Done);
        pass(waited);
        if is_answered {
            let mut other = sent(&snapshot, Version::HTTP_2, &[CALL], Upload::Done);
            head(&mut other, 200, &of_type("application/grpc"), true).unwrap();
            let well = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
            other.relay().unwrap().trailers(View::Map(&HeaderMap::from_iter([well])));
            finish(&mut other, Some(200));
        }
        assert!(!fails(&mut exchange, Cause::CallOver, SENT));
        finish(&mut exchange, Some(200));
        assert_eq!((requests(&snapshot)[6], requests(&snapshot)[4]), (0, 0), "no user's failure");
        judged(&snapshot, 0).1 > 0
    };
    let seconds = Duration::from_secs;
    assert!(is_blamed("20S", seconds(20), false), "it does not answer at all");
    assert!(!is_blamed("20S", seconds(20), true), "it answers others");
    assert!(
        !is_blamed("1m", Duration::from_millis(1), false),
        "its client has chosen a short time"
    );
    assert!(!is_blamed("14S", seconds(14), false));
}
