use std::time::SystemTime;

use http::{HeaderMap, Method};
use proptest::prelude::*;

use super::*;

const LIMITS: StaleLimits = StaleLimits { bytes: 80_000, age: Duration::from_secs(600) };

/// A store on a time of its own.
struct Bench {
    store: Arc<StaleStore>,
    start: Moment,
    seconds: u64,
}

type Fields<'a> = &'a [(&'a str, &'a str)];

fn headers(fields: Fields<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

impl Bench {
    fn new() -> Bench {
        Bench::of(LIMITS)
    }

    fn of(limits: StaleLimits) -> Bench {
        let store = Arc::new(StaleStore::new(limits));
        store.set_pools(&["blue".into()], Moment::default());
        Bench { store, start: Moment::default(), seconds: 0 }
    }

    fn now(&self) -> Moment {
        self.start + Duration::from_secs(self.seconds)
    }

    fn asked<'a>(&self, method: &'a Method, target: &'a str, headers: &'a HeaderMap) -> Asked<'a> {
        let (host, pool, began) = ("shop.test", "blue", self.now());
        Asked { method, host, target, rewritten: None, headers, pool, began }
    }

    fn begin(
        &self,
        method: Method,
        target: &str,
        request: Fields<'_>,
        (status, response): (u16, Fields<'_>),
    ) -> Result<Option<Recording>, Unstorable> {
        let (request, response) = (headers(request), headers(response));
        let asked = self.asked(&method, target, &request);
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(self.seconds);
        self.store.offer(&asked, &Received { status, headers: &response, now: self.now(), wall })
    }

    /// A whole response that says it is public, with these fields more.
    fn put(&self, target: &str, request: Fields<'_>, more: Fields<'_>, body: &str) {
        let length = body.len().to_string();
        let mut fields = vec![("cache-control", "public"), ("content-length", length.as_str())];
        fields.extend_from_slice(more);
        let recording = self.begin(Method::GET, target, request, (200, &fields)).unwrap();
        let mut recording = recording.expect("fits, and nothing so fresh is there");
        recording.push(body.as_bytes());
        recording.complete();
    }

    fn find(&self, method: Method, target: &str, request: Fields<'_>) -> Option<StaleResponse> {
        let request = headers(request);
        let asked = self.asked(&method, target, &request);
        self.store.find(&asked, self.now())
    }

    fn body(&self, target: &str, request: Fields<'_>) -> Option<String> {
        let found = self.find(Method::GET, target, request)?;
        Some(String::from_utf8(found.body.to_vec()).unwrap())
    }
}

#[test]
fn a_response_comes_back_whole_and_says_what_it_is() {
    let mut bench = Bench::new();
    let fields = [
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("link", "a"),
        ("link", "b"),
        ("age", "5"),
        ("warning", "110 - \"stale\""),
        ("keep-alive", "timeout=5"),
        ("x-request-id", "another's"),
        ("connection", "keep-alive"),
    ];
    bench.put("/a?b", &[], &fields, "hello");
    bench.seconds = 90;
    let wanted = [
        ("cache-control", "public"),
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("link", "a"),
        ("link", "b"),
        ("age", "95"),
        ("x-pointsman-fallback", "stale"),
    ];
    let wanted = wanted.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(
            bench.find(method, "/a?b", &[]),
            Some(StaleResponse {
                status: 200,
                headers: wanted.to_vec(),
                body: Bytes::from_static(b"hello"),
                age: Duration::from_secs(95),
            })
        );
    }
    assert_eq!(bench.find(Method::GET, "/a?c", &[]), None);
    assert_eq!(bench.find(Method::POST, "/a?b", &[]), None);
}

#[test]
fn a_response_without_a_date_gets_that_of_its_arrival() {
    let mut bench = Bench::new();
    bench.seconds = 784_887_151;
    bench.put("/", &[], &[], "x");
    let found = bench.find(Method::GET, "/", &[]).unwrap();
    let date = found.headers.iter().find(|(name, _)| name == "date").unwrap();
    assert_eq!(date.1, "Tue, 15 Nov 1994 08:12:31 GMT");
}

#[test]
fn age_ends_at_the_smaller_of_both_bounds() {
    let mut bench = Bench::new();
    bench.put("/own", &[], &[("cache-control", "max-age=60, stale-if-error=30")], "x");
    bench.put("/long", &[], &[("cache-control", "stale-if-error=9999")], "x");
    bench.put("/old", &[], &[("age", "500")], "x");
    let cases = [
        (90, [true, true, true]),
        (91, [false, true, true]),
        (100, [false, true, true]),
        (101, [false, true, false]),
        (600, [false, true, false]),
        (601, [false, false, false]),
    ];
    for (seconds, wanted) in cases {
        bench.seconds = seconds;
        let found = ["/own", "/long", "/old"].map(|target| bench.body(target, &[]).is_some());
        assert_eq!(found, wanted, "{seconds} s");
    }
    let fields = [("cache-control", "public"), ("age", "601"), ("content-length", "1")];
    let refused = bench.begin(Method::GET, "/older", &[], (200, &fields)).unwrap_err();
    assert_eq!(refused, Unstorable::TooOld);
}

