//! One HTTP probe: a request over HTTP/1.1 on a connection of its own, judged by its answer.

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::uri::Authority;
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;

use super::advice::Advice;
use super::failure::ProbeFailure;
use crate::outgoing::dial::{Dialer, Speaks};
use crate::outgoing::http::{HttpError, exchange, start_of};
use crate::upstream::{HttpProbe, Target};

/// How upstreams recognise probes in their logs.
pub const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("pointsman-probe/", env!("CARGO_PKG_VERSION")));

/// How much of a body is looked through for the expected text: a probe's answer is small, and
/// sixty-four of them are held at once.
pub const BODY_LIMIT: usize = 64 * 1024;

/// Sends the request and judges the answer. Takes as long as it takes: the caller sets the limit.
pub async fn probe(
    dialer: &Dialer,
    target: &Target,
    authority: &Authority,
    probe: &HttpProbe,
) -> Result<Advice, ProbeFailure> {
    let stream = match probe.tls {
        true => dialer.connect_tls(target, authority.host(), Speaks::Http1).await?,
        false => dialer.connect(target).await?,
    };
    exchange(stream, request(probe, authority)?, async |response| judge(response, probe).await)
        .await
}

fn request(probe: &HttpProbe, authority: &Authority) -> Result<Request<Empty<Bytes>>, HttpError> {
    let unusable = |error: &dyn std::fmt::Display| HttpError::Bad(error.to_string());
    let builder = Request::builder().method(&probe.method).uri(probe.path.as_str());
    let mut request = builder.body(Empty::new()).map_err(|error| unusable(&error))?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|error| unusable(&error))?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, AGENT);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    // The config's fields replace ours of the same name, and may repeat a name among themselves.
    for (name, _) in &probe.headers {
        headers.remove(name);
    }
    for (name, value) in &probe.headers {
        headers.append(name, value.clone());
    }
    Ok(request)
}

async fn judge(response: Response<Incoming>, probe: &HttpProbe) -> Result<Advice, ProbeFailure> {
    let (head, body) = response.into_parts();
    if !probe.admits(head.status.as_u16()) {
        return Err(ProbeFailure::Status(head.status.as_u16()));
    }
    if let Some(text) = &probe.body {
        let start = start_of(body, BODY_LIMIT).await?;
        if !String::from_utf8_lossy(&start).contains(text) {
            return Err(ProbeFailure::Body);
        }
    }
    Ok(Advice::of(&head.headers))
}

#[cfg(test)]
mod tests;
