//! What Pointsman asks of others by itself, beside the requests it passes on: a target in, a
//! connection of its own or an answer out.
//!
//! Probes, hooks, smoke requests and notifications all go through here. Nothing is shared with the
//! connections of requests, and nothing is kept between two calls.

pub mod dial;
pub mod http;
