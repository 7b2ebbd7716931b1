//! How a service's upstreams are probed: what is sent, what counts as a success, and when; and
//! what came of it so far.
//!
//! Two upstreams at the same address with equal [`Health`] are probed once for both, so every
//! value here compares and hashes as a whole. Sending probes is left to `control/prober`, telling
//! from their results whether an upstream is up to [`Probing`](super::Probing).

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method};

/// How the upstreams of a service prove that they work.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Health {
    /// What is sent and what is expected.
    pub probe: Probe,
    /// From one result to the next probe while nothing changes; longer than zero.
    pub interval: Duration,
    /// How long a whole probe may take, from the first packet to the last byte; longer than zero.
    pub timeout: Duration,
    /// Successes in a row that bring an upstream back; at least 1.
    pub rise: u32,
    /// Failures in a row that take an upstream out; at least 1.
    pub fall: u32,
    /// Whether the answer to a probe may set the upstream's weight and drain it.
    pub agent: bool,
}

impl Health {
    /// Probes of this kind every 5 s, each of 2 s at most; two successes bring an upstream back,
    /// three failures take it out.
    pub fn new(probe: Probe) -> Health {
        Health {
            probe,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            agent: false,
        }
    }
}

/// What is sent, and what counts as a success.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// A request over HTTP/1.1 that is answered as expected.
    Http(HttpProbe),
    /// A connection that is accepted.
    Tcp,
    /// A call of `grpc.health.v1.Health/Check` that is answered with `SERVING`.
    Grpc(GrpcProbe),
}

/// A request over HTTP/1.1 and the expected answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    /// Whether to use TLS; the certificate is checked against the system's roots.
    pub tls: bool,
    /// What to ask for.
    pub path: PathAndQuery,
    /// How to ask for it.
    pub method: Method,
    /// The `Host` field and the name in the certificate; without it, the configured address.
    pub host: Option<Authority>,
    /// Further fields; `Host`, `Connection` and `User-Agent` among them replace our own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The status codes that count as a success.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// A text that the first 64 KiB of the body must contain.
    pub body: Option<String>,
}

impl HttpProbe {
    /// A plain GET of this path, answered with any status from 200 to 399.
    pub fn get(path: PathAndQuery) -> HttpProbe {
        HttpProbe {
            tls: false,
            path,
            method: Method::GET,
            host: None,
            headers: Vec::new(),
            statuses: vec![200..=399],
            body: None,
        }
    }

    /// Whether this status code counts as a success.
    pub fn admits(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| range.contains(&status))
    }
}

/// A call of the gRPC health service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GrpcProbe {
    /// The service asked about; empty for the server as a whole.
    pub service: String,
    /// Whether to use TLS; the certificate is checked against the system's roots.
    pub tls: bool,
}

/// What came of the probes of one upstream. Belongs to the upstream and survives reloads with it.
#[derive(Debug, Default)]
pub struct ProbeTally {
    successes: AtomicU64,
    failures: AtomicU64,
    /// Written by the prober alone and read by people: a lock that nobody waits for.
    last_failure: Mutex<Option<Arc<str>>>,
}

/// A copy of a [`ProbeTally`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeReading {
    /// How many probes succeeded.
    pub successes: u64,
    /// How many failed.
    pub failures: u64,
    /// Why the last failure was one, in words. A later success leaves it.
    pub last_failure: Option<Arc<str>>,
}

impl ProbeTally {
    /// Counts a success.
    pub fn record_success(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failure for this reason.
    pub fn record_failure(&self, reason: Arc<str>) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// The totals now.
    pub fn read(&self) -> ProbeReading {
        let last_failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        ProbeReading {
            successes: self.successes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            last_failure: last_failure.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_counts_if_any_range_holds_it() {
        let mut probe = HttpProbe::get(PathAndQuery::from_static("/"));
        assert!([200, 204, 399].into_iter().all(|status| probe.admits(status)));
        assert!(![199, 400, 503].into_iter().any(|status| probe.admits(status)));
        probe.statuses = vec![204..=204, 503..=503];
        assert_eq!([200, 204, 503].map(|status| probe.admits(status)), [false, true, true]);
    }

    #[test]
    fn the_last_failure_outlives_a_success() {
        let tally = ProbeTally::default();
        tally.record_failure("status 500".into());
        tally.record_failure("status 503".into());
        tally.record_success();
        let last_failure = Some("status 503".into());
        assert_eq!(tally.read(), ProbeReading { successes: 1, failures: 2, last_failure });
    }
}
