//! Whether a response may be kept and given to other clients: both heads in, the terms on which it
//! may be given out, or why not.
//!
//! The rules are those of a shared cache (RFC 9111 section 3) that gives a response out only when
//! its origin cannot be reached (section 4.2.4): whatever forbids a stale use forbids to keep it.
//! Where the standard leaves a choice it falls on the safe side: the origin has to say that others may
//! have it (several frameworks write an `ETag` to everything), and nothing is kept that was asked for
//! with a field by which somebody could be known.

use std::time::{Duration, SystemTime};

use http::header::{
    AGE, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, DATE, EXPIRES, HOST, HeaderName, HeaderValue,
    IF_MATCH, IF_UNMODIFIED_SINCE, RANGE, SET_COOKIE, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, Method};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::cache_control::{self, CacheControl};
use super::harmless::is_harmless;
use crate::clock::Moment;
use crate::http::list;
use crate::http::response::FALLBACK_MARK;

/// What upstreams learn from where they are: always part of what is asked, as upstreams build links and
/// redirects from it. One from `http` to `https` would else be given to who is there already.
const PLACE: [HeaderName; 4] = [
    HOST,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
];

/// A request, as far as it decides what may answer it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The host it is for, in lower case.
    pub host: &'a str,
    /// Path and query, as given.
    pub target: &'a str,
    /// What the upstream is asked for in its place, if its route says so: another route may say something
    /// else.
    pub rewritten: Option<&'a str>,
    /// Its fields as they are sent on, after all of our edits: what the upstream answers to.
    pub headers: &'a HeaderMap,
    /// The pool that it belongs to, or that is asked.
    pub pool: &'a str,
    /// When it came.
    pub began: Moment,
}

/// An upstream's response, when its head has come.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The status code.
    pub status: u16,
    /// Its fields, as the upstream sent them.
    pub headers: &'a HeaderMap,
    /// Now.
    pub now: Moment,
    /// Now, to compare with the dates of the head.
    pub wall: SystemTime,
}

/// Why a response is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unstorable {
    /// Not a plain `GET`: another method, a range, or with content.
    #[error("the request is not a plain GET")]
    Request,
    /// The client or the origin forbids it, or a stale use.
    #[error("Cache-Control forbids it")]
    Forbidden,
    /// Not one of those that are kept.
    #[error("not a status that is kept")]
    Status,
    /// It may be meant for one person only.
    #[error("it may be meant for one person only")]
    Personal,
    /// No request can be told to be the same.
    #[error("Vary cannot be matched")]
    Vary,
    /// The origin said nothing that lets it be kept.
    #[error("the origin says nothing of keeping it")]
    Unsaid,
    /// Its end cannot be told from a broken connection.
    #[error("its end cannot be told from a broken connection")]
    Unframed,
    /// It is itself a fallback, of a proxy behind us.
    #[error("it is a fallback itself")]
    Fallback,
    /// Some of its fields were meant for us only.
    #[error("its Connection names other fields")]
    Connection,
    /// Already older than it may become.
    #[error("too old")]
    TooOld,
}

/// How long a response may be given out, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Its age when it was received.
    pub initial_age: Duration,
    /// How long it is fresh.
    pub lifetime: Duration,
    /// The age at which the origin wants it used no more, if it said so.
    pub longest: Option<Duration>,
    /// What else has to be equal in a request.
    pub nominated: Nominated,
}

/// The request fields that chose a response, with their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nominated(pub Vec<(HeaderName, Option<Box<[u8]>>)>);

/// How old and how stale a response the client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    max_age: Option<Duration>,
    max_stale: Option<Duration>,
}

impl Terms {
    /// The terms for this response to this request.
    pub fn of(asked: &Asked<'_>, received: &Received<'_>) -> Result<Terms, Unstorable> {
        if asked.method != Method::GET
            || asked.headers.contains_key(RANGE)
            || has_content(asked.headers)
        {
            return Err(Unstorable::Request);
        }
        let fresh_only = match received.status {
            200 => false,
            203 | 301 | 308 | 404 | 410 => true,
            _ => return Err(Unstorable::Status),
        };
        let request = CacheControl::of(asked.headers);
        let control = CacheControl::of(received.headers);
        if request.no_store || request.is_broken || forbids(&control) {
            return Err(Unstorable::Forbidden);
        }
        if received.headers.contains_key(SET_COOKIE) {
            return Err(Unstorable::Personal);
        }
        let nominated = Nominated::of(asked.headers, received.headers)?;
        let lifetime = lifetime(&control, received);
        let is_fresh = lifetime > Duration::ZERO;
        if fresh_only && !is_fresh {
            return Err(Unstorable::Status);
        }
        let is_said = control.public || is_fresh || control.stale_if_error.is_some();
        if !asked.is_anybodys() {
            return Err(Unstorable::Personal);
        }
        let has = |name| received.headers.contains_key(name);
        if !is_said {
            return Err(Unstorable::Unsaid);
        }
        if has(FALLBACK_MARK) {
            return Err(Unstorable::Fallback);
        }
        if received.headers.get_all(CONNECTION).iter().any(names_fields) {
            return Err(Unstorable::Connection);
        }
        if !(has(CONTENT_LENGTH) || has(TRANSFER_ENCODING)) {
            return Err(Unstorable::Unframed);
        }
        Ok(Terms {
            initial_age: initial_age(received),
            lifetime,
            longest: control.stale_if_error.map(|more| lifetime + more),
            nominated,
        })
    }
}

