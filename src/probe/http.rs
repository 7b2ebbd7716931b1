//! One HTTP probe: a request on a connection of its own, judged by its answer.

use std::io;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderName, TRANSFER_ENCODING, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::advice::Advice;
use super::exchange::{beside, exchange};
use super::failure::ProbeFailure;
use crate::outgoing::dial::{Dialer, Speaks, Stream};
use crate::outgoing::http::{HttpError, start_of};
use crate::upstream::{DialAddress, HttpProbe};

/// How upstreams recognise probes in their logs.
pub const AGENT: &str = concat!("pointsman-probe/", env!("CARGO_PKG_VERSION"));

/// How much of a body is looked through for the expected text, and the longest head: a probe's
/// answer is small, and sixty-four of them are held at once.
pub const BODY_LIMIT: usize = 64 * 1024;

/// The room first made for an answer's head, and for the request: most fit.
const FIRST_PIECE: usize = 1024;

/// The most fields that an answer may have.
const MOST_FIELDS: usize = 100;

/// Sends the request and judges the answer. Takes as long as it takes: the caller sets the limit.
///
/// The head is all that most probes look at. Those read it here: a whole client for each of a
/// thousand upstreams took more time than the rest of a probe. Content, with its framings, is
/// left to hyper.
pub async fn probe(
    dialer: &Dialer,
    target: &DialAddress,
    authority: &Authority,
    probe: &HttpProbe,
    speaks: Speaks,
) -> Result<Advice, ProbeFailure> {
    let dialling = dialer.connect_to_probe(target, probe.tls, authority.host(), speaks);
    let (scheme, stream) = dialling.await?;
    if speaks == Speaks::Http2 {
        return ask_in_http2(stream, scheme, probe, authority).await;
    }
    match &probe.body {
        None => ask_for_head(stream, probe, authority).await,
        Some(text) => ask_for_body(stream, probe, authority, text).await,
    }
}

