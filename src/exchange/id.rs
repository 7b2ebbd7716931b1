//! The id that a request is known by: what its client said or what was drawn in, bytes and a field's value out.

use std::sync::OnceLock;

use http::HeaderValue;

/// The id of one request.
#[derive(Debug)]
pub(super) enum RequestId {
    /// What its client said.
    Given(HeaderValue),
    /// Digits of ours. Most requests need no value of them: heads are written as bytes.
    Own([u8; 32], OnceLock<HeaderValue>),
}

impl RequestId {
    /// Of a request that nobody has looked at.
    pub fn none() -> RequestId {
        RequestId::Given(HeaderValue::from_static("-"))
    }

    /// These digits.
    pub fn own(digits: [u8; 32]) -> RequestId {
        RequestId::Own(digits, OnceLock::new())
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            RequestId::Given(value) => value.as_bytes(),
            RequestId::Own(digits, _) => digits,
        }
    }

    /// The same as a field's value.
    pub fn value(&self) -> &HeaderValue {
        match self {
            RequestId::Given(value) => value,
            RequestId::Own(digits, value) => value.get_or_init(|| {
                HeaderValue::from_bytes(digits).expect("hex digits are a valid field value")
            }),
        }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}
