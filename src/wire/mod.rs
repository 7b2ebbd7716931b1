//! How bytes move: a client's connection in, requests to the exchange and bytes to upstreams out.
//!
//! What happens to a request is decided in [`exchange`](crate::exchange), which knows nothing of
//! bytes. `clients.rs` lets connections in (`places.rs` counts those of each client, `limited.rs` those
//! that a limit ended, `proxy_header.rs` reads whom a proxy speaks for, [`tls`] makes handshakes), `h1.rs`
//! and `h2/` take them apart into requests, and [`lane`] takes each to an upstream and its answer back.
//! `stop.rs` is how all of them end; `readers.rs` reads the records of requests, `mirror/` sends copies of
//! them.

pub mod clients;
mod h1;
mod h2;
pub mod holds;
pub mod lane;
pub mod limited;
pub mod mirror;
mod places;
pub(crate) mod proxy_header;
pub mod readers;
mod request_log;
pub mod socket;
pub mod stop;
pub mod tls;
