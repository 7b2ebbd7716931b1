//! `rollback`: a service and perhaps a revision in, the traffic as it was out.

use clap::Args;
use http::Method;

use super::api::{Api, Call, segment};
use super::{Ending, Reach, Why, print, shift, table};
use crate::admin::wire;

/// Take a service's traffic back to an earlier state.
///
/// One switch, at any time: a rollout that is under way ends with it. Without a revision it goes to
/// the state before the last change; the steps of one rollout count as one change. What was taken
/// back already stays so: going further back needs a revision.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman rollback shop --reason \"checkout is slow\"\n  \
                        pointsman rollback shop 41\n  pointsman history shop")]
pub struct Rollback {
    /// The service.
    service: String,
    /// The revision to go back to.
    revision: Option<u64>,
    /// Even if nobody of its pool would take requests, or it cannot run on the schema.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    reach: Reach,
}

impl Rollback {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let body = wire::Rollback {
            to: self.revision,
            force: self.force,
            reason: self.why.reason.clone(),
            author: Some(super::author()),
        };
        let path = format!("/v1/services/{}/rollback", segment(&self.service));
        let call = Call::json(Method::POST, &path, &body).if_match(self.why.if_revision);
        let revision: wire::Revision = Api(&self.reach)
            .order(call, || format!("{} was not rolled back", self.service))
            .await?;
        if revision.unchanged && !self.reach.json {
            let (service, number) = (&self.service, revision.revision);
            let weights = table::weights(&revision.weights);
            print(&format!(
                "{service} is already rolled back: revision {number}: {weights}; going further back \
                 needs a number: `pointsman history {service}`, `pointsman rollback {service} REVISION`"
            ));
            return Ok(Ending::Done);
        }
        shift::report(&self.service, &revision, self.reach.json)
    }
}
