//! `docs/metrics.md`: what is declared in, the page out. `pointsman metrics > docs/metrics.md` writes it anew.

use std::fmt::Write;

use super::{GROUPS, Kind, Metric};

/// What stands before the tables.
const ABOUT: &str = "\
# Metrics

`/metrics` on the admin address has what follows. `pointsman metrics` prints this page; a test compares it with what
the program declares.

Prometheus gets its own text format, or OpenMetrics 1.0 if it asks for that by `Accept`, which it does by itself.
With OpenMetrics the buckets of `pointsman_request_duration_seconds` and
`pointsman_upstream_request_duration_seconds` come with exemplars: the trace of one of their latest requests,
of one that the collector of `[traces]` is told of if there is any (Prometheus keeps them with
`--enable-feature=exemplar-storage`). They are chosen from what is remembered of the last requests, so that with
`server.remember = 0` there are none.

- A series exists once there is something to say: what a service does not use has none, and what exists once goes
  on existing until its service, pool or upstream leaves the config.
- Counters of services, pools and upstreams survive reloads and upgrades; the others begin at 0 with each process.
- Metrics of upstreams get the labels of `server.metric_labels` besides.
- Rules, alerts and dashboards that use them are in `conf/prometheus` and `conf/grafana`; what to do about an alert
  is in [the runbooks](runbooks/README.md).

The unit says what a value is one of. Of a histogram it is that of its sum.
";

/// The page.
pub fn page() -> String {
    let mut text = ABOUT.to_string();
    for group in &GROUPS {
        // Writing into a string does not fail.
        let _ = write!(text, "\n## {}\n\n{}\n\n", group.title, group.about);
        text.push_str("| Metric | Type | Unit | Labels | Says |\n|---|---|---|---|---|\n");
        for metric in group.metrics {
            row(&mut text, metric);
        }
    }
    text.push_str("\n## Labels\n\n| Label | Of | Values |\n|---|---|---|\n");
    labels(&mut text);
    text
}

fn row(text: &mut String, metric: &Metric) {
    let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
    let (name, kind, unit, labels) =
        (metric.name, metric.kind.name(), metric.unit, labels.join(" "));
    let help = metric.help.replace('|', "\\|");
    let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {labels} | {help} |");
}

/// What values labels have, and of which families where it is not the same everywhere.
fn labels(text: &mut String) {
    let mut rows: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for metric in GROUPS.iter().flat_map(|group| group.metrics) {
        let le = (metric.kind == Kind::Histogram).then_some(("le", "upper bound of the bucket"));
        let declared = metric.labels.iter().map(|label| (label.name, label.meaning));
        for (name, meaning) in declared.chain(le) {
            match rows.iter_mut().find(|row| row.0 == name && row.1 == meaning) {
                Some((_, _, of)) => of.push(metric.name),
                None => rows.push((name, meaning, vec![metric.name])),
            }
        }
    }
    rows.sort_by_key(|(name, _, of)| (*name, std::cmp::Reverse(of.len())));
    for (name, meaning, of) in &rows {
        let same = rows.iter().filter(|row| row.0 == *name).count();
        let of = match of.as_slice() {
            _ if same == 1 => String::new(),
            [one] => format!("`{one}`"),
            many if many.len() <= 3 => many.iter().map(|one| format!("`{one}` ")).collect(),
            _ => "all others".into(),
        };
        let _ = writeln!(text, "| `{name}` | {} | {meaning} |", of.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn the_page_is_what_is_declared() {
        assert!(
            include_str!("../../../docs/metrics.md") == page(),
            "docs/metrics.md is not what is declared; write it anew with\n\
             cargo run -- metrics > docs/metrics.md"
        );
    }
}
