//! What a rehearsal meets, for people: a scenario in, the words of its traffic, of both versions and of what goes
//! wrong out.

use std::time::Duration;

use super::Rehearse;
use super::recording::recorded_words;
use super::words::{grouped, share_of, short};
use crate::clock::in_words;
use crate::rehearsal::{Behaviour, Cold, Lasts, Pauses, Restarts, Scenario, Stalls, World};

impl Rehearse {
    /// How much comes, of whom.
    pub(super) fn traffic_words(&self, scenario: &Scenario) -> String {
        let rate = match &self.profile {
            Some(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                format!("traffic as in {}", name.display())
            }
            None if scenario.recorded.is_some() => {
                format!("{:.1} requests/s as recorded", scenario.traffic.at(Duration::ZERO))
            }
            None => format!("{} requests/s", scenario.traffic.at(Duration::ZERO)),
        };
        match scenario.crowd {
            Some(crowd) => {
                let users = grouped(u64::from(crowd.users));
                let plural = if crowd.users == 1 { "" } else { "s" };
                let broken = match crowd.broken > 0.0 {
                    true => format!(", {} of them broken", share_of(crowd.broken)),
                    false => String::new(),
                };
                format!("{rate} of {users} user{plural}{broken}")
            }
            None => rate,
        }
    }

    /// How both versions behave.
    pub(super) fn behaviour_words(&self, scenario: &Scenario) -> String {
        let errors = |of: Behaviour| share_of(of.errors);
        let latency = |of: Behaviour| {
            let (p50, p99) = of.latency.quantiles();
            format!("p50 {} p99 {}", short(p50), short(p99))
        };
        if let Some(recorded) = &scenario.recorded {
            return recorded_words(scenario, recorded);
        }
        let Scenario { stable, canary, after, .. } = *scenario;
        let beside = |one: String, other: String| match one == other {
            true => one,
            false => format!("{one} → {other}"),
        };
        let errors = beside(errors(stable), errors(canary));
        let latency = beside(latency(stable), latency(canary));
        let later = match after.is_zero() {
            true => String::new(),
            false => format!(", from {} on", in_words(after)),
        };
        let wrong = world_words(scenario);
        format!("errors {errors}, latency {latency}{later}{wrong}")
    }
}

/// What goes wrong, a line each.
fn world_words(scenario: &Scenario) -> String {
    let World { stalls, shared, pauses, restarts, cold, .. } = scenario.world;
    let lasts = |lasts: Lasts| match lasts {
        Lasts::Exactly(time) => in_words(time),
        Lasts::About(time) => format!("about {}", in_words(time)),
    };
    let stalled = |who: &str, Stalls { every, share, lasts: time }: Stalls| {
        let share = match share {
            [least, most] if least == most => share_of(most),
            [least, most] => format!("{} to {}", share_of(least), share_of(most)),
        };
        format!(
            "{who} fails {share} of its requests for {} about every {}",
            lasts(time),
            in_words(every)
        )
    };
    let mut lines = Vec::new();
    if scenario.upstreams != [1, 1] {
        let [stable, canary] = scenario.upstreams;
        lines.push(format!("upstreams: {stable} of the old version, {canary} of the new one"));
    }
    lines.extend(stalls.map(|stalls| stalled("each upstream", stalls)));
    lines.extend(shared.map(|shared| stalled("everything together", shared)));
    lines.extend(pauses.map(|Pauses { every, lasts: time }| {
        format!("each upstream stands still for {} about every {}", lasts(time), in_words(every))
    }));
    lines.extend(restarts.map(|Restarts { at, lasts, every }| {
        let again = every.map(|every| format!(" and every {} from then on", in_words(every)));
        format!(
            "the new version is away for {} after {}{}",
            in_words(lasts),
            in_words(at),
            again.unwrap_or_default()
        )
    }));
    lines.extend(cold.map(|Cold { factor, lasts }| {
        format!("the new version takes {factor} times as long at first, for {}", in_words(lasts))
    }));
    lines.into_iter().map(|line| format!("\n{line}")).collect()
}