impl Asked<'_> {
    /// Whether anybody could have asked so.
    pub(super) fn is_anybodys(&self) -> bool {
        self.headers.keys().all(is_harmless)
    }
}

impl Nominated {
    fn of(request: &HeaderMap, response: &HeaderMap) -> Result<Nominated, Unstorable> {
        let mut names = PLACE.to_vec();
        let lines = response.get_all(VARY).into_iter();
        for name in lines.flat_map(|line| list::tokens(line.as_bytes())) {
            // `*` is the name of a field as well, but says that no request is the same.
            let name = HeaderName::from_bytes(name).ok().filter(|name| name != "*");
            let name = name.ok_or(Unstorable::Vary)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let with_value = |name: HeaderName| {
            let value = combined(request, &name);
            (name, value)
        };
        Ok(Nominated(names.into_iter().map(with_value).collect()))
    }

    /// Whether a request with these fields would have got the same response.
    pub fn match_with(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, value)| combined(request, name) == *value)
    }

    /// Whether another differs from this in values only, and not in those of the place: a variant of
    /// the same page.
    pub fn is_like(&self, other: &Nominated) -> bool {
        let pairs = || self.0.iter().zip(&other.0);
        self.0.len() == other.0.len()
            && pairs().all(|((name, value), (same, known))| {
                name == same && (value == known || !PLACE.contains(name))
            })
    }
}

impl Wish {
    /// What this request wants of a kept response; none if it wants none.
    ///
    /// The wishes are advisory (RFC 9111 section 5.2.1), and the alternative is an error:
    /// `no-cache`, by which people insist, is honoured, `max-age=0` is not, as a browser sends it
    /// with each reload, which is what people do when a page fails.
    pub fn of(asked: &Asked<'_>) -> Option<Wish> {
        let is_plain = matches!(*asked.method, Method::GET | Method::HEAD)
            && !has_content(asked.headers)
            // Who says who they are expects an answer of their own.
            && !asked.headers.contains_key(AUTHORIZATION)
            && !asked.headers.contains_key(IF_MATCH)
            && !asked.headers.contains_key(IF_UNMODIFIED_SINCE);
        let control = CacheControl::of(asked.headers);
        if !is_plain || control.is_broken || control.no_cache || control.min_fresh.is_some() {
            return None;
        }
        let max_age = control.max_age.filter(|age| *age > Duration::ZERO);
        Some(Wish { max_age, max_stale: control.max_stale })
    }

    /// Whether a response of this age is still wanted.
    pub fn takes(&self, age: Duration, lifetime: Duration) -> bool {
        self.max_age.is_none_or(|most| age <= most)
            && self.max_stale.is_none_or(|most| age.saturating_sub(lifetime) <= most)
    }
}

/// Whether the origin wants it neither kept nor used when it is stale.
fn forbids(control: &CacheControl) -> bool {
    control.is_broken
        || control.no_store
        || control.no_cache
        || control.private
        || control.must_revalidate
}

/// A `GET` with content is a question that the target alone does not tell.
fn has_content(request: &HeaderMap) -> bool {
    let length = request.get(CONTENT_LENGTH);
    length.is_some_and(|length| length != "0") || request.contains_key(TRANSFER_ENCODING)
}

/// Whether a `Connection` says more than how to go on with the connection.
fn names_fields(connection: &HeaderValue) -> bool {
    const HOW: [&[u8]; 2] = [b"keep-alive", b"close"];
    list::tokens(connection.as_bytes())
        .any(|token| !HOW.iter().any(|how| token.eq_ignore_ascii_case(how)))
}

/// All lines of a field as one, as section 4.1 compares them; none without the field.
fn combined(headers: &HeaderMap, name: &HeaderName) -> Option<Box<[u8]>> {
    let mut lines = headers.get_all(name).iter().map(|line| line.as_bytes().trim_ascii());
    let mut all = lines.next()?.to_vec();
    for line in lines {
        all.extend_from_slice(b", ");
        all.extend_from_slice(line);
    }
    Some(all.into())
}

/// How long it is fresh, by what it says itself (section 4.2.1); zero if it says nothing.
fn lifetime(control: &CacheControl, received: &Received<'_>) -> Duration {
    let since = || {
        let expires = date(received.headers, &EXPIRES)?;
        let from = date(received.headers, &DATE).unwrap_or(received.wall);
        expires.duration_since(from).ok()
    };
    control.max_age.or_else(since).unwrap_or_default()
}

/// The age it had on arrival (section 4.2.3, the time on the way taken as zero).
fn initial_age(received: &Received<'_>) -> Duration {
    let dated = date(received.headers, &DATE);
    let apparent = dated.and_then(|dated| received.wall.duration_since(dated).ok());
    let told = received.headers.get(AGE);
    let told = told.and_then(|age| cache_control::seconds(age.as_bytes().trim_ascii()));
    apparent.unwrap_or_default().max(told.unwrap_or_default())
}

/// The one form of a date that is sent today; one of the two of the last century counts as none.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let parsed: Option<Timestamp> =
        DateTimeParser::new().parse_timestamp(headers.get(name)?.as_bytes()).ok();
    parsed.map(SystemTime::from)
}

#[cfg(test)]
mod tests;
