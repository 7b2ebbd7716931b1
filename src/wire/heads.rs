//! Changes to pingora's heads: edits in, the head changed out, at the price of a plain map.
//!
//! pingora 0.9.1 keeps a second map with the letter case of every field name and parses each name
//! anew when it is set, which costs about a thousand instructions a field. Field names have no
//! case, so heads are taken apart into the plain parts of the `http` crate, changed there, and put
//! together without that map.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderName, HeaderValue, SET_COOKIE};
use http::{HeaderMap, Request, Response};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::fallback::MARK;
use crate::http::edits::{Edit, Edits, Text};
use crate::http::fields::FieldId;
use crate::http::forwarded::Peer;
use crate::http::list;
use crate::http::private;
use crate::http::view::View;

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
            Text::Peer => Some(self.peer.field.clone()),
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

/// What we add to a response.
#[derive(Debug)]
pub struct Additions<'e> {
    /// The request's id, if the response has none.
    pub id: &'e HeaderValue,
    /// The mark of a fallback, which only we may set.
    pub mark: Option<HeaderValue>,
    /// A cookie beside those of the upstream. A response that brings one is private.
    pub cookie: Option<&'e HeaderValue>,
}

/// Removes fields from a response's head, makes equal lengths one, and adds ours.
pub fn edit_response(
    response: &mut ResponseHeader,
    remove: &[HeaderName],
    add: Additions<'_>,
) -> Result<()> {
    let own_reason = response.get_reason_phrase() != response.status.canonical_reason();
    let reason = response.get_reason_phrase().filter(|_| own_reason).map(str::to_string);
    let nothing = ResponseHeader::from(Response::new(()).into_parts().0);
    let mut parts: http::response::Parts = std::mem::replace(response, nothing).into();
    for name in remove {
        parts.headers.remove(name);
    }
    one_length(&mut parts.headers);
    // An HTTP/1.0 upstream's answer goes on as ours, with our framing.
    parts.version = http::Version::HTTP_11;
    parts.headers.entry(FieldId::RequestId.name()).or_insert_with(|| add.id.clone());
    if let Some(cookie) = add.cookie {
        parts.headers.append(SET_COOKIE, cookie.clone());
        let control = private::cache_control(View::Map(&parts.headers));
        parts.headers.insert(CACHE_CONTROL, control);
        for name in private::TARGETED {
            parts.headers.remove(name);
        }
    }
    match add.mark {
        Some(mark) => drop(parts.headers.insert(MARK, mark)),
        None => drop(parts.headers.remove(MARK)),
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
        }
    }
}

/// Equal lengths, in a list or on several lines, become one; pingora has refused unequal ones.
fn one_length(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else { return };
    if lines.next().is_none() && first.as_bytes().iter().all(u8::is_ascii_digit) {
        return;
    }
    let one = list::tokens(first.as_bytes()).next().unwrap_or_default();
    if let Ok(one) = HeaderValue::from_bytes(one) {
        headers.insert(CONTENT_LENGTH, one);
    }
}
