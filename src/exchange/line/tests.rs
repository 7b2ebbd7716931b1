use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime};

use http::header::HeaderName;
use http::{HeaderMap, Method, Uri, Version};

use super::super::tests::{build, finish, last, names, snapshot_of};
use super::*;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::exchange::Cause;
use crate::http::admission::{Head, RequestTarget};
use crate::http::forwarded::Peer;
use crate::http::view::View;
use crate::snapshot::{Published, RunTime, Snapshot};

type Asking = Pin<Box<dyn Future<Output = (Exchange, Result<(), Cause>)>>>;

/// Two pools of one upstream each, which holds one request; a queue long and patient enough.
fn text(limits: &str) -> String {
    format!(
        r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
split = {{ blue = 50, green = 50 }}
override = {{ header = "x-pool" }}
limits = {{ upstream_in_flight = 1, queue = 9, queue_timeout = "60s", {limits} }}
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80"]
green.upstreams = ["192.0.2.2:80"]
"#
    )
}

/// One service, and whoever asks it. Nobody is woken: who is called looks when it is polled.
struct Bench {
    clock: Clock,
    snapshot: Arc<Snapshot>,
}

impl Bench {
    fn new(limits: &str) -> Bench {
        static SEED: AtomicU64 = AtomicU64::new(0);
        let draw = || SEED.fetch_add(1, Ordering::Relaxed);
        Bench {
            clock: Clock { now: Instant::now, wall: SystemTime::now, draw },
            snapshot: snapshot_of(&text(limits)),
        }
    }

    /// A request to this pool, or to the one that is drawn.
    fn ask(&self, pool: Option<&str>) -> Asking {
        self.ask_as(pool, Upload::Done)
    }

    fn ask_as(&self, pool: Option<&str>, upload: Upload) -> Asking {
        let published = Arc::new(Published::of(self.snapshot.clone()));
        let mut exchange = Exchange::open(self.clock, published, last());
        let mut headers = HeaderMap::new();
        headers.insert("host", "shop.test".parse().unwrap());
        pool.into_iter().for_each(|pool| drop(headers.insert("x-pool", pool.parse().unwrap())));
        Box::pin(async move {
            let uri = Uri::from_static("/");
            let (method, version) = (&Method::GET, Version::HTTP_11);
            let target = RequestTarget::read(b"/", &uri);
            let view = View::Map(&headers);
            let head = Head { method, target, version, view, raw: b"", upload };
            let peer = Peer::new([192, 0, 2, 9].into(), "http", Instant::now());
            let mut admission = exchange.admit(&head, &peer);
            let is_let_in = loop {
                let mut line = match admission {
                    Admission::Forward(_) => break true,
                    Admission::Answer(_) => break false,
                    Admission::Wait(line) => line,
                    Admission::Door(_) => panic!("nobody asks for more"),
                };
                assert!(line.within() > Duration::ZERO);
                line.turn().await;
                admission = line.called();
            };
            let result = if is_let_in { Ok(()) } else { Err(exchange.cause().unwrap()) };
            (exchange, result)
        })
    }

    /// The request under way, if it does not wait.
    fn poll(&self, asking: &mut Asking) -> Option<Exchange> {
        match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready((exchange, Ok(()))) => Some(exchange),
            Poll::Ready((_, Err(cause))) => panic!("{cause:?}"),
            Poll::Pending => None,
        }
    }

    fn begin(&self, pool: &str) -> Exchange {
        self.poll(&mut self.ask(Some(pool))).expect("it does not wait")
    }

    fn wait(&self, pool: Option<&str>) -> Asking {
        let mut asking = self.ask(pool);
        assert!(self.poll(&mut asking).is_none(), "it waits");
        asking
    }

    /// A request to blue whose body is on its way.
    fn send(&self) -> Asking {
        self.ask_as(Some("blue"), Upload::ToCome)
    }

    /// How many wait for the service, for blue and for green.
    fn waiting(&self) -> [usize; 3] {
        let queues: Vec<_> = self.snapshot.services[0].queues().collect();
        [queues[0].waiting(), queues[1].waiting(), queues[2].waiting()]
    }
}

#[test]
fn a_full_pool_keeps_nobody_from_another() {
    let bench = Bench::new("");
    let _blue = bench.begin("blue");
    let _waiting = [bench.wait(Some("blue")), bench.wait(Some("blue"))];
    drop(bench.begin("green"));
    drop(bench.begin("green"));
    assert_eq!((bench.waiting(), bench.snapshot.services[0].waiting()), ([0, 2, 0], 2));
}

