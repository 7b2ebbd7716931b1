//! How bytes move: a client's connection in, requests to the exchange and bytes to upstreams out.
//!
//! What happens to a request is decided in [`exchange`](crate::exchange), which knows nothing of
//! bytes. [`h1`] is the lane for HTTP/1.1, `clients.rs` who hands connections to it (`places.rs` counts
//! those of each client, `limited.rs` those that a limit ended), `stop.rs` how all of them end; [`tls`]
//! is what a connection speaks that is not plain; `readers.rs` reads the records of requests, `mirror/`
//! sends copies of them.

pub mod clients;
pub mod h1;
mod h2;
pub mod holds;
pub mod limited;
pub mod mirror;
mod places;
mod proxy_header;
pub mod readers;
mod request_log;
pub mod socket;
pub mod stop;
pub mod tls;
