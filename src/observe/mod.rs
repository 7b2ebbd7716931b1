//! What happened, for people and machines: one record a request in, totals and metrics out.

mod families;
mod metrics;
mod process;
mod record;

pub use metrics::encode;
pub use process::{Gauges, ListenerTally, Process};
pub use record::RequestRecord;