#[test]
fn nobody_overtakes_one_who_was_called_and_has_not_looked_yet() {
    for limits in ["", "in_flight = 1"] {
        let bench = Bench::new(limits);
        let holder = bench.begin("blue");
        let mut first = bench.wait(Some("blue"));
        drop(holder);
        let mut late = bench.wait(Some("blue"));
        let first = bench.poll(&mut first).expect("its turn has come");
        assert!(bench.poll(&mut late).is_none());
        drop(first);
        assert!(bench.poll(&mut late).is_some());
    }
}

#[test]
fn who_needs_two_places_overtakes_in_neither_line() {
    let bench = Bench::new("in_flight = 2");
    let blue = bench.begin("blue");
    let mut for_blue = bench.wait(Some("blue"));
    let green = bench.begin("green");
    let mut for_green = bench.wait(Some("green"));
    assert_eq!(bench.waiting(), [1, 1, 0]);
    drop(blue);
    assert!(bench.poll(&mut for_blue).is_none(), "the other has waited longer for the service");
    assert_eq!(bench.waiting(), [2, 0, 0]);
    assert!(bench.poll(&mut for_green).is_none(), "green is still full");
    assert_eq!(bench.waiting(), [1, 0, 1], "it has passed its turn on");
    assert!(bench.poll(&mut for_blue).is_some());
    drop(green);
    assert!(bench.poll(&mut for_green).is_some());
    assert_eq!(bench.waiting(), [0; 3]);
}

#[test]
fn who_has_stood_in_one_line_keeps_its_turn_while_it_stands_in_the_other() {
    let bench = Bench::new("in_flight = 2");
    let (blue, green) = (bench.begin("blue"), bench.begin("green"));
    let mut first = bench.wait(Some("blue"));
    drop(green);
    assert!(bench.poll(&mut first).is_none());
    assert_eq!(bench.waiting(), [0, 1, 0], "the service has room, blue has none");
    let mut second = bench.wait(Some("blue"));
    let green = bench.begin("green");
    let mut third = bench.wait(Some("green"));
    drop(blue);
    let first = bench.poll(&mut first).expect("in both lines it stood before the others");
    assert!(bench.poll(&mut second).is_none() && bench.poll(&mut third).is_none());
    drop((first, green));
    assert!(bench.poll(&mut second).is_some() && bench.poll(&mut third).is_some());
}

#[test]
fn who_is_not_known_keeps_its_drawn_pool_while_it_waits() {
    let bench = Bench::new("");
    let mut drawn = [0; 2];
    for _ in 0..32 {
        let mut holders = [Some(bench.begin("blue")), Some(bench.begin("green"))];
        let mut asking = bench.wait(None);
        let pool = bench.waiting()[1..].iter().position(|&waiting| waiting == 1).unwrap();
        holders[1 - pool] = None;
        assert!(bench.poll(&mut asking).is_none(), "it does not flow over into the other");
        holders[pool] = None;
        let exchange = bench.poll(&mut asking).expect("its turn has come");
        assert_eq!(names(&exchange).1, ["blue", "green"][pool]);
        drawn[pool] += 1;
    }
    assert!(drawn.iter().all(|&times| times > 0), "{drawn:?}");
}

#[test]
fn who_gives_up_lets_the_next_one_in() {
    let bench = Bench::new("");
    let holder = bench.begin("blue");
    let (first, mut second) = (bench.wait(Some("blue")), bench.wait(Some("blue")));
    drop(holder);
    drop(first);
    assert!(bench.poll(&mut second).is_some());
    assert_eq!(bench.waiting(), [0; 3]);
}

#[test]
fn time_in_line_is_not_the_pools() {
    static PASSED: AtomicU64 = AtomicU64::new(0);
    static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let now =
        || *ZERO.get_or_init(Instant::now) + Duration::from_secs(PASSED.load(Ordering::Relaxed));
    let mut bench = Bench::new("");
    bench.clock.now = now;
    let nanos = |bench: &Bench| bench.snapshot.services[0].pools[0].state.tally.read().nanos;
    let mut holder = bench.begin("blue");
    let (mut served, left) = (bench.wait(Some("blue")), bench.wait(Some("blue")));
    PASSED.store(7, Ordering::Relaxed);
    finish(&mut holder, Some(200));
    assert_eq!(nanos(&bench), 7_000_000_000);
    let mut served = bench.poll(&mut served).expect("its turn has come");
    PASSED.store(9, Ordering::Relaxed);
    finish(&mut served, Some(200));
    assert_eq!(nanos(&bench), 9_000_000_000);
    drop(left);
    assert_eq!(nanos(&bench), 9_000_000_000, "it has got nothing else");
}

