//! A head's fields, whoever read them: where they lie in, names and values out.
//!
//! An enum and no trait: the exchange goes through neither a type parameter nor a table of
//! functions, and each lane hands over what it has.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::HeaderName;

/// Where a head's fields lie.
#[derive(Clone, Copy, Debug)]
pub enum View<'r> {
    /// In a map.
    Map(&'r HeaderMap),
}

impl<'r> View<'r> {
    /// How many lines there are.
    pub fn len(self) -> usize {
        match self {
            View::Map(map) => map.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// All lines, with names in lower case.
    pub fn lines(self) -> impl Iterator<Item = (&'r str, &'r [u8])> {
        match self {
            View::Map(map) => map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())),
        }
    }

    /// The value of the first line of this name.
    pub fn first(self, name: &HeaderName) -> Option<&'r [u8]> {
        match self {
            View::Map(map) => map.get(name).map(|value| value.as_bytes()),
        }
    }

    /// The values of all lines of this name.
    pub fn all(self, name: &HeaderName) -> impl Iterator<Item = &'r [u8]> {
        match self {
            View::Map(map) => map.get_all(name).into_iter().map(|value| value.as_bytes()),
        }
    }

    /// Whether there is a line of this name.
    pub fn has(self, name: &HeaderName) -> bool {
        match self {
            View::Map(map) => map.contains_key(name),
        }
    }

    /// All of them as a map, for what is rare and wants one.
    pub fn as_map(self) -> Cow<'r, HeaderMap> {
        match self {
            View::Map(map) => Cow::Borrowed(map),
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
