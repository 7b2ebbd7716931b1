//! What a plan meets: what was said, or recorded, of traffic and of both versions in, a scenario out.

use std::time::Duration;

use anyhow::Context;

use super::planned::Planned;
use super::recording::{Recording, upstreams_of_each};
use super::values::CanaryLatency;
use super::{Rehearse, words};
use crate::rehearsal::{Behaviour, Crowd, Scenario, Traffic, World};

/// Requests a second, and the share of them that fails, if nobody says.
const RATE: f64 = 500.0;
const ERRORS: f64 = 0.001;

/// How often a user asks whom nobody has counted: once in so many seconds.
const USER_ASKS: f64 = 20.0;

impl Rehearse {
    /// What the plan meets; what is supposed goes to the notes.
    pub(super) fn scenario(
        &self,
        planned: &Planned,
        recording: Option<&Recording>,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Scenario> {
        let recorded = recording.map(|recording| recording.recorded.clone());
        let traffic = match &self.profile {
            None => {
                let rate = recorded.as_ref().map(|recorded| recorded.rate());
                Traffic::steady(rate.or(self.rps).unwrap_or(RATE)).context("no such rate")?
            }
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Traffic::parse(&text).with_context(|| path.display().to_string())?
            }
        };
        let stable = Behaviour {
            // Of what was recorded, what a canary fails more is asked for.
            errors: if recorded.is_some() { 0.0 } else { self.baseline_errors.unwrap_or(ERRORS) },
            latency: self.baseline_latency.unwrap_or_default(),
        };
        let canary = Behaviour {
            errors: self.canary_errors.unwrap_or(stable.errors),
            latency: match self.canary_latency {
                None => stable.latency,
                Some(CanaryLatency::Of(latency)) => latency,
                Some(CanaryLatency::Times(factor)) => {
                    stable.latency.times(factor).context("the canary's latency is out of range")?
                }
            },
        };
        let crowd = match (self.users, planned.is_sticky) {
            (Some(users), _) => {
                let broken = self.broken_users.unwrap_or_default();
                Some(Crowd { broken, ..Crowd::of(users) })
            }
            (None, true) if recorded.is_some() => {
                notes.push(
                    "clients keep to their side, but requests are counted: nobody has \
                            recorded who asked"
                        .into(),
                );
                None
            }
            (None, true) => {
                let users = (traffic.peak() * USER_ASKS).clamp(100.0, 200_000.0) as u32;
                let users_told = words::grouped(u64::from(users));
                notes.push(format!(
                    "clients keep to their side: {users_told} users are supposed, --users says \
                     another number"
                ));
                Some(Crowd::of(users))
            }
            (None, false) => None,
        };
        let share = planned.plan.judging.settings.budget_share;
        let rate = traffic.at(Duration::ZERO);
        let budget = planned.slo.as_ref().and_then(|slo| slo.bears(share, rate));
        Ok(Scenario {
            plan: planned.plan.clone(),
            traffic,
            stable,
            canary,
            after: self.after.unwrap_or_default(),
            crowd,
            upstreams: match &recorded {
                Some(recorded) => upstreams_of_each(recorded, planned.upstreams[1]),
                None => self.upstreams.unwrap_or(planned.upstreams),
            },
            budget,
            world: self.world(),
            recorded,
        })
    }

    fn world(&self) -> World {
        World {
            stalls: self.stalls,
            shared: self.shared,
            pauses: self.pauses,
            restarts: self.restart_canary,
            cold: self.cold,
            watched: None,
        }
    }
}
