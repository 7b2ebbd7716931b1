//! Who fails at once is the least busy and the fastest of all.

use super::fleet;
use crate::harness::chance::is_likely;
use crate::harness::{Edge, Load, Origin, Reply, alone};

const UPSTREAMS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_fails_at_once_draws_no_more_than_its_share() {
    let _alone = alone().await;
    let failure = Reply::head("503 Service Unavailable", &[], "no");
    let black_hole = Origin::tireless(failure).await;
    let mut upstreams = vec![black_hole.address];
    for _ in 1..UPSTREAMS {
        upstreams.push(Origin::tireless(Reply::ok("yes").late(10)).await.address);
    }
    // Only the balancing is on trial.
    let service =
        "ejection = false\nbreaker = false\nretries.attempts = 0\nlimits.throttle = false";
    let edge = Edge::start(&fleet(&upstreams, service)).await;
    let records = Load::gets(edge.address, 800).run(3_000).await;

    let (asked, all) = (black_hole.asked(), records.len() as u64);
    println!("{asked} of {all} requests");
    let fair = 1.0 / UPSTREAMS as f64;
    assert!(asked as f64 <= fair * all as f64 || is_likely(asked, all, fair), "{asked} of {all}");
    let others = records.iter().filter(|record| record.is_from("yes")).count();
    assert_eq!(others as u64 + black_hole.asked(), records.len() as u64);
}
