//! A decision takes no memory from the allocator, and neither does a request.

#![allow(unsafe_code, reason = "a counting allocator is unsafe to write, and only a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method};
use pointsman::clock::{Clock, Draws};
use pointsman::config::Config;
use pointsman::exchange::Exchange;
use pointsman::exchange::phases::{Admission, Delivery, Link, Next, Sent};
use pointsman::http::admission::{Head, RequestTarget, Upload};
use pointsman::http::fields::Fields;
use pointsman::http::forwarded::Peer;
use pointsman::http::view::View;
use pointsman::record::Rings;
use pointsman::route::Facts;
use pointsman::snapshot::{Asks, Blueprint, Published, RunTime, Snapshot};
use pointsman::split::Secret;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches a plain cell of
// the thread, which needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.with(|taken| taken.set(taken.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn deciding_allocates_nothing() {
    let mut text = "[[listeners]]\naddress = \":0\"\n".to_string();
    for n in 0..1_000 {
        text.push_str(&format!(
            "[[routes]]\nhosts = [\"h{n}.test\"]\npath_prefix = \"/a/b/c\"\nservice = \"s\"\n"
        ));
    }
    text.push_str(
        "[services.s]\nsplit = { a = 50, b = 50 }\nsticky = { cookie = \"sid\", own_cookie = true }\n\
         rate_limit = { requests = 1_000_000, cookie = \"sid\", client_ip = true }\n\
         [services.s.pools]\na.upstreams = [\"10.0.0.1:1\", \"10.0.0.2:1\"]\n\
         b.upstreams = [\"10.0.0.3:1\"]\n\
         [flags.on]\npercent = 100\nservices = \"s\"\n\
         [flags.off]\npercent = 0\nservices = \"s\"\n",
    );
    let (config, _) = Config::parse(&text).unwrap();
    let blueprint = Blueprint {
        config: Arc::new(config),
        run_time: &RunTime::default(),
        now: Instant::now(),
        secret: Secret([1; 16]),
    };
    let snapshot = Snapshot::build(&blueprint, None);
    let with =
        |cookie: &str| HeaderMap::from_iter([(http::header::COOKIE, cookie.parse().unwrap())]);
    let (known, new) = (with("x=1; sid=42"), with("x=1; pointsman_cohort=forged"));
    let facts = |headers| Facts {
        path_and_query: "",
        tester: None,
        is_doubtful: false,
        method: &Method::GET,
        host: "h500.test",
        path: "/a/b/c/d/e/f",
        fields: Fields::new(headers),
        client: Some([192, 0, 2, 1].into()),
    };
    let service = &snapshot.services[0];
    let now = snapshot.moment(Instant::now());
    let mut draws = Draws::seeded(1);
    let mut decide = |headers| {
        let facts = facts(headers);
        assert!(snapshot.refuse_by_rate(&facts, None, now, |_| {}).is_none());
        let decision = snapshot.choose(&facts, Asks::default(), now, &mut draws).unwrap();
        let on = service.flags_on(&facts, decision.made, &mut draws);
        (decision.made.is_some(), service.flags.value(on).unwrap())
    };
    // The first copy of a field's value makes it one that is shared.
    assert_eq!(decide(&known), (false, "on".parse().unwrap()));
    let before = TAKEN.with(Cell::get);
    for _ in 0..500 {
        assert!(!decide(&known).0 && decide(&new).0);
    }
    assert_eq!(TAKEN.with(Cell::get) - before, 0);
}

#[test]
fn a_request_takes_no_memory_from_its_head_to_its_record() {
    let traces = "[traces]\nendpoint = \"http://127.0.0.1:4318\"\nshare = 0\n";
    for more in ["", traces] {
        assert_eq!(taken_by_requests(more), [0; 3], "{more}");
    }
}

/// What each of a few requests takes, with these lines in the file.
fn taken_by_requests(more: &str) -> [u64; 3] {
    let text = "[[listeners]]\naddress = \":0\"\n\
         [[routes]]\npath_prefix = \"/\"\nservice = \"s\"\n\
         [services.s]\nsplit = { a = 90, b = 10 }\nsticky = { cookie = \"sid\" }\n\
         override = { header = \"x-pool\" }\n[services.s.pools]\n\
         a.upstreams = [\"10.0.0.1:1\", \"10.0.0.2:1\"]\nb.upstreams = [\"10.0.0.3:1\"]\n";
    let (config, _) = Config::parse(&format!("{more}{text}")).unwrap();
    let blueprint = Blueprint {
        config: Arc::new(config),
        run_time: &RunTime::default(),
        now: Instant::now(),
        secret: Secret([1; 16]),
    };
    let published = Arc::new(Published::of(Arc::new(Snapshot::build(&blueprint, None))));
    let clock = Clock { now: Instant::now, wall: std::time::SystemTime::now, draw: || 42 };
    let peer = Peer::new([192, 0, 2, 1].into(), "http", Instant::now());
    let fields = [("host", "h.test"), ("accept", "*/*"), ("cookie", "sid=1")];
    let field =
        |(name, value): (&'static str, &str)| (name.parse().unwrap(), value.parse().unwrap());
    let headers: HeaderMap = fields.map(field).into_iter().collect();
    let answer = HeaderMap::from_iter([("content-length", "2")].map(field));
    let (uri, version) = ("/".parse().unwrap(), http::Version::HTTP_11);
    let target = RequestTarget::read(b"/", &uri);
    let view = View::Map(&headers);
    let head = Head { method: &Method::GET, target, version, view, raw: b"", upload: Upload::Done };
    let sent = Sent { method: &Method::GET, path_and_query: "/", view };
    let delivery = Delivery { was_sent: true, was_stale: false, can_replay: true };
    let mut exchange = Exchange::open(clock, published, Arc::new(Rings::new(1 << 20, 1)));
    let mut serve = || {
        let before = TAKEN.with(Cell::get);
        let Admission::Forward(admitted) = exchange.admit(&head, &peer) else { panic!("refused") };
        let mut attempt = admitted.next();
        attempt.connected(Link::Kept, Instant::now());
        attempt.request_head(&sent, Upload::Done);
        let Next::Forward(mut relay) = attempt.head(200, View::Map(&answer), delivery) else {
            panic!("given up")
        };
        relay.body(None, true);
        relay.done(&sent);
        TAKEN.with(Cell::get) - before
    };
    // The first one fills what stays.
    serve();
    [(); 3].map(|()| serve())
}

#[test]
fn ten_thousand_routes_load() {
    let mut text = "[[listeners]]\naddress = \":0\"\n".to_string();
    for n in 0..10_000 {
        text.push_str(&format!(
            "[[routes]]\nhosts = [\"h{}.test\"]\npath_prefix = \"/p{n}\"\nservice = \"s\"\n",
            n % 500
        ));
    }
    text.push_str("[services.s.pools]\na.upstreams = [\"10.0.0.1:1\"]\n");
    let (config, warnings) = Config::parse(&text).unwrap();
    assert!(config.routes.len() == 10_000 && warnings.0.is_empty());
}
