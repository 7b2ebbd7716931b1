//! What travels about what is in place for production.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::doctor::{self, Facts, Found, Remedy};

/// A finding for each check.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Diagnosis {
    /// When it was made, by the clock of who has made it: Unix time in seconds.
    pub at: f64,
    /// How long a stop may take, in seconds; none if nobody knows.
    pub stop_seconds: Option<f64>,
    /// In the order of docs/doctor.md.
    pub findings: Vec<Finding>,
}

/// What a check has come to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// By what scripts know the check, such as `health`.
    pub check: String,
    /// What it is, for people.
    pub title: String,
    /// How much it matters: `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// What it has come to.
    pub state: FindingState,
    /// What there is, what is missing, or why nobody knows.
    pub what: String,
    /// Whose it is that is missing or not known yet: services, or `SERVICE/POOL`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<String>,
    /// Why it is to be in place.
    pub why: String,
    /// Where the lines belong that mend it: `file`, `command`, `unit` or `system`.
    pub mend_by: MendBy,
    /// Those lines, made for the first of whom it is about; none where nothing is to be mended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mend: Vec<String>,
}

/// What a check has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    /// It is as it should be.
    Well,
    /// It is not.
    Missing,
    /// Nobody can say yet.
    Unknown,
    /// It was not looked at: whoever was asked cannot see it.
    Skipped,
}

/// Where lines belong that mend something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MendBy {
    /// In the config file.
    File,
    /// Commands of Pointsman.
    Command,
    /// In the `[Service]` of its systemd unit.
    Unit,
    /// Commands of the machine.
    System,
}

impl Diagnosis {
    /// Of these findings.
    pub fn of(facts: &Facts<'_>, findings: &[doctor::Finding]) -> Diagnosis {
        Diagnosis {
            at: facts.now.seconds(),
            stop_seconds: facts.stop_takes().map(|length| length.as_secs_f64()),
            findings: findings.iter().map(Finding::of).collect(),
        }
    }
}

impl Finding {
    fn of(finding: &doctor::Finding) -> Finding {
        let (check, mend) = (finding.check, finding.lines());
        let (state, what, of) = match finding.found.clone() {
            Found::Well(what) => (FindingState::Well, what, Vec::new()),
            Found::Missing { what, of } => (FindingState::Missing, what, of),
            Found::Unknown { why, of } => (FindingState::Unknown, why, of),
            Found::Skipped(what) => (FindingState::Skipped, what, Vec::new()),
        };
        Finding {
            check: check.id.into(),
            title: check.title.into(),
            severity: check.severity.name().into(),
            state,
            what,
            of,
            why: check.why.into(),
            mend_by: match check.remedy {
                Remedy::File(_) => MendBy::File,
                Remedy::Commands(_) => MendBy::Command,
                Remedy::Unit(_) => MendBy::Unit,
                Remedy::System(_) => MendBy::System,
            },
            mend,
        }
    }
}
