//! What happened, for people and machines: one record a request in, totals and metrics out.

mod access_log;
mod commits;
pub mod declared;
mod exemplars;
mod families;
mod lag;
pub mod machine;
mod metrics;
mod process;
mod saturation;
mod status;

pub use access_log::{OpenAgain, Writer};
pub use families::Form;
pub use lag::{Lag, sample_lag};
pub use metrics::{Scrape, encode};
pub use process::{
    AutomationTally, ListenerTally, Memory, NotifyTally, Process, RolloutStand, RolloutTally,
};
pub use status::Status;
