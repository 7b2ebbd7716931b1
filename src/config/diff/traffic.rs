//! What a reload does to a service's traffic: shares that move, upstreams that come and go with what
//! they hold, clients who are recognised by something else, rollouts that end.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::{Changes, Live};
use crate::config::{Pool, PoolTls, Service, Taken};
use crate::rollout::Rollout;
use crate::split::{BasisPoints, Split, Sticky, StickyKey};
use crate::upstream::{Address, Labels, ProxyVersion, same_upstreams};

impl Changes {
    /// The split that is in force after a reload, and lines for what becomes of it and of a rollout.
    /// An unedited split keeps what was set at run time, as long as its pools are there.
    pub(super) fn split(&mut self, old: &Service, new: &Service, live: &Live) -> Split {
        let subject = format!("service {}", new.name);
        let before = live.split(old);
        let is_emptied = |(pool, weight): &(Arc<str>, BasisPoints)| {
            let is_empty = |pool: &Pool| live.upstreams_after(old, pool).is_empty();
            let is_by_file = new.split.weight(pool) > BasisPoints::NONE;
            *weight > BasisPoints::NONE && !is_by_file && new.pool(pool).is_some_and(is_empty)
        };
        let takes_effect = old.split != new.split
            || before.check_pools(&new.pool_names()).is_err()
            || before.parts().iter().any(is_emptied);
        let after = if takes_effect { new.split.clone() } else { before.clone() };
        if after != before {
            let moves = percent(moved(&before, &after));
            self.add(&subject, format!("split {before} → {after}, {moves} of its traffic moves"));
        }
        if let Some(rollout) = live.rollout(&new.name) {
            let plan = &rollout.plan;
            let is_gone = new.pool(&plan.to).is_none() || new.pool(&plan.from).is_none();
            if takes_effect || is_gone {
                self.superseded(&subject, rollout);
            } else if rollout.deploy.is_some()
                && rollout.share() < BasisPoints::WHOLE
                && let Some((before, after)) = old.pool(&plan.to).zip(new.pool(&plan.to))
                && live.gives_way(&new.name, before, after)
            {
                let (id, to, share) = (rollout.id, &plan.to, rollout.share());
                self.add(
                    &subject,
                    format!("rollout {id} to {to} at {share} % ends, and goes back"),
                );
            }
        }
        after
    }

    /// A rollout under way that ends.
    pub(super) fn superseded(&mut self, subject: &str, rollout: &Rollout) {
        let (id, to, share) = (rollout.id, &rollout.plan.to, rollout.share());
        self.add(subject, format!("rollout {id} to {to} at {share} % ends, superseded"));
    }

    /// Who is recognised by something else, and how many of them move.
    pub(super) fn recognition(&mut self, old: &Service, new: &Service, split: &Split) {
        let subject = format!("service {}", new.name);
        if old.sticky != new.sticky {
            let taken = (&self.was, &self.is);
            self.add(&subject, recognised(&old.sticky, &new.sticky, taken, split));
        }
        match (&old.opt_in, &new.opt_in) {
            (before, now) if before == now => {}
            (Some(before), Some(now)) => {
                let (before, now) = (self.was.within(before), self.is.within(now));
                self.add(&subject, format!("testers name a pool by {now} instead of {before}"));
            }
            (None, Some(now)) => {
                let now = self.is.within(now);
                self.add(&subject, format!("testers may name a pool by {now}"));
            }
            (Some(before), None) => {
                let before = self.was.within(before);
                self.add(&subject, format!("testers cannot name a pool by {before} any more"));
            }
            (None, None) => {}
        }
    }