#[test]
fn variants_stand_beside_each_other_and_the_newest_match_is_found() {
    let mut bench = Bench::new();
    let vary = [("vary", "accept-encoding")];
    bench.put("/", &[("accept-encoding", "gzip")], &vary, "gzip");
    bench.put("/", &[], &vary, "plain");
    assert_eq!(bench.body("/", &[("accept-encoding", "gzip")]).as_deref(), Some("gzip"));
    assert_eq!(bench.body("/", &[]).as_deref(), Some("plain"));
    assert_eq!(bench.body("/", &[("accept-encoding", "br")]), None);
    bench.seconds = 5;
    bench.put("/", &[("accept-encoding", "gzip")], &vary, "newer");
    assert_eq!(bench.body("/", &[("accept-encoding", "gzip")]).as_deref(), Some("newer"));
    assert_eq!(bench.store.read().entries, 2);
    // The origin varies no more.
    bench.seconds = 10;
    bench.put("/", &[], &[], "one for all");
    assert_eq!(bench.body("/", &[("accept-encoding", "gzip")]).as_deref(), Some("one for all"));
}

#[test]
fn variants_of_one_target_are_bounded() {
    let bench = Bench::new();
    for number in 0..100 {
        let value = number.to_string();
        bench.put("/", &[("accept-language", &value)], &[("vary", "accept-language")], &value);
    }
    assert_eq!(bench.store.read().entries, 16);
    assert_eq!(bench.body("/", &[("accept-language", "99")]).as_deref(), Some("99"));
    assert_eq!(bench.body("/", &[("accept-language", "83")]), None);
}

#[test]
fn a_page_in_demand_is_written_down_once_a_second() {
    let mut bench = Bench::new();
    bench.put("/", &[], &[], "first");
    let again = |bench: &Bench| {
        let fields = [("cache-control", "public"), ("content-length", "5")];
        bench.begin(Method::GET, "/", &[], (200, &fields)).unwrap().is_some()
    };
    assert!(!again(&bench));
    bench.seconds = 1;
    assert!(again(&bench));
}

#[test]
fn an_earlier_response_that_ends_later_replaces_nothing() {
    let mut bench = Bench::new();
    let fields = [("cache-control", "public"), ("content-length", "3")];
    let mut slow = bench.begin(Method::GET, "/", &[], (200, &fields)).unwrap().unwrap();
    slow.push(b"old");
    bench.seconds = 2;
    bench.put("/", &[], &[], "new");
    slow.complete();
    assert_eq!(bench.body("/", &[]).as_deref(), Some("new"));
}

#[test]
fn a_change_and_a_removal_end_what_was() {
    let cases = [
        (Method::POST, 201, false),
        (Method::DELETE, 204, false),
        (Method::PUT, 303, false),
        (Method::POST, 409, true),
        (Method::POST, 500, true),
        (Method::GET, 404, false),
        (Method::HEAD, 410, false),
        (Method::GET, 301, false),
        (Method::GET, 304, true),
        (Method::GET, 403, true),
        (Method::GET, 429, true),
        (Method::GET, 500, true),
    ];
    for (method, status, stays) in cases {
        let bench = Bench::new();
        bench.put("/", &[], &[], "a");
        bench.put("/other", &[], &[], "a");
        bench.begin(method.clone(), "/", &[], (status, &[])).unwrap_err();
        assert_eq!(bench.body("/", &[]).is_some(), stays, "{method} {status}");
        assert!(bench.body("/other", &[]).is_some());
    }
}

#[test]
fn only_a_body_that_ended_as_stated_is_kept() {
    let bench = Bench::new();
    let of = |target: &str, framing: (&str, &str), pieces: &[&[u8]]| {
        let fields = [("cache-control", "public"), framing];
        let recording = bench.begin(Method::GET, target, &[], (200, &fields)).unwrap();
        let mut recording = recording.unwrap();
        pieces.iter().for_each(|piece| recording.push(piece));
        recording
    };
    let length = ("content-length", "4");
    of("/whole", length, &[b"ab", b"", b"cd"]).complete();
    of("/short", length, &[b"ab"]).complete();
    let long = of("/long", length, &[b"ab", b"cde"]);
    assert_eq!(bench.store.read().recording, 0, "it is given up at once");
    long.complete();
    drop(of("/dropped", length, &[b"abcd"]));
    of("/chunked", ("transfer-encoding", "chunked"), &[b"abc"]).complete();
    of("/empty", ("content-length", "0"), &[]).complete();
    let found = ["/whole", "/short", "/long", "/dropped", "/chunked", "/empty"]
        .map(|target| bench.body(target, &[]));
    let some = |text: &str| Some(text.to_string());
    assert_eq!(found, [some("abcd"), None, None, None, some("abc"), some("")]);
    assert_eq!(bench.store.read().recording, 0);
    let fields = [("cache-control", "public"), ("content-length", "4, 4")];
    let unclear = bench.begin(Method::GET, "/unclear", &[], (200, &fields));
    assert_eq!(unclear.unwrap_err(), Unstorable::Unframed);
}

