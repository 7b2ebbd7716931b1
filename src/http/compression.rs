//! Which answers are made smaller for a client: an upstream's head and what the client takes in, a coding and
//! what else changes in the head out.
//!
//! An answer in a coding is another representation of the same (RFC 9110, 8.4): what names it byte by byte no
//! longer holds, so a strong entity tag becomes a weak one and a length goes. Caches on the way have to know
//! that it depends on `Accept-Encoding`, also where this client got it as it was.

use std::borrow::Cow;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, VARY,
};

use super::list;
use super::response::Edit;
use super::view::View;

/// A way to make a body smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

/// What a service makes smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The one that is liked best first; at least one.
    pub codings: Vec<Coding>,
    /// In lower case: `text/html`, `text/*`, `application/*+json`.
    pub types: Vec<String>,
    /// Bytes from which on it is worth it.
    pub least: u64,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It goes on as it is.
    AsIs,
    /// It does, for this client.
    ForOthers,
    /// It becomes smaller.
    Code(Coding),
}

/// Which say something of each byte of a body.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// What begins so says itself, message by message, what is compressed; its clients read no other coding.
const GRPC: &str = "application/grpc";

/// Fields that tell of the bytes that came in, and so do not go on behind a coded body: what has gone out
/// before them cannot be changed any more.
pub fn withheld() -> impl Iterator<Item = HeaderName> {
    DIGESTS.into_iter().chain([ETAG])
}

impl Coding {
    /// All of them, the one that makes the most of a second first.
    pub const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    /// As fields name it.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    fn is_named(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name().as_bytes())
            || (self == Coding::Gzip && name.eq_ignore_ascii_case(b"x-gzip"))
    }
}

impl Compression {
    /// What becomes of an answer with this head, of which so many bytes are to come, if that is known. What
    /// the client takes is asked for only where it matters.
    pub fn choose<'a, A: Iterator<Item = &'a [u8]>>(
        &self,
        status: u16,
        answer: View<'_>,
        length: Option<u64>,
        accepted: impl FnOnce() -> A,
    ) -> Choice {
        // It tells of one that had a body.
        let is_not_modified = status == 304;
        let has_body = matches!(status, 200..=299 | 400..) && !matches!(status, 204..=206);
        let is_large = length.is_none_or(|length| length >= self.least);
        if !is_not_modified && (!has_body || !is_large) {
            return Choice::AsIs;
        }
        let is_coded = answer
            .all(&CONTENT_ENCODING)
            .flat_map(list::tokens)
            .any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        let is_kept_as_it_is = answer
            .all(&CACHE_CONTROL)
            .flat_map(list::members)
            .any(|directive| directive.eq_ignore_ascii_case(b"no-transform"));
        let is_named_by_bytes = DIGESTS.iter().any(|digest| answer.has(digest));
        if is_coded || is_kept_as_it_is || is_named_by_bytes || answer.has(&CONTENT_RANGE) {
            return Choice::AsIs;
        }
        let is_worth_it = || answer.first(&CONTENT_TYPE).is_some_and(|kind| self.takes(kind));
        if !is_not_modified && !is_worth_it() {
            return Choice::AsIs;
        }
        self.best(accepted()).map_or(Choice::ForOthers, Choice::Code)
    }

    /// Whether content of this type is made smaller.
    fn takes(&self, kind: &[u8]) -> bool {
        let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let Ok(kind) = std::str::from_utf8(kind) else { return false };
        let kind = kind.to_ascii_lowercase();
        if kind.starts_with(GRPC) {
            return false;
        }
        self.types.iter().any(|known| match known.split_once('*') {
            None => *known == kind,
            Some((before, after)) => {
                let rest = kind.strip_prefix(before);
                rest.and_then(|rest| rest.strip_suffix(after)).is_some_and(|rest| !rest.is_empty())
            }
        })
    }

    /// What the client likes best of what there is; of what it likes alike, what the service does.
    fn best<'a>(&self, accepted: impl Iterator<Item = &'a [u8]>) -> Option<Coding> {
        let (mut weights, mut rest) = ([None::<u16>; Coding::ALL.len()], None);
        for member in accepted.flat_map(list::tokens) {
            let mut parts = member.split(|&byte| byte == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let weight = parts.find_map(weight).unwrap_or(1_000);
            if name == b"*" {
                rest = Some(weight);
            }
            for (place, coding) in Coding::ALL.into_iter().enumerate() {
                if coding.is_named(name) {
                    weights[place] = Some(weight);
                }
            }
        }
        let of = |coding: Coding| {
            let place = Coding::ALL.iter().position(|known| *known == coding)?;
            weights[place].or(rest).filter(|weight| *weight > 0)
        };
        let liked = self.codings.iter().rev().filter_map(|coding| Some((of(*coding)?, *coding)));
        // The last of those that are alike is taken, which is the service's first.
        liked.max_by_key(|(weight, _)| *weight).map(|(_, coding)| coding)
    }
}

/// `q=0.5` in thousandths.
fn weight(part: &[u8]) -> Option<u16> {
    let part = part.trim_ascii();
    let value = part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="))?;
    let value: f32 = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
    Some((value.clamp(0.0, 1.0) * 1_000.0) as u16)
}

impl Choice {
    /// Whether the body goes out in a coding; not that of an answer without one.
    pub fn coding(self) -> Option<Coding> {
        match self {
            Choice::Code(coding) => Some(coding),
            Choice::AsIs | Choice::ForOthers => None,
        }
    }

