//! A record as the ring of the last requests keeps it: a record in, bytes out, and the other way.
//!
//! Places in a snapshot mean nothing in the next one, so that names are kept. Numbers are in the
//! order of bytes that is cheapest; these bytes never leave the process.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use http::Version;

use super::Record;
use crate::balance::NotTaken;
use crate::clock::WallTime;
use crate::snapshot::{By, Snapshot};
use crate::split::Cohort;

/// Bytes of a host and of a path that are kept.
const LONGEST: usize = 256;

/// Bytes of a method that are kept; the registered ones are shorter.
const LONGEST_METHOD: usize = 32;

/// What was kept of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When the end of its head had been read.
    pub at: WallTime,
    /// The id that it is known by.
    pub request_id: String,
    /// Its method.
    pub method: String,
    /// The host it asked for; its first 256 bytes and `…` if it was longer.
    pub host: String,
    /// Its path without the query; cut likewise.
    pub path: String,
    /// The version of HTTP it was asked in.
    pub version: Version,
    /// Who asked.
    pub client: Option<IpAddr>,
    /// What the client was told.
    pub status: Option<u16>,
    /// Why it has no upstream's answer, as the table of causes names it; empty if it has one.
    pub cause: String,
    /// From the end of its head to the end of its answer, but for the time it waited in line.
    pub duration: Duration,
    /// For how long it waited in line.
    pub waited: Duration,
    /// Its service; empty if it had none.
    pub service: String,
    /// The pool it belongs to; empty if it had none.
    pub pool: String,
    /// The service's traffic state that it saw.
    pub revision: u64,
    /// What chose its pool.
    pub by: Option<By>,
    /// Its trace and our own part in it, in hex digits; empty if it never got so far.
    pub trace: (String, String),
    /// Bytes of its body that came from the client.
    pub from_client: u64,
    /// Bytes of its answer's body that went to the client.
    pub to_client: u64,
    /// What was tried.
    pub attempts: Vec<KeptAttempt>,
    /// Upstreams that were not taken, with their pools, and why.
    pub not_taken: Vec<(String, String, NotTaken)>,
}

/// What was kept of an attempt; times count from the end of the request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAttempt {
    /// The pool that was asked.
    pub pool: String,
    /// The upstream that was asked.
    pub upstream: String,
    /// When it was chosen.
    pub chosen: Duration,
    /// When there was a connection.
    pub connected: Option<Duration>,
    /// Whether that had been kept from an earlier request.
    pub is_reused: bool,
    /// When all of the request was on its way.
    pub sent: Option<Duration>,
    /// When the head of an answer had come.
    pub head: Option<Duration>,
    /// When it was over.
    pub done: Duration,
    /// The status that came back.
    pub status: Option<u16>,
    /// Why it failed, as the table of causes names it; empty if it did not.
    pub cause: String,
}

/// Writes a record's bytes after what is there.
pub(super) fn encode(record: &Record<'_>, snapshot: &Snapshot, into: &mut Vec<u8>) {
    let mut out = Out(into);
    let (noted, said) = (record.noted, &record.said);
    let service = record.pool.map(|(service, _)| &snapshot.services[service]);
    let pool_name = |pool: usize| {
        let pool = service.and_then(|service| service.pools.get(pool));
        pool.map_or("", |pool| &*pool.name)
    };
    let upstream = |pool: usize, member: usize| {
        let pool = service.and_then(|service| service.pools.get(pool));
        pool.and_then(|pool| pool.members.list().get(member)).map_or("", |m| &*m.upstream.name)
    };
    // First, so that one is found by it without reading on.
    out.text(record.request_id);
    out.u64(record.at.millis());
    out.text(start(said.method.as_bytes(), LONGEST_METHOD));
    out.cut(said.host);
    out.cut(said.path.as_bytes());
    out.u8(version_code(noted.version));
    match noted.client {
        Some(client) => out.0.extend(to_v6(client).octets()),
        None => out.0.extend(Ipv6Addr::UNSPECIFIED.octets()),
    }
    out.u16(record.status.unwrap_or(0));
    out.text(record.cause.map_or("", |cause| cause.row().name).as_bytes());
    out.time(Some(record.duration));
    out.time(Some(record.waited));
    out.text(service.map_or("", |service| &*service.name).as_bytes());
    out.text(record.pool.map_or("", |(_, pool)| pool_name(pool)).as_bytes());
    out.u64(service.map_or(0, |service| service.revision));
    let (by, cohort) = by_code(noted.by);
    out.u8(by);
    out.u16(cohort);
    match &noted.trace {
        Some((trace, span)) => {
            out.text(trace);
            out.text(span);
        }
        None => out.0.extend([0; 4]),
    }
    out.u64(noted.from_client);
    out.u64(noted.to_client);
    out.u8(noted.attempts.len() as u8);
    for attempt in &noted.attempts {
        out.text(pool_name(attempt.pool).as_bytes());
        out.text(upstream(attempt.pool, attempt.member).as_bytes());
        out.time(Some(attempt.chosen));
        let times = [attempt.connected, attempt.sent, attempt.head, Some(attempt.done)];
        times.into_iter().for_each(|time| out.time(time));
        out.u8(u8::from(attempt.is_reused));
        out.u16(attempt.status.unwrap_or(0));
        out.text(attempt.cause.map_or("", |cause| cause.row().name).as_bytes());
    }
    out.u8(noted.not_taken.len() as u8);
    for passed in &noted.not_taken {
        out.text(pool_name(passed.pool).as_bytes());
        out.text(upstream(passed.pool, passed.member).as_bytes());
        out.u8(passed.why as u8);
    }
}

