//! Everything a Prometheus server may ask for: the snapshot in force and the process's own counts
//! in, the text format out.
//!
//! Nothing is registered and nothing is kept by label: each scrape reads the totals that services,
//! pools and upstreams carry themselves. What left the config is not in the snapshot and so not in
//! the answer, and the request path never sees a label.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::families::Families;
use super::saturation::saturation;
use super::{Process, RolloutTally};
use crate::balance::Member;
use crate::certificate::Certificate;
use crate::clock::Moment;
use crate::config::{ANSWERED, REDIRECTED, UNMATCHED};
use crate::http::failure::Cause;
use crate::judge::Distribution;
use crate::mirror::Kind;
use crate::rollout::Outcome as Rollout;
use crate::slo;
use crate::snapshot::{Mirror, Mode, Pool, Service, Snapshot};
use crate::traces::Dropped;
use crate::upstream::{Breaker, BreakerState, Conditions, Outcome, Proof, TallyReading};
use crate::wire::limited::Limited;
use crate::wire::tls::handshake::Handshake;

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
}

/// Whether a service is, or ever was, shown to use this.
fn uses(service: &Service, what: Once, does: bool) -> bool {
    let (bit, shown) = (1 << what as u32, &service.state.shown);
    if does {
        shown.fetch_or(bit, Ordering::Relaxed);
    }
    does || shown.load(Ordering::Relaxed) & bit != 0
}

/// All metrics in the text format, version 0.0.4. `took`: how long a service's pool took over the
/// last minute.
pub fn encode(
    snapshot: &Snapshot,
    process: &Process,
    took: &dyn Fn(&str, &str) -> Distribution,
    instant: Instant,
) -> String {
    let now = snapshot.moment(instant);
    let (mut families, labels) = (Families::default(), &snapshot.config.server.metric_labels);
    of_requests(&mut families, &[("service", UNMATCHED), ("pool", "")], &snapshot.unmatched.read());
    let own = &snapshot.own;
    for (service, tally) in [(REDIRECTED, &own.redirects), (ANSWERED, &own.answers)] {
        let reading = tally.read();
        // What exists once goes on existing: nothing is taken from it.
        if reading.total() > 0 {
            of_requests(&mut families, &[("service", service), ("pool", "")], &reading);
        }
    }
    for (by, outcome, count) in snapshot.doors.outcomes().read() {
        let help = "Requests that routes with `auth` asked for more than an address, by who said whether \
                    they come in and what. A password that was right a moment ago is not counted.";
        let labels = [("by", by), ("outcome", outcome)];
        families.counter("pointsman_auth_total", help, &labels, count as f64);
    }
    for service in &snapshot.services {
        let closed = service.state.closed.read();
        let is_closed = !matches!(service.mode, Mode::Serve);
        if uses(service, Once::Closed, is_closed || closed.total() > 0) {
            let labels = [("service", &*service.name), ("pool", "")];
            of_requests(&mut families, &labels, &closed);
        }
        of_service(&mut families, service, now);
        of_rollouts(&mut families, service, &process.rollouts(&service.name));
        of_check(&mut families, service);
        of_slo(&mut families, service);
        service.mirror.iter().for_each(|mirror| of_mirror(&mut families, service, mirror));
        for pool in &service.pools {
            of_pool(&mut families, service, pool, now);
            of_latency(&mut families, service, pool, &took(&service.name, &pool.name));
            for member in pool.members.list() {
                of_upstream(&mut families, (service, pool, member), labels, now);
            }
        }
    }
    of_process(&mut families, process);
    of_certificates(&mut families, snapshot, process);
    saturation(&mut families, process.lag(), instant);
    families.encode()
}

