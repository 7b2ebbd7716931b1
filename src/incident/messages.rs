//! The three messages of an incident, filled in: the notification when it is opened, updates, and the
//! resolution.

use super::words::{length, moment};
use super::{EntryKind, Incident};
use crate::clock::WallTime;

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// That something is wrong.
    Notification,
    /// How it is.
    Update,
    /// That it is over.
    Resolution,
}

/// A message: what each line is called, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which it is.
    pub kind: MessageKind,
    /// Its first line.
    pub headline: String,
    /// The other ones.
    pub lines: Vec<(&'static str, String)>,
}

impl MessageKind {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            MessageKind::Notification => "notification",
            MessageKind::Update => "update",
            MessageKind::Resolution => "resolution",
        }
    }

    /// The one that an incident is at: it was opened, told of since, or closed.
    pub fn of(incident: &Incident) -> MessageKind {
        let told = [EntryKind::Update, EntryKind::Mitigated];
        let entries = incident.timeline.entries();
        match incident.is_open() {
            false => MessageKind::Resolution,
            true if entries.iter().any(|entry| told.contains(&entry.kind)) => MessageKind::Update,
            true => MessageKind::Notification,
        }
    }
}

impl Message {
    /// The message of this kind, as an incident stands now.
    pub fn of(incident: &Incident, kind: MessageKind, now: WallTime) -> Message {
        let Incident { id, title, severity, .. } = incident;
        let severity = severity.name().to_uppercase();
        let headline = match kind {
            MessageKind::Notification => format!("INCIDENT {id} [{severity}]: {title}"),
            MessageKind::Update => format!("UPDATE on incident {id} [{severity}]: {title}"),
            MessageKind::Resolution => format!("RESOLVED: incident {id} [{severity}]: {title}"),
        };
        let services = match incident.services.is_empty() {
            true => "none named".to_string(),
            false => incident.services.join(", "),
        };
        let began = incident.first_failure.unwrap_or(incident.opened).min(incident.opened);
        let mut lines = vec![("Services", services), ("Impact", incident.impact.words())];
        match kind {
            MessageKind::Notification => {
                lines.insert(0, ("Started", moment(began)));
                let how = match incident.origin.kind {
                    super::OriginKind::Person => format!("opened by {}", incident.origin.what),
                    _ => incident.origin.what.clone(),
                };
                lines.push(("Detected", how));
                lines.push(("Status", "investigating".into()));
            }
            MessageKind::Update => {
                let lasted = length(now.elapsed_since(began));
                lines.insert(0, ("Started", format!("{}, {lasted} ago", moment(began))));
                lines.push(("Status", status(incident)));
            }
            MessageKind::Resolution => {
                let ended = incident.closed.unwrap_or(now);
                let lasted = length(ended.elapsed_since(began));
                let period = format!("{} to {}, {lasted}", moment(began), moment(ended));
                lines.insert(0, ("Duration", period));
                lines.push(("Resolution", incident.resolution.clone().unwrap_or_default()));
                lines.push(("Report", format!("`pointsman incident report {id}` drafts it")));
            }
        }
        let whom = [("Commander", &incident.commander), ("Channel", &incident.channel)];
        lines.extend(whom.into_iter().filter_map(|(name, whom)| Some((name, whom.clone()?))));
        if let Some(next) = incident.next_update {
            lines.push(("Next update", moment(next)));
        }
        Message { kind, headline, lines }
    }

    /// A line each, for people.
    pub fn text(&self) -> String {
        let lines = self.lines.iter().map(|(name, said)| format!("\n{name}: {said}"));
        format!("{}{}", self.headline, lines.collect::<String>())
    }

    /// All in one line, for notices and logs.
    pub fn line(&self) -> String {
        let lines = self.lines.iter().map(|(name, said)| format!("{name}: {said}"));
        let lines: Vec<String> = lines.collect();
        format!("{}. {}", self.headline, lines.join("; "))
    }
}

/// What people said last of how it is.
fn status(incident: &Incident) -> String {
    let entries = incident.timeline.entries();
    let told = |kind: EntryKind| matches!(kind, EntryKind::Update | EntryKind::Mitigated);
    let last = entries.iter().rev().find(|entry| told(entry.kind));
    match last {
        Some(last) if last.kind == EntryKind::Mitigated => format!("mitigated: {}", last.text),
        Some(last) => last.text.clone(),
        None => "investigating".into(),
    }
}
