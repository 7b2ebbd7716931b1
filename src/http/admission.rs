//! What a request must be like to be passed on at all: its head in, the host asked for or the
//! rule it breaks out.
//!
//! Other proxies were attacked with these: no `Host` on HTTP/1.1,
//! `Host` values that are no host, `Content-Length: 5,5`, both framings at once, field names with
//! underscores. Each is refused here, before anything routes on the request.

use std::borrow::Cow;
use std::sync::OnceLock;

use http::{Method, Uri, Version};

use super::claims;
use super::failure::BadRequest;
use super::fields::{FieldId, Fields, Known};
use super::path::{self, DOT, ESCAPED, KINDS, PERCENT};
use super::view::{Field, View};

/// The fields that say how long a body is.
const FRAMING: Known = Known::of(&[FieldId::ContentLength, FieldId::TransferEncoding]);

/// A request head, as either lane reads it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'r> {
    /// The method.
    pub method: &'r Method,
    /// What is asked for.
    pub target: RequestTarget<'r>,
    /// The version.
    pub version: Version,
    /// All fields.
    pub view: View<'r>,
    /// The header section as it came, with the request line.
    pub raw: &'r [u8],
    /// Whether its body has yet to come.
    pub upload: Upload,
}

/// Whether the body of a request has yet to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upload {
    /// It has, or there is none.
    #[default]
    Done,
    /// It has not, or not all of it.
    ToCome,
}

/// How much of a head is taken.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole section.
    pub bytes: usize,
    /// Bytes of the target.
    pub target: usize,
    /// Lines.
    pub fields: usize,
    /// What becomes of fields with odd names.
    pub odd_names: OddNames,
}

/// What becomes of fields whose names hold something else than letters, digits and hyphens: many
/// servers take `x_forwarded_for` for `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OddNames {
    /// The request is refused.
    #[default]
    Refuse,
    /// They go no further.
    Drop,
    /// They are passed on.
    Pass,
}

/// What a request line asks for.
#[derive(Clone, Copy, Debug)]
pub struct RequestTarget<'r> {
    /// As sent, byte for byte.
    pub bytes: &'r [u8],
    /// The path as read; begins with `/`, or is `*`.
    pub path: &'r str,
    /// The same with its query.
    pub path_and_query: &'r str,
    /// What it says of where it goes, if it is a whole URI of HTTP: a host and perhaps a port.
    pub authority: Option<&'r str>,
}

impl<'r> RequestTarget<'r> {
    /// The target that was sent as these bytes and read as this URI.
    pub fn read(bytes: &'r [u8], uri: &'r Uri) -> RequestTarget<'r> {
        RequestTarget {
            bytes,
            path: uri.path(),
            path_and_query: uri.path_and_query().map_or("/", |both| both.as_str()),
            authority: whole(bytes).map(|(authority, _)| authority),
        }
    }
}

/// Takes a whole URI of HTTP apart: its authority, and what follows.
fn whole(target: &[u8]) -> Option<(&str, &[u8])> {
    // Nearly all are paths.
    if target.first() == Some(&b'/') {
        return None;
    }
    let colon = target.iter().position(|&byte| byte == b':')?;
    let (scheme, rest) = target.split_at(colon);
    let is_http = [&b"http"[..], b"https"].iter().any(|http| scheme.eq_ignore_ascii_case(http));
    let rest = rest.strip_prefix(b"://").filter(|_| is_http)?;
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    Some((std::str::from_utf8(authority).ok()?, rest))
}

/// What an upstream is asked for instead of a whole URI: its path and query, as a server is asked (RFC
/// 9112 section 3.2.1). None for what is no whole URI.
pub fn origin_form<'r>(target: &'r [u8], method: &Method) -> Option<Cow<'r, [u8]>> {
    let (_, rest) = whole(target)?;
    Some(match rest.first() {
        Some(b'/') => rest.into(),
        None if *method == Method::OPTIONS => b"*"[..].into(),
        _ => [b"/", rest].concat().into(),
    })
}

/// A head that may be passed on.
#[derive(Clone, Debug)]
pub struct Accepted<'r> {
    /// The host asked for, in lower case and without a port; empty if none was named.
    pub host: Cow<'r, str>,
    /// The path in the form that routes are matched on, but for slashes in a row.
    pub path: Cow<'r, str>,
    /// What the request's target says in place of a `Host` that is not there or says something else:
    /// the target prevails (RFC 9112 section 3.2.2).
    pub authority: Option<&'r str>,
    /// How many of its fields have odd names.
    pub odd_names: u32,
    /// Its fields: which of those that matter later are there is known from the one walk over all
    /// of them that checking takes anyway.
    pub fields: Fields<'r>,
}

/// The host that the requests of a connection ask for, as one of them did: nearly always all ask for the
/// same, which is then checked once.
#[derive(Clone, Debug, Default)]
pub struct KnownHost(OnceLock<Checked>);

