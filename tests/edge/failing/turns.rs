//! Upstreams fail one after the other, faster than any of them is trusted again.

use std::time::Duration;

use super::{addresses, fleet, three_processes};
use crate::harness::{Edge, Load, alone};

const TURNS: usize = 18;
const DOWN: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_killed_in_turn_never_leave_nothing_to_try() {
    let _alone = alone().await;
    let mut processes = three_processes().await;
    let edge = Edge::start(&fleet(&addresses(&processes), "")).await;
    let load = Load::gets(edge.address, 250).start();
    for turn in 0..TURNS {
        let process = &mut processes[turn % 3];
        process.kill().await;
        tokio::time::sleep(DOWN).await;
        load.until_more(50).await;
        process.restart().await;
    }
    let records = load.stop().await;

    let failed: Vec<_> = records.iter().filter(|record| !record.is_ok()).collect();
    println!("{} of {} failed", failed.len(), records.len());
    let refused = failed.iter().find(|record| record.status() == Some(503));
    assert!(refused.is_none(), "nothing to try: {refused:?}");
    assert!(failed.len() * 100 < records.len(), "{} failed: {:?}", failed.len(), failed[0]);
}
