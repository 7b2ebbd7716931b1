//! `notify test`: a target or none in, whether notices reach it out.

use clap::{Args, Subcommand};
use http::Method;

use super::api::{Api, Call};
use super::table::table;
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Try whether those who are to be told of what happens can be told.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pointsman notify test pager --severity critical")]
pub struct Notify {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Test(Test),
}

/// Send a notice that is marked as a test, and say what each target answered.
///
/// It goes the way of all notices: through the queue of the target, in its form, signed as it is, before whatever
/// waits there. The target gets it whatever severity it wants. Where alerts are kept (alertmanager, pagerduty) one
/// named PointsmanTest is opened; it lasts for four hours, or until --over, and rings whoever its severity rings.
/// Exit code 1 if a target has not taken it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman notify test\n  \
                        pointsman notify test pager --severity critical\n  \
                        pointsman notify test pager --over")]
pub struct Test {
    /// The target, as `name` in the file says; all are told if left out.
    target: Option<String>,
    /// By which whoever gets it sends it on: low, medium, high or critical.
    #[arg(long, value_name = "SEVERITY", default_value = "low",
          value_parser = ["low", "medium", "high", "critical"])]
    severity: String,
    /// Say that it is over, which closes its alert.
    #[arg(long)]
    over: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Notify {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        match self.verb {
            Verb::Test(test) => test.run().await,
        }
    }
}

impl Test {
    async fn run(self) -> anyhow::Result<Ending> {
        let Test { target, severity, over, reach } = self;
        let author = Some(super::author());
        let test = wire::TestNotice { target, severity: Some(severity), over, author };
        let call = Call::json(Method::POST, "/v1/notify/test", &test);
        let tested: wire::NoticeTested = Api(&reach).ask(call).await?;
        print(&match reach.json {
            true => serde_json::to_string_pretty(&tested)?,
            false => picture(&tested),
        });
        match tested.targets.iter().all(|target| target.taken) {
            true => Ok(Ending::Done),
            false => Ok(Ending::No),
        }
    }
}

fn picture(tested: &wire::NoticeTested) -> String {
    let rows = tested.targets.iter().map(|told| {
        let is_taken = if told.taken { "yes" } else { "NO" };
        vec![told.target.clone(), told.form.clone(), is_taken.to_string(), told.answer.clone()]
    });
    table(&["TARGET", "FORM", "TAKEN", "ANSWER"], rows)
}
