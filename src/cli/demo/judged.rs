//! How the rollout of a demo stands: the controller asked in, what the judge says of it out.

use super::{flag, print, program};
use crate::judge::{Evidence, Metric};
use crate::orders::Report;
use crate::rollout::Outcome;
use crate::server::Server;

/// Columns of a line, indented under the rates.
const INDENT: usize = 7;
const WIDTH: usize = 80 - INDENT;

/// What was told of the rollout so far.
#[derive(Debug, Default)]
pub struct Judged {
    stands: Option<(&'static str, usize)>,
}

impl Judged {
    /// Says what has changed, and how strong the evidence is while there is a verdict to come.
    pub async fn tell(&mut self, server: &Server) -> anyhow::Result<()> {
        let now = crate::server::clock::system().wall_time();
        let newest = Report::newest(&server.state(), "shop", now);
        let Some(report) = newest else { return Ok(()) };
        let (rollout, status) = (&report.rollout, &report.status);
        let stands = (status.state, status.steps.0);
        if self.stands == Some(stands) {
            if !rollout.is_over()
                && let Some(evidence) = rollout.evidence().filter(|known| known.step.is_some())
            {
                say(&against(&evidence));
            }
            return Ok(());
        }
        self.stands = Some(stands);
        let id = rollout.id;
        match &rollout.ended {
            Some((Outcome::RolledBack { why }, at)) => {
                let after = at.elapsed_since(rollout.started).as_secs_f64();
                let (counts, _) = rollout.seen();
                say("");
                say(&format!("rollout {id} is ROLLED BACK after {after:.0} s: {why}."));
                say(&format!(
                    "{} of {} requests at green failed and were tried again on blue.",
                    counts.bad, counts.total
                ));
                say(&format!("The report: {} rollout report shop{}", program(), flag(server)));
                say("");
            }
            _ => say(&format!("rollout {id} is {}: {}", status.state, status.words)),
        }
        Ok(())
    }
}

/// The evidence against green, in a line.
fn against(evidence: &Evidence) -> String {
    let counts = evidence.step.map(|step| step.canary).unwrap_or_default();
    let errors = evidence.metrics.iter().find(|finding| finding.metric == Metric::Errors);
    let odds = errors.map_or_else(String::new, |finding| {
        let (now, limit) = (finding.worse.ln_e.exp(), finding.worse.limit.exp());
        format!("; odds that green is worse: {} to 1, at {limit:.0} it goes back", short(now))
    });
    format!("judge: green failed {} of {}{odds}", counts.bad, counts.total)
}

/// Odds with as many digits as they deserve.
fn short(odds: f64) -> String {
    match odds {
        10.0.. => format!("{odds:.0}"),
        _ => format!("{odds:.1}"),
    }
}

/// Prints a text under the rates, in lines that fit a terminal.
fn say(text: &str) {
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            print(&format!("{:INDENT$}{line}", ""));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    print(format!("{:INDENT$}{line}", "").trim_end());
}