#[test]
fn who_waits_too_long_is_refused_and_lets_the_next_one_in() {
    let bench = Bench::new("");
    let _blue = bench.begin("blue");
    let mut exchange =
        Exchange::open(bench.clock, Arc::new(Published::of(bench.snapshot.clone())), last());
    let headers = HeaderMap::from_iter(
        [("host", "shop.test"), ("x-pool", "blue")]
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())),
    );
    let (uri, peer) =
        (Uri::from_static("/"), Peer::new([192, 0, 2, 9].into(), "http", Instant::now()));
    let (target, version) = (RequestTarget::read(b"/", &uri), Version::HTTP_11);
    let (method, view) = (&Method::GET, View::Map(&headers));
    let head = Head { method, target, version, view, raw: b"", upload: Upload::Done };
    let Admission::Wait(line) = exchange.admit(&head, &peer) else { panic!("it waits") };
    assert!(line.within() > Duration::from_secs(59) && bench.waiting() == [0, 1, 0]);
    let Admission::Answer(answer) = line.gave_up() else { panic!("it is refused") };
    assert_eq!((answer.status, bench.waiting()), (503, [0; 3]));
    assert_eq!(exchange.cause(), Some(Cause::Full));
}

#[test]
fn a_call_waits_in_line_for_as_long_as_its_client_does() {
    static PASSED: AtomicU64 = AtomicU64::new(0);
    static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let now = || {
        let passed = Duration::from_millis(PASSED.load(Ordering::Relaxed));
        *ZERO.get_or_init(Instant::now) + Duration::from_secs(60) + passed
    };
    let mut bench = Bench::new("");
    bench.clock.now = now;
    let _blue = bench.begin("blue");
    let published = Arc::new(Published::of(bench.snapshot.clone()));
    let mut exchange = Exchange::open(bench.clock, published, last());
    let fields = [
        ("host", "shop.test"),
        ("x-pool", "blue"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", "300m"),
    ];
    let headers = HeaderMap::from_iter(
        fields.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())),
    );
    let (uri, peer) = (Uri::from_static("/"), Peer::new([192, 0, 2, 9].into(), "http", now()));
    let (target, version) = (RequestTarget::read(b"/", &uri), Version::HTTP_2);
    let (method, view) = (&Method::POST, View::Map(&headers));
    let head = Head { method, target, version, view, raw: b"", upload: Upload::Done };
    let Admission::Wait(line) = exchange.admit(&head, &peer) else { panic!("it waits") };
    assert_eq!(line.within(), Duration::from_millis(300));
    PASSED.store(100, Ordering::Relaxed);
    let Admission::Wait(line) = line.called() else { panic!("there is no place yet") };
    assert_eq!(line.within(), Duration::from_millis(200));
    PASSED.store(300, Ordering::Relaxed);
    let Admission::Answer(answer) = line.gave_up() else { panic!("nobody waits for it") };
    assert_eq!((answer.status, bench.waiting()), (200, [0; 3]));
    assert!(answer.fields.iter().any(|(name, value)| name == "grpc-status" && value == "4"));
    assert_eq!(exchange.cause(), Some(Cause::CallOver));
}

#[test]
fn a_hold_that_is_over_holds_nobody_and_lets_those_in_line_pass_in_order() {
    static PASSED: AtomicU64 = AtomicU64::new(0);
    static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let now =
        || *ZERO.get_or_init(Instant::now) + Duration::from_secs(PASSED.load(Ordering::Relaxed));
    let mode = |until: Moment| {
        let modes = [("shop".into(), Mode::Hold { most: 9, until })].into_iter().collect();
        build(&text(""), RunTime { modes, ..RunTime::default() })
    };
    let mut bench = Bench::new("");
    bench.clock.now = now;
    bench.snapshot = mode(Moment::from_micros(7_000_000));
    let mut waiting = [bench.wait(Some("blue")), bench.wait(Some("blue"))];
    assert_eq!(bench.waiting(), [2, 0, 0]);
    PASSED.store(8, Ordering::Relaxed);
    let mut late = bench.wait(Some("green"));
    assert!(bench.poll(&mut waiting[0]).is_none(), "nobody has called");
    bench.snapshot.services[0].state.queue.call_next();
    let first = bench.poll(&mut waiting[0]).expect("the hold is over");
    assert!(bench.poll(&mut waiting[1]).is_none(), "blue is full");
    assert!(bench.poll(&mut late).is_some(), "who came last has overtaken nobody");
    assert_eq!(bench.waiting(), [0, 1, 0]);
    drop(first);
    assert!(bench.poll(&mut waiting[1]).is_some());
}

