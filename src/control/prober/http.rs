//! One HTTP probe: a request over HTTP/1.1 on a connection of its own, judged by its answer.

use std::future::Future;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::uri::Authority;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::advice::Advice;
use super::dial::{Dialer, Speaks};
use super::failure::ProbeFailure;
use crate::upstream::{HttpProbe, Target};

/// How upstreams recognise probes in their logs.
pub const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("pointsman-probe/", env!("CARGO_PKG_VERSION")));

/// How much of a body is looked through for the expected text, and the longest head: a probe's
/// answer is small, and sixty-four of them are held at once.
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
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BODY_LIMIT);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request(probe, authority)?).await?;
        judge(response, probe).await
    };
    beside(connection, answer).await
}

/// The result of `answer`, while `connection` moves its bytes. One task does both, so that a probe
/// that is given up leaves nothing behind.
pub async fn beside<T>(connection: impl Future, answer: impl Future<Output = T>) -> T {
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection may end before its last bytes are taken; how it ended is told to
        // `answer` too.
        _ = connection => answer.await,
    }
}

fn request(
    probe: &HttpProbe,
    authority: &Authority,
) -> Result<Request<Empty<Bytes>>, ProbeFailure> {
    let unusable = |error: &dyn std::fmt::Display| ProbeFailure::Http(error.to_string());
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
        let start = start_of(body).await?;
        if !String::from_utf8_lossy(&start).contains(text) {
            return Err(ProbeFailure::Body);
        }
    }
    Ok(Advice::of(&head.headers))
}

/// The first [`BODY_LIMIT`] bytes of a body.
async fn start_of<B>(mut body: B) -> Result<Vec<u8>, ProbeFailure>
where
    B: Body<Data = Bytes> + Unpin,
    ProbeFailure: From<B::Error>,
{
    let mut start = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = BODY_LIMIT - start.len();
        start.extend_from_slice(&data[..data.len().min(room)]);
        if start.len() == BODY_LIMIT {
            break;
        }
    }
    Ok(start)
}

#[cfg(test)]
mod tests;
