//! What happened, for people and machines: one record a request in, totals and metrics out.

mod metrics;
mod record;

pub use metrics::{Gauges, ListenerTally, Process, encode};
pub use record::RequestRecord;
