//! What a client gets when nothing is there to ask: a service's settings and the responses kept
//! for that hour in, a response that says what it is out.
//!
//! Three steps, each optional, tried in this order by the rim: the last good response
//! ([`StaleStore`]), another pool, a fixed answer. Whatever came of one of them carries
//! [`MARK`]: a fallback never pretends to be the real thing. This room neither decides that a
//! pool is lost nor reads a file; the rim does.

mod stale;
mod storable;
mod cache_control;
mod recording;
mod shelf;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

pub use recording::Recording;
pub use stale::{StaleReading, StaleResponse, StaleStore};
pub use storable::{Asked, Received, Unstorable};

/// The response field that names the step a response came from.
pub const MARK: HeaderName = HeaderName::from_static("x-pointsman-fallback");

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

/// The steps of a fallback, for [`MARK`] and for people.
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
    /// The value of [`MARK`].
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
    /// This answer with its content at hand; `read` is asked only if that is in a file.
    pub fn resolve<E>(
        &self,
        read: impl FnOnce(&Path) -> Result<Bytes, E>,
    ) -> Result<StaticAnswer, E> {
        let text = match &self.body {
            Body::Text(text) => text.clone(),
            Body::File(path) => read(path)?,
        };
        Ok(StaticAnswer { body: Body::Text(text), ..self.clone() })
    }
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
}
