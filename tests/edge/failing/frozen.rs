//! An upstream stops where it stands: its kernel goes on accepting, nobody answers.

use super::{addresses, fleet, three_processes};
use crate::harness::{Edge, Load, alone, until};

/// Requests before it stops, until it is out and after that.
const BEFORE: u64 = 600;
const FINDING_OUT: u64 = 1_200;
const OUT: u64 = 1_200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_upstream_is_felt_by_one_in_a_hundred_and_soon_by_none() {
    let _alone = alone().await;
    let processes = three_processes().await;
    let service = "timeouts.response = \"500ms\"";
    let edge = Edge::start(&fleet(&addresses(&processes), service)).await;
    let frozen = processes[0].address.to_string();
    let upstream = async || {
        let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/only", "").await;
        let upstreams = pool["upstreams"].as_array().unwrap();
        upstreams.iter().find(|upstream| upstream["address"] == frozen).unwrap().clone()
    };
    // An attempt at it is a request that waited for the time-out, whatever came of it then.
    let attempts = async || {
        until("none is under way", async || upstream().await["in_flight"] == 0).await;
        upstream().await["requests"].as_u64().unwrap()
    };
    let load = Load::gets(edge.address, 600).start();
    load.until_more(BEFORE).await;
    processes[0].freeze().await;
    // What is still under way when it stops belongs to those who feel it.
    let before = upstream().await["requests"].as_u64().unwrap();
    until("it is out", async || upstream().await["ejected_for"].is_number()).await;
    load.until_more(FINDING_OUT).await;
    let felt = attempts().await - before;
    load.until_more(OUT).await;
    assert_eq!(attempts().await - before, felt, "it is out, and is asked all the same");
    processes[0].thaw().await;
    let records = load.stop().await;

    println!("{felt} of {} requests felt it", FINDING_OUT + OUT);
    assert!(felt > 0 && felt * 100 <= FINDING_OUT + OUT, "{felt}");
    let failed = records.iter().filter(|record| !record.is_ok()).count() as u64;
    assert!(failed <= felt, "{failed} failed, of whom {felt} felt it");
}
