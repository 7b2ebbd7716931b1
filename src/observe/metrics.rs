//! Everything a Prometheus server may ask for: the snapshot in force and the process's own counts
//! in, the text format out.
//!
//! Nothing is registered and nothing is kept by label: each scrape reads the totals that pools
//! and upstreams carry themselves. What left the config is not in the snapshot and so not in the
//! answer, and the request path never sees a label.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::snapshot::Snapshot;
use crate::upstream::{DURATION_BOUNDS, Outcome, TallyReading};

/// Totals of one listener.
#[derive(Debug)]
pub struct ListenerTally {
    /// Its address, port 0 replaced.
    pub address: String,
    /// Connections open now.
    pub open: AtomicUsize,
    /// Connections accepted so far.
    pub accepted: AtomicU64,
    /// Connections closed at once, because too many were open or accepting failed.
    pub refused: AtomicU64,
}

impl ListenerTally {
    /// All zero.
    pub fn new(address: String) -> ListenerTally {
        ListenerTally {
            address,
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

/// Totals of the process that belong to no service.
#[derive(Debug, Default)]
pub struct Process {
    listeners: Mutex<Vec<Arc<ListenerTally>>>,
    gauges: Mutex<Gauges>,
}

/// What is known of the config's reloads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Unix time of the start, in seconds.
    pub started: f64,
    /// Reloads that took effect.
    pub reloads: u64,
    /// Reloads that were refused.
    pub refused_reloads: u64,
    /// Whether the last one took effect.
    pub last_reload_successful: bool,
    /// Unix time of the last that took effect, in seconds.
    pub last_reload_success: f64,
}

impl Process {
    /// Replaces the list of listeners.
    pub fn set_listeners(&self, listeners: Vec<Arc<ListenerTally>>) {
        *self.listeners.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = listeners;
    }

    /// Changes the gauges.
    pub fn update(&self, change: impl FnOnce(&mut Gauges)) {
        change(&mut self.gauges.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    /// The gauges now.
    pub fn gauges(&self) -> Gauges {
        *self.gauges.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The listeners now.
    pub fn listeners(&self) -> Vec<Arc<ListenerTally>> {
        self.listeners.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

/// All metrics in the text format, version 0.0.4.
pub fn encode(snapshot: &Snapshot, process: &Process) -> String {
    let mut families = Vec::from(of_pools(snapshot));
    families.extend(of_upstreams(snapshot));
    families.extend(of_process(process));
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut text = String::with_capacity(64 * 1024);
    // Writing into a string fails only for an empty family, and those were dropped.
    let _ = TextEncoder::new().encode_utf8(&families, &mut text);
    text
}

fn of_pools(snapshot: &Snapshot) -> [MetricFamily; 4] {
    let mut requests = family(
        "pointsman_requests_total",
        "Requests by how they ended for the client; pool \"\" for those that no service took.",
        MetricType::COUNTER,
    );
    let mut durations = family(
        "pointsman_request_duration_seconds",
        "Time from the end of a request's head to the end of its answer.",
        MetricType::HISTOGRAM,
    );
    let mut weights = family(
        "pointsman_pool_weight_ratio",
        "Share of the service's traffic that the pool is set to get.",
        MetricType::GAUGE,
    );
    let mut revisions = family(
        "pointsman_service_revision",
        "Number of the traffic state in force.",
        MetricType::GAUGE,
    );
    let mut add = |service: &str, pool: &str, reading: &TallyReading| {
        let labels = [("service", service), ("pool", pool)];
        outcomes(&mut requests, "code", &labels, reading);
        durations.mut_metric().push(histogram(&labels, reading));
    };
    add("_unmatched", "", &snapshot.unmatched.read());
    for service in &snapshot.services {
        revisions.mut_metric().push(gauge(&[("service", &service.name)], service.revision as f64));
        for pool in &service.pools {
            add(&service.name, &pool.name, &pool.tally.read());
            let labels = [("service", &*service.name), ("pool", &*pool.name)];
            let weight = service.split.weight(&pool.name).ratio();
            weights.mut_metric().push(gauge(&labels, weight));
        }
    }
    [requests, durations, weights, revisions]
}

fn of_upstreams(snapshot: &Snapshot) -> [MetricFamily; 4] {
    let mut requests = family(
        "pointsman_upstream_requests_total",
        "Attempts at an upstream by how they ended.",
        MetricType::COUNTER,
    );
    let mut durations = family(
        "pointsman_upstream_request_duration_seconds",
        "Time from choosing an upstream to the end of its answer.",
        MetricType::HISTOGRAM,
    );
    let mut in_flight = family(
        "pointsman_upstream_requests_in_flight",
        "Requests that the upstream holds now.",
        MetricType::GAUGE,
    );
    let mut up = family(
        "pointsman_upstream_up",
        "Whether the upstream takes new requests.",
        MetricType::GAUGE,
    );
    for service in &snapshot.services {
        for pool in &service.pools {
            for member in pool.members.list() {
                let upstream = &member.upstream;
                let labels = [
                    ("service", &*service.name),
                    ("pool", &*pool.name),
                    ("upstream", &*upstream.name),
                ];
                let reading = upstream.tally.read();
                outcomes(&mut requests, "outcome", &labels, &reading);
                durations.mut_metric().push(histogram(&labels, &reading));
                in_flight.mut_metric().push(gauge(&labels, f64::from(upstream.in_flight())));
                up.mut_metric().push(gauge(&labels, f64::from(u8::from(member.is_available()))));
            }
        }
    }
    [requests, durations, in_flight, up]
}

fn of_process(process: &Process) -> Vec<MetricFamily> {
    let gauges = process.gauges();
    let mut open =
        family("pointsman_connections_open", "Client connections open now.", MetricType::GAUGE);
    let mut accepted = family(
        "pointsman_connections_accepted_total",
        "Client connections accepted.",
        MetricType::COUNTER,
    );
    let mut refused = family(
        "pointsman_connections_refused_total",
        "Client connections closed at once: too many were open, or accepting failed.",
        MetricType::COUNTER,
    );
    for listener in process.listeners() {
        let labels = [("listener", listener.address.as_str())];
        open.mut_metric().push(gauge(&labels, listener.open.load(Ordering::Relaxed) as f64));
        let count = |total: &AtomicU64| counter(&labels, total.load(Ordering::Relaxed));
        accepted.mut_metric().push(count(&listener.accepted));
        refused.mut_metric().push(count(&listener.refused));
    }
    let mut reloads = family(
        "pointsman_config_reloads_total",
        "Reloads of the config by result.",
        MetricType::COUNTER,
    );
    reloads.mut_metric().push(counter(&[("result", "success")], gauges.reloads));
    reloads.mut_metric().push(counter(&[("result", "refused")], gauges.refused_reloads));
    let alone = |name, help, value| {
        let mut family = family(name, help, MetricType::GAUGE);
        family.mut_metric().push(gauge(&[], value));
        family
    };
    let mut build = family("pointsman_build_info", "What is running; always 1.", MetricType::GAUGE);
    build.mut_metric().push(gauge(&[("version", env!("CARGO_PKG_VERSION"))], 1.0));
    vec![
        open,
        accepted,
        refused,
        reloads,
        alone(
            "pointsman_config_last_reload_successful",
            "Whether the last reload of the config took effect.",
            f64::from(u8::from(gauges.last_reload_successful)),
        ),
        alone(
            "pointsman_config_last_reload_success_timestamp_seconds",
            "Unix time of the last reload that took effect.",
            gauges.last_reload_success,
        ),
        alone("process_start_time_seconds", "Unix time of the process's start.", gauges.started),
        build,
    ]
}

fn family(name: &str, help: &str, kind: MetricType) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_string());
    family.set_help(help.to_string());
    family.set_field_type(kind);
    family
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let label = |&(name, value): &(&str, &str)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_string());
        label.set_value(value.to_string());
        label
    };
    Metric::from_label(labels.iter().map(label).collect())
}

fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

/// One counter for each outcome seen so far, and for success always: a rate of errors needs both.
fn outcomes(
    family: &mut MetricFamily,
    label: &str,
    labels: &[(&str, &str)],
    reading: &TallyReading,
) {
    for (name, &count) in Outcome::NAMES.iter().zip(&reading.outcomes) {
        if count > 0 || *name == "2xx" {
            let labels = [labels, &[(label, *name)]].concat();
            family.mut_metric().push(counter(&labels, count));
        }
    }
}

fn histogram(labels: &[(&str, &str)], reading: &TallyReading) -> Metric {
    let mut reached = 0;
    let bucket = |(&bound, &count): (&f64, &u64)| {
        reached += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(reached);
        bucket
    };
    let buckets = DURATION_BOUNDS.iter().zip(&reading.durations).map(bucket).collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    // From the same array as the buckets, so that the last bucket never exceeds it.
    histogram.set_sample_count(reading.durations.iter().sum());
    histogram.set_sample_sum(reading.nanos as f64 / 1e9);
    let mut metric = labelled(labels);
    metric.set_histogram(histogram);
    metric
}
