//! What Pointsman asks of others by itself, beside the requests it passes on: a target in, a
//! connection of its own or an answer out.
//!
//! Hooks, smoke requests, notifications and questions to Prometheus are calls of the one client;
//! probes dial here and speak for themselves. Nothing is shared with the connections of requests,
//! and nothing is kept between two calls.

pub mod client;
pub mod dial;
pub mod http;
pub mod tls;
#[cfg(test)]
pub(crate) mod tests;
