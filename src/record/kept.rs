//! A record as the ring of the last requests keeps it: a record in, bytes out, and the other way.
//!
//! Places in a snapshot mean nothing in the next one, so that names are kept. Of a request and of each
//! attempt the numbers come first, as one block of known length, then the texts that the block has the
//! lengths of: a block is written in one go, which costs a third of what each field for itself does.
//! These bytes never leave the process.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use http::Version;

use super::{Own, Record};
use crate::balance::NotTaken;
use crate::clock::{Moment, WallTime};
use crate::http::failure::Cause;
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
    /// Why it has no upstream's answer, as the table of causes names it, or which rule of HTTP it breaks;
    /// empty if it has one.
    pub cause: String,
    /// From the end of its head to the end of its answer, but for the time it waited in line.
    pub duration: Duration,
    /// For how long it waited in line.
    pub waited: Duration,
    /// For how long its connection had been open when the end of its head had been read.
    pub connection_age: Duration,
    /// Its service; empty if it had none.
    pub service: String,
    /// Which of the routes to its service it came by, counted from 0 in the file's order.
    pub route: Option<u16>,
    /// The pool it belongs to; empty if it had none.
    pub pool: String,
    /// The service's traffic state that it saw.
    pub revision: u64,
    /// What chose its pool.
    pub by: Option<By>,
    /// Its trace and our own part in it, in hex digits; empty if it never got so far.
    pub trace: (String, String),
    /// Whether it was decided when it began that a collector is told of it.
    pub is_sampled: bool,
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
    /// When it began: then, or after a pause.
    pub began: Duration,
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
    /// Bytes of the request's body that were sent.
    pub to_upstream: u64,
    /// Bytes of the answer's body that came.
    pub from_upstream: u64,
}

/// Bytes of a request's numbers.
const REQUEST: usize = 14 + 133;

/// Bytes of an attempt's numbers.
const ATTEMPT: usize = 6 + 67;

/// Writes a record's bytes after what is there.
pub(crate) fn encode(record: &Record<'_>, snapshot: &Snapshot, into: &mut Vec<u8>) {
    let (noted, said) = (record.noted, &record.said);
    let service = record.service().map(|service| &snapshot.services[service]);
    let pools = service.map_or(&[][..], |service| &service.pools);
    let pool_name = |pool: usize| pools.get(pool).map_or("", |pool| &*pool.name).as_bytes();
    let upstream = |pool: usize, member: usize| {
        let member = pools.get(pool).and_then(|pool| pool.members.list().get(member));
        member.map_or("", |member| &*member.upstream.name).as_bytes()
    };
    let (host, path) = (said.host, said.path().as_bytes());
    let texts = [
        start(record.request_id, usize::from(u16::MAX)),
        start(said.method.as_bytes(), LONGEST_METHOD),
        start(host, LONGEST),
        start(path, LONGEST),
        record.cause.map_or("", Cause::reason).as_bytes(),
        service.map_or(record.own.map_or("", Own::name), |service| &*service.name).as_bytes(),
        record.pool.map_or(&[][..], |(_, pool)| pool_name(pool)),
    ];
    let (by, cohort) = by_code(noted.by);
    let client = noted.client.map_or(Ipv6Addr::UNSPECIFIED, to_v6);
    let (trace, span) = noted.trace.unwrap_or(([0; 32], [0; 16]));
    let mut numbers = Numbers::<REQUEST>::of(&texts);
    numbers.put([u8::from(host.len() > LONGEST), u8::from(path.len() > LONGEST)]);
    numbers.put(record.at.micros().to_le_bytes());
    numbers.put(client.octets());
    numbers.put([version_code(noted.version), by]);
    numbers.put(cohort.to_le_bytes());
    numbers.put(record.status.unwrap_or(0).to_le_bytes());
    numbers.put(noted.route.map_or(u16::MAX, |nth| nth as u16).to_le_bytes());
    numbers.put(service.map_or(0, |service| service.revision).to_le_bytes());
    for time in [record.duration, record.waited, noted.connection_age] {
        numbers.time(time);
    }
    numbers.put(trace);
    numbers.put(span);
    numbers.put([u8::from(record.is_sampled())]);
    numbers.put(noted.from_client.to_le_bytes());
    numbers.put(noted.to_client.to_le_bytes());
    numbers.put([noted.attempts.len() as u8, noted.not_taken.len() as u8]);
    numbers.end(&texts, into);
    for attempt in &noted.attempts {
        let texts = [
            pool_name(attempt.pool),
            upstream(attempt.pool, attempt.member),
            attempt.cause.map_or("", Cause::reason).as_bytes(),
        ];
        let mut numbers = Numbers::<ATTEMPT>::of(&texts);
        let (chosen, began, done) = (attempt.chosen, attempt.began, attempt.done);
        let times = [Some(chosen), Some(began), attempt.connected, attempt.sent, attempt.head];
        for at in times.into_iter().chain([Some(done)]) {
            let micros = at.map_or(u64::MAX, |at| at.micros().saturating_sub(record.at.micros()));
            numbers.put(micros.to_le_bytes());
        }
        numbers.put([u8::from(attempt.is_reused)]);
        numbers.put(attempt.status.unwrap_or(0).to_le_bytes());
        numbers.put(attempt.to_upstream.to_le_bytes());
        numbers.put(attempt.from_upstream.to_le_bytes());
        numbers.end(&texts, into);
    }
    for passed in &noted.not_taken {
        let texts = [pool_name(passed.pool), upstream(passed.pool, passed.member)];
        let mut numbers = Numbers::<5>::of(&texts);
        numbers.put([passed.why as u8]);
        numbers.end(&texts, into);
    }
}

