//! What travels about orders that stand.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::state::{Override, What};
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
    /// An order that stands.
    pub fn of(order: &Override) -> Standing {
        let (pool, upstream, kind, what) = match &order.what {
            What::Drain { pool, upstream, .. } => {
                (Some(pool), Some(upstream), "drain", "drained".to_string())
            }
            What::Breaker { pool, upstream, order, .. } => {
                let what = match order {
                    upstream::BreakerOrder::Auto => "breaker decides by itself",
                    upstream::BreakerOrder::Open => "breaker open",
                    upstream::BreakerOrder::Closed => "breaker closed",
                };
                (Some(pool), upstream.as_ref(), "breaker", what.to_string())
            }
            What::Hold { most, .. } => (None, None, "hold", format!("held, {most} may wait")),
            What::Maintenance { message, .. } => {
                let told = message.as_ref().map_or_else(String::new, |told| format!(": {told}"));
                (None, None, "maintenance", format!("in maintenance{told}"))
            }
            What::Upstreams { pool, list, labels, deploy, .. } => {
                let labels = |address: &String| match labels.get(address) {
                    Some(labels) if !labels.is_empty() => format!(" ({labels})"),
                    _ => String::new(),
                };
                let one = |(address, weight): &(String, u16)| {
                    format!("{address}={weight}{}", labels(address))
                };
                let list: Vec<String> = list.iter().map(one).collect();
                let version = deploy.as_ref().map(|deployed| deployed.version.words());
                let version = version.map_or_else(String::new, |version| format!("{version}: "));
                let what = format!("{version}upstreams {}", list.join(" "));
                (Some(pool), None, "upstreams", what)
            }
            What::Contracted { pool, by_rollout, .. } => {
                let what = format!("cannot run on the schema that rollout {by_rollout} contracted");
                (Some(pool), None, "contracted", what)
            }
            What::Freeze { .. } => {
                (None, None, "freeze", "no rollout starts or goes on".to_string())
            }
            What::Lifted { rollout, .. } => {
                let whose = rollout.map_or_else(|| "rollouts".into(), |id| format!("rollout {id}"));
                let what = format!("{whose} may go on whatever the error budget says");
                (None, None, "freeze lifted", what)
            }
        };
        Standing {
            kind: kind.into(),
            pool: pool.cloned(),
            upstream: upstream.cloned(),
            what,
            author: order.author.clone(),
            reason: order.reason.clone(),
            since: order.at.seconds(),
            until: order.until.map(|until| until.seconds()),
        }
    }
}
