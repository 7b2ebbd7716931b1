//! Which key orders what: a key and what is looked at in; a wish, or why there is none now, out.

use super::known::Known;
use super::view::{Item, View};
use super::wish::{What, Wish};
use crate::admin::wire;

/// Keys that order something, in the order in which they are explained.
pub const KEYS: [(char, &str); 13] = [
    ('s', "shift: other shares"),
    ('f', "flip: all to one pool"),
    ('r', "roll back the last change"),
    ('t', "start a rollout"),
    ('p', "pause it, or resume it"),
    ('n', "its next step now"),
    ('P', "promote: all the way now"),
    ('a', "abort: take it back"),
    ('d', "drain an upstream, or let it back"),
    ('b', "a circuit breaker"),
    ('h', "hold requests, or let them go"),
    ('m', "maintenance, or the end of it"),
    ('z', "freeze rollouts, or lift that"),
];

/// What there is to decide on.
struct Facts {
    service: String,
    revision: u64,
    /// Names and shares in percent.
    pools: Vec<(String, f64)>,
    mode: wire::Mode,
    /// The verbs that the rollout under way takes; none without one.
    verbs: Option<Vec<String>>,
    /// Whether somebody has frozen its rollouts; none where that is not known.
    is_frozen: Option<bool>,
}

/// The wish of a key, with the pool that gains by more of it; why not, where it makes no sense now; none for
/// a key that orders nothing.
pub fn wish(
    key: char,
    view: &View,
    known: &Known,
) -> Option<Result<(Wish, Option<String>), String>> {
    KEYS.iter().find(|(known, _)| *known == key)?;
    Some(found(key, view, known))
}

fn found(key: char, view: &View, known: &Known) -> Result<(Wish, Option<String>), String> {
    if !matches!(known.link, super::known::Link::Live) {
        return Err("there is no connection: nothing can be ordered now".into());
    }
    let service = view.service(known).ok_or("choose a service first")?;
    let facts = Facts::of(&service, known).ok_or(format!("nothing is known of {service} yet"))?;
    let gains = facts.gains(view);
    let what = what(key, view, known, &facts, gains.as_deref())?;
    let operation = what.operation();
    if !known.may(operation) {
        let me = known.me.as_ref();
        let role = me.map_or("", |me| &me.role);
        let whose = me.and_then(|me| me.name.as_deref()).unwrap_or("you");
        return Err(format!("{whose} (role {role}) may not order this: {operation}"));
    }
    let heeds = matches!(what, What::Shift { .. } | What::Flip { .. });
    let expects = heeds.then_some(facts.revision);
    Ok((Wish { service, what, expects }, gains))
}

fn what(
    key: char,
    view: &View,
    known: &Known,
    facts: &Facts,
    gains: Option<&str>,
) -> Result<What, String> {
    let service = &facts.service;
    let is_alone = facts.pools.len() < 2;
    Ok(match key {
        's' if is_alone => return Err(format!("{service} has only one pool")),
        's' => What::Shift { weights: facts.weights() },
        'f' => {
            let to = gains.ok_or(format!("{service} has only one pool"))?;
            if facts.share(to) == 100.0 {
                return Err(format!("{to} gets everything already: choose another pool"));
            }
            What::Flip { to: to.into() }
        }
        'r' if facts.revision <= 1 => {
            return Err("there is no earlier revision to go back to".into());
        }
        'r' => What::Rollback,
        't' if facts.verbs.is_some() => return Err("a rollout is under way already".into()),
        't' if facts.pools.iter().filter(|(_, share)| *share > 0.0).count() > 1 => {
            return Err("several pools share the traffic: shift all of it to one first".into());
        }
        't' => {
            let is_taken = |to: &&str| facts.share(to) == 100.0;
            let to = gains.filter(|to| !is_taken(to));
            let to = to.ok_or("choose a pool that gets no traffic: a rollout goes there")?;
            What::Start { to: to.into() }
        }
        'p' | 'n' | 'P' | 'a' => What::Verb(facts.verb(key)?),
        'd' => {
            let Some(Item::Upstream(pool, address)) = &view.item else {
                return Err("choose an upstream first: open the service, then up and down".into());
            };
            let close = known.close(service).ok_or("nothing is known of it yet")?;
            let undo = close.is_drained(pool, address);
            What::Drain { pool: pool.clone(), address: address.clone(), undo }
        }
        'b' => breaker(view, known, service)?,
        'h' if facts.mode == wire::Mode::Hold => What::Release,
        'h' => What::Hold { length: "20s".into() },
        'm' if facts.mode == wire::Mode::Maintenance => What::EndMaintenance,
        'm' => What::Maintenance { message: String::new() },
        'z' => match facts.is_frozen {
            Some(true) => What::Lift,
            Some(false) => What::Freeze { length: String::new() },
            None => return Err("open the service first: it shows whether it is frozen".into()),
        },
        _ => return Err(format!("`{key}` orders nothing")),
    })
}

