//! What travels about incidents and about alerts of others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::WallTime;
use crate::config::Severity;
use crate::incident::{self, Message, MessageKind, Reading};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IncidentSeverity {
    /// It can wait.
    Low,
    /// Somebody should look today.
    Medium,
    /// Somebody should look now.
    High,
    /// Users are hurt.
    Critical,
}

/// One incident.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    /// Its number.
    pub id: u64,
    /// Counts up with what people and rules change of it; its ETag.
    pub revision: u64,
    /// What is wrong.
    pub title: String,
    /// How bad it is.
    pub severity: IncidentSeverity,
    /// `open`, `mitigated` or `closed`.
    pub state: String,
    /// The services concerned; none for the process as a whole.
    pub services: Vec<String>,
    /// Who leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commander: Option<String>,
    /// Where people talk about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// What kind of thing opened it: `person`, `rollback`, `budget` or `alert`.
    pub opened_by: String,
    /// Who that was, or what happened.
    pub origin: String,
    /// When, as Unix time in seconds.
    pub opened: f64,
    /// When requests began to fail, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<f64>,
    /// Since when users are not hurt any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigated: Option<f64>,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<f64>,
    /// What ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// When the next update is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<f64>,
    /// What it has cost so far.
    pub impact: IncidentImpact,
    /// Services whose rollouts it keeps frozen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub froze: Vec<String>,
    /// The message that it is at: `notification`, `update` or `resolution`.
    #[serde(default)]
    pub message_kind: String,
    /// That message, filled in.
    #[serde(default)]
    pub message: String,
    /// What happened, the oldest first; left out in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<IncidentEntry>,
    /// Events in between that are not kept.
    #[serde(default)]
    pub left_out: u64,
}

/// What an incident has cost.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IncidentImpact {
    /// Requests of its services since the first failure, but those whose clients left.
    pub requests: u64,
    /// Those of them that got a 5xx or no answer.
    pub failed: u64,
    /// Users for whom something failed, each once for each step of a rollout; none where clients are not
    /// told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<u64>,
    /// The share of its scarcest error budget that it has spent, in percent, by service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub budget_spent: BTreeMap<String, f64>,
    /// All of it in words.
    pub words: String,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IncidentEntry {
    /// When, as Unix time in seconds.
    pub at: f64,
    /// When it happened last, if that was more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
    /// `opened`, `event`, `note`, `update`, `mitigated` or `closed`.
    pub kind: String,
    /// Where; empty for what is of no service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// What happened, or what somebody wrote.
    pub what: String,
    /// Who did or wrote it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// How often it happened.
    pub count: u64,
}

/// An incident to be opened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostIncident {
    /// What is wrong, in a few words.
    pub title: String,
    /// How bad it is; `high` if left out.
    #[serde(default)]
    pub severity: Option<IncidentSeverity>,
    /// The services concerned.
    #[serde(default)]
    pub services: Vec<String>,
    /// Who leads.
    #[serde(default)]
    pub commander: Option<String>,
    /// Where people talk about it.
    #[serde(default)]
    pub channel: Option<String>,
    /// How long after an update the next one is due, such as `30m`; `incidents.updates` if left out.
    #[serde(default)]
    pub next: Option<String>,
    /// Freeze rollouts of its services until it is closed.
    #[serde(default)]
    pub freeze: bool,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// Something to be written down, or what has helped.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostIncidentText {
    /// What.
    pub text: String,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// How it is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostIncidentUpdate {
    /// What is known now.
    pub text: String,
    /// How bad it is now; as before if left out.
    #[serde(default)]
    pub severity: Option<IncidentSeverity>,
    /// Who leads now.
    #[serde(default)]
    pub commander: Option<String>,
    /// Where people talk about it now.
    #[serde(default)]
    pub channel: Option<String>,
    /// How long until the next one, such as `30m`; as before if left out.
    #[serde(default)]
    pub next: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// Something that may mend it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IncidentSuggestion {
    /// The service.
    pub service: String,
    /// What it does and why it fits.
    pub why: String,
    /// The whole command.
    pub command: String,
}

/// The draft of a report.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IncidentReport {
    /// In Markdown.
    pub markdown: String,
}

/// An open incident at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OpenIncident {
    /// Its number.
    pub id: u64,
    /// What is wrong.
    pub title: String,
    /// How bad it is.
    pub severity: IncidentSeverity,
    /// `open` or `mitigated`.
    pub state: String,
    /// The services concerned.
    pub services: Vec<String>,
    /// When the next update is due, as Unix time in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<f64>,
}

/// What Alertmanager's webhook sends (version 4), as far as it is looked at.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct PostAlerts {
    /// The version of its form: `4`.
    pub version: String,
    /// At most 100.
    pub alerts: Vec<PostAlert>,
}