    /// Pools and upstreams that come or go, with the share of the service's traffic that they have
    /// before or after.
    pub(super) fn pools(&mut self, old: &Service, new: &Service, live: &Live, after: &Split) {
        let before = live.split(old);
        for pool in old.pools.iter().filter(|pool| new.pool(&pool.name).is_none()) {
            let holds = percent(before.weight(&pool.name).ratio());
            let of = format!("pool {}/{}", new.name, pool.name);
            self.add(of, format!("removed, with {holds} of the service's traffic"));
        }
        for pool in &new.pools {
            let of = format!("pool {}/{}", new.name, pool.name);
            let gets = after.weight(&pool.name).ratio();
            let Some(known) = old.pool(&pool.name) else {
                let number = pool.upstreams.len();
                let upstreams = if number == 1 { "upstream" } else { "upstreams" };
                let gets = percent(gets);
                let what = format!("added with {number} {upstreams}, gets {gets} of the traffic");
                self.add(of, what);
                continue;
            };
            for (address, _) in &pool.upstreams {
                let (was, is) = (known.labels.get(address), pool.labels.get(address));
                if was != is && known.upstreams.iter().any(|(other, _)| other == address) {
                    let words = |labels: Option<&Labels>| {
                        labels.map_or_else(|| "none".to_string(), Labels::to_string)
                    };
                    let (was, is) = (self.was.within(words(was)), self.is.within(words(is)));
                    let address = self.is.within(address);
                    self.add(&of, format!("upstream {address} labels {was} → {is}"));
                }
            }
            if known.http2 != pool.http2 {
                self.add(&of, format!("http2 {} → {}", known.http2, pool.http2));
            }
            if known.proxy_protocol != pool.proxy_protocol {
                let words = |version: Option<ProxyVersion>| match version {
                    None => "off",
                    Some(ProxyVersion::V1) => "v1",
                    Some(ProxyVersion::V2) => "v2",
                };
                let (was, is) = (words(known.proxy_protocol), words(pool.proxy_protocol));
                self.add(&of, format!("proxy_protocol {was} → {is}"));
            }
            if known.tls != pool.tls {
                let words = |tls: &Option<PoolTls>| {
                    tls.as_ref().map_or_else(|| "off".to_string(), PoolTls::to_string)
                };
                let (was, is) =
                    (self.was.within(words(&known.tls)), self.is.within(words(&pool.tls)));
                self.add(&of, format!("tls {was} → {is}"));
            }
            // An unedited list keeps what was changed at run time.
            if !same_upstreams(&known.upstreams, &pool.upstreams) && !live.is_said(&new.name, pool)
            {
                let had = before.weight(&pool.name).ratio();
                let serves = |address: &Address| live.serves(&new.name, &pool.name, address);
                let list = live.upstreams(&new.name, known);
                self.upstreams(&of, (list, had), (&pool.upstreams, gets), serves);
            }
        }
    }

    /// Two lists of upstreams, each with the share of its pool; what does not serve has none of it.
    fn upstreams(
        &mut self,
        of: &str,
        (before, had): (&[(Address, u16)], f64),
        (after, gets): (&[(Address, u16)], f64),
        serves: impl Fn(&Address) -> bool,
    ) {
        fn by_address(list: &[(Address, u16)]) -> HashMap<&Address, u16> {
            list.iter().map(|(address, weight)| (address, *weight)).collect()
        }
        let (old, new) = (by_address(before), by_address(after));
        let part = |(address, weight): &(Address, u16)| {
            if serves(address) { f64::from(*weight) } else { 0.0 }
        };
        let all = |list: &[(Address, u16)]| list.iter().map(part).sum::<f64>().max(1.0);
        let (all_before, all_after) = (all(before), all(after));
        for one @ (address, _) in before {
            if !new.contains_key(address) {
                let held = percent(had * part(one) / all_before);
                let address = self.was.within(address);
                let what = format!("upstream {address} removed, with {held} of the traffic");
                self.add(of, what);
            }
        }
        for one @ (address, weight) in after {
            match old.get(address) {
                None => {
                    let gets = percent(gets * part(one) / all_after);
                    let address = self.is.within(address);
                    let what = format!("upstream {address} added, gets {gets} of the traffic");
                    self.add(of, what);
                }
                Some(old) if old != weight => {
                    let address = self.is.within(address);
                    let what = format!("upstream {address} weight {old} → {weight}");
                    self.add(of, what);
                }
                Some(_) => {}
            }
        }
    }
}

impl Live {
    fn split(&self, service: &Service) -> Split {
        self.splits.get(&service.name).unwrap_or(&service.split).clone()
    }

    fn rollout(&self, service: &str) -> Option<&Rollout> {
        self.rollouts.iter().find(|rollout| &*rollout.service == service)
    }

