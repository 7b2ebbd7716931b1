//! Fields that concern one connection only: a head's fields in, what `Connection` says of them and
//! the names to remove from a response out.
//!
//! pingora 0.9.1 strips them from requests and passes them on in responses (RFC 9110 section
//! 7.6.1). Framing fields stay: the lane owns the framing it writes.

use http::HeaderMap;
use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE,
    HeaderName, SET_COOKIE, TRANSFER_ENCODING, UPGRADE, VARY,
};
use smallvec::SmallVec;

/// What a `Connection` field may not take away: nominating one of these is a mistake or an attack
/// on whoever reads the answer.
const PROTECTED: [HeaderName; 9] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    TRANSFER_ENCODING,
    CACHE_CONTROL,
    SET_COOKIE,
    VARY,
    AGE,
    DATE,
];

/// The fields of a response that must not be passed on. `switches` for a 101, which needs its
/// `Upgrade` and `Connection`.
///
/// One walk over the fields: most responses have none of these, and looking each up would cost
/// more than looking at all.
pub fn to_remove(headers: &HeaderMap, switches: bool) -> SmallVec<[HeaderName; 4]> {
    let mut names = SmallVec::new();
    let mut is_nominating = false;
    for name in headers.keys() {
        match name.as_str() {
            "keep-alive" | "proxy-connection" | "proxy-authentication-info" | "te" | "trailer" => {
                names.push(name.clone());
            }
            // Not of one connection, but between an upstream and us all the same.
            "x-pointsman-metric" => names.push(name.clone()),
            "upgrade" if !switches => names.push(UPGRADE),
            "connection" if !switches => is_nominating = true,
            _ => {}
        }
    }
    if is_nominating {
        nominated(headers, &mut names);
    }
    names
}

/// The tokens of all `Connection` lines.
pub fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(CONNECTION).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii))
}

/// Whether `Connection` names any field, rather than only saying how to go on with it.
pub fn nominates(headers: &HeaderMap) -> bool {
    const HOW: [&[u8]; 3] = [b"keep-alive", b"close", b"upgrade"];
    tokens(headers).any(|token| !HOW.iter().any(|how| token.eq_ignore_ascii_case(how)))
}

fn nominated(headers: &HeaderMap, names: &mut SmallVec<[HeaderName; 4]>) {
    if !nominates(headers) {
        return;
    }
    for token in tokens(headers) {
        let Ok(name) = HeaderName::from_bytes(token) else { continue };
        if headers.contains_key(&name) && !PROTECTED.contains(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(fields: &[(&'static str, &'static str)], switches: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, value.parse().unwrap());
        }
        to_remove(&headers, switches).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nominated_and_standard_fields_go() {
        let fields = [
            ("connection", "close, X-Secret, content-length"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("x-other", "2"),
            ("content-length", "5"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("x-stays", "3"),
        ];
        assert_eq!(removed(&fields, false), ["keep-alive", "upgrade", "x-secret", "x-other"]);
    }

    #[test]
    fn saying_how_to_go_on_names_no_field() {
        let nominates = |value: &'static str| {
            nominates(&HeaderMap::from_iter([(CONNECTION, value.parse().unwrap())]))
        };
        assert!(
            !nominates("keep-alive") && !nominates("Close, Upgrade") && !nominates("Keep-Alive")
        );
        assert!(nominates("keep-alive, traceparent") && nominates("x-request-id"));
        assert!(!super::nominates(&HeaderMap::new()));
    }

    #[test]
    fn a_switch_of_protocols_keeps_its_fields() {
        let fields = [("connection", "Upgrade"), ("upgrade", "websocket"), ("keep-alive", "x")];
        assert_eq!(removed(&fields, true), ["keep-alive"]);
    }
}
