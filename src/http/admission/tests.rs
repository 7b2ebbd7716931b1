//! Heads that may be passed on, and those that are refused.

use super::target::whole;
use super::*;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Uri};

const LIMITS: HeadLimits =
    HeadLimits { bytes: 32 * 1024, target: 8 * 1024, fields: 100, odd_names: OddNames::Refuse };

fn examined(target: &str, version: Version, fields: &[(&str, &str)]) -> Result<String, BadRequest> {
    let uri: Uri = target.parse().unwrap();
    let mut headers = HeaderMap::new();
    let mut raw = format!("GET {target} HTTP/1.1\r\n");
    for (name, value) in fields {
        raw.push_str(&format!("{name}: {value}\r\n"));
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let raw = raw.as_bytes();
    let (method, target) = (&Method::GET, RequestTarget::read(target.as_bytes(), &uri));
    let head =
        Head { method, target, version, view: View::Map(&headers), raw, upload: Upload::Done };
    examine(&head, LIMITS, None).map(|accepted| accepted.host.into_owned())
}

fn with_host(host: &str) -> Result<String, BadRequest> {
    examined("/", Version::HTTP_11, &[("host", host)])
}

#[test]
fn a_host_is_a_name_or_an_address_with_perhaps_a_port() {
    for (host, name) in [
        ("Shop.Test", "shop.test"),
        ("shop.test:8080", "shop.test"),
        ("shop.test.", "shop.test"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[2001:DB8::1]:80", "[2001:db8::1]"),
    ] {
        assert_eq!(with_host(host).as_deref(), Ok(name), "{host}");
    }
    for host in
        ["", "a b", "a/b", "user@shop.test", "shop.test:80:80", "a..b", "[::1", "a,b", "a:x"]
    {
        assert_eq!(with_host(host), Err(BadRequest::Host), "{host}");
    }
}

#[test]
fn http_1_1_needs_a_host_and_http_1_0_does_not() {
    assert_eq!(examined("/", Version::HTTP_11, &[]), Err(BadRequest::NoHost));
    assert_eq!(examined("/", Version::HTTP_10, &[]).as_deref(), Ok(""));
}

#[test]
fn of_two_hosts_neither_is_meant() {
    let two = [("host", "a"), ("host", "a")];
    assert_eq!(examined("/", Version::HTTP_11, &two), Err(BadRequest::Host));
}

#[test]
fn doubtful_framing_is_refused() {
    use BadRequest::{ContentLength, TransferEncoding, TwoFramings};
    let refused = |fields: &[(&str, &str)]| {
        let fields = [&[("host", "a")], fields].concat();
        examined("/", Version::HTTP_11, &fields).err()
    };
    assert_eq!(refused(&[("content-length", "5")]), None);
    assert_eq!(refused(&[("content-length", "5,5")]), Some(ContentLength));
    assert_eq!(refused(&[("content-length", "+5")]), Some(ContentLength));
    assert_eq!(refused(&[("content-length", "")]), Some(ContentLength));
    assert_eq!(refused(&[("content-length", "5"), ("content-length", "5")]), Some(ContentLength));
    assert_eq!(refused(&[("transfer-encoding", "chunked")]), None);
    assert_eq!(refused(&[("transfer-encoding", "gzip, chunked")]), Some(TransferEncoding));
    assert_eq!(
        refused(&[("content-length", "5"), ("transfer-encoding", "chunked")]),
        Some(TwoFramings)
    );
}

#[test]
fn names_that_servers_confuse_are_refused() {
    for name in ["x_forwarded_for", "x.forwarded.for", "a!b"] {
        let refused = examined("/", Version::HTTP_11, &[("host", "a"), (name, "1")]);
        assert_eq!(refused, Err(BadRequest::FieldName), "{name}");
    }
}

#[test]
fn paths_that_servers_resolve_are_refused() {
    let at = |path| examined(path, Version::HTTP_11, &[("host", "a")]).err();
    for path in [
        "/a/../b",
        "/..",
        "/./a",
        "/a/%2e%2E/b",
        "/a/..;x/b",
        "/a%00b",
        "/a/..%2Fb",
        "/a%5c..%5cb",
        "/a/.%2e%2fb",
        "/a/..%3Bx/b",
    ] {
        assert_eq!(at(path), Some(BadRequest::Path), "{path}");
    }
    for target in ["*", "shop.test:443", "ftp://shop.test/a"] {
        assert_eq!(at(target), Some(BadRequest::Target), "{target}");
    }
    for path in ["/a..b", "/.well-known/x", "/a/...", "/100%25", "/a.css?x=/../y", "/a%2Fb"] {
        assert_eq!(at(path), None, "{path}");
    }
}

#[test]
fn fields_with_odd_names_are_counted_where_they_are_let_in() {
    let headers = HeaderMap::from_iter([
        (HeaderName::from_static("host"), HeaderValue::from_static("a")),
        (HeaderName::from_static("x_forwarded_for"), HeaderValue::from_static("1")),
    ]);
    let uri = Uri::from_static("/");
    let (method, target) = (&Method::GET, RequestTarget::read(b"/", &uri));
    let view = View::Map(&headers);
    let head =
        Head { method, target, version: Version::HTTP_11, view, raw: b"", upload: Upload::Done };
    for odd_names in [OddNames::Drop, OddNames::Pass] {
        let accepted = examine(&head, HeadLimits { odd_names, ..LIMITS }, None).unwrap();
        assert_eq!(accepted.odd_names, 1);
    }
}

#[test]
fn a_whole_uri_names_the_host_and_prevails() {
    let at = |target: &str, version, host: Option<&str>| {
        let fields: Vec<_> = host.iter().map(|host| ("host", *host)).collect();
        examined(target, version, &fields)
    };
    let (v1_0, v1_1) = (Version::HTTP_10, Version::HTTP_11);
    let named = Ok("shop.test".to_string());
    assert_eq!(at("http://Shop.test:8080/a", v1_1, Some("Shop.test:8080")), named);
    assert_eq!(at("HTTPS://shop.test", v1_1, Some("other.test")), named);
    assert_eq!(at("http://shop.test/a", v1_0, None), named);
    assert_eq!(at("http://shop.test/a", v1_1, None), Err(BadRequest::NoHost));
    assert_eq!(at("http://shop.test/a/../b", v1_1, Some("shop.test")), Err(BadRequest::Path));
    for target in ["http://shop.test:x/", "http://a..b/", "http://me@shop.test/"] {
        let (bytes, uri) = (target.as_bytes(), Uri::from_static("/"));
        let target = RequestTarget {
            authority: whole(bytes).map(|w| w.0),
            ..RequestTarget::read(b"/", &uri)
        };
        let headers = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("a"))]);
        let view = View::Map(&headers);
        let head = Head {
            method: &Method::GET,
            target,
            version: v1_1,
            view,
            raw: b"",
            upload: Upload::Done,
        };
        assert_eq!(examine(&head, LIMITS, None).err(), Some(BadRequest::Target), "{bytes:?}");
    }
}

