//! Families as they grow: what is declared, the values of its labels and its own in, a text format out.
//!
//! Lines are written as they come: with thousands of services a scrape is hundreds of thousands of
//! them, and building a value for each would take most of its time.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::declared::Metric;
use super::exemplars::Exemplar;
use crate::upstream::{DURATION_BOUNDS, TallyReading};

/// The format that metrics are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus's own, version 0.0.4.
    Text,
    /// OpenMetrics 1.0, with units and exemplars.
    OpenMetrics,
}

impl Form {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Form::Text => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Families by name, with their lines.
#[derive(Debug)]
pub(super) struct Families {
    form: Form,
    all: BTreeMap<&'static str, (&'static Metric, String)>,
}

/// The labels of a line: the values of those that are declared, and what the config adds to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'v> {
    declared: &'v [&'v str],
    added: &'v [(&'v str, &'v str)],
}

impl<'v, const N: usize> From<&'v [&'v str; N]> for Values<'v> {
    fn from(declared: &'v [&'v str; N]) -> Values<'v> {
        Values { declared, added: &[] }
    }
}

impl<'v> Values<'v> {
    /// These beside.
    pub fn with(self, added: &'v [(&'v str, &'v str)]) -> Values<'v> {
        Values { added, ..self }
    }
}

/// What a histogram holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets<'b> {
    /// Upper bounds.
    pub bounds: &'b [f64],
    /// What lies between the bounds, and one more for what is above them all.
    pub counts: &'b [u64],
    /// All values together.
    pub sum: f64,
    /// One of each bucket, where one is known; may be empty.
    pub exemplars: &'b [Option<Exemplar>],
}

impl<'b> Buckets<'b> {
    /// The durations of a tally.
    pub fn durations(tally: &'b TallyReading, exemplars: &'b [Option<Exemplar>]) -> Buckets<'b> {
        let sum = tally.nanos as f64 / 1e9;
        Buckets { bounds: &DURATION_BOUNDS, counts: &tally.durations, sum, exemplars }
    }
}

impl Families {
    /// None yet.
    pub fn new(form: Form) -> Families {
        Families { form, all: BTreeMap::new() }
    }

    /// A value of a counter or a gauge.
    pub fn put<'v>(&mut self, metric: &'static Metric, values: impl Into<Values<'v>>, value: f64) {
        let labels = Labels::of(metric, values.into());
        let text = self.lines(metric);
        line(text, metric, "", labels, None);
        push_number(text, value);
        text.push('\n');
    }

    /// A histogram.
    pub fn histogram<'v>(
        &mut self,
        metric: &'static Metric,
        values: impl Into<Values<'v>>,
        buckets: Buckets<'_>,
    ) {
        let labels = Labels::of(metric, values.into());
        let form = self.form;
        let text = self.lines(metric);
        let mut reached = 0;
        let bounds = buckets.bounds.iter().copied().chain([f64::INFINITY]);
        for (nth, (bound, count)) in bounds.zip(buckets.counts).enumerate() {
            reached += count;
            line(text, metric, "_bucket", labels, Some((form, bound)));
            push_number(text, reached as f64);
            if let (Form::OpenMetrics, Some(Some(exemplar))) = (form, buckets.exemplars.get(nth)) {
                exemplar.write(text);
            }
            text.push('\n');
        }
        // The count is of the same reading as the buckets, so that the last bucket never exceeds it.
        for (suffix, value) in [("_sum", buckets.sum), ("_count", reached as f64)] {
            line(text, metric, suffix, labels, None);
            push_number(text, value);
            text.push('\n');
        }
    }

    /// All of them.
    pub fn encode(self) -> String {
        let size = self.all.values().map(|(_, lines)| lines.len() + 256).sum();
        let mut text = String::with_capacity(size);
        for (metric, lines) in self.all.values() {
            let (kind, help) = (metric.kind.name(), metric.help);
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            // Writing into a string does not fail.
            let _ = match self.form {
                Form::Text => {
                    let name = metric.name;
                    write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}")
                }
                Form::OpenMetrics => {
                    let (name, help) = (metric.family(), help.replace('"', "\\\""));
                    let unit = metric.named_unit();
                    let unit = unit.map_or(String::new(), |unit| format!("# UNIT {name} {unit}\n"));
                    write!(text, "# TYPE {name} {kind}\n{unit}# HELP {name} {help}\n{lines}")
                }
            };
        }
        if self.form == Form::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    fn lines(&mut self, metric: &'static Metric) -> &mut String {
        &mut self.all.entry(metric.name).or_insert_with(|| (metric, String::new())).1
    }
}

/// Names and values.
#[derive(Clone, Copy)]
struct Labels<'v>(&'static Metric, Values<'v>);

