//! HTTP/2, to clients and to upstreams.

mod abuse;
pub mod frames;
mod heads;
mod holding;
mod limits;
pub mod peer;
mod quiet;
mod raw;
mod spec;
mod to_clients;
mod to_upstreams;

use crate::harness::Edge;

/// The beginning of a file whose listener takes HTTP/2 without TLS, too.
pub const HEAD: &str = "[server]\nworkers = 2\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
                        speaks = [\"http1\", \"h2\"]\n[admin]\naddress = \"127.0.0.1:0\"\n";

/// An edge that takes both, with these lines behind.
pub async fn edge(lines: &str) -> Edge {
    Edge::start_file(&format!("{HEAD}{lines}"), true).await
}
