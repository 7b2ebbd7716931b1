//! Any sequence of events, as bytes: three clients of one service, driven as a lane drives them, and a
//! panic where something does not hold.
//!
//! The lane's own rules are kept (nothing is heard of an attempt that has not begun); within them
//! everything may come after everything, with another snapshot in between. What must hold: each request
//! has one record, and nothing is held and nobody waits when all are gone.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Uri};

use super::phases::{Delivery, Link, Next};
use super::*;
use crate::config::Config;
use crate::http::admission::RequestTarget;
use crate::http::view::View;
use crate::snapshot::{Blueprint, Mode, RunTime};
use crate::split::Secret;

/// What is published, one after the other and round again: places are few and lines short, so that there
/// are lines, refusals, second attempts and fallbacks; a hold; another service behind the same route.
const FILES: [&str; 3] = [
    r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
split = { blue = 50, green = 50 }
override = { header = "x-pool" }
limits = { in_flight = 2, upstream_in_flight = 1, queue = 2, queue_timeout = "60s" }
retries = { statuses = [503], attempts = 2 }
fallback = { pool = "green", stale = { bytes = "64KiB" }, answer = { status = 503, body = "soon" } }
mirror = { to = "green", percent = 100, compare = {} }
rate_limit = { requests = 50, per = "1s", client_ip = true }
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80", "192.0.2.2:80"]
green.upstreams = ["192.0.2.3:80"]
"#,
    r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
split = { blue = 100, green = 0 }
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80"]
green.upstreams = ["192.0.2.3:80"]
"#,
    r#"
[[listeners]]
address = "127.0.0.1:0"
[[routes]]
path_prefix = "/old"
redirect = { to = "https://shop.test{path}" }
[[routes]]
service = "other"
[services.other]
limits = { in_flight = 1, queue = 1 }
[services.other.pools]
blue.upstreams = ["192.0.2.1:80"]
"#,
];

thread_local! {
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static DRAWN: Cell<u64> = const { Cell::new(0) };
    static BEGAN: Instant = Instant::now();
}

/// Time stands but for what is let pass, and chance goes on by one.
const CLOCK: Clock = Clock {
    now: || BEGAN.with(|began| *began) + Duration::from_secs(60) + PASSED.get(),
    wall: || SystemTime::UNIX_EPOCH + PASSED.get(),
    draw: || DRAWN.replace(DRAWN.get() + 1),
};

/// Counts records.
#[derive(Debug, Default)]
struct Records(AtomicU64);

impl Reader for Records {
    fn read(&self, _: &Record<'_>, _: &Snapshot) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What reads like a request.
#[derive(Clone, Copy)]
struct Asked(u8);

/// The fields that requests may have beside `Host`, by the bits of what is asked.
const FIELDS: [(&str, &str); 6] = [
    ("x-pool", "green"),
    ("content-length", "6"),
    ("upgrade", "websocket"),
    ("connection", "upgrade"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
];

const METHODS: [Method; 4] = [Method::GET, Method::PUT, Method::POST, Method::HEAD];

impl Asked {
    fn method(self) -> &'static Method {
        &METHODS[usize::from(self.0 >> 6)]
    }

    fn has_body(self) -> bool {
        self.0 & 2 != 0
    }

    fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("shop.test"));
        for (bit, (name, value)) in FIELDS.iter().enumerate() {
            if self.0 >> bit & 1 != 0 {
                headers.insert(*name, HeaderValue::from_static(value));
            }
        }
        headers
    }
}

/// A request in line: it gives up when its cell says so and it is asked the next time.
struct InLine {
    waits: Pin<Box<dyn Future<Output = Exchange>>>,
    gives_up: Rc<Cell<bool>>,
}

/// A connection's.
enum Client {
    /// Its exchange is here, whatever phase it is in.
    Here(Box<Exchange>),
    /// It stands in line.
    InLine(InLine),
}

/// What is driven.
struct Run<'b> {
    bytes: std::slice::Iter<'b, u8>,
    published: Arc<Published>,
    next_file: usize,
    records: Arc<Records>,
    requests: u64,
    clients: Vec<(Client, Asked)>,
    /// All that were in force; what was at a place there was held there.
    snapshots: Vec<Arc<Snapshot>>,
    seen: Seen,
}

/// What was driven, so that nobody takes idle clients for good ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Requests whose answer was passed on whole.
    pub relayed: u64,
    /// Requests that stood in line.
    pub waited: u64,
    /// Attempts behind a first one.
    pub again: u64,
    /// Requests that got an answer of ours.
    pub answered: u64,
}

