//! How a gRPC call went: the fields of a response's head or of its trailers in, its status out.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName};

use super::fields::Fields;
use super::view::{View, text};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Whether a request says that it is a call.
pub fn is_call(fields: &Fields<'_>) -> bool {
    let kind = fields.view.first(&CONTENT_TYPE);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// How long its client waits for a call, if it says so and it is one (gRPC over HTTP/2, "Timeout").
pub fn timeout(fields: &Fields<'_>) -> Option<Duration> {
    if !is_call(fields) {
        return None;
    }
    let said = fields.view.first(&GRPC_TIMEOUT).and_then(text)?;
    let (digits, unit) = said.split_at_checked(said.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(3_600 * count),
        "M" => Duration::from_secs(60 * count),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The code of a `grpc-status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcStatus(u8);

impl GrpcStatus {
    /// What a call without a status counts as (gRPC over HTTP/2, "Responses").
    pub const UNKNOWN: GrpcStatus = GrpcStatus(2);

    /// The one that these fields tell.
    pub fn read(view: View<'_>) -> Option<GrpcStatus> {
        view.first(&GRPC_STATUS).and_then(|value| text(value)?.parse().ok()).map(GrpcStatus)
    }

    /// Its number.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The HTTP status that says the same, as Envoy maps them: 5xx where the server is at fault.
    pub const fn http_status(self) -> u16 {
        match self.0 {
            0 => 200,
            1 => 499,
            3 | 9 | 11 => 400,
            4 => 504,
            5 => 404,
            6 | 10 => 409,
            7 => 403,
            8 => 429,
            12 => 501,
            14 => 503,
            16 => 401,
            _ => 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn a_call_says_how_long_it_is_waited_for() {
        let of = |kind: &'static str, said: &'static str| {
            let pairs = [(CONTENT_TYPE, kind), (GRPC_TIMEOUT, said)];
            let map: HeaderMap =
                pairs.map(|(name, value)| (name, value.parse().unwrap())).into_iter().collect();
            timeout(&Fields::new(&map))
        };
        assert_eq!(of("application/grpc", "2S"), Some(Duration::from_secs(2)));
        assert_eq!(
            of("application/grpc+proto", "99999999n"),
            Some(Duration::from_nanos(99_999_999))
        );
        assert_eq!(of("application/grpc", "1H"), Some(Duration::from_secs(3_600)));
        for said in ["", "S", "2", "-2S", "2s", "123456789S", "2 S"] {
            assert_eq!(of("application/grpc", said), None, "{said}");
        }
        assert_eq!(of("text/plain", "2S"), None);
    }

    #[test]
    fn the_servers_faults_are_5xx_and_the_callers_are_not() {
        let at_fault: Vec<u8> =
            (0..=16).filter(|code| GrpcStatus(*code).http_status() >= 500).collect();
        assert_eq!(at_fault, [2, 4, 12, 13, 14, 15]);
        let read = |value: &'static str| {
            let map = HeaderMap::from_iter([(GRPC_STATUS, value.parse().unwrap())]);
            GrpcStatus::read(View::Map(&map)).map(GrpcStatus::code)
        };
        assert_eq!((read("14"), read("x"), read("256")), (Some(14), None, None));
    }
}
