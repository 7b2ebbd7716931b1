//! A diagnosis for people: what is missing first, with what mends it.

use crate::admin::wire::{Diagnosis, Finding, FindingState, MendBy};
use crate::cli::terminal::{self, Colour, wrapped};

/// Columns of what is no terminal, and at most: longer lines are read badly.
const COLUMNS: usize = 80;

/// What it is shown on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub columns: usize,
    pub is_coloured: bool,
}

impl Screen {
    pub fn of_process() -> Screen {
        let columns = terminal::size().map_or(COLUMNS, |(columns, _)| columns.min(COLUMNS));
        Screen { columns, is_coloured: terminal::is_coloured(&std::io::stdout()) }
    }

    fn paint(self, colour: Colour, text: &str) -> String {
        if self.is_coloured { colour.paint(text) } else { text.to_string() }
    }

    /// A text below another, with so many spaces before each line.
    fn inset(self, by: usize, text: &str) -> Vec<String> {
        let lines = wrapped(text, self.columns.saturating_sub(by).max(20));
        lines.into_iter().map(|line| format!("{:by$}{line}", "")).collect()
    }
}

/// All of it. `all`: with what is well.
pub(super) fn picture(diagnosis: &Diagnosis, all: bool, screen: Screen) -> String {
    let of = |state| -> Vec<&Finding> {
        diagnosis.findings.iter().filter(|finding| finding.state == state).collect()
    };
    let mut missing = of(FindingState::Missing);
    missing.sort_by_key(|finding| std::cmp::Reverse(rank(&finding.severity)));
    let (unknown, skipped) = (of(FindingState::Unknown), of(FindingState::Skipped));
    let well = of(FindingState::Well);
    let mut parts = Vec::new();
    parts.extend(missing.iter().map(|finding| whole(finding, screen)));
    parts.extend(unknown.iter().map(|finding| whole(finding, screen)));
    if all && !well.is_empty() {
        parts.push(listed("WELL", &well, screen));
    }
    if !skipped.is_empty() {
        parts.push(listed("NOT LOOKED AT", &skipped, screen));
    }
    let counts = [
        (missing.len(), "missing"),
        (unknown.len(), "not known yet"),
        (well.len(), "well"),
        (skipped.len(), "not looked at"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    parts
        .push(counts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", "));
    parts.join("\n\n")
}

/// A finding with why and what mends it.
fn whole(finding: &Finding, screen: Screen) -> String {
    let (word, colour) = match finding.state {
        FindingState::Missing if rank(&finding.severity) >= 2 => ("MISSING", Colour::Red),
        FindingState::Missing => ("MISSING", Colour::Yellow),
        _ => ("NOT KNOWN", Colour::Yellow),
    };
    let title = format!("{word}  {} ({})", finding.title, finding.severity);
    let mut lines = vec![screen.paint(colour, &title)];
    lines.extend(screen.inset(2, &finding.what));
    lines.extend(screen.inset(2, &format!("Why: {}.", finding.why)));
    if !finding.mend.is_empty() {
        lines.push(format!("  {}:", mend_by(finding)));
        // As they are: they are there to be copied.
        lines.extend(finding.mend.iter().map(|line| format!("    {line}")));
    }
    if finding.of.len() > 1 {
        let rest = format!("The same for {}.", finding.of[1..].join(", "));
        lines.extend(screen.inset(2, &rest));
    }
    lines.join("\n")
}

fn mend_by(finding: &Finding) -> &'static str {
    match (finding.mend_by, finding.state) {
        (MendBy::Command, FindingState::Unknown) => "To find out",
        (MendBy::File, _) => "In the file",
        (MendBy::Command, _) => "By command",
        (MendBy::Unit, _) => "In the [Service] of the unit (systemctl edit pointsman)",
        (MendBy::System, _) => "On the machine",
    }
}

/// Findings a line each, with what there is behind the title.
fn listed(heading: &str, findings: &[&Finding], screen: Screen) -> String {
    let width = findings.iter().map(|it| it.title.chars().count()).max().unwrap_or_default();
    let mut lines = vec![heading.to_string()];
    for finding in findings {
        let from = width + 4;
        let mut what = screen.inset(from, &finding.what);
        if let Some(first) = what.first_mut() {
            *first = format!("  {:width$}  {}", finding.title, first.trim_start());
        }
        lines.extend(what);
    }
    lines.join("\n")
}

fn rank(severity: &str) -> u8 {
    match severity {
        "critical" => 3,
        "high" => 2,
        "medium" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::doctor::{Facts, diagnose};

    const FILE: &str = "[[listeners]]\naddress = \":8080\"\n[[routes]]\npath_prefix = \"/\"\n\
                        service = \"shop\"\n[services.shop.pools.blue]\nupstreams = [\"10.0.0.11:9000\"]\n";

    fn diagnosis() -> Diagnosis {
        let config = Config::parse(FILE).unwrap().0;
        let facts = Facts { config: Some(&config), ..Facts::default() };
        Diagnosis::of(&facts, &diagnose(&facts))
    }

    #[test]
    fn what_is_missing_comes_with_the_lines_that_mend_it() {
        let text = picture(&diagnosis(), false, Screen { columns: 80, is_coloured: false });
        let health = "MISSING  health checks (high)\n  no health check: shop\n  Why: a new upstream gets \
                      requests before it has shown that it answers, and\n  clients find out that it \
                      hangs.\n  In the file:\n    [services.shop.health]\n    http = { path = \"/healthz\" }";
        assert!(text.contains(health), "{text}");
        assert!(text.ends_with("well, 13 not looked at"), "{text}");
        assert!(!text.contains('\x1b') && !text.contains("WELL"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn what_is_well_is_shown_to_who_asks_and_colours_to_who_sees_them() {
        let text = picture(&diagnosis(), true, Screen { columns: 60, is_coloured: true });
        assert!(text.contains("WELL\n") && text.contains("this machine alone"), "{text}");
        assert!(text.contains("\x1b[31mMISSING  limits"), "{text}");
        let bare = |line: &str| {
            line.replace("\x1b[31m", "").replace("\x1b[33m", "").replace("\x1b[0m", "")
        };
        assert!(text.lines().all(|line| bare(line).chars().count() <= 70), "{text}");
    }
}
