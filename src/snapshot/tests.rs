use std::time::Instant;

use http::{HeaderMap, HeaderName, Method};

use super::*;
use crate::clock::Draws;
use crate::http::fields::Fields;
use crate::judge::ledger::STRATA;
use crate::route::Facts;
use crate::split::{Secret, Split};

const FILE: &str = r#"
[[listeners]]
address = "127.0.0.1:0"

[services.shop]
split = { blue = 100, green = 0 }
sticky = { header = "x-user" }
override = { header = "x-pool" }

[services.shop.pools]
blue.upstreams = ["192.0.2.1:80", "shop.internal:80"]
green.upstreams = ["192.0.2.2:80"]
"#;

pub(super) fn build(text: &str, traffic: &[(&str, u16)], before: Option<&Snapshot>) -> Snapshot {
    let (config, _) = Config::parse(text).unwrap();
    let split = Split::new(traffic.iter().map(|&(pool, percent)| {
        (pool.into(), crate::split::BasisPoints::new(percent * 100).unwrap())
    }));
    let traffic = |split| ("shop".into(), Traffic { split, revision: 7, salt: 0, layout: None });
    let traffic = split.into_iter().map(traffic).collect();
    let run_time = RunTime { traffic, ..RunTime::default() };
    let blueprint = Blueprint {
        config: Arc::new(config),
        run_time: &run_time,
        secret: Secret([1; 16]),
        now: Instant::now(),
    };
    Snapshot::build(&blueprint, before)
}

fn choose(snapshot: &Snapshot, fields: &[(&'static str, &str)], seed: u64) -> Chosen {
    let headers: HeaderMap = fields
        .iter()
        .map(|&(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    let client = Some([192, 0, 2, 9].into());
    let facts = Facts {
        path_and_query: "",
        tester: None,
        is_doubtful: false,
        method: &Method::GET,
        host: "",
        path: "/",
        fields: Fields::new(&headers),
        client,
    };
    let now = Moment::from_micros(1_000_000);
    snapshot.choose(&facts, Asks::default(), now, &mut Draws::seeded(seed))
}

#[test]
fn a_request_that_names_a_pool_goes_there_whatever_the_split() {
    let snapshot = build(FILE, &[], None);
    let choice = choose(&snapshot, &[("x-pool", "green")], 1).unwrap();
    assert_eq!((choice.pool, choice.by), (1, By::OptIn));
    let unknown = choose(&snapshot, &[("x-pool", "gren")], 1);
    assert_eq!(unknown.unwrap_err().why, Why::NoPool);
    let unsaid = choose(&snapshot, &[("x-pool", "")], 1).unwrap();
    assert_eq!((unsaid.pool, unsaid.by), (0, By::Draw));
}

#[test]
fn a_pool_at_zero_receives_nothing() {
    let snapshot = build(FILE, &[], None);
    let pools = (0..2_000).map(|seed| choose(&snapshot, &[], seed).unwrap().pool);
    assert!(pools.into_iter().all(|pool| pool == 0));
}

#[test]
fn a_recognised_client_stays_while_the_other_pool_grows() {
    let mut on_green = 0;
    for user in 0..300 {
        let user = user.to_string();
        let mut was_green = false;
        for green in [0, 1, 5, 10, 25, 50, 100] {
            let snapshot = build(FILE, &[("blue", 100 - green), ("green", green)], None);
            let is_green = choose(&snapshot, &[("x-user", &user)], 1).unwrap().pool == 1;
            assert!(is_green || !was_green, "user {user} was sent back at {green} %");
            was_green = is_green;
            on_green += u32::from(is_green);
        }
    }
    assert!(on_green > 300, "{on_green}");
}

#[test]
fn an_unresolved_name_takes_nothing_and_hurts_nobody() {
    let snapshot = build(FILE, &[], None);
    assert!((0..500).all(|seed| choose(&snapshot, &[], seed).unwrap().member == 0));
}

#[test]
fn state_lives_on_by_identity() {
    let before = build(FILE, &[], None);
    let upstream = &before.services[0].pools[0].members.list()[0].upstream;
    upstream.set_draining(true);
    let heavier = FILE.replace("\"192.0.2.1:80\"", "{ address = \"192.0.2.1:80\", weight = 9 }");
    let after = build(&heavier, &[("blue", 100)], Some(&before));
    let kept = &after.services[0].pools[0].members.list()[0];
    assert!(Arc::ptr_eq(upstream, &kept.upstream) && kept.upstream.is_draining());
    assert_eq!((kept.weight, after.generation, after.services[0].revision), (9, 2, 7));
    assert!(Arc::ptr_eq(&before.services[0].pools[1].state, &after.services[0].pools[1].state));
}

#[test]
fn a_pool_with_nothing_available_refuses() {
    let snapshot = build(FILE, &[], None);
    for member in snapshot.services[0].pools[0].members.list() {
        member.upstream.set_draining(true);
    }
    let refusal = choose(&snapshot, &[], 1).unwrap_err();
    assert_eq!((refusal.why, refusal.at), (Why::NoUpstream, Some((0, 0))));
}

#[test]
fn strata_are_told_apart_by_route_and_method() {
    let named = |nth, method| Stratum::names(Stratum::of(nth, &method).place().into());
    assert_eq!(named(0, Method::GET), (Some(0), Some("GET")));
    assert_eq!(named(6, Method::DELETE), (Some(6), Some("DELETE")));
    assert_eq!(named(3, Method::TRACE), (Some(3), None));
    assert_eq!(named(7, Method::POST), (None, Some("POST")), "the other routes");
    assert_eq!(named(70, Method::POST), (None, Some("POST")));
    assert!(Stratum::of(70, &Method::TRACE).place() < STRATA as u8);
}