impl<'v> Labels<'v> {
    fn of(metric: &'static Metric, values: Values<'v>) -> Labels<'v> {
        debug_assert_eq!(metric.labels.len(), values.declared.len(), "{}", metric.name);
        Labels(metric, values)
    }

    fn pairs(self) -> impl Iterator<Item = (&'v str, &'v str)> {
        let Labels(metric, Values { declared, added }) = self;
        let names = metric.labels.iter().map(|label| label.name);
        names.zip(declared.iter().copied()).chain(added.iter().copied())
    }
}

/// Name and labels, with the bound of a bucket.
fn line(
    text: &mut String,
    metric: &Metric,
    suffix: &str,
    labels: Labels<'_>,
    bound: Option<(Form, f64)>,
) {
    text.push_str(metric.name);
    text.push_str(suffix);
    let mut before = '{';
    for (label, value) in labels.pairs() {
        text.push(before);
        before = ',';
        text.push_str(label);
        text.push_str("=\"");
        push_escaped(text, value);
        text.push('"');
    }
    if let Some((form, bound)) = bound {
        text.push(before);
        before = ',';
        text.push_str("le=\"");
        push_number(text, bound);
        // OpenMetrics wants bounds to look like what they are; the other format keeps the series it had.
        if form == Form::OpenMetrics && bound.fract() == 0.0 {
            text.push_str(".0");
        }
        text.push('"');
    }
    text.push_str(if before == '{' { " " } else { "} " });
}

pub(super) fn push_number(text: &mut String, number: f64) {
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
    use crate::observe::declared::{Kind, Label};

    const X: Label = Label { name: "x", meaning: "" };
    const Y: Label = Label { name: "y", meaning: "" };
    const B: Metric =
        Metric { name: "b", kind: Kind::Gauge, unit: "b", labels: &[], help: "Two\nlines." };
    const A: Metric = Metric {
        name: "a_seconds_total",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[X, Y],
        help: "Of \"a\".",
    };
    const H: Metric =
        Metric { name: "h", kind: Kind::Histogram, unit: "hs", labels: &[X], help: "Of h." };

    fn encoded(form: Form) -> String {
        let mut families = Families::new(form);
        families.put(&B, &[], 0.25);
        families.put(&A, &["1", "a\"b\\c\nd"], 3.0);
        families.put(&A, Values::from(&["2", ""]).with(&[("zone", "z")]), f64::NAN);
        let exemplar = Exemplar { trace: [b'e'; 32], is_sampled: true, value: 0.75, millis: 1_500 };
        let buckets = Buckets {
            bounds: &[0.5, 1.0],
            counts: &[1, 2, 4],
            sum: 9.5,
            exemplars: &[None, Some(exemplar), None],
        };
        families.histogram(&H, &["1"], buckets);
        families.encode()
    }

    #[test]
    fn the_text_is_that_of_the_format() {
        let expected = "# HELP a_seconds_total Of \"a\".\n# TYPE a_seconds_total counter\n\
            a_seconds_total{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 3\n\
            a_seconds_total{x=\"2\",y=\"\",zone=\"z\"} NaN\n\
            # HELP b Two\\nlines.\n# TYPE b gauge\nb 0.25\n\
            # HELP h Of h.\n# TYPE h histogram\n\
            h_bucket{x=\"1\",le=\"0.5\"} 1\nh_bucket{x=\"1\",le=\"1\"} 3\n\
            h_bucket{x=\"1\",le=\"+Inf\"} 7\nh_sum{x=\"1\"} 9.5\nh_count{x=\"1\"} 7\n";
        assert_eq!(encoded(Form::Text), expected);
    }

    #[test]
    fn openmetrics_has_units_exemplars_and_an_end() {
        let trace = "e".repeat(32);
        let expected = format!(
            "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds Of \\\"a\\\".\n\
            a_seconds_total{{x=\"1\",y=\"a\\\"b\\\\c\\nd\"}} 3\n\
            a_seconds_total{{x=\"2\",y=\"\",zone=\"z\"}} NaN\n\
            # TYPE b gauge\n# HELP b Two\\nlines.\nb 0.25\n\
            # TYPE h histogram\n# HELP h Of h.\n\
            h_bucket{{x=\"1\",le=\"0.5\"}} 1\n\
            h_bucket{{x=\"1\",le=\"1.0\"}} 3 # {{trace_id=\"{trace}\"}} 0.75 1.5\n\
            h_bucket{{x=\"1\",le=\"+Inf\"}} 7\nh_sum{{x=\"1\"}} 9.5\nh_count{{x=\"1\"}} 7\n# EOF\n"
        );
        assert_eq!(encoded(Form::OpenMetrics), expected);
    }
}