fn breaker(view: &View, known: &Known, service: &str) -> Result<What, String> {
    let choose = "choose a pool or an upstream first: open the service, then up and down";
    let close = known.close(service).ok_or(choose)?;
    let (pool, address) = match &view.item {
        Some(Item::Upstream(pool, address)) => (pool.clone(), Some(address.clone())),
        Some(Item::Pool(pool)) => (pool.clone(), None),
        None => (close.in_order().first().ok_or(choose)?.name.clone(), None),
    };
    let order = match &address {
        None => close.pools.get(&pool).map(|pool| pool.breaker.order),
        Some(at) => close.upstreams(&pool).find(|it| it.address == *at).map(|it| it.breaker.order),
    };
    // What it was not told: to take back what it was is the most likely wish.
    let state = match order {
        Some(wire::BreakerOrder::Auto) | None => "open",
        _ => "auto",
    };
    Ok(What::Breaker { pool, address, state: state.into() })
}

impl Facts {
    fn of(service: &str, known: &Known) -> Option<Facts> {
        if let Some(close) = known.close(service) {
            let of = close.service.as_ref()?;
            let pool = |pool: &wire::Pool| (pool.name.clone(), pool.weight);
            return Some(Facts {
                service: service.into(),
                revision: of.service.revision,
                pools: close.in_order().into_iter().map(pool).collect(),
                mode: of.service.mode,
                verbs: close.under_way().map(|rollout| rollout.verbs.clone()),
                is_frozen: Some(close.is_frozen()),
            });
        }
        let glance = known.glance(service)?;
        let verbs = |rollout: &wire::GlanceRollout| {
            let first = if rollout.state == "paused" { "resume" } else { "pause" };
            [first, "step", "promote", "abort"].map(String::from).to_vec()
        };
        Some(Facts {
            service: service.into(),
            revision: glance.revision,
            pools: glance.pools.iter().map(|pool| (pool.name.clone(), pool.weight)).collect(),
            mode: glance.mode,
            verbs: glance.rollout.as_ref().map(verbs),
            is_frozen: None,
        })
    }

    fn share(&self, pool: &str) -> f64 {
        self.pools.iter().find(|(name, _)| name == pool).map_or(0.0, |(_, share)| *share)
    }

    /// The pool that is chosen, else the one that gets least.
    fn gains(&self, view: &View) -> Option<String> {
        let chosen = match &view.item {
            Some(Item::Pool(pool) | Item::Upstream(pool, _)) => Some(pool),
            None => None,
        };
        let is_there = |name: &&String| self.pools.iter().any(|(pool, _)| pool == *name);
        let is_whole = |name: &&String| self.share(name) == 100.0;
        let least = || self.pools.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(name, _)| name);
        let found = chosen.filter(is_there).filter(|name| !is_whole(name)).or_else(least);
        found.filter(|_| self.pools.len() > 1).cloned()
    }

    fn weights(&self) -> String {
        let part = |(name, share): &(String, f64)| format!("{name}={share}");
        self.pools.iter().map(part).collect::<Vec<_>>().join(" ")
    }

    fn verb(&self, key: char) -> Result<&'static str, String> {
        let verbs = self.verbs.as_ref().ok_or("no rollout is under way")?;
        let may = |verb: &&&str| verbs.iter().any(|known| known == **verb);
        let (wanted, why): (&[&'static str], _) = match key {
            'p' => (&["pause", "resume"], "it cannot be paused or resumed now"),
            'n' => (&["step"], "there is no next step to take now"),
            'P' => (&["promote"], "it has everything already"),
            _ => (&["abort"], "it cannot be taken back now"),
        };
        Ok(wanted.iter().find(may).copied().ok_or(why)?)
    }
}
