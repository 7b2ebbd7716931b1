//! What becomes of a request's fields: rules in, a list of changes out, which each lane writes in
//! its own way.

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::codec;
use super::fields::FieldId;
use super::trace_context;
use super::view::View;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// All lines of this field become one.
    Set(FieldId, Text),
    /// All lines of this field go.
    Remove(FieldId),
    /// All lines of the field of this name go, in whichever case it was written.
    RemoveNamed(HeaderName),
    /// All fields go whose names hold something else than letters, digits and hyphens.
    DropOddNames,
    /// One line more of the field of this name, beside what the client sent of it.
    Add(HeaderName, HeaderValue),
}

/// What a field becomes. What the lane holds anyway is named and not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The peer's address.
    Peer,
    /// The scheme of the peer's connection.
    Scheme,
    /// The `Host` of the request, as it came.
    Host,
    /// The id that the request is known by.
    RequestId,
    /// This `traceparent`.
    Trace([u8; trace_context::LENGTH]),
    /// This.
    Own(HeaderValue),
}

/// Changes to a request's fields, in order.
#[derive(Clone, Debug, Default)]
pub struct Edits(SmallVec<[Edit; 8]>);

impl Edits {
    /// All lines of this field become this one.
    pub fn set(&mut self, id: FieldId, text: Text) {
        self.0.push(Edit::Set(id, text));
    }

    /// All lines of this field go.
    pub fn remove(&mut self, id: FieldId) {
        self.0.push(Edit::Remove(id));
    }

    /// All lines of the field of this name go.
    pub fn remove_named(&mut self, name: HeaderName) {
        self.0.push(Edit::RemoveNamed(name));
    }

    /// All fields go whose names hold something else than letters, digits and hyphens.
    pub fn drop_odd_names(&mut self) {
        self.0.push(Edit::DropOddNames);
    }

    /// One line more of the field of this name, beside what the client sent of it.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push(Edit::Add(name, value));
    }

    /// As [`Edits::set`], in place of what was to become of the field so far.
    pub fn set_instead(&mut self, id: FieldId, text: Text) {
        self.0.retain(|edit| !matches!(edit, Edit::Set(known, _) if *known == id));
        self.set(id, text);
    }

    /// No line is added that was.
    pub fn forget_added(&mut self) {
        self.0.retain(|edit| !matches!(edit, Edit::Add(..)));
    }

    /// The fields that are sent on, where each must be known before a lane writes it. `held` is what
    /// the lane holds: peer, scheme and host.
    pub fn applied(
        &self,
        view: View<'_>,
        held: impl Fn(&Text) -> Option<HeaderValue>,
    ) -> HeaderMap {
        let mut fields = view.as_map().into_owned();
        for edit in self.list() {
            match edit {
                Edit::Set(id, text) => {
                    if let Some(value) = held(text) {
                        fields.insert(id.name(), value);
                    }
                }
                Edit::Remove(id) => drop(fields.remove(id.name())),
                Edit::RemoveNamed(name) => drop(fields.remove(name)),
                Edit::Add(name, value) => drop(fields.append(name, value.clone())),
                Edit::DropOddNames => {
                    let is_odd = |name: &&HeaderName| !codec::is_plain_name(name.as_ref());
                    let odd: Vec<HeaderName> = fields.keys().filter(is_odd).cloned().collect();
                    odd.into_iter().for_each(|name| drop(fields.remove(name)));
                }
            }
        }
        fields
    }

    /// All of them.
    pub fn list(&self) -> &[Edit] {
        &self.0
    }
}