#[test]
fn what_is_too_large_is_not_begun_or_given_up() {
    let bench = Bench::new();
    let begin = |framing| {
        let fields = [("cache-control", "public"), framing];
        bench.begin(Method::GET, "/", &[], (200, &fields)).unwrap()
    };
    assert!(begin(("content-length", "10000")).is_none());
    let mut chunked = begin(("transfer-encoding", "chunked")).unwrap();
    for _ in 0..8 {
        chunked.push(&[b'x'; 1_000]);
    }
    assert!(bench.store.read().recording > 8_000);
    chunked.push(&[b'x'; 1_000]);
    chunked.push(&[b'x'; 1_000]);
    assert_eq!(bench.store.read().recording, 0);
    chunked.push(b"x");
    chunked.complete();
    assert_eq!(bench.store.read(), StaleReading::default());
}

#[test]
fn the_first_written_goes_first_and_the_old_go_anyway() {
    let mut bench = Bench::new();
    let body = "x".repeat(8_600);
    for number in 0..8 {
        bench.put(&format!("/{number}"), &[], &[], &body);
    }
    let kept = |bench: &Bench| -> Vec<usize> {
        (0..8).filter(|number| bench.body(&format!("/{number}"), &[]).is_some()).collect()
    };
    // 60,000 bytes for entries of more than 9,500.
    assert_eq!(kept(&bench), [2, 3, 4, 5, 6, 7]);
    bench.seconds = 601;
    bench.put("/0", &[], &[], "x");
    assert_eq!(kept(&bench), [0]);
    assert_eq!(bench.store.read().entries, 1);
}