/// The end of its body.
fn end_body(exchange: &mut Exchange) {
    exchange.attempt().unwrap().request_body(None, true);
}

#[test]
fn whose_body_has_come_goes_first() {
    let bench = Bench::new("");
    let holder = bench.begin("blue");
    let mut slow = bench.send();
    assert!(bench.poll(&mut slow).is_none());
    let mut whole = bench.wait(Some("blue"));
    drop(holder);
    assert!(bench.poll(&mut slow).is_none());
    let whole = bench.poll(&mut whole).expect("it goes first");
    assert!(bench.poll(&mut slow).is_none());
    drop(whole);
    assert!(bench.poll(&mut slow).is_some());
    assert_eq!(bench.waiting(), [0; 3]);
}

#[test]
fn who_waits_for_room_for_a_body_keeps_nobody_from_a_place() {
    let bench = Bench::new("uploads = 1");
    let mut first = bench.poll(&mut bench.send()).expect("there is room");
    let mut second = bench.send();
    assert!(bench.poll(&mut second).is_none());
    assert_eq!(bench.waiting(), [1, 0, 0]);
    for _ in 0..3 {
        drop(bench.begin("blue"));
        assert!(bench.poll(&mut second).is_none());
    }
    end_body(&mut first);
    assert!(bench.poll(&mut second).is_none(), "there is room, and no place any more");
    assert_eq!(bench.waiting(), [0, 1, 0]);
    drop(first);
    assert!(bench.poll(&mut second).is_some());
    assert_eq!(bench.waiting(), [0; 3]);
}

#[test]
fn room_that_a_given_up_body_leaves_is_given_to_the_next() {
    let bench = Bench::new("uploads = 1");
    let first = bench.poll(&mut bench.send()).expect("there is room");
    let (mut second, mut third) = (bench.send(), bench.send());
    assert!(bench.poll(&mut second).is_none() && bench.poll(&mut third).is_none());
    drop(first);
    assert!(bench.poll(&mut third).is_none());
    drop(bench.poll(&mut second).expect("its turn has come"));
    assert!(bench.poll(&mut third).is_some());
}

#[test]
fn a_place_that_is_not_taken_by_a_body_on_its_way_is_for_the_next_ones() {
    let bench = Bench::new("");
    let holder = bench.begin("blue");
    let mut slow: Vec<_> = (0..3).map(|_| bench.send()).collect();
    assert!(slow.iter_mut().all(|slow| bench.poll(slow).is_none()));
    drop(holder);
    let sending: Vec<_> = slow.iter_mut().map(|slow| bench.poll(slow).expect("room")).collect();
    drop(bench.begin("blue"));
    drop(sending);
    assert_eq!((bench.waiting(), bench.snapshot.services[0].state.in_flight()), ([0; 3], 0));
}

#[test]
fn whose_body_comes_while_it_waits_counts_like_any_other() {
    let bench = Bench::new("uploads = 1");
    let _sending = bench.poll(&mut bench.send()).expect("there is room");
    let published = Arc::new(Published::of(bench.snapshot.clone()));
    let mut exchange = Exchange::open(bench.clock, published, last());
    let headers = HeaderMap::from_iter(
        [("host", "shop.test"), ("x-pool", "blue")]
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())),
    );
    let (uri, peer) =
        (Uri::from_static("/"), Peer::new([192, 0, 2, 9].into(), "http", Instant::now()));
    let (target, version) = (RequestTarget::read(b"/", &uri), Version::HTTP_11);
    let (method, view, upload) = (&Method::PUT, View::Map(&headers), Upload::ToCome);
    let head = Head { method, target, version, view, raw: b"", upload };
    let Admission::Wait(mut line) = exchange.admit(&head, &peer) else { panic!("it waits") };
    assert_eq!(bench.waiting(), [1, 0, 0]);
    line.has_all();
    let Admission::Forward(_) = line.called() else { panic!("it needs no room for a body") };
    let load = bench.snapshot.services[0].state.load();
    assert_eq!((bench.waiting(), load.all, load.sending), ([0; 3], 2, 1));
}
