//! The path of a request in the one form that routes are matched on: as it was sent in, with nothing
//! spelled in two ways out.
//!
//! An upstream decodes a path and may fold its slashes before it looks at it. If we matched what was
//! sent, `/%61dmin` and `//admin` would get past a route for `/admin`. So what needs no escape has none,
//! what needs one has it with large digits, and slashes do not stand in a row. Escapes that say
//! something else than the character alone stay (`%2F`, `%3B`, `%25`). Dot segments are refused before
//! (`admission.rs`).
//!
//! That form is for looking at. Where what goes on is to have one spelling, escapes of reserved characters
//! stay, too: to whom it goes they may mean something else without (`%2B`, which some read as a space then).

use std::borrow::Cow;

/// What a byte is to a path, a bit each.
pub(super) const DOT: u8 = 1;
pub(super) const PERCENT: u8 = 2;
/// It is not itself in the normal form.
pub(super) const ESCAPED: u8 = 4;

/// For each byte what it is.
pub(super) const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'.' => DOT,
            b'%' => PERCENT,
            b'/' | b';' => 0,
            plain if is_plain(plain) => 0,
            _ => ESCAPED,
        };
        byte += 1;
    }
    kinds
};

/// Whether a byte means the same with an escape and without one, to everybody (RFC 3986, 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a byte means the same in a path with an escape and without one, to most. A semicolon begins
/// parameters for some.
const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=')
        || matches!(byte, b':' | b'@')
}

/// One character of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// It stands for itself.
    Plain(u8),
    /// It has an escape.
    Escaped(u8),
}

impl Unit {
    /// The one that these bytes begin with, and how many of them it is.
    fn first(bytes: &[u8]) -> Option<(Unit, usize)> {
        let digit = |digit: &u8| char::from(*digit).to_digit(16).map(|value| value as u8);
        if let [b'%', high, low, ..] = bytes
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            let byte = high << 4 | low;
            return Some((if is_plain(byte) { Unit::Plain(byte) } else { Unit::Escaped(byte) }, 3));
        }
        let byte = *bytes.first()?;
        let stands = is_plain(byte) || matches!(byte, b'/' | b';');
        Some((if stands { Unit::Plain(byte) } else { Unit::Escaped(byte) }, 1))
    }

    fn is_slash(self) -> bool {
        self == Unit::Plain(b'/')
    }

    fn write(self, into: &mut String) {
        match self {
            Unit::Plain(byte) => into.push(char::from(byte)),
            Unit::Escaped(byte) => escape(byte, into),
        }
    }
}

/// The normal form of a path.
pub fn normal(path: &str) -> Cow<'_, str> {
    spelled(path, is_plain)
}

/// The path in the one spelling in which it goes on.
pub fn in_one_spelling(path: &str) -> Cow<'_, str> {
    spelled(path, is_unreserved)
}

/// A path with one slash for several and one spelling for each character: these lose their escapes.
fn spelled(path: &str, unescaped: fn(u8) -> bool) -> Cow<'_, str> {
    let is_odd = |byte: u8| KINDS[usize::from(byte)] & (PERCENT | ESCAPED) != 0;
    if !path.bytes().any(is_odd) && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let (mut rest, mut spelled) = (path.as_bytes(), String::with_capacity(path.len() + 16));
    while let Some((unit, length)) = Unit::first(rest) {
        rest = &rest[length..];
        match unit {
            Unit::Plain(b'/') if spelled.ends_with('/') => {}
            Unit::Plain(byte) if length > 1 && !unescaped(byte) => escape(byte, &mut spelled),
            unit => unit.write(&mut spelled),
        }
    }
    Cow::Owned(spelled)
}

/// A target without its query.
pub fn without_query(target: &str) -> &str {
    // A search costs more than a look at each byte of a short one.
    let end = match target.len() {
        0..32 => target.bytes().position(|byte| byte == b'?'),
        _ => target.find('?'),
    };
    end.map_or(target, |end| &target[..end])
}

/// What follows a prefix of whole segments, as it was spelled: nothing, or one `/` or several and more.
/// The prefix is in the normal form, without a slash at its end; none if the path does not begin with it.
pub fn behind<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let (mut at, mut matched, mut was_slash) = (0, String::new(), false);
    while matched.len() < prefix.len() {
        let (unit, length) = Unit::first(path.as_bytes().get(at..)?)?;
        at += length;
        if !(unit.is_slash() && was_slash) {
            unit.write(&mut matched);
        }
        was_slash = unit.is_slash();
    }
    let rest = path.get(at..)?;
    let is_whole = rest.is_empty() || rest.starts_with('/');
    (matched == prefix && is_whole).then_some(rest)
}

/// The same path with exactly one `/` before it.
pub fn one_slash(path: &str) -> Cow<'_, str> {
    let bare = path.trim_start_matches('/');
    match path.len() - bare.len() {
        0 => Cow::Owned(format!("/{bare}")),
        slashes => Cow::Borrowed(&path[slashes - 1..]),
    }
}

/// A path as it may stand in a URI: what may not has an escape, and what had one keeps it.
pub fn write_encoded(path: &str, into: &mut String) {
    let mut rest = path.as_bytes();
    while let Some((unit, length)) = Unit::first(rest) {
        match (unit, length) {
            (Unit::Plain(byte), 1) => into.push(char::from(byte)),
            (Unit::Escaped(byte), 1) => escape(byte, into),
            // As it was spelled: hex digits and a percent sign.
            _ => into.extend(rest[..length].iter().copied().map(char::from)),
        }
        rest = &rest[length..];
    }
}