/// Whether these bytes are of the request with this id.
pub(super) fn is_of(bytes: &[u8], request_id: &str) -> bool {
    let mut from = In(bytes);
    let length = from.u16().map(usize::from);
    let id = bytes.get(REQUEST..).zip(length).and_then(|(texts, length)| texts.get(..length));
    id == Some(request_id.as_bytes())
}

/// Reads a record's bytes; none if they are none. `known` is some time twice.
pub(crate) fn decode(bytes: &[u8], known: (Moment, WallTime)) -> Option<Kept> {
    let mut from = In(bytes);
    let lengths = from.lengths::<7>()?;
    let [is_host_cut, is_path_cut] = from.array()?.map(|flag: u8| flag != 0);
    let at = Moment::from_micros(from.u64()?);
    let client = from.client()?;
    let [version, by] = from.array()?;
    let cohort = from.u16()?;
    let status = from.status()?;
    let route = Some(from.u16()?).filter(|nth| *nth != u16::MAX);
    let revision = from.u64()?;
    let [duration, waited, connection_age] = [from.time()??, from.time()??, from.time()??];
    let trace = (from.hex::<32>()?, from.hex::<16>()?);
    let is_sampled = from.u8()? != 0;
    let (from_client, to_client) = (from.u64()?, from.u64()?);
    let [attempts, not_taken]: [u8; 2] = from.array()?;
    let [id, method, host, path, cause, service, pool] = from.texts(lengths)?;
    Some(Kept {
        at: at.on(known),
        request_id: text(id),
        method: text(method),
        host: uncut(host, is_host_cut),
        path: uncut(path, is_path_cut),
        version: version_of(version),
        client,
        status,
        cause: text(cause),
        duration,
        waited,
        connection_age,
        service: text(service),
        route,
        pool: text(pool),
        revision,
        by: by_of(by, cohort),
        trace,
        is_sampled,
        from_client,
        to_client,
        attempts: (0..attempts).map(|_| from.attempt()).collect::<Option<_>>()?,
        not_taken: (0..not_taken).map(|_| from.passed_over()).collect::<Option<_>>()?,
    })
}

/// Numbers on their way into a record: `N` bytes, of which the lengths of its texts come first.
struct Numbers<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> Numbers<N> {
    fn of(texts: &[&[u8]]) -> Numbers<N> {
        let mut numbers = Numbers { bytes: [0; N], used: 0 };
        texts.iter().for_each(|text| numbers.put((text.len() as u16).to_le_bytes()));
        numbers
    }

    #[inline]
    fn put<const M: usize>(&mut self, bytes: [u8; M]) {
        self.bytes[self.used..self.used + M].copy_from_slice(&bytes);
        self.used += M;
    }

    /// In microseconds.
    #[inline]
    fn time(&mut self, time: Duration) {
        // `as_micros` has 128 bits and costs four times as much.
        let micros =
            time.as_secs().wrapping_mul(1_000_000).wrapping_add(time.subsec_micros().into());
        self.put(micros.to_le_bytes());
    }

    fn end(self, texts: &[&[u8]], into: &mut Vec<u8>) {
        debug_assert_eq!(self.used, N);
        into.reserve(N + texts.iter().map(|text| text.len()).sum::<usize>());
        into.extend_from_slice(&self.bytes);
        texts.iter().for_each(|text| into.extend_from_slice(text));
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

    fn lengths<const N: usize>(&mut self) -> Option<[usize; N]> {
        let mut lengths = [0; N];
        for length in &mut lengths {
            *length = usize::from(self.u16()?);
        }
        Some(lengths)
    }

    fn texts<const N: usize>(&mut self, lengths: [usize; N]) -> Option<[&'b [u8]; N]> {
        let mut texts = [&[][..]; N];
        for (text, length) in texts.iter_mut().zip(lengths) {
            *text = self.take(length)?;
        }
        Some(texts)
    }

    /// Hex digits; empty if there are none.
    fn hex<const N: usize>(&mut self) -> Option<String> {
        let digits = self.array::<N>()?;
        Some(if digits == [0; N] { String::new() } else { text(&digits) })
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
        let lengths = self.lengths()?;
        let [chosen, began] = [self.time()??, self.time()??];
        let [connected, sent, head, done] =
            [self.time()?, self.time()?, self.time()?, self.time()?];
        let is_reused = self.u8()? != 0;
        let status = self.status()?;
        let (to_upstream, from_upstream) = (self.u64()?, self.u64()?);
        let [pool, upstream, cause] = self.texts(lengths)?.map(text);
        let done = done?;
        Some(KeptAttempt {
            pool,
            upstream,
            chosen,
            began,
            connected,
            is_reused,
            sent,
            head,
            done,
            status,
            cause,
            to_upstream,
            from_upstream,
        })
    }

    fn passed_over(&mut self) -> Option<(String, String, NotTaken)> {
        let lengths = self.lengths()?;
        let why = NotTaken::of_code(self.u8()?)?;
        let [pool, upstream] = self.texts(lengths)?.map(text);
        Some((pool, upstream, why))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn uncut(bytes: &[u8], is_cut: bool) -> String {
    // A cut may go through a letter.
    match is_cut {
        true => format!("{}…", text(bytes).trim_end_matches(char::REPLACEMENT_CHARACTER)),
        false => text(bytes),
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
