//! One durable step of the state. Each is one entry of the store, put in place of the one with the
//! same key or taken away; so it may be made twice, and made again after others of other keys.

use std::sync::Arc;

use super::{About, FilePart, FlagState, Override, Revision};
use crate::aa::Tally;
use crate::automation;
use crate::capacity::Day;
use crate::clock::WallTime;
use crate::incident::{Alert, Incident};
use crate::judge::bursts::Bursts;
use crate::recording::Minute;
use crate::rollout::{Hearing, Rollout};
use crate::slo::{Alarms, Block, Grain};

/// One durable step of the state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The key of the cohort hash.
    Secret([u8; 16]),
    /// A revision of a service, or what became of one.
    Revision {
        /// The service.
        service: Arc<str>,
        /// The revision.
        revision: Arc<Revision>,
    },
    /// A revision is remembered no longer.
    ForgetRevision {
        /// The service.
        service: Arc<str>,
        /// Its number.
        number: u64,
    },
    /// Where the rollout of a service is. The store keeps what its judge has heard apart.
    Rollout(Arc<Rollout>),
    /// What the judge of the rollout under way has heard.
    Heard {
        /// The service.
        service: Arc<str>,
        /// The rollout's number.
        id: u64,
        /// What it has heard.
        heard: Arc<Hearing>,
    },
    /// No rollout of a service is under way any more.
    EndRollout {
        /// The service.
        service: Arc<str>,
    },
    /// Nothing that a judge has heard is kept of a service any more.
    ForgetHeard {
        /// The service.
        service: Arc<str>,
    },
    /// An ended rollout.
    Past(Arc<Rollout>),
    /// An ended rollout is remembered no longer.
    ForgetPast {
        /// The service.
        service: Arc<str>,
        /// Its number.
        id: u64,
    },
    /// An order that stands, in place of the one about the same.
    Order(Override),
    /// An order stands no longer.
    Clear(About),
    /// A state of a feature flag.
    Flag {
        /// The flag.
        name: Arc<str>,
        /// The state.
        state: Arc<FlagState>,
    },
    /// A state of a flag is remembered no longer.
    ForgetFlag {
        /// The flag.
        name: Arc<str>,
        /// The state's number.
        revision: u64,
    },
    /// What the config file says of something, such as `split shop`; none once it says nothing.
    InFile {
        /// Of what.
        of: Arc<str>,
        /// What it says.
        said: Option<String>,
    },
    /// A part of the file is gone from it, and what was ordered of it is kept; none once it is back
    /// or nothing is kept any more.
    Absent {
        /// Which.
        part: FilePart,
        /// Since when.
        since: Option<WallTime>,
    },
    /// Where an error budget is.
    Alarms {
        /// Its key.
        of: Arc<str>,
        /// Where it is.
        alarms: Alarms,
    },
    /// What was counted for an error budget in one stretch of time.
    Block {
        /// The budget's key.
        of: Arc<str>,
        /// What was counted.
        block: Arc<Block>,
    },
    /// A stretch of time that no window reaches back to.
    ForgetBlock {
        /// The budget's key.
        of: Arc<str>,
        /// How far apart its samples were.
        grain: Grain,
        /// Which stretch.
        number: u64,
    },
    /// How the failures of a pool's upstreams come together; none once there is no such pool.
    Bursts {
        /// The pool, as `SERVICE/POOL`.
        of: Arc<str>,
        /// What is known.
        bursts: Option<Arc<Bursts>>,
    },
    /// What the upstreams of a service did in one minute of the last hour; none once that is let go of.
    Recorded {
        /// The service and the minute's place in the hour, as `SERVICE/PLACE`.
        of: Arc<str>,
        /// What they did.
        minute: Option<Arc<Minute>>,
    },
    /// How often the judge would have taken back what is as good as the rest; none once that is let go of.
    Checked {
        /// The service.
        service: Arc<str>,
        /// What came of its trials.
        tally: Option<Arc<Tally>>,
    },
    /// What a pool carried on a day; none once that is remembered no longer.
    Carried {
        /// The pool and the day, as `SERVICE/POOL/DAY`.
        of: Arc<str>,
        /// What it carried.
        day: Option<Arc<Day>>,
    },
    /// What a rule does, has added, or that all of them are stopped.
    Automation(automation::Change),
    /// An incident, in place of what was known of it.
    Incident(Arc<Incident>),
    /// An incident is remembered no longer.
    ForgetIncident {
        /// Its number.
        id: u64,
    },
    /// An alert of somebody else, in place of what was known of it.
    Alert(Arc<Alert>),
    /// An alert is remembered no longer.
    ForgetAlert {
        /// What tells it from others.
        fingerprint: Arc<str>,
    },
    /// Nothing is promised any more that this budget was for.
    ForgetAlarms {
        /// Its key.
        of: Arc<str>,
    },
}

