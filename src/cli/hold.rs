//! `hold`: a service in, its new requests waiting while something behind it is switched out.

use std::time::Duration;

use clap::Args;

use super::mode::set;
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Let new requests of a service wait while something behind it is switched.
///
/// Requests under way go on. Those that wait are let through in order once the hold is released,
/// or at the latest when its time is over; more than may wait are answered with 503.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman hold shop --for 20s --reason \"database failover\"\n  \
                        pointsman hold shop --release"
)]
pub struct Hold {
    /// The service.
    service: String,
    /// How long at most.
    #[arg(long = "for", default_value = "20s", value_name = "DURATION", value_parser = crate::config::duration)]
    length: Duration,
    /// How many requests may wait.
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    most: usize,
    /// End the hold and let those that wait through.
    #[arg(long, conflicts_with_all = ["length", "most"])]
    release: bool,
    /// Why; kept with the event.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl Hold {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let mode = if self.release { wire::Mode::Serve } else { wire::Mode::Hold };
        let put = wire::PutMode {
            mode,
            length: (!self.release).then(|| format!("{}ms", self.length.as_millis())),
            most: (!self.release).then_some(self.most),
            reason: self.reason,
            author: Some(super::author()),
            from: self.release.then_some(wire::Mode::Hold),
            ..wire::PutMode::default()
        };
        let set = set(&self.reach, &self.service, &put).await?;
        print(&match (self.reach.json, self.release) {
            (true, _) => serde_json::to_string_pretty(&set)?,
            (false, true) => format!("{} serves again", self.service),
            (false, false) => format!(
                "{} is held for {} s at most; let it go with `pointsman hold {} --release`",
                self.service,
                self.length.as_secs_f64(),
                self.service
            ),
        });
        Ok(Ending::Done)
    }
}
