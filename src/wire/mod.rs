//! How bytes move: a client's connection in, requests to the exchange and bytes to upstreams out.
//!
//! What happens to a request is decided in [`exchange`](crate::exchange), which knows nothing of
//! bytes. [`pingora_lane`] has the hooks that call it and decides nothing; `connection.rs` and
//! `deadline.rs` hold the deadlines of a connection, `stop.rs` how all of them end, `mirror/` sends copies of requests.

pub mod clients;
pub mod client_stream;
pub mod connection;
pub mod deadline;
pub mod stop;
pub mod pingora_lane;
pub mod readers;
pub mod heads;
pub mod holds;
mod request_log;
pub mod mirror;
