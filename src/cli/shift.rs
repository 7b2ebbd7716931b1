//! `shift`: weights in, the revision they became out.

use std::collections::BTreeMap;

use clap::Args;
use http::Method;

use super::api::{Api, Call, segment};
use super::{Ending, Reach, Why, capacity, print, table};
use crate::admin::wire;
use crate::split::BasisPoints;

/// Divide a service's traffic among its pools.
///
/// Shares are percentages with at most two decimals and sum to 100; pools left out get nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman shift shop blue=90 green=10 --reason \"canary of v2\"\n  \
                        pointsman shift shop blue=99.5 green=0.5 --if-revision 7"
)]
pub struct Shift {
    /// The service.
    service: String,
    /// The share of each pool.
    #[arg(required = true, value_name = "POOL=PERCENT", value_parser = weight)]
    weights: Vec<(String, serde_json::Number)>,
    /// Even if nobody of a pool that gets more would take requests.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    reach: Reach,
}

fn weight(text: &str) -> Result<(String, serde_json::Number), String> {
    let (pool, percent) = text.split_once('=').ok_or("expected POOL=PERCENT, such as green=10")?;
    let share = BasisPoints::from_percent(percent).map_err(|error| error.to_string())?;
    let number: serde_json::Number = share.to_string().parse().map_err(|_| "not a number")?;
    Ok((pool.to_string(), number))
}

impl Shift {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let mut weights = BTreeMap::new();
        for (pool, weight) in self.weights {
            if weights.insert(pool.clone(), weight).is_some() {
                eprintln!("pointsman: pool `{pool}` is named twice");
                return Ok(Ending::Usage);
            }
        }
        let body = wire::PutSplit {
            weights,
            force: self.force,
            reason: self.why.reason,
            author: Some(super::author()),
        };
        let path = format!("/v1/services/{}/split", segment(&self.service));
        let call = Call::json(Method::PUT, &path, &body).if_match(self.why.if_revision);
        let not_done = || format!("{} was not shifted", self.service);
        let revision = Api(&self.reach).order(call, not_done).await?;
        report(&self.service, &revision, self.reach.json)
    }
}

/// Says what a service's traffic has become.
pub(super) fn report(
    service: &str,
    revision: &wire::Revision,
    json: bool,
) -> anyhow::Result<Ending> {
    capacity::warn(&revision.warnings);
    print(&match json {
        true => serde_json::to_string_pretty(revision)?,
        false => {
            let weights = table::weights(&revision.weights);
            format!("{service} is at revision {}: {weights}", revision.revision)
        }
    });
    Ok(Ending::Done)
}
