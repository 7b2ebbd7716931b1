//! What HTTP demands of a message, whoever reads it: heads in, rules and edits out.
//!
//! Rules read a head through a [`View`](view::View), whichever lane read it; what becomes of a
//! request's fields is a list of [`Edits`](edits::Edits) that the lane writes, and so it is for those of
//! a response (`response.rs`).
//!
//! `admission.rs` says what may be passed on at all and `path.rs` what form of a path is looked at, `forwarded.rs`, `claims.rs`, `hop_by_hop.rs`,
//! `cookies.rs`, `trace_context.rs`, `forwards.rs`, `trailers.rs` and `private.rs` what becomes of fields, `compression.rs` which answers are made smaller, `list.rs` reads
//! the lists in them; `old_client.rs` has what is done for HTTP/1.0; `upgrade.rs`, `streaming.rs` and `grpc.rs`
//! say what a message means beyond its status, `failure.rs` has the one table from causes to answers and
//! `answer.rs` writes them, in the form that `form.rs` finds, `page.rs` for people. `challenges.rs` is what authorities of certificates find,
//! `entrance.rs` what a listener and `secured.rs`
//! what a connection by TLS says of all its requests. `codec/` reads and writes the bytes of HTTP/1.1. Nothing here moves one.

pub mod codec;
pub mod view;
pub mod fields;
pub mod list;
pub mod cookies;
pub mod path;
pub mod admission;
pub mod failure;
pub mod form;
pub mod page;
pub mod answer;
pub mod edits;
pub mod response;
pub mod compression;
pub mod old_client;
pub mod claims;
pub mod forwarded;
pub mod hop_by_hop;
pub mod upgrade;
pub mod streaming;
pub mod grpc;
pub mod trace_context;
pub mod forwards;
pub mod trailers;
pub mod private;
pub mod challenges;
pub mod entrance;
pub mod secured;
