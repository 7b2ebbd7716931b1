//! Metric families as they grow: names, labels and values in, the text format out.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::upstream::{DURATION_BOUNDS, TallyReading};

/// Families by name.
#[derive(Debug, Default)]
pub(super) struct Families(BTreeMap<&'static str, MetricFamily>);

type Labels<'a> = [(&'a str, &'a str)];

impl Families {
    pub fn gauge(&mut self, name: &'static str, help: &str, labels: &Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        self.push(name, help, MetricType::GAUGE, metric);
    }

    pub fn counter(&mut self, name: &'static str, help: &str, labels: &Labels<'_>, value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        self.push(name, help, MetricType::COUNTER, metric);
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
        let mut reached = 0;
        let bucket = |(&bound, &count): (&f64, &u64)| {
            reached += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(reached);
            bucket
        };
        let buckets = bounds.iter().zip(counts).map(bucket).collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        // From the same counts as the buckets, so that the last bucket never exceeds it.
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.push(name, help, MetricType::HISTOGRAM, metric);
    }

    /// All of them, version 0.0.4.
    pub fn encode(self) -> String {
        let families: Vec<MetricFamily> = self.0.into_values().collect();
        let mut text = String::with_capacity(64 * 1024);
        // Writing into a string fails only for an empty family, and there is none.
        let _ = TextEncoder::new().encode_utf8(&families, &mut text);
        text
    }

    fn push(&mut self, name: &'static str, help: &str, kind: MetricType, metric: Metric) {
        let family = self.0.entry(name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_string());
            family.set_help(help.to_string());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }
}

fn labelled(labels: &Labels<'_>) -> Metric {
    let label = |&(name, value): &(&str, &str)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_string());
        label.set_value(value.to_string());
        label
    };
    Metric::from_label(labels.iter().map(label).collect())
}