async fn ask_for_head(
    mut stream: Box<dyn Stream>,
    probe: &HttpProbe,
    authority: &Authority,
) -> Result<Advice, ProbeFailure> {
    let broken = |error: io::Error| HttpError::Broken(error.kind());
    stream.write_all(&head_of_request(probe, authority)).await.map_err(broken)?;
    // A TLS stream may still hold what it was given.
    stream.flush().await.map_err(broken)?;
    let mut received = Vec::with_capacity(FIRST_PIECE);
    loop {
        if received.len() == received.capacity() {
            received.reserve(received.len());
        }
        if stream.read_buf(&mut received).await.map_err(broken)? == 0 {
            return Err(HttpError::Broken(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some(verdict) = judge_head(&received, probe)? {
            return verdict;
        }
        if received.len() >= BODY_LIMIT {
            return Err(HttpError::Bad("message head is too large".into()).into());
        }
    }
}

/// The verdict on an answer's final head; none while it is not there yet.
fn judge_head(
    mut received: &[u8],
    probe: &HttpProbe,
) -> Result<Option<Result<Advice, ProbeFailure>>, ProbeFailure> {
    let unreadable = |error: httparse::Error| HttpError::Bad(error.to_string());
    loop {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = head.parse(received).map_err(unreadable)? else {
            return Ok(None);
        };
        let status = head.code.unwrap_or_default();
        // What is announced before the answer is not the answer (RFC 9110 section 15.2).
        if (100..200).contains(&status) && status != 101 {
            received = &received[length..];
            continue;
        }
        let value = |name: &str| {
            let found = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.map(|field| field.value)
        };
        return Ok(Some(match probe.admits(status) {
            true => Ok(Advice::of(value)),
            false => Err(ProbeFailure::Status(status)),
        }));
    }
}

/// The request as it is sent, but for its order of fields the same as hyper would send.
fn head_of_request(probe: &HttpProbe, authority: &Authority) -> Vec<u8> {
    let mut head = Vec::with_capacity(FIRST_PIECE);
    let line = [probe.method.as_str(), " ", probe.path.as_str(), " HTTP/1.1\r\n"];
    line.iter().for_each(|part| head.extend_from_slice(part.as_bytes()));
    for (name, value) in fields(probe, authority) {
        for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The fields of the request: the config's replace ours of the same name, and may repeat a name
/// among themselves. There is no content, so nothing may say how some is framed.
fn fields<'p>(
    probe: &'p HttpProbe,
    authority: &'p Authority,
) -> impl Iterator<Item = (HeaderName, &'p [u8])> {
    let ours = [
        (HOST, authority.as_str().as_bytes()),
        (USER_AGENT, AGENT.as_bytes()),
        (ACCEPT, &b"*/*"[..]),
        (CONNECTION, &b"close"[..]),
    ];
    let is_given = |name: &HeaderName| probe.headers.iter().any(|(given, _)| given == name);
    let ours = ours.into_iter().filter(move |(name, _)| !is_given(name));
    let given = probe.headers.iter().map(|(name, value)| (name.clone(), value.as_bytes()));
    ours.chain(given.filter(|(name, _)| *name != TRANSFER_ENCODING))
}

async fn ask_for_body(
    stream: Box<dyn Stream>,
    probe: &HttpProbe,
    authority: &Authority,
    text: &str,
) -> Result<Advice, ProbeFailure> {
    let request = request(probe, authority)?;
    exchange(stream, request, async |response| judge(response, probe, text).await).await
}

fn request(probe: &HttpProbe, authority: &Authority) -> Result<Request<Empty<Bytes>>, HttpError> {
    let unusable = |error: &dyn std::fmt::Display| HttpError::Bad(error.to_string());
    let builder = Request::builder().method(&probe.method).uri(probe.path.as_str());
    let mut request = builder.body(Empty::new()).map_err(|error| unusable(&error))?;
    for (name, value) in fields(probe, authority) {
        let value = HeaderValue::from_bytes(value).map_err(|error| unusable(&error))?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// The same in HTTP/2, which has no fields of a connection.
async fn ask_in_http2(
    stream: Box<dyn Stream>,
    scheme: Scheme,
    probe: &HttpProbe,
    authority: &Authority,
) -> Result<Advice, ProbeFailure> {
    let uri = Uri::builder().scheme(scheme).authority(authority.clone());
    let uri = uri.path_and_query(probe.path.clone()).build();
    let mut request = Request::new(());
    *request.method_mut() = probe.method.clone();
    *request.uri_mut() = uri.map_err(|error| HttpError::Bad(error.to_string()))?;
    for (name, value) in fields(probe, authority) {
        if let Ok(value) = HeaderValue::from_bytes(value)
            && name != HOST
            && name != CONNECTION
        {
            request.headers_mut().append(name, value);
        }
    }
    let mut builder = h2::client::Builder::new();
    builder.enable_push(false).max_header_list_size(BODY_LIMIT as u32);
    let (sender, connection) = builder.handshake::<_, Bytes>(stream).await?;
    let answer = async {
        let (response, _) = sender.ready().await?.send_request(request, true)?;
        let (head, mut body) = response.await?.into_parts();
        if !probe.admits(head.status.as_u16()) {
            return Err(ProbeFailure::Status(head.status.as_u16()));
        }
        if let Some(text) = &probe.body {
            let mut start = Vec::new();
            while start.len() < BODY_LIMIT
                && let Some(piece) = body.data().await
            {
                let piece = piece?;
                let room = BODY_LIMIT - start.len();
                start.extend_from_slice(&piece[..piece.len().min(room)]);
                // It has no more than its first window otherwise; fails where nobody counts any more.
                let _ = body.flow_control().release_capacity(piece.len());
            }
            if !String::from_utf8_lossy(&start).contains(text) {
                return Err(ProbeFailure::Body);
            }
        }
        Ok(Advice::of(|name| head.headers.get(name).map(HeaderValue::as_bytes)))
    };
    beside(connection, answer).await
}

async fn judge(
    response: Response<Incoming>,
    probe: &HttpProbe,
    text: &str,
) -> Result<Advice, ProbeFailure> {
    let (head, body) = response.into_parts();
    if !probe.admits(head.status.as_u16()) {
        return Err(ProbeFailure::Status(head.status.as_u16()));
    }
    let start = start_of(body, BODY_LIMIT).await?;
    if !String::from_utf8_lossy(&start).contains(text) {
        return Err(ProbeFailure::Body);
    }
    Ok(Advice::of(|name| head.headers.get(name).map(HeaderValue::as_bytes)))
}

#[cfg(test)]
mod tests;
