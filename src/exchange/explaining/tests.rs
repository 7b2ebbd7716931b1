//! Explanations beside what requests get.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::http::admission::{RequestTarget, Upload};
use crate::http::failure::BadRequest;
use crate::route::Facts;
use crate::snapshot::{Blueprint, RunTime};
use crate::split::Secret;
use crate::upstream::BreakerOrder;

fn built(text: &str) -> Snapshot {
    let (config, _) = Config::parse(text).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    let (run_time, secret) = (RunTime::default(), Secret([1; 16]));
    let blueprint =
        Blueprint { config: Arc::new(config), run_time: &run_time, secret, now: Instant::now() };
    Snapshot::build(&blueprint, None)
}

struct Request {
    method: Method,
    host: &'static str,
    target: String,
    fields: Vec<(&'static str, String)>,
    client: [u8; 4],
}

impl Request {
    fn get(host: &'static str, target: &str) -> Request {
        let (fields, client) = (Vec::new(), [192, 0, 2, 9]);
        Request { method: Method::GET, host, target: target.into(), fields, client }
    }

    fn map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.append("host", HeaderValue::from_static(self.host));
        for (name, value) in &self.fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn explain(&self, snapshot: &Snapshot, draws: &mut Draws) -> Explanation {
        let (map, uri) = (self.map(), self.target.parse::<Uri>().unwrap());
        let head = Head {
            method: &self.method,
            target: RequestTarget::read(self.target.as_bytes(), &uri),
            version: Version::HTTP_11,
            view: (&map).into(),
            raw: b"",
            upload: Upload::Done,
        };
        let peer = Peer::new(self.client.into(), "http", snapshot.origin());
        explain(snapshot, &head, &peer, NOW, draws)
    }
}

const NOW: Moment = Moment::from_micros(100_000_000);

const ACTING: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
    [[routes]]\nhosts = [\"old.test\"]\nredirect = { to = \"https://new.test{path}\", status = 308 }\n\
    [[routes]]\nhosts = [\"shop.test\"]\npath = \"/robots.txt\"\nanswer = { status = 200, body = \"no\" }\n\
    [[routes]]\nhosts = [\"shop.test\"]\npath_prefix = \"/admin\"\nallow = [\"10.0.0.0/8\"]\nservice = \"shop\"\n\
    [[routes]]\nhosts = [\"shop.test\"]\npath_prefix = \"/api\"\nstrip_prefix = \"/api\"\nservice = \"shop\"\n\
    [services.shop]\nsplit = { blue = 100, green = 0 }\n[services.shop.pools]\n\
    blue.upstreams = [\"192.0.2.1:80\", \"192.0.2.2:80\"]\ngreen.upstreams = [\"192.0.2.3:80\"]\n";

#[test]
fn what_a_route_does_by_itself_is_told() {
    let snapshot = built(ACTING);
    let end = |request: Request| request.explain(&snapshot, &mut Draws::seeded(1)).end;
    let location = "https://new.test/a".to_string();
    assert_eq!(end(Request::get("old.test", "/a")), End::Led { status: 308, location });
    assert_eq!(end(Request::get("shop.test", "/robots.txt")), End::Answered(200));
    assert_eq!(end(Request::get("shop.test", "/admin/x")), End::Refused(Cause::Denied));
    assert_eq!(end(Request::get("shop.test", "/other")), End::Refused(Cause::NoRoute));
    let two = End::Refused(BadRequest::EncodedPath.into());
    assert_eq!(end(Request::get("shop.test", "/api/x%2fadmin")), two);
    assert_eq!(end(Request::get("a b", "/")), End::Refused(BadRequest::Host.into()));
    let near = Request { client: [10, 1, 1, 1], ..Request::get("shop.test", "/admin/x") };
    assert!(matches!(end(near), End::Decided { .. }));
    let api = Request::get("shop.test", "/api/v1?q=1").explain(&snapshot, &mut Draws::seeded(1));
    assert_eq!(api.target.as_deref(), Some("/v1?q=1"));
}

#[test]
fn who_is_asked_instead_is_told() {
    let text = format!("{ACTING}[services.shop.fallback]\npool = \"green\"\n");
    let snapshot = built(&text);
    let blue = &snapshot.services[0].pools[0];
    blue.state.breaker.set_order(BreakerOrder::Open, NOW);
    let end = Request::get("shop.test", "/api/").explain(&snapshot, &mut Draws::seeded(1)).end;
    let End::Decided { explained, instead, .. } = end else { panic!("{end:?}") };
    assert_eq!(explained.chosen.unwrap_err().why, Why::Open);
    assert_eq!(explained.not_taken.len(), 2);
    let Some(Instead::Asked(choice)) = instead else { panic!("{instead:?}") };
    assert_eq!((choice.pool, choice.route), (1, 1), "it came by the second of its routes");
}

#[test]
fn the_services_own_answer_comes_before_who_is_not_well() {
    let own = "[services.shop.fallback]\nanswer = { status = 200, body = \"soon\" }\n";
    let snapshot = built(&format!("{ACTING}{own}"));
    let instead = || {
        let end = Request::get("shop.test", "/api/").explain(&snapshot, &mut Draws::seeded(1)).end;
        let End::Decided { instead, .. } = end else { panic!("{end:?}") };
        instead
    };
    assert_eq!(instead(), None);
    for member in snapshot.services[0].pools[0].members.list() {
        // Each could be asked, if there were nothing else.
        member.upstream.note_refused(NOW);
    }
    assert_eq!(instead(), Some(Instead::Answered(200)));
}

#[test]
fn who_would_wait_is_told_so_and_who_finds_the_line_full_is_not() {
    let limits = "limits = { in_flight = 1, queue = 1 }\n";
    let snapshot = built(&ACTING.replace("split =", &format!("{limits}split =")));
    let waits = || {
        let end = Request::get("shop.test", "/api/").explain(&snapshot, &mut Draws::seeded(1)).end;
        let End::Decided { explained, waits, .. } = end else { panic!("{end:?}") };
        (explained.chosen.err().map(|refusal| refusal.why), waits)
    };
    assert_eq!(waits(), (None, false));
    let service = &snapshot.services[0];
    let place = service.state.take(Upload::Done, service.stability.limits.of_service());
    assert_eq!(waits(), (Some(Why::Full), true));
    let line = service.state.queue.join(Upload::Done, 1);
    assert_eq!(waits(), (Some(Why::Full), false));
    drop((place, line));
    assert_eq!(waits(), (None, false));
}

#[test]
fn a_body_over_the_limit_and_what_is_passed_on_no_further_are_told() {
    let limited = ACTING.replace("strip_prefix = \"/api\"", "body_limit = \"64B\"");
    let snapshot = built(&limited);
    let end = |method, name, value: &str| {
        let fields = vec![(name, value.to_string())];
        let request = Request { method, fields, ..Request::get("shop.test", "/api/") };
        request.explain(&snapshot, &mut Draws::seeded(1)).end
    };
    let too_large = End::Refused(Cause::BodyTooLarge);
    assert_eq!(end(Method::POST, "content-length", "65"), too_large);
    assert!(matches!(end(Method::POST, "content-length", "64"), End::Decided { .. }));
    assert_eq!(end(Method::OPTIONS, "max-forwards", "0"), End::Answered(204));
    assert!(matches!(end(Method::GET, "max-forwards", "0"), End::Decided { .. }));
}

#[test]
fn a_thousand_questions_change_no_later_decision() {
    let rates = "rate_limit = { requests = 1, per = \"1h\" }\n";
    let text = ACTING.replace("split =", &format!("{rates}split ="));
    let (asked, twin) = (built(&text), built(&text));
    let before = format!("{asked:?}");
    let mut draws = Draws::seeded(2);
    for nth in 0..1_000 {
        let targets = ["/api/x", "/admin", "/none", "/robots.txt"];
        let _ = Request::get("shop.test", targets[nth % 4]).explain(&asked, &mut draws);
    }
    assert_eq!(format!("{asked:?}"), before);
    for seed in 0..100 {
        let of = |snapshot: &Snapshot| committed(snapshot, &mut Draws::seeded(seed));
        assert_eq!(of(&asked), of(&twin), "the {seed}th");
    }
}

/// The upstream that a request is really given.
fn committed(snapshot: &Snapshot, draws: &mut Draws) -> (usize, usize) {
    let request = Request::get("shop.test", "/api/x");
    let chosen = chosen(snapshot, &request, draws);
    let committed = snapshot.commit(chosen, &[], NOW, draws).unwrap();
    (committed.choice.pool, committed.choice.member)
}

/// The choice for a request as the request path makes it.
fn chosen(snapshot: &Snapshot, request: &Request, draws: &mut Draws) -> crate::snapshot::Chosen {
    let map = request.map();
    let path = request.target.split('?').next().unwrap();
    let facts = Facts {
        method: &request.method,
        host: request.host,
        path,
        fields: crate::http::fields::Fields::new(&map),
        client: Some(request.client.into()),
        is_doubtful: false,
        path_and_query: &request.target,
        tester: None,
    };
    let tries = if request.method.is_idempotent() { Tries::Readily } else { Tries::IfNeedBe };
    let found = snapshot.route(&facts);
    snapshot.choose(&facts, Asks { tries, found, ..Asks::default() }, NOW, draws)
}

const HOSTS: [&str; 3] = ["a.test", "b.test", "c.b.test"];
const PATHS: [&str; 4] = ["/", "/x", "/x/y", "/z"];

/// A config of two services with random pools, routes, balancing and stickiness.
fn any_config() -> impl Strategy<Value = String> {
    let route = (0..4usize, 0..PATHS.len(), 0..2usize);
    let service = (0..4usize, 0..=100u32, 1..4usize, 1..4usize, any::<bool>());
    let services = [service.clone(), service];
    (proptest::collection::btree_map(0..16usize, route, 1..6), services).prop_map(
        |(routes, services)| {
            let mut text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n".to_string();
            let mut seen = std::collections::BTreeSet::new();
            for (host, path, service) in routes.into_values() {
                // Two that could both match tie, and no config has such.
                if !seen.insert((host, path)) {
                    continue;
                }
                text.push_str("[[routes]]\n");
                if let Some(host) = ["a.test", "b.test", "*.b.test"].get(host) {
                    text.push_str(&format!("hosts = [\"{host}\"]\n"));
                }
                let (path, name) = (PATHS[path], ["one", "two"][service]);
                text.push_str(&format!("path_prefix = \"{path}\"\nservice = \"{name}\"\n"));
            }
            let mut next = 1;
            for (name, (by, share, blues, greens, is_sticky)) in
                ["one", "two"].into_iter().zip(services)
            {
                let by = ["latency", "least-requests", "round-robin", "consistent-hash"][by];
                let hash =
                    if by == "consistent-hash" { ", hash = { client_ip = true }" } else { "" };
                let sticky = if is_sticky { "sticky = { client_ip = true }\n" } else { "" };
                text.push_str(&format!(
                    "[services.{name}]\nbalance = {{ by = \"{by}\"{hash} }}\n{sticky}\
                     split = {{ blue = {share}, green = {} }}\n[services.{name}.pools]\n",
                    100 - share
                ));
                for (pool, count) in [("blue", blues), ("green", greens)] {
                    let upstreams: Vec<String> =
                        (next..next + count).map(|nth| format!("\"192.0.2.{nth}:80\"")).collect();
                    next += count;
                    text.push_str(&format!("{pool}.upstreams = [{}]\n", upstreams.join(", ")));
                }
            }
            text
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// A hundred configs, a hundred requests of each.
    #[test]
    fn an_explanation_is_what_a_request_of_the_same_facts_and_draws_gets(
        text in any_config(),
        requests in proptest::collection::vec(
            (0..HOSTS.len(), 0..PATHS.len(), any::<bool>(), any::<[u8; 4]>(), any::<u64>(),
             0..12usize),
            100,
        ),
    ) {
        let snapshot = built(&text);
        for (host, path, is_get, client, seed, happens) in requests {
            // The world changes between two of them.
            let members = snapshot.services.iter().flat_map(|service| &service.pools);
            let members: Vec<_> = members.flat_map(|pool| pool.members.list()).collect();
            if let Some(member) = members.get(happens) {
                member.upstream.set_draining(seed % 2 == 0);
            }
            let (method, fields) = (if is_get { Method::GET } else { Method::POST }, Vec::new());
            let (host, target) = (HOSTS[host], PATHS[path].to_string());
            let request = Request { method, host, target, fields, client };
            let explained = request.explain(&snapshot, &mut Draws::seeded(seed));
            let chosen = chosen(&snapshot, &request, &mut Draws::seeded(seed));
            match (explained.end, chosen) {
                (End::Refused(Cause::NoRoute), Err(Refusal { why: Why::NoRoute, .. })) => {}
                (End::Decided { explained, .. }, chosen) => {
                    prop_assert_eq!(explained.chosen, chosen);
                    let pool = match chosen {
                        Ok(choice) => Some((choice.service, choice.pool)),
                        Err(refusal) => refusal.at,
                    };
                    let all = pool.map_or(0, |(service, pool)| {
                        snapshot.services[service].pools[pool].members.list().len()
                    });
                    // Each other one has its reason.
                    let others = all - usize::from(chosen.is_ok());
                    prop_assert_eq!(explained.not_taken.len(), others);
                    // What was chosen is what is taken: the turn goes on for the next one.
                    let _ = snapshot.commit(chosen, &[], NOW, &mut Draws::seeded(seed));
                }
                (end, chosen) => prop_assert!(false, "{end:?} {chosen:?}"),
            }
        }
    }
}

#[test]
fn draws_differ_and_explanations_with_them() {
    let text = ACTING.replace("blue = 100, green = 0", "blue = 50, green = 50");
    let snapshot = built(&text);
    let pools: std::collections::BTreeSet<usize> = (0..100)
        .filter_map(|seed| {
            let request = Request::get("shop.test", "/api/");
            match request.explain(&snapshot, &mut Draws::seeded(seed)).end {
                End::Decided { explained, .. } => explained.chosen.ok().map(|choice| choice.pool),
                _ => None,
            }
        })
        .collect();
    assert_eq!(pools.len(), 2);
}