/// A `Host` that was checked, and how much of it is the host's name.
#[derive(Clone, Debug)]
struct Checked {
    field: Box<str>,
    name: usize,
}

impl KnownHost {
    /// The host that this field names.
    fn of<'r>(&'r self, field: &'r [u8]) -> Result<Cow<'r, str>, BadRequest> {
        if let Some(Checked { field: known, name }) = self.0.get()
            && known.as_bytes() == field
        {
            return Ok(Cow::Borrowed(&known[..*name]));
        }
        let host = host_of(field)?;
        // What has to be written anew is rare, and checked anew.
        if let Cow::Borrowed(name) = host
            && self.0.get().is_none()
            && field.starts_with(name.as_bytes())
            && let Ok(text) = std::str::from_utf8(field)
        {
            // Somebody else may be faster, as requests in HTTP/2 are served at once.
            let _ = self.0.set(Checked { field: text.into(), name: name.len() });
        }
        Ok(host)
    }
}

/// Checks a head of a connection whose requests ask for this host, if there is one that they have in common.
pub fn examine<'r>(
    head: &Head<'r>,
    limits: HeadLimits,
    known_host: Option<&'r KnownHost>,
) -> Result<Accepted<'r>, BadRequest> {
    if head.raw.len() > limits.bytes || head.view.len() > limits.fields {
        return Err(BadRequest::HeaderTooLarge);
    }
    if head.target.bytes.len() > limits.target {
        return Err(BadRequest::TargetTooLong);
    }
    let mut known = Known::NONE;
    let (mut host_field, mut names_two_hosts, mut odd_names) = (None, false, 0);
    // The codec has looked at every byte of a head that lies as it came.
    let is_checked = matches!(head.view, View::Flat(_));
    for Field { id, name, value, is_plain } in head.view.lines() {
        if !is_plain {
            if limits.odd_names == OddNames::Refuse {
                return Err(BadRequest::FieldName);
            }
            odd_names += 1;
        }
        if !is_checked && value.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return Err(BadRequest::FieldValue);
        }
        let Some(id) = id else {
            if claims::is_claim(name) {
                known.note_claim();
            }
            continue;
        };
        known.note(id);
        if id == FieldId::Host {
            names_two_hosts |= host_field.replace(value).is_some();
        }
    }
    if names_two_hosts {
        // Which of them is meant is up to the upstream (RFC 9112 section 3.2).
        return Err(BadRequest::Host);
    }
    let fields = Fields::seen(head.view, known);
    if fields.may_have(FRAMING) {
        framing(&fields)?;
    }
    if *head.method == Method::TRACE {
        // What it shows is what proxies have added, and cookies that scripts may not read.
        return Err(BadRequest::Trace);
    }
    target(head)?;
    let path = path(head.target.path)?;
    if let Some(expectation) = fields.first(FieldId::Expect)
        && !expectation.eq_ignore_ascii_case(b"100-continue")
    {
        return Err(BadRequest::Expectation);
    }
    let host = host(head, host_field, known_host)?;
    let differs = |authority: &&str| host_field != Some(authority.as_bytes());
    let authority = head.target.authority.filter(differs);
    Ok(Accepted { host, path, authority, odd_names, fields })
}

fn framing(fields: &Fields<'_>) -> Result<(), BadRequest> {
    let mut lengths = fields.all(FieldId::ContentLength);
    if let Some(digits) = lengths.next() {
        // 19 digits stay below 2⁶⁴.
        let is_number =
            !digits.is_empty() && digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit);
        if !is_number || lengths.next().is_some() {
            return Err(BadRequest::ContentLength);
        }
    }
    let mut codings = fields.all(FieldId::TransferEncoding);
    if let Some(coding) = codings.next() {
        if !coding.eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
            return Err(BadRequest::TransferEncoding);
        }
        if fields.has(FieldId::ContentLength) {
            return Err(BadRequest::TwoFramings);
        }
    }
    Ok(())
}

/// Refuses targets that are neither a path nor a whole URI of HTTP nor the server itself: without a
/// slash in front, what they mean is up to the upstream.
fn target(head: &Head<'_>) -> Result<(), BadRequest> {
    let is_path = head.target.bytes.first() == Some(&b'/');
    let is_whole = head.target.authority.is_some();
    let is_server = head.target.bytes == b"*" && *head.method == Method::OPTIONS;
    if is_path || is_whole || is_server { Ok(()) } else { Err(BadRequest::Target) }
}

/// The path in its normal form. Refuses what an upstream could resolve to another path than the one routed
/// on: dot segments however they are spelled, with slashes and semicolons that only some servers decode.
fn path(path: &str) -> Result<Cow<'_, str>, BadRequest> {
    // One walk over bytes, without a branch: two searches cost more than the rest of the checks.
    let seen = path.bytes().fold(0, |seen, byte| seen | KINDS[usize::from(byte)]);
    if seen == 0 {
        return Ok(Cow::Borrowed(path));
    }
    if seen & (DOT | PERCENT) != 0 {
        no_dots(path, seen & PERCENT != 0)?;
    }
    Ok(if seen & (PERCENT | ESCAPED) == 0 { Cow::Borrowed(path) } else { path::normal(path) })
}

