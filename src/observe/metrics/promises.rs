//! What is said of a service's releases and of what it promises.

use super::super::RolloutTally;
use super::super::declared;
use super::super::families::Families;
use super::{Once, uses};
use crate::http::failure::Cause;
use crate::rollout::Outcome;
use crate::slo;
use crate::snapshot::Service;

pub(super) fn of_rollouts(families: &mut Families, service: &Service, tally: &RolloutTally) {
    let does = tally.under_way.is_some() || !tally.ended.is_empty();
    if !uses(service, Once::Rollouts, does) {
        return;
    }
    let name = &*service.name;
    let stand = tally.under_way.as_ref();
    let deploys = !tally.deploys.is_empty() || stand.is_some_and(|stand| stand.is_deploy);
    let deploys = uses(service, Once::Deploys, deploys);
    for outcome in Outcome::NAMES {
        let count = tally.ended.get(outcome).copied().unwrap_or_default();
        families.put(&declared::ROLLOUTS_ENDED, &[name, outcome], count as f64);
        if deploys {
            let count = tally.deploys.get(outcome).copied().unwrap_or_default();
            families.put(&declared::DEPLOYS_ENDED, &[name, outcome], count as f64);
        }
    }
    let state = stand.map_or(0.0, |stand| if stand.state == "paused" { 2.0 } else { 1.0 });
    families.put(&declared::ROLLOUT_STATE, &[name], state);
    families.put(&declared::ROLLOUT_STEP, &[name], stand.map_or(0.0, |stand| stand.step as f64));
    families.put(&declared::ROLLOUT_STEPS, &[name], stand.map_or(0.0, |stand| stand.steps as f64));
    families.put(&declared::ROLLOUT_SHARE, &[name], stand.map_or(0.0, |stand| stand.share));
}

/// What came of the judge's A/A check.
pub(super) fn of_check(families: &mut Families, service: &Service) {
    let Some(tally) = service.state.checked() else { return };
    let (name, counts) = (&*service.name, tally.counts());
    families.put(&declared::AA_TRIALS, &[name], counts.total as f64);
    let ratio = if counts.total == 0 { f64::NAN } else { counts.ratio() };
    families.put(&declared::AA_TAKEN_BACK, &[name], ratio);
}

/// What its objectives came to, as the controller found last.
pub(super) fn of_slo(families: &mut Families, service: &Service) {
    let standing = service.state.standing();
    let does = !standing.objectives.is_empty() || standing.freeze.is_some();
    if !uses(service, Once::Slo, does) {
        return;
    }
    let name = &*service.name;
    let state = slo::State::ALL.iter().position(|state| *state == standing.state());
    families.put(&declared::SLO_STATE, &[name], state.unwrap_or_default() as f64);
    let (one_client, other) = service.state.slo.causes();
    for (cause, count) in [(Cause::OneClient.reason(), one_client), ("other", other)] {
        families.put(&declared::SLO_FAILED, &[name, cause], count as f64);
    }
    for shown in &standing.objectives {
        let objective = shown.objective.name();
        let remaining = shown.reading.remaining;
        families.put(&declared::SLO_REMAINING, &[name, objective], remaining);
        for (span, burn) in slo::Span::ALL.iter().zip(shown.reading.burns) {
            families.put(&declared::SLO_BURN_RATE, &[name, objective, span.name()], burn);
        }
        let counts = service.state.slo.read(&shown.objective);
        families.put(&declared::SLO_REQUESTS, &[name, objective], counts.total as f64);
        families.put(&declared::SLO_BAD, &[name, objective], counts.bad as f64);
    }
}
