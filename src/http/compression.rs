//! Which answers are made smaller for a client: an upstream's head and what the client takes in, a coding and
//! what else changes in the head out.
//!
//! An answer in a coding is another representation of the same (RFC 9110, 8.4): what names it byte by byte no
//! longer holds, so a strong entity tag becomes a weak one and a length goes. Caches on the way have to know
//! that it depends on `Accept-Encoding`, also where this client got it as it was.
//!
//! What counts is what leaves: a route's rules are applied before, and what they say of a field stays said.

use std::borrow::Cow;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, IF_NONE_MATCH, VARY,
};

use super::list;
use super::response::{Edit, Leaving};
use super::streaming::BodyKind;
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
    /// It has no body and tells a client that what it was given in a coding still holds.
    StillCoded,
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
    /// What becomes of an answer that leaves with this head, of which so many bytes are to come, if that is
    /// known. `asked` is the request's head; what the client takes is asked for only where it matters.
    pub fn choose<'a, A: Iterator<Item = &'a [u8]>>(
        &self,
        status: u16,
        leaving: &Leaving<'_, '_>,
        length: Option<u64>,
        asked: View<'_>,
        accepted: impl FnOnce() -> A,
    ) -> Choice {
        // It tells of one that had a body.
        let is_not_modified = status == 304;
        let has_body = matches!(status, 200..=299 | 400..) && !matches!(status, 204..=206);
        let is_large = length.is_none_or(|length| length >= self.least);
        if !is_not_modified && (!has_body || !is_large) {
            return Choice::AsIs;
        }
        // A rule that takes the name of a coding away does not take the coding away.
        let is_coded = leaving
            .all(&CONTENT_ENCODING)
            .chain(leaving.came.all(&CONTENT_ENCODING))
            .flat_map(list::tokens)
            .any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        // What a route says of codings stays said: whoever says `identity` wants it as it is.
        let is_said = leaving.is_changed(&CONTENT_ENCODING);
        let is_kept_as_it_is = leaving
            .all(&CACHE_CONTROL)
            .flat_map(list::members)
            .any(|directive| directive.eq_ignore_ascii_case(b"no-transform"));
        let is_named_by_bytes = DIGESTS.iter().any(|digest| leaving.has(digest));
        if is_coded
            || is_said
            || is_kept_as_it_is
            || is_named_by_bytes
            || leaving.has(&CONTENT_RANGE)
        {
            return Choice::AsIs;
        }
        let is_worth_it = leaving.first(&CONTENT_TYPE).is_some_and(|kind| self.takes(kind));
        if is_not_modified {
            return match strong_tag(leaving).is_some_and(|tag| was_given_weak(asked, tag)) {
                true => Choice::StillCoded,
                // Most tell no type. What a cache keeps has its `Vary` from when it got the whole.
                false if is_worth_it => Choice::ForOthers,
                false => Choice::AsIs,
            };
        }
        match is_worth_it {
            true => self.best(accepted()).map_or(Choice::ForOthers, Choice::Code),
            false => Choice::AsIs,
        }
    }

    /// Whether content of this type is made smaller.
    fn takes(&self, kind: &[u8]) -> bool {
        let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let Ok(kind) = std::str::from_utf8(kind) else { return false };
        let kind = kind.to_ascii_lowercase();
        if kind.starts_with(GRPC) {
            return false;
        }
        // It has a coder for as long as it lasts: who wants that says so.
        let is_stream = BodyKind::of(kind.as_bytes()) == BodyKind::Stream;
        self.types.iter().any(|known| match known.split_once('*') {
            None => *known == kind,
            Some(_) if is_stream => false,
            Some((before, after)) => {
                let rest = kind.strip_prefix(before);
                rest.and_then(|rest| rest.strip_suffix(after)).is_some_and(|rest| !rest.is_empty())
            }
        })
    }

    /// What the client likes best of what there is; of what it likes alike, what the service does.
    fn best<'a>(&self, accepted: impl Iterator<Item = &'a [u8]>) -> Option<Coding> {
        let (mut weights, mut rest) = ([None::<u16>; Coding::ALL.len()], None);
        // Of what is not named it is not known that it is liked better.
        let mut as_it_is = 0;
        for member in accepted.flat_map(list::tokens) {
            let mut parts = member.split(|&byte| byte == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let weight = parts.find_map(weight).unwrap_or(1_000);
            if name == b"*" {
                rest = Some(weight);
            }
            if name.eq_ignore_ascii_case(b"identity") {
                as_it_is = weight;
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
        let best = liked.max_by_key(|(weight, _)| *weight);
        best.filter(|(weight, _)| *weight >= as_it_is).map(|(_, coding)| coding)
    }
}

/// The entity tag that names a representation byte by byte, if there is one.
fn strong_tag<'a>(leaving: &'a Leaving<'_, '_>) -> Option<&'a [u8]> {
    leaving.first(&ETAG).filter(|tag| tag.starts_with(b"\""))
}

/// Whether what a client has under this strong tag was given to it in a coding, and so under a weak one. A
/// cache that has it both ways is told of the one that it did not get so.
fn was_given_weak(asked: View<'_>, strong: &[u8]) -> bool {
    let (mut is_weak, mut is_strong) = (false, false);
    for tag in asked.all(&IF_NONE_MATCH).flat_map(list::members) {
        is_weak |= tag.strip_prefix(b"W/") == Some(strong);
        is_strong |= tag == strong;
    }
    is_weak && !is_strong
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
            Choice::AsIs | Choice::ForOthers | Choice::StillCoded => None,
        }
    }

    /// What changes in the head, but for fields of which a route says what the client gets.
    pub fn edit<'e>(self, leaving: &Leaving<'_, '_>, into: &mut impl Extend<Edit<'e>>) {
        if self == Choice::AsIs {
            return;
        }
        let varies = |field: &[u8]| field == b"*" || field.eq_ignore_ascii_case(b"accept-encoding");
        if !leaving.is_replaced(&VARY) && !leaving.all(&VARY).flat_map(list::tokens).any(varies) {
            let value = HeaderValue::from_static("accept-encoding");
            into.extend([Edit::Add(VARY, Cow::Owned(value))]);
        }
        if self == Choice::ForOthers {
            return;
        }
        let tag = strong_tag(leaving).filter(|_| !leaving.is_changed(&ETAG));
        if let Some(weak) = tag.and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag].concat()).ok())
        {
            into.extend([Edit::Set(ETAG, Cow::Owned(weak))]);
        }
        if let Choice::Code(coding) = self {
            let name = HeaderValue::from_static(coding.name());
            into.extend([
                Edit::Set(CONTENT_ENCODING, Cow::Owned(name)),
                Edit::Remove(ACCEPT_RANGES),
            ]);
        }
    }
}

#[cfg(test)]
mod tests;
