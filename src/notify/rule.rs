//! Whom a rule of the automation calls: the rule and its act in, what was answered out.
//!
//! A web request is tried three times, always with the same `Idempotency-Key`, for whoever gets it twice
//! to do it once; a command is run once. What is known goes on the command's input and into its
//! environment, never into its arguments.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tokio::time::sleep;

use super::call::{Call, Caller, first_line, shown};
use super::command;
use crate::automation::{Act, Answer, Offered, Rule, Then, addresses};
use crate::config::{SigningKeys, web_address};
use crate::rollout::Hook;

/// Pauses before a web request is made again that came to nothing.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// An act as it is told.
#[derive(Serialize)]
struct Told<'a> {
    /// The same for a call that is made again.
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    pointsman: &'a str,
    environment: &'a str,
    /// `act`, `add` or `remove`.
    action: &'static str,
    rule: &'a str,
    act: u64,
    service: &'a str,
    pool: &'a str,
    upstream: &'a str,
    /// What is to be ended, where that is the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstreams: Option<[&'a str; 1]>,
    why: &'a str,
    /// Unix time in seconds.
    at: f64,
}

/// Calls whom the rule says; `who` calls, by name and environment. Dropped while under way, a command is
/// killed with all that it began.
///
/// # Errors
///
/// If nobody could be called, if the answer is no, or if it names what may not be added; in words.
pub async fn call_rule(
    caller: &Caller,
    rule: &Rule,
    keys: &SigningKeys,
    act: &Act,
    (pointsman, environment): &(Arc<str>, Arc<str>),
) -> Result<Answer, String> {
    let Then::Call(hook) = &rule.then else {
        return Err("by the file that is in force now, the rule calls nobody".into());
    };
    let key = act.key();
    let action = action(rule, act);
    let told = Told {
        id: &key,
        kind: "automation.act",
        pointsman,
        environment,
        action,
        rule: &act.rule,
        act: act.id,
        service: &act.place.service,
        pool: &act.place.pool,
        upstream: &act.place.upstream,
        upstreams: act.removed.as_ref().map(|removed| [&**removed]),
        why: &act.why,
        at: act.at.seconds(),
    };
    let body = serde_json::to_vec(&told).expect("texts and numbers can be written as JSON");
    let body = Bytes::from(body);
    let output = match hook {
        Hook::Webhook { url, secret_file, timeout } => {
            let url = web_address(url)?;
            let secret_file = secret_file.as_deref();
            let once = HeaderValue::from_str(&key).map_err(|error| error.to_string())?;
            let fields = &[(HeaderName::from_static("idempotency-key"), once)][..];
            let timeout = *timeout;
            let call = Call { url: &url, id: &key, body, fields, secret_file, keys, timeout };
            post(caller, &call).await?
        }
        Hook::Command { run, timeout } => {
            let variables = [
                ("POINTSMAN_NAME", pointsman.to_string()),
                ("POINTSMAN_RULE", act.rule.to_string()),
                ("POINTSMAN_ACT", act.id.to_string()),
                ("POINTSMAN_KEY", key.clone()),
                ("POINTSMAN_ACTION", action.to_string()),
                ("POINTSMAN_SERVICE", act.place.service.to_string()),
                ("POINTSMAN_POOL", act.place.pool.to_string()),
                ("POINTSMAN_UPSTREAM", upstream_of(act).to_string()),
                ("POINTSMAN_WHY", act.why.clone()),
            ];
            let ran = command::run_whole(run, &variables, body, (*timeout, caller.descriptors));
            ran.await.map_err(|error| error.to_string())?
        }
    };
    let adds = rule.adds.as_ref().filter(|_| act.removed.is_none());
    let upstreams = match adds {
        None => Vec::new(),
        Some(adds) => {
            let found = addresses(&output, &adds.networks).map_err(|error| error.to_string())?;
            found.into_iter().map(offered).collect()
        }
    };
    Ok(Answer { line: first_line(&output), upstreams })
}

/// What is asked for.
fn action(rule: &Rule, act: &Act) -> &'static str {
    match (&act.removed, &rule.adds) {
        (Some(_), _) => "remove",
        (None, Some(_)) => "add",
        (None, None) => "act",
    }
}

fn upstream_of(act: &Act) -> &str {
    act.removed.as_deref().unwrap_or(&act.place.upstream)
}

/// Makes a call until somebody takes it, three times at most; the body of the answer.
async fn post(caller: &Caller, call: &Call<'_>) -> Result<Vec<u8>, String> {
    let mut pauses = AGAIN.into_iter();
    loop {
        let (why, may_pass) = match caller.post_whole(call).await {
            Ok((reply, body)) if reply.status.is_success() => return Ok(body),
            Ok((reply, _)) => (reply.to_string(), may_pass(reply.status)),
            Err(error) => (error.to_string(), true),
        };
        match pauses.next().filter(|_| may_pass) {
            Some(pause) => sleep(pause).await,
            None => return Err(format!("{}: {why}", shown(call.url))),
        }
    }
}

/// Whether the same call may be taken later.
fn may_pass(status: StatusCode) -> bool {
    let early = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || early.contains(&status)
}

/// An address, and whether it is one of this machine: then a socket can be bound there.
fn offered(address: SocketAddr) -> Offered {
    Offered { address, is_here: UdpSocket::bind((address.ip(), 0)).is_ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_known_as_such() {
        assert!(offered("127.0.0.1:80".parse().unwrap()).is_here);
        assert!(!offered("192.0.2.1:80".parse().unwrap()).is_here);
    }
}
