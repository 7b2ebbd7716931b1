use opentelemetry::Value;

use super::*;
use crate::clock::WallTime;
use crate::config::{Config, Keep};
use crate::record::Kept;
use crate::split::Cohort;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SERVER: &str = "b7ad6b7169203331";

fn settings() -> Traces {
    let text = "[[listeners]]\naddress = \":80\"\n[traces]\nendpoint = \"http://a/\"\n\
                [services.a.pools.b]\nupstreams = [\"a:1\"]\n";
    let traces = Config::parse(text).unwrap().0.traces.unwrap();
    (*traces).clone()
}

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn attempt(pool: &str, upstream: &str, (began, done): (u64, u64)) -> KeptAttempt {
    KeptAttempt {
        pool: pool.into(),
        upstream: upstream.into(),
        chosen: millis(began),
        began: millis(began),
        connected: Some(millis(began)),
        is_reused: false,
        sent: None,
        head: None,
        done: millis(done),
        status: Some(200),
        cause: String::new(),
        to_upstream: 0,
        from_upstream: 0,
    }
}

/// A request that a canary failed, and a stable pool answered.
fn entry() -> Entry {
    let failed = KeptAttempt {
        status: None,
        cause: "reset".into(),
        ..attempt("green", "[2001:db8::1]:9000", (0, 2))
    };
    let answered = KeptAttempt { is_reused: true, ..attempt("blue", "10.0.0.1:9000", (3, 8)) };
    let kept = Kept {
        at: WallTime::from_millis(0),
        request_id: "mine".into(),
        method: "GET".into(),
        host: "shop.test:8443".into(),
        path: "/cart/7".into(),
        version: Version::HTTP_2,
        client: Some([192, 0, 2, 9].into()),
        status: Some(200),
        cause: String::new(),
        duration: millis(9),
        waited: Duration::ZERO,
        connection_age: Duration::ZERO,
        service: "shop".into(),
        route: Some(0),
        pool: "green".into(),
        revision: 3,
        by: Some(By::Cohort(Cohort::new(77))),
        trace: (TRACE.into(), SERVER.into()),
        is_sampled: false,
        from_client: 0,
        to_client: 5,
        attempts: vec![failed, answered],
        not_taken: Vec::new(),
    };
    let of = |span, is_tls| EntryAttempt {
        span,
        breaker: BreakerState::Closed,
        is_http2: false,
        is_tls,
    };
    Entry {
        kept,
        at: Moment::from_micros(5_000_000),
        parent: "00f067aa0ba902b7".into(),
        flags: 3,
        decided: Decided::Stranger,
        kept_for: Some(Keep::Retried),
        is_https: true,
        has_failed: false,
        is_canary: Some(true),
        breaker: Some(BreakerState::HalfOpen),
        route: "/cart".into(),
        target: "/cart/7?token=hush&page=2".into(),
        rewritten: String::new(),
        agent: "curl/8".into(),
        attempts: vec![of(0xa1, false), of(0xa2, true)],
    }
}

fn made(entry: &Entry) -> Vec<SpanData> {
    let now = (Moment::from_micros(6_000_000), SystemTime::UNIX_EPOCH + Duration::from_secs(100));
    spans(entry, &settings(), &scope(), now)
}

fn said(span: &SpanData) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().into_owned();
    let list = span.attributes.iter();
    list.map(|attribute| (attribute.key.to_string(), text(&attribute.value))).collect()
}

fn assert_said(span: &SpanData, expected: &[(&str, &str)]) {
    let said = said(span);
    let said: Vec<(&str, &str)> = said.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(said, expected);
}

#[test]
fn a_request_is_a_server_span_and_a_client_span_for_each_attempt() {
    let made = made(&entry());
    let [server, failed, answered] = &made[..] else { panic!("{made:?}") };
    let id = |hex| SpanId::from_hex(hex).unwrap();
    for span in &made {
        assert_eq!(span.span_context.trace_id(), TraceId::from_hex(TRACE).unwrap());
        assert_eq!(span.span_context.trace_flags().to_u8(), 3);
    }
    assert_eq!(
        (server.span_context.span_id(), server.parent_span_id),
        (id(SERVER), id("00f067aa0ba902b7"))
    );
    assert_eq!((server.parent_span_is_remote, failed.parent_span_is_remote), (true, false));
    assert_eq!((failed.span_context.span_id(), failed.parent_span_id), (id("a1"), id(SERVER)));
    assert_eq!((answered.span_context.span_id(), answered.parent_span_id), (id("a2"), id(SERVER)));
    let kinds = [server, failed, answered].map(|span| (&*span.name, span.span_kind.clone()));
    let expected =
        [("GET /cart", SpanKind::Server), ("GET", SpanKind::Client), ("GET", SpanKind::Client)];
    assert_eq!(kinds, expected);
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(99);
    let times = [server, failed, answered].map(|span| (span.start_time, span.end_time));
    let expected =
        [(0, 9), (0, 2), (3, 8)].map(|(from, to)| (began + millis(from), began + millis(to)));
    assert_eq!(times, expected);
    let states = [server, failed, answered].map(|span| span.status.clone());
    assert_eq!(states, [Status::Unset, Status::error("reset"), Status::Unset]);
}