    /// What changes in the head.
    pub fn edit<'e>(self, status: u16, answer: View<'_>, into: &mut impl Extend<Edit<'e>>) {
        if self == Choice::AsIs {
            return;
        }
        let varies = |field: &[u8]| field == b"*" || field.eq_ignore_ascii_case(b"accept-encoding");
        if !answer.all(&VARY).flat_map(list::tokens).any(varies) {
            let value = HeaderValue::from_static("accept-encoding");
            into.extend([Edit::Add(VARY, Cow::Owned(value))]);
        }
        let Choice::Code(coding) = self else { return };
        let tag = answer.first(&ETAG).filter(|tag| tag.starts_with(b"\""));
        if let Some(weak) = tag.and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag].concat()).ok())
        {
            into.extend([Edit::Set(ETAG, Cow::Owned(weak))]);
        }
        if status != 304 {
            let name = HeaderValue::from_static(coding.name());
            into.extend([
                Edit::Set(CONTENT_ENCODING, Cow::Owned(name)),
                Edit::Remove(ACCEPT_RANGES),
            ]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use smallvec::SmallVec;

    fn usual() -> Compression {
        Compression {
            codings: Coding::ALL.to_vec(),
            types: ["text/*", "application/json", "application/*+json"].map(String::from).to_vec(),
            least: 1_024,
        }
    }

    fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn chosen(status: u16, fields: &[(&'static str, &'static str)], length: Option<u64>) -> Choice {
        let head = head(fields);
        let accepted = || [&b"gzip, br"[..]].into_iter();
        usual().choose(status, View::Map(&head), length, accepted)
    }

    #[test]
    fn the_client_says_what_it_takes_and_the_service_what_it_likes() {
        let best = |lines: &[&str]| usual().best(lines.iter().map(|line| line.as_bytes()));
        for (lines, wanted) in [
            (&["gzip, deflate, br, zstd"][..], Some(Coding::Zstd)),
            (&["gzip, deflate, br"], Some(Coding::Brotli)),
            (&["GZIP"], Some(Coding::Gzip)),
            (&["x-gzip"], Some(Coding::Gzip)),
            (&["gzip;q=1.0, br;q=0.5, zstd; q=0"], Some(Coding::Gzip)),
            (&["gzip;q=0.5", "br;q=0.6"], Some(Coding::Brotli)),
            (&["*"], Some(Coding::Zstd)),
            (&["*;q=0, gzip"], Some(Coding::Gzip)),
            (&["zstd;q=0, *;q=0.1"], Some(Coding::Brotli)),
            (&["identity"], None),
            (&["gzip;q=0"], None),
            (&["gzip;q=0.000, *;q=0"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(best(lines), wanted, "{lines:?}");
        }
    }

    #[test]
    fn only_what_is_whole_large_enough_and_of_a_known_type_is_coded() {
        let html = ("content-type", "text/html; charset=utf-8");
        let coded = Choice::Code(Coding::Brotli);
        for (status, fields, length) in [
            (200, &[html][..], Some(1_024)),
            (200, &[html], None),
            (404, &[html], Some(5_000)),
            (200, &[("content-type", "Application/Problem+JSON")], None),
            (200, &[html, ("content-encoding", "identity")], None),
            (200, &[html, ("cache-control", "max-age=60")], None),
        ] {
            assert_eq!(chosen(status, fields, length), coded, "{status} {fields:?}");
        }
        for (status, fields, length) in [
            (200, &[html][..], Some(1_023)),
            (200, &[], None),
            (200, &[("content-type", "image/png")], None),
            (200, &[("content-type", "text/")], None),
            (200, &[("content-type", "application/grpc+json")], None),
            (200, &[("content-type", "Application/gRPC-Web+JSON; charset=utf-8")], None),
            (200, &[html, ("content-encoding", "gzip")], None),
            (200, &[html, ("cache-control", "public, no-transform")], None),
            (200, &[html, ("repr-digest", "sha-256=:x:")], None),
            (200, &[html, ("content-range", "bytes 0-9/10")], None),
            (206, &[html], None),
            (204, &[html], None),
            (101, &[html], None),
            (302, &[html], None),
        ] {
            assert_eq!(chosen(status, fields, length), Choice::AsIs, "{status} {fields:?}");
        }
    }

    fn edits(choice: Choice, status: u16, fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let (head, mut list) = (head(fields), SmallVec::<[Edit<'_>; 4]>::new());
        choice.edit(status, View::Map(&head), &mut list);
        let word = |edit: &Edit<'_>| match edit {
            Edit::Remove(name) => format!("-{name}"),
            Edit::Set(name, value) => format!("{name}={}", value.to_str().unwrap()),
            Edit::Add(name, value) => format!("+{name}={}", value.to_str().unwrap()),
        };
        list.iter().map(word).collect()
    }

    #[test]
    fn a_coded_answer_has_a_weak_tag_and_caches_know_what_it_depends_on() {
        let coded = Choice::Code(Coding::Gzip);
        assert_eq!(
            edits(coded, 200, &[("etag", "\"x\""), ("vary", "origin")]),
            ["+vary=accept-encoding", "etag=W/\"x\"", "content-encoding=gzip", "-accept-ranges"]
        );
        let known = [("etag", "W/\"x\""), ("vary", "Origin, Accept-Encoding")];
        assert_eq!(edits(coded, 200, &known), ["content-encoding=gzip", "-accept-ranges"]);
        assert_eq!(edits(coded, 200, &[("vary", "*")])[0], "content-encoding=gzip");
        // What a client keeps was given a weak one.
        let not_modified = edits(coded, 304, &[("etag", "\"x\"")]);
        assert_eq!(not_modified, ["+vary=accept-encoding", "etag=W/\"x\""]);
        assert_eq!(edits(Choice::ForOthers, 200, &[("etag", "\"x\"")]), ["+vary=accept-encoding"]);
        assert_eq!(edits(Choice::AsIs, 200, &[("etag", "\"x\"")]), [""; 0]);
    }
}
