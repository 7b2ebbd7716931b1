//! An upstream stops where it stands: its kernel goes on accepting, nobody answers.

use std::time::{Duration, Instant};

use super::{addresses, fleet, three_processes};
use crate::harness::load::Record;
use crate::harness::{Edge, Load, alone};

const TIMEOUT: Duration = Duration::from_millis(500);
const FROZEN: Duration = Duration::from_secs(4);

/// Whether it waited for the time-out, whatever came of it then, or failed.
fn suffered(record: &Record) -> bool {
    record.took >= TIMEOUT || !record.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_upstream_is_felt_by_one_in_a_hundred_and_after_two_seconds_by_none() {
    let _alone = alone().await;
    let processes = three_processes().await;
    let service = "timeouts.response = \"500ms\"";
    let edge = Edge::start(&fleet(&addresses(&processes), service)).await;
    let load = Load::gets(edge.address, 600).start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    processes[0].freeze().await;
    let stopped = Instant::now();
    tokio::time::sleep(FROZEN).await;
    let thawed = Instant::now();
    processes[0].thaw().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let records = load.stop().await;

    let while_frozen: Vec<_> =
        records.iter().filter(|record| record.was_under_way(stopped, thawed)).collect();
    assert!(while_frozen.len() >= 2_000, "only {}: too slow a machine?", while_frozen.len());
    let (before, after): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| record.sent < stopped + Duration::from_secs(2));
    let count = before.iter().filter(|record| suffered(record)).count();
    println!("{count} of {} requests felt it", while_frozen.len());
    assert!(count * 100 <= while_frozen.len(), "{count} of {}", while_frozen.len());
    let late = after.iter().find(|record| suffered(record));
    assert!(late.is_none(), "two seconds after the stop: {late:?}");
}
