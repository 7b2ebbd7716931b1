//! Switches to another protocol on the same connection: a head's fields in, whether one is asked
//! for or made out.
//!
//! Only WebSocket: a switch to anything else would be a tunnel whose bytes nobody here knows.

use http::Version;
use http::header::UPGRADE;

use super::fields::{FieldId, Fields};
use super::hop_by_hop::says;
use super::view::View;

/// Whether a request asks for a WebSocket, and for nothing else: what does not is no switch, and its
/// `Upgrade` goes no further, for an upstream that switched all the same would be blamed for it.
pub fn is_asked(request: &Fields<'_>, version: Version) -> bool {
    if !request.has(FieldId::Upgrade) {
        return false;
    }
    let mut wanted = request.all(FieldId::Upgrade);
    // HTTP/1.0 knows no switch (RFC 9110 section 7.8). In HTTP/2 nobody can ask with these fields, so that
    // they stand for what is asked there in another way (RFC 8441).
    version != Version::HTTP_10
        && wanted.next().is_some_and(is_websocket)
        && wanted.next().is_none()
        && request.has(FieldId::Connection)
        && says(request.view, b"upgrade")
}

/// Whether a 101 switches to a WebSocket.
pub fn is_made(response: View<'_>) -> bool {
    response.first(&UPGRADE).is_some_and(is_websocket)
}

fn is_websocket(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"websocket")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::header::CONNECTION;

    fn is_asked_of(headers: &HeaderMap, version: Version) -> bool {
        is_asked(&Fields::new(headers), version)
    }

    #[test]
    fn a_switch_needs_both_fields() {
        let is_asked = |upgrade: &'static str, connection: &'static str| {
            let fields = [(UPGRADE, upgrade), (CONNECTION, connection)];
            let fields = fields.map(|(name, value)| (name, value.parse().unwrap()));
            is_asked(&Fields::new(&HeaderMap::from_iter(fields)), Version::HTTP_11)
        };
        assert!(is_asked("WebSocket", "keep-alive, Upgrade"));
        assert!(!is_asked("websocket", "keep-alive") && !is_asked("h2c", "upgrade"));
        let mut two = HeaderMap::from_iter([(CONNECTION, "upgrade".parse().unwrap())]);
        two.append(UPGRADE, "websocket".parse().unwrap());
        assert!(is_asked_of(&two, Version::HTTP_11) && !is_asked_of(&two, Version::HTTP_10));
        two.append(UPGRADE, "h2c".parse().unwrap());
        assert!(!is_asked_of(&two, Version::HTTP_11), "the upstream could take the other one");
        let made = HeaderMap::from_iter([(UPGRADE, "websocket".parse().unwrap())]);
        assert!(is_made(View::Map(&made)) && !is_made(View::Map(&HeaderMap::new())));
    }
}