fn no_dots(path: &str, has_escapes: bool) -> Result<(), BadRequest> {
    let mut spelled_out = Cow::Borrowed(path);
    if has_escapes {
        let lower = path.to_ascii_lowercase().replace("%2f", "/").replace("%5c", "/");
        spelled_out = lower.replace("%3b", ";").into();
    }
    let dots = |segment: &str| {
        // `..;x` is `..` to servers that know path parameters.
        let segment = segment.split(';').next().unwrap_or_default();
        matches!(segment.len(), 1..=6) && {
            let plain = segment.replace("%2e", ".");
            plain == "." || plain == ".."
        }
    };
    match path.contains("%00") || spelled_out.split(['/', '\\']).any(dots) {
        true => Err(BadRequest::Path),
        false => Ok(()),
    }
}

fn host<'r>(
    head: &Head<'r>,
    field: Option<&'r [u8]>,
    known: Option<&'r KnownHost>,
) -> Result<Cow<'r, str>, BadRequest> {
    if field.is_none() && head.version != Version::HTTP_10 {
        return Err(BadRequest::NoHost);
    }
    // The authority replaces `Host` (RFC 9112 section 3.2.2).
    if let Some(authority) = head.target.authority {
        return host_of(authority.as_bytes()).map_err(|_| BadRequest::Target);
    }
    match (field, known) {
        (None, _) => Ok(Cow::Borrowed("")),
        (Some(field), None) => host_of(field),
        (Some(field), Some(known)) => known.of(field),
    }
}

/// The host that a `Host` field or an authority names.
fn host_of(host: &[u8]) -> Result<Cow<'_, str>, BadRequest> {
    if let Some(name) = plain(host) {
        return Ok(Cow::Borrowed(name));
    }
    let text = std::str::from_utf8(host).map_err(|_| BadRequest::Host)?;
    let (name, port) = split_port(text).ok_or(BadRequest::Host)?;
    let is_port = port.is_none_or(|p| p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()));
    if !is_port || !is_host(name) {
        return Err(BadRequest::Host);
    }
    Ok(lower(name.strip_suffix('.').unwrap_or(name)))
}

/// A host as nearly all of them are written: a name in lower case, perhaps with a port. One walk instead
/// of four.
fn plain(host: &[u8]) -> Option<&str> {
    let mut before = b'.';
    let mut is_name = |byte: u8| {
        let is_label = byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_end = byte == b'.' && before != b'.';
        let goes_on = is_label || is_end;
        if goes_on {
            before = byte;
        }
        goes_on
    };
    let length = host.iter().take_while(|byte| is_name(**byte)).count();
    let (name, port) = host.split_at(length);
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    // An end without a dot is a label that is not empty, which an empty host is not.
    let is_plain = name.len() <= 254 && before != b'.' && is_port;
    if is_plain { std::str::from_utf8(name).ok() } else { None }
}

/// `name:port`, `[address]:port`, or either without a port.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let (name, rest) = text.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Some((name, Some(port))),
            None => rest.is_empty().then_some((name, None)),
        };
    }
    Some(match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    })
}

fn is_host(name: &str) -> bool {
    match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            // One walk: a search for two dots costs more than all the rest. No label is empty.
            let mut before = b'.';
            !name.is_empty()
                && name.len() <= 254
                && name.bytes().all(|byte| {
                    let is_label = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                    let is_end = byte == b'.' && before != b'.';
                    before = byte;
                    is_label || is_end
                })
        }
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    match name.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::header::{HeaderName, HeaderValue};

    const LIMITS: HeadLimits =
        HeadLimits { bytes: 32 * 1024, target: 8 * 1024, fields: 100, odd_names: OddNames::Refuse };

    fn examined(
        target: &str,
        version: Version,
        fields: &[(&str, &str)],
    ) -> Result<String, BadRequest> {
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
        assert_eq!(
            refused(&[("content-length", "5"), ("content-length", "5")]),
            Some(ContentLength)
        );
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
        let head = Head {
            method,
            target,
            version: Version::HTTP_11,
            view,
            raw: b"",
            upload: Upload::Done,
        };
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
            let headers =
                HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("a"))]);
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
        let long = |length: usize| {
            examined(&"/".repeat(length), Version::HTTP_11, &[("host", "a")]).map(drop)
        };
        assert_eq!((long(8 * 1024), long(8 * 1024 + 1)), (Ok(()), Err(BadRequest::TargetTooLong)));
        let many: Vec<(String, &str)> = (0..101).map(|n| (format!("x-{n}"), "1")).collect();
        let mut fields: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        fields.push(("host", "a"));
        assert_eq!(examined("/", Version::HTTP_11, &fields), Err(BadRequest::HeaderTooLarge));
    }
}
