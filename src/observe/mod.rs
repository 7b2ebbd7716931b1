//! What happened, for people and machines: one record a request in, totals and metrics out.

mod access_log;
mod families;
mod lag;
mod metrics;
mod process;
mod saturation;

pub use access_log::{OpenAgain, Writer};
pub use lag::{Lag, sample_lag};
pub use metrics::encode;
pub use process::{ListenerTally, Memory, NotifyTally, Process, RolloutStand, RolloutTally};
