//! Fields behind a body (RFC 9110 section 6.5): a head and the trailers of either side in, which of them go
//! on out.
//!
//! Some recipients merge trailers into the head, so that what decides about a message must not come in
//! them: neither framing nor routing, who somebody is, what may be kept, or how the content is read. Those
//! of an answer go to a client that has said that it takes them. An upstream has no way to say so: in
//! HTTP/2, where they are part of each message, it gets those of requests, in HTTP/1.1 those that the
//! request's `Trailer` has announced, which goes on before them.

use http::header::HeaderName;

use super::codec::write::WriteFields;
use super::fields::{FieldId, Fields};
use super::view::View;
use super::{claims, codec, list};

/// What begins so decides.
const FAMILIES: [&str; 7] =
    ["access-control-", "content-", "cross-origin-", "if-", "proxy-", "sec-", "x-forwarded"];

/// And so do these, beside all that rules of ours are about.
const SINGLE: [&str; 27] = [
    "age",
    "allow",
    "alt-svc",
    "authentication-info",
    "authorization",
    "cache-control",
    "clear-site-data",
    "expires",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "referrer-policy",
    "refresh",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "status",
    "strict-transport-security",
    "surrogate-control",
    "cdn-cache-control",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-content-type-options",
    "x-frame-options",
];

/// Whether the client has said that it takes trailers.
pub fn are_taken(request: &Fields<'_>) -> bool {
    let mut codings = request.all(FieldId::Te).flat_map(list::tokens);
    codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// The names that a request announces and that may go on, as a list; none if there are none.
pub fn announced(request: &Fields<'_>) -> Option<Box<[u8]>> {
    let mut names = Vec::new();
    for name in request.all(FieldId::Trailer).flat_map(list::tokens) {
        if may_go_on(name) {
            names.extend_from_slice(if names.is_empty() { b"" } else { b", " });
            names.extend_from_slice(name);
        }
    }
    (!names.is_empty()).then(|| names.into())
}

/// Writes those that are on this list and may go on.
pub fn write_announced(trailers: View<'_>, announced: &[u8], into: &mut impl WriteFields) {
    let is_listed =
        |name: &[u8]| list::tokens(announced).any(|listed| listed.eq_ignore_ascii_case(name));
    for field in trailers.lines().filter(|field| may_go_on(field.name) && is_listed(field.name)) {
        into.field(field.name, field.value);
    }
}

/// Writes those that may go on.
pub fn write(trailers: View<'_>, into: &mut impl WriteFields) {
    write_but(trailers, &[], into);
}

/// Writes those that may go on, without these.
pub fn write_but(trailers: View<'_>, withheld: &[HeaderName], into: &mut impl WriteFields) {
    let is_withheld =
        |name: &[u8]| withheld.iter().any(|one| one.as_str().as_bytes().eq_ignore_ascii_case(name));
    let goes_on = |name: &[u8]| may_go_on(name) && !is_withheld(name);
    for field in trailers.lines().filter(|field| goes_on(field.name)) {
        into.field(field.name, field.value);
    }
}

/// Whether a trailer of this name may go on.
pub fn may_go_on(name: &[u8]) -> bool {
    let begins = |family: &&str| {
        name.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family.as_bytes()))
    };
    codec::is_plain_name(name)
        && FieldId::of_line(name).is_none()
        && !claims::is_claim(name)
        && !FAMILIES.iter().any(begins)
        && !SINGLE.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::header::{TE, TRAILER};

    #[test]
    fn what_decides_about_a_message_does_not_come_behind_it() {
        for name in ["x-sum", "Server-Timing", "grpc-status", "grpc-message", "Digest", "etag"] {
            assert!(may_go_on(name.as_bytes()), "{name}");
        }
        for name in [
            "Content-Length",
            "transfer-encoding",
            "content-encoding",
            "Content-Security-Policy",
            "host",
            "connection",
            "upgrade",
            "te",
            "Trailer",
            "Authorization",
            "www-authenticate",
            "proxy-authenticate",
            "Set-Cookie",
            "cookie",
            "cache-control",
            "Location",
            "vary",
            "x-forwarded-for",
            "x-forwarded",
            "x-request-id",
            "x-pointsman-fallback",
            "x-real-ip",
            "forwarded",
            "if-match",
            "a_b",
            "a.b",
        ] {
            assert!(!may_go_on(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn those_of_a_request_are_announced_so_far_as_they_may_go_on() {
        let of = |lines: &[&'static str]| {
            let mut map = HeaderMap::new();
            for line in lines {
                map.append(TRAILER, line.parse().unwrap());
            }
            announced(&Fields::new(&map)).map(|names| String::from_utf8(names.into()).unwrap())
        };
        assert_eq!(of(&["X-Sum,host ", "authorization, x-end"]).as_deref(), Some("X-Sum, x-end"));
        assert_eq!(of(&["content-length", "x y", ""]), None);
        assert_eq!(of(&[]), None);
        let mut trailers = HeaderMap::new();
        for name in ["x-sum", "x-other", "host"] {
            trailers.append(name, "1".parse().unwrap());
        }
        let mut written = Vec::new();
        // A list of what may not go on is not made, and would change nothing.
        write_announced(View::Map(&trailers), b"X-Sum, host", &mut written);
        assert_eq!(written, b"x-sum: 1\r\n");
    }

    #[test]
    fn a_client_takes_them_that_says_so() {
        let of = |lines: &[&'static str]| {
            let mut map = HeaderMap::new();
            for line in lines {
                map.append(TE, line.parse().unwrap());
            }
            are_taken(&Fields::new(&map))
        };
        assert!(of(&["trailers"]) && of(&["gzip;q=0.5, Trailers"]) && of(&["gzip", "trailers"]));
        assert!(!of(&[]) && !of(&["gzip"]) && !of(&["trailers;q=1"]) && !of(&["xtrailers"]));
    }
}
