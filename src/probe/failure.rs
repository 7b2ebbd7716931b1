//! Why a probe failed: what went wrong comes in, a cause that people can act on goes out.

use std::time::Duration;

use crate::outgoing::dial::DialError;
use crate::outgoing::http::HttpError;

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProbeFailure {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No answer that could be read.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The whole answer did not come in this time.
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
    /// A status code that does not count as a success.
    #[error("status {0}")]
    Status(u16),
    /// The body does not contain the expected text.
    #[error("the body lacks the expected text")]
    Body,
    /// The call was refused with this `grpc-status`: 12 without a health service, 5 if it does
    /// not know the service asked about.
    #[error("grpc-status {code}{}", message_after(.message))]
    Grpc {
        /// From 1 to 16.
        code: u32,
        /// As sent, percent-encoded and cut.
        message: String,
    },
    /// The call succeeded and its answer is no `HealthCheckResponse`.
    #[error("the answer is no gRPC health response")]
    NoHealthResponse,
    /// The health service says so: 0 unknown, 2 not serving, 3 service unknown.
    #[error("not serving: {}", serving_status(*.0))]
    NotServing(u64),
    /// The probe itself panicked: a bug of ours or of a library.
    #[error("the probe ended without a result")]
    Crashed,
}

impl From<h2::Error> for ProbeFailure {
    fn from(error: h2::Error) -> ProbeFailure {
        HttpError::from(error).into()
    }
}

fn message_after(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// The names of `grpc.health.v1.HealthCheckResponse.ServingStatus`.
fn serving_status(number: u64) -> String {
    match number {
        0 => "UNKNOWN".into(),
        2 => "NOT_SERVING".into(),
        3 => "SERVICE_UNKNOWN".into(),
        other => format!("status {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn failures_read_as_people_say_them() {
        let grpc = |message: &str| ProbeFailure::Grpc { code: 12, message: message.into() };
        let cases = [
            (ProbeFailure::TimedOut(Duration::from_secs(2)), "no complete answer within 2s"),
            (
                DialError::Connect(io::ErrorKind::NotFound).into(),
                "cannot connect: entity not found",
            ),
            (grpc(""), "grpc-status 12"),
            (grpc("no health"), "grpc-status 12: no health"),
            (ProbeFailure::NotServing(2), "not serving: NOT_SERVING"),
        ];
        for (failure, text) in cases {
            assert_eq!(failure.to_string(), text);
        }
    }
}