/// Whether these bytes are of the request with this id.
pub(super) fn is_of(bytes: &[u8], request_id: &str) -> bool {
    In(bytes).bytes() == Some(request_id.as_bytes())
}

/// Reads a record's bytes; none if they are none.
pub(super) fn decode(bytes: &[u8]) -> Option<Kept> {
    let mut from = In(bytes);
    Some(Kept {
        request_id: from.text()?,
        at: WallTime::from_millis(from.u64()?),
        method: from.text()?,
        host: from.uncut()?,
        path: from.uncut()?,
        version: version_of(from.u8()?),
        client: from.client()?,
        status: from.status()?,
        cause: from.text()?,
        duration: from.time()??,
        waited: from.time()??,
        service: from.text()?,
        pool: from.text()?,
        revision: from.u64()?,
        by: by_of(from.u8()?, from.u16()?),
        trace: (from.text()?, from.text()?),
        from_client: from.u64()?,
        to_client: from.u64()?,
        attempts: {
            let many = from.u8()?;
            (0..many).map(|_| from.attempt()).collect::<Option<_>>()?
        },
        not_taken: {
            let many = from.u8()?;
            let mut one = || Some((from.text()?, from.text()?, NotTaken::of_code(from.u8()?)?));
            (0..many).map(|_| one()).collect::<Option<_>>()?
        },
    })
}

/// Bytes to be written.
struct Out<'b>(&'b mut Vec<u8>);

impl Out<'_> {
    fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    fn u16(&mut self, number: u16) {
        self.0.extend(number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    /// In microseconds.
    fn time(&mut self, time: Option<Duration>) {
        self.u64(time.map_or(u64::MAX, |time| time.as_micros() as u64));
    }

    fn text(&mut self, text: &[u8]) {
        let text = start(text, usize::from(u16::MAX));
        self.u16(text.len() as u16);
        self.0.extend_from_slice(text);
    }

    /// The first part of a text, and whether that is not all.
    fn cut(&mut self, text: &[u8]) {
        self.text(start(text, LONGEST));
        self.u8(u8::from(text.len() > LONGEST));
    }
}

/// Bytes to be read.
struct In<'b>(&'b [u8]);

impl<'b> In<'b> {
    fn take(&mut self, many: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(many)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<Option<Duration>> {
        let micros = self.u64()?;
        Some((micros != u64::MAX).then(|| Duration::from_micros(micros)))
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let many = self.u16()?;
        self.take(usize::from(many))
    }

    fn text(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    fn uncut(&mut self) -> Option<String> {
        let text = self.bytes()?;
        let is_cut = self.u8()? != 0;
        // A cut may go through a letter.
        let text = String::from_utf8_lossy(text);
        Some(match is_cut {
            true => format!("{}…", text.trim_end_matches(char::REPLACEMENT_CHARACTER)),
            false => text.into_owned(),
        })
    }

    fn client(&mut self) -> Option<Option<IpAddr>> {
        let client = Ipv6Addr::from(self.array::<16>()?);
        Some((!client.is_unspecified()).then(|| IpAddr::V6(client).to_canonical()))
    }

    fn status(&mut self) -> Option<Option<u16>> {
        let status = self.u16()?;
        Some((status != 0).then_some(status))
    }

    fn attempt(&mut self) -> Option<KeptAttempt> {
        Some(KeptAttempt {
            pool: self.text()?,
            upstream: self.text()?,
            chosen: self.time()??,
            connected: self.time()?,
            sent: self.time()?,
            head: self.time()?,
            done: self.time()??,
            is_reused: self.u8()? != 0,
            status: self.status()?,
            cause: self.text()?,
        })
    }
}

fn start(text: &[u8], most: usize) -> &[u8] {
    &text[..text.len().min(most)]
}

fn to_v6(client: IpAddr) -> Ipv6Addr {
    match client {
        IpAddr::V4(client) => client.to_ipv6_mapped(),
        IpAddr::V6(client) => client,
    }
}

fn version_code(version: Version) -> u8 {
    match version {
        Version::HTTP_09 => 9,
        Version::HTTP_10 => 10,
        Version::HTTP_2 => 20,
        Version::HTTP_3 => 30,
        _ => 11,
    }
}

fn version_of(code: u8) -> Version {
    match code {
        9 => Version::HTTP_09,
        10 => Version::HTTP_10,
        20 => Version::HTTP_2,
        30 => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}

fn by_code(by: Option<By>) -> (u8, u16) {
    match by {
        None => (0, 0),
        Some(By::OptIn) => (1, 0),
        Some(By::Cohort(cohort)) => (2, cohort.get()),
        Some(By::Draw) => (3, 0),
        Some(By::StandIn) => (4, 0),
        Some(By::Shield) => (5, 0),
    }
}

fn by_of(code: u8, cohort: u16) -> Option<By> {
    match code {
        1 => Some(By::OptIn),
        2 => Some(By::Cohort(Cohort::new(cohort))),
        3 => Some(By::Draw),
        4 => Some(By::StandIn),
        5 => Some(By::Shield),
        _ => None,
    }
}
