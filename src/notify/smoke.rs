//! Requests that a target must answer before any user sees it: all of them to each upstream, and
//! whether it answered as expected out.
//!
//! One after the other: a version that has just started should not be judged by how it bears a
//! burst. The first that is not answered as expected ends it.

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderName, USER_AGENT};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::call::first_line;
use crate::outgoing::dial::{DialError, Dialer};
use crate::outgoing::http::{HttpError, exchange, start_of};
use crate::rollout::{Finished, NoAnswer, Smoke, SmokeError, TaskError};
use crate::upstream::{Address, Target};

/// How much of an answer is looked through for the expected text.
const BODY_LIMIT: usize = 1024 * 1024;

/// How upstreams recognise these requests in their logs.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("pointsman-smoke/", env!("CARGO_PKG_VERSION")));

/// Sends every request to every target, naming `host` as whom it is for. How many were answered as
/// expected, or the first that was not.
pub async fn smoke(
    targets: &[Target],
    host: &str,
    requests: &[Smoke],
) -> Result<Finished, TaskError> {
    if targets.is_empty() {
        return Err(TaskError::NoUpstream);
    }
    let dialer = Dialer::default();
    for target in targets {
        for request in requests {
            let sent = timeout(request.timeout, send(&dialer, target, host, request)).await;
            let timed_out = Err(NoAnswer::TimedOut(request.timeout).into());
            let Err(why) = sent.unwrap_or(timed_out) else { continue };
            let request = format!("{} {}", request.method, request.path);
            return Err(TaskError::Smoke { request, upstream: Address::of(target), why });
        }
    }
    Ok(Finished::Answered { requests: requests.len(), upstreams: targets.len() })
}

async fn send(
    dialer: &Dialer,
    target: &Target,
    host: &str,
    smoke: &Smoke,
) -> Result<(), SmokeError> {
    let request = request(host, smoke)?;
    let unreachable = |error: DialError| NoAnswer::Unreachable(error.to_string());
    let stream = dialer.connect(target).await.map_err(unreachable)?;
    exchange(stream, request, async |response| judge(response, smoke).await).await
}

fn request(host: &str, smoke: &Smoke) -> Result<Request<Full<Bytes>>, SmokeError> {
    let unusable = |error: &dyn std::fmt::Display| SmokeError::Request(error.to_string());
    let body = Full::new(Bytes::from(smoke.body.clone().unwrap_or_default()));
    let builder = Request::builder().method(smoke.method.as_str()).uri(smoke.path.as_str());
    let mut request = builder.body(body).map_err(|error| unusable(&error))?;
    let host = HeaderValue::from_str(host).map_err(|error| unusable(&error))?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, AGENT);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let mut fields = Vec::new();
    for (name, value) in &smoke.headers {
        let name = name.parse::<HeaderName>().map_err(|error| unusable(&error))?;
        fields.push((name, HeaderValue::from_str(value).map_err(|error| unusable(&error))?));
    }
    // The plan's fields replace ours of the same name, and may repeat a name among themselves.
    for (name, _) in &fields {
        headers.remove(name);
    }
    for (name, value) in fields {
        headers.append(name, value);
    }
    Ok(request)
}

async fn judge(response: Response<Incoming>, smoke: &Smoke) -> Result<(), SmokeError> {
    let (head, body) = response.into_parts();
    let is_expected = match smoke.status {
        Some(status) => head.status == status,
        None => head.status.is_success(),
    };
    if !is_expected {
        return Err(SmokeError::Status { expected: smoke.status, got: head.status });
    }
    let Some(expected) = &smoke.contains else { return Ok(()) };
    let body = start_of(body, BODY_LIMIT).await?;
    if String::from_utf8_lossy(&body).contains(expected) {
        return Ok(());
    }
    let got = match first_line(&body) {
        line if line.is_empty() => format!("{} bytes", body.len()),
        line => format!("`{line}`"),
    };
    Err(SmokeError::Body { expected: expected.clone(), got })
}

impl From<HttpError> for SmokeError {
    fn from(error: HttpError) -> SmokeError {
        NoAnswer::Broken(error.to_string()).into()
    }
}

#[cfg(test)]
mod tests;