/// Drives all that these bytes say, ends it, and looks.
pub(crate) fn run(bytes: &[u8]) -> Seen {
    // What these bytes do, they do again, whatever was driven before on this thread.
    PASSED.set(Duration::ZERO);
    DRAWN.set(0);
    let first = Arc::new(build(0, None));
    let mut run = Run {
        bytes: bytes.iter(),
        published: Arc::new(Published::of(first.clone())),
        next_file: 1,
        records: Arc::default(),
        requests: 0,
        clients: Vec::new(),
        snapshots: vec![first],
        seen: Seen::default(),
    };
    for _ in 0..3 {
        let exchange = run.open();
        run.clients.push((Client::Here(Box::new(exchange)), Asked(0)));
    }
    while let Some(what) = run.bytes.next().copied() {
        run.step(what);
    }
    run.check()
}

/// The snapshot of one of the files; every other time round its services are held.
fn build(at: usize, previous: Option<&Snapshot>) -> Snapshot {
    let (config, _) = Config::parse(FILES[at % FILES.len()]).expect("the files are good");
    let mut run_time = RunTime::default();
    if at / FILES.len() % 2 == 1 {
        let until =
            Moment::since(BEGAN.with(|began| *began), (CLOCK.now)()) + Duration::from_secs(5);
        run_time.modes = config
            .services
            .iter()
            .map(|service| (service.name.clone(), Mode::Hold { most: 2, until }))
            .collect();
    }
    let config = Arc::new(config);
    let (now, secret) = (BEGAN.with(|began| *began), Secret([7; 16]));
    Snapshot::build(&Blueprint { config, run_time: &run_time, secret, now }, previous)
}

impl Run<'_> {
    fn open(&self) -> Exchange {
        Exchange::open(CLOCK, self.published.clone(), self.records.clone())
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or_default()
    }

    /// One event of one client, or one that concerns all.
    fn step(&mut self, what: u8) {
        let detail = self.byte();
        let place = usize::from(what >> 4) % self.clients.len();
        match what & 15 {
            0..=2 => self.admit(place, Asked(detail)),
            3 => self.publish(),
            4 => PASSED.set(PASSED.get() + Duration::from_millis(u64::from(detail) * 40)),
            5 => self.give_up(place),
            6 => self.leave(place),
            event => self.hear(place, event, detail),
        }
        self.call();
    }

    fn publish(&mut self) {
        let next = build(self.next_file, Some(&self.published.load()));
        self.next_file += 1;
        self.published.publish(next);
        self.snapshots.push(self.published.load());
        let snapshot = self.published.load();
        snapshot.services.iter().flat_map(|service| service.queues()).for_each(|q| q.call_next());
    }

    /// The client sends its next request; what it had under way is over.
    fn admit(&mut self, place: usize, asked: Asked) {
        if matches!(self.clients[place].0, Client::InLine(_)) {
            // Whoever stands in line sends nothing that is read.
            return;
        }
        let other = Client::Here(Box::new(self.open()));
        let Client::Here(mut exchange) = std::mem::replace(&mut self.clients[place].0, other)
        else {
            return;
        };
        self.requests += 1;
        let gives_up = Rc::new(Cell::new(false));
        let told = gives_up.clone();
        let waits = Box::pin(async move {
            admit(&mut exchange, asked, &told).await;
            *exchange
        });
        self.clients[place] = (Client::InLine(InLine { waits, gives_up }), asked);
    }

    fn give_up(&mut self, place: usize) {
        if let Client::InLine(line) = &self.clients[place].0 {
            line.gives_up.set(true);
        }
    }

    /// The client goes away, wherever it is.
    fn leave(&mut self, place: usize) {
        if let Client::Here(exchange) = &mut self.clients[place].0 {
            exchange.left();
        }
        self.clients[place].0 = Client::Here(Box::new(self.open()));
    }

    /// Whoever stands in line looks whether it has been called.
    fn call(&mut self) {
        for (client, _) in &mut self.clients {
            if let Client::InLine(line) = client
                && let Poll::Ready(exchange) =
                    line.waits.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                self.seen.waited += u64::from(exchange.has_waited);
                *client = Client::Here(Box::new(exchange));
            }
        }
    }

    /// What comes of the attempt or of the answer under way.
    fn hear(&mut self, place: usize, event: u8, detail: u8) {
        let asked = self.clients[place].1;
        let Client::Here(exchange) = &mut self.clients[place].0 else { return };
        let headers = asked.headers();
        let view = View::Map(&headers);
        let sent = Sent { method: asked.method(), path_and_query: "/a?b", view };
        if let Some(mut relay) = exchange.relay() {
            match event {
                7 => relay.request_body(Some(b"a body"), true),
                8 => relay.trailers(View::Map(&answer(detail))),
                9 => relay.failed(CAUSES[usize::from(detail) % CAUSES.len()]),
                10 => {
                    relay.told(CLOCK.now());
                    let _ = relay.done(&sent);
                    self.seen.relayed += 1;
                }
                event => relay.body(Some(&Bytes::from_static(b"hello")), event & 1 == 0),
            }
            return;
        }
        let Some(mut attempt) = exchange.attempt() else {
            self.seen.answered += u64::from(exchange.phase == Phase::Examined);
            let _ = exchange.end(Some(503), &sent);
            return;
        };
        let link = if detail & 1 == 0 { Link::New } else { Link::Kept };
        let delivery = Delivery {
            was_sent: detail & 2 != 0,
            was_stale: detail & 1 != 0,
            can_replay: detail & 4 != 0,
        };
        let cause = match event {
            7 | 11 => {
                attempt.connected(link, CLOCK.now());
                let upload = if asked.has_body() { Upload::ToCome } else { Upload::Done };
                attempt.request_head(&sent, upload);
                if event == 11 && asked.has_body() {
                    attempt.request_body(Some(b"a body"), true);
                }
                return;
            }
            8 => return attempt.request_body(Some(b"a bo"), false),
            9 => match attempt.failed(CAUSES[usize::from(detail) % CAUSES.len()], delivery) {
                Ok(_) => {
                    self.seen.again += 1;
                    None
                }
                Err(cause) => Some(cause),
            },
            _ => {
                let headers = answer(detail);
                let status = STATUSES[usize::from(detail) % STATUSES.len()];
                match attempt.head(status, View::Map(&headers), delivery) {
                    Next::Interim(_) | Next::Forward(_) => None,
                    Next::Again(_) => {
                        self.seen.again += 1;
                        None
                    }
                    Next::Answer(cause) => Some(cause),
                }
            }
        };
        if let Some(cause) = cause {
            let told = exchange.give_up(cause, &Fields::new(view)).status;
            let _ = exchange.end(Some(told), &sent);
        }
    }

    /// All go, and nothing is left of them.
    fn check(mut self) -> Seen {
        self.clients.clear();
        assert_eq!(self.records.0.load(Ordering::Relaxed), self.requests, "records and requests");
        for service in self.snapshots.iter().flat_map(|snapshot| &snapshot.services) {
            assert_eq!((service.state.load().all, service.waiting()), (0, 0), "{}", service.name);
            for pool in &service.pools {
                assert_eq!(pool.state.load().all, 0, "{}", pool.name);
                for member in pool.members.list() {
                    assert_eq!(member.upstream.in_flight(), 0, "{}", member.upstream.name);
                }
            }
        }
        self.seen
    }
}