fn of_certificates(families: &mut Families, snapshot: &Snapshot, process: &Process) {
    let mut expires = |certificate: &str, about: &Certificate| {
        let name = about.names.first().map_or("", |name| name);
        let labels = [("certificate", certificate), ("name", name)];
        let help = "When a certificate expires, in seconds since the epoch.";
        let family = "pointsman_certificate_expiry_timestamp_seconds";
        families.gauge(family, help, &labels, about.until as f64);
    };
    for (file, pair) in snapshot.config.certificates.pairs() {
        expires(&file.to_string_lossy(), &pair.about);
    }
    let Some(ordered) = process.ordered() else { return };
    ordered.list().iter().for_each(|ordered| expires(&ordered.name(), &ordered.pair.about));
    for (name, counts) in ordered.counts() {
        for (result, count) in [("issued", counts.issued), ("failed", counts.failed)] {
            let labels = [("name", &*name), ("result", result)];
            let help = "Orders for certificates at authorities, by how they ended.";
            families.counter("pointsman_certificate_orders_total", help, &labels, count as f64);
        }
    }
}

fn of_requests(families: &mut Families, labels: &[(&str, &str)], reading: &TallyReading) {
    let help =
        "Requests by how they ended for the client; pool \"\" for those that no pool was to have.";
    outcomes(families, "pointsman_requests_total", help, (labels, "code"), reading);
    if reading.total() > 0 {
        let help = "Time from the end of a request's head to the end of its answer, but for waits in line and at the door.";
        families.durations("pointsman_request_duration_seconds", help, labels, reading);
    }
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
    if uses(service, Once::Uploads, service.stability.limits.are_any()) {
        gauge(
            "pointsman_service_requests_sending",
            "Of the requests that the service holds those whose bodies have yet to come: they count \
             for no limit but their own.",
            f64::from(state.load().sending),
        );
    }
    let (limits, turned_away) = (&service.stability.limits, read(&state.turned_away));
    let mode = service.mode.at(now);
    let queues = limits.queue > 0 || *mode != Mode::Serve || service.waiting() > 0;
    let queues = uses(service, Once::Queue, queues || turned_away > 0.0);
    if queues {
        let help = "Requests that wait for a place or for the end of a hold.";
        gauge("pointsman_service_queue_length", help, service.waiting() as f64);
    }
    let help = "What the service does: 0 it serves, 1 it is held, 2 it is in maintenance.";
    let number = match mode {
        Mode::Serve => 0.0,
        Mode::Hold { .. } => 1.0,
        Mode::Maintenance { .. } => 2.0,
    };
    gauge("pointsman_service_mode", help, number);
    let (retries, unaffordable) = state.budget.read();
    let mut counter = |name, help, value: u64| families.counter(name, help, &labels, value as f64);
    counter("pointsman_retries_total", "Attempts made again.", retries);
    counter(
        "pointsman_retries_over_budget_total",
        "Attempts not made again: too many were.",
        unaffordable,
    );
    if queues {
        let help = "Requests that found the queue full.";
        counter("pointsman_queue_refused_total", help, state.turned_away.load(Ordering::Relaxed));
    }
    let shed = state.shed.load(Ordering::Relaxed);
    if uses(service, Once::Shed, limits.are_any() || shed > 0) {
        let help = "Requests refused because too many were under way.";
        counter("pointsman_shed_total", help, shed);
    }
    for (route, limiter) in service.limits.all() {
        let route = route.map(ToString::to_string).unwrap_or_default();
        let labels = [labels[0], ("route", &*route)];
        let help = "Requests refused because their client had sent too many; route \"\" for the \
                    service's own limit.";
        let refused = read(&limiter.counts.refused);
        families.counter("pointsman_rate_limited_total", help, &labels, refused);
    }
    let (fallbacks, fallback) = (&state.fallbacks, &service.stability.fallback);
    for (what, does, kind, count) in [
        (Once::Stale, fallback.stale.is_some(), "stale", &fallbacks.stale),
        (Once::StandIn, fallback.pool.is_some(), "pool", &fallbacks.pool),
        (Once::Answer, fallback.answer.is_some(), "answer", &fallbacks.answer),
    ] {
        if !uses(service, what, does || read(count) > 0.0) {
            continue;
        }
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
    let does = tally.under_way.is_some() || !tally.ended.is_empty();
    if !uses(service, Once::Rollouts, does) {
        return;
    }
    let labels = [("service", &*service.name)];
    for outcome in Rollout::NAMES {
        let labels = [labels[0], ("outcome", outcome)];
        let help = "Rollouts that have ended since the start of the process, by how they did.";
        let count = tally.ended.get(outcome).copied().unwrap_or_default();
        families.counter("pointsman_rollouts_total", help, &labels, count as f64);
    }
    let stand = tally.under_way.as_ref();
    let mut gauge = |name, help, value| families.gauge(name, help, &labels, value);
    let help = "What the service's rollout does: 0 there is none, 1 it runs, 2 it is paused.";
    let state = stand.map_or(0.0, |stand| if stand.state == "paused" { 2.0 } else { 1.0 });
    gauge("pointsman_rollout_state", help, state);
    let help = "Steps that the rollout under way has taken; 0 if there is none.";
    gauge("pointsman_rollout_step", help, stand.map_or(0.0, |stand| stand.step as f64));
    let help = "Steps that the rollout under way has in all; 0 if there is none.";
    gauge("pointsman_rollout_steps", help, stand.map_or(0.0, |stand| stand.steps as f64));
    let help = "Share of the service's traffic that the rollout under way has given its target.";
    gauge("pointsman_rollout_share_ratio", help, stand.map_or(0.0, |stand| stand.share));
}

/// What came of the judge's A/A check.
fn of_check(families: &mut Families, service: &Service) {
    let Some(tally) = service.state.checked() else { return };
    let (labels, counts) = ([("service", &*service.name)], tally.counts());
    let mut gauge = |name, help, value| families.gauge(name, help, &labels, value);
    let help = "Trials of the A/A check that count: five minutes each, of an upstream as good as the rest.";
    gauge("pointsman_judge_aa_trials", help, counts.total as f64);
    let help =
        "Share of the trials that the judge would have taken back, by mistake; NaN without any.";
    let ratio = if counts.total == 0 { f64::NAN } else { counts.ratio() };
    gauge("pointsman_judge_aa_taken_back_ratio", help, ratio);
}

/// What its objectives came to, as the controller found last.
fn of_slo(families: &mut Families, service: &Service) {
    let standing = service.state.standing();
    let labels = [("service", &*service.name)];
    let does = !standing.objectives.is_empty() || standing.freeze.is_some();
    if !uses(service, Once::Slo, does) {
        return;
    }
    let help = "What error budgets and people let the service's rollouts do: 0 all, 1 start with an \
                override only, 2 they are held, 3 they are frozen.";
    let state = slo::State::ALL.iter().position(|state| *state == standing.state());
    families.gauge("pointsman_slo_state", help, &labels, state.unwrap_or_default() as f64);
    let (one_client, other) = service.state.slo.causes();
    for (cause, count) in [(Cause::OneClient.reason(), one_client), ("other", other)] {
        let labels = [labels[0], ("cause", cause)];
        let help = "Failed requests that count for the objectives, by whether others contradict.";
        families.counter("pointsman_slo_failed_requests_total", help, &labels, count as f64);
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
        let help = "Time to the head of the pool's answers over the last minute, but for failures; NaN without any.";
        let took = took.quantile(share).map(|took| took.as_secs_f64());
        if took.is_none() && pool.state.attempts.read().total == 0 {
            return;
        }
        families.gauge("pointsman_pool_latency_seconds", help, &labels, took.unwrap_or(f64::NAN));
    }
}

fn of_pool(families: &mut Families, service: &Service, pool: &Pool, now: Moment) {
    let labels = [("service", &*service.name), ("pool", &*pool.name)];
    of_requests(families, &labels, &pool.state.tally.read());
    if let Some(version) = &pool.version {
        let tagged = [labels[0], labels[1], ("tag", version.tag.as_deref().unwrap_or_default())];
        let help = "Always 1: which version a deploy has put into the pool.";
        families.gauge("pointsman_pool_info", help, &tagged, 1.0);
    }
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
    let withheld = read(&pool.state.withheld);
    // From the pool's first request on, so that the first of them is seen to come.
    if attempts.total > 0 {
        let help =
            "Of the failed attempts those that count for no breaker and no ejection: one client's.";
        families.counter("pointsman_pool_one_client_attempts_total", help, &labels, withheld);
    }
    let shielded = read(&pool.state.shielded);
    if uses(service, Once::Shield, service.pools.len() > 1 || shielded > 0.0) {
        let help =
            "Requests that failed or were refused on the pool and were taken by the stable one.";
        families.counter("pointsman_shielded_requests_total", help, &labels, shielded);
    }
    let throttled = pool.state.throttle.throttled() as f64;
    if uses(service, Once::Throttle, service.stability.limits.throttle || throttled > 0.0) {
        let help = "Requests refused to spare a pool that refuses.";
        families.counter("pointsman_throttled_total", help, &labels, throttled);
    }
    if service.stability.limits.adaptive {
        let help = "Requests that the pool may hold, by its latency.";
        families.gauge(
            "pointsman_pool_limit",
            help,
            &labels,
            f64::from(pool.state.gradient.limit()),
        );
    }
    let labels = [labels[0], labels[1], ("upstream", "")];
    of_breaker(families, service, &labels, &pool.state.breaker, now);
}

fn of_upstream(
    families: &mut Families,
    (service, pool, member): (&Service, &Pool, &Member),
    own: &[Arc<str>],
    now: Moment,
) {
    let upstream = &member.upstream;
    let mut labels =
        vec![("service", &*service.name), ("pool", &*pool.name), ("upstream", &*upstream.name)];
    labels.extend(own.iter().filter_map(|name| Some((&**name, member.labels.get(name)?))));
    let labels = &labels[..];
    let reading = upstream.tally.read();
    // Who was never asked has nothing to count.
    let was_asked = reading.total() > 0;
    if was_asked {
        let help = "Attempts at an upstream by how they ended.";
        outcomes(
            families,
            "pointsman_upstream_requests_total",
            help,
            (labels, "outcome"),
            &reading,
        );
        let help = "Time from choosing an upstream to the end of its answer.";
        families.durations("pointsman_upstream_request_duration_seconds", help, labels, &reading);
    }
    let stability = &service.stability;
    let is_up = member.is_well();
    let out = upstream.conditions().any(Conditions::EJECTED);
    let mut gauge = |name, help, value| families.gauge(name, help, labels, value);
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
    let ejections = upstream.ejection.total();
    let ejects = uses(service, Once::Ejection, stability.ejection.is_some() || ejections > 0);
    if ejects {
        let help = "Whether the upstream is out for failing in a row.";
        gauge("pointsman_upstream_ejected", help, one_if(out));
    }
    if was_asked {
        gauge(
            "pointsman_upstream_latency_seconds",
            "Moving average of the time to a response's head; a failure weighs five seconds.",
            f64::from(upstream.latency.seconds(pool.state.usual_latency(), now)),
        );
    }
    let (opened, reused) = upstream.connections.read();
    if opened + reused > 0 {
        gauge(
            "pointsman_upstream_connection_reuse_ratio",
            "Share of attempts that found a kept connection, since the start.",
            reused as f64 / (opened + reused) as f64,
        );
    }
    let mut counter = |name, help, value| families.counter(name, help, labels, value);
    if was_asked {
        let help = "Connections opened.";
        counter("pointsman_upstream_connections_opened_total", help, opened as f64);
        let help = "Attempts made on a kept connection.";
        counter("pointsman_upstream_connections_reused_total", help, reused as f64);
        if ejects {
            let help = "Times that the upstream was taken out for failing in a row.";
            counter("pointsman_upstream_ejections_total", help, f64::from(ejections));
        }
    }
    if stability.health.is_some() {
        let help = "Whether the last health checks succeeded.";
        let healthy = one_if(upstream.proof() == Proof::Up);
        families.gauge("pointsman_upstream_healthy", help, labels, healthy);
        let probes = upstream.probes.read();
        for (result, count) in [("success", probes.successes), ("failure", probes.failures)] {
            let labels = [labels, &[("result", result)]].concat();
            let help = "Health checks by result.";
            families.counter("pointsman_health_checks_total", help, &labels, count as f64);
        }
    }
    of_breaker(families, service, labels, &upstream.breaker, now);
}

fn of_breaker(
    families: &mut Families,
    service: &Service,
    labels: &[(&str, &str)],
    breaker: &Breaker,
    now: Moment,
) {
    let state = breaker.state(now);
    let does = service.stability.breaker.is_some() || state != BreakerState::Closed;
    if !uses(service, Once::Breaker, does) {
        return;
    }
    let help =
        "What the breaker does: 0 closed, 1 half-open, 2 open; upstream \"\" for the pool's.";
    let number = match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    };
    families.gauge("pointsman_breaker_state", help, labels, number);
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
        // Of one that speaks no TLS there is nothing to tell.
        let ended = Handshake::ALL.map(|how| (how, listener.handshakes.count(how)));
        if ended.iter().any(|(_, count)| *count > 0) {
            for (how, count) in ended {
                let labels = [labels[0], ("result", how.name())];
                let help = "Handshakes of TLS by how they ended: `full` and `resumed` are good.";
                families.counter("pointsman_tls_handshakes_total", help, &labels, count as f64);
            }
        }
    }
    for (reason, count) in process.limited().into_iter().flat_map(Limited::counts) {
        let help = "Client connections that a limit has refused or ended, by which.";
        let labels = [("reason", reason)];
        families.counter("pointsman_connections_limited_total", help, &labels, count as f64);
    }
    if let Some(memory) = process.memory() {
        let help = "What the process may have of memory, by its config or its cgroup.";
        families.gauge("pointsman_memory_limit_bytes", help, &[], memory.limit as f64);
        let help = "What is used of that.";
        families.gauge("pointsman_memory_used_bytes", help, &[], memory.used as f64);
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
        for (did, count) in refusals.odd_names() {
            let name = "pointsman_odd_field_names_total";
            let help = "Fields whose names hold more than letters, digits and hyphens, let in.";
            families.counter(name, help, &[("did", did)], count as f64);
        }
        let help = "Requests that are not remembered because somebody was reading those that are.";
        let name = "pointsman_requests_not_remembered_total";
        families.counter(name, help, &[], last.left_out() as f64);
        let help = "Memory taken by the last requests, which `server.remember` bounds.";
        families.gauge("pointsman_remembered_bytes", help, &[], last.bytes() as f64);
    }
    if let Some(log) = process.access_log() {
        let help = "Lines of the access log that were written.";
        families.counter("pointsman_access_log_lines_total", help, &[], log.written() as f64);
        let help =
            "Lines of the access log for which there was no room, or which its place did not take.";
        families.counter("pointsman_access_log_dropped_total", help, &[], log.dropped() as f64);
    }
    if let Some(traces) = process.traces() {
        let help = "Spans that a collector of traces has taken.";
        families.counter("pointsman_spans_sent_total", help, &[], traces.sent() as f64);
        let help = "Spans of requests that were to be told of and were not, by why.";
        for why in Dropped::ALL {
            let labels = [("reason", why.name())];
            let count = traces.dropped(why) as f64;
            families.counter("pointsman_spans_dropped_total", help, &labels, count);
        }
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
        "Orders and decisions that wait for the disk, or for connect checks.",
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

/// One counter for each outcome seen so far, and from the start for success and for failure: a rate
/// of errors needs both, and one that begins with its first error misses that.
fn outcomes(
    families: &mut Families,
    name: &'static str,
    help: &str,
    (labels, label): (&[(&str, &str)], &str),
    reading: &TallyReading,
) {
    for (outcome, &count) in Outcome::NAMES.iter().zip(&reading.outcomes) {
        if count > 0 || matches!(*outcome, "2xx" | "5xx" | "error") {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::snapshot::{Blueprint, RunTime};
    use crate::split::Secret;
    use crate::upstream::{BreakerOrder, StatusClass};

    /// So many services of two pools with two upstreams each, with this said of each.
    fn snapshot(services: usize, lines: &str, server: &str) -> Arc<Snapshot> {
        let mut text = format!("[server]\n{server}\n[[listeners]]\naddress = \":0\"\n");
        for n in 0..services {
            text.push_str(&format!(
                "[[routes]]\nhosts = [\"s{n}.test\"]\nservice = \"s{n}\"\n\
                 [services.s{n}]\nsplit = {{ blue = 100, green = 0 }}\n{lines}\n\
                 [services.s{n}.pools]\n\
                 blue.upstreams = [{{ address = \"192.0.2.1:80\", labels = {{ zone = \"a\" }} }}, \
                                   \"192.0.2.2:80\"]\n\
                 green.upstreams = [\"192.0.2.3:80\", \"192.0.2.4:80\"]\n"
            ));
        }
        let config =
            Arc::new(Config::parse(&text).map_err(|p| p.render(&text, "t", false)).unwrap().0);
        let run_time = RunTime::default();
        let now = Instant::now();
        let blueprint = Blueprint { config, run_time: &run_time, secret: Secret([0; 16]), now };
        Arc::new(Snapshot::build(&blueprint, None))
    }

    fn text(snapshot: &Snapshot) -> String {
        encode(snapshot, &Process::default(), &|_, _| Distribution::default(), Instant::now())
    }

    #[test]
    fn what_a_service_does_not_use_has_no_series_and_a_state_has_one() {
        let lines = |services| text(&snapshot(services, "", "")).lines().count();
        let each = (lines(21) - lines(1)) / 20;
        assert!(
            each <= 50,
            "an idle service of two pools with two upstreams each has {each} lines"
        );
        let snapshot = snapshot(1, "", "");
        let service = &snapshot.services[0];
        let idle = text(&snapshot);
        let absent = [
            "queue",
            "shed",
            "fallbacks",
            "rollout",
            "slo",
            "duration_seconds_b",
            "health",
            "connections_opened",
            "stale",
        ];
        for absent in absent {
            let found = idle.lines().find(|line| line.contains(absent) && line.contains("s0"));
            assert_eq!(found, None, "{absent}");
        }
        for line in [
            "pointsman_requests_total{service=\"s0\",pool=\"blue\",code=\"5xx\"} 0",
            "pointsman_pool_failed_attempts_total{service=\"s0\",pool=\"blue\"} 0",
            "pointsman_retries_total{service=\"s0\"} 0",
            "pointsman_breaker_state{service=\"s0\",pool=\"blue\",upstream=\"\"} 0",
            "pointsman_service_mode{service=\"s0\"} 0",
        ] {
            assert!(idle.contains(&format!("{line}\n")), "{line}\n{idle}");
        }
        let of_upstream = "pointsman_upstream_requests_total{service=\"s0\",pool=\"blue\",\
                           upstream=\"192.0.2.1:80\"";
        assert!(!idle.contains(of_upstream));
        let upstream = &service.pools[0].members.list()[0].upstream;
        upstream.tally.record(Outcome::Status(StatusClass::Success), Duration::from_millis(1));
        let asked = text(&snapshot);
        for outcome in ["2xx\"} 1", "5xx\"} 0", "error\"} 0"] {
            assert!(asked.contains(&format!("{of_upstream},outcome=\"{outcome}\n")), "{asked}");
        }
        let breaker = &service.pools[0].state.breaker;
        breaker.set_order(BreakerOrder::Open, Moment::default());
        let pool = "pointsman_breaker_state{service=\"s0\",pool=\"blue\",upstream=\"\"}";
        assert!(text(&snapshot).contains(&format!("{pool} 2\n")));
    }

    #[test]
    fn what_exists_once_goes_on_existing() {
        let snapshot = snapshot(1, "breaker = false", "");
        let breaker = &snapshot.services[0].pools[0].state.breaker;
        let has = || text(&snapshot).contains("pointsman_breaker_state{");
        assert!(!has());
        breaker.set_order(BreakerOrder::Open, Moment::default());
        assert!(has());
        breaker.set_order(BreakerOrder::Auto, Moment::default());
        assert!(has());
    }

    #[test]
    fn labels_of_upstreams_are_labels_of_metrics_only_where_the_config_says_so() {
        let up = "pointsman_upstream_up{service=\"s0\",pool=\"blue\",upstream=\"192.0.2.1:80\"";
        assert!(text(&snapshot(1, "", "")).contains(&format!("{up}}} 1\n")));
        let told = text(&snapshot(1, "", "metric_labels = [\"zone\"]"));
        assert!(told.contains(&format!("{up},zone=\"a\"}} 1\n")), "{told}");
        assert!(told.contains("upstream=\"192.0.2.2:80\"} 1\n"), "it has no zone");
    }
}
