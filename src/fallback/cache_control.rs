//! `Cache-Control` taken apart (RFC 9111 section 5.2): the lines of a request or a response in,
//! the directives that matter to a stale response out.
//!
//! The grammar is held to strictly. A line that does not keep to it may hide a prohibition, so it
//! makes the whole field count as broken, and what is broken is neither kept nor given out.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use crate::http::list;

/// The largest number of seconds that is told from a larger one (RFC 9111 section 1.2.2).
const LONGEST: u64 = 1 << 31;

/// The directives of one head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CacheControl {
    /// Does not keep to the grammar.
    pub is_broken: bool,
    pub no_store: bool,
    /// With or without a list of fields; the list is not used, as the standard allows.
    pub no_cache: bool,
    /// Likewise.
    pub private: bool,
    pub public: bool,
    /// One of `must-revalidate`, `proxy-revalidate` and `s-maxage`, which implies the second.
    pub must_revalidate: bool,
    pub max_age: Option<Duration>,
    pub stale_if_error: Option<Duration>,
    /// Without a number: as stale as it may be.
    pub max_stale: Option<Duration>,
    pub min_fresh: Option<Duration>,
}

impl CacheControl {
    pub fn of(headers: &HeaderMap) -> CacheControl {
        let mut control = CacheControl::default();
        for line in headers.get_all(CACHE_CONTROL) {
            if control.read(line.as_bytes()).is_none() {
                control.is_broken = true;
            }
        }
        if !headers.contains_key(CACHE_CONTROL) {
            // HTTP/1.0 for `no-cache`; senders of today's field are not held to it.
            let says = |line: &http::HeaderValue| {
                line.as_bytes().to_ascii_lowercase().windows(8).any(|part| part == b"no-cache")
            };
            control.no_cache = headers.get_all(PRAGMA).iter().any(says);
        }
        control
    }

    /// Takes up the directives of one line; none if one of them breaks the grammar.
    fn read(&mut self, line: &[u8]) -> Option<()> {
        for member in list::members(line) {
            let (name, argument) = list::directive(member)?;
            self.take(&name.to_ascii_lowercase(), argument);
        }
        Some(())
    }

    fn take(&mut self, name: &[u8], argument: Option<&[u8]>) {
        // Of two that differ the stricter counts, and a number that is none counts as zero
        // (section 4.2.1).
        let stricter = |known: &mut Option<Duration>| {
            let seconds = argument.and_then(seconds).unwrap_or(Duration::ZERO);
            *known = Some(known.map_or(seconds, |known| known.min(seconds)));
        };
        match name {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"public" => self.public = true,
            b"must-revalidate" | b"proxy-revalidate" | b"s-maxage" => self.must_revalidate = true,
            b"max-age" => stricter(&mut self.max_age),
            b"stale-if-error" => stricter(&mut self.stale_if_error),
            b"min-fresh" => stricter(&mut self.min_fresh),
            b"max-stale" if argument.is_none() => {
                self.max_stale.get_or_insert(Duration::from_secs(LONGEST));
            }
            b"max-stale" => stricter(&mut self.max_stale),
            _ => {}
        }
    }
}

/// A number of seconds; none if it is no number.
pub(super) fn seconds(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // All digits, so it fails only for what is too large.
    let number = std::str::from_utf8(digits).ok()?.parse().unwrap_or(LONGEST);
    Some(Duration::from_secs(number.min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&str]) -> CacheControl {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        CacheControl::of(&headers)
    }

    const NONE: CacheControl = CacheControl {
        is_broken: false,
        no_store: false,
        no_cache: false,
        private: false,
        public: false,
        must_revalidate: false,
        max_age: None,
        stale_if_error: None,
        max_stale: None,
        min_fresh: None,
    };

    fn secs(n: u64) -> Option<Duration> {
        Some(Duration::from_secs(n))
    }

    #[test]
    fn directives_are_read_whatever_their_spelling() {
        let cases = [
            ("", NONE),
            (" , ,", NONE),
            ("no-store", CacheControl { no_store: true, ..NONE }),
            ("No-Store", CacheControl { no_store: true, ..NONE }),
            ("no-storey, x-private=1", NONE),
            ("private=\"set-cookie, x\"", CacheControl { private: true, ..NONE }),
            ("no-cache=\"a\",public", CacheControl { no_cache: true, public: true, ..NONE }),
            ("s-maxage=60", CacheControl { must_revalidate: true, ..NONE }),
            ("proxy-revalidate", CacheControl { must_revalidate: true, ..NONE }),
            ("must-revalidate", CacheControl { must_revalidate: true, ..NONE }),
            ("max-age=60", CacheControl { max_age: secs(60), ..NONE }),
            ("max-age = \"60\" ,", CacheControl { max_age: secs(60), ..NONE }),
            ("MAX-AGE=60, max-age=5", CacheControl { max_age: secs(5), ..NONE }),
            ("max-age=-1", CacheControl { max_age: secs(0), ..NONE }),
            ("max-age", CacheControl { max_age: secs(0), ..NONE }),
            ("max-age=", CacheControl { max_age: secs(0), ..NONE }),
            ("max-age=1.5", CacheControl { max_age: secs(0), ..NONE }),
            ("max-age=99999999999999999999", CacheControl { max_age: secs(LONGEST), ..NONE }),
            ("stale-if-error=30", CacheControl { stale_if_error: secs(30), ..NONE }),
            ("max-stale", CacheControl { max_stale: secs(LONGEST), ..NONE }),
            ("max-stale, max-stale=9", CacheControl { max_stale: secs(9), ..NONE }),
            ("min-fresh=1", CacheControl { min_fresh: secs(1), ..NONE }),
            // What stands in quotes is not a directive.
            ("x=\"no-store, \\\", private\"", NONE),
        ];
        for (line, wanted) in cases {
            assert_eq!(read(&[line]), wanted, "{line}");
        }
        let both = CacheControl { public: true, max_age: secs(3), ..NONE };
        assert_eq!(read(&["public", "max-age=3"]), both);
    }

    #[test]
    fn what_breaks_the_grammar_is_broken() {
        let lines = [
            "x=\"no-store",
            "x=\"a\\\", no-store",
            "a\"b, no-store, c\"",
            "x=\"a\"b",
            "public max-age=5",
            "max-age=5 6",
            "=5",
            "x==5",
            "public; max-age=5",
            "\u{e9}",
        ];
        for line in lines {
            assert!(read(&[line]).is_broken, "{line}");
        }
        assert!(read(&["public", "x=\""]).is_broken);
    }

    #[test]
    fn pragma_counts_only_by_itself() {
        let mut headers = HeaderMap::new();
        headers.insert(PRAGMA, HeaderValue::from_static("x, No-Cache"));
        assert!(CacheControl::of(&headers).no_cache);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
        assert!(!CacheControl::of(&headers).no_cache);
    }

    proptest! {
        #[test]
        fn no_line_hides_a_prohibition_that_follows_it(line in "[ -~\t]{0,24}") {
            let control = read(&[&line, "no-store"]);
            prop_assert!(control.no_store);
            let joined = read(&[&format!("{line}, no-store")]);
            let in_quotes = line.matches('"').count() > 0;
            prop_assert!(joined.no_store || joined.is_broken || in_quotes, "{}", line);
        }
    }
}