impl Change {
    /// The service that it is of, where it is of one.
    pub fn service(&self) -> Option<&str> {
        match self {
            Change::Revision { service, .. }
            | Change::ForgetRevision { service, .. }
            | Change::Heard { service, .. }
            | Change::EndRollout { service }
            | Change::ForgetHeard { service }
            | Change::ForgetPast { service, .. }
            | Change::Checked { service, .. } => Some(service),
            Change::Rollout(rollout) | Change::Past(rollout) => Some(&rollout.service),
            Change::Order(standing) => Some(standing.what.service()),
            Change::Clear(about) => Some(about.service()),
            Change::Secret(_)
            | Change::Flag { .. }
            | Change::ForgetFlag { .. }
            | Change::InFile { .. }
            | Change::Absent { .. }
            | Change::Alarms { .. }
            | Change::Block { .. }
            | Change::ForgetBlock { .. }
            | Change::Bursts { .. }
            | Change::Recorded { .. }
            | Change::Carried { .. }
            | Change::Automation(_)
            | Change::Incident(_)
            | Change::ForgetIncident { .. }
            | Change::Alert(_)
            | Change::ForgetAlert { .. }
            | Change::ForgetAlarms { .. } => None,
        }
    }

    /// Whether it is of the same entry as another: of two, the later one counts.
    pub fn is_of_entry(&self, other: &Change) -> bool {
        self.entry() == other.entry()
    }

    /// The entry that it is of, by kind and key.
    pub(crate) fn entry(&self) -> (&'static str, String) {
        match self {
            Change::Secret(_) => ("secret", String::new()),
            Change::Revision { service, revision } => {
                ("revision", format!("{service}/{}", revision.number))
            }
            Change::ForgetRevision { service, number } => {
                ("revision", format!("{service}/{number}"))
            }
            Change::Rollout(rollout) => ("rollout", rollout.service.to_string()),
            Change::EndRollout { service } => ("rollout", service.to_string()),
            Change::Heard { service, .. } | Change::ForgetHeard { service } => {
                ("heard", service.to_string())
            }
            Change::Past(rollout) => ("past", format!("{}/{}", rollout.service, rollout.id)),
            Change::ForgetPast { service, id } => ("past", format!("{service}/{id}")),
            Change::Order(standing) => ("order", standing.what.about().as_str().into()),
            Change::Clear(about) => ("order", about.as_str().into()),
            Change::Flag { name, state } => ("flag", format!("{name}/{}", state.revision)),
            Change::ForgetFlag { name, revision } => ("flag", format!("{name}/{revision}")),
            Change::InFile { of, .. } => ("in file", of.to_string()),
            Change::Absent { part, .. } => ("absent", part.to_string()),
            Change::Alarms { of, .. } | Change::ForgetAlarms { of } => ("alarms", of.to_string()),
            Change::Bursts { of, .. } => ("bursts", of.to_string()),
            Change::Recorded { of, .. } => ("recorded", of.to_string()),
            Change::Carried { of, .. } => ("carried", of.to_string()),
            Change::Checked { service, .. } => ("checked", service.to_string()),
            Change::Automation(change) => ("automation", change.key()),
            Change::Incident(incident) => ("incident", incident.id.to_string()),
            Change::ForgetIncident { id } => ("incident", id.to_string()),
            Change::Alert(alert) => ("alert", alert.fingerprint.clone()),
            Change::ForgetAlert { fingerprint } => ("alert", fingerprint.to_string()),
            Change::Block { of, block } => {
                ("block", format!("{of}/{}/{}", block.grain.name(), block.number))
            }
            Change::ForgetBlock { of, grain, number } => {
                ("block", format!("{of}/{}/{number}", grain.name()))
            }
        }
    }
}
