//! The hook of a rollout's point: who is called and on what occasion in, a yes or a no out.
//!
//! Whatever is not a clear yes is a no, with what came instead: the rollout does not go on because
//! somebody could not be asked.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::call::{Call, Caller, Reply, shown};
use super::command;
use crate::clock::WallTime;
use crate::config::{SigningKeys, web_address};
use crate::rollout::{Finished, Hook, HookPoint, Strategy, TaskError, WebhookError};
use crate::split::BasisPoints;

/// When and why a hook is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// Which Pointsman calls.
    pub pointsman: Arc<str>,
    /// What that is part of; empty if nobody has said so.
    pub environment: Arc<str>,
    /// Where the rollout is.
    pub point: HookPoint,
    /// Whose it is.
    pub service: Arc<str>,
    /// Its number.
    pub rollout: u64,
    /// How it goes.
    pub strategy: Strategy,
    /// The pool that traffic leaves.
    pub from: Arc<str>,
    /// The pool that traffic goes to.
    pub to: Arc<str>,
    /// Which of its steps, from 0.
    pub step: usize,
    /// What the target has now.
    pub share: BasisPoints,
    /// Who started the rollout.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// When the rollout came to this point. The call's id follows from it: an occasion that is told
    /// again after a crash has the same, a gate asked once more after a pause has another.
    pub at: WallTime,
}

/// An occasion as it is told.
#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    pointsman: &'a str,
    environment: &'a str,
    point: &'static str,
    service: &'a str,
    rollout: u64,
    strategy: &'static str,
    from: &'a str,
    to: &'a str,
    step: usize,
    /// In percent.
    share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    author: &'a str,
    reason: Option<&'a str>,
    /// Unix time in seconds.
    at: f64,
}

/// Asks a hook, signed with the key of its file in `keys`. That it agrees; or that it does not, or cannot be asked.
/// Dropped while under way, a command is killed with all that it began.
pub async fn call_hook(
    caller: &Caller,
    hook: &Hook,
    keys: &SigningKeys,
    occasion: &Occasion,
) -> Result<Finished, TaskError> {
    let id = occasion.id();
    let body = Bytes::from(occasion.told(&id));
    match hook {
        Hook::Webhook { url, secret_file, timeout } => {
            let url = web_address(url).map_err(TaskError::Address)?;
            let secret_file = secret_file.as_deref();
            let (fields, timeout) = (&[][..], *timeout);
            let call = Call { url: &url, id: &id, body, fields, secret_file, keys, timeout };
            let why: WebhookError = match caller.post(&call).await {
                Ok(reply) if reply.status.is_success() => {
                    return Ok(Finished::Agreed(reply.line));
                }
                Ok(Reply { status, line, .. }) => WebhookError::Refused { status, line },
                Err(error) => error.into(),
            };
            Err(TaskError::Webhook { address: shown(&url), why })
        }
        Hook::Command { run, timeout } => {
            let line =
                command::run(run, &occasion.variables(), body, (*timeout, caller.descriptors))
                    .await?;
            Ok(Finished::Agreed(line))
        }
    }
}

impl Occasion {
    fn upstream(&self) -> Option<&str> {
        match &self.point {
            HookPoint::Deploy { upstream } => Some(upstream),
            _ => None,
        }
    }

    /// Without a full stop, which parts the id from the time in what is signed.
    fn id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&*self.service, self.point.name(), self.upstream().unwrap_or_default()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        for number in [self.rollout, self.step as u64, self.at.millis()] {
            hash.update(number.to_be_bytes());
        }
        let hex =
            hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("hook_{hex}")
    }

    fn told(&self, id: &str) -> Vec<u8> {
        let told = Told {
            id,
            kind: "rollout.hook",
            pointsman: &self.pointsman,
            environment: &self.environment,
            point: self.point.name(),
            service: &self.service,
            rollout: self.rollout,
            strategy: self.strategy.name(),
            from: &self.from,
            to: &self.to,
            step: self.step,
            share: self.share.percent(),
            upstream: self.upstream(),
            author: &self.author,
            reason: self.reason.as_deref(),
            at: self.at.seconds(),
        };
        serde_json::to_vec(&told).expect("texts and numbers can be written as JSON")
    }

    fn variables(&self) -> [(&'static str, String); 8] {
        [
            ("POINTSMAN_NAME", self.pointsman.to_string()),
            ("POINTSMAN_SERVICE", self.service.to_string()),
            ("POINTSMAN_POINT", self.point.name().into()),
            ("POINTSMAN_FROM", self.from.to_string()),
            ("POINTSMAN_TO", self.to.to_string()),
            ("POINTSMAN_UPSTREAM", self.upstream().unwrap_or_default().into()),
            ("POINTSMAN_ROLLOUT", self.rollout.to_string()),
            ("POINTSMAN_SHARE", self.share.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests;