    fn serves(&self, service: &str, pool: &str, address: &Address) -> bool {
        !self.drained.contains(&[service.to_string(), pool.to_string(), address.to_string()])
    }

    /// Whether what was put into a pool at run time gives way to the file: its list was edited, and does
    /// not say what was deployed there.
    pub(super) fn gives_way(&self, service: &str, before: &Pool, after: &Pool) -> bool {
        !same_upstreams(&before.upstreams, &after.upstreams) && !self.is_said(service, after)
    }

    /// Whether a file's list is what a deploy has put there.
    fn is_said(&self, service: &str, pool: &Pool) -> bool {
        let key = (service.into(), pool.name.clone());
        let is_it = |list: &Vec<_>| same_upstreams(list, &pool.upstreams);
        self.deployed.contains_key(&key) && self.upstreams.get(&key).is_some_and(is_it)
    }

    /// A pool's upstreams once a file that has it so is in force.
    fn upstreams_after<'l>(&'l self, old: &Service, after: &'l Pool) -> &'l [(Address, u16)] {
        match old.pool(&after.name) {
            Some(before) if !self.gives_way(&old.name, before, after) => {
                self.upstreams(&old.name, after)
            }
            _ => &after.upstreams,
        }
    }

    fn upstreams<'l>(&'l self, service: &str, pool: &'l Pool) -> &'l [(Address, u16)] {
        let key = (service.into(), pool.name.clone());
        self.upstreams.get(&key).unwrap_or(&pool.upstreams)
    }
}

/// The share of traffic that goes elsewhere.
fn moved(before: &Split, after: &Split) -> f64 {
    let grows = |(pool, weight): &(Arc<str>, BasisPoints)| {
        (weight.ratio() - before.weight(pool).ratio()).max(0.0)
    };
    after.parts().iter().map(grows).sum()
}

/// What another way of recognising clients means for them.
fn recognised(old: &Sticky, new: &Sticky, (was, is): (&Taken, &Taken), split: &Split) -> String {
    let (before, now) = (was.within(words(old)), is.within(words(new)));
    let pools: Vec<&str> = split.parts().iter().map(|(pool, _)| &**pool).collect();
    let pools = pools.join(" and ");
    let is_divided = !split.is_one_sided();
    let mut text = match (old.keys.is_empty(), new.keys.is_empty()) {
        (true, _) => format!("clients are recognised by {now} from now on"),
        (_, true) => format!("clients are not recognised by {before} any more"),
        _ if new.keys.starts_with(&old.keys) => {
            let more = is.within(words(&Sticky { keys: new.keys[old.keys.len()..].to_vec() }));
            format!("clients not recognised by {before} are recognised by {more}")
        }
        _ => format!("clients are recognised by {now} instead of {before}"),
    };
    // A client that is recognised by something else gets another cohort, whatever it had: it stays
    // where it was only by chance.
    let stays: f64 = split.parts().iter().map(|(_, weight)| weight.ratio().powi(2)).sum();
    let rest = match (old.keys.is_empty(), new.keys.is_empty()) {
        _ if !is_divided => format!("; nobody moves while {pools} has all traffic"),
        (true, _) => format!("; each stays on its side of {pools}"),
        (_, true) => format!("; each request is drawn, back and forth between {pools}"),
        _ if new.keys.starts_with(&old.keys) => "; the others stay where they are".into(),
        _ => format!("; about {} of them move between {pools}", percent(1.0 - stays)),
    };
    let _ = write!(text, "{rest}");
    text
}

fn words(sticky: &Sticky) -> String {
    let word = |key: &StickyKey| match key {
        StickyKey::Header(name) => format!("header {name}"),
        StickyKey::Cookie(name) => format!("cookie {name}"),
        StickyKey::OwnCookie(name) => format!("our cookie {name}"),
        StickyKey::ClientIp => "address".into(),
    };
    let words: Vec<String> = sticky.keys.iter().map(word).collect();
    words.join(", else ")
}

/// A share in percent, with one decimal if it has one.
pub(super) fn percent(ratio: f64) -> String {
    let text = format!("{:.1}", ratio * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
