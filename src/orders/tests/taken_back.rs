//! What a pool has said goes when its version is taken back.

use std::time::SystemTime;

use http::{HeaderMap, Method};

use super::*;
use crate::fallback::{Asked, Received, Recording, StaleStore};

fn file() -> String {
    let rollout = "[services.shop.rollout]\n";
    let canary = "steps = [10, 100]\nhold = \"1h\"\n";
    let kept = format!("[services.shop.fallback.stale]\nage = \"10m\"\n\n{rollout}");
    FILE.replace(rollout, &kept).replace("strategy = \"blue-green\"\n", canary)
}

fn store(bench: &Bench) -> &Arc<StaleStore> {
    bench.snapshot.service("shop").unwrap().stale.as_ref().unwrap()
}

fn asked<'a>(bench: &Bench, headers: &'a HeaderMap, pool: &'a str) -> Asked<'a> {
    let began = bench.snapshot.moment(bench.now.instant);
    let (method, host, target, rewritten) = (&Method::GET, "shop.test", "/", None);
    Asked { method, host, target, rewritten, headers, pool, began }
}

/// A pool begins an answer.
fn begins(bench: &Bench, pool: &str) -> Recording {
    let (asks, mut answers) = (HeaderMap::new(), HeaderMap::new());
    answers.insert("cache-control", "public".parse().unwrap());
    answers.insert("content-length", "0".parse().unwrap());
    let now = bench.snapshot.moment(bench.now.instant);
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(bench.now.wall.seconds());
    let received = Received { status: 200, headers: &answers, now, wall };
    let recording = store(bench).offer(&asked(bench, &asks, pool), &received).unwrap();
    recording.expect("nothing so fresh is there")
}

/// A pool's answer is kept, if it is.
fn answers(bench: &Bench, pool: &str) -> bool {
    begins(bench, pool).complete();
    says(bench, pool)
}

fn says(bench: &Bench, pool: &str) -> bool {
    let headers = HeaderMap::new();
    let now = bench.snapshot.moment(bench.now.instant);
    store(bench).find(&asked(bench, &headers, pool), now).is_some()
}

#[test]
fn what_an_aborted_canary_has_said_goes_and_what_the_old_pool_has_said_stays() {
    let mut bench = Bench::of(&file());
    bench.start(&green());
    bench.ticks(1);
    assert_eq!(bench.split(), "blue=90 green=10");
    assert!(answers(&bench, "blue") && answers(&bench, "green"));
    bench.abort().unwrap();
    assert_eq!((says(&bench, "blue"), says(&bench, "green")), (true, false));
}

#[test]
fn where_a_renewed_pool_keeps_its_traffic_what_it_said_goes_all_the_same() {
    let mut bench = Bench::of(&file());
    bench.start(&rolling());
    bench.ticks(1);
    assert!(answers(&bench, "blue"));
    bench.pass(Duration::from_secs(60));
    let late = begins(&bench, "blue");
    bench.pass(Duration::from_secs(1));
    bench.abort().unwrap();
    assert!(!says(&bench, "blue"));
    late.complete();
    assert!(!says(&bench, "blue"), "it was asked for before");
    bench.pass(Duration::from_secs(1));
    assert!(answers(&bench, "blue"), "what it says from now on is the old version's");
}
