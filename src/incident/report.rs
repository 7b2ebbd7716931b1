//! The draft of a blameless report: an incident and what is seen of its services in, Markdown out.
//!
//! What is known is filled in; what only people know is asked for. Nobody is blamed: changes are told
//! by what they were and when, and authors appear in the timeline alone.

use std::fmt::Write;

use super::words::{length, markdown, moment};
use super::{Entry, Facts, Incident};
use crate::clock::WallTime;

/// Writes the draft.
pub fn report(incident: &Incident, facts: &Facts, now: WallTime) -> String {
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = write_to(&mut text, incident, facts, now);
    text
}

fn write_to(
    out: &mut String,
    incident: &Incident,
    facts: &Facts,
    now: WallTime,
) -> std::fmt::Result {
    let Incident { id, title, severity, .. } = incident;
    writeln!(out, "# Incident {id}: {}\n", markdown(title))?;
    writeln!(
        out,
        "A draft. It is about what happened and why it could, not about who. Fill in what stands in \
         angle brackets.\n"
    )?;
    writeln!(out, "## Summary\n")?;
    let began = incident.first_failure.unwrap_or(incident.opened).min(incident.opened);
    let services = match incident.services.is_empty() {
        true => "none named".to_string(),
        false => markdown(&incident.services.join(", ")),
    };
    let mut row = |name: &str, said: &str| writeln!(out, "- {name}: {said}");
    row("State", incident.state())?;
    row("Severity", severity.name())?;
    row("Services", &services)?;
    row(
        "Detected",
        &match incident.origin.kind {
            super::OriginKind::Person => format!("by {}", markdown(&incident.origin.what)),
            kind => format!("by rule ({}): {}", kind.name(), markdown(&incident.origin.what)),
        },
    )?;
    for (name, whom) in [("Commander", &incident.commander), ("Channel", &incident.channel)] {
        if let Some(whom) = whom {
            row(name, &markdown(whom))?;
        }
    }
    if let Some(resolution) = &incident.resolution {
        row("Resolution", &markdown(resolution))?;
    }
    writeln!(out, "\n<What happened, in two or three sentences.>\n")?;

    writeln!(out, "## Impact\n")?;
    writeln!(out, "| What | How much |\n|---|---|")?;
    let came = incident.impact.came;
    writeln!(out, "| Requests of its services | {} |", came.requests)?;
    writeln!(out, "| Requests that failed | {} |", came.failed)?;
    let users = match incident.impact.tells_users {
        true => format!("at least {}", came.users),
        false => {
            "not counted: clients are told apart where a service is sticky, during rollouts".into()
        }
    };
    writeln!(out, "| Users reached | {users} |")?;
    for (service, spent) in &incident.impact.budget {
        let (service, spent) = (markdown(service), 100.0 * spent);
        writeln!(out, "| Error budget of {service} spent | {spent:.1} % |")?;
    }
    let lasted = incident.closed.unwrap_or(now).elapsed_since(began);
    writeln!(out, "| Lasted | {} |\n", length(lasted))?;

    writeln!(out, "## Times\n")?;
    writeln!(out, "| From the start | After | At |\n|---|---|---|")?;
    let times = [
        ("First failure", incident.first_failure),
        ("Opened (time to detect)", Some(incident.opened)),
        ("Mitigated (time to mitigate)", incident.mitigated),
        ("Closed", incident.closed),
    ];
    for (name, at) in times {
        match at {
            Some(at) => {
                let after = length(at.elapsed_since(began));
                writeln!(out, "| {name} | {after} | {} |", moment(at))?;
            }
            None => writeln!(out, "| {name} | not yet, or not known | |")?,
        }
    }

    writeln!(out, "\n## Timeline\n")?;
    writeln!(out, "| When | What |\n|---|---|")?;
    for entry in incident.timeline.entries() {
        writeln!(out, "| {} | {} |", moment(entry.at), line(entry))?;
    }
    let left_out = incident.timeline.left_out();
    if left_out > 0 {
        writeln!(out, "\n{left_out} more events in between are not kept.")?;
    }

    writeln!(out, "\n## Contributing causes\n")?;
    let failure = incident.first_failure.unwrap_or(incident.opened);
    let mut is_any = false;
    for service in &facts.services {
        for suspect in service.suspects(incident) {
            is_any = true;
            let words = super::Suspect { author: "a change".into(), ..suspect.clone() };
            // Who it was makes no difference to why it could happen.
            let words = words.words(failure).replace(" by a change,", ",");
            writeln!(out, "- {}: {}", markdown(&service.name), markdown(&words))?;
        }
    }
    if !is_any {
        writeln!(out, "- <No change of traffic or flags came within two hours before it.>")?;
    }
    writeln!(out, "- <What else made it possible, and what made it last.>\n")?;
    writeln!(out, "## What went well\n\n- <What helped.>\n")?;
    writeln!(out, "## Action items\n")?;
    writeln!(out, "| What | Kind | Whose | Until |\n|---|---|---|---|")?;
    for kind in ["prevent", "detect", "mitigate"] {
        writeln!(out, "| <…> | {kind} | <…> | <…> |")?;
    }
    Ok(())
}

/// An entry in a cell.
fn line(entry: &Entry) -> String {
    let mut line = String::new();
    if !entry.place.is_empty() {
        line.push_str(&format!("{}: ", entry.place));
    }
    line.push_str(&entry.text);
    if entry.count > 1 {
        let last = entry.until.map_or_else(String::new, |last| format!(", last {}", moment(last)));
        line.push_str(&format!(" ({} times{last})", entry.count));
    }
    if let Some(author) = &entry.author {
        line.push_str(&format!(" (by {author})"));
    }
    let kind = match entry.kind {
        super::EntryKind::Event => String::new(),
        kind => format!("**{}** ", kind.name()),
    };
    format!("{kind}{}", markdown(&line))
}
