//! What is put aside of a request that is told of: a record in, bytes out; and what spans are made of, out of
//! those bytes.

use crate::clock::{Moment, WallTime};
use crate::config::Keep;
use crate::record::{Decided, Kept, Record, decode, encode};
use crate::route::PathPattern;
use crate::snapshot::Snapshot;
use crate::upstream::BreakerState;

/// Bytes of a text that are kept.
const LONGEST: usize = 1024;

/// What spans are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is remembered of a request anyway.
    pub kept: Kept,
    /// When the end of its head had been read.
    pub at: Moment,
    /// The part in the trace of whoever sent it, in hex digits; empty if its trace begins here.
    pub parent: String,
    /// The flags that upstreams were told.
    pub flags: u8,
    /// Who decided that it is told of, if that was decided when it began.
    pub decided: Decided,
    /// Why it is told of, if that was decided when it was over.
    pub kept_for: Option<Keep>,
    /// Whether its client came by TLS.
    pub is_https: bool,
    /// Whether it failed for its client through our side's fault.
    pub has_failed: bool,
    /// Whether its pool was one that a stable one stands beside; none if it had no pool.
    pub is_canary: Option<bool>,
    /// Its pool's breaker when it was over.
    pub breaker: Option<BreakerState>,
    /// What its route matches on of the path; empty if it had none.
    pub route: String,
    /// What it asked for, with the query.
    pub target: String,
    /// What its upstreams were asked for instead; empty if they were asked for the same.
    pub rewritten: String,
    /// What its client calls itself.
    pub agent: String,
    /// As many as were made.
    pub attempts: Vec<EntryAttempt>,
}

/// What is put aside of an attempt beside what is remembered anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryAttempt {
    /// Its part in the trace.
    pub span: u64,
    /// Its upstream's breaker when the request was over.
    pub breaker: BreakerState,
    /// Whether the upstream is asked in HTTP/2.
    pub is_http2: bool,
    /// Whether by TLS.
    pub is_tls: bool,
}

impl Entry {
    /// Writes the bytes of one behind what is there; none if it is not traced at all.
    pub fn encode(
        record: &Record<'_>,
        kept_for: Option<Keep>,
        snapshot: &Snapshot,
        into: &mut Vec<u8>,
    ) {
        let Some(traced) = record.noted.traced else { return };
        let begin = into.len();
        into.extend_from_slice(&[0; 8]);
        encode(record, snapshot, into);
        let kept = into.len() - begin - 8;
        let service = record.service().map(|service| &snapshot.services[service]);
        let pool = record.pool.map(|(service, pool)| (&snapshot.services[service], pool));
        let over = record.at + record.duration + record.waited;
        let breaker = pool.map(|(service, pool)| service.pools[pool].state.breaker.state(over));
        let is_canary = pool.map(|(service, pool)| service.is_canary(pool));
        into.extend_from_slice(&record.at.micros().to_le_bytes());
        into.extend_from_slice(&traced.parent.unwrap_or([0; 16]));
        into.extend_from_slice(&[
            traced.flags,
            traced.decided as u8,
            kept_for.map_or(0, |keep| keep as u8 + 1),
            u8::from(traced.is_https),
            u8::from(record.has_failed()),
            is_canary.map_or(0, |is_canary| 1 + u8::from(is_canary)),
            breaker.map_or(0, |state| state as u8 + 1),
            record.noted.attempts.len() as u8,
        ]);
        for attempt in &record.noted.attempts {
            into.extend_from_slice(&attempt.span.to_le_bytes());
            let pool = service.map(|service| &service.pools[attempt.pool]);
            let member = pool.and_then(|pool| pool.members.list().get(attempt.member));
            let state = member.map_or(BreakerState::Closed, |m| m.upstream.breaker.state(over));
            let is_tls = pool.is_some_and(|pool| pool.tls.is_some());
            let is_http2 = pool.is_some_and(|pool| pool.http2);
            into.extend_from_slice(&[state as u8, u8::from(is_http2), u8::from(is_tls)]);
        }
        let agent = record.said.view.and_then(|view| view.first(&http::header::USER_AGENT));
        text(route(record, snapshot).as_bytes(), into);
        text(record.said.target.as_bytes(), into);
        text(record.said.rewritten.unwrap_or_default().as_bytes(), into);
        text(agent.unwrap_or_default(), into);
        let whole = into.len() - begin - 8;
        into[begin..begin + 4].copy_from_slice(&(whole as u32).to_le_bytes());
        into[begin + 4..begin + 8].copy_from_slice(&(kept as u32).to_le_bytes());
    }

