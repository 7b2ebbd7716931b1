//! Everything a Prometheus server may ask for: the snapshot in force and the process's own counts
//! in, the text format out.
//!
//! Nothing is registered and nothing is kept by label: each scrape reads the totals that services,
//! pools and upstreams carry themselves. What left the config is not in the snapshot and so not in
//! the answer, and the request path never sees a label.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::families::Families;
use super::saturation::saturation;
use super::{Process, RolloutTally};
use crate::balance::Member;
use crate::clock::Moment;
use crate::judge::Distribution;
use crate::mirror::Kind;
use crate::rollout::Outcome as Rollout;
use crate::slo;
use crate::snapshot::{Mirror, Mode, Pool, Service, Snapshot};
use crate::upstream::{Breaker, BreakerState, Conditions, Outcome, Proof, TallyReading};

/// All metrics in the text format, version 0.0.4. `took`: how long a service's pool took over the
/// last minute.
pub fn encode(
    snapshot: &Snapshot,
    process: &Process,
    took: &dyn Fn(&str, &str) -> Distribution,
    instant: Instant,
) -> String {
    let now = snapshot.moment(instant);
    let mut families = Families::default();
    of_requests(
        &mut families,
        &[("service", "_unmatched"), ("pool", "")],
        &snapshot.unmatched.read(),
    );
    for service in &snapshot.services {
        let closed = service.state.closed.read();
        if closed.total() > 0 {
            let labels = [("service", &*service.name), ("pool", "")];
            of_requests(&mut families, &labels, &closed);
        }
        of_service(&mut families, service, now);
        of_rollouts(&mut families, service, &process.rollouts(&service.name));
        of_slo(&mut families, service);
        service.mirror.iter().for_each(|mirror| of_mirror(&mut families, service, mirror));
        for pool in &service.pools {
            of_pool(&mut families, service, pool, now);
            of_latency(&mut families, service, pool, &took(&service.name, &pool.name));
            for member in pool.members.list() {
                of_upstream(&mut families, (service, pool, member), now);
            }
        }
    }
    of_process(&mut families, process);
    saturation(&mut families, process.lag(), instant);
    families.encode()
}

fn of_requests(families: &mut Families, labels: &[(&str, &str)], reading: &TallyReading) {
    let help =
        "Requests by how they ended for the client; pool \"\" for those that no pool was to have.";
    outcomes(families, "pointsman_requests_total", help, (labels, "code"), reading);
    let help =
        "Time from the end of a request's head to the end of its answer, but for waits in line.";
    families.durations("pointsman_request_duration_seconds", help, labels, reading);
}

