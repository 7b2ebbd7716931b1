//! TLS on a connection: records on the socket below, plain bytes above.
//!
//! `accept.rs` makes the handshake of a client's connection, by what `termination.rs` has made of its
//! listener's settings and what `ordered.rs` has from authorities; `tickets.rs` is by what clients take up a session again. `challenge.rs` is the
//! handshake in which an authority looks for something. `dial.rs` makes the handshake with an upstream. `stream.rs` is what a lane has to know of one that speaks TLS.

pub mod accept;
mod challenge;
pub(super) mod dial;
pub mod handshake;
pub mod ordered;
pub(super) mod stream;
pub mod termination;
pub mod tickets;
