//! What a request asks for: a head that was read in, the target as we are asked and as an upstream is
//! out.

use std::borrow::Cow;

use http::Method;

use crate::http::codec::request::{Form, RequestHead};
use crate::http::path::without_query;

/// What is asked for.
pub(super) struct Target<'r> {
    /// As sent.
    pub(super) bytes: &'r [u8],
    /// As an upstream is asked.
    pub(super) origin: Cow<'r, [u8]>,
    /// The same as text: bytes that are none are spelled out.
    pub(super) text: Cow<'r, str>,
    /// What it says of where it goes, if it is a whole URI.
    pub(super) authority: Option<&'r str>,
}

impl<'r> Target<'r> {
    pub(super) fn read(head: &RequestHead, method: &Method, bytes: &'r [u8]) -> Target<'r> {
        let whole = head.target.of(bytes);
        let (origin, authority) = match head.form {
            Form::Path | Form::Server => (Cow::Borrowed(whole), None),
            Form::Whole { authority, path } => {
                let path = match path.of(bytes) {
                    path @ [b'/', ..] => Cow::Borrowed(path),
                    // RFC 9112, 3.2.4.
                    [] if *method == Method::OPTIONS => Cow::Borrowed(&b"*"[..]),
                    rest => Cow::Owned([b"/", rest].concat()),
                };
                // Another text is no host, and is refused for that.
                (path, Some(std::str::from_utf8(authority.of(bytes)).unwrap_or("?")))
            }
        };
        let text = match &origin {
            Cow::Borrowed(origin) => match std::str::from_utf8(origin) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => Cow::Owned(spelled_out(origin)),
            },
            Cow::Owned(origin) => Cow::Owned(spelled_out(origin)),
        };
        Target { bytes: whole, origin, text, authority }
    }

    /// Without the query.
    pub(super) fn path(&self) -> &str {
        without_query(&self.text)
    }
}

/// With the bytes that are no ASCII as percent signs and digits.
fn spelled_out(target: &[u8]) -> String {
    let mut text = String::with_capacity(target.len() + 16);
    for &byte in target {
        match byte.is_ascii() {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::codec::Limits;
    use crate::http::codec::request::RequestReader;

    /// The target of a request as an upstream is asked, as text, and what it says of where it goes.
    fn read(line: &str, latin: &[u8]) -> (Vec<u8>, String, Option<String>) {
        let (method, rest) = line.split_once(' ').unwrap();
        let bytes = [line.as_bytes(), latin, b" HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
        let limits = Limits { bytes: 1024, fields: 9 };
        let head = RequestReader::default().read(&bytes, limits).unwrap().unwrap();
        let target = Target::read(&head, &method.parse().unwrap(), &bytes);
        assert!(target.bytes.starts_with(rest.as_bytes()));
        let authority = target.authority.map(str::to_string);
        (target.origin.to_vec(), target.text.to_string(), authority)
    }

    #[test]
    fn an_upstream_is_asked_for_a_path_and_bytes_that_are_no_text_are_spelled_out() {
        let asked = |line| read(line, b"");
        let path = |text: &str, authority: Option<&str>| {
            (text.as_bytes().to_vec(), text.to_string(), authority.map(str::to_string))
        };
        assert_eq!(asked("GET /a?b=\"<>"), path("/a?b=\"<>", None));
        assert_eq!(asked("GET http://a:80/x?y"), path("/x?y", Some("a:80")));
        assert_eq!(asked("GET http://a?y"), path("/?y", Some("a")));
        assert_eq!(asked("GET http://a"), path("/", Some("a")));
        assert_eq!(asked("OPTIONS http://a"), path("*", Some("a")));
        let (origin, text, _) = read("GET /caf", b"\xe9?\xff");
        assert_eq!((&origin[..], &*text), (&b"/caf\xe9?\xff"[..], "/caf%E9?%FF"));
    }
}
