use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Version};

use super::super::tests::last;
use super::*;
use crate::auth::{Begun, Users};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::admission::{Head, RequestTarget};
use crate::http::failure::BadRequest;
use crate::http::forwarded::Peer;
use crate::http::view::View;
use crate::snapshot::{Blueprint, Published, RunTime, Snapshot};
use crate::split::Secret;

/// `secret`.
const ANN: &str = "ann:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const ASK: &str = "auth = { ask = \"http://127.0.0.1:4180/auth?x\", \
                   copy = [\"x-user\", \"x-groups\"], send = [\"cookie\", \"x-real-ip\"] }";
const BASIC: &str = "auth = { basic = \"users\" }";

fn snapshot(route: &str, before: Option<&Snapshot>) -> Snapshot {
    let text = format!(
        "[server]\nclient.odd_names = \"pass\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\nservice = \"shop\"\n{route}\n\
         [services.shop]\nlimits = {{ upstream_in_flight = 1, queue = 9, queue_timeout = \"60s\" }}\n\
         [services.shop.pools]\nblue.upstreams = [\"192.0.2.1:80\"]\n"
    );
    let (mut config, _) = Config::parse(&text).unwrap();
    config.users = [("users".into(), Users::of(ANN).unwrap())].into_iter().collect();
    let (run_time, secret) = (RunTime::default(), Secret([0; 16]));
    let (config, now) = (Arc::new(config), Instant::now());
    Snapshot::build(&Blueprint { config, run_time: &run_time, secret, now }, before)
}

fn published(route: &str) -> Arc<Published> {
    Arc::new(Published::of(Arc::new(snapshot(route, None))))
}

fn open(published: &Arc<Published>) -> Exchange {
    let wall = || std::time::SystemTime::UNIX_EPOCH;
    let clock = Clock { now: Instant::now, wall, draw: || 7 };
    Exchange::open(clock, published.clone(), last())
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let host = ("host", "Shop.test:8080");
    let mut map = HeaderMap::new();
    for (name, value) in std::iter::once(&host).chain(fields) {
        map.append(*name, value.parse().unwrap());
    }
    map
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

/// A request for this with these fields is admitted.
fn admit<'e, 'r>(
    exchange: &'e mut Exchange,
    target: &'r str,
    headers: &'r HeaderMap,
    peer: &'r Peer,
) -> Admission<'e, 'r> {
    let path = target.split('?').next().unwrap();
    let target =
        RequestTarget { bytes: target.as_bytes(), path, path_and_query: target, authority: None };
    let (method, version, upload) = (&Method::PUT, Version::HTTP_11, Upload::Done);
    let head = Head { method, target, version, view: View::Map(headers), raw: b"", upload };
    exchange.admit(&head, peer)
}

fn client() -> Peer {
    Peer::new([192, 0, 2, 9].into(), "http", Instant::now())
}

fn said(status: u16, fields: &[(&'static str, &'static str)]) -> Option<Said> {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_static(value));
    }
    Some(Said { status, fields: map, body: Bytes::from_static(b"told") })
}

