//! How a gRPC call went: the fields of a response's head or of its trailers in, its status out.

use http::header::HeaderName;

use super::view::{View, text};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

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