fn of_service(families: &mut Families, service: &Service, now: Moment) {
    let labels = [("service", &*service.name)];
    let state = &service.state;
    let mut gauge = |name, help, value| families.gauge(name, help, &labels, value);
    gauge(
        "pointsman_service_revision",
        "Number of the traffic state in force.",
        service.revision as f64,
    );
    gauge(
        "pointsman_service_requests_in_flight",
        "Requests that the service holds now.",
        f64::from(state.in_flight()),
    );
    gauge(
        "pointsman_service_queue_length",
        "Requests that wait for a place or for the end of a hold.",
        service.waiting() as f64,
    );
    let (retries, unaffordable) = state.budget.read();
    let mut counter = |name, help, value: u64| families.counter(name, help, &labels, value as f64);
    counter("pointsman_retries_total", "Attempts made again.", retries);
    counter(
        "pointsman_retries_over_budget_total",
        "Attempts not made again: too many were.",
        unaffordable,
    );
    counter(
        "pointsman_queue_refused_total",
        "Requests that found the queue full.",
        state.turned_away.load(Ordering::Relaxed),
    );
    counter(
        "pointsman_shed_total",
        "Requests refused because too many were under way.",
        state.shed.load(Ordering::Relaxed),
    );
    let mode = service.mode.at(now);
    for (mode, holds) in [
        ("serve", *mode == Mode::Serve),
        ("hold", matches!(mode, Mode::Hold { .. })),
        ("maintenance", matches!(mode, Mode::Maintenance { .. })),
    ] {
        let labels = [labels[0], ("mode", mode)];
        let help = "Whether the service serves, is held, or is in maintenance.";
        families.gauge("pointsman_service_mode", help, &labels, one_if(holds));
    }
    let fallbacks = &state.fallbacks;
    for (kind, count) in
        [("stale", &fallbacks.stale), ("pool", &fallbacks.pool), ("answer", &fallbacks.answer)]
    {
        let labels = [labels[0], ("kind", kind)];
        let help = "Requests answered from elsewhere: their pool was open or had nobody.";
        families.counter("pointsman_fallbacks_total", help, &labels, read(count));
    }
    if let Some(kept) = service.stale.as_ref().map(|stale| stale.read()) {
        let mut gauge = |name, help, value: usize| {
            families.gauge(name, help, &labels, value as f64);
        };
        let help = "Responses kept for when no upstream can be asked.";
        gauge("pointsman_stale_entries", help, kept.entries);
        gauge("pointsman_stale_bytes", "Memory of the responses kept.", kept.bytes);
        let help = "Memory of responses that are being kept as they pass.";
        gauge("pointsman_stale_recording_bytes", help, kept.recording);
    }
}

fn of_rollouts(families: &mut Families, service: &Service, tally: &RolloutTally) {
    let labels = [("service", &*service.name)];
    for outcome in Rollout::NAMES {
        let labels = [labels[0], ("outcome", outcome)];
        let help = "Rollouts that have ended since the start of the process, by how they did.";
        let count = tally.ended.get(outcome).copied().unwrap_or_default();
        families.counter("pointsman_rollouts_total", help, &labels, count as f64);
    }
    for state in ["running", "paused"] {
        let labels = [labels[0], ("state", state)];
        let help = "1 for the state that the rollout under way is in; all 0 if there is none.";
        let is = tally.under_way.is_some_and(|stand| stand.state == state);
        families.gauge("pointsman_rollout_state", help, &labels, one_if(is));
    }
    let Some(stand) = tally.under_way else { return };
    let mut gauge = |name, help, value| families.gauge(name, help, &labels, value);
    let help = "Steps that the rollout under way has taken.";
    gauge("pointsman_rollout_step", help, stand.step as f64);
    let help = "Steps that the rollout under way has in all.";
    gauge("pointsman_rollout_steps", help, stand.steps as f64);
    let help = "Share of the service's traffic that the rollout under way has given its target.";
    gauge("pointsman_rollout_share_ratio", help, stand.share);
}

/// What its objectives came to, as the controller found last.
fn of_slo(families: &mut Families, service: &Service) {
    let standing = service.state.standing();
    let labels = [("service", &*service.name)];
    if standing.objectives.is_empty() && standing.freeze.is_none() {
        return;
    }
    for state in slo::State::ALL {
        let labels = [labels[0], ("state", state.name())];
        let help = "1 for what error budgets and people let the service's rollouts do.";
        families.gauge("pointsman_slo_state", help, &labels, one_if(standing.state() == state));
    }
    for shown in &standing.objectives {
        let labels = [labels[0], ("objective", shown.objective.name())];
        let help = "Share of the error budget that is left; below 0 if more is spent.";
        let remaining = shown.reading.remaining;
        families.gauge("pointsman_slo_budget_remaining_ratio", help, &labels, remaining);
        for (span, burn) in slo::Span::ALL.iter().zip(shown.reading.burns) {
            let labels = [labels[0], labels[1], ("window", span.name())];
            let help = "Times the rate at which the error budget would just last; 0 for too few.";
            families.gauge("pointsman_slo_burn_rate", help, &labels, burn);
        }
        let counts = service.state.slo.read(&shown.objective);
        let help = "Requests that count for the objective.";
        families.counter("pointsman_slo_requests_total", help, &labels, counts.total as f64);
        let help = "Of those that count for the objective the bad ones.";
        families.counter("pointsman_slo_bad_total", help, &labels, counts.bad as f64);
    }
}

