//! One gRPC probe: a call of `grpc.health.v1.Health/Check`, judged by its status and answer.
//!
//! On the h2 crate rather than hyper's client, which hands its connections to tasks of their own:
//! those would outlive a probe that is given up. The two messages have one field each, so they are
//! written and read by hand (protobuf encoding, "Message Structure").

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};

use super::advice::Advice;
use super::exchange::beside;
use super::failure::ProbeFailure;
use super::http::{AGENT, BODY_LIMIT};
use crate::outgoing::dial::{Dialer, Speaks};
use crate::outgoing::http::HttpError;
use crate::upstream::{DialAddress, GrpcProbe};

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// The longest error message kept, in bytes: enough to recognise it.
const MESSAGE_LIMIT: usize = 200;

/// Calls the health service and judges the answer. Takes as long as it takes: the caller sets the
/// limit.
pub async fn probe(
    dialer: &Dialer,
    target: &DialAddress,
    authority: &Authority,
    probe: &GrpcProbe,
) -> Result<Advice, ProbeFailure> {
    let dialling = dialer.connect_to_probe(target, probe.tls, authority.host(), Speaks::Http2);
    let (scheme, stream) = dialling.await?;
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(BODY_LIMIT as u32);
    let (sender, connection) = builder.handshake(stream).await?;
    beside(connection, call(sender, head(scheme, authority)?, &probe.service)).await
}

fn head(scheme: Scheme, authority: &Authority) -> Result<Request<()>, HttpError> {
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority.clone())
        .path_and_query(PathAndQuery::from_static("/grpc.health.v1.Health/Check"))
        .build();
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri.map_err(|error| HttpError::Bad(error.to_string()))?)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, AGENT)
        .body(());
    request.map_err(|error| HttpError::Bad(error.to_string()))
}

async fn call(
    sender: SendRequest<Bytes>,
    head: Request<()>,
    service: &str,
) -> Result<Advice, ProbeFailure> {
    let mut sender = sender.ready().await?;
    let (response, mut body) = sender.send_request(head, false)?;
    body.send_data(request_message(service), true)?;
    judge(response).await
}

async fn judge(response: ResponseFuture) -> Result<Advice, ProbeFailure> {
    let (head, mut body) = response.await?.into_parts();
    if head.status != StatusCode::OK {
        return Err(ProbeFailure::Status(head.status.as_u16()));
    }
    // An answer without a message may carry its status in the head ("Trailers-Only").
    call_status(&head.headers).unwrap_or(Ok(()))?;
    let message = message_of(&mut body).await?;
    let trailers = body.trailers().await?;
    let status = trailers.as_ref().and_then(call_status).or_else(|| call_status(&head.headers));
    status.unwrap_or(Err(ProbeFailure::NoHealthResponse))?;
    match serving_status(&message) {
        Some(SERVING) => Ok(Advice::of(|name| head.headers.get(name).map(HeaderValue::as_bytes))),
        Some(other) => Err(ProbeFailure::NotServing(other)),
        None => Err(ProbeFailure::NoHealthResponse),
    }
}

/// What `grpc-status` says, if it is there.
fn call_status(fields: &HeaderMap) -> Option<Result<(), ProbeFailure>> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let code = fields.get("grpc-status").map(text)?.parse();
    Some(match code {
        Ok(0) => Ok(()),
        Ok(code) => {
            let message = fields.get("grpc-message").map(text).unwrap_or_default();
            let message = message.chars().take(MESSAGE_LIMIT).collect();
            Err(ProbeFailure::Grpc { code, message })
        }
        Err(_) => Err(ProbeFailure::NoHealthResponse),
    })
}

/// A whole body of at most [`BODY_LIMIT`] bytes. The limit lies just above HTTP/2's first window,
/// which is never enlarged, so nobody can send more.
async fn message_of(body: &mut RecvStream) -> Result<Vec<u8>, ProbeFailure> {
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        message.extend_from_slice(&data?);
        if message.len() > BODY_LIMIT {
            return Err(ProbeFailure::NoHealthResponse);
        }
    }
    Ok(message)
}

/// A `HealthCheckRequest` (field 1: the service), framed for gRPC: no compression, length, message.
fn request_message(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | LENGTH_DELIMITED as u8);
        put_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

/// The status in a framed `HealthCheckResponse` (field 1); 0, the default, if the field is not
/// there. None if it is no such message.
fn serving_status(framed: &[u8]) -> Option<u64> {
    let (&compressed, rest) = framed.split_first()?;
    let (length, mut message) = rest.split_at_checked(4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if compressed != 0 || message.len() != length as usize {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, VARINT) => status = take_varint(&mut message)?,
            (_, VARINT) => drop(take_varint(&mut message)?),
            (_, FIXED_64) => message = message.get(8..)?,
            (_, LENGTH_DELIMITED) => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, FIXED_32) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Seven bits a byte, the lowest first, the last one below 0x80; ten bytes at most.
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

// Protobuf's wire types.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

#[cfg(test)]
mod tests;
