use std::collections::BTreeSet;

use super::{GROUPS, Kind, Metric};

fn all() -> Vec<&'static Metric> {
    GROUPS.iter().flat_map(|group| group.metrics).copied().collect()
}

#[test]
fn each_family_has_a_name_of_its_kind_and_says_what_it_is() {
    let mut names = BTreeSet::new();
    for metric in all() {
        let Metric { name, kind, unit, labels, help } = metric;
        assert!(names.insert(metric.family()), "{name} is declared twice");
        let is_ours = name.starts_with("pointsman_") || name.starts_with("process_");
        let letters = name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
        assert!(is_ours && letters, "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        // Suffixes that formats keep for themselves.
        for kept in ["_bucket", "_sum", "_count", "_created"] {
            assert!(!metric.family().ends_with(kept), "{name}");
        }
        assert!(!help.is_empty() && help.ends_with('.'), "{name}: {help}");
        assert!(!unit.is_empty(), "{name}");
        for label in *labels {
            assert!(!label.meaning.is_empty() && label.name != "le", "{name}: {}", label.name);
        }
        let own: BTreeSet<_> = labels.iter().map(|label| label.name).collect();
        assert_eq!(own.len(), labels.len(), "{name} has a label twice");
    }
    assert!(names.len() >= 95, "{}", names.len());
}

/// What a name says of its unit is what is declared.
#[test]
fn what_is_counted_in_seconds_bytes_or_shares_says_so_in_its_name() {
    for metric in all() {
        for unit in ["seconds", "bytes", "ratio"] {
            let says = metric.family().ends_with(&format!("_{unit}"));
            assert_eq!(says, metric.unit == unit, "{}", metric.name);
            assert_eq!(says, metric.named_unit() == Some(unit), "{}", metric.name);
        }
    }
}
