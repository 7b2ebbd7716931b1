//! What came to the clients of services: totals that are kept anyway in, what an incident counts out.
//!
//! Nothing is measured for this. Each second the totals of all pools are read once; so it is known when
//! requests began to fail before anybody opened an incident, and an incident that is opened then counts
//! from there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::rollouts::Watched;
use crate::clock::WallTime;
use crate::incident::Reading;
use crate::snapshot::{Service, Snapshot};
use crate::upstream::TallyReading;

/// After so long without a failure what fails next begins something new.
const QUIET: Duration = Duration::from_secs(5 * 60);

/// How far back a first failure may lie: where a few requests always fail, there is none.
const MARKS: usize = 30;

/// How far apart it is noted what had come until then.
const BETWEEN: Duration = Duration::from_secs(60);

/// What came to the clients of all services since the process began.
#[derive(Debug, Default)]
pub(super) struct Impacts {
    services: BTreeMap<Arc<str>, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The totals when they were read last; pools that go take theirs with them.
    raw: Raw,
    /// What came since the first look.
    came: Reading,
    /// The rollout that users were counted of last, and how many.
    users: Option<(u64, u64)>,
    /// What was left of its scarcest error budget.
    left: Option<f64>,
    run: Option<Run>,
}

/// Requests that fail since a while.
#[derive(Debug)]
struct Run {
    last: WallTime,
    /// The first failure, then about one a minute.
    marks: VecDeque<Mark>,
}

/// What had come at some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// When.
    pub at: WallTime,
    /// What had come until then.
    pub came: Reading,
    /// What was left of the scarcest error budget then, 0 to 1; none without any.
    pub left: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Raw {
    requests: u64,
    failed: u64,
}

impl Raw {
    fn of(service: &Service) -> Raw {
        let pools = service.pools.iter().map(|pool| &pool.state.tally);
        let all = pools.chain([&service.state.closed]).map(|tally| Raw::read(&tally.read()));
        all.fold(Raw::default(), |sum, one| Raw {
            requests: sum.requests + one.requests,
            failed: sum.failed + one.failed,
        })
    }

    /// Who left has got no answer, and has not waited for one.
    fn read(tally: &TallyReading) -> Raw {
        Raw { requests: tally.answers() + tally.errors(), failed: tally.errors() }
    }

    fn since(self, before: Raw) -> Reading {
        Reading {
            requests: self.requests.saturating_sub(before.requests),
            failed: self.failed.saturating_sub(before.failed),
            users: 0,
        }
    }
}

impl Impacts {
    /// Looks at all services; once a second.
    pub fn look(
        &mut self,
        snapshot: &Snapshot,
        watched: &BTreeMap<Arc<str>, Watched>,
        now: WallTime,
    ) {
        self.services.retain(|name, _| snapshot.service(name).is_some());
        for service in &snapshot.services {
            let raw = Raw::of(service);
            let watched = watched.get(&service.name);
            match self.services.get_mut(&service.name) {
                Some(seen) => seen.look(raw, watched, left(service), now),
                None => {
                    let seen =
                        Seen { raw, users: users(watched), left: left(service), ..Seen::default() };
                    self.services.insert(service.name.clone(), seen);
                }
            }
        }
    }

    /// What came to a service's clients up to now; none for one that was not looked at yet.
    pub fn reading(&self, snapshot: &Snapshot, service: &str) -> Option<Reading> {
        let seen = self.services.get(service)?;
        let more = snapshot.service(service).map(|service| Raw::of(service).since(seen.raw));
        Some(seen.came.and(more.unwrap_or_default()))
    }

    /// When a service's requests began to fail, if they do, and what had come until then.
    pub fn first_failure(&self, service: &str, now: WallTime) -> Option<Mark> {
        let run = self.services.get(service)?.run.as_ref()?;
        let goes_on = now.elapsed_since(run.last) < QUIET;
        run.marks.front().copied().filter(|_| goes_on)
    }
}

impl Seen {
    fn look(&mut self, raw: Raw, watched: Option<&Watched>, left: Option<f64>, now: WallTime) {
        let before = Mark { at: now, came: self.came, left: self.left.or(left) };
        let mut more = raw.since(self.raw);
        let known = users(watched);
        more.users = match (known, self.users) {
            // With a new step they are counted anew.
            (Some((id, now)), Some((before, had))) if id == before && now >= had => now - had,
            (Some((_, now)), _) => now,
            (None, _) => 0,
        };
        (self.raw, self.came, self.users) = (raw, self.came.and(more), known.or(self.users));
        self.left = left;
        if more.failed == 0 {
            return;
        }
        let run = self.run.take().filter(|run| now.elapsed_since(run.last) < QUIET);
        let mut run = run.unwrap_or_else(|| Run { last: now, marks: [before].into() });
        run.last = now;
        if run.marks.back().is_none_or(|last| now.elapsed_since(last.at) >= BETWEEN) {
            run.marks.push_back(before);
            if run.marks.len() > MARKS {
                run.marks.pop_front();
            }
        }
        self.run = Some(run);
    }
}

/// What is left of a service's scarcest error budget, as was found a moment ago.
fn left(service: &Service) -> Option<f64> {
    service.slo.as_ref()?;
    service.state.standing().scarcest().map(|shown| shown.reading.remaining)
}

/// The rollout under way, and for how many users something has failed in its step.
fn users(watched: Option<&Watched>) -> Option<(u64, u64)> {
    let watched = watched?;
    let ledger = watched.observing.ledger();
    let failed = [ledger.stable.failed_users()?, ledger.target.failed_users()?];
    Some((watched.id, failed.iter().sum()))
}