/// A query as it may stand in a URI, likewise.
pub fn write_query(query: &str, into: &mut String) {
    for byte in query.bytes() {
        match is_plain(byte) || matches!(byte, b'/' | b';' | b'?' | b'%') {
            true => into.push(char::from(byte)),
            false => escape(byte, into),
        }
    }
}

/// A text as a value within a query: nothing of it ends the value.
pub fn write_value(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            true => into.push(char::from(byte)),
            false => escape(byte, into),
        }
    }
}

fn escape(byte: u8, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    into.push('%');
    into.push(char::from(DIGITS[usize::from(byte >> 4)]));
    into.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Whether a path holds what some take for a slash and others do not.
pub fn hides_slashes(path: &str) -> bool {
    let is_hidden =
        |three: &[u8]| matches!(three, [b'%', b'2', b'f' | b'F'] | [b'%', b'5', b'c' | b'C']);
    path.contains('\\') || path.as_bytes().windows(3).any(is_hidden)
}

/// A path in the normal form without the parameters of its segments, which some do not look at.
pub fn without_parameters(path: &str) -> Cow<'_, str> {
    if !path.contains(';') && !path.contains("%3B") {
        return Cow::Borrowed(path);
    }
    let bare = |segment: &str| {
        let end = [segment.find(';'), segment.find("%3B")].into_iter().flatten().min();
        segment[..end.unwrap_or(segment.len())].to_string()
    };
    Cow::Owned(path.split('/').map(bare).collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_spelled_in_two_ways_has_one_form() {
        for (path, form) in [
            ("/", "/"),
            ("*", "*"),
            ("/a.b/c~d", "/a.b/c~d"),
            ("/%61dmin", "/admin"),
            ("//admin///x/", "/admin/x/"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%5cb\\c", "/a%5Cb%5Cc"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%40x/%21", "/@x/!"),
            ("/a;b%3bc", "/a;b%3Bc"),
            ("/%2561", "/%2561"),
            ("/%zz%4", "/%25zz%254"),
            ("/a|b\"", "/a%7Cb%22"),
        ] {
            assert_eq!(normal(path), form, "{path}");
        }
    }

    #[test]
    fn what_goes_on_keeps_the_escapes_of_reserved_characters() {
        for (path, form) in [
            ("/a+b", "/a+b"),
            ("/a%2bb%2Dc", "/a%2Bb-c"),
            ("//%61//%7e", "/a/~"),
            ("/%21%24%26%27%28%29%2a%2c%3d%3a%40", "/%21%24%26%27%28%29%2A%2C%3D%3A%40"),
            ("/!$&'()*+,;=:@", "/!$&'()*+,;=:@"),
            ("/a%2fb%3bc|\u{e9}", "/a%2Fb%3Bc%7C%C3%A9"),
            ("/%2561/%zz", "/%2561/%25zz"),
        ] {
            assert_eq!(in_one_spelling(path), form, "{path}");
            // Whatever is matched on is the same.
            assert_eq!(normal(&in_one_spelling(path)), normal(path), "{path}");
        }
    }

    #[test]
    fn what_is_left_behind_a_prefix_is_spelled_as_it_was() {
        let left = |path, prefix| behind(path, prefix);
        for (path, prefix, rest) in [
            ("/api/v1", "/api", Some("/v1")),
            ("/api", "/api", Some("")),
            ("/api/", "/api", Some("/")),
            ("/apis", "/api", None),
            ("/ap", "/api", None),
            ("/%61pi/%7e%2F", "/api", Some("/%7e%2F")),
            ("//api//evil.test", "/api", Some("//evil.test")),
            ("/caf\u{e9}/\u{e9}", "/caf%C3%A9", Some("/\u{e9}")),
            ("/api%2fv1", "/api", None),
            ("/x//y", "", Some("/x//y")),
            ("*", "", None),
        ] {
            assert_eq!(left(path, prefix), rest, "{path}");
        }
    }

    #[test]
    fn what_goes_into_a_uri_is_encoded_and_never_twice() {
        let path = |text| {
            let mut encoded = String::new();
            write_encoded(text, &mut encoded);
            encoded
        };
        assert_eq!(path("/a%2fb c\\\u{e9}\"<>%"), "/a%2fb%20c%5C%C3%A9%22%3C%3E%25");
        let mut query = String::new();
        write_query("a=b&c=%2F/?\"\r\n#\u{e9}", &mut query);
        assert_eq!(query, "a=b&c=%2F/?%22%0D%0A%23%C3%A9");
        let mut value = String::new();
        write_value("/a?b=c&d#%", &mut value);
        assert_eq!(value, "/a%3Fb%3Dc%26d%23%25");
    }

    #[test]
    fn hidden_slashes_and_parameters_are_seen() {
        assert!(hides_slashes("/a%2Fb") && hides_slashes("/a%5cb") && hides_slashes("/a\\b"));
        assert!(!hides_slashes("/a%252fb/c"));
        assert_eq!(without_parameters("/admin;x=1/y%3Bz/w"), "/admin/y/w");
    }

    proptest! {
        /// The form of a form is itself, and a path with anything escaped has the same.
        #[test]
        fn there_is_one_form(path in "/[a-z/.;%\\\\é2fF|@]{0,12}", escaped in any::<u16>()) {
            let form = normal(&path).into_owned();
            prop_assert_eq!(normal(&form), form.as_str());
            let is_escaped = |at: usize| escaped >> (at % 16) & 1 == 1;
            let other: String = path.chars().enumerate().map(|(at, one)| {
                match one.is_ascii_alphabetic() && is_escaped(at) && !path.contains('%') {
                    true => format!("%{:02x}", one as u32),
                    false => one.to_string(),
                }
            }).collect();
            prop_assert_eq!(normal(&other), form);
        }
    }
}
