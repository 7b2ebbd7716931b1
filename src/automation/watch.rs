//! Since when the condition of each rule holds, place by place: readings once a second in, what has
//! held long enough or is over out.
//!
//! It lives as long as the process: after a restart a condition has to last again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Place, Rule, When};

/// How far back it is counted how often an upstream went down.
const DOWNS_WITHIN: Duration = Duration::from_secs(60 * 60);

/// How many of these are kept: no rule asks for more.
const DOWNS_KEPT: usize = 100;

/// What a rule sees at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Where.
    pub place: Place,
    /// Whether its condition holds; of one that counts, whether it does but for the count.
    pub holds: bool,
    /// What is seen, in words.
    pub told: String,
}

/// What a rule sees at one place, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Where.
    pub place: Place,
    /// Whether its condition has held for as long as it must.
    pub fires: bool,
    /// For how long it has not held; none while it does.
    pub quiet: Option<Duration>,
    /// What is seen, in words.
    pub told: String,
}

#[derive(Debug)]
struct At {
    /// Since when it holds, or does not.
    since: Instant,
    holds: bool,
    /// When it began to hold, the oldest first; at most [`DOWNS_KEPT`].
    begun: VecDeque<Instant>,
}

/// Since when the condition of each rule holds.
#[derive(Debug, Default)]
pub struct Watch(BTreeMap<Arc<str>, (Arc<Rule>, Places)>);

/// What is known of each place that a rule looks at.
type Places = BTreeMap<Place, At>;

impl Watch {
    /// Lets go of rules that are not among these, and of what is known of those that are others now.
    pub fn keep(&mut self, rules: &[Arc<Rule>]) {
        self.0.retain(|name, (known, _)| {
            rules.iter().any(|rule| rule.name == *name && **rule == **known)
        });
    }

    /// Takes in what a rule sees now; places that are not among it are let go of.
    pub fn look(&mut self, rule: &Arc<Rule>, readings: Vec<Reading>, now: Instant) -> Vec<Seen> {
        let (_, known) =
            self.0.entry(rule.name.clone()).or_insert_with(|| (rule.clone(), Places::new()));
        known.retain(|place, _| readings.iter().any(|reading| reading.place == *place));
        readings.into_iter().map(|reading| see(rule, known, reading, now)).collect()
    }

    /// Begins anew to count for how long it is quiet at a place.
    pub fn begin_quiet(&mut self, rule: &str, place: &Place, now: Instant) {
        let known = self.0.get_mut(rule).and_then(|(_, known)| known.get_mut(place));
        known.into_iter().filter(|at| !at.holds).for_each(|at| at.since = now);
    }
}

fn see(rule: &Rule, known: &mut Places, reading: Reading, now: Instant) -> Seen {
    let Reading { place, holds, told } = reading;
    let new = || At { since: now, holds: false, begun: VecDeque::new() };
    let at = known.entry(place.clone()).or_insert_with(new);
    if holds != at.holds {
        (at.holds, at.since) = (holds, now);
        if holds {
            at.begun.push_back(now);
        }
    }
    let is_old = |begun: &Instant| now.saturating_duration_since(*begun) > DOWNS_WITHIN;
    while at.begun.len() > DOWNS_KEPT || at.begun.front().is_some_and(is_old) {
        at.begun.pop_front();
    }
    let length = now.saturating_duration_since(at.since);
    let is_often = match rule.when {
        // One that is down since before the hour began is down once.
        When::Down { times } => at.begun.len().max(1) >= times as usize,
        _ => true,
    };
    let fires = holds && is_often && length >= rule.lasts;
    Seen { place, fires, quiet: (!holds).then_some(length), told }
}

#[cfg(test)]
mod tests {
    use super::super::{Each, Then};
    use super::*;

    fn rule(times: u32, lasts: u64) -> Arc<Rule> {
        Arc::new(Rule {
            name: "r".into(),
            service: Some("shop".into()),
            pool: None,
            each: Each::Upstream,
            when: When::Down { times },
            lasts: Duration::from_secs(lasts),
            then: Then::Drain,
            adds: None,
            back: None,
            at_most: 3,
            per: DOWNS_WITHIN,
            cooldown: Duration::ZERO,
            escalate_to: None,
            dry_run: false,
        })
    }

    fn look(watch: &mut Watch, rule: &Arc<Rule>, holds: bool, now: Instant) -> Seen {
        let reading = Reading { place: Place::service("shop"), holds, told: String::new() };
        watch.look(rule, vec![reading], now).remove(0)
    }

    #[test]
    fn it_fires_once_it_has_held_long_enough_without_a_break() {
        let (mut watch, rule, start) = (Watch::default(), rule(1, 10), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        assert!(!look(&mut watch, &rule, true, at(0)).fires);
        assert!(!look(&mut watch, &rule, true, at(9)).fires);
        assert_eq!(look(&mut watch, &rule, false, at(9)).quiet, Some(Duration::ZERO));
        assert!(!look(&mut watch, &rule, true, at(10)).fires);
        assert!(!look(&mut watch, &rule, true, at(19)).fires);
        assert!(look(&mut watch, &rule, true, at(20)).fires);
        let quiet = look(&mut watch, &rule, false, at(21))
            .quiet
            .zip(look(&mut watch, &rule, false, at(51)).quiet);
        assert_eq!(quiet, Some((Duration::ZERO, Duration::from_secs(30))));
    }

    #[test]
    fn one_that_counts_fires_at_the_third_time_within_an_hour() {
        let (mut watch, rule, start) = (Watch::default(), rule(3, 0), Instant::now());
        let mut down = |minute: u64| {
            let at = start + Duration::from_secs(minute * 60);
            look(&mut watch, &rule, false, at);
            look(&mut watch, &rule, true, at).fires
        };
        assert_eq!([down(0), down(50), down(70), down(100)], [false, false, false, true]);
    }

    #[test]
    fn a_rule_that_is_edited_begins_anew() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        look(&mut watch, &rule(1, 10), true, start);
        let edited = rule(1, 9);
        watch.keep(std::slice::from_ref(&edited));
        assert!(!look(&mut watch, &edited, true, start + Duration::from_secs(60)).fires);
    }
}
