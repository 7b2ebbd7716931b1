//! Requests that a target must answer before any user sees it: all of them to each upstream, and
//! whether it answered as expected out.
//!
//! One after the other: a version that has just started should not be judged by how it bears a
//! burst. The first that is not answered as expected ends it.

use bytes::Bytes;
use http::header::{HeaderName, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;

use super::call::{Caller, first_line};
use crate::outgoing::client::{Call, Fetched, Whom};
use crate::rollout::{Finished, NoAnswer, Smoke, SmokeError, TaskError};
use crate::upstream::{Address, DialAddress};

/// How much of an answer is looked through for the expected text.
const BODY_LIMIT: usize = 1024 * 1024;

/// How upstreams recognise these requests in their logs.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("pointsman-smoke/", env!("CARGO_PKG_VERSION")));

/// Sends every request to every target, naming `host` as whom it is for. How many were answered as
/// expected, or the first that was not.
pub async fn smoke(
    caller: &Caller,
    targets: &[DialAddress],
    host: &str,
    requests: &[Smoke],
) -> Result<Finished, TaskError> {
    if targets.is_empty() {
        return Err(TaskError::NoUpstream);
    }
    for target in targets {
        for request in requests {
            let Err(why) = send(caller, target, host, request).await else { continue };
            let request = format!("{} {}", request.method, request.path);
            return Err(TaskError::Smoke { request, upstream: Address::of(target), why });
        }
    }
    Ok(Finished::Answered { requests: requests.len(), upstreams: targets.len() })
}

async fn send(
    caller: &Caller,
    target: &DialAddress,
    host: &str,
    smoke: &Smoke,
) -> Result<(), SmokeError> {
    let call = Call {
        request: request(host, smoke)?,
        whom: Whom::At(target.clone()),
        within: smoke.timeout,
        wanted: if smoke.contains.is_some() { BODY_LIMIT } else { 0 },
    };
    judge(caller.client.send(call).await.map_err(NoAnswer::from)?, smoke)
}

fn request(host: &str, smoke: &Smoke) -> Result<Request<Full<Bytes>>, SmokeError> {
    let unusable = |error: &dyn std::fmt::Display| SmokeError::Request(error.to_string());
    let body = Full::new(Bytes::from(smoke.body.clone().unwrap_or_default()));
    let url = Uri::builder().scheme("http").authority(host).path_and_query(&*smoke.path).build();
    let url = url.map_err(|error| unusable(&error))?;
    let builder = Request::builder().method(smoke.method.as_str()).uri(url);
    let mut request = builder.body(body).map_err(|error| unusable(&error))?;
    let fields = request.headers_mut();
    for (name, value) in &smoke.headers {
        let name = name.parse::<HeaderName>().map_err(|error| unusable(&error))?;
        // A name may be repeated.
        fields.append(name, HeaderValue::from_str(value).map_err(|error| unusable(&error))?);
    }
    fields.entry(USER_AGENT).or_insert(AGENT);
    Ok(request)
}

fn judge(answer: Fetched, smoke: &Smoke) -> Result<(), SmokeError> {
    let is_expected = match smoke.status {
        Some(status) => answer.status == status,
        None => answer.status.is_success(),
    };
    if !is_expected {
        return Err(SmokeError::Status { expected: smoke.status, got: answer.status });
    }
    let Some(expected) = &smoke.contains else { return Ok(()) };
    let body = answer.body.map_err(|error| NoAnswer::Broken(error.to_string()))?;
    if String::from_utf8_lossy(&body).contains(expected) {
        return Ok(());
    }
    let got = match first_line(&body) {
        line if line.is_empty() => format!("{} bytes", body.len()),
        line => format!("`{line}`"),
    };
    Err(SmokeError::Body { expected: expected.clone(), got })
}

#[cfg(test)]
mod tests;
