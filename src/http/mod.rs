//! What HTTP demands of a message, whoever reads it: heads in, rules and edits out.
//!
//! `admission.rs` says what may be passed on at all, `forwarded.rs`, `hop_by_hop.rs`,
//! `trace_context.rs` and `private.rs` what becomes of fields, `failure.rs` has the one table from
//! causes to answers and `answer.rs` writes them. Nothing here moves a byte.

pub mod admission;
pub mod failure;
pub mod answer;
pub mod fields;
pub mod forwarded;
pub mod hop_by_hop;
pub mod trace_context;
pub mod private;
