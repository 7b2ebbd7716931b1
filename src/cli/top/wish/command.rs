//! The command that does the same as an order, and what is said once it is so.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{By, What, Wish};
use crate::cli::top::words::{percent, quoted};

impl Wish {
    /// The words of the command that does the same, without the program's.
    pub fn words(&self, by: &By) -> Vec<String> {
        let service = self.service.clone();
        let said = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut words = match &self.what {
            What::Shift { weights } => {
                let parts = weights.split_whitespace().map(str::to_string);
                said(&["shift", &service]).into_iter().chain(parts).collect()
            }
            What::Flip { to } => said(&["flip", &service, to]),
            What::Rollback => said(&["rollback", &service]),
            What::Start { to } => said(&["rollout", "start", &service, "--to", to]),
            What::Verb(verb) => said(&["rollout", verb, &service]),
            What::Drain { pool, address, undo } => {
                let undo = if *undo { &["--undo"][..] } else { &[] };
                said(&[&["drain", &format!("{service}/{pool}"), address], undo].concat())
            }
            What::Breaker { pool, address, state } => {
                let place = format!("{service}/{pool}");
                let of: &[&str] = match address {
                    Some(address) => &["--upstream", address],
                    None => &[],
                };
                said(&[&["breaker", &place, state.trim()], of].concat())
            }
            What::Hold { length } => said(&["hold", &service, "--for", length.trim()]),
            What::Release => said(&["hold", &service, "--release"]),
            What::Maintenance { message } if message.trim().is_empty() => {
                said(&["maintenance", &service])
            }
            What::Maintenance { message } => {
                said(&["maintenance", &service, "--message", message.trim()])
            }
            What::EndMaintenance => said(&["maintenance", &service, "--end"]),
            What::Freeze { length } if length.trim().is_empty() => said(&["freeze", &service]),
            What::Freeze { length } => said(&["freeze", &service, "--for", length.trim()]),
            What::Lift => said(&["freeze", &service, "--lift"]),
        };
        let takes_revision = matches!(self.what, What::Shift { .. } | What::Flip { .. });
        if let Some(revision) = self.expects.filter(|_| takes_revision) {
            words.extend(["--if-revision".to_string(), revision.to_string()]);
        }
        if by.force {
            words.push("--force".into());
        }
        if !by.reason.trim().is_empty() {
            words.extend(["--reason".to_string(), by.reason.trim().to_string()]);
        }
        words
    }

    /// The command that does the same, as people type it; `flag` leads it to the proxy.
    pub fn command(&self, by: &By, flag: &[String]) -> String {
        let words = std::iter::once("pointsman".to_string()).chain(self.words(by));
        let words: Vec<String> = words.chain(flag.iter().cloned()).collect();
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// What is said once it is so, by its answer.
    pub fn done(&self, answer: &Value) -> String {
        let service = &self.service;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
        let mut said = match &self.what {
            What::Rollback if answer.get("unchanged").is_some() => {
                format!("{service} was taken back already")
            }
            What::Shift { .. } | What::Flip { .. } | What::Rollback => {
                let revision = answer.get("revision").and_then(Value::as_u64).unwrap_or_default();
                let weights = answer.get("weights").cloned().unwrap_or_default();
                let weights: BTreeMap<String, f64> =
                    serde_json::from_value(weights).unwrap_or_default();
                let shares: Vec<String> = weights
                    .iter()
                    .map(|(pool, share)| format!("{pool} {}", percent(*share)))
                    .collect();
                format!("{service} is at revision {revision}: {}", shares.join(", "))
            }
            What::Start { .. } | What::Verb(_) => format!("{service}: {}", text("status")),
            What::Drain { address, undo: true, .. } => format!("{address} takes requests again"),
            What::Drain { address, .. } => format!("{address} takes no new requests"),
            What::Breaker { pool, address, state } => {
                format!("the breaker of {}: {}", address.as_ref().unwrap_or(pool), state.trim())
            }
            What::Hold { .. } => format!("{service} is held"),
            What::Maintenance { .. } => format!("{service} is in maintenance"),
            What::Release | What::EndMaintenance => format!("{service} serves again"),
            What::Freeze { .. } => format!("rollouts of {service} are frozen"),
            What::Lift => format!("the freeze of {service} is lifted"),
        };
        let warnings = answer.get("warnings").and_then(Value::as_array).into_iter().flatten();
        for warning in warnings.filter_map(Value::as_str) {
            said.push_str(&format!("; warning: {warning}"));
        }
        said
    }
}
