//! What would become of a request, as it travels over the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Breaker, ConfigText, Mode, NotTaken};

/// A request that nobody sends.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// What is asked for: a whole URL of `http` or `https`.
    pub url: String,
    /// The method; `GET` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Fields in this order. `Host` is what the URL says, unless it is among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<ExplainField>,
    /// The address that the connection comes from; what fields say of clients counts if that is a
    /// trusted proxy's. 127.0.0.1 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// A revision of the service that it comes to, whose split is taken for the one in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// A request that nobody sends, and a config that is not in force.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainWith {
    /// The config.
    pub config: ConfigText,
    /// The request; without `at`.
    pub request: Explain,
}

/// How upstreams stand in what would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As they do for the running process; those that it does not have are well.
    #[default]
    Running,
    /// All of them are well.
    Well,
}

/// A field of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainField {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What would become of it now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// How upstreams stand in it.
    #[serde(default)]
    pub health: Health,
    /// The host that routes look at.
    pub host: String,
    /// The path that they look at.
    pub path: String,
    /// The client, after trusted proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Its route as people know it: host and path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Which of all routes that is, counted from 1 in the file's order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_number: Option<u64>,
    /// What its clients have to show first, which was not looked at: `password`, or what another
    /// `service` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// The status, if its route or the proxy answers; not while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the proxy answers, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Whether it waits: its service is held, or it stands in line for a place.
    pub waits: bool,
    /// Where its route leads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What the upstream is asked for in place of what it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Its service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The service's revision in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Whether the service serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether limits on its client's rate may refuse it, which were not asked: that would use them up.
    pub is_rate_limited: bool,
    /// Its pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// What chose that: `cohort`, `draw` or `override`. A draw may come out in another way next time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Its cohort, where that chose, 0 to 9,999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<u16>,
    /// Whether its client would be given a cookie, by which it is recognised from then on.
    pub sets_cookie: bool,
    /// The pool's circuit breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// The upstream that it would go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Why it would go to no other one of the pool.
    pub not_taken: Vec<NotTaken>,
    /// Who is asked instead where its pool cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<Instead>,
    /// The status of the service's own answer for such times, if it gets that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_status: Option<u16>,
}

/// Who is asked in a pool's place.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Instead {
    /// The pool.
    pub pool: String,
    /// The upstream.
    pub upstream: String,
    /// Why: `shield`, `stand-in`, or as before for an upstream that is not well.
    pub by: String,
}
