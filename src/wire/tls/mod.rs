//! TLS on a connection: records on the socket below, plain bytes above.
//!
//! `accept.rs` makes the handshake of a client's connection, by what `termination.rs` has made of its
//! listener's settings; `tickets.rs` is by what clients take up a session again. `dial.rs` makes the
//! handshake with an upstream. `stream.rs` is what a lane has to know of one that speaks TLS.

pub mod accept;
pub(super) mod dial;
pub mod handshake;
pub(super) mod stream;
pub mod termination;
pub mod tickets;
