//! What a service promises its users: its table in, objectives out.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::key::{Table, Without, share, table, text, time_option};
use super::section::{Section, wrong_kind};
use super::values::percentage;
use super::{Problem, Problems};
use crate::slo::{DEFAULT_WINDOW, Goal, Objective, Quantile, Slo};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest window: what users remember, and what is kept of it in memory.
const LONGEST: u32 = 90;

pub(super) static SLO: Table = Table::new(
    "What the service promises its users, and how much of that may still fail: its error budget. \
     None by default; an empty table promises 99.9 % over 30 days. While the budget burns fast or is \
     spent, no rollout starts or goes on without `--override-freeze --reason …`; what goes back is \
     never refused. `pointsman slo` shows it; docs/slo.md says what counts and what the states mean.",
    &[
        share("availability", (50.0, 99.9999), 99.9)
            .example("\"99.9%\"")
            .about("of requests must not fail (5xx, or no answer)"),
        table("latency", &LATENCY, Without::Off),
        text("window", "30d")
            .about("what the budget is for; whole days or weeks (\"4w\"), to 90 days"),
    ],
);

/// The lowest quantile first.
static LATENCY: Table = Table::new(
    "So many of the requests that did not fail must be answered within the time; default: none.",
    &[
        time_option("p50", "\"100ms\""),
        time_option("p90", "\"200ms\""),
        time_option("p95", "\"300ms\""),
        time_option("p99", "\"500ms\"").example("\"500ms\""),
        time_option("p99.9", "\"2s\"").about("in quotes: without them TOML reads a table"),
    ],
);

/// Reads a service's table on objectives. One that says nothing promises 99.9 % over 30 days.
pub(super) fn slo(mut section: Section<'_>, problems: &mut Problems) -> Slo {
    let availability = section.value("availability").and_then(|value| match goal(value) {
        Ok(goal) => Some(goal),
        Err(error) => {
            let problem = Problem::error(value.span(), "bad value for `availability`");
            problems.0.push(problem.label(error));
            None
        }
    });
    let latency = section.table_if_given(problems, "latency");
    let latencies = latency.map(|section| latencies(section, problems)).unwrap_or_default();
    let window = section.text(problems, "window", days).map(|found| found.value);
    section.close(problems);
    let availability = Objective::Availability(availability.unwrap_or(Goal::THREE_NINES));
    Slo {
        objectives: std::iter::once(availability).chain(latencies).collect(),
        window: window.unwrap_or(DEFAULT_WINDOW),
    }
}

/// A share of good requests as a number or a text.
fn goal(value: &Spanned<DeValue<'_>>) -> Result<Goal, String> {
    Goal::from_percent(percentage(value)?).map_err(|error| error.to_string())
}

/// Times by quantile, the lowest quantile first.
fn latencies(mut section: Section<'_>, problems: &mut Problems) -> Vec<Objective> {
    // Without quotes TOML reads a table `p99` with a key `9`.
    if let Some(value) = section.value("p99").filter(|value| value.get_ref().is_table()) {
        let problem = wrong_kind("p99", value, "a text in quotes");
        problems.0.push(problem.help("for the other quantile write `\"p99.9\"`, in quotes"));
        section.close(problems);
        return Vec::new();
    }
    let span = section.span.clone();
    let is_empty = section.entries().next().is_none();
    let mut found: Vec<(Quantile, Duration)> = Vec::new();
    for quantile in Quantile::ALL {
        if let Some(at_most) = section.time_if_given(problems, quantile.name()) {
            found.push((quantile, at_most));
        }
    }
    if is_empty {
        let problem = Problem::error(span, "`latency` names no quantile");
        problems.0.push(problem.help("for example `latency = { p99 = \"500ms\" }`"));
    }
    for pair in found.windows(2) {
        let [(lower, shorter), (higher, longer)] = *pair else { continue };
        if shorter >= longer {
            let (lower, higher) = (lower.name(), higher.name());
            let message = format!("`{lower}` says nothing that `{higher}` does not");
            let problem = Problem::error(section.place(lower), message).warning();
            let label = format!("{shorter:?}, and `{higher}` is {longer:?} already");
            problems.0.push(problem.label(label));
        }
    }
    section.close(problems);
    let objective = |(quantile, at_most)| Objective::Latency { quantile, at_most };
    found.into_iter().map(objective).collect()
}

