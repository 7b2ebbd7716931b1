//! Traces: which requests are told of to a collector, and what is put aside of them where they end.
//!
//! `decision.rs` is what is decided when a request begins, of which upstreams are told, and when it is
//! over; `entry.rs` the bytes that are kept of one, of which spans are made by whoever sends them;
//! `waiting.rs` where those bytes wait, `examples.rs` what events point at.

mod decision;
mod entry;
mod examples;
mod waiting;

pub use decision::{Brought, decide};
use decision::{kept_for, may_be_kept};
pub use entry::{Entry, EntryAttempt};
pub use examples::Examples;
pub use waiting::{Dropped, Waiting};

#[cfg(test)]
mod tests;