    /// Takes the bytes of the first of several away from them; none if there is no more.
    pub fn split<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
        let whole = u32::from_le_bytes(*bytes.first_chunk::<4>()?) as usize;
        let (one, rest) = bytes.split_at_checked(whole + 8)?;
        *bytes = rest;
        Some(one)
    }

    /// How many spans are made of these bytes: one, and one for each attempt.
    pub fn spans(bytes: &[u8]) -> u64 {
        let kept =
            bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
        let attempts = kept.and_then(|kept| bytes.get(8 + kept as usize + ATTEMPTS));
        1 + u64::from(attempts.copied().unwrap_or_default())
    }

    /// Whether these bytes are of a request that failed through our side's fault.
    pub fn has_failed(bytes: &[u8]) -> bool {
        let kept =
            bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
        kept.and_then(|kept| bytes.get(8 + kept as usize + FAILED)).is_some_and(|flag| *flag != 0)
    }

    /// Reads one. `now` is the same time twice: as the process counts it, and as people do.
    pub fn decode(bytes: &[u8], now: (Moment, WallTime)) -> Option<Entry> {
        let (_, rest) = bytes.split_first_chunk::<4>()?;
        let (kept, rest) = rest.split_first_chunk::<4>()?;
        let (kept, mut rest) = rest.split_at_checked(u32::from_le_bytes(*kept) as usize)?;
        let kept = decode(kept, now)?;
        let at = Moment::from_micros(u64::from_le_bytes(take(&mut rest)?));
        let parent = take::<16>(&mut rest)?;
        let [flags, decided, keep, is_https, has_failed, canary, breaker, attempts] =
            take(&mut rest)?;
        let attempts = (0..attempts).map(|_| attempt(&mut rest)).collect::<Option<_>>()?;
        let [route, target] = [take_text(&mut rest)?, take_text(&mut rest)?];
        let [rewritten, agent] = [take_text(&mut rest)?, take_text(&mut rest)?];
        Some(Entry {
            kept,
            at,
            parent: if parent == [0; 16] { String::new() } else { lossy(&parent) },
            flags,
            decided: match decided {
                1 => Decided::Parent,
                2 => Decided::Stranger,
                _ => Decided::Here,
            },
            kept_for: keep
                .checked_sub(1)
                .and_then(|keep| Keep::ALL.get(usize::from(keep)).copied()),
            is_https: is_https != 0,
            has_failed: has_failed != 0,
            is_canary: canary.checked_sub(1).map(|is_canary| is_canary != 0),
            breaker: breaker.checked_sub(1).map(state),
            route,
            target,
            rewritten,
            agent,
            attempts,
        })
    }
}

/// How far behind what is remembered anyway it is whether the request failed, and how many attempts it had.
const FAILED: usize = 8 + 16 + 4;
const ATTEMPTS: usize = 8 + 16 + 7;

/// What the route matches on of the path.
fn route<'s>(record: &Record<'_>, snapshot: &'s Snapshot) -> &'s str {
    let route = record.noted.route_place.and_then(|place| snapshot.config.routes.get(place));
    route.map_or("", |route| match &route.path {
        PathPattern::Prefix(path) if path.is_empty() => "/",
        PathPattern::Exact(path) | PathPattern::Prefix(path) => path,
    })
}

fn attempt(from: &mut &[u8]) -> Option<EntryAttempt> {
    let span = u64::from_le_bytes(take(from)?);
    let [breaker, is_http2, is_tls] = take(from)?;
    let (is_http2, is_tls) = (is_http2 != 0, is_tls != 0);
    Some(EntryAttempt { span, breaker: state(breaker), is_http2, is_tls })
}

fn state(number: u8) -> BreakerState {
    match number {
        1 => BreakerState::Open,
        2 => BreakerState::HalfOpen,
        _ => BreakerState::Closed,
    }
}

fn text(text: &[u8], into: &mut Vec<u8>) {
    let text = &text[..text.len().min(LONGEST)];
    into.extend_from_slice(&(text.len() as u16).to_le_bytes());
    into.extend_from_slice(text);
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

fn take_text(from: &mut &[u8]) -> Option<String> {
    let length = u16::from_le_bytes(take(from)?);
    let (text, rest) = from.split_at_checked(length.into())?;
    *from = rest;
    Some(lossy(text))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
