//! The request that orders what is wished.

use std::collections::BTreeMap;

use http::Method;
use serde::Serialize;
use serde_json::Value;

use super::{By, What, Wish};
use crate::admin::wire;
use crate::cli::api::segment;
use crate::cli::top::words::percent;
use crate::split::BasisPoints;

/// An order as it is sent.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The body.
    pub body: Value,
    /// The revision it is meant for.
    pub if_match: Option<u64>,
}

impl Wish {
    /// The request that orders it.
    ///
    /// # Errors
    ///
    /// What is wrong with what was typed.
    pub fn request(&self, by: &By) -> Result<Request, String> {
        let of_service = format!("/v1/services/{}", segment(&self.service));
        let reason = Some(by.reason.clone());
        let (author, force) = (Some(by.author.clone()), by.force);
        let (method, rest, body) = match &self.what {
            What::Shift { weights } => {
                let weights = parsed(weights)?;
                let body = json(&wire::PutSplit { weights, force, reason, author });
                (Method::PUT, "/split".to_string(), body)
            }
            What::Flip { to } => {
                let body = json(&wire::Flip { to: to.clone(), force, reason, author });
                (Method::POST, "/flip".into(), body)
            }
            What::Rollback => {
                let body = json(&wire::Rollback { to: None, force, reason, author });
                (Method::POST, "/rollback".into(), body)
            }
            What::Start { to } => {
                let to = Some(to.clone());
                let start = wire::StartRollout { to, force, reason, author, ..Default::default() };
                (Method::POST, "/rollout".into(), json(&start))
            }
            What::Verb(verb) => {
                let body = json(&wire::OrderRollout { force, reason, author });
                (Method::POST, format!("/rollout/{verb}"), body)
            }
            What::Drain { pool, address, undo } => {
                let state =
                    if *undo { wire::UpstreamState::Active } else { wire::UpstreamState::Drain };
                let put = wire::PutUpstreamState { state, force, reason, author };
                (Method::PUT, format!("{}/state", upstream(pool, address)), json(&put))
            }
            What::Breaker { pool, address, state } => {
                let state = match state.trim() {
                    "auto" => wire::BreakerOrder::Auto,
                    "open" => wire::BreakerOrder::Open,
                    "closed" => wire::BreakerOrder::Closed,
                    other => return Err(format!("expected auto, open or closed, not `{other}`")),
                };
                let of = match address {
                    Some(address) => upstream(pool, address),
                    None => format!("/pools/{}", segment(pool)),
                };
                let put = wire::PutBreaker { state, reason, author };
                (Method::PUT, format!("{of}/breaker"), json(&put))
            }
            What::Hold { .. } | What::Release | What::Maintenance { .. } | What::EndMaintenance => {
                (Method::PUT, "/mode".into(), json(&self.mode(reason, author)?))
            }
            What::Freeze { length } => {
                let length = Some(length.trim().to_string()).filter(|length| !length.is_empty());
                (Method::PUT, "/freeze".into(), json(&wire::PutFreeze { reason, length, author }))
            }
            What::Lift => {
                let body = json(&wire::DeleteFreeze { lifted: None, reason, author });
                (Method::DELETE, "/freeze".into(), body)
            }
        };
        let path = format!("{of_service}{rest}");
        Ok(Request { method, path, body, if_match: self.expects })
    }

    fn mode(
        &self,
        reason: Option<String>,
        author: Option<String>,
    ) -> Result<wire::PutMode, String> {
        let given = wire::PutMode { reason, author, ..wire::PutMode::default() };
        let serve = |from| wire::PutMode { from: Some(from), ..given.clone() };
        Ok(match &self.what {
            What::Release => serve(wire::Mode::Hold),
            What::EndMaintenance => serve(wire::Mode::Maintenance),
            What::Maintenance { message } => {
                let message = Some(message.trim().to_string()).filter(|text| !text.is_empty());
                wire::PutMode { mode: wire::Mode::Maintenance, message, ..given }
            }
            What::Hold { length } => {
                let length = length.trim();
                crate::config::duration(length).map_err(|error| error.to_string())?;
                wire::PutMode { mode: wire::Mode::Hold, length: Some(length.into()), ..given }
            }
            _ => given,
        })
    }
}

fn upstream(pool: &str, address: &str) -> String {
    format!("/pools/{}/upstreams/{}", segment(pool), segment(address))
}

fn json(body: &impl Serialize) -> Value {
    // The wire types are plain structs with text keys, which always serialize.
    serde_json::to_value(body).unwrap_or_default()
}

/// Weights as they are typed; pools that are left out get nothing.
///
/// # Errors
///
/// What is wrong with them.
pub fn parsed(text: &str) -> Result<BTreeMap<String, serde_json::Number>, String> {
    let (mut weights, mut sum) = (BTreeMap::new(), 0);
    for part in text.split_whitespace() {
        let (pool, percent) =
            part.split_once('=').ok_or("expected POOL=PERCENT, such as green=10")?;
        let share =
            BasisPoints::from_percent(percent).map_err(|error| format!("{pool}: {error}"))?;
        sum += u32::from(share.get());
        let number = share.to_string().parse().map_err(|_| "not a number".to_string())?;
        if weights.insert(pool.to_string(), number).is_some() {
            return Err(format!("pool `{pool}` is named twice"));
        }
    }
    match sum {
        10_000 => Ok(weights),
        _ => Err(format!("shares sum to {}, not to 100 %", percent(f64::from(sum) / 100.0))),
    }
}
