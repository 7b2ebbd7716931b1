//! What of a rule does not go together, and what can never be: it is told here rather than when the rule
//! is needed.

use super::reading::{Of, Places, Reading};
use crate::automation::{Each, Rule, Then, When};
use crate::config::Service;

impl Reading<'_> {
    /// What does not go together, and what can never be.
    pub(super) fn check(&mut self, rule: &Rule, of: &Of<'_>, places: &Places) {
        self.check_deed(rule, places);
        if matches!(rule.when, When::Certificate(_)) && !self.beside.has_certificates {
            let message = "this file has no certificates: the rule can never act";
            self.warn(places.when.clone(), message, "name them in `tls` of a listener");
        }
        let Some(service) = of.service else { return };
        let is_upstream = rule.each == Each::Upstream;
        let place = places.when.clone();
        match rule.when {
            When::Down { .. } if !is_upstream => {
                let message = "an upstream is down, never a service or a pool";
                self.error(places.each.clone(), message, "leave `each` out");
            }
            When::Latency { .. } | When::Burn(_) | When::HeadRoom(_) if is_upstream => {
                let message = "this is not known of each upstream";
                self.error(places.each.clone(), message, "leave `each` out");
            }
            When::Burn(_) if service.slo.is_none() => {
                let message =
                    format!("`{}` has no objectives: the rule can never act", service.name);
                self.error(place, message, "add `[services.….slo]`, or wait for something else");
            }
            When::Saturation(_) if !is_limited(service, is_upstream) => {
                let message = format!("`{}` has no limits: the rule can never act", service.name);
                self.warn(place, message, "set `limits`, such as `upstream_in_flight`");
            }
            When::Latency { p99, .. } if p99 >= service.timeouts.response => {
                let message =
                    "answers are given up before they are as slow: the rule can never act";
                self.warn(place, message, "it is above `timeouts.response` of the service");
            }
            _ => {}
        }
    }

    fn check_deed(&mut self, rule: &Rule, places: &Places) {
        let then = places.then.clone();
        let needs_service = !matches!(rule.then, Then::Call(_) | Then::Notify);
        if needs_service && rule.service.is_none() {
            let message = format!("rule `{}` names no `service` to act on", rule.name);
            self.error(then.clone(), message, "name it, for example: service = \"shop\"");
        }
        let is_upstream = rule.each == Each::Upstream;
        if rule.then == Then::Drain && !is_upstream {
            let help = "add `each = \"upstream\"`";
            self.error(then.clone(), "`drain` is for one upstream", help);
        }
        if rule.then == Then::OpenBreaker && !is_upstream && rule.pool.is_none() {
            let help = "name the `pool`, or add `each = \"upstream\"`";
            self.error(then.clone(), "`open-breaker` is for a pool or an upstream", help);
        }
        if rule.back.is_some() && !rule.orders() {
            let help = "it goes with `drain`, `open-breaker` and `maintenance`";
            self.warn(places.back.clone(), "there is nothing to take `back`", help);
        }
        if rule.adds.is_some() {
            if !matches!(rule.then, Then::Call(_)) {
                let help = "it goes with `url` and `run`";
                self.warn(places.adds.clone(), "nobody is called who could add anything", help);
            } else if rule.pool.is_none() || is_upstream {
                let help = "name the `pool`, and leave `each` out";
                self.error(places.adds.clone(), "instances are added to one pool", help);
            }
        }
    }
}

fn is_limited(service: &Service, of_upstream: bool) -> bool {
    let limits = &service.stability.limits;
    let whole = limits.in_flight.is_some() || limits.adaptive || limits.queue > 0;
    limits.upstream_in_flight.is_some() || (whole && !of_upstream)
}
