//! What becomes of a response's fields on the way to the client: its head in, a list of changes out,
//! which each lane writes in its own way.

use std::borrow::Cow;

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use smallvec::SmallVec;

use super::fields::FieldId;
use super::hop_by_hop;
use super::private;
use super::view::View;

/// The mark of a response that does not come from the pool it should come from, which only we may
/// set.
pub const FALLBACK_MARK: HeaderName = HeaderName::from_static("x-pointsman-fallback");

/// Which pool answered, for who is told.
const POOL: HeaderName = HeaderName::from_static("x-pointsman-pool");

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'e> {
    /// All lines of this field go.
    Remove(HeaderName),
    /// All lines of this field become one.
    Set(HeaderName, Cow<'e, HeaderValue>),
    /// One line more of this field.
    Add(HeaderName, Cow<'e, HeaderValue>),
    /// One line of `X-Request-Id`, where there is none.
    Id(&'e [u8]),
}

impl Edit<'_> {
    /// Makes the change to fields that are ours.
    pub fn apply(self, fields: &mut SmallVec<[(HeaderName, HeaderValue); 4]>) {
        let (name, value) = match self {
            Edit::Remove(name) => (name, None),
            Edit::Set(name, value) => (name, Some(value)),
            Edit::Add(name, value) => return fields.push((name, value.into_owned())),
            Edit::Id(id) => {
                let name = FieldId::RequestId.name().clone();
                return fields.extend(HeaderValue::from_bytes(id).ok().map(|id| (name, id)));
            }
        };
        fields.retain(|(known, _)| *known != name);
        fields.extend(value.map(|value| (name, value.into_owned())));
    }

    fn name(&self) -> &HeaderName {
        match self {
            Edit::Remove(name) | Edit::Set(name, _) | Edit::Add(name, _) => name,
            Edit::Id(_) => FieldId::RequestId.name(),
        }
    }
}

/// A response's fields as they leave: those that came, changed so far.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'l, 'e> {
    /// As they came.
    pub came: View<'l>,
    /// The changes.
    pub edits: &'l [Edit<'e>],
}

impl<'l> Leaving<'l, '_> {
    /// The values of all lines of this name.
    pub fn all(&self, name: &HeaderName) -> impl Iterator<Item = &'l [u8]> {
        let (came, edits) = (self.came, self.edits);
        let came = (!self.is_replaced(name)).then(|| came.all(name)).into_iter().flatten();
        let written = edits.iter().filter(move |edit| edit.name() == name);
        came.chain(written.filter_map(|edit| match edit {
            Edit::Remove(_) => None,
            Edit::Set(_, value) | Edit::Add(_, value) => Some(value.as_bytes()),
            Edit::Id(id) => Some(id),
        }))
    }

    /// The value of the first of them.
    pub fn first(&self, name: &HeaderName) -> Option<&'l [u8]> {
        self.all(name).next()
    }

    /// Whether there is any.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.first(name).is_some()
    }

    /// Whether no line of this name goes on as it came.
    pub fn is_replaced(&self, name: &HeaderName) -> bool {
        self.edits.iter().any(|edit| !matches!(edit, Edit::Add(..)) && edit.name() == name)
    }

    /// Whether any change is about it.
    pub fn is_changed(&self, name: &HeaderName) -> bool {
        self.edits.iter().any(|edit| edit.name() == name)
    }
}

/// What we add to a response.
#[derive(Debug)]
pub struct Additions<'e> {
    /// The request's id, if the response has none.
    pub id: &'e [u8],
    /// The mark of a fallback.
    pub mark: Option<HeaderValue>,
    /// A cookie beside those of the upstream. A response that brings one is private.
    pub cookie: Option<&'e HeaderValue>,
    /// What browsers are told of HTTPS, in place of what the upstream says of it.
    pub hsts: Option<&'e HeaderValue>,
    /// The name of the pool that answers, for who is told.
    pub pool: Option<HeaderValue>,
    /// What its route makes of it.
    pub route: Vec<Edit<'e>>,
    /// What it is told of limits, beside what the upstream says of its own.
    pub limits: &'e [(HeaderName, HeaderValue)],
}

