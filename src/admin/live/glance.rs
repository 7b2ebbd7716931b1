//! A service at a glance: the snapshot, its history and the state in; a row and what is wrong out.

use std::time::Duration;

use crate::admin::{Admin, wire};
use crate::balance::Member;
use crate::clock::{Moment, WallTime};
use crate::config::Severity;
use crate::orders::Report;
use crate::slo;
use crate::snapshot::{Pool, Service};
use crate::state::State;
use crate::upstream::{BreakerState, Conditions};

/// From these shares of failures on, in percent, a service has them among what is wrong.
const ERRORS: [(f64, Severity); 2] = [(5.0, Severity::High), (1.0, Severity::Medium)];

/// So few a second say nothing.
const FEWEST: f64 = 1.0;

/// For how long a rollout that was taken back is among what is wrong.
const LATELY: Duration = Duration::from_secs(60 * 60);

/// What a look at all services needs, found once.
pub(super) struct Look<'a> {
    pub admin: &'a Admin,
    pub state: &'a State,
    pub now: Moment,
    pub wall: WallTime,
}

impl Look<'_> {
    /// A service's row.
    pub fn glance(&self, service: &Service) -> wire::Glance {
        let well = self.well(service);
        let glance = self.without_wrong(service, &well);
        let mut found = self.wrong(service, &glance, &well);
        self.wrong_rollout(service, &glance, &mut found);
        wire::Glance { wrong: told(found), ..glance }
    }

    /// A service's row as far as nothing is found wrong; `well` is how many upstreams of each pool are.
    fn without_wrong(&self, service: &Service, well: &[usize]) -> wire::Glance {
        let rates = self.admin.history.rates(&service.name, service.revision);
        let requests: f64 = rates.values().map(|rate| rate.requests).sum();
        let failed: f64 = rates.values().map(|rate| rate.requests * rate.errors).sum();
        let errors = if requests > 0.0 { failed / requests * 100.0 } else { 0.0 };
        let took = (requests > 0.0).then(|| self.admin.history.lately(&service.name));
        let p99 = took.and_then(|took| took.quantile(0.99)).map(|took| short(took.as_secs_f64()));
        let pool = |pool: &Pool| wire::GlancePool {
            name: pool.name.to_string(),
            tag: pool.version.as_ref().and_then(|it| it.tag.as_ref()).map(ToString::to_string),
            weight: service.split.weight(&pool.name).percent(),
            measured: rates.get(&pool.name).and_then(|rate| rate.share).map(|it| short(it * 100.0)),
        };
        let members = service.pools.iter().flat_map(|pool| pool.members.list());
        let rollout = self.state.rollout(&service.name).map(|rollout| {
            let Report { rollout, status, .. } = Report::of(self.state, rollout, self.wall);
            wire::GlanceRollout {
                id: rollout.id,
                from: rollout.plan.from.to_string(),
                to: rollout.plan.to.to_string(),
                state: status.state.into(),
                status: status.words,
                share: status.share.percent(),
            }
        });
        wire::Glance {
            name: service.name.to_string(),
            revision: service.revision,
            mode: wire::Mode::of(service, self.now),
            pools: service.pools.iter().map(pool).collect(),
            requests_per_second: short(requests),
            errors: short(errors),
            p99,
            budget: wire::Budget::of(&service.state.standing()),
            rollout,
            upstreams: members.count(),
            well: well.iter().sum(),
            wrong: Vec::new(),
        }
    }

    /// How many upstreams of each pool take requests, in the order of its pools.
    fn well(&self, service: &Service) -> Vec<usize> {
        let is_well = |pool: &Pool, member: &Member| {
            let conditions = pool.conditions(member, &service.stability, self.now);
            member.target.is_some()
                && !conditions.any(KEPT_OUT)
                && member.upstream.breaker.state(self.now) == BreakerState::Closed
        };
        let of_pool =
            |pool: &Pool| pool.members.list().iter().filter(|member| is_well(pool, member)).count();
        service.pools.iter().map(of_pool).collect()
    }

    /// What is wrong with a service that is looked at closely: its rollout tells of itself there.
    pub fn wrong_but_rollout(&self, service: &Service) -> Vec<wire::Wrong> {
        let well = self.well(service);
        told(self.wrong(service, &self.without_wrong(service, &well), &well))
    }

    /// What is wrong with a service but for its rollout.
    fn wrong(
        &self,
        service: &Service,
        glance: &wire::Glance,
        well: &[usize],
    ) -> Vec<(Severity, String)> {
        let mut found = Vec::new();
        for (pool, &well) in service.pools.iter().zip(well) {
            let (share, name) = (service.split.weight(&pool.name).percent(), &pool.name);
            let all = pool.members.list().len();
            if share > 0.0 && well == 0 {
                found.push((
                    Severity::Critical,
                    format!("nobody of {name} is well, which gets {share} %"),
                ));
            } else if well < all {
                let severity = if share > 0.0 { Severity::Medium } else { Severity::Low };
                found.push((
                    severity,
                    format!("{} of {all} upstreams of {name} are not well", all - well),
                ));
            }
            if share > 0.0 && pool.state.breaker.state(self.now) == BreakerState::Open {
                found.push((Severity::High, format!("the circuit breaker of {name} is open")));
            }
        }
        let of_errors = ERRORS.iter().find(|(least, _)| glance.errors >= *least);
        if let Some((_, severity)) = of_errors.filter(|_| glance.requests_per_second >= FEWEST) {
            found.push((*severity, format!("{} % of requests fail", glance.errors)));
        }
        match glance.mode {
            wire::Mode::Serve => {}
            wire::Mode::Hold => {
                let waiting = service.waiting();
                found.push((Severity::High, format!("requests are held, {waiting} wait")));
            }
            wire::Mode::Maintenance => found.push((Severity::High, "in maintenance".into())),
        }
        let standing = service.state.standing();
        let severity = match standing.state() {
            slo::State::Open => None,
            slo::State::Caution => Some(Severity::Low),
            slo::State::Hold => Some(Severity::High),
            slo::State::Frozen => Some(Severity::Medium),
        };
        if let (Some(severity), Some(why)) = (severity, standing.why()) {
            found.push((severity, format!("rollouts: {why}")));
        }
        if service.state.checked().is_some_and(|tally| tally.is_broken()) {
            found.push((
                Severity::Medium,
                "the judge takes back what is as good as the rest".into(),
            ));
        }
        found
    }

    /// A rollout that waits for somebody, or was taken back not long ago.
    fn wrong_rollout(
        &self,
        service: &Service,
        glance: &wire::Glance,
        found: &mut Vec<(Severity, String)>,
    ) {
        if let Some(rollout) = &glance.rollout {
            if rollout.state == "paused" {
                let what = format!("the rollout to {} waits: {}", rollout.to, rollout.status);
                found.push((Severity::Medium, what));
            }
            return;
        }
        let last = self.state.past_rollouts(&service.name).next();
        let ended = last.and_then(|last| last.ended.as_ref());
        let is_new = |at: &WallTime| self.wall.elapsed_since(*at) < LATELY;
        let (Some(last), true) = (last, ended.is_some_and(|(_, at)| is_new(at))) else { return };
        let status = Report::of(self.state, last, self.wall).status;
        if ["rolled-back", "failed"].contains(&status.state) {
            let what = format!("the rollout to {}: {}", last.plan.to, status.words);
            found.push((Severity::Low, what));
        }
    }
}

