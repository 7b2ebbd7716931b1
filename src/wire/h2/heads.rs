//! Heads of HTTP/2 as those of HTTP/1.1, and back: fields of a frame in, bytes for the codec out, and a
//! map for a frame.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use h2::ext::Protocol;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, StatusCode, Uri, request, response};

use crate::http::codec::write::{self, HEAD_END};

/// A request that cannot be written as one of HTTP/1.1: which of its parts is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Unfit {
    /// It names two hosts.
    Host,
    /// It asks for nothing that has a path.
    Target,
    /// It wants a tunnel to somewhere.
    Connect,
    /// It is longer than it may be.
    Long,
}

/// A request's head. `is_whole`: no body follows.
///
/// The names of fields are in lower case, and those of one connection are not among them: the frames'
/// reader has seen to it (RFC 9113, 8.2).
pub(super) fn request(
    parts: &request::Parts,
    is_whole: bool,
    draw: impl FnMut() -> u64,
) -> Result<Bytes, Unfit> {
    let fields = &parts.headers;
    let mut head = Vec::with_capacity(256 + 48 * fields.len());
    let protocol = parts.extensions.get::<Protocol>();
    let method = match (&parts.method, protocol) {
        (&Method::CONNECT, Some(protocol)) if protocol.as_str() == "websocket" => Method::GET,
        (&Method::CONNECT, _) => return Err(Unfit::Connect),
        (method, _) => method.clone(),
    };
    let target = match parts.uri.path_and_query() {
        Some(target) => target.as_str(),
        // `OPTIONS *` has no other form here.
        None if parts.method == Method::OPTIONS => "*",
        None => return Err(Unfit::Target),
    };
    write::request_line(method.as_str().as_bytes(), target.as_bytes(), &mut head);
    if let Some(authority) = parts.uri.authority() {
        let same = |host: &HeaderValue| {
            host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
        };
        // Who reads the other one would be another's host (RFC 9113, 8.3.1).
        if !fields.get_all(HOST).iter().all(same) {
            return Err(Unfit::Host);
        }
        write::field(b"host", authority.as_str().as_bytes(), &mut head);
    }
    let names_host = parts.uri.authority().is_some();
    for (name, value) in fields.iter().filter(|(name, _)| *name != COOKIE) {
        // There it is not asked for, and an upstream that saw two would take neither.
        let is_replaced = protocol.is_some() && name == SEC_WEBSOCKET_KEY;
        if !(names_host && name == HOST || is_replaced) {
            line(name.as_str(), value, &mut head);
        }
    }
    cookies(fields, &mut head);
    if protocol.is_some() {
        switch(draw, &mut head);
    } else if !is_whole && !fields.contains_key(CONTENT_LENGTH) {
        write::field(b"transfer-encoding", b"chunked", &mut head);
    }
    head.extend_from_slice(HEAD_END);
    Ok(head.into())
}

/// What HTTP/1.1 asks for a WebSocket with (RFC 8441, 5, and RFC 6455, 4.1). The answer to the key is not
/// looked at: it is for those who cannot tell a WebSocket's server from another.
fn switch(mut draw: impl FnMut() -> u64, head: &mut Vec<u8>) {
    let key = [draw().to_be_bytes(), draw().to_be_bytes()].concat();
    write::field(b"connection", b"upgrade", head);
    write::field(b"upgrade", b"websocket", head);
    write::field(b"sec-websocket-key", BASE64_STANDARD.encode(key).as_bytes(), head);
}

/// Pieces of cookies become one field (RFC 9113, 8.2.3).
fn cookies(fields: &HeaderMap, head: &mut Vec<u8>) {
    let mut pieces = fields.get_all(COOKIE).iter();
    let Some(first) = pieces.next() else { return };
    head.extend_from_slice(b"cookie: ");
    head.extend_from_slice(first.as_bytes());
    for piece in pieces {
        head.extend_from_slice(b"; ");
        head.extend_from_slice(piece.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
}

/// The head of a response. How its body is framed is not said: it ends with its stream, or after as many
/// bytes as it says.
pub(super) fn response(parts: &response::Parts) -> Bytes {
    let mut head = Vec::with_capacity(128 + 48 * parts.headers.len());
    write::status_line(parts.status.as_u16(), b"", &mut head);
    for (name, value) in &parts.headers {
        line(name.as_str(), value, &mut head);
    }
    head.extend_from_slice(HEAD_END);
    head.into()
}

/// The status and fields of an answer that has switched to another protocol (RFC 8441, 5).
pub(in crate::wire) fn switched(fields: &mut HeaderMap) -> StatusCode {
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        fields.remove(name);
    }
    StatusCode::OK
}

/// A line as it came, which the codec is to judge.
fn line(name: &str, value: &HeaderValue, head: &mut Vec<u8>) {
    for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// A request to an upstream with these fields. None if it cannot be said in HTTP/2.
pub(in crate::wire) fn to_upstream(
    method: &Method,
    target: &str,
    scheme: Scheme,
    mut fields: HeaderMap,
) -> Option<Request<()>> {
    let host = fields.remove(HOST);
    // These are said by frames.
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        fields.remove(name);
    }
    // We pass them on, and gRPC asks for it.
    fields.insert(TE, HeaderValue::from_static("trailers"));
    let mut uri = Uri::builder().scheme(scheme);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok())?;
    uri = uri.authority(authority).path_and_query(PathAndQuery::try_from(target).ok()?);
    let mut request = Request::new(());
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri.build().ok()?;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = fields;
    Some(request)
}
