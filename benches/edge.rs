//! Bounds on the speed of a whole edge, which hold on a machine that does nothing else. The tests
//! count work instead: they run for everybody, and a busy machine is no bug.
//!
//! `cargo bench --bench edge --profile dev`, or some of it: `-- probe-storm contained throughput`.
//! It ends with 1 if a bound is broken.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::unwrap_used, reason = "what is not there cannot be measured")]

#[path = "../tests/edge/harness/mod.rs"]
#[allow(unused, reason = "it is the tests', and they use all of it")]
mod harness;

use std::net::SocketAddr;
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::sleep;

use harness::edge::HEAD;
use harness::load::Record;
use harness::{Edge, Load, Origin, Reply};

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|one| one == name);
    let mut all_hold = true;
    for name in ["probe-storm", "contained", "throughput"].into_iter().filter(|name| is_asked(name))
    {
        println!("{name}");
        all_hold &= match name {
            "probe-storm" => probe_storm().await,
            "contained" => contained().await,
            _ => throughput().await,
        };
    }
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a figure with its bound; whether it holds.
fn bound(what: &str, holds: bool) -> bool {
    println!("  {what}{}", if holds { "" } else { "  BROKEN" });
    holds
}

/// One service of one pool of these upstreams, with these lines for the service.
fn fleet(upstreams: &[SocketAddr], service: &str) -> String {
    let upstreams: Vec<_> = upstreams.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "[services.shop]\n{service}\n[services.shop.pools.only]\nupstreams = [{}]\n",
        upstreams.join(", ")
    )
}

/// A thousand upstreams, each probed every five seconds: a twentieth of a core, and evenly.
async fn probe_storm() -> bool {
    const UPSTREAMS: usize = 1_000;
    /// Until all are proven and none is probed faster than its interval.
    const SETTLING: Duration = Duration::from_secs(8);
    const BUCKET: Duration = Duration::from_millis(100);
    const BUCKETS: usize = 100;
    const MOST_OF_A_CORE: f64 = 0.05;
    /// Linux gives times to programs in hundredths of a second, whatever the kernel counts in.
    const TICKS_PER_SECOND: f64 = 100.0;
    let seen = Arc::<Mutex<Vec<Instant>>>::default();
    let log = seen.clone();
    // It answers for every loopback address.
    let origin = Origin::at("0.0.0.0:0".parse().unwrap(), move |_| {
        log.lock().unwrap().push(Instant::now());
        Reply::ok("healthy")
    });
    let port = origin.await.address.port();
    let address = |n| format!("127.9.{}.{}:{port}", n / 250, 1 + n % 250).parse().unwrap();
    let upstreams: Vec<_> = (0..UPSTREAMS).map(address).collect();
    let health = "health = { http = { path = \"/healthz\" }, interval = \"5s\" }";
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, format!("{HEAD}{}", fleet(&upstreams, health))).unwrap();
    let mut edge = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .arg("run")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let process = edge.id().unwrap();
    sleep(SETTLING).await;
    assert_eq!(edge.try_wait().unwrap(), None, "the edge has ended");
    let (begun, used) = (Instant::now(), ticks_of_probes(process));
    sleep(BUCKET * BUCKETS as u32).await;
    let ticks = ticks_of_probes(process) - used;
    let core = ticks / TICKS_PER_SECOND / begun.elapsed().as_secs_f64();

    let mut counts = [0; BUCKETS];
    for moment in seen.lock().unwrap().iter().filter(|&&moment| moment >= begun) {
        let bucket = (*moment - begun).as_nanos() / BUCKET.as_nanos();
        counts.get_mut(bucket as usize).into_iter().for_each(|count| *count += 1);
    }
    let (total, variation) = (counts.iter().sum::<u32>(), variation(&counts));
    // Two for each in ten seconds, give or take the jitter.
    let is_paced = bound(&format!("{total} probes in 10 s"), (1_600..=2_400).contains(&total));
    let is_even = bound(&format!("variation {variation:.2} of 0.50"), variation < 0.5);
    let percent = core * 100.0;
    let is_cheap = bound(&format!("{percent:.1} % of a core of 5.0 %"), core < MOST_OF_A_CORE);
    is_paced && is_even && is_cheap
}

