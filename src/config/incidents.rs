//! What opens incidents by itself, and how often they are told of: the `[incidents]` of the file in,
//! [`IncidentRules`] out.

use std::sync::Arc;
use std::time::Duration;

use super::key::{Shape, Table, free, secs, text, text_option, time, word};
use super::section::Section;
use super::{Problem, Problems, Severity};

/// Labels that one rule may name.
const MOST_LABELS: usize = 16;

/// What the file says of incidents. Those that people open need none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentRules {
    /// How bad one is that a rollout opens which was taken back; none if none does.
    pub rollback: Option<Severity>,
    /// How bad one is that an error budget opens which burns too fast or is spent; none if none does.
    pub budget: Option<Severity>,
    /// An alert with all of these labels opens one; none does if there are none.
    pub alerts: Vec<(String, String)>,
    /// The label of alerts that names their service.
    pub service_label: Arc<str>,
    /// How long after an update the next one is due, if nobody says.
    pub updates: Duration,
    /// Where people talk about those that a rule opens.
    pub channel: Option<Arc<str>>,
}

impl Default for IncidentRules {
    fn default() -> IncidentRules {
        IncidentRules {
            rollback: None,
            budget: None,
            alerts: Vec::new(),
            service_label: "service".into(),
            updates: UPDATES,
            channel: None,
        }
    }
}

/// As long as people wait without asking.
const UPDATES: Duration = secs(30 * 60);

/// What a rule may make of what it opens, and that it opens nothing.
const SEVERITIES: [&str; 5] = ["off", "low", "medium", "high", "critical"];

pub(super) static INCIDENTS: Table = Table::new(
    "What opens an incident by itself: nothing by default. Of each service one is open at most; what would \
     open another joins it. People open them with `pointsman incident open`. docs/incidents.md",
    &[
        word("rollback", &SEVERITIES).about(
            "\"low\", \"medium\", \"high\" or \"critical\": a rollout that was taken back opens one",
        ),
        word("budget", &SEVERITIES)
            .about("likewise an error budget that holds or freezes rollouts"),
        free("alerts", "")
            .shape(Shape::NamedTexts)
            .option("{ severity = \"critical\" }")
            .about("an alert that has all of these labels opens one (POST /v1/alerts)"),
        text("service_label", "service").about("the label of alerts that names their service"),
        time("updates", UPDATES).about("after an update the next one is due, and reminded of"),
        text_option("channel", "\"#incidents\"").about("where people talk about those that it opens"),
    ],
);

/// Reads the table.
pub(super) fn incidents(mut section: Section<'_>, problems: &mut Problems) -> IncidentRules {
    let severity = |word: &str| match word {
        "off" => Some(None),
        word => word.parse::<Severity>().ok().map(Some),
    };
    let named = |text: &str| match text.trim().is_empty() || text.contains(char::is_control) {
        true => Err("expected a name"),
        false => Ok(Arc::<str>::from(text)),
    };
    let rules = IncidentRules {
        rollback: section.word(problems, "rollback", severity).flatten(),
        budget: section.word(problems, "budget", severity).flatten(),
        alerts: alerts(&mut section, problems),
        service_label: section
            .text(problems, "service_label", named)
            .map_or_else(|| "service".into(), |found| found.value),
        updates: section.time(problems, "updates"),
        channel: section.text(problems, "channel", named).map(|found| found.value),
    };
    section.close(problems);
    rules
}

/// The labels that an alert needs.
fn alerts(section: &mut Section<'_>, problems: &mut Problems) -> Vec<(String, String)> {
    let Some(value) = section.value("alerts") else { return Vec::new() };
    let Some(table) = value.get_ref().as_table() else {
        let problem = Problem::error(value.span(), "bad value for `alerts`");
        let problem = problem.label("expected labels with their texts");
        problems.0.push(problem.help("for example `alerts = { severity = \"critical\" }`"));
        return Vec::new();
    };
    if table.is_empty() || table.len() > MOST_LABELS {
        let problem = Problem::error(value.span(), "bad value for `alerts`");
        problems.0.push(problem.label(format!("expected 1 to {MOST_LABELS} labels")));
    }
    let mut labels = Vec::new();
    for (name, value) in table {
        match value.get_ref().as_str().filter(|text| !text.is_empty()) {
            Some(text) => labels.push((name.get_ref().to_string(), text.to_string())),
            None => {
                let problem = Problem::error(value.span(), "bad value for `alerts`");
                problems.0.push(problem.label("expected a text"));
            }
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const REST: &str =
        "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";

    fn parse(lines: &str) -> Result<IncidentRules, Vec<String>> {
        let text = format!("[incidents]\n{lines}\n{REST}");
        let parsed = Config::parse(&text).map_err(|problems| problems.lines(&text, "t"));
        parsed.map(|(config, _)| config.incidents)
    }

    #[test]
    fn nothing_opens_one_unless_the_file_says_so() {
        let (config, _) = Config::parse(REST).unwrap();
        assert_eq!(config.incidents, IncidentRules::default());
        assert_eq!(parse("").unwrap(), IncidentRules::default());
    }

    #[test]
    fn every_key_is_read() {
        let rules = parse(
            "rollback = \"high\"\nbudget = \"critical\"\nalerts = { severity = \"page\", team = \"x\" }\n\
             service_label = \"job\"\nupdates = \"10m\"\nchannel = \"#inc\"",
        );
        let label = |name: &str, text: &str| (name.to_string(), text.to_string());
        let expected = IncidentRules {
            rollback: Some(Severity::High),
            budget: Some(Severity::Critical),
            alerts: vec![label("severity", "page"), label("team", "x")],
            service_label: "job".into(),
            updates: Duration::from_secs(600),
            channel: Some("#inc".into()),
        };
        assert_eq!(rules, Ok(expected));
    }

    #[test]
    fn each_mistake_has_its_place() {
        for (lines, expected) in [
            ("rollback = \"bad\"", "t:2:12: bad value for `rollback`"),
            ("alerts = [\"severity\"]", "t:2:10: bad value for `alerts`"),
            ("alerts = {}", "t:2:10: bad value for `alerts`"),
            ("alerts = { severity = 1 }", "t:2:23: bad value for `alerts`"),
            ("channel = \" \"", "t:2:11: bad value for `channel`"),
            ("updates = \"0s\"", "t:2:11: bad value for `updates`"),
        ] {
            assert_eq!(parse(lines), Err(vec![expected.to_string()]), "{lines}");
        }
    }
}
