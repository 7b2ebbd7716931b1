//! HTTP/2, to clients and to upstreams: frames in and out, with requests that go the way of all others
//! between them.
//!
//! The library `h2` reads and writes frames and keeps windows and bounds. `server.rs` takes a client's
//! connection apart into requests, `upstreams.rs` has the connections to upstreams; `stream.rs` is one
//! request or answer as a socket, which the lane reads and writes like any other, and `heads.rs` says the
//! same head in either version.

mod allowance;
pub(super) mod heads;
mod io;
pub(super) mod server;
pub(super) mod stream;
pub(super) mod upstreams;
