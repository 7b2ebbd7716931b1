//! Fields that concern one connection only: a head's fields in, what `Connection` says of them and
//! the names to remove from a message out.
//!
//! RFC 9110 section 7.6.1. Framing fields stay: the lane owns the framing it writes.

use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE,
    HeaderName, SET_COOKIE, TRANSFER_ENCODING, UPGRADE, VARY,
};
use smallvec::SmallVec;

use super::fields::{FieldId, Known};
use super::list;
use super::view::View;

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

/// What of a request concerns the client's connection and not the upstream's.
pub const OF_REQUESTS: Known = Known::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::ProxyAuthorization,
    FieldId::Te,
    FieldId::Trailer,
]);

/// What a client's `Connection` may not take away: an upstream would read another message.
pub const OF_MESSAGES: Known =
    Known::of(&[FieldId::Host, FieldId::ContentLength, FieldId::TransferEncoding]);

/// What of a response concerns the upstream's connection and not the client's. The metric is not of one
/// connection, but between an upstream and us all the same.
const OF_RESPONSES: [FieldId; 6] = [
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::ProxyAuthenticationInfo,
    FieldId::Te,
    FieldId::Trailer,
    FieldId::Metric,
];

/// The fields of a response that must not be passed on, of which these are known to be there. `switches`
/// for a 101, which needs its `Upgrade` and `Connection`.
pub fn of_response(view: View<'_>, known: Known, switches: bool) -> SmallVec<[HeaderName; 4]> {
    const ANY: Known = Known::of(&OF_RESPONSES);
    let mut names = SmallVec::new();
    if known.has_any(ANY) {
        let those = OF_RESPONSES.into_iter().filter(|id| known.has(*id));
        names.extend(those.map(|id| id.name().clone()));
    }
    if !switches && known.has(FieldId::Upgrade) {
        names.push(UPGRADE);
    }
    if !switches
        && known.has(FieldId::Connection)
        && view.all_of(FieldId::Connection).any(names_any)
    {
        nominated(view, &mut names);
    }
    names
}

/// The tokens of all `Connection` lines.
pub fn tokens<'r>(lines: impl Iterator<Item = &'r [u8]>) -> impl Iterator<Item = &'r [u8]> {
    lines.flat_map(list::tokens)
}

/// Whether `Connection` says this.
pub fn says(view: View<'_>, token: &[u8]) -> bool {
    // As nearly all write it: one token.
    view.all_of(FieldId::Connection).any(|line| {
        line == token
            || line != b"keep-alive"
                && list::tokens(line).any(|said| said.eq_ignore_ascii_case(token))
    })
}

/// Whether `Connection` names any field, rather than only saying how to go on with it.
pub fn nominates(view: View<'_>) -> bool {
    view.all(&CONNECTION).any(names_any)
}

/// Whether this line of `Connection` does.
fn names_any(line: &[u8]) -> bool {
    const HOW: [&[u8]; 3] = [b"keep-alive", b"close", b"upgrade"];
    // As nearly all write it.
    !HOW.contains(&line)
        && list::tokens(line).any(|token| !HOW.iter().any(|how| token.eq_ignore_ascii_case(how)))
}

fn nominated(view: View<'_>, names: &mut SmallVec<[HeaderName; 4]>) {
    for token in tokens(view.all(&CONNECTION)) {
        let Ok(name) = HeaderName::from_bytes(token) else { continue };
        if view.has(&name) && !PROTECTED.contains(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn removed(fields: &[(&'static str, &'static str)], switches: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, value.parse().unwrap());
        }
        let view = View::Map(&headers);
        of_response(view, view.known(), switches).iter().map(ToString::to_string).collect()
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
            nominates(View::Map(&HeaderMap::from_iter([(CONNECTION, value.parse().unwrap())])))
        };
        assert!(
            !nominates("keep-alive") && !nominates("Close, Upgrade") && !nominates("Keep-Alive")
        );
        assert!(nominates("keep-alive, traceparent") && nominates("x-request-id"));
        assert!(!super::nominates(View::Map(&HeaderMap::new())));
    }

    #[test]
    fn a_switch_of_protocols_keeps_its_fields() {
        let fields = [("connection", "Upgrade"), ("upgrade", "websocket"), ("keep-alive", "x")];
        assert_eq!(removed(&fields, true), ["keep-alive"]);
    }
}