#[test]
fn an_upstream_is_asked_for_a_path() {
    let asked = |target: &'static str, method| {
        let form = origin_form(target.as_bytes(), &method)?;
        Some(String::from_utf8(form.into_owned()).unwrap())
    };
    let get = |target| asked(target, Method::GET);
    assert_eq!(get("http://shop.test/a?b").as_deref(), Some("/a?b"));
    assert_eq!(get("http://shop.test?b").as_deref(), Some("/?b"));
    assert_eq!(get("http://shop.test").as_deref(), Some("/"));
    assert_eq!(asked("http://shop.test", Method::OPTIONS).as_deref(), Some("*"));
    assert_eq!((get("/a"), get("*"), get("shop.test:443")), (None, None, None));
}

#[test]
fn a_header_section_has_bounds() {
    let value = "x".repeat(33 * 1024);
    let big = examined("/", Version::HTTP_11, &[("host", "a"), ("x", &value)]);
    assert_eq!(big, Err(BadRequest::HeaderTooLarge));
    let long =
        |length: usize| examined(&"/".repeat(length), Version::HTTP_11, &[("host", "a")]).map(drop);
    assert_eq!((long(8 * 1024), long(8 * 1024 + 1)), (Ok(()), Err(BadRequest::TargetTooLong)));
    let many: Vec<(String, &str)> = (0..101).map(|n| (format!("x-{n}"), "1")).collect();
    let mut fields: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    fields.push(("host", "a"));
    assert_eq!(examined("/", Version::HTTP_11, &fields), Err(BadRequest::HeaderTooLarge));
}
