//! What a rollout's ledger is told of a request: where the split sent it, how its attempts there
//! ended, and a few of those that failed on the target.
//!
//! A request of a service without a rollout costs one look at an option.

use std::sync::Arc;
use std::time::Duration;

use super::Exchange;
use super::phases::Sent;
use crate::http::failure::Cause;
use crate::http::grpc::GrpcStatus;
use crate::http::hop_by_hop::METRIC;
use crate::http::list;
use crate::http::view::View;
use crate::judge::ledger::{Account, Failing, Ledger, Noted};
use crate::judge::{Ending, Fault, Watched};
use crate::route::Facts;
use crate::snapshot::{By, Choice, Stratum};
use crate::upstream::Outcome;

/// An attempt that is over.
#[derive(Debug)]
pub(super) struct Over {
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub took: Duration,
    pub grpc: Option<GrpcStatus>,
    /// A bit for each metric that its head raised.
    pub metrics: u8,
    /// The upstream's name, if a sample is wanted.
    pub upstream: Option<Arc<str>>,
}

impl Exchange {
    fn watched(&self, service: usize) -> Option<&Watched> {
        self.snapshot.services[service].watched.as_ref()
    }

    /// The account of the pool that the split gave the request to; none for what says nothing of
    /// it.
    fn account(&self, decision: &Choice) -> Option<(&Ledger, &Account)> {
        let watched = self.watched(decision.service)?;
        let by_split = matches!(decision.by, By::Cohort(_) | By::Draw);
        // What the stable pool does for a canary is not its own.
        let is_own = self.pool.is_none_or(|(_, pool)| pool == decision.pool);
        let account = watched.account(decision.pool).filter(|_| by_split && is_own)?;
        Some((&watched.ledger, account))
    }

    /// The split sends the request to a pool.
    pub(super) fn note_arrival(&self, decision: &Choice) {
        if let Some((_, account)) = self.account(decision) {
            account.arrive(decision.user);
        }
    }

    /// The metrics that the head of an answer raises, where somebody wants to know.
    pub(super) fn read_metrics(&self, view: View<'_>) -> u8 {
        let watched = self.decision.and_then(|decision| self.watched(decision.service));
        let Some(watched) = watched else { return 0 };
        let names = &watched.ledger.metrics;
        if names.is_empty() {
            return 0;
        }
        let metric = METRIC;
        let said = view.all(&metric).flat_map(list::members).filter_map(list::directive);
        let bit = |(name, value): (&[u8], Option<&[u8]>)| {
            let place = names.iter().position(|known| known.as_bytes() == name)?;
            (value? != b"0").then_some(1 << place)
        };
        said.filter_map(bit).fold(0, |bits, bit: u8| bits | bit)
    }

    /// Whether a failure of this attempt would be kept as a sample.
    pub(super) fn wants_sample(&self, decision: &Choice) -> bool {
        let watched = self.watched(decision.service);
        self.failing.is_none()
            && watched.is_some_and(|w| w.target == decision.pool && w.ledger.sample.wants())
    }

    /// An attempt is over.
    pub(super) fn note_attempt(&mut self, decision: &Choice, over: Over) {
        let Some((ledger, account)) = self.account(decision) else { return };
        let ending = match (over.outcome, over.status) {
            (Outcome::ClientGone, _) => return,
            (Outcome::Failed, _) => Ending::Fault(fault(self.cause)),
            (Outcome::Status(_), status) => {
                let grpc = over.grpc.map(GrpcStatus::code);
                Ending::Answer { status: status.unwrap_or_default(), grpc }
            }
        };
        let is_bad = ledger.errors.count(ending);
        account.note(Noted {
            user: decision.user,
            stratum: decision.stratum.place(),
            is_bad,
            is_extra: ledger.extra.is_some_and(|extra| extra.count(ending)),
            metrics: over.metrics,
        });
        if is_bad && let Some(upstream) = over.upstream {
            self.failing = Some(Box::new(Failing {
                at: self.clock.wall_time(),
                method: String::new(),
                path: String::new(),
                headers: Vec::new(),
                request_id: self.request_id.to_str().unwrap_or_default().into(),
                upstream: upstream.to_string(),
                ending: words(ending),
                took_ms: over.took.as_secs_f64() * 1e3,
            }));
        }
    }

    /// Nobody of the pool that the split gave the request to could be asked.
    pub(super) fn note_refusal(&self, facts: &Facts<'_>, (service, pool): (usize, usize)) {
        let Some(watched) = self.watched(service) else { return };
        if self.snapshot.services[service].named(facts).is_some() {
            return;
        }
        let Some(account) = watched.account(pool) else { return };
        let is_bad = watched.ledger.errors.count(Ending::Fault(Fault::NoUpstream));
        let stratum = Stratum::OTHER.place();
        account.arrive(None);
        account.note(Noted { stratum, is_bad, ..Noted::default() });
    }

    /// At the end of a request, what it had said: kept if it is one of those wanted.
    pub(super) fn describe(&mut self, request: &Sent<'_>) {
        let Some(mut failing) = self.failing.take() else { return };
        let watched = self.pool.and_then(|(service, _)| self.watched(service));
        if let Some(watched) = watched {
            failing.describe(request.method, request.path_and_query, request.view);
            watched.ledger.sample.keep(*failing);
        }
    }
}

fn fault(cause: Option<Cause>) -> Fault {
    match cause {
        Some(Cause::Connect) => Fault::Connect,
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
