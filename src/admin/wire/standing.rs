//! What travels about orders that stand.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{Override, What};
use crate::upstream;

/// Something that an operator or a rollout has ordered and nobody has taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// `drain`, `breaker`, `hold`, `maintenance`, `upstreams` or `contracted`.
    pub kind: String,
    /// The pool, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The upstream, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// What is so, in words.
    pub what: String,
    /// Who ordered it.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when, as Unix time in seconds.
    pub since: f64,
    /// Until when at most; none until it is taken back.
    pub until: Option<f64>,
}

impl Standing {
    /// An order that stands, if it is about this service.
    pub fn of(order: &Override, of: &str) -> Option<Standing> {
        let (service, pool, upstream, kind, what) = match &order.what {
            What::Drain { service, pool, upstream } => {
                (service, Some(pool), Some(upstream), "drain", "drained".to_string())
            }
            What::Breaker { service, pool, upstream, order } => {
                let what = match order {
                    upstream::BreakerOrder::Auto => "breaker decides by itself",
                    upstream::BreakerOrder::Open => "breaker open",
                    upstream::BreakerOrder::Closed => "breaker closed",
                };
                (service, Some(pool), upstream.as_ref(), "breaker", what.to_string())
            }
            What::Hold { service, most } => {
                (service, None, None, "hold", format!("held, {most} may wait"))
            }
            What::Maintenance { service, message } => {
                let told = message.as_ref().map_or_else(String::new, |told| format!(": {told}"));
                (service, None, None, "maintenance", format!("in maintenance{told}"))
            }
            What::Upstreams { service, pool, list } => {
                let list: Vec<String> =
                    list.iter().map(|(address, weight)| format!("{address}={weight}")).collect();
                let what = format!("upstreams {}", list.join(" "));
                (service, Some(pool), None, "upstreams", what)
            }
            What::Contracted { service, pool, by_rollout } => {
                let what = format!("cannot run on the schema that rollout {by_rollout} contracted");
                (service, Some(pool), None, "contracted", what)
            }
            What::Freeze { service } => {
                (service, None, None, "freeze", "no rollout starts or goes on".to_string())
            }
            What::Lifted { service, rollout } => {
                let whose = rollout.map_or_else(|| "rollouts".into(), |id| format!("rollout {id}"));
                let what = format!("{whose} may go on whatever the error budget says");
                (service, None, None, "freeze lifted", what)
            }
        };
        (service == of).then(|| Standing {
            kind: kind.into(),
            pool: pool.cloned(),
            upstream: upstream.cloned(),
            what,
            author: order.author.clone(),
            reason: order.reason.clone(),
            since: order.at.seconds(),
            until: order.until.map(|until| until.seconds()),
        })
    }
}