/// Whole days or weeks, such as `30d` or `4w`.
fn days(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (digits, factor) = match (text.strip_suffix('d'), text.strip_suffix('w')) {
        (Some(digits), _) => (digits, 1),
        (_, Some(digits)) => (digits, 7),
        _ => (text, 0),
    };
    match digits.trim().parse::<u32>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(days) if factor > 0 && (1..=LONGEST).contains(&days) => Ok(days * DAY),
        Some(_) if factor > 0 => Err(format!("a budget is for 1 to {LONGEST} days")),
        _ => Err("expected whole days or weeks, such as `30d` or `4w`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const FILE: &str =
        "[[listeners]]\naddress = \":0\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";

    fn parse(lines: &str) -> Result<(Option<Slo>, Vec<String>), Vec<String>> {
        let text = format!("{FILE}{lines}");
        match Config::parse(&text) {
            Ok((config, warnings)) => {
                let slo = config.services[0].slo.as_deref().cloned();
                Ok((slo, warnings.lines(&text, "t")))
            }
            Err(problems) => Err(problems.lines(&text, "t")),
        }
    }

    fn latency(quantile: Quantile, millis: u64) -> Objective {
        Objective::Latency { quantile, at_most: Duration::from_millis(millis) }
    }

    #[test]
    fn nothing_is_promised_without_the_table_and_three_nines_with_it() {
        assert_eq!(parse("").unwrap(), (None, vec![]));
        let default =
            Slo { objectives: vec![Objective::Availability(Goal::THREE_NINES)], window: 30 * DAY };
        assert_eq!(parse("[services.a.slo]\n").unwrap(), (Some(default), vec![]));
    }

    #[test]
    fn every_key_is_read() {
        let lines = "[services.a.slo]\navailability = 99.95\nwindow = \"4w\"\n[services.a.slo.latency]\n\
                     p50 = \"50ms\"\np90 = \"90ms\"\np95 = \"0.2s\"\np99 = \"500ms\"\n\"p99.9\" = \"2s\"\n";
        let (slo, warnings) = parse(lines).unwrap();
        let objectives = vec![
            Objective::Availability(Goal::from_percent("99.95").unwrap()),
            latency(Quantile::P50, 50),
            latency(Quantile::P90, 90),
            latency(Quantile::P95, 200),
            latency(Quantile::P99, 500),
            latency(Quantile::P999, 2_000),
        ];
        assert_eq!(slo, Some(Slo { objectives, window: 28 * DAY }));
        assert!(warnings.is_empty(), "{warnings:?}");
        let (slo, _) = parse("[services.a]\nslo.availability = \"99.999%\"").unwrap();
        assert_eq!(slo.unwrap().objectives[0].goal().to_string(), "99.999");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let lines = "[services.a.slo]\navailability = 100\nlatencies = 5\nwindow = \"2 years\"\n\
                     [services.a.slo.latency]\np98 = \"1s\"\np95 = 200\np99 = \"1\"\n";
        assert_eq!(
            parse(lines).unwrap_err(),
            [
                "t:6:16: bad value for `availability`",
                "t:7:1: unknown key `latencies` in `services.a.slo`",
                "t:8:10: bad value for `window`",
                "t:10:1: unknown key `p98` in `services.a.slo.latency`",
                "t:11:7: `p95` must be a text in quotes",
                "t:12:7: bad value for `p99`",
            ]
        );
        for (lines, problem) in [
            ("window = \"91d\"", "t:6:10: bad value for `window`"),
            ("window = \"0d\"", "t:6:10: bad value for `window`"),
            ("window = 30", "t:6:10: `window` must be a text in quotes"),
            ("availability = true", "t:6:16: bad value for `availability`"),
            ("latency = {}", "t:6:11: `latency` names no quantile"),
            ("latency = { p99.9 = \"1s\" }", "t:6:13: `p99` must be a text in quotes"),
        ] {
            assert_eq!(parse(&format!("[services.a.slo]\n{lines}\n")).unwrap_err(), [problem]);
        }
    }

    #[test]
    fn a_quantile_that_another_implies_is_odd() {
        let lines = "[services.a.slo]\nlatency = { p95 = \"500ms\", p99 = \"200ms\" }\n";
        let (_, warnings) = parse(lines).unwrap();
        assert_eq!(warnings, ["t:6:19: `p95` says nothing that `p99` does not"]);
    }

    #[test]
    fn a_reload_tells_both_values() {
        let of = |lines: &str| Config::parse(&format!("{FILE}{lines}")).unwrap().0;
        let lines = |old: &str, new: &str| -> Vec<String> {
            let changes = crate::config::diff(&of(old), &of(new), &Default::default());
            changes.iter().map(ToString::to_string).collect()
        };
        let slo = "[services.a.slo]\n";
        assert_eq!(lines("", slo), ["service a: slo off → on"]);
        let other = "[services.a.slo]\navailability = 99.5\nlatency = { p99 = \"1s\" }\n";
        assert_eq!(
            lines(slo, other),
            [
                "service a: slo.availability 99.9 % → 99.5 %",
                "service a: slo.latency off → on: p99 1s"
            ]
        );
    }
}
