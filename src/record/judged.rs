//! What a rollout's ledger is told of a request that is over: how its attempts on both pools ended,
//! and what the first of those that failed on the target had said.
//!
//! What the split sends where is counted when it does (`Account::arrive`): at a request's end
//! another step may have begun.

use std::sync::atomic::Ordering;

use super::{Attempt, Record};
use crate::clock::{Clock, Moment};
use crate::http::failure::Cause;
use crate::http::grpc::GrpcStatus;
use crate::judge::ledger::{Failing, Noted};
use crate::judge::{Ending, Errors, Fault, Watched};
use crate::snapshot::{Service, Snapshot, Stratum};
use crate::upstream::Outcome;

/// Tells the ledger of this service's rollout.
pub(super) fn tell(
    record: &Record<'_>,
    service: &Service,
    watched: &Watched,
    snapshot: &Snapshot,
    clock: &Clock,
) {
    refused(record, service, watched);
    let ledger = &watched.ledger;
    let mut wants_sample = ledger.sample.wants();
    for attempt in record.noted.attempts.iter().filter(|attempt| attempt.is_judged) {
        let Some(account) = watched.account(attempt.pool) else { continue };
        let Some(ending) = ending(attempt) else { continue };
        let is_bad = ledger.errors.count(ending);
        if is_bad && is_one_clients(record, attempt, service, watched, snapshot.moment(clock.now()))
        {
            service.pools[attempt.pool].state.left_out.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let upstream = &service.pools[attempt.pool].members.list()[attempt.member].upstream;
        upstream.judged.count(is_bad);
        account.note(Noted {
            user: record.noted.user,
            stratum: record.noted.stratum.place(),
            is_bad,
            is_extra: ledger.extra.is_some_and(|extra| extra.count(ending)),
            metrics: attempt.metrics,
        });
        if is_bad && wants_sample && attempt.pool == watched.target {
            wants_sample = false;
            let ago = snapshot.moment(clock.now()).elapsed_since(attempt.done);
            let mut failing = Failing {
                at: clock.wall_time() - ago,
                method: String::new(),
                path: String::new(),
                headers: Vec::new(),
                request_id: String::from_utf8_lossy(record.request_id).into_owned(),
                upstream: upstream.name.to_string(),
                ending: words(ending),
                took_ms: attempt.took().as_secs_f64() * 1e3,
            };
            let said = &record.said;
            said.view.into_iter().for_each(|view| failing.describe(said.method, said.target, view));
            ledger.sample.keep(failing);
        }
    }
}

/// Counts for the upstreams that no rollout watches what is bad by the words of the file: what is known of a
/// stable pool before a rollout is to be of the same kind as what is judged in it.
pub(super) fn count(record: &Record<'_>, service: &Service, errors: &Errors) {
    let is_watched =
        |pool| service.watched.as_ref().is_some_and(|watched| watched.account(pool).is_some());
    let attempts = record.noted.attempts.iter();
    for attempt in attempts.filter(|attempt| attempt.is_judged && !is_watched(attempt.pool)) {
        let Some(ending) = ending(attempt) else { continue };
        let member = &service.pools[attempt.pool].members.list()[attempt.member];
        member.upstream.judged.count(errors.count(ending));
    }
    let refused = record.noted.refused_by.filter(|pool| !is_watched(*pool));
    let first = refused.and_then(|pool| service.pools[pool].members.list().first());
    if let Some(first) = first {
        first.upstream.judged.count(errors.count(Ending::Fault(Fault::NoUpstream)));
    }
}

/// Whether a failure says nothing of its version: its client brings it about on both. It does if the
/// same request failed in the same way when the stable pool was asked too; or if others contradict it,
/// and the client failed in the same way on the other pool within ten seconds. Without others to
/// contradict, a version that fails at everything beside an old one that fails now and then would look
/// like that as well.
fn is_one_clients(
    record: &Record<'_>,
    attempt: &Attempt,
    service: &Service,
    watched: &Watched,
    now: Moment,
) -> bool {
    let (way, is_targets) = (attempt.way(), attempt.pool == watched.target);
    if watched.stable == watched.target {
        return false;
    }
    let repeats = record.noted.attempts.iter().filter(|other| other.pool == watched.stable);
    if is_targets && repeats.map(Attempt::way).any(|repeated| repeated == way) {
        return true;
    }
    let other = if is_targets { watched.stable } else { watched.target };
    let failing = &service.pools[other].state.failing_keys;
    attempt.is_withheld && {
        let known = failing.known((record.noted.client_key(), way), now);
        // What the old version is spared, the new one has to be spared too.
        known.has_failed && (is_targets || known.was_withheld)
    }
}

/// Nobody of the pool that the split gave the request to could be asked: as bad as an attempt that
/// failed.
fn refused(record: &Record<'_>, service: &Service, watched: &Watched) {
    let Some(pool) = record.noted.refused_by else { return };
    let Some(account) = watched.account(pool) else { return };
    let is_bad = watched.ledger.errors.count(Ending::Fault(Fault::NoUpstream));
    // It has to be somebody's: with one upstream, it is that one's.
    if let Some(first) = service.pools[pool].members.list().first() {
        first.upstream.judged.count(is_bad);
    }
    account.arrive(None);
    account.note(Noted { stratum: Stratum::OTHER.place(), is_bad, ..Noted::default() });
}

/// How an attempt ended; none if its client left before anybody could know.
fn ending(attempt: &Attempt) -> Option<Ending> {
    match attempt.held {
        Outcome::ClientGone => None,
        Outcome::Failed => Some(Ending::Fault(fault(attempt.cause))),
        Outcome::Status(_) => {
            let grpc = attempt.grpc.map(GrpcStatus::code);
            Some(Ending::Answer { status: attempt.status.unwrap_or_default(), grpc })
        }
    }
}

fn fault(cause: Option<Cause>) -> Fault {
    match cause {
        Some(Cause::Connect | Cause::UpstreamTls) => Fault::Connect,
        Some(Cause::Reset) => Fault::Reset,
        Some(Cause::BadResponse) => Fault::BadResponse,
        // A client that gave up on a silent upstream is a time-out too.
        _ => Fault::Timeout,
    }
}

fn words(ending: Ending) -> String {
    match ending {
        Ending::Fault(fault) => fault.name().into(),
        Ending::Answer { status, grpc: None } => status.to_string(),
        Ending::Answer { status, grpc: Some(code) } => format!("{status}, grpc-status {code}"),
    }
}
