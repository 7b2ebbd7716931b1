//! Header fields that we set or remove.

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

/// `x-request-id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Changes to a request's fields, in order; a name without a value is removed.
#[derive(Clone, Debug, Default)]
pub struct Edits(SmallVec<[(HeaderName, Option<HeaderValue>); 8]>);

impl Edits {
    /// Replaces all lines of this field by one.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, Some(value)));
    }

    /// Removes all lines of this field.
    pub fn remove(&mut self, name: HeaderName) {
        self.0.push((name, None));
    }

    /// All of them.
    pub fn list(&self) -> &[(HeaderName, Option<HeaderValue>)] {
        &self.0
    }
}