/// The worst first; of those that matter as much the order stays.
fn told(mut found: Vec<(Severity, String)>) -> Vec<wire::Wrong> {
    found.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    let wrong = |(severity, what): (Severity, String)| wire::Wrong {
        severity: severity.name().into(),
        what,
    };
    found.into_iter().map(wrong).collect()
}

/// What keeps an upstream from requests.
const KEPT_OUT: Conditions = Conditions::DRAINING
    .with(Conditions::ADVISED_DRAIN)
    .with(Conditions::UNPROVEN)
    .with(Conditions::DOWN)
    .with(Conditions::REFUSING)
    .with(Conditions::EJECTED)
    .with(Conditions::FAILING);

/// To three figures: what is shown at a glance, and what is not sent again while it hardly moves.
pub(super) fn short(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return 0.0;
    }
    let places = 2.0 - number.abs().log10().floor();
    let scale = 10f64.powf(places);
    // 1e3 and not 1e-3 times: what is whole stays whole.
    if places >= 0.0 {
        (number * scale).round() / scale
    } else {
        (number / 10f64.powf(-places)).round() * 10f64.powf(-places)
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn three_figures_are_kept() {
        let all = [0.0, 0.001_234_5, 0.999_9, 12.345, 999.6, 123_456.0, f64::NAN];
        assert_eq!(all.map(short), [0.0, 0.001_23, 1.0, 12.3, 1_000.0, 123_000.0, 0.0]);
    }
}