#[test]
fn names_are_those_of_the_conventions_and_ours() {
    let made = made(&entry());
    assert_said(
        &made[0],
        &[
            ("http.request.method", "GET"),
            ("http.route", "/cart"),
            ("url.scheme", "https"),
            ("url.path", "/cart/7"),
            ("url.query", "token=***&page=2"),
            ("server.address", "shop.test"),
            ("server.port", "8443"),
            ("client.address", "192.0.2.9"),
            ("user_agent.original", "curl/8"),
            ("network.protocol.version", "2"),
            ("http.response.status_code", "200"),
            ("pointsman.request_id", "mine"),
            ("pointsman.service", "shop"),
            ("pointsman.pool", "green"),
            ("pointsman.revision", "3"),
            ("pointsman.by", "cohort"),
            ("pointsman.cohort", "77"),
            ("pointsman.side", "canary"),
            ("pointsman.retries", "1"),
            ("pointsman.breaker", "half-open"),
            ("pointsman.kept", "retried"),
            ("pointsman.parent", "stranger"),
        ],
    );
    assert_said(
        &made[1],
        &[
            ("http.request.method", "GET"),
            ("server.address", "2001:db8::1"),
            ("server.port", "9000"),
            ("url.full", "http://[2001:db8::1]:9000/cart/7?token=***&page=2"),
            ("network.protocol.version", "1.1"),
            ("error.type", "reset"),
            ("pointsman.service", "shop"),
            ("pointsman.pool", "green"),
            ("pointsman.upstream", "[2001:db8::1]:9000"),
            ("pointsman.upstream.breaker", "closed"),
            ("pointsman.connection", "new"),
        ],
    );
    assert_said(
        &made[2],
        &[
            ("http.request.method", "GET"),
            ("server.address", "10.0.0.1"),
            ("server.port", "9000"),
            ("url.full", "https://10.0.0.1:9000/cart/7?token=***&page=2"),
            ("network.protocol.version", "1.1"),
            ("http.response.status_code", "200"),
            ("http.request.resend_count", "1"),
            ("pointsman.service", "shop"),
            ("pointsman.pool", "blue"),
            ("pointsman.upstream", "10.0.0.1:9000"),
            ("pointsman.upstream.breaker", "closed"),
            ("pointsman.connection", "kept"),
        ],
    );
}

#[test]
fn a_url_is_whole_and_what_the_upstream_was_asked_for() {
    let url = |target: &str, rewritten: &str, upstream: &str, host: &str| {
        let mut entry = entry();
        entry.kept.attempts.remove(0);
        entry.attempts.remove(0);
        (entry.target, entry.rewritten) = (target.into(), rewritten.into());
        entry.kept.host = host.into();
        entry.kept.attempts[0].upstream = upstream.into();
        let made = made(&entry);
        let of = |span: &SpanData, name: &str| {
            said(span).into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
        };
        (of(&made[0], "url.path").unwrap(), of(&made[1], "url.full").unwrap())
    };
    let long = format!("/{}", "a".repeat(500));
    for (target, rewritten, upstream, host, path, full) in [
        ("/api/7?token=hush", "/7?token=hush", "a:1", "h", "/api/7", "https://a:1/7?token=***"),
        ("/api", "/", "unix:/run/a", "shop.test:8080", "/api", "https://shop.test:8080/"),
        ("/api", "", "unix:/run/a", "", "/api", "https://localhost/api"),
        ("*", "", "a:1", "h", "*", "https://a:1"),
        (&*long, "", "a:1", "h", &*long, &*format!("https://a:1{long}")),
    ] {
        assert_eq!(url(target, rewritten, upstream, host), (path.into(), full.into()));
    }
}

#[test]
fn a_refusal_is_an_error_with_its_cause_and_an_unknown_method_is_no_name() {
    let mut entry = entry();
    entry.kept.attempts.clear();
    entry.attempts.clear();
    entry.has_failed = true;
    (entry.kept.status, entry.kept.cause) = (Some(503), "overloaded".into());
    (entry.kept.method, entry.parent, entry.route) = ("BREW".into(), String::new(), String::new());
    let made = made(&entry);
    let [server] = &made[..] else { panic!("{made:?}") };
    assert_eq!((&*server.name, server.parent_span_id), ("HTTP", SpanId::INVALID));
    assert_eq!(
        (server.status.clone(), server.parent_span_is_remote),
        (Status::error("overloaded"), false)
    );
    let said = said(server);
    let of = |name| said.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
    let names =
        ["http.request.method", "http.request.method_original", "error.type", "pointsman.cause"];
    assert_eq!(
        names.map(of),
        [Some("_OTHER"), Some("BREW"), Some("overloaded"), Some("overloaded")]
    );
    assert_eq!(of("http.route"), None);
}

#[test]
fn who_has_left_is_no_error_of_anybody() {
    let mut entry = entry();
    entry.kept.status = None;
    entry.kept.cause = "client_gone".into();
    let last = entry.kept.attempts.last_mut().unwrap();
    (last.status, last.cause) = (None, "client_gone".into());
    let made = made(&entry);
    assert_eq!(
        [&made[0], &made[2]].map(|span| span.status.clone()),
        [Status::Unset, Status::Unset]
    );
    let error = |span: &SpanData| said(span).into_iter().find(|(name, _)| name == "error.type");
    let gone = Some(("error.type".to_string(), "client_gone".to_string()));
    assert_eq!([&made[0], &made[2]].map(error), [gone.clone(), gone]);
}

#[test]
fn attempts_from_before_traces_were_kept_are_left_out() {
    let mut entry = entry();
    entry.attempts[0].span = 0;
    assert_eq!(made(&entry).len(), 2);
    entry.kept.trace = Default::default();
    assert_eq!(made(&entry).len(), 0);
}

#[test]
fn addresses_are_told_from_their_ports() {
    for (text, expected) in [
        ("a.test:80", ("a.test", Some(80))),
        ("a.test", ("a.test", None)),
        ("[::1]:8080", ("::1", Some(8080))),
        ("[::1]", ("::1", None)),
        ("unix:/run/a:1", ("unix:/run/a:1", None)),
        ("", ("", None)),
    ] {
        assert_eq!(host_and_port(text), expected, "{text}");
    }
}