/// An alert, as Alertmanager tells it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostAlert {
    /// `firing` or `resolved`.
    pub status: AlertStatus,
    /// What tells it from others.
    pub labels: BTreeMap<String, String>,
    /// What it says for people.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Since when (RFC 3339).
    pub starts_at: String,
    /// Until when; what is said of one that fires counts for nothing.
    #[serde(default)]
    pub ends_at: Option<String>,
    /// What tells its labels from others.
    pub fingerprint: String,
}

/// Whether an alert goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// It does.
    Firing,
    /// It is over.
    Resolved,
}

/// What became of alerts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AlertsTaken {
    /// How many fire.
    pub firing: usize,
    /// How many are resolved.
    pub resolved: usize,
    /// The incidents that they have opened.
    pub opened: Vec<u64>,
}

/// An alert of somebody else, and what is seen here.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// What tells it from others.
    pub fingerprint: String,
    /// What it is called.
    pub name: String,
    /// Whether it goes on.
    pub status: AlertStatus,
    /// The service that it is tied to; empty for none.
    pub service: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// What it says for people.
    pub annotations: BTreeMap<String, String>,
    /// Since when, as Unix time in seconds.
    pub since: f64,
    /// When it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<f64>,
    /// When it was last heard of.
    pub heard: f64,
    /// The open incident of its service, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<u64>,
    /// What this Pointsman sees of the service now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<AlertBeside>,
}

/// What is seen of an alert's service.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AlertBeside {
    /// Requests per second over the last ten seconds.
    pub requests_per_second: f64,
    /// Share of them that failed, in percent.
    pub errors_percent: f64,
    /// Upstreams that are well, of pools that get traffic.
    pub well: usize,
    /// Those that there are.
    pub upstreams: usize,
}

impl From<Severity> for IncidentSeverity {
    fn from(severity: Severity) -> IncidentSeverity {
        match severity {
            Severity::Low => IncidentSeverity::Low,
            Severity::Medium => IncidentSeverity::Medium,
            Severity::High => IncidentSeverity::High,
            Severity::Critical => IncidentSeverity::Critical,
        }
    }
}

impl From<IncidentSeverity> for Severity {
    fn from(severity: IncidentSeverity) -> Severity {
        match severity {
            IncidentSeverity::Low => Severity::Low,
            IncidentSeverity::Medium => Severity::Medium,
            IncidentSeverity::High => Severity::High,
            IncidentSeverity::Critical => Severity::Critical,
        }
    }
}

impl IncidentSeverity {
    /// Its word.
    pub fn name(self) -> &'static str {
        Severity::from(self).name()
    }
}

impl Incident {
    /// An incident without its timeline.
    pub fn brief(incident: &incident::Incident, now: WallTime) -> Incident {
        let Reading { requests, failed, users } = incident.impact.came;
        let percent = |(service, spent): (&String, &f64)| (service.clone(), spent * 100.0);
        let kind = MessageKind::of(incident);
        let time = |at: Option<WallTime>| at.map(WallTime::seconds);
        Incident {
            id: incident.id,
            revision: incident.revision,
            title: incident.title.clone(),
            severity: incident.severity.into(),
            state: incident.state().into(),
            services: incident.services.clone(),
            commander: incident.commander.clone(),
            channel: incident.channel.clone(),
            opened_by: incident.origin.kind.name().into(),
            origin: incident.origin.what.clone(),
            opened: incident.opened.seconds(),
            first_failure: time(incident.first_failure),
            mitigated: time(incident.mitigated),
            closed: time(incident.closed),
            resolution: incident.resolution.clone(),
            next_update: time(incident.next_update),
            impact: IncidentImpact {
                requests,
                failed,
                users: incident.impact.tells_users.then_some(users),
                budget_spent: incident.impact.budget.iter().map(percent).collect(),
                words: incident.impact.words(),
            },
            froze: incident.froze.clone(),
            message_kind: kind.name().into(),
            message: Message::of(incident, kind, now).text(),
            timeline: Vec::new(),
            left_out: incident.timeline.left_out(),
        }
    }

    /// An incident with what happened, as far as whoever asks is told of it.
    pub fn whole(
        incident: &incident::Incident,
        now: WallTime,
        sees: impl Fn(&incident::Entry) -> bool,
    ) -> Incident {
        let entries = incident.timeline.entries().into_iter().filter(|entry| sees(entry));
        let timeline = entries.map(|entry| IncidentEntry {
            at: entry.at.seconds(),
            until: entry.until.map(WallTime::seconds),
            kind: entry.kind.name().into(),
            place: entry.place.clone(),
            what: entry.text.clone(),
            author: entry.author.clone(),
            count: entry.count,
        });
        Incident { timeline: timeline.collect(), ..Incident::brief(incident, now) }
    }
}

impl OpenIncident {
    /// At a glance.
    pub fn of(incident: &incident::Incident) -> OpenIncident {
        OpenIncident {
            id: incident.id,
            title: incident.title.clone(),
            severity: incident.severity.into(),
            state: incident.state().into(),
            services: incident.services.clone(),
            next_update: incident.next_update.map(WallTime::seconds),
        }
    }
}
