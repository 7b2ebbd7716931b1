//! Changes to pingora's heads: edits in, the head changed out, at the price of a plain map.
//!
//! pingora 0.9.1 keeps a second map with the letter case of every field name and parses each name
//! anew when it is set, which costs about a thousand instructions a field. Field names have no
//! case, so heads are taken apart into the plain parts of the `http` crate, changed there, and put
//! together without that map.

use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::http::admission;
use crate::http::edits::{Edit, Edits, Text};
use crate::http::forwarded::Peer;
use crate::http::response;

/// What edits name and do not hold.
#[derive(Debug)]
pub struct Held<'r> {
    /// The other end of the client's connection.
    pub peer: &'r Peer,
    /// The request's `Host`, as it came.
    pub host: Option<HeaderValue>,
}

impl Held<'_> {
    fn value(&self, text: &Text) -> Option<HeaderValue> {
        match text {
            Text::Peer => self.peer.field.clone(),
            Text::Scheme => Some(self.peer.scheme.clone()),
            Text::Host => self.host.clone(),
            Text::Own(value) => Some(value.clone()),
        }
    }
}

/// Applies edits to a request's head.
pub fn edit_request(request: &mut RequestHeader, edits: &Edits, held: &Held<'_>) -> Result<()> {
    // A target that is not a plain path is known to pingora's type only; it must not be lost.
    let plain = request.uri.authority().is_none()
        && request
            .uri
            .path_and_query()
            .is_some_and(|p| p.as_str().as_bytes() == request.raw_path());
    if !plain {
        for edit in edits.list() {
            match edit {
                Edit::Set(id, text) => {
                    if let Some(value) = held.value(text) {
                        request.insert_header(id.name(), value)?;
                    }
                }
                Edit::Remove(id) => drop(request.remove_header(id.name())),
                Edit::RemoveNamed(name) => drop(request.remove_header(name)),
                Edit::DropOddNames => {
                    for name in odd_names(&request.headers) {
                        drop(request.remove_header(&name));
                    }
                }
            }
        }
        return Ok(());
    }
    let nothing = RequestHeader::from(Request::new(()).into_parts().0);
    let mut parts: http::request::Parts = std::mem::replace(request, nothing).into();
    apply(&mut parts.headers, edits, held);
    *request = RequestHeader::from(parts);
    Ok(())
}

/// Applies edits to a response's head.
pub fn edit_response(response: &mut ResponseHeader, edits: response::Edits) -> Result<()> {
    let own_reason = response.get_reason_phrase() != response.status.canonical_reason();
    let reason = response.get_reason_phrase().filter(|_| own_reason).map(str::to_string);
    let nothing = ResponseHeader::from(Response::new(()).into_parts().0);
    let mut parts: http::response::Parts = std::mem::replace(response, nothing).into();
    // An HTTP/1.0 upstream's answer goes on as ours, with our framing.
    parts.version = http::Version::HTTP_11;
    if !parts.status.is_informational() {
        // pingora writes one of its own whatever there is. Our id takes the place that this makes, for
        // which the map would grow: 700 instructions.
        parts.headers.remove(CONNECTION);
    }
    for edit in edits.list {
        match edit {
            response::Edit::Remove(name) => drop(parts.headers.remove(name)),
            response::Edit::Set(name, value) => drop(parts.headers.insert(name, value)),
            response::Edit::Add(name, value) => drop(parts.headers.append(name, value)),
        }
    }
    *response = ResponseHeader::from(parts);
    if let Some(reason) = reason {
        response.set_reason_phrase(Some(&reason))?;
    }
    Ok(())
}

fn apply(headers: &mut HeaderMap, edits: &Edits, held: &Held<'_>) {
    headers.reserve(edits.list().len());
    for edit in edits.list() {
        match edit {
            Edit::Set(id, text) => {
                if let Some(value) = held.value(text) {
                    headers.insert(id.name(), value);
                }
            }
            Edit::Remove(id) => drop(headers.remove(id.name())),
            Edit::RemoveNamed(name) => drop(headers.remove(name)),
            Edit::DropOddNames => {
                for name in odd_names(headers) {
                    headers.remove(name);
                }
            }
        }
    }
}

fn odd_names(headers: &HeaderMap) -> Vec<HeaderName> {
    let is_odd = |name: &&HeaderName| !admission::is_plain_name(name.as_ref());
    headers.keys().filter(is_odd).cloned().collect()
}
