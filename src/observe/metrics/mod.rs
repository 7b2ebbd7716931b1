//! Everything a Prometheus server may ask for: the snapshot in force and the process's own counts
//! in, a text format out.
//!
//! Nothing is registered and nothing is kept by label: each scrape reads the totals that services,
//! pools and upstreams carry themselves. What left the config is not in the snapshot and so not in
//! the answer, and the request path never sees a label.

mod balancing;
mod process;
mod promises;
mod service;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::Process;
use super::declared::{self, Metric};
use super::exemplars::{Exemplars, OfBuckets};
use super::families::{Buckets, Families, Form, Values};
use super::saturation::saturation;
use crate::clock::WallTime;
use crate::config::{ANSWERED, REDIRECTED, Severity, UNMATCHED};
use crate::history::Capacity;
use crate::judge::Distribution;
use crate::snapshot::{Mode, Service, Snapshot};
use crate::upstream::{Outcome, TallyReading};

/// What a scrape reads.
pub struct Scrape<'s> {
    /// What is in force.
    pub snapshot: &'s Snapshot,
    /// The process's own counts.
    pub process: &'s Process,
    /// How long a service's pool took over the last minute.
    pub took: &'s dyn Fn(&str, &str) -> Distribution,
    /// How much a service's pools carry.
    pub capacity: &'s dyn Fn(&Service) -> Capacity,
    /// What has happened since the start: what, how severe, and how often.
    pub events: Vec<(String, Severity, u64)>,
    /// The same time twice: as the process counts it, and as people do.
    pub now: (Instant, WallTime),
    /// The format.
    pub form: Form,
}

/// Metrics of a service that are shown once it uses what they are of, by their bit.
#[derive(Clone, Copy)]
enum Once {
    Queue,
    Shed,
    Stale,
    StandIn,
    Answer,
    Rollouts,
    Slo,
    Shield,
    Throttle,
    Breaker,
    Ejection,
    Closed,
    Uploads,
    Deploys,
}

/// Whether a service is, or ever was, shown to use this.
fn uses(service: &Service, what: Once, does: bool) -> bool {
    let (bit, shown) = (1 << what as u32, &service.state.shown);
    if does {
        shown.fetch_or(bit, Ordering::Relaxed);
    }
    does || shown.load(Ordering::Relaxed) & bit != 0
}

/// All metrics.
pub fn encode(scrape: &Scrape<'_>) -> String {
    let Scrape { snapshot, process, now: (instant, wall), form, .. } = *scrape;
    let now = snapshot.moment(instant);
    let latest = match (form, process.requests()) {
        (Form::OpenMetrics, Some((last, _))) => last.timed((now, wall)),
        // Who reads the other format could not be told.
        _ => Vec::new(),
    };
    let exemplars = &Exemplars::choose(&latest);
    let families = &mut Families::new(form);
    let unmatched = (UNMATCHED, "");
    of_requests(families, unmatched, &snapshot.unmatched.read(), exemplars);
    let own = &snapshot.own;
    for (service, tally) in [(REDIRECTED, &own.redirects), (ANSWERED, &own.answers)] {
        let reading = tally.read();
        // What exists once goes on existing: nothing is taken from it.
        if reading.total() > 0 {
            of_requests(families, (service, ""), &reading, exemplars);
        }
    }
    for (by, outcome, count) in snapshot.doors.outcomes().read() {
        families.put(&declared::AUTH, &[by, outcome], count as f64);
    }
    for service in &snapshot.services {
        let closed = service.state.closed.read();
        let is_closed = !matches!(service.mode, Mode::Serve);
        if uses(service, Once::Closed, is_closed || closed.total() > 0) {
            of_requests(families, (&service.name, ""), &closed, exemplars);
        }
        service::of_service(families, service, now);
        balancing::of_capacity(families, service, &(scrape.capacity)(service));
        promises::of_rollouts(families, service, &process.rollouts(&service.name));
        promises::of_check(families, service);
        promises::of_slo(families, service);
        service.mirror.iter().for_each(|mirror| service::of_mirror(families, service, mirror));
        for pool in &service.pools {
            of_requests(families, (&service.name, &pool.name), &pool.state.tally.read(), exemplars);
            balancing::of_pool(families, service, pool, now);
            let took = (scrape.took)(&service.name, &pool.name);
            balancing::of_latency(families, service, pool, &took);
            for member in pool.members.list() {
                let labels = &snapshot.config.server.metric_labels;
                let of = (service, pool, member);
                balancing::of_upstream(families, of, (labels, exemplars), now);
            }
        }
    }
    process::of_process(families, process);
    process::of_connections(families, snapshot, process);
    process::of_certificates(families, snapshot, process);
    process::of_what_is_told(families, process, &scrape.events);
    saturation(families, process, instant);
    std::mem::replace(families, Families::new(form)).encode()
}

fn of_requests(
    families: &mut Families,
    (service, pool): (&str, &str),
    reading: &TallyReading,
    exemplars: &Exemplars<'_>,
) {
    for (code, count) in outcomes(reading) {
        families.put(&declared::REQUESTS, &[service, pool, code], count);
    }
    let exemplars = exemplars.of(service, pool, "");
    durations(families, &declared::REQUEST_DURATION, &[service, pool], (reading, exemplars));
}

/// What a tally says of durations, if there were any.
fn durations<'v>(
    families: &mut Families,
    metric: &'static Metric,
    values: impl Into<Values<'v>>,
    (reading, exemplars): (&TallyReading, &OfBuckets),
) {
    if reading.total() > 0 {
        families.histogram(metric, values, Buckets::durations(reading, exemplars));
    }
}

/// One counter for each outcome seen so far, and from the start for success and for failure: a rate
/// of errors needs both, and one that begins with its first error misses that.
fn outcomes(reading: &TallyReading) -> impl Iterator<Item = (&'static str, f64)> {
    let all = Outcome::NAMES.iter().zip(&reading.outcomes);
    let shown = |(outcome, count): &(&&str, &u64)| {
        **count > 0 || matches!(**outcome, "2xx" | "5xx" | "error")
    };
    all.filter(shown).map(|(outcome, count)| (*outcome, *count as f64))
}

fn one_if(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn read(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

#[cfg(test)]
mod tests;
