//! Metric families as they grow: names, labels and values in, the text format out.
//!
//! Lines are written as they come: with thousands of services a scrape is hundreds of thousands of
//! them, and building a value for each would take most of its time.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::upstream::{DURATION_BOUNDS, TallyReading};

/// Families by name.
#[derive(Debug, Default)]
pub(super) struct Families(BTreeMap<&'static str, Family>);

#[derive(Debug)]
struct Family {
    help: String,
    kind: &'static str,
    lines: String,
}

type Labels<'a> = [(&'a str, &'a str)];

impl Families {
    pub fn gauge(&mut self, name: &'static str, help: &str, labels: &Labels<'_>, value: f64) {
        self.family(name, help, "gauge").line(name, "", labels, None, value);
    }

    pub fn counter(&mut self, name: &'static str, help: &str, labels: &Labels<'_>, value: f64) {
        self.family(name, help, "counter").line(name, "", labels, None, value);
    }

    /// The durations of a tally.
    pub fn durations(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &Labels<'_>,
        tally: &TallyReading,
    ) {
        let buckets = (&DURATION_BOUNDS[..], &tally.durations[..], tally.nanos as f64 / 1e9);
        self.histogram(name, help, labels, buckets);
    }

    /// Upper bounds, counts below each (one more for what is above them all) and the sum.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &Labels<'_>,
        (bounds, counts, sum): (&[f64], &[u64], f64),
    ) {
        let family = self.family(name, help, "histogram");
        let mut reached = 0;
        for (bound, count) in bounds.iter().zip(counts) {
            reached += count;
            family.line(name, "_bucket", labels, Some(*bound), reached as f64);
        }
        // From the same counts as the buckets, so that the last bucket never exceeds it.
        let all = counts.iter().sum::<u64>() as f64;
        family.line(name, "_bucket", labels, Some(f64::INFINITY), all);
        family.line(name, "_sum", labels, None, sum);
        family.line(name, "_count", labels, None, all);
    }

    /// All of them, version 0.0.4.
    pub fn encode(self) -> String {
        let size = self.0.values().map(|family| family.lines.len() + 256).sum();
        let mut text = String::with_capacity(size);
        for (name, Family { help, kind, lines }) in self.0 {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            // Writing into a string does not fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
        }
        text
    }

    fn family(&mut self, name: &'static str, help: &str, kind: &'static str) -> &mut Family {
        let new = || Family { help: help.to_string(), kind, lines: String::new() };
        self.0.entry(name).or_insert_with(new)
    }
}

impl Family {
    fn line(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &Labels<'_>,
        bound: Option<f64>,
        value: f64,
    ) {
        let text = &mut self.lines;
        text.push_str(name);
        text.push_str(suffix);
        let mut before = '{';
        for (label, value) in labels {
            text.push(before);
            before = ',';
            text.push_str(label);
            text.push_str("=\"");
            push_escaped(text, value);
            text.push('"');
        }
        if let Some(bound) = bound {
            text.push(before);
            before = ',';
            text.push_str("le=\"");
            push_number(text, bound);
            text.push('"');
        }
        text.push_str(if before == '{' { " " } else { "} " });
        push_number(text, value);
        text.push('\n');
    }
}

fn push_number(text: &mut String, number: f64) {
    match number {
        f64::INFINITY => text.push_str("+Inf"),
        f64::NEG_INFINITY => text.push_str("-Inf"),
        // Writing into a string does not fail.
        number => drop(write!(text, "{number}")),
    }
}

fn push_escaped(text: &mut String, value: &str) {
    if !value.contains(['\\', '"', '\n']) {
        return text.push_str(value);
    }
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_the_format() {
        let mut families = Families::default();
        families.gauge("b", "Two\nlines.", &[], 0.25);
        families.counter("a_total", "Of a.", &[("x", "1"), ("y", "a\"b\\c\nd")], 3.0);
        families.counter("a_total", "Of a.", &[("x", "2")], f64::NAN);
        families.histogram("h", "Of h.", &[("x", "1")], (&[0.5, 1.0], &[1, 2, 4], 9.5));
        families.histogram("h", "Of h.", &[], (&[0.5], &[0, 0], 0.0));
        let expected = "# HELP a_total Of a.\n# TYPE a_total counter\n\
            a_total{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 3\na_total{x=\"2\"} NaN\n\
            # HELP b Two\\nlines.\n# TYPE b gauge\nb 0.25\n\
            # HELP h Of h.\n# TYPE h histogram\n\
            h_bucket{x=\"1\",le=\"0.5\"} 1\nh_bucket{x=\"1\",le=\"1\"} 3\n\
            h_bucket{x=\"1\",le=\"+Inf\"} 7\nh_sum{x=\"1\"} 9.5\nh_count{x=\"1\"} 7\n\
            h_bucket{le=\"0.5\"} 0\nh_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0\n";
        assert_eq!(families.encode(), expected);
    }
}