/// What a request that was let in tells its upstream in these fields.
fn tells(exchange: &Exchange, headers: &HeaderMap, names: &[&str]) -> Vec<String> {
    let sent = exchange.edits().applied(View::Map(headers), |_| None);
    let is_named = |name: &str| names.contains(&name);
    let lines = sent.iter().filter(|(name, _)| is_named(name.as_str()));
    let mut lines: Vec<_> =
        lines.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

#[test]
fn a_question_tells_what_is_asked_for_and_no_more_of_the_client_than_may_be_known() {
    let published = published(ASK);
    let mut exchange = open(&published);
    let headers = headers(&[
        ("cookie", "a=b"),
        ("cookie", "c=d"),
        ("authorization", "Bearer x"),
        ("x-real-ip", "6.6.6.6"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-uri", "/evil"),
        ("x-request-id", "known"),
    ]);
    let peer = client();
    let Admission::Door(door) = admit(&mut exchange, "/%61//b?c=\u{e9}&d", &headers, &peer) else {
        panic!("it is at the door")
    };
    let Wanted::Word(question) = door.wanted() else { panic!() };
    let wanted = "GET /auth?x HTTP/1.1|host: 127.0.0.1:4180|x-forwarded-method: PUT|\
                  x-forwarded-uri: /a/b?c=%C3%A9&d|x-forwarded-proto: http|\
                  x-forwarded-host: Shop.test:8080|x-forwarded-for: 192.0.2.9|\
                  x-request-id: known|cookie: a=b|cookie: c=d||";
    let head = String::from_utf8(question.head.clone()).unwrap().replace("\r\n", "|");
    assert_eq!(head, wanted);
    assert_eq!((question.targets.len(), question.within), (1, Duration::from_secs(1)));
    drop(door);
    drop(exchange);
    // Who left at the door counts for its service and for no pool.
    let service = &published.load().services[0];
    assert_eq!(service.state.closed.read().total(), 1);
    assert_eq!(service.pools[0].state.tally.read().total(), 0);
}

#[test]
fn who_is_asked_hears_of_no_path_that_an_upstream_may_read_as_another() {
    let (headers, peer) = (headers(&[("authorization", &basic("ann:secret"))]), client());
    let comes_to = |route: &str, target: &str| {
        let published = published(route);
        let mut exchange = open(&published);
        match admit(&mut exchange, target, &headers, &peer) {
            Admission::Door(_) => None,
            Admission::Answer(_) => exchange.cause(),
            _ => panic!("{target}"),
        }
    };
    let encoded = Some(Cause::BadRequest(BadRequest::EncodedPath));
    let passing = format!("{ASK}\nencoded = \"pass\"");
    for target in ["/admin;x/users", "/admin%3bx/users", "/%3B", "/a/b;?c", "/admin%2fusers"] {
        assert_eq!(comes_to(ASK, target), encoded, "{target}");
        assert_eq!(comes_to(&passing, target), None, "{target}");
    }
    assert_eq!(comes_to(ASK, "/admin/users?a;b"), None, "a query has no parameters");
    // A password opens the whole route.
    assert_eq!(comes_to(BASIC, "/admin;x/users"), None);
}

#[test]
fn what_is_copied_comes_from_who_was_asked_alone() {
    let claims = [
        ("x-user", "admin"),
        ("x_user", "admin"),
        ("x-groups", "all"),
        ("x-other", "own"),
        ("connection", "x-user"),
    ];
    let (headers, peer) = (headers(&claims), client());
    let names = ["x-user", "x_user", "x-groups", "x-other"];
    for (fields, wanted) in [
        (&[("x-user", "ann"), ("x-role", "a")][..], &["x-other: own", "x-user: ann"][..]),
        (&[], &["x-other: own"]),
        (&[("x-groups", "a"), ("x-groups", "b")], &["x-groups: a", "x-groups: b", "x-other: own"]),
    ] {
        let mut exchange = open(&published(ASK));
        let Admission::Door(door) = admit(&mut exchange, "/", &headers, &peer) else { panic!() };
        let Admission::Forward(admitted) = door.told(said(200, fields)) else { panic!() };
        assert!(admitted.next().withholds_trailers());
        assert_eq!(tells(&exchange, &headers, &names), wanted);
    }
}

#[test]
fn who_is_asked_decides_and_silence_lets_nobody_in() {
    let published = published(ASK);
    let peer = client();
    let comes_to = |fields: &[(&'static str, &str)], word: Option<Said>| {
        let mut exchange = open(&published);
        let headers = headers(fields);
        let Admission::Door(door) = admit(&mut exchange, "/", &headers, &peer) else { panic!() };
        let Admission::Answer(answer) = door.told(word) else { panic!("it is let in") };
        let field = |name: &str| {
            let found = answer.fields.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.to_str().unwrap().to_string())
        };
        let told = (answer.status, field("location"), field("grpc-status"));
        (told, String::from_utf8(answer.body.to_vec()).unwrap(), exchange.cause().unwrap())
    };
    let led = said(302, &[("location", "/login"), ("x-user", "ann")]);
    let told = (302, Some("/login".to_string()), None);
    assert_eq!(comes_to(&[], led), (told, "told".into(), Cause::NotLetIn));
    let (told, body, cause) = comes_to(&[], said(401, &[("www-authenticate", "Bearer")]));
    assert_eq!((told.0, &*body, cause), (401, "told", Cause::NotLetIn));
    for silent in [None, said(500, &[]), said(404, &[]), said(199, &[])] {
        let (told, body, cause) = comes_to(&[], silent);
        assert_eq!((told.0, cause), (503, Cause::AuthFailed));
        assert!(!body.contains("told"), "{body}");
    }
    // A call of gRPC reads its own status alone.
    let call = [("content-type", "application/grpc"), ("te", "trailers")];
    for (status, code) in [(302, "16"), (401, "16"), (403, "7"), (500, "14")] {
        let (told, body, _) = comes_to(&call, said(status, &[("location", "/login")]));
        assert_eq!((told, &*body), ((200, None, Some(code.into())), ""), "{status}");
    }
    let counts: Vec<_> = published.load().doors.outcomes().read().collect();
    let of = |outcome, count| ("service", outcome, count);
    assert_eq!(counts, [of("passed", 0), of("refused", 5), of("failed", 5)]);
}

#[test]
fn a_password_is_asked_for_checked_once_and_goes_no_further() {
    let published = published(BASIC);
    let peer = client();
    let refused = |fields: &[(&'static str, &str)]| {
        let (mut exchange, headers) = (open(&published), headers(fields));
        let Admission::Answer(answer) = admit(&mut exchange, "/", &headers, &peer) else {
            panic!("it is let in")
        };
        let asks = answer.fields.iter().any(|(name, _)| *name == WWW_AUTHENTICATE);
        (answer.status, asks, exchange.cause().unwrap())
    };
    let unauthorized = (401, true, Cause::Unauthorized);
    assert_eq!(refused(&[]), unauthorized);
    assert_eq!(refused(&[("authorization", "Bearer x")]), unauthorized);
    let good = basic("ann:secret");
    let twice = [("authorization", &*good), ("authorization", &good)];
    assert_eq!(refused(&twice), unauthorized);
    let headers = headers(&[("authorization", &good)]);
    // The first is checked, by whoever works on it.
    let mut exchange = open(&published);
    let Admission::Door(door) = admit(&mut exchange, "/", &headers, &peer) else { panic!() };
    let (Wanted::Password(claim), now) = (door.wanted(), door.moments()) else { panic!() };
    let Begun::Check(taken) = claim.begin(now()) else { panic!() };
    claim.end(taken, claim.is_right(), now());
    let Admission::Forward(_) = door.checked(Checked::Right) else { panic!() };
    assert_eq!(tells(&exchange, &headers, &["authorization"]), [""; 0]);
    drop(exchange);
    // The next is known.
    let mut exchange = open(&published);
    let Admission::Forward(_) = admit(&mut exchange, "/", &headers, &peer) else { panic!() };
    assert_eq!(tells(&exchange, &headers, &["authorization"]), [""; 0]);
    drop(exchange);
    for (checked, status, cause) in [
        (Checked::Wrong, 401, Cause::Unauthorized),
        (Checked::Locked(Duration::from_millis(1_500)), 429, Cause::LockedOut),
        (Checked::Busy, 503, Cause::AuthBusy),
    ] {
        let mut exchange = open(&published);
        let other = basic("ann:other");
        let headers = self::headers(&[("authorization", &other)]);
        let Admission::Door(door) = admit(&mut exchange, "/", &headers, &peer) else { panic!() };
        let Admission::Answer(answer) = door.checked(checked) else { panic!("it is let in") };
        assert_eq!((answer.status, exchange.cause()), (status, Some(cause)));
        let wait = answer.fields.iter().find(|(name, _)| *name == RETRY_AFTER);
        assert_eq!(
            wait.map(|(_, value)| value.to_str().unwrap()),
            match status {
                429 => Some("2"),
                503 => Some("1"),
                _ => None,
            }
        );
    }
}

#[test]
fn upstreams_get_authorization_where_the_route_says_so() {
    let published = published("auth = { basic = \"users\", pass = true }");
    let (good, peer) = (basic("ann:secret"), client());
    let headers = headers(&[("authorization", &good)]);
    let mut exchange = open(&published);
    let Admission::Door(door) = admit(&mut exchange, "/", &headers, &peer) else { panic!() };
    let Admission::Forward(_) = door.checked(Checked::Right) else { panic!() };
    assert_eq!(tells(&exchange, &headers, &["authorization"]), [format!("authorization: {good}")]);
}

#[test]
fn a_file_that_was_not_read_lets_nobody_in() {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[routes]]\nservice = \"shop\"\n{BASIC}\n\
         [services.shop.pools]\nblue.upstreams = [\"192.0.2.1:80\"]\n"
    );
    let snapshot = super::super::tests::snapshot_of(&text);
    let published = Arc::new(Published::of(snapshot));
    let (good, peer) = (basic("ann:secret"), client());
    for fields in [&[][..], &[("authorization", &*good)]] {
        let (mut exchange, headers) = (open(&published), headers(fields));
        let Admission::Answer(answer) = admit(&mut exchange, "/", &headers, &peer) else {
            panic!("it is let in")
        };
        assert_eq!((answer.status, exchange.cause()), (503, Some(Cause::AuthFailed)));
    }
}

#[test]
fn who_waits_in_line_comes_to_another_door_and_not_twice_to_the_same() {
    let (peer, headers) = (client(), headers(&[("x-user", "admin")]));
    for (after, is_asked_again) in [
        (ASK, false),
        (&*ASK.replace("auth?x", "other"), true),
        (BASIC, true),
        ("", false),
        ("deny = [\"192.0.2.9\"]", true),
    ] {
        let published = published(ASK);
        let mut holder = open(&published);
        let Admission::Door(door) = admit(&mut holder, "/", &headers, &peer) else { panic!() };
        let Admission::Forward(_) = door.told(said(200, &[])) else { panic!() };
        let mut exchange = open(&published);
        let Admission::Door(door) = admit(&mut exchange, "/", &headers, &peer) else { panic!() };
        let word = said(200, &[("x-user", "ann")]);
        let Admission::Wait(line) = door.told(word) else { panic!("there is no place") };
        published.publish(snapshot(after, Some(&published.load())));
        drop(holder);
        match line.called() {
            Admission::Forward(_) => {
                assert!(!is_asked_again, "{after}");
                let told = tells(&exchange, &headers, &["x-user"]);
                // Without a door nobody says that a client's own word is no good.
                let wanted = if after.is_empty() { "x-user: admin" } else { "x-user: ann" };
                assert_eq!(told, [wanted], "{after}");
            }
            Admission::Door(_) | Admission::Answer(_) => assert!(is_asked_again, "{after}"),
            Admission::Wait(_) => panic!("there is a place: {after}"),
        }
    }
}
