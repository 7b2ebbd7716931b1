//! How many requests in which time: a rate, a client and the time in, a grant out.
//!
//! `bucket.rs` is one client's, `table.rs` those of many in a bounded place, `limiter.rs` what a service
//! or a route is told.

mod bucket;
mod limiter;
mod table;

pub use bucket::{Bucket, Grant, Rate};
pub(crate) use limiter::CarriedLimit;
pub use limiter::{Counts, Keyless, Limiter, RateSettings, Told};
use table::Table;