/// The processor time that the process has used for probes, its own and the kernel's for it: they
/// have a thread of their own.
fn ticks_of_probes(process: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stats = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")));
    let stat = stats.map(Result::unwrap).find(|stat| stat.contains("(probes)")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

/// The standard deviation over the mean.
fn variation(counts: &[u32]) -> f64 {
    let n = counts.len() as f64;
    let mean = counts.iter().map(|&count| f64::from(count)).sum::<f64>() / n;
    let square = counts.iter().map(|&count| (f64::from(count) - mean).powi(2)).sum::<f64>() / n;
    square.sqrt() / mean
}

/// What goes to two healthy upstreams is as fast beside a bad one as without it, once that one is
/// contained; in the median of three comparisons, one right after the other.
async fn contained() -> bool {
    const PER_SECOND: u32 = 600;
    /// On top of a fifth: what two cores shared by an edge, its origins and its clients make of one
    /// time and the next.
    const NOISE: Duration = Duration::from_millis(5);
    let drip = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-drip: ".to_vec();
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    let mut all_hold = true;
    for (what, reply) in [
        ("never answers", Reply::Nothing),
        ("answers 500", Reply::head("500 Internal Server Error", &[], "bad")),
        ("drips a byte a second", Reply::Drip(drip, 1_000)),
        ("closes within the body", Reply::BytesThenClose(cut.clone())),
        ("resets within the body", Reply::BytesThenReset(cut)),
        ("answers garbage", Reply::BytesThenClose(b"\x16\x03\x01garbage\r\n\r\n".to_vec())),
    ] {
        let healthy = async |name: &str| Origin::tireless(Reply::ok(name).late(5)).await;
        let (a, b) = (healthy("a").await, healthy("b").await);
        let bad = Origin::tireless(reply).await;
        let service = "timeouts.response = \"500ms\"";
        let edge = Edge::start(&fleet(&[a.address, b.address, bad.address], service)).await;
        let without = Edge::start(&fleet(&[a.address, b.address], service)).await;
        let of_the_healthy = |records: &[Record]| {
            p99(records.iter().filter(|record| record.is_from("a") || record.is_from("b")))
        };
        let load = |edge: &Edge| Load::gets(edge.address, PER_SECOND);
        load(&edge).run(1_200).await;
        let mut pairs = Vec::new();
        for _ in 0..3 {
            let reference = of_the_healthy(&load(&without).run(600).await);
            let measured = of_the_healthy(&load(&edge).run(600).await);
            pairs.push((measured.saturating_sub(reference.mul_f64(1.2)), measured, reference));
        }
        pairs.sort_unstable();
        let (over, measured, reference) = pairs[1];
        let figure = format!("{what}: p99 {measured:.1?}, and {reference:.1?} without it");
        all_hold &= bound(&figure, over <= NOISE);
    }
    all_hold
}

/// The time that one of a hundred exceeds.
fn p99<'r>(records: impl IntoIterator<Item = &'r Record>) -> Duration {
    let mut times: Vec<Duration> = records.into_iter().map(|record| record.took).collect();
    assert!(times.len() >= 100, "only {} requests", times.len());
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Two thousand requests a second on 25 connections.
async fn throughput() -> bool {
    const LENGTH: Duration = Duration::from_secs(10);
    let origin = Origin::fast("a").await;
    let edge = Edge::start(&fleet(&[origin.address], "")).await;
    let load = Load::gets(edge.address, 2_200).start();
    let begun = Instant::now();
    sleep(LENGTH).await;
    let records = load.stop().await;
    let rate = records.len() as f64 / begun.elapsed().as_secs_f64();
    let failed = records.iter().filter(|record| !record.is_ok()).count();
    let is_fast = bound(&format!("{rate:.0} requests/s of 2,000"), rate >= 2_000.0);
    bound(&format!("{failed} failed of 0"), failed == 0) && is_fast
}