/// What may happen to a store, with a target, a size or a place among the open recordings.
#[derive(Clone, Debug)]
enum Event {
    Begin { target: u8, variant: u8, stated: Option<usize> },
    Push { open: usize, bytes: usize },
    Complete { open: usize },
    Drop { open: usize },
    Change { target: u8 },
    Wait { seconds: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    let begin = (0..12u8, 0..3u8, proptest::option::of(0..12_000usize));
    prop_oneof![
        4 => begin.prop_map(|(target, variant, stated)| Event::Begin { target, variant, stated }),
        6 => (0..8usize, 0..6_000usize).prop_map(|(open, bytes)| Event::Push { open, bytes }),
        3 => (0..8usize).prop_map(|open| Event::Complete { open }),
        1 => (0..8usize).prop_map(|open| Event::Drop { open }),
        1 => (0..12u8).prop_map(|target| Event::Change { target }),
        1 => (0..300u64).prop_map(|seconds| Event::Wait { seconds }),
    ]
}

#[test]
fn made_up_variants_push_out_no_page_and_none_that_is_in_demand() {
    let mut bench = Bench::of(StaleLimits { bytes: 1 << 20, ..LIMITS });
    let vary = [("vary", "accept-language")];
    bench.put("/", &[("accept-language", "en")], &vary, "english");
    bench.seconds = 2;
    bench.put("/", &[("accept-language", "en")], &vary, "english");
    bench.put("/", &[("host", "shop.test")], &[], "another place");
    for number in 0..100 {
        let value = number.to_string();
        bench.put("/", &[("accept-language", &value)], &vary, &value);
    }
    assert_eq!(bench.body("/", &[("accept-language", "en")]).as_deref(), Some("english"));
    assert_eq!(bench.body("/", &[("host", "shop.test")]).as_deref(), Some("another place"));
    assert_eq!(bench.store.read().entries, 17);
    // Places can be made up too.
    for number in 0..1_000 {
        bench.put("/", &[("host", &format!("shop.test:{number}"))], &[], "x");
    }
    assert_eq!(bench.store.read().entries, 64);
    assert_eq!(bench.body("/", &[("accept-language", "en")]).as_deref(), Some("english"));
}

#[test]
fn a_response_that_was_asked_for_before_a_change_is_not_kept() {
    let mut bench = Bench::new();
    let fields = [("cache-control", "public"), ("content-length", "3")];
    let slow = |bench: &Bench| {
        let mut slow = bench.begin(Method::GET, "/", &[], (200, &fields)).unwrap().unwrap();
        slow.push(b"old");
        slow
    };
    let (one, another) = (slow(&bench), slow(&bench));
    bench.seconds = 2;
    bench.begin(Method::POST, "/", &[], (200, &[])).unwrap_err();
    one.complete();
    assert_eq!(bench.body("/", &[]), None);
    bench.put("/", &[], &[], "new");
    assert_eq!(bench.body("/", &[]).as_deref(), Some("new"));
    // However many others are changed meanwhile.
    bench.seconds = 4;
    bench.begin(Method::POST, "/", &[], (200, &[])).unwrap_err();
    for number in 0..1_000 {
        bench.begin(Method::PUT, &format!("/{number}"), &[], (200, &[])).unwrap_err();
    }
    another.complete();
    assert_eq!(bench.body("/", &[]), None);
}

#[test]
fn what_a_pool_has_said_goes_with_its_traffic_and_with_its_version() {
    let mut bench = Bench::new();
    let pools: [Arc<str>; 2] = ["blue".into(), "green".into()];
    let fields = [("cache-control", "public"), ("content-length", "3")];
    bench.put("/", &[], &[], "one");
    let slow =
        |bench: &Bench| bench.begin(Method::GET, "/a", &[], (200, &fields)).unwrap().unwrap();
    let mut before = slow(&bench);
    before.push(b"old");
    bench.seconds = 1;
    bench.store.set_pools(&pools, bench.now());
    assert!(bench.body("/", &[]).is_some(), "it has traffic as before");
    bench.store.set_pools(&pools[1..], bench.now());
    assert_eq!(bench.body("/", &[]), None);
    bench.seconds = 2;
    bench.store.set_pools(&pools, bench.now());
    before.complete();
    assert_eq!(bench.body("/a", &[]), None, "it was asked for in its earlier life");
    bench.put("/", &[], &[], "two");
    let mut before = slow(&bench);
    before.push(b"old");
    bench.seconds = 3;
    bench.store.forget_pool("blue", bench.now());
    before.complete();
    assert_eq!((bench.body("/", &[]), bench.body("/a", &[])), (None, None));
    bench.put("/", &[], &[], "three");
    assert_eq!(bench.body("/", &[]).as_deref(), Some("three"));
}

#[test]
fn what_one_client_is_told_ends_no_page_of_others() {
    let bench = Bench::new();
    bench.put("/", &[("x-forwarded-proto", "https")], &[], "a");
    for (fields, stays) in [
        ([("x-api-key", "made up")], true),
        ([("x-forwarded-proto", "http")], true),
        ([("x-forwarded-proto", "https")], false),
    ] {
        bench.begin(Method::GET, "/", &fields, (404, &[])).unwrap_err();
        assert_eq!(
            bench.body("/", &[("x-forwarded-proto", "https")]).is_some(),
            stays,
            "{fields:?}"
        );
    }
}

proptest! {
    #[test]
    fn the_bound_holds_whatever_happens(events in proptest::collection::vec(event(), 1..200)) {
        let mut bench = Bench::new();
        let mut open: Vec<Recording> = Vec::new();
        for event in events {
            match event {
                Event::Begin { target, variant, stated } => {
                    let length = stated.map(|length| length.to_string());
                    let framing = match &length {
                        Some(length) => ("content-length", length.as_str()),
                        None => ("transfer-encoding", "chunked"),
                    };
                    let fields = [("cache-control", "public"), ("vary", "accept-language"), framing];
                    let request = [("accept-language", ["a", "b", "c"][usize::from(variant)])];
                    let target = format!("/{target}");
                    let begun = bench.begin(Method::GET, &target, &request, (200, &fields));
                    open.extend(begun.unwrap());
                }
                Event::Push { open: at, bytes } if at < open.len() => {
                    open[at].push(&vec![b'x'; bytes]);
                }
                Event::Complete { open: at } if at < open.len() => open.remove(at).complete(),
                Event::Drop { open: at } if at < open.len() => drop(open.remove(at)),
                Event::Change { target } => {
                    let target = format!("/{target}");
                    bench.begin(Method::POST, &target, &[], (200, &[])).unwrap_err();
                }
                Event::Wait { seconds } => bench.seconds += seconds,
                _ => {}
            }
            let reading = bench.store.read();
            prop_assert!(reading.bytes + reading.recording <= LIMITS.bytes, "{:?}", reading);
            let shelf = bench.store.shelf();
            prop_assert_eq!(shelf.counted(), (reading.entries, reading.bytes));
        }
        drop(open);
        prop_assert_eq!(bench.store.read().recording, 0);
    }
}
