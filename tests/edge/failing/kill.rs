//! An upstream is killed under load and comes back, ten times.

use std::time::{Duration, Instant};

use super::{addresses, fleet, three_processes};
use crate::harness::{Edge, Load, alone};

const TIMES: usize = 10;
/// How long it is down, and then up, at least.
const STRETCH: Duration = Duration::from_millis(600);
/// And how many are answered meanwhile.
const GETS: u64 = 500;
const POSTS: u64 = 30;
/// GETs that are answered after a kill until the edge can have looked at each of its connections: the
/// kernel has told it which were closed, before it told it of those.
const NOTICE: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_upstreams_costs_no_get_and_only_the_posts_in_flight() {
    let _alone = alone().await;
    let mut processes = three_processes().await;
    let edge = Edge::start(&fleet(&addresses(&processes), "")).await;
    let gets = Load::gets(edge.address, 1_000).start();
    let posts = Load::posts(edge.address, 100).start();
    let mut kills = Vec::new();
    let stretch = async || {
        tokio::time::sleep(STRETCH).await;
        gets.until_more(GETS).await;
        posts.until_more(POSTS).await;
    };
    stretch().await;
    for time in 0..TIMES {
        let process = &mut processes[time % 3];
        let begun = Instant::now();
        process.kill().await;
        gets.until_more(NOTICE).await;
        kills.push((begun, Instant::now()));
        stretch().await;
        process.restart().await;
        stretch().await;
    }
    let (gets, posts) = (gets.stop().await, posts.stop().await);

    println!("{} GETs, {} POSTs", gets.len(), posts.len());
    let failed: Vec<_> = gets.iter().filter(|record| !record.is_ok()).collect();
    assert!(failed.is_empty(), "{} GETs failed: {:?}", failed.len(), failed.first());
    let failed: Vec<_> = posts.iter().filter(|record| !record.is_ok()).collect();
    println!("{} POSTs failed", failed.len());
    for record in failed {
        let was_in_flight = kills.iter().any(|&(from, to)| record.was_under_way(from, to));
        assert!(was_in_flight, "not under way at any kill: {record:?}");
    }
}
