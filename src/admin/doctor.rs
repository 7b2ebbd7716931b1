//! What is in place for production and what is missing: nothing in, one finding for each check out.

use std::path::Path;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use tokio::task::spawn_blocking;

use super::answer::Answer;
use super::{Admin, wire};
use crate::aa;
use crate::clock::WallTime;
use crate::config::{AccessLog, LogPlace};
use crate::doctor::{Facts, Good, Judged, Notified, PoolLoad, Running, ServiceFacts, diagnose};
use crate::observe::{NotifyTally, machine};
use crate::rollout::Outcome;
use crate::snapshot::{Service, Snapshot};
use crate::split::BasisPoints;
use crate::state;

/// What is in place for production, what is missing and what mends it, as far as the proxy itself sees it.
#[utoipa::path(get, path = "/v1/doctor", tag = "process",
    responses((status = 200, description = "A finding for each check", body = wire::Diagnosis)))]
pub async fn show(State(admin): State<Admin>) -> Answer {
    // It asks the kernel about disks, which may be slow to answer.
    match spawn_blocking(move || diagnosed(&admin)).await {
        Ok(diagnosis) => Ok(Json(diagnosis).into_response()),
        Err(_) => Err(super::answer::strange()),
    }
}

fn diagnosed(admin: &Admin) -> wire::Diagnosis {
    let snapshot = admin.published.load();
    let config = &*snapshot.config;
    let state_dir = admin.process.state_dir();
    let log = config.server.access_log.as_deref().and_then(log_folder);
    let folders = state_dir.map(|folder| ("what is remembered", folder)).into_iter();
    let folders: Vec<(&'static str, &Path)> =
        folders.chain(log.map(|folder| ("the access log", folder))).collect();
    let facts = Facts {
        now: admin.clock.wall_time(),
        config: Some(config),
        certificates: Some(certificates(admin, &snapshot)),
        process: Some(machine::look(&folders)),
        running: Some(running(admin, &snapshot)),
        ..Facts::default()
    };
    wire::Diagnosis::of(&facts, &diagnose(&facts))
}

/// Where the access log is, if that is a file.
fn log_folder(log: &AccessLog) -> Option<&Path> {
    match &log.to {
        LogPlace::File(file) => file.parent(),
        _ => None,
    }
}

fn certificates(admin: &Admin, snapshot: &Snapshot) -> Vec<Good> {
    let files = snapshot.config.certificates.pairs();
    let files = files
        .map(|(file, pair)| Good { name: file.display().to_string(), until: pair.about.until });
    let ordered = admin.process.ordered().map(|ordered| ordered.list()).unwrap_or_default();
    let ordered = ordered
        .iter()
        .map(|ordered| Good { name: ordered.name(), until: ordered.pair.about.until });
    files.chain(ordered).collect()
}

fn running(admin: &Admin, snapshot: &Snapshot) -> Running {
    let (gauges, wall) = (admin.process.gauges(), admin.clock.wall_time());
    let state = admin.state.borrow().clone();
    let notified = |tally: &NotifyTally| Notified {
        name: tally.name.to_string(),
        sent: tally.sent.load(Ordering::Relaxed),
        failed: tally.failed.load(Ordering::Relaxed),
        dropped: tally.dropped.load(Ordering::Relaxed),
    };
    let services = snapshot.services.iter();
    Running {
        is_store_writable: gauges.is_store_writable,
        has_store: admin.process.state_dir().is_some(),
        refused: admin.process.refused(),
        waits_for_reload: gauges.waits_for_reload,
        notified: admin.process.notify_targets().iter().map(|tally| notified(tally)).collect(),
        services: services.map(|service| of_service(admin, service, &state, wall)).collect(),
    }
}

fn of_service(
    admin: &Admin,
    service: &Service,
    state: &state::State,
    wall: WallTime,
) -> ServiceFacts {
    let capacity = admin.history.capacity(service, wall);
    let pools = service.pools.iter().zip(&capacity.pools);
    let pools = pools.filter(|(pool, _)| service.split.weight(&pool.name) > BasisPoints::NONE);
    ServiceFacts {
        name: service.name.to_string(),
        taken_back: taken_back(state, &service.name),
        judged: judged(service),
        pools: pools
            .map(|(pool, (_, report))| PoolLoad {
                name: pool.name.to_string(),
                upstreams: pool.members.list().len(),
                room_at_peak: report.room_at_peak(),
            })
            .collect(),
    }
}

/// When traffic was taken back last, as far as is remembered.
fn taken_back(state: &state::State, service: &str) -> Option<WallTime> {
    let by_hand = state.history(service).find(|revision| revision.is_back);
    let by_hand = by_hand.map(|revision| WallTime::from_millis((revision.at * 1e3) as u64));
    let ended = state.past_rollouts(service).filter_map(|rollout| match &rollout.ended {
        Some((Outcome::RolledBack { .. } | Outcome::Aborted { .. }, at)) => Some(*at),
        _ => None,
    });
    ended.chain(by_hand).max()
}

fn judged(service: &Service) -> Judged {
    let Some(tally) = service.state.checked() else { return Judged::Not };
    let words = tally.words();
    match tally.counts().total {
        _ if tally.is_broken() => Judged::Broken(words),
        aa::ENOUGH.. => Judged::Keeps(words),
        _ => Judged::TooFew(words),
    }
}