fn of_mirror(families: &mut Families, service: &Service, mirror: &Mirror) {
    let labels = [("service", &*service.name), ("pool", &*mirror.settings.to)];
    let counts = mirror.state.read();
    for (result, count) in
        [("sent", counts.sent), ("dropped", counts.dropped), ("failed", counts.failed)]
    {
        let labels = [labels[0], labels[1], ("result", result)];
        let help = "Copies of requests by whether the pool answered them, or too many waited.";
        families.counter("pointsman_mirrored_requests_total", help, &labels, count as f64);
    }
    if mirror.settings.compare.is_none() {
        return;
    }
    for kind in Kind::ALL {
        let labels = [labels[0], labels[1], ("result", kind.name())];
        let help = "Answers to copies compared with the live ones, by what differs first.";
        let count = counts.comparisons[kind as usize];
        families.counter("pointsman_mirror_comparisons_total", help, &labels, count as f64);
    }
}

fn of_latency(families: &mut Families, service: &Service, pool: &Pool, took: &Distribution) {
    for (name, share) in
        [("0.5", 0.5), ("0.9", 0.9), ("0.95", 0.95), ("0.99", 0.99), ("0.999", 0.999)]
    {
        let labels = [("service", &*service.name), ("pool", &*pool.name), ("percentile", name)];
        let help = "Time to the head of the pool's answers over the last minute, but for failures.";
        let Some(took) = took.quantile(share) else { return };
        families.gauge("pointsman_pool_latency_seconds", help, &labels, took.as_secs_f64());
    }
}

fn of_pool(families: &mut Families, service: &Service, pool: &Pool, now: Moment) {
    let labels = [("service", &*service.name), ("pool", &*pool.name)];
    of_requests(families, &labels, &pool.state.tally.read());
    let weight = service.split.weight(&pool.name).ratio();
    let help = "Share of the service's traffic that the pool is set to get.";
    families.gauge("pointsman_pool_weight_ratio", help, &labels, weight);
    let standing = pool.assess(&service.stability, now);
    let known = standing.known.max(1) as f64;
    let help = "Share of the pool's upstreams that are well.";
    families.gauge(
        "pointsman_pool_available_ratio",
        help,
        &labels,
        standing.available as f64 / known,
    );
    let help = "Whether no upstream is well: the fallback answers, or all are tried.";
    families.gauge("pointsman_pool_panic", help, &labels, one_if(pool.state.has_nobody()));
    let attempts = pool.state.attempts.read();
    let help =
        "Attempts at the pool's upstreams, and requests that nobody of it could be asked for.";
    families.counter("pointsman_pool_attempts_total", help, &labels, attempts.total as f64);
    let help = "Of the pool's attempts those that failed, whatever the client got instead.";
    families.counter("pointsman_pool_failed_attempts_total", help, &labels, attempts.bad as f64);
    let help = "Requests that failed or were refused on the pool and were taken by the stable one.";
    families.counter(
        "pointsman_shielded_requests_total",
        help,
        &labels,
        read(&pool.state.shielded),
    );
    let help = "Requests refused to spare a pool that refuses.";
    families.counter(
        "pointsman_throttled_total",
        help,
        &labels,
        pool.state.throttle.throttled() as f64,
    );
    if service.stability.limits.adaptive {
        let help = "Requests that the pool may hold, by its latency.";
        families.gauge(
            "pointsman_pool_limit",
            help,
            &labels,
            f64::from(pool.state.gradient.limit()),
        );
    }
    of_breaker(families, &[labels[0], labels[1], ("upstream", "")], &pool.state.breaker, now);
}

