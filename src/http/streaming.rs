//! What the end of a body says: a message's `Content-Type` in, whether its length is a matter of
//! its sender or of what it tells out.

use super::fields::FieldId;
use super::view::View;

/// What kind of body a response has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// One that is over when all of it has been sent.
    Whole,
    /// One that goes on as long as there is something to tell; who waits for it waits for its head.
    Stream,
    /// gRPC's: whether it is a stream its head does not say, and how it went its end says.
    Grpc,
}

/// Types whose bodies are streams: server-sent events, frames of a camera, and lines of JSON.
const STREAMS: [&[u8]; 5] = [
    b"text/event-stream",
    b"multipart/x-mixed-replace",
    b"application/x-ndjson",
    b"application/stream+json",
    b"application/json-seq",
];

/// What the streams of Connect begin with, which both sides may write at once.
const CONNECT: &[u8] = b"application/connect+";

/// Whether a request with these fields says that its body goes on as long as its client has something to
/// tell: it is a call of gRPC or of Connect.
pub fn talks(request: View<'_>) -> bool {
    let is_call = |kind: &[u8]| BodyKind::of(kind) == BodyKind::Grpc || begins(kind, CONNECT);
    request.first_of(FieldId::ContentType).is_some_and(is_call)
}

/// What a response's head says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// Its kind.
    pub kind: BodyKind,
    /// Whether it has said how long it is.
    pub has_length: bool,
}

impl Body {
    /// That of a response with these fields.
    pub fn of(response: View<'_>) -> Body {
        Body {
            kind: response.first_of(FieldId::ContentType).map_or(BodyKind::Whole, BodyKind::of),
            has_length: response.first_of(FieldId::ContentLength).is_some(),
        }
    }
}

impl BodyKind {
    /// That of a body of this type.
    pub(super) fn of(value: &[u8]) -> BodyKind {
        if begins(value, b"application/grpc") {
            return BodyKind::Grpc;
        }
        let kind = value.trim_ascii_start();
        let is_it = |stream: &&[u8]| {
            begins(kind, stream)
                && matches!(kind[stream.len()..].trim_ascii_start(), [] | [b';', ..])
        };
        match STREAMS.iter().any(is_it) || begins(kind, CONNECT) {
            true => BodyKind::Stream,
            false => BodyKind::Whole,
        }
    }
}

/// Whether a value begins so; `application/grpc` stands for `application/grpc+proto` as well.
fn begins(value: &[u8], with: &[u8]) -> bool {
    value.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

    #[test]
    fn a_type_says_what_a_body_is() {
        let of = |kind: &'static str| {
            let map = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
            Body::of(View::Map(&map)).kind
        };
        assert_eq!(of("text/event-stream; charset=utf-8"), BodyKind::Stream);
        assert_eq!(of("Multipart/X-Mixed-Replace;boundary=x"), BodyKind::Stream);
        assert_eq!(of("application/grpc+proto"), BodyKind::Grpc);
        assert_eq!(of("application/connect+json"), BodyKind::Stream);
        assert_eq!(of("application/json"), BodyKind::Whole);
        assert_eq!(of("text/event-streams"), BodyKind::Whole);
        assert_eq!(of("text/event-stream x"), BodyKind::Whole);
        assert_eq!(of("text/event-stream ;x"), BodyKind::Stream);
        let is_talk = |kind: &'static str| {
            let map = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
            talks(View::Map(&map))
        };
        assert!(is_talk("application/grpc") && is_talk("application/connect+proto"));
        assert!(!is_talk("application/x-ndjson") && !is_talk("application/json"));
        let none = Body { kind: BodyKind::Whole, has_length: false };
        assert_eq!(Body::of(View::Map(&HeaderMap::new())), none);
        let map = HeaderMap::from_iter([(CONTENT_LENGTH, "0".parse().unwrap())]);
        assert_eq!(Body::of(View::Map(&map)), Body { has_length: true, ..none });
    }
}
