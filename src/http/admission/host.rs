//! The host that a request asks for: a `Host` field or an authority in, its name in lower case and without a
//! port out.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::http::failure::BadRequest;

/// The host that the requests of a connection ask for, as one of them did: nearly always all ask for the
/// same, which is then checked once.
#[derive(Clone, Debug, Default)]
pub struct KnownHost(OnceLock<Checked>);

/// A `Host` that was checked, and how much of it is the host's name.
#[derive(Clone, Debug)]
struct Checked {
    field: Box<str>,
    name: usize,
}

impl KnownHost {
    /// The host that this field names.
    pub(super) fn of<'r>(&'r self, field: &'r [u8]) -> Result<Cow<'r, str>, BadRequest> {
        if let Some(Checked { field: known, name }) = self.0.get()
            && known.as_bytes() == field
        {
            return Ok(Cow::Borrowed(&known[..*name]));
        }
        let host = host_of(field)?;
        // What has to be written anew is rare, and checked anew.
        if let Cow::Borrowed(name) = host
            && self.0.get().is_none()
            && field.starts_with(name.as_bytes())
            && let Ok(text) = std::str::from_utf8(field)
        {
            // Somebody else may be faster, as requests in HTTP/2 are served at once.
            let _ = self.0.set(Checked { field: text.into(), name: name.len() });
        }
        Ok(host)
    }
}

/// The host that a `Host` field or an authority names.
pub(super) fn host_of(host: &[u8]) -> Result<Cow<'_, str>, BadRequest> {
    if let Some(name) = plain(host) {
        return Ok(Cow::Borrowed(name));
    }
    let text = std::str::from_utf8(host).map_err(|_| BadRequest::Host)?;
    let (name, port) = split_port(text).ok_or(BadRequest::Host)?;
    let is_port = port.is_none_or(|p| p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()));
    if !is_port || !is_host(name) {
        return Err(BadRequest::Host);
    }
    Ok(lower(name.strip_suffix('.').unwrap_or(name)))
}

/// A host as nearly all of them are written: a name in lower case, perhaps with a port. One walk instead
/// of four.
fn plain(host: &[u8]) -> Option<&str> {
    let mut before = b'.';
    let mut is_name = |byte: u8| {
        let is_label = byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_end = byte == b'.' && before != b'.';
        let goes_on = is_label || is_end;
        if goes_on {
            before = byte;
        }
        goes_on
    };
    let length = host.iter().take_while(|byte| is_name(**byte)).count();
    let (name, port) = host.split_at(length);
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    // An end without a dot is a label that is not empty, which an empty host is not.
    let is_plain = name.len() <= 254 && before != b'.' && is_port;
    if is_plain { std::str::from_utf8(name).ok() } else { None }
}

/// `name:port`, `[address]:port`, or either without a port.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let (name, rest) = text.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Some((name, Some(port))),
            None => rest.is_empty().then_some((name, None)),
        };
    }
    Some(match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    })
}

fn is_host(name: &str) -> bool {
    match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            // One walk: a search for two dots costs more than all the rest. No label is empty.
            let mut before = b'.';
            !name.is_empty()
                && name.len() <= 254
                && name.bytes().all(|byte| {
                    let is_label = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                    let is_end = byte == b'.' && before != b'.';
                    before = byte;
                    is_label || is_end
                })
        }
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    match name.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}
