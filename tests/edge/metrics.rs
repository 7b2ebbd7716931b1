//! What `/metrics` has: every family and label is declared, each declared family is had by an edge that uses
//! everything, and both formats are what they say they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::alerts::in_full_use;
use crate::documented::root;
use crate::harness::{Edge, Origin, until};

const OPENMETRICS: &str = "accept: application/openmetrics-text; version=1.0.0";

/// A family as `docs/metrics.md` has it, which is made of what is declared.
struct Metric {
    kind: String,
    labels: Vec<String>,
}

fn declared() -> BTreeMap<String, Metric> {
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let (families, _) = page.split_once("\n## Labels\n").unwrap();
    let rows = families.lines().filter_map(|line| line.strip_prefix("| `"));
    let metric = |row: &str| {
        let cells: Vec<_> = row.split(" | ").collect();
        let labels = cells[3].split(' ').map(|label| label.trim_matches('`').to_string());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (cells[0].trim_end_matches('`').into(), Metric { kind: cells[1].into(), labels })
    };
    rows.map(metric).collect()
}

/// A line's name and its labels.
fn parts(line: &str) -> (&str, Vec<(String, String)>) {
    let Some((name, rest)) = line.split_once('{').filter(|(name, _)| !name.contains(' ')) else {
        return (line.split_once(' ').unwrap().0, Vec::new());
    };
    let (mut labels, mut rest) = (Vec::new(), rest);
    while let Some((label, value)) = rest.split_once("=\"") {
        let mut ends = value.match_indices('"').map(|(at, _)| at);
        let end = ends.find(|at| !value[..*at].ends_with('\\')).unwrap();
        labels.push((label.trim_start_matches(',').to_string(), value[..end].to_string()));
        rest = &value[end + 1..];
        if rest.starts_with('}') {
            break;
        }
    }
    (name, labels)
}

/// Which families there are; whatever is wrong with a line ends the test.
fn families(text: &str, added: &[&str]) -> BTreeSet<String> {
    let declared = declared();
    let (mut found, mut series) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = parts(line);
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
            let found = declared.get_key_value(name.strip_suffix(suffix)?);
            found.filter(|(_, metric)| metric.kind == "histogram")
        });
        let known = declared.get_key_value(name).or(of_histogram);
        let (family, metric) = known.unwrap_or_else(|| panic!("{name} is not declared"));
        assert_eq!(metric.kind == "histogram", of_histogram.is_some(), "{line}");
        let names = labels.iter().map(|(name, _)| &**name).filter(|name| !added.contains(name));
        let mut expected: Vec<_> = metric.labels.iter().map(|label| &**label).collect();
        if of_histogram.is_some() && name.ends_with("_bucket") {
            expected.push("le");
        }
        assert_eq!(names.collect::<Vec<_>>(), expected, "{line}");
        let key = line.split_once(" # ").map_or(line, |(series, _)| series);
        assert!(series.insert(key.rsplit_once(' ').unwrap().0.to_string()), "twice: {line}");
        found.insert(family.clone());
    }
    for family in &found {
        // OpenMetrics says of a counter without its suffix what it is.
        let said = |what: &str| {
            let of = |name: &str| text.contains(&format!("# {what} {name} "));
            of(family) || of(family.trim_end_matches("_total"))
        };
        assert!(said("HELP") && said("TYPE"), "{family}");
    }
    found
}

async fn scrape(edge: &Edge, fields: &[&str]) -> String {
    let answer = edge.admin_with("GET", "/metrics", "", fields).await;
    assert_eq!(answer.status, 200);
    answer.body
}

#[tokio::test]
async fn an_edge_in_full_use_has_every_family_that_is_declared_and_no_other() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = in_full_use(&blue, &green).await;
    let started = edge.admin("POST", "/v1/services/shop/rollout", r#"{"to": "green"}"#).await;
    assert!(started.0 < 300, "{started:?}");
    let rude = edge.raw("GET / HTTP/1.1\r\nhost: a b\r\n\r\n").await;
    assert_eq!(rude.status, 400);
    // Of other platforms, of people who were asked for a password, of odd clients, of what went wrong and of
    // what takes hours.
    let elsewhere = [
        "pointsman_auth_total",
        "pointsman_automation_acts_total",
        "pointsman_deploys_total",
        "pointsman_judge_aa_taken_back_ratio",
        "pointsman_judge_aa_trials",
        "pointsman_odd_field_names_total",
        "pointsman_pool_info",
        "pointsman_tls_handshakes_total",
    ];
    let expected: BTreeSet<_> =
        declared().into_keys().filter(|name| !elsewhere.contains(&&**name)).collect();
    until("all that is declared is there", async || {
        // The highest of what came is known of what comes while somebody looks.
        edge.get(&[]).await;
        let text = scrape(&edge, &[]).await;
        let found = families(&text, &["zone"]);
        expected.is_subset(&found)
    })
    .await;
    let (text, openmetrics) = (scrape(&edge, &[]).await, scrape(&edge, &[OPENMETRICS]).await);
    assert!(openmetrics.ends_with("\n# EOF\n") && !text.contains("# EOF"));
    let seen = families(&openmetrics, &["zone"]);
    assert!(expected.is_subset(&seen));
    assert!(text.contains("zone=\"a\""), "labels of upstreams are labels of metrics");
}

#[tokio::test]
async fn exemplars_name_a_trace_of_their_bucket_for_who_takes_openmetrics() {
    let blue = Origin::named("blue").await;
    let edge = Edge::before(&[("blue", &blue)], "").await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("traceparent: 00-{trace}-b7ad6b7169203331-01");
    assert_eq!(edge.get(&[&parent]).await.status, 200);
    let exemplars = async || -> Vec<String> {
        let text = scrape(&edge, &[OPENMETRICS]).await;
        let is_of = |line: &&str| line.contains(&format!(" # {{trace_id=\"{trace}\"}} "));
        text.lines().filter(is_of).map(String::from).collect()
    };
    until("there is an exemplar of both", async || exemplars().await.len() == 2).await;
    let found = exemplars().await;
    for line in &found {
        let (name, labels) = parts(line);
        assert!(name.ends_with("_duration_seconds_bucket"), "{line}");
        let bound: f64 = labels.iter().find(|(name, _)| name == "le").unwrap().1.parse().unwrap();
        let (_, exemplar) = line.rsplit_once("\"} ").unwrap();
        let (value, at) = exemplar.split_once(' ').unwrap();
        let (value, at): (f64, f64) = (value.parse().unwrap(), at.parse().unwrap());
        assert!(value <= bound && at > 1.6e9, "{line}");
    }
    // Asked again it is the same one: who stores them would take another time for another one.
    let again = scrape(&edge, &[OPENMETRICS]).await;
    for line in &found {
        let exemplar = line.split_once(" # ").unwrap().1;
        assert!(again.contains(exemplar), "{line}");
    }
    let text = scrape(&edge, &[]).await;
    assert!(!text.contains(trace) && text.contains("le=\"1\"") && again.contains("le=\"1.0\""));
}
