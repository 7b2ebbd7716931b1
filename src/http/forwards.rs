//! How often a request may be passed on (RFC 9110 section 7.6.2): its fields in, whether it ends here or
//! what the next one is told out.

use http::Method;

use super::fields::{FieldId, Fields};

/// What `Max-Forwards` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwards {
    /// Nothing: it is not there, or concerns no such method.
    Any,
    /// It goes no further; who is asked is we.
    None,
    /// It goes on, and then so often.
    Left(u64),
}

impl Forwards {
    /// Of a request. Only `OPTIONS` may ask: `TRACE` is not served, and others have it ignored. What is no
    /// number is ignored, too.
    pub fn asked(method: &Method, fields: &Fields<'_>) -> Forwards {
        if *method != Method::OPTIONS {
            return Forwards::Any;
        }
        let number = |value: &[u8]| {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(value).ok().filter(|_| is_number)?;
            // What is too large for us is large enough.
            Some(text.parse().unwrap_or(u64::MAX))
        };
        match fields.first(FieldId::MaxForwards).and_then(number) {
            None => Forwards::Any,
            Some(0) => Forwards::None,
            Some(more) => Forwards::Left(more - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::header::MAX_FORWARDS;

    #[test]
    fn options_counts_down_and_ends_here_at_zero() {
        let of = |method, value: &'static str| {
            let map = HeaderMap::from_iter([(MAX_FORWARDS, value.parse().unwrap())]);
            Forwards::asked(&method, &Fields::new(&map))
        };
        let options = |value| of(Method::OPTIONS, value);
        assert_eq!((options("0"), options("000")), (Forwards::None, Forwards::None));
        assert_eq!((options("1"), options("10")), (Forwards::Left(0), Forwards::Left(9)));
        assert_eq!(options("99999999999999999999"), Forwards::Left(u64::MAX - 1));
        for ignored in ["", "-1", "+1", "x", "1, 0", "0x0"] {
            assert_eq!(options(ignored), Forwards::Any, "{ignored}");
        }
        assert_eq!(of(Method::GET, "0"), Forwards::Any);
        let none = HeaderMap::new();
        assert_eq!(Forwards::asked(&Method::OPTIONS, &Fields::new(&none)), Forwards::Any);
    }
}