fn of_upstream(
    families: &mut Families,
    (service, pool, member): (&Service, &Pool, &Member),
    now: Moment,
) {
    let upstream = &member.upstream;
    let labels =
        [("service", &*service.name), ("pool", &*pool.name), ("upstream", &*upstream.name)];
    let reading = upstream.tally.read();
    let help = "Attempts at an upstream by how they ended.";
    outcomes(families, "pointsman_upstream_requests_total", help, (&labels, "outcome"), &reading);
    let help = "Time from choosing an upstream to the end of its answer.";
    families.durations("pointsman_upstream_request_duration_seconds", help, &labels, &reading);
    let stability = &service.stability;
    let is_up = member.is_well();
    let out = upstream.conditions().any(Conditions::EJECTED);
    let mut gauge = |name, help, value| families.gauge(name, help, &labels, value);
    gauge(
        "pointsman_upstream_requests_in_flight",
        "Requests that the upstream holds now.",
        f64::from(upstream.in_flight()),
    );
    gauge(
        "pointsman_upstream_up",
        "Whether the upstream is well: one that is not is asked for trials only, or when nobody is.",
        one_if(is_up),
    );
    gauge(
        "pointsman_upstream_ejected",
        "Whether the upstream is out for failing in a row.",
        one_if(out),
    );
    gauge(
        "pointsman_upstream_latency_seconds",
        "Moving average of the time to a response's head; a failure weighs five seconds.",
        f64::from(upstream.latency.seconds(pool.state.usual_latency(), now)),
    );
    let (opened, reused) = upstream.connections.read();
    if opened + reused > 0 {
        gauge(
            "pointsman_upstream_connection_reuse_ratio",
            "Share of attempts that found a kept connection, since the start.",
            reused as f64 / (opened + reused) as f64,
        );
    }
    let mut counter = |name, help, value| families.counter(name, help, &labels, value);
    counter("pointsman_upstream_connections_opened_total", "Connections opened.", opened as f64);
    counter(
        "pointsman_upstream_connections_reused_total",
        "Attempts made on a kept connection.",
        reused as f64,
    );
    counter(
        "pointsman_upstream_ejections_total",
        "Times that the upstream was taken out for failing in a row.",
        f64::from(upstream.ejection.total()),
    );
    if stability.health.is_some() {
        let help = "Whether the last health checks succeeded.";
        let healthy = one_if(upstream.proof() == Proof::Up);
        families.gauge("pointsman_upstream_healthy", help, &labels, healthy);
        let probes = upstream.probes.read();
        for (result, count) in [("success", probes.successes), ("failure", probes.failures)] {
            let labels = [labels[0], labels[1], labels[2], ("result", result)];
            let help = "Health checks by result.";
            families.counter("pointsman_health_checks_total", help, &labels, count as f64);
        }
    }
    of_breaker(families, &labels, &upstream.breaker, now);
}

fn of_breaker(families: &mut Families, labels: &[(&str, &str); 3], breaker: &Breaker, now: Moment) {
    let state = breaker.state(now);
    for (name, is) in [
        ("closed", BreakerState::Closed),
        ("open", BreakerState::Open),
        ("half_open", BreakerState::HalfOpen),
    ] {
        let labels = [labels[0], labels[1], labels[2], ("state", name)];
        let help = "1 for the state that the breaker is in; upstream \"\" for the pool's own.";
        families.gauge("pointsman_breaker_state", help, &labels, one_if(state == is));
    }
    let help = "Times that the breaker opened by itself; upstream \"\" for the pool's own.";
    families.counter("pointsman_breaker_opened_total", help, labels, breaker.opened() as f64);
}

