//! What a request line asks for: its bytes in, path and authority out, or what an upstream is asked for.

use std::borrow::Cow;

use http::{Method, Uri};

/// What a request line asks for.
#[derive(Clone, Copy, Debug)]
pub struct RequestTarget<'r> {
    /// As sent, byte for byte.
    pub bytes: &'r [u8],
    /// The path as read; begins with `/`, or is `*`.
    pub path: &'r str,
    /// The same with its query.
    pub path_and_query: &'r str,
    /// What it says of where it goes, if it is a whole URI of HTTP: a host and perhaps a port.
    pub authority: Option<&'r str>,
}

impl<'r> RequestTarget<'r> {
    /// The target that was sent as these bytes and read as this URI.
    pub fn read(bytes: &'r [u8], uri: &'r Uri) -> RequestTarget<'r> {
        RequestTarget {
            bytes,
            path: uri.path(),
            path_and_query: uri.path_and_query().map_or("/", |both| both.as_str()),
            authority: whole(bytes).map(|(authority, _)| authority),
        }
    }
}

/// Takes a whole URI of HTTP apart: its authority, and what follows.
pub(super) fn whole(target: &[u8]) -> Option<(&str, &[u8])> {
    // Nearly all are paths.
    if target.first() == Some(&b'/') {
        return None;
    }
    let colon = target.iter().position(|&byte| byte == b':')?;
    let (scheme, rest) = target.split_at(colon);
    let is_http = [&b"http"[..], b"https"].iter().any(|http| scheme.eq_ignore_ascii_case(http));
    let rest = rest.strip_prefix(b"://").filter(|_| is_http)?;
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    Some((std::str::from_utf8(authority).ok()?, rest))
}

/// What an upstream is asked for instead of a whole URI: its path and query, as a server is asked (RFC
/// 9112 section 3.2.1). None for what is no whole URI.
pub fn origin_form<'r>(target: &'r [u8], method: &Method) -> Option<Cow<'r, [u8]>> {
    let (_, rest) = whole(target)?;
    Some(match rest.first() {
        Some(b'/') => rest.into(),
        None if *method == Method::OPTIONS => b"*"[..].into(),
        _ => [b"/", rest].concat().into(),
    })
}
