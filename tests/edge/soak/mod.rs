//! Everything at once, for long: what good clients get is right, nothing is lost or left over, and the
//! numbers are what the clients saw.
//!
//! `SOAK=30m` has it go on for so long instead of for a count of work, and looks at the memory;
//! `SOAK_SEED=7` has the dice fall as they did before.

mod client;
mod origin;
mod plan;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::task::JoinSet;

use crate::harness::edge::{Edge, HEAD};
use crate::harness::{alone, until};
use client::{Client, Counts};

/// Clients at once.
const CLIENTS: u64 = 16;

/// Things that are done, without `SOAK`: about twenty seconds of them.
const THINGS: u64 = 12_000;

/// What the process may have grown by between its tenth part and its end, in bytes.
const GROWTH: u64 = 64 << 20;

/// Some of these addresses for each of the services.
fn file(blue: &[SocketAddr], green: &[SocketAddr], idle: u32) -> String {
    let list = |all: &[SocketAddr]| {
        let all: Vec<_> = all.iter().map(|one| format!("\"{one}\"")).collect();
        format!("upstreams = [{}]", all.join(", "))
    };
    let mut text = HEAD.to_string();
    for name in ["shop", "frail", "rude"] {
        text.push_str(&format!(
            "[[routes]]\nhosts = [\"{name}.test\"]\nservice = \"{name}\"\n\
             [services.{name}]\nsplit = {{ blue = 50, green = 50 }}\n\
             ejection = false\nbreaker = false\ntimeouts.idle = \"{idle}s\"\n\
             [services.{name}.pools.blue]\n{}\n[services.{name}.pools.green]\n{}\n",
            list(blue),
            list(green)
        ));
    }
    text
}

/// Bytes of memory that this process has.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Whether there is more to do.
struct Work {
    done: AtomicU64,
    until: Option<Instant>,
}

impl Work {
    fn has_more(&self) -> bool {
        let done = self.done.fetch_add(1, Ordering::Relaxed);
        match self.until {
            Some(until) => Instant::now() < until,
            None => done < THINGS,
        }
    }
}

fn length() -> Option<Duration> {
    let text = std::env::var("SOAK").ok()?;
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = if unit == "m" { 60 } else { 1 };
    Some(Duration::from_secs(number.parse::<u64>().expect("SOAK is like 30m or 90s") * seconds))
}

/// Shifts traffic and edits the file, over and over.
async fn change(edge: &Edge, blue: [SocketAddr; 2], green: [SocketAddr; 1], mut rng: Rng) {
    loop {
        let share = rng.u8(..=100);
        let body = format!(r#"{{"weights": {{"blue": {}, "green": {share}}}}}"#, 100 - share);
        assert_eq!(edge.admin("PUT", "/v1/services/shop/split", &body).await.0, 200);
        if rng.u8(..3) == 0 {
            let blue = &blue[..rng.usize(1..=2)];
            std::fs::write(edge.file(), file(blue, &green, rng.u32(40..80))).unwrap();
            assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(1..60))).await;
    }
}

/// The number behind this in the metrics.
fn number(metrics: &str, of: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(of));
    line.map_or(0, |rest| rest.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once_leaves_nothing_wrong_and_nothing_behind() {
    let seed = std::env::var("SOAK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("SOAK_SEED={seed}");
    let _alone = alone().await;
    let blue = [origin::start("blue").await, origin::start("blue").await];
    let green = [origin::start("green").await];
    let edge = Arc::new(Edge::start_file(&file(&blue, &green, 60), false).await);
    let work = Arc::new(Work {
        done: AtomicU64::new(0),
        until: length().map(|length| Instant::now() + length),
    });
    let begun = Instant::now();
    let changing = {
        let edge = edge.clone();
        tokio::spawn(async move { change(&edge, blue, green, Rng::with_seed(seed)).await })
    };
    let watching = length().map(|length| {
        tokio::spawn(async move {
            tokio::time::sleep(length / 10).await;
            memory()
        })
    });
    let mut clients = JoinSet::new();
    for nth in 0..CLIENTS {
        let (work, mut client) = (work.clone(), Client::new(edge.address, seed, nth + 1));
        clients.spawn(async move {
            while work.has_more() {
                client.act().await;
            }
            (client.counts, client.left)
        });
    }
    let (mut counts, mut left) = (Counts::new(), 0);
    while let Some(done) = clients.join_next().await {
        let (its, its_left) = done.unwrap_or_else(|error| panic!("SOAK_SEED={seed}: {error}"));
        its.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
        left += its_left;
    }
    assert!(!changing.is_finished(), "the changes went well");
    changing.abort();
    println!("{} things in {:?}", work.done.load(Ordering::Relaxed), begun.elapsed());
    are_counted(&edge, &counts, left).await;
    if let Some(watching) = watching {
        let (warm, now) = (watching.await.unwrap(), memory());
        println!("memory: {} KiB when warm, {} KiB at the end", warm >> 10, now >> 10);
        assert!(now < warm + GROWTH, "{warm} {now}");
    }
}

/// What the clients saw is what the metrics say, and nothing is under way any more.
async fn are_counted(edge: &Edge, counts: &Counts, left: u64) {
    let metrics = async || edge.admin_with("GET", "/metrics", "", &[]).await.body;
    until("nothing is under way", async || {
        let metrics = metrics().await;
        let is_idle = |line: &str| line.ends_with(" 0");
        metrics.lines().filter(|line| line.contains("requests_in_flight{")).all(is_idle)
    })
    .await;
    let of = |metrics: &str, service: &str, pool: &str, code: &str| {
        let labels = format!("service=\"{service}\",pool=\"{pool}\",code=\"{code}\"");
        number(metrics, &format!("pointsman_requests_total{{{labels}}}"))
    };
    let metrics = metrics().await;
    let all = |service: &str, codes: &[&str]| -> u64 {
        let pools = ["blue", "green", ""];
        let each = pools.iter().flat_map(|pool| codes.iter().map(move |code| (*pool, *code)));
        each.map(|(pool, code)| of(&metrics, service, pool, code)).sum()
    };
    for ((service, pool, code), count) in
        counts.iter().filter(|((service, ..), _)| *service != "frail")
    {
        assert_eq!(of(&metrics, service, pool, code), *count, "{service} {pool} {code}");
    }
    assert_eq!(all("shop", &["3xx", "4xx", "5xx", "client_gone", "error"]), 0, "{metrics}");
    let frail = counts.get(&("frail", String::new(), "any")).copied().unwrap_or_default();
    assert_eq!(all("frail", &["error"]), frail, "{metrics}");
    assert_eq!(all("frail", &["1xx", "2xx", "3xx", "4xx", "5xx", "client_gone"]), 0, "{metrics}");
    assert!(all("rude", &["1xx", "2xx", "3xx", "4xx", "5xx", "client_gone", "error"]) <= left);
    assert_eq!(all("rude", &["5xx", "error"]), 0, "who leaves is nobody's failure: {metrics}");
}
