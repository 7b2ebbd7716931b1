//! What is remembered of an answer to compare it by: its head and the pieces of its body in, what
//! it differs in from another one out.
//!
//! Bodies are hashed as they pass and kept nowhere. SipHash sees one sequence of bytes however it
//! was cut, so two servers may frame the same body as they like.

use std::fmt;
use std::hash::Hasher;

use http::header::HeaderName;
use siphasher::sip::SipHasher13;

use super::{CompareSettings, Kind};
use crate::http::view::View;

/// The longest value of a field that a report shows, in characters.
const LONGEST_SHOWN: usize = 200;

/// An answer, as far as it is compared.
#[derive(Clone, Debug)]
pub struct Answered {
    status: u16,
    /// In the order of [`CompareSettings::headers`]; none for a field that is not there.
    headers: Vec<Option<String>>,
    body: Option<Body>,
}

/// The beginning of a body.
#[derive(Clone, Debug)]
struct Body {
    hasher: SipHasher13,
    seen: usize,
    limit: usize,
    has_more: bool,
}

/// One thing that two answers differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// What.
    pub part: Part,
    /// What the client got.
    pub live: String,
    /// What the copy was answered with.
    pub mirror: String,
}

/// What answers are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The status code.
    Status,
    /// The values of this field.
    Header(HeaderName),
    /// The body, as far as it is looked at.
    Body,
}

impl Part {
    /// What a comparison counts as that found this first.
    pub fn kind(&self) -> Kind {
        match self {
            Part::Status => Kind::Status,
            Part::Header(_) => Kind::Headers,
            Part::Body => Kind::Body,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Status => f.write_str("status"),
            Part::Header(name) => write!(f, "header {name}"),
            Part::Body => f.write_str("body"),
        }
    }
}

impl Answered {
    /// Begins with the head of an answer.
    pub fn begin(status: u16, view: View<'_>, by: &CompareSettings) -> Answered {
        let body =
            Body { hasher: SipHasher13::new(), seen: 0, limit: by.body_limit, has_more: false };
        Answered {
            status,
            headers: by.headers.iter().map(|name| values(view, name)).collect(),
            body: by.body.then_some(body),
        }
    }

    /// Takes the next piece of its body.
    pub fn push(&mut self, piece: &[u8]) {
        let Some(body) = &mut self.body else { return };
        let taken = piece.len().min(body.limit - body.seen);
        body.hasher.write(&piece[..taken]);
        body.seen += taken;
        body.has_more |= taken < piece.len();
    }

    /// What it differs in from the answer to its copy: status, fields, body, in this order.
    pub fn differs(&self, mirror: &Answered, by: &CompareSettings) -> Vec<Differing> {
        let mut found = Vec::new();
        let mut note = |part, live, mirror| found.push(Differing { part, live, mirror });
        if by.status && self.status != mirror.status {
            note(Part::Status, self.status.to_string(), mirror.status.to_string());
        }
        for ((name, live), mirror) in by.headers.iter().zip(&self.headers).zip(&mirror.headers) {
            if live != mirror {
                note(Part::Header(name.clone()), shown(live.as_deref()), shown(mirror.as_deref()));
            }
        }
        if let (Some(live), Some(mirror)) = (&self.body, &mirror.body)
            && live.print() != mirror.print()
        {
            note(Part::Body, live.to_string(), mirror.to_string());
        }
        found
    }
}

impl Body {
    fn print(&self) -> (u64, usize, bool) {
        (self.hasher.finish(), self.seen, self.has_more)
    }
}

/// As `12 bytes, hash 0123456789abcdef`: the body itself is nobody's business.
impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.has_more { "more than " } else { "" };
        write!(f, "{more}{} bytes, hash {:016x}", self.seen, self.hasher.finish())
    }
}

/// All lines of a field as one.
fn values(view: View<'_>, name: &HeaderName) -> Option<String> {
    let lines: Vec<_> = view.all(name).map(String::from_utf8_lossy).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn shown(value: Option<&str>) -> String {
    let Some(value) = value else { return "absent".into() };
    match value.char_indices().nth(LONGEST_SHOWN) {
        None => value.to_string(),
        Some((end, _)) => format!("{}…", &value[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn by() -> CompareSettings {
        CompareSettings { body_limit: 8, ..CompareSettings::default() }
    }

    fn answered(status: u16, kind: Option<&str>, pieces: &[&str]) -> Answered {
        let kind = kind.map(|kind| (http::header::CONTENT_TYPE, kind.parse().unwrap()));
        let mut answered = Answered::begin(status, View::Map(&HeaderMap::from_iter(kind)), &by());
        pieces.iter().for_each(|piece| answered.push(piece.as_bytes()));
        answered
    }

    fn differing(live: &Answered, mirror: &Answered) -> Vec<(String, String, String)> {
        let found = live.differs(mirror, &by());
        found.into_iter().map(|d| (d.part.to_string(), d.live, d.mirror)).collect()
    }

    #[test]
    fn however_a_body_is_cut_it_is_the_same() {
        let live = answered(200, None, &["hello"]);
        for pieces in [&["hel", "lo"][..], &["h", "", "e", "l", "l", "o"]] {
            assert_eq!(differing(&live, &answered(200, None, pieces)), []);
        }
        assert_ne!(differing(&live, &answered(200, None, &["hell"])), []);
    }

    #[test]
    fn each_part_is_named_with_both_values() {
        let live = answered(200, Some("text/html"), &["hello"]);
        let found = differing(&live, &answered(500, None, &["oh no"]));
        let text = |(part, live, mirror): &(String, String, String)| {
            let hash = live.find("hash").map_or(live.len(), |at| at);
            let other = mirror.find("hash").map_or(mirror.len(), |at| at);
            format!("{part}: {} -> {}", &live[..hash], &mirror[..other])
        };
        assert_eq!(
            found.iter().map(text).collect::<Vec<_>>(),
            [
                "status: 200 -> 500",
                "header content-type: text/html -> absent",
                "body: 5 bytes,  -> 5 bytes, "
            ]
        );
    }

    #[test]
    fn a_body_is_looked_at_up_to_its_limit() {
        let long = answered(200, None, &["0123456", "789"]);
        assert_eq!(differing(&long, &answered(200, None, &["01234567xyz"])), []);
        let (_, live, mirror) = differing(&long, &answered(200, None, &["01234567"])).remove(0);
        assert!(live.starts_with("more than 8 bytes") && mirror.starts_with("8 bytes"), "{mirror}");
    }

    #[test]
    fn a_long_value_is_shown_in_part() {
        assert_eq!(shown(Some(&"é".repeat(300))), format!("{}…", "é".repeat(200)));
    }
}