/// Has it be admitted, waits its turn, and has what refuses it told.
async fn admit(exchange: &mut Exchange, asked: Asked, gives_up: &Cell<bool>) {
    let headers = asked.headers();
    let uri = Uri::from_static("/a?b");
    let (method, version) = (asked.method(), Version::HTTP_11);
    let (target, view) = (RequestTarget::read(b"/a?b", &uri), View::Map(&headers));
    let upload = if asked.has_body() { Upload::ToCome } else { Upload::Done };
    let head = Head { method, target, version, view, raw: b"", upload };
    let peer = Peer::new([192, 0, 2, 9].into(), "http", CLOCK.now());
    let mut admission = exchange.admit(&head, &peer);
    while let Admission::Wait(mut line) = admission {
        let is_called = {
            let mut turn = std::pin::pin!(line.turn());
            std::future::poll_fn(|cx| match turn.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending if gives_up.get() => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        gives_up.set(false);
        admission = if is_called { line.called() } else { line.gave_up() };
    }
}

/// The fields of an upstream's answer.
fn answer(detail: u8) -> HeaderMap {
    let fields = [
        ("content-length", "5"),
        ("cache-control", "public, max-age=60"),
        ("upgrade", "websocket"),
        ("grpc-status", "14"),
    ];
    let mut headers = HeaderMap::new();
    for (bit, (name, value)) in fields.into_iter().enumerate() {
        if detail >> (bit + 4) & 1 != 0 {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    headers
}

const STATUSES: [u16; 9] = [200, 503, 103, 101, 404, 204, 500, 304, 200];

const CAUSES: [Cause; 8] = [
    Cause::Reset,
    Cause::Connect,
    Cause::ConnectTimeout,
    Cause::ResponseTimeout,
    Cause::BadResponse,
    Cause::ClientTimeout,
    Cause::ClientGone,
    Cause::Exhausted,
];
