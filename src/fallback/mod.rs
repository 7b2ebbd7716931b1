//! What a client gets when nothing is there to ask: a service's settings and the responses kept
//! for that hour in, a response that says what it is out.
//!
//! Three steps, each optional, tried in this order by the rim: the last good response
//! ([`StaleStore`]), another pool, a fixed answer. Whatever came of one of them carries
//! [the mark](crate::http::response::FALLBACK_MARK): a fallback never pretends to be the real thing.
//! This room neither decides that a pool is lost nor reads a file; the rim does.

mod stale;
mod storable;
mod harmless;
mod cache_control;
mod recording;
mod shelf;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

pub use recording::Recording;
pub use stale::{StaleResponse, StaleStore};
pub use storable::{Asked, Received};

/// What a service does when it has no upstream to ask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fallback {
    /// Keep good responses, and give them out again.
    pub stale: Option<StaleLimits>,
    /// The pool to ask instead, by name.
    pub pool: Option<Arc<str>>,
    /// The answer to give at last.
    pub answer: Option<StaticAnswer>,
}

/// The steps of a fallback, for [the mark](crate::http::response::FALLBACK_MARK) and for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A response kept from before.
    Stale,
    /// Another pool's response.
    Pool,
    /// The fixed answer.
    Answer,
}

/// Bounds on the responses that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleLimits {
    /// All memory for them, those being recorded included; one response may take an eighth.
    pub bytes: usize,
    /// How old a response may be when it is given out.
    pub age: Duration,
}

/// A response that is the same for everyone.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticAnswer {
    /// The status code, 200 to 599.
    pub status: u16,
    /// Fields without those of framing, in name order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its content.
    pub body: Body,
}

/// Where a fixed answer's content is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Here.
    Text(Bytes),
    /// In a file, as the config names it: the rim has yet to read it.
    File(PathBuf),
}

impl Fallback {
    /// Whether there is anything.
    pub fn is_any(&self) -> bool {
        self.stale.is_some() || self.pool.is_some() || self.answer.is_some()
    }
}

impl Step {
    /// The value of [the mark](crate::http::response::FALLBACK_MARK).
    pub fn mark(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Step::Stale => "stale",
            Step::Pool => "pool",
            Step::Answer => "answer",
        })
    }
}

impl Default for StaleLimits {
    fn default() -> Self {
        StaleLimits { bytes: 16 * 1024 * 1024, age: Duration::from_secs(600) }
    }
}

impl StaticAnswer {
    /// This answer with its content at hand; `read` is asked only if that is in a file, whose
    /// name then tells the content's type, if nothing else does.
    pub fn resolve<E>(
        &self,
        read: impl FnOnce(&Path) -> Result<Bytes, E>,
    ) -> Result<StaticAnswer, E> {
        let Body::File(path) = &self.body else { return Ok(self.clone()) };
        let mut headers = self.headers.clone();
        if !headers.iter().any(|(name, _)| name == CONTENT_TYPE) {
            let after = |(name, _): &(HeaderName, _)| name.as_str() < CONTENT_TYPE.as_str();
            let place = headers.partition_point(after);
            headers.insert(place, (CONTENT_TYPE, HeaderValue::from_static(kind_of(path))));
        }
        Ok(StaticAnswer { status: self.status, headers, body: Body::Text(read(path)?) })
    }
}

/// The content type that a file's extension stands for.
fn kind_of(path: &Path) -> &'static str {
    const KNOWN: [(&str, &str); 10] = [
        ("html", "text/html; charset=utf-8"),
        ("htm", "text/html; charset=utf-8"),
        ("json", "application/json"),
        ("txt", "text/plain; charset=utf-8"),
        ("css", "text/css; charset=utf-8"),
        ("js", "text/javascript; charset=utf-8"),
        ("svg", "image/svg+xml"),
        ("png", "image/png"),
        ("ico", "image/x-icon"),
        ("xml", "application/xml"),
    ];
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let known = KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

impl Body {
    /// The content; none while it is still in its file.
    pub fn text(&self) -> Option<&Bytes> {
        match self {
            Body::Text(text) => Some(text),
            Body::File(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_in_a_file_is_read() {
        let inline = StaticAnswer { status: 503, headers: vec![], body: Body::Text("a".into()) };
        let read = |path: &Path| match path.to_str() {
            Some("sorry.html") => Ok(Bytes::from_static(b"b")),
            _ => Err("no such file"),
        };
        assert_eq!(inline.resolve(read), Ok(inline.clone()));
        let filed = |name: &str| StaticAnswer { body: Body::File(name.into()), ..inline.clone() };
        let resolved = filed("sorry.html").resolve(read).unwrap();
        assert_eq!(resolved.body.text(), Some(&Bytes::from_static(b"b")));
        assert_eq!(filed("sorry.htm").resolve(read), Err("no such file"));
    }

    #[test]
    fn a_file_without_a_content_type_gets_that_of_its_extension() {
        let kinds = |name: &str, fields: &[(HeaderName, &'static str)]| {
            let field = |(name, value): &(HeaderName, &'static str)| {
                (name.clone(), HeaderValue::from_static(value))
            };
            let headers = fields.iter().map(field).collect();
            let answer = StaticAnswer { status: 503, headers, body: Body::File(name.into()) };
            let resolved = answer.resolve(|_| Ok::<_, ()>(Bytes::new())).unwrap().headers;
            let text = |(name, value): &(HeaderName, HeaderValue)| {
                format!("{name}: {}", value.to_str().unwrap())
            };
            resolved.iter().map(text).collect::<Vec<_>>()
        };
        let html = "content-type: text/html; charset=utf-8";
        assert_eq!(kinds("a/sorry.HTML", &[]), [html]);
        assert_eq!(kinds("sorry.json", &[]), ["content-type: application/json"]);
        assert_eq!(kinds("sorry", &[]), ["content-type: application/octet-stream"]);
        let own = [(CONTENT_TYPE, "text/x-sorry")];
        assert_eq!(kinds("sorry.html", &own), ["content-type: text/x-sorry"]);
        let age = HeaderName::from_static("age");
        let vary = HeaderName::from_static("vary");
        assert_eq!(kinds("s.html", &[(age, "1"), (vary, "a")]), ["age: 1", html, "vary: a"]);
    }
}
