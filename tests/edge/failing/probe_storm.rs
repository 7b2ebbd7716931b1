//! A thousand upstreams are probed, and neither they nor we notice.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::process::Command;

use super::fleet;
use crate::harness::edge::HEAD;
use crate::harness::{Origin, Reply, alone, until};

const UPSTREAMS: usize = 1_000;
/// How often each is probed while it is counted, in the mean.
const ROUNDS: usize = 2;
/// How often the thread of the probes may wake up for one of them: to begin it, when its connection
/// is there, and when its answer is. What a wake-up costs, in time, `benches/edge.rs` measures.
const WAKE_UPS: u64 = 4;

/// How often the thread of the probes has gone to sleep.
fn sleeps(process: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let read = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("status"));
    let mut statuses = threads.map(|thread| read(thread.unwrap()).unwrap());
    let status = statuses.find(|status| status.starts_with("Name:\tprobes\n")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_upstreams_are_probed_evenly_and_with_few_wake_ups() {
    let _alone = alone().await;
    let seen = Arc::<Mutex<HashMap<String, usize>>>::default();
    let log = seen.clone();
    // It answers for every loopback address.
    let origin = Origin::at("0.0.0.0:0".parse().unwrap(), move |request| {
        if request.head.starts_with("GET /healthz ") {
            let host = request.fields("host")[0].to_string();
            *log.lock().unwrap().entry(host).or_default() += 1;
        }
        Reply::ok("healthy")
    })
    .await;
    let port = origin.address.port();
    let address = |n| format!("127.9.{}.{}:{port}", n / 250, 1 + n % 250).parse().unwrap();
    let upstreams: Vec<_> = (0..UPSTREAMS).map(address).collect();
    let health = "[services.shop.health]\nhttp = { path = \"/healthz\" }\ninterval = \"3s\"";
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, format!("{HEAD}{}", fleet(&upstreams, health))).unwrap();
    let edge = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .arg("run")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let process = edge.id().unwrap();
    // Proven after two; what comes later comes at the interval.
    let least = || {
        let seen = seen.lock().unwrap();
        if seen.len() < UPSTREAMS { 0 } else { *seen.values().min().unwrap() }
    };
    until("all are proven", async || least() >= 2).await;
    let (before, slept) = (seen.lock().unwrap().clone(), sleeps(process));
    let begun = origin.asked();
    until("all are probed", async || origin.asked() >= begun + (ROUNDS * UPSTREAMS) as u64).await;
    let (after, slept) = (seen.lock().unwrap().clone(), sleeps(process) - slept);

    let probes = origin.asked() - begun;
    println!("{slept} wake-ups for {probes} probes");
    // Intervals differ by a fifth, and each began somewhere within one.
    let uneven = after.iter().find(|(host, count)| {
        let more = **count - before[*host];
        !(ROUNDS - 1..=ROUNDS + 1).contains(&more)
    });
    assert!(uneven.is_none(), "{uneven:?} of {ROUNDS} rounds");
    assert!(slept <= WAKE_UPS * probes, "{slept} wake-ups for {probes} probes");
}
