//! What is said of a service as a whole: how full it is, what it turned away, tried again and copied.

use std::sync::atomic::Ordering;

use super::super::declared;
use super::super::families::Families;
use super::{Once, read, uses};
use crate::clock::Moment;
use crate::mirror::Kind;
use crate::snapshot::{Mirror, Mode, Service};

pub(super) fn of_service(families: &mut Families, service: &Service, now: Moment) {
    let (name, state) = (&*service.name, &service.state);
    let limits = &service.stability.limits;
    families.put(&declared::REVISION, &[name], service.revision as f64);
    let (from_clients, to_clients) = state.bytes.read();
    // Both from the first byte on: a service that nobody asks has neither.
    if from_clients + to_clients > 0 {
        families.put(&declared::REQUEST_BYTES, &[name], from_clients as f64);
        families.put(&declared::RESPONSE_BYTES, &[name], to_clients as f64);
    }
    families.put(&declared::SERVICE_IN_FLIGHT, &[name], f64::from(state.in_flight()));
    if uses(service, Once::Uploads, limits.are_any()) {
        let sending = f64::from(state.load().sending);
        families.put(&declared::SERVICE_SENDING, &[name], sending);
    }
    of_limits(families, service);
    let mode = service.mode.at(now);
    let turned_away = read(&state.turned_away);
    let queues = limits.queue > 0 || *mode != Mode::Serve || service.waiting() > 0;
    if uses(service, Once::Queue, queues || turned_away > 0.0) {
        families.put(&declared::QUEUE_LENGTH, &[name], service.waiting() as f64);
        families.put(&declared::QUEUE_REFUSED, &[name], turned_away);
    }
    let number = match mode {
        Mode::Serve => 0.0,
        Mode::Hold { .. } => 1.0,
        Mode::Maintenance { .. } => 2.0,
    };
    families.put(&declared::MODE, &[name], number);
    let (retries, unaffordable) = state.budget.read();
    families.put(&declared::RETRIES, &[name], retries as f64);
    families.put(&declared::RETRIES_OVER_BUDGET, &[name], unaffordable as f64);
    let shed = state.shed.load(Ordering::Relaxed);
    if uses(service, Once::Shed, limits.are_any() || shed > 0) {
        families.put(&declared::SHED, &[name], shed as f64);
    }
    for (route, limiter) in service.limits.all() {
        let route = route.map(ToString::to_string).unwrap_or_default();
        families.put(&declared::RATE_LIMITED, &[name, &*route], read(&limiter.counts.refused));
    }
    for (flag, share) in service.flags.list() {
        families.put(&declared::FLAG_SHARE, &[name, &**flag], share.ratio());
    }
    of_fallbacks(families, service);
}

fn of_limits(families: &mut Families, service: &Service) {
    let limits = &service.stability.limits;
    for (limit, most) in [
        ("in_flight", limits.in_flight),
        ("uploads", limits.uploads),
        ("upstream_in_flight", limits.upstream_in_flight),
        ("queue", (limits.queue > 0).then_some(limits.queue as u32)),
    ] {
        if let Some(most) = most {
            let values = [&*service.name, limit];
            families.put(&declared::LIMIT_OF_SERVICE, &values, f64::from(most));
        }
    }
}

fn of_fallbacks(families: &mut Families, service: &Service) {
    let name = &*service.name;
    let (fallbacks, fallback) = (&service.state.fallbacks, &service.stability.fallback);
    for (what, does, kind, count) in [
        (Once::Stale, fallback.stale.is_some(), "stale", &fallbacks.stale),
        (Once::StandIn, fallback.pool.is_some(), "pool", &fallbacks.pool),
        (Once::Answer, fallback.answer.is_some(), "answer", &fallbacks.answer),
    ] {
        if uses(service, what, does || read(count) > 0.0) {
            families.put(&declared::FALLBACKS, &[name, kind], read(count));
        }
    }
    if let Some(kept) = service.stale.as_ref().map(|stale| stale.read()) {
        families.put(&declared::STALE_ENTRIES, &[name], kept.entries as f64);
        families.put(&declared::STALE_BYTES, &[name], kept.bytes as f64);
        families.put(&declared::STALE_RECORDING_BYTES, &[name], kept.recording as f64);
    }
}

pub(super) fn of_mirror(families: &mut Families, service: &Service, mirror: &Mirror) {
    let (name, pool) = (&*service.name, &*mirror.settings.to);
    let counts = mirror.state.read();
    for (result, count) in
        [("sent", counts.sent), ("dropped", counts.dropped), ("failed", counts.failed)]
    {
        families.put(&declared::MIRRORED, &[name, pool, result], count as f64);
    }
    if mirror.settings.compare.is_none() {
        return;
    }
    for kind in Kind::ALL {
        let count = counts.comparisons[kind as usize];
        families.put(&declared::COMPARISONS, &[name, pool, kind.name()], count as f64);
    }
}
