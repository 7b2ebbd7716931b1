//! What becomes of a response's fields on the way to the client: its head in, a list of changes out,
//! which each lane writes in its own way.

use http::Version;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, HeaderName, HeaderValue, SET_COOKIE, TRANSFER_ENCODING,
};
use smallvec::SmallVec;

use super::fields::FieldId;
use super::hop_by_hop::OneHop;
use super::list;
use super::old_client;
use super::private;
use super::view::View;

/// The mark of a response that does not come from the pool it should come from, which only we may
/// set.
pub const FALLBACK_MARK: HeaderName = HeaderName::from_static("x-pointsman-fallback");

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// All lines of this field go.
    Remove(HeaderName),
    /// All lines of this field become one.
    Set(HeaderName, HeaderValue),
    /// One line more of this field.
    Add(HeaderName, HeaderValue),
}

/// What we add to a response.
#[derive(Debug)]
pub struct Additions<'e> {
    /// The request's id, if the response has none.
    pub id: &'e HeaderValue,
    /// The mark of a fallback.
    pub mark: Option<HeaderValue>,
    /// A cookie beside those of the upstream. A response that brings one is private.
    pub cookie: Option<&'e HeaderValue>,
}

/// What becomes of a response.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Changes to its fields, in order.
    pub list: SmallVec<[Edit; 4]>,
    /// Whether the client learns of its end by the end of the connection only.
    pub ends_connection: bool,
}

/// What becomes of a response with this status for a client of this version.
///
/// One walk over the fields tells all that most responses need to have asked.
pub fn edits(view: View<'_>, status: u16, client: Version, add: &Additions<'_>) -> Edits {
    let mut edits = Edits::default();
    let mut one_hop = OneHop::new(status == 101);
    let (mut has_id, mut has_mark, mut has_coding) = (false, false, false);
    let mut has_metric = false;
    let (mut lengths, mut is_odd) = (0, false);
    for field in view.lines() {
        match field.id {
            Some(FieldId::RequestId) => has_id = true,
            Some(FieldId::FallbackMark) => has_mark = true,
            Some(FieldId::TransferEncoding) => has_coding = true,
            Some(FieldId::Metric) => has_metric = true,
            Some(FieldId::ContentLength) => {
                lengths += 1;
                is_odd |= !field.value.iter().all(u8::is_ascii_digit);
            }
            _ => one_hop.see(field),
        }
    }
    let list = &mut edits.list;
    let gone = one_hop.names(view);
    // A `Connection` that names the id takes it away, and ours comes in its place.
    has_id &= !gone.contains(FieldId::RequestId.name());
    list.extend(gone.into_iter().map(Edit::Remove));
    if (lengths > 1 || is_odd)
        && let Some(length) = one_length(view)
    {
        list.push(Edit::Set(CONTENT_LENGTH, length));
    }
    if !has_id {
        list.push(Edit::Add(FieldId::RequestId.name().clone(), add.id.clone()));
    }
    if let Some(cookie) = add.cookie {
        list.push(Edit::Add(SET_COOKIE, cookie.clone()));
        list.push(Edit::Set(CACHE_CONTROL, private::cache_control(view)));
        list.extend(private::TARGETED.map(Edit::Remove));
    }
    match &add.mark {
        Some(mark) => list.push(Edit::Set(FALLBACK_MARK, mark.clone())),
        None if has_mark => list.push(Edit::Remove(FALLBACK_MARK)),
        None => {}
    }
    if has_metric {
        // It is said to us: how a shop's checkouts fail is no client's business.
        list.push(Edit::Remove(FieldId::Metric.name().clone()));
    }
    if has_coding && !old_client::knows_chunks(client) {
        list.push(Edit::Remove(TRANSFER_ENCODING));
        edits.ends_connection = true;
    }
    edits
}

/// Equal lengths, in a list or on several lines, become one; a lane has refused unequal ones.
fn one_length(view: View<'_>) -> Option<HeaderValue> {
    let first = view.first(&CONTENT_LENGTH)?;
    HeaderValue::from_bytes(list::tokens(first).next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    /// What becomes of these fields, in words.
    fn edited(fields: &[(&'static str, &'static str)], client: Version) -> (Vec<String>, bool) {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, value.parse().unwrap());
        }
        let id = HeaderValue::from_static("ours");
        let add = Additions { id: &id, mark: None, cookie: None };
        let edits = edits(View::Map(&headers), 200, client, &add);
        let word = |edit: &Edit| match edit {
            Edit::Remove(name) => format!("-{name}"),
            Edit::Set(name, value) => format!("{name}={}", value.to_str().unwrap()),
            Edit::Add(name, value) => format!("+{name}={}", value.to_str().unwrap()),
        };
        (edits.list.iter().map(word).collect(), edits.ends_connection)
    }

    #[test]
    fn a_response_has_an_id_whatever_its_connection_takes_away() {
        let of = |fields: &[(&'static str, &'static str)]| edited(fields, Version::HTTP_11).0;
        assert_eq!(of(&[]), ["+x-request-id=ours"]);
        assert_eq!(of(&[("x-request-id", "its")]), Vec::<String>::new());
        let nominated = [("x-request-id", "its"), ("connection", "x-request-id")];
        assert_eq!(of(&nominated), ["-x-request-id", "+x-request-id=ours"]);
    }

    #[test]
    fn lengths_become_one_marks_are_ours_and_old_clients_get_no_chunks() {
        let id = ("x-request-id", "its");
        let of = |field, client| edited(&[id, field], client);
        let mark = ("x-pointsman-fallback", "stale");
        assert_eq!(of(mark, Version::HTTP_11), (vec!["-x-pointsman-fallback".into()], false));
        let length = ("content-length", "5, 5");
        assert_eq!(of(length, Version::HTTP_11), (vec!["content-length=5".into()], false));
        let chunks = ("transfer-encoding", "chunked");
        assert_eq!(of(chunks, Version::HTTP_11), (Vec::new(), false));
        assert_eq!(of(chunks, Version::HTTP_10), (vec!["-transfer-encoding".into()], true));
    }
}
