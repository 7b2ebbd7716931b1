//! What travels over the admin API: the types of its JSON, for both ends.
//!
//! Never the types that decide anything: those may change without a client noticing.

mod automation;
mod capacity;
mod config;
mod deploys;
mod doctor;
mod explain;
mod glance;
mod incidents;
mod judge;
mod latency;
mod live;
mod mirror;
mod notify;
mod operations;
mod process;
mod reading;
mod recording;
mod requests;
mod revision;
mod rollouts;
mod service;
mod slo;
mod split;
mod standing;
mod status;
mod storing;
mod upstream;

#[cfg(test)]
pub use automation::AutomationStopped;
pub use automation::{Act, Automation, OrderAutomation, Rule, RuleState};
#[cfg(test)]
pub use capacity::Ceiling;
pub use capacity::{Capacity, CeilingBy, Highest, PoolCapacity, warnings};
pub use config::{Changes, Checked, ConfigChange, ConfigPart, ConfigProblem, ConfigText};
pub use deploys::{Deploy, DeployTo, Deployed, VersionDeployed, Weighed};
pub use doctor::{Diagnosis, Finding, FindingState, MendBy};
pub use explain::{Explain, ExplainField, ExplainWith, Explanation, Health, Instead};
pub use glance::{Glance, GlancePool, GlanceRollout, Wrong};
pub use incidents::{
    Alert, AlertBeside, AlertStatus, AlertsTaken, Incident, IncidentEntry, IncidentReport,
    IncidentSeverity, IncidentSuggestion, OpenIncident, PostAlert, PostAlerts, PostIncident,
    PostIncidentText, PostIncidentUpdate,
};
pub(super) use judge::took;
pub use judge::{JudgeCheck, Judged, Judgement, Odds, RolloutReport};
pub use latency::Latency;
pub use live::{LiveLine, LiveService, LiveStatus, Me, Points};
pub use mirror::{Difference, Mirror};
pub use notify::{NoticeTested, TestNotice, TestedTarget};
pub use operations::{
    Breaker, BreakerOrder, BreakerSet, BreakerState, Event, LabelledStateSet, Mode, ModeSet,
    PostUpstream, PutBreaker, PutLabelledState, PutMode, PutUpstreamState, UpstreamState,
    UpstreamStateSet, UpstreamsChanged,
};
pub use process::{LogLevels, PutLogLevels, Upgraded};
use reading::{each_once, each_once_if_given, whole_if_given};
pub use recording::{RecordedPool, Recording};
pub use requests::{NotTaken, Request, RequestAttempt};
pub use revision::Revision;
pub use rollouts::{Attempts, Flag, OrderRollout, PutFlag, Rollback, Rollout, StartRollout};
pub use service::{Pool, Service};
pub use slo::{Budget, Decree, DeleteFreeze, FreezeOverride, PutFreeze, Slo, SloState};
pub(super) use split::share;
pub use split::{CurrentSplit, Flip, PutSplit, weights};
pub use standing::Standing;
pub use status::{ConfigStatus, Kept, Listener, Status};
pub use storing::Storing;
pub use upstream::{Upstream, UpstreamCondition};
