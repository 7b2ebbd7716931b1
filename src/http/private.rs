//! A response that is for one client, though its upstream means it for all: a head in, a head that no
//! shared cache keeps out.
//!
//! `Set-Cookie` alone does not keep a cache from storing a response and giving the cookie to everybody
//! (RFC 9111 section 7.3). The form `no-cache="set-cookie"` would let the rest be kept, but caches may
//! read it as if it named no field, and many ignore it (section 5.2.2.4); so the response as a whole
//! is private. That costs a shared cache the first response of each client and no other.

use http::header::{HeaderName, HeaderValue};

use super::list;

/// What tells some caches more than `Cache-Control` does (RFC 9213, and the W3C note on edges).
/// A private response goes on without these.
pub const TARGETED: [HeaderName; 2] =
    [HeaderName::from_static("cdn-cache-control"), HeaderName::from_static("surrogate-control")];

/// Directives that say the opposite, or the same.
const REPLACED: [&[u8]; 3] = [b"public", b"s-maxage", b"private"];

/// The `Cache-Control` that keeps shared caches from storing a response, of the lines that it had; what
/// its client's own cache may do stays.
pub fn cache_control<'l>(lines: impl Iterator<Item = &'l [u8]>) -> HeaderValue {
    let mut value = b"private".to_vec();
    for line in lines {
        for directive in list::members(line) {
            let name = directive.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii();
            let is_replaced = REPLACED.iter().any(|replaced| name.eq_ignore_ascii_case(replaced));
            if !is_replaced {
                value.extend_from_slice(b", ");
                value.extend_from_slice(directive);
            }
        }
    }
    HeaderValue::from_bytes(&value).unwrap_or(HeaderValue::from_static("private"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(lines: &[&str]) -> String {
        let value = cache_control(lines.iter().map(|line| line.as_bytes()));
        value.to_str().unwrap().to_string()
    }

    #[test]
    fn a_response_becomes_private_and_keeps_what_is_for_its_client() {
        let cases = [
            ("", "private"),
            ("max-age=60", "private, max-age=60"),
            ("public, max-age=60,s-maxage=600", "private, max-age=60"),
            ("Public , S-MaxAge = 600", "private"),
            ("private=\"x\", no-store", "private, no-store"),
            (
                "no-cache=\"a, public\", x=\"\\\", public\"",
                "private, no-cache=\"a, public\", x=\"\\\", public\"",
            ),
            ("x=\"public", "private, x=\"public"),
        ];
        for (before, after) in cases {
            assert_eq!(private(&[before]), after);
        }
        assert_eq!(private(&[]), "private");
        assert_eq!(private(&["public", "max-age=5"]), "private, max-age=5");
    }
}
