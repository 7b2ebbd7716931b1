//! Why a probe failed: what went wrong comes in, a cause that people can act on goes out.

use std::io;
use std::time::Duration;

use tokio_rustls::rustls;

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProbeFailure {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// No connection for another reason.
    #[error("cannot connect: {0}")]
    Connect(io::ErrorKind),
    /// The connection ended before the answer did.
    #[error("connection broken: {0}")]
    Broken(io::ErrorKind),
    /// The whole answer did not come in this time.
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
    /// The certificate or the handshake is not acceptable.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// The system's trusted certificates cannot be read, so no certificate can be checked.
    #[error("the system's trusted certificates cannot be read: {0}")]
    Roots(io::ErrorKind),
    /// The upstream has no name that a certificate could carry.
    #[error("`{0}` is no name for a certificate")]
    Name(String),
    /// A status code that does not count as a success.
    #[error("status {0}")]
    Status(u16),
    /// The body does not contain the expected text.
    #[error("the body lacks the expected text")]
    Body,
    /// What came is not HTTP, in the words of the library that read it.
    #[error("bad HTTP: {0}")]
    Http(String),
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

impl ProbeFailure {
    /// The failure of a connection attempt.
    pub fn connecting(error: &io::Error) -> ProbeFailure {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => ProbeFailure::Refused,
            kind => ProbeFailure::Connect(kind),
        }
    }

    /// The failure of a TLS handshake: rustls hides its own errors in those of I/O.
    pub fn handshaking(error: &io::Error) -> ProbeFailure {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(cause) => ProbeFailure::Tls(cause.clone()),
            None => ProbeFailure::Broken(error.kind()),
        }
    }
}

impl From<hyper::Error> for ProbeFailure {
    fn from(error: hyper::Error) -> ProbeFailure {
        if error.is_incomplete_message() {
            return ProbeFailure::Broken(io::ErrorKind::UnexpectedEof);
        }
        let source = std::error::Error::source(&error);
        match source.and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(io) => ProbeFailure::Broken(io.kind()),
            None => ProbeFailure::Http(error.to_string()),
        }
    }
}

impl From<h2::Error> for ProbeFailure {
    fn from(error: h2::Error) -> ProbeFailure {
        match error.get_io() {
            Some(io) => ProbeFailure::Broken(io.kind()),
            None => ProbeFailure::Http(error.to_string()),
        }
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
    use super::*;

    #[test]
    fn failures_read_as_people_say_them() {
        let grpc = |message: &str| ProbeFailure::Grpc { code: 12, message: message.into() };
        let cases = [
            (ProbeFailure::TimedOut(Duration::from_secs(2)), "no complete answer within 2s"),
            (ProbeFailure::Connect(io::ErrorKind::NotFound), "cannot connect: entity not found"),
            (grpc(""), "grpc-status 12"),
            (grpc("no health"), "grpc-status 12: no health"),
            (ProbeFailure::NotServing(2), "not serving: NOT_SERVING"),
        ];
        for (failure, text) in cases {
            assert_eq!(failure.to_string(), text);
        }
    }
}
