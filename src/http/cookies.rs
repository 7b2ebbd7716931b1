//! Cookies that a request carries: its fields and a name in, values out.

use super::fields::{FieldId, Fields};

/// The values of the cookies of this name that are not empty (RFC 6265 section 4.2.1).
pub fn named<'r>(fields: &Fields<'r>, name: &str) -> impl Iterator<Item = &'r [u8]> {
    let lines = fields.all(FieldId::Cookie);
    let pairs = lines.flat_map(|line| line.split(|&b| b == b';'));
    pairs.filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        (!value.is_empty()).then_some(value)
    })
}
