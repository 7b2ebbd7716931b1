//! `freeze`: a service and a reason in, its rollouts stopped or let go on out.

use std::time::Duration;

use clap::Args;
use http::Method;

use super::api::{Api, Call, segment};
use super::events::moment;
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Let no rollout of a service start or go on, until it is lifted.
///
/// Rollbacks, aborts and shifts are never refused. What an error budget keeps back can be let go on
/// with --lift --override: for a mend that cannot wait, with a reason, for 24 hours at most.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman freeze shop --reason \"black friday\" --for 48h\n  \
                  pointsman freeze shop --lift\n  \
                  pointsman freeze shop --lift --override --reason \"rolls out the mend\" --for 2h"
)]
pub struct Freeze {
    /// The service.
    service: String,
    /// Why; kept, and told to whoever is refused.
    #[arg(long, value_name = "TEXT", required_unless_present = "lift")]
    reason: Option<String>,
    /// For how long at most; an override is for an hour if this is left out.
    #[arg(long = "for", value_name = "DURATION", value_parser = crate::config::duration)]
    length: Option<Duration>,
    /// End a freeze by order.
    #[arg(long)]
    lift: bool,
    /// Let rollouts go on whatever the error budgets say.
    #[arg(long = "override", requires_all = ["lift", "reason"])]
    overrides: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Freeze {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        if self.lift && !self.overrides && self.length.is_some() {
            eprintln!(
                "pointsman: a freeze that is lifted has no length: --for goes with --override"
            );
            return Ok(Ending::Usage);
        }
        let (author, length) = (Some(super::author()), self.length);
        let length = length.map(|length| format!("{}ms", length.as_millis()));
        let path = format!("/v1/services/{}/freeze", segment(&self.service));
        let call = match self.lift {
            false => {
                let put = wire::PutFreeze { reason: self.reason, length, author };
                Call::json(Method::PUT, &path, &put)
            }
            true => {
                let reason = self.reason;
                let body = match self.overrides {
                    true => wire::DeleteFreeze {
                        lifted: Some(wire::FreezeOverride { reason, length }),
                        reason: None,
                        author,
                    },
                    false => wire::DeleteFreeze { lifted: None, reason, author },
                };
                Call::json(Method::DELETE, &path, &body)
            }
        };
        let slo: wire::Slo =
            Api(&self.reach).order(call, || format!("{} was not changed", self.service)).await?;
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&slo)?,
            false => words(&slo),
        });
        Ok(Ending::Done)
    }
}

fn words(slo: &wire::Slo) -> String {
    let wire::Slo { service, state, why, freeze, lifted, .. } = slo;
    let end = |decree: &wire::Decree| decree.until.map(|until| format!("until {}", moment(until)));
    match (freeze, lifted) {
        (Some(freeze), _) => {
            let until = end(freeze).unwrap_or_else(|| "until that is lifted".into());
            format!(
                "rollouts of {service} are frozen {until}; `pointsman freeze {service} --lift` lifts \
                 that"
            )
        }
        (None, Some(lifted)) => {
            let until = end(lifted).unwrap_or_default();
            format!("rollouts of {service} go on {until}, whatever the error budget says")
        }
        (None, None) => match why {
            Some(why) => format!("{service} is at `{}`: {why}", state.name()),
            None => format!("rollouts of {service} may go on"),
        },
    }
}
