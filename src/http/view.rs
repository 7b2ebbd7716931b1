//! A head's fields, whoever read them: where they lie in, names and values out.
//!
//! An enum and no trait: the exchange goes through neither a type parameter nor a table of
//! functions, and each lane hands over what it has.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::codec;
use super::codec::lines::Line;
use super::fields::{FieldId, Known};

/// Where a head's fields lie.
#[derive(Clone, Copy, Debug)]
pub enum View<'r> {
    /// In a map.
    Map(&'r HeaderMap),
    /// In the bytes that they came in.
    Flat(Flat<'r>),
}

/// Fields in the bytes that they came in.
#[derive(Clone, Copy, Debug)]
pub struct Flat<'r> {
    /// The head's.
    pub bytes: &'r [u8],
    /// Where they lie.
    pub lines: &'r [Line],
    /// Which of those that rules are about are among them.
    pub known: Known,
}

/// One line of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'r> {
    /// Which field it is, of those that rules are about.
    pub id: Option<FieldId>,
    /// Its name, as whoever read it has it.
    pub name: &'r [u8],
    /// Its value.
    pub value: &'r [u8],
    /// Whether its name is letters, digits and hyphens only.
    pub is_plain: bool,
}

impl<'r> View<'r> {
    /// How many lines there are.
    pub fn len(self) -> usize {
        match self {
            View::Map(map) => map.len(),
            View::Flat(flat) => flat.lines.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// All lines. Those of one name are in the order in which they came; others need not be.
    pub fn lines(self) -> impl Iterator<Item = Field<'r>> {
        match self {
            View::Map(map) => Lines::Map(map.iter()),
            View::Flat(Flat { bytes, lines, .. }) => Lines::Flat(bytes, lines.iter()),
        }
    }

    /// Which of the fields that rules are about are among them.
    pub fn known(self) -> Known {
        match self {
            View::Map(map) => {
                let mut known = Known::NONE;
                let ids = map.keys().filter_map(|name| FieldId::of(name.as_str()));
                ids.for_each(|id| known.note(id));
                known
            }
            View::Flat(flat) => flat.known,
        }
    }

    /// The value of the first line of this name.
    pub fn first(self, name: &HeaderName) -> Option<&'r [u8]> {
        match self {
            View::Map(map) => map.get(name).map(|value| value.as_bytes()),
            View::Flat(flat) => flat.named(name).next(),
        }
    }

    /// The values of all lines of this name.
    pub fn all(self, name: &HeaderName) -> impl Iterator<Item = &'r [u8]> {
        let (map, flat) = match self {
            View::Map(map) => (Some(map.get_all(name)), None),
            View::Flat(flat) => (None, Some(flat.named(name))),
        };
        let map = map.into_iter().flatten().map(|value| value.as_bytes());
        map.chain(flat.into_iter().flatten())
    }

    /// The values of all lines of this field.
    pub fn all_of(self, id: FieldId) -> impl Iterator<Item = &'r [u8]> {
        let (map, flat) = match self {
            View::Map(map) => (Some(map.get_all(id.name())), None),
            View::Flat(flat) => (None, Some(flat.of(id))),
        };
        let map = map.into_iter().flatten().map(|value| value.as_bytes());
        map.chain(flat.into_iter().flatten())
    }

    /// The value of the first line of this field.
    pub fn first_of(self, id: FieldId) -> Option<&'r [u8]> {
        match self {
            View::Map(_) => self.first(id.name()),
            View::Flat(flat) => flat.of(id).next(),
        }
    }

    /// Whether there is a line of this name.
    pub fn has(self, name: &HeaderName) -> bool {
        match self {
            View::Map(map) => map.contains_key(name),
            View::Flat(flat) => flat.named(name).next().is_some(),
        }
    }

    /// All of them as a map, for what is rare and wants one.
    pub fn as_map(self) -> Cow<'r, HeaderMap> {
        match self {
            View::Map(map) => Cow::Borrowed(map),
            View::Flat(flat) => Cow::Owned(flat.to_map()),
        }
    }
}

impl<'r> Flat<'r> {
    /// No fields.
    pub const NONE: Flat<'static> = Flat { bytes: &[], lines: &[], known: Known::NONE };

    /// These lines of a head.
    pub fn of_lines(bytes: &'r [u8], lines: &'r codec::lines::Lines) -> Flat<'r> {
        Flat { bytes, lines: lines.list(), known: lines.known() }
    }

    fn named(self, name: &HeaderName) -> impl Iterator<Item = &'r [u8]> + use<'_, 'r> {
        let Flat { bytes, lines, .. } = self;
        let name = name.as_str().as_bytes();
        let is_it = move |line: &&Line| line.name(bytes).eq_ignore_ascii_case(name);
        lines.iter().filter(is_it).map(move |line| line.value(bytes))
    }

    fn of(self, id: FieldId) -> impl Iterator<Item = &'r [u8]> {
        let Flat { bytes, lines, known } = self;
        let lines = if known.has(id) { lines } else { &[] };
        let is_it = move |line: &&Line| line.id == Some(id);
        lines.iter().filter(is_it).map(move |line| line.value(bytes))
    }

    fn to_map(self) -> HeaderMap {
        let both = self.lines.iter().filter_map(|line| {
            let name = HeaderName::from_bytes(line.name(self.bytes)).ok()?;
            Some((name, HeaderValue::from_bytes(line.value(self.bytes)).ok()?))
        });
        let mut map = HeaderMap::with_capacity(self.lines.len());
        both.for_each(|(name, value)| {
            map.append(name, value);
        });
        map
    }
}

/// All lines of a head.
enum Lines<'r> {
    Map(http::header::Iter<'r, HeaderValue>),
    Flat(&'r [u8], std::slice::Iter<'r, Line>),
}

impl<'r> Iterator for Lines<'r> {
    type Item = Field<'r>;

    fn next(&mut self) -> Option<Field<'r>> {
        match self {
            Lines::Map(fields) => fields.next().map(|(name, value)| {
                let (id, name) = (FieldId::of(name.as_str()), name.as_str().as_bytes());
                let is_plain = codec::is_plain_name(name);
                Field { id, name, value: value.as_bytes(), is_plain }
            }),
            Lines::Flat(bytes, lines) => lines.next().map(|line| Field {
                id: line.id,
                name: line.name(bytes),
                value: line.value(bytes),
                is_plain: line.is_plain,
            }),
        }
    }
}

impl<'r> From<&'r HeaderMap> for View<'r> {
    fn from(map: &'r HeaderMap) -> View<'r> {
        View::Map(map)
    }
}

/// A value as text, if it is ASCII: what else it could mean is up to who wrote it.
pub fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| text.is_ascii())
}

#[cfg(test)]
mod tests;