fn of_process(families: &mut Families, process: &Process) {
    for listener in process.listeners() {
        let labels = [("listener", listener.address.as_str())];
        let open = listener.open.load(Ordering::Relaxed) as f64;
        families.gauge("pointsman_connections_open", "Client connections open now.", &labels, open);
        let help = "Client connections accepted.";
        families.counter(
            "pointsman_connections_accepted_total",
            help,
            &labels,
            read(&listener.accepted),
        );
        let help = "Client connections closed at once: too many were open, or accepting failed.";
        families.counter(
            "pointsman_connections_refused_total",
            help,
            &labels,
            read(&listener.refused),
        );
    }
    for target in process.notify_targets() {
        for (result, count) in [
            ("sent", &target.sent),
            ("failed", &target.failed),
            ("dropped", &target.dropped),
            ("suppressed", &target.suppressed),
        ] {
            let labels = [("target", &*target.name), ("result", result)];
            let help =
                "Notifications taken, given up or suppressed as repetitions, and failed attempts.";
            families.counter("pointsman_notifications_total", help, &labels, read(count));
        }
    }
    for (name, resolves) in process.names() {
        let labels = [("name", &*name.to_string())];
        let help = "Whether the last look-up of an upstream's name had an answer.";
        families.gauge("pointsman_name_resolves", help, &labels, one_if(resolves));
    }
    let gauges = process.gauges();
    for (result, count) in [("success", gauges.reloads), ("refused", gauges.refused_reloads)] {
        let (name, help) = ("pointsman_config_reloads_total", "Reloads of the config by result.");
        families.counter(name, help, &[("result", result)], count as f64);
    }
    let help = "Orders, ends of tasks and addresses that the one writer has taken; reads are none.";
    families.counter("pointsman_commands_total", help, &[], gauges.commands as f64);
    if let Some((last, refusals)) = process.requests() {
        for (reason, count) in refusals.counts() {
            let (name, help) = ("pointsman_refused_total", "Requests that we answered ourselves.");
            families.counter(name, help, &[("reason", reason)], count as f64);
        }
        let help = "Requests that are not remembered because somebody was reading those that are.";
        let name = "pointsman_requests_not_remembered_total";
        families.counter(name, help, &[], last.left_out() as f64);
        let help = "Memory taken by the last requests, which `server.remember` bounds.";
        families.gauge("pointsman_remembered_bytes", help, &[], last.bytes() as f64);
    }
    let mut alone = |name, help, value| families.gauge(name, help, &[], value);
    alone(
        "pointsman_config_last_reload_successful",
        "Whether the last reload of the config took effect.",
        one_if(gauges.last_reload_successful),
    );
    alone(
        "pointsman_config_waits_for_reload",
        "Whether a file that was saved takes away what is in use, and waits for `pointsman reload`.",
        one_if(gauges.waits_for_reload),
    );
    alone(
        "pointsman_store_writable",
        "Whether revisions, rollouts and orders can be stored; while not, orders are refused.",
        one_if(gauges.is_store_writable),
    );
    alone(
        "pointsman_store_queue",
        "Orders and decisions that wait for the disk.",
        gauges.store_queue as f64,
    );
    alone(
        "pointsman_config_last_reload_success_timestamp_seconds",
        "Unix time of the last reload that took effect.",
        gauges.last_reload_success,
    );
    alone("process_start_time_seconds", "Unix time of the process's start.", gauges.started);
    let labels = [("version", env!("CARGO_PKG_VERSION"))];
    families.gauge("pointsman_build_info", "What is running; always 1.", &labels, 1.0);
}

/// One counter for each outcome seen so far, and for success always: a rate of errors needs both.
fn outcomes(
    families: &mut Families,
    name: &'static str,
    help: &str,
    (labels, label): (&[(&str, &str)], &str),
    reading: &TallyReading,
) {
    for (outcome, &count) in Outcome::NAMES.iter().zip(&reading.outcomes) {
        if count > 0 || *outcome == "2xx" {
            let labels = [labels, &[(label, *outcome)]].concat();
            families.counter(name, help, &labels, count as f64);
        }
    }
}

fn one_if(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn read(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}
