//! Upstreams that fail in every way there is, and what clients see of it: nothing, or little.

mod black_hole;
mod blame;
mod breaker;
mod fallback;
mod frozen;
mod kill;
mod misbehaving;
mod modes;
mod one_client;
mod overload;
mod probe_storm;
mod reaches;
mod retries;
mod shield;
mod turns;
mod uploads;

use std::net::SocketAddr;

use crate::harness::Process;

/// One service of one pool, `only`, of these upstreams, with these lines for the service.
fn fleet(upstreams: &[SocketAddr], service: &str) -> String {
    format!("[services.shop]\nsplit = {{ only = 100 }}\n{service}\n{}", pool("only", upstreams))
}

/// A pool of these upstreams.
fn pool(name: &str, upstreams: &[SocketAddr]) -> String {
    let upstreams: Vec<_> = upstreams.iter().map(|address| format!("\"{address}\"")).collect();
    format!("[services.shop.pools.{name}]\nupstreams = [{}]\n", upstreams.join(", "))
}

async fn three_processes() -> [Process; 3] {
    [Process::start("a").await, Process::start("b").await, Process::start("c").await]
}

fn addresses(processes: &[Process]) -> Vec<SocketAddr> {
    processes.iter().map(|process| process.address).collect()
}