/// What becomes of a response with this status: changes to its fields, in order. How its body is framed is
/// the lane's.
pub fn edits<'e>(view: View<'_>, status: u16, add: Additions<'e>) -> SmallVec<[Edit<'e>; 4]> {
    let mut list = SmallVec::new();
    let known = view.known();
    let gone = hop_by_hop::of_response(view, known, status == 101);
    // A `Connection` that names the id takes it away, and ours comes in its place.
    let has_id = known.has(FieldId::RequestId) && !gone.contains(FieldId::RequestId.name());
    if !gone.is_empty() {
        list.extend(gone.into_iter().map(Edit::Remove));
    }
    if !has_id {
        list.push(Edit::Id(add.id));
    }
    if let Some(cookie) = add.cookie {
        list.push(Edit::Add(SET_COOKIE, Cow::Borrowed(cookie)));
        // What its route would have caches do holds for the client's own.
        let said = Leaving { came: view, edits: &add.route };
        let kept = private::cache_control(said.all(&CACHE_CONTROL));
        list.push(Edit::Set(CACHE_CONTROL, Cow::Owned(kept)));
        list.extend(private::TARGETED.map(Edit::Remove));
    }
    if let Some(hsts) = add.hsts {
        list.push(Edit::Set(STRICT_TRANSPORT_SECURITY, Cow::Borrowed(hsts)));
    }
    list.extend(
        add.limits.iter().map(|(name, value)| Edit::Add(name.clone(), Cow::Borrowed(value))),
    );
    match &add.mark {
        Some(mark) => list.push(Edit::Set(FALLBACK_MARK, Cow::Owned(mark.clone()))),
        None if known.has(FieldId::FallbackMark) => list.push(Edit::Remove(FALLBACK_MARK)),
        None => {}
    }
    if let Some(pool) = &add.pool {
        list.push(Edit::Set(POOL, Cow::Owned(pool.clone())));
    }
    if !add.route.is_empty() {
        by_route(&mut list, add);
    }
    list
}

/// What we say whatever a route says.
const MUST: [HeaderName; 2] = [SET_COOKIE, HeaderName::from_static("x-request-id")];

/// What a route says goes before what we say, but for what we may not leave out: who gets a cookie of ours
/// gets it in an answer that nobody else may be given.
fn by_route<'e>(list: &mut SmallVec<[Edit<'e>; 4]>, add: Additions<'e>) {
    let is_private = |name: &HeaderName| {
        add.cookie.is_some() && (*name == CACHE_CONTROL || private::TARGETED.contains(name))
    };
    for edit in add.route.into_iter().filter(|edit| !is_private(edit.name())) {
        if !matches!(edit, Edit::Add(..) | Edit::Id(_)) && !MUST.contains(edit.name()) {
            list.retain(|known| matches!(known, Edit::Remove(_)) || known.name() != edit.name());
        }
        list.push(edit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    /// What becomes of these fields, in words.
    fn edited(fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, value.parse().unwrap());
        }
        let id = b"ours";
        let route = Vec::new();
        let (mark, pool, limits) = (None, None, &[][..]);
        let add = Additions { id, mark, cookie: None, hsts: None, pool, route, limits };
        let word = |edit: &Edit<'_>| match edit {
            Edit::Remove(name) => format!("-{name}"),
            Edit::Set(name, value) => format!("{name}={}", value.to_str().unwrap()),
            Edit::Add(name, value) => format!("+{name}={}", value.to_str().unwrap()),
            Edit::Id(id) => format!("+x-request-id={}", str::from_utf8(id).unwrap()),
        };
        edits(View::Map(&headers), 200, add).iter().map(word).collect()
    }

    #[test]
    fn a_response_has_an_id_whatever_its_connection_takes_away() {
        assert_eq!(edited(&[]), ["+x-request-id=ours"]);
        assert_eq!(edited(&[("x-request-id", "its")]), Vec::<String>::new());
        let nominated = [("x-request-id", "its"), ("connection", "x-request-id")];
        assert_eq!(edited(&nominated), ["-x-request-id", "+x-request-id=ours"]);
    }

    #[test]
    fn marks_are_ours_and_what_is_said_to_us_goes_no_further() {
        let of = |name| edited(&[("x-request-id", "its"), (name, "stale=1")]);
        assert_eq!(of("x-pointsman-fallback"), ["-x-pointsman-fallback"]);
        assert_eq!(of("x-pointsman-metric"), ["-x-pointsman-metric"]);
    }
}
