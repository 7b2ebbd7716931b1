//! What came of a service's copies, as it travels over the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::mirror::{self, Kind};
use crate::snapshot;

/// What a service copies to another pool, and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Mirror {
    /// The service.
    pub service: String,
    /// The pool that gets the copies.
    pub to: String,
    /// The share of requests that are copied, in percent, of those that may be.
    pub percent: f64,
    /// Since when the numbers below count, as Unix time in seconds: since the start, or since the copies
    /// go to this pool.
    #[serde(default)]
    pub since: f64,
    /// Copies that were answered in time.
    pub sent: u64,
    /// Copies that were not sent because too many waited.
    pub dropped: u64,
    /// Copies that were not answered, or not in time.
    pub failed: u64,
    /// Copies that wait to be sent.
    pub waiting: usize,
    /// Why the last copy that failed did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// How answers compared; none if they are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparisons: Option<Comparisons>,
    /// The last hundred answers that differed, the newest first.
    pub differences: Vec<Difference>,
}

/// How answers compared; each comparison counts once, by what differs first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Comparisons {
    /// Nothing differs.
    pub same: u64,
    /// The status differs.
    pub status: u64,
    /// The status is the same and a chosen field differs.
    pub headers: u64,
    /// Only the body differs.
    pub body: u64,
}

/// Two answers to one request that differ.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// Unix time, in seconds.
    pub at: f64,
    /// The id of the request and of its copy.
    pub request_id: String,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What differs.
    pub parts: Vec<Differing>,
}

/// One thing that two answers differ in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Differing {
    /// `status`, `header` and a name, or `body`.
    pub part: String,
    /// What the client got.
    pub live: String,
    /// What the copy was answered with.
    pub mirror: String,
}

impl Mirror {
    /// What this service copies.
    pub fn of(service: &str, mirror: &snapshot::Mirror, since: f64) -> Mirror {
        let snapshot::Mirror { settings, state, .. } = mirror;
        let counts = state.read();
        let count = |kind: Kind| counts.comparisons[kind as usize];
        Mirror {
            service: service.to_string(),
            to: settings.to.to_string(),
            percent: settings.percent.percent(),
            since,
            sent: counts.sent,
            dropped: counts.dropped,
            failed: counts.failed,
            waiting: counts.waiting,
            last_failure: state.last_failure(),
            comparisons: settings.compare.as_ref().map(|_| Comparisons {
                same: count(Kind::Same),
                status: count(Kind::Status),
                headers: count(Kind::Headers),
                body: count(Kind::Body),
            }),
            differences: state.differences().into_iter().map(Into::into).collect(),
        }
    }
}

impl From<mirror::Difference> for Difference {
    fn from(found: mirror::Difference) -> Difference {
        let mirror::Difference { at, request_id, method, path, parts } = found;
        let parts = parts.into_iter().map(Into::into).collect();
        Difference { at: at.seconds(), request_id, method, path, parts }
    }
}

impl From<mirror::Differing> for Differing {
    fn from(found: mirror::Differing) -> Differing {
        let mirror::Differing { part, live, mirror } = found;
        Differing { part: part.to_string(), live, mirror }
    }
}
