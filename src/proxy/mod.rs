//! The data plane: a client's request in, an upstream's answer out.
//!
//! What happens to a request is in [`exchange`], which knows nothing of how bytes move; how bytes
//! move is in [`pingora_lane`], whose hooks call the exchange and decide nothing. `failure.rs`
//! holds the one table from causes to answers, `listen.rs` the accept loops, `connection.rs` and
//! `watch.rs` the deadlines of a connection, `mirror/` the copies of requests for another pool.

pub mod admission;
pub mod answer;
pub mod client_stream;
pub mod clients;
pub mod connection;
pub mod exchange;
pub mod failure;
pub mod failure_log;
pub mod fields;
pub mod forwarded;
pub mod heads;
pub mod hop_by_hop;
pub mod listen;
pub mod mirror;
pub mod pingora_lane;
pub mod private;
pub mod trace_context;
pub mod watch;
