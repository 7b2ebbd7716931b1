//! What the file does not have any more, and what is kept of it: a config in; what is taken up again,
//! what is kept and what is forgotten out.
//!
//! A file can be half written, or the wrong one. So what was ordered of something that vanishes from
//! it is kept for a day, counts for nothing meanwhile, and is in force again if it comes back. The
//! start of a process and a reload ask here alike, and so does who shows what a file would change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::draft::Draft;
use super::traffic::FILE;
use super::{Orders, What, live, written};
use crate::clock::WallTime;
use crate::config::{self, Config, diff};
use crate::event::{Event, Kind, Subject};
use crate::rollout::Outcome;
use crate::state::{Change, Deployed, FilePart, GivesBack, Override, Revision, State};
use crate::upstream::same_upstreams;

/// How long what was ordered of something that vanished is kept: until whoever was asleep has seen it.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// All differences that a config makes, with what becomes of what was ordered; `forgets`: nothing of
/// what vanishes is kept.
pub fn differences(
    state: &State,
    before: &Config,
    after: &Config,
    forgets: bool,
) -> Vec<config::Change> {
    let mut changes = diff(before, after, &live(state, before));
    let mut add = |part: &FilePart, what: String| {
        changes.push(config::Change { subject: part.to_string(), what, needs_restart: false });
    };
    let (back, gone) = (returning(state, after), vanishing(state, after));
    for part in state.absent().map(|(part, _)| part) {
        let is_back = back.contains(part);
        let what = if is_back { heeded_of(state, part, after) } else { kept_of(state, part) };
        match (forgets, is_back) {
            _ if what.is_empty() => {}
            (true, _) => add(part, format!("forgotten: {}", what.join(", "))),
            (false, true) => add(part, format!("in force again: {}", what.join(", "))),
            (false, false) => {}
        }
    }
    for part in &gone {
        let what = kept_of(state, part);
        match forgets {
            _ if what.is_empty() => {}
            true => add(part, format!("forgotten: {}", what.join(", "))),
            false => add(part, format!("kept for a day, should it come back: {}", what.join(", "))),
        }
    }
    changes
}

/// What is in use and would be gone with a config, each with what it is used for. `is_asked`: whether
/// a service had requests lately.
pub fn removals(
    state: &State,
    before: &Config,
    after: &Config,
    is_asked: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for service in &before.services {
        let (name, next) = (&service.name, after.service(&service.name));
        let rollout = state.rollout(name).map(|rollout| &rollout.plan);
        let newest = state.newest(name);
        let newest =
            newest.filter(|newest| newest.author != FILE && is_settled(state, name, newest));
        let Some(next) = next else {
            let part = FilePart::Service(name.clone());
            let asked = is_asked(name).then(|| "it had requests in the last minute".into());
            let mut uses: Vec<String> = asked.into_iter().collect();
            uses.extend(kept_of(state, &part));
            uses.extend(rollout.map(|plan| format!("a rollout to {} is under way", plan.to)));
            found.extend(in_use(&part, &uses));
            continue;
        };
        found.extend(emptied(state, service, next));
        for pool in service.pools.iter().filter(|pool| next.pool(&pool.name).is_none()) {
            let part = FilePart::Pool { service: name.clone(), pool: pool.name.clone() };
            let mut uses = kept_of(state, &part);
            let of_it = |plan: &&_| {
                let plan: &crate::rollout::Plan = plan;
                plan.to == pool.name || plan.from == pool.name
            };
            uses.extend(
                rollout.filter(of_it).map(|plan| {
                    format!("a rollout from {} to {} is under way", plan.from, plan.to)
                }),
            );
            if newest.is_some_and(|newest| newest.split.weight(&pool.name).get() > 0) {
                uses.push("it was given traffic at run time".into());
            }
            found.extend(in_use(&part, &uses));
        }
    }
    for flag in &before.flags {
        if !after.flags.iter().any(|known| known.name == flag.name) {
            let part = FilePart::Flag(flag.name.clone());
            found.extend(in_use(&part, &kept_of(state, &part)));
        }
    }
    found
}

/// Pools that would have no upstreams any more though they were given traffic at run time.
fn emptied(state: &State, before: &config::Service, after: &config::Service) -> Vec<String> {
    let Some(newest) = state.newest(&before.name) else { return Vec::new() };
    let has_traffic = |pool: &&config::Pool| newest.split.weight(&pool.name).get() > 0;
    let is_emptied = |pool: &&config::Pool| {
        let next = after.pool(&pool.name);
        !pool.upstreams.is_empty() && next.is_some_and(|next| next.upstreams.is_empty())
    };
    let pools = before.pools.iter().filter(has_traffic).filter(is_emptied);
    let words = |pool: &config::Pool| {
        let (service, pool) = (before.name.clone(), pool.name.clone());
        format!("the upstreams of {}: it has traffic", FilePart::Pool { service, pool })
    };
    // What the file itself gives no traffic any more is meant to be empty.
    let is_same = before.split == after.split;
    pools.filter(|_| is_same).map(words).collect()
}

fn in_use(part: &FilePart, uses: &[String]) -> Option<String> {
    (!uses.is_empty()).then(|| format!("{part}: {}", uses.join(", ")))
}

/// What is kept of something, in words.
pub fn kept_of(state: &State, part: &FilePart) -> Vec<String> {
    let mut words: Vec<String> = state.orders_about(part).map(in_words).collect();
    words.extend(ordered_beside(state, part));
    words
}

/// The split or the share that was ordered of it, in words.
fn ordered_beside(state: &State, part: &FilePart) -> Option<String> {
    match part {
        FilePart::Service(name) => {
            let newest = state.newest(name).filter(|newest| is_settled(state, name, newest))?;
            (newest.author != FILE).then(|| format!("split {}", newest.split))
        }
        FilePart::Flag(name) => {
            let share = state.flag(name).filter(|state| state.author != FILE)?;
            Some(format!("share {} %", share.percent))
        }
        FilePart::Pool { .. } => None,
    }
}

/// What of it would be in force again with a config that has it: what that has other words for than the
/// file had is over.
fn heeded_of(state: &State, part: &FilePart, after: &Config) -> Vec<String> {
    let says = match part {
        FilePart::Service(name) => after.service(name).map(|service| service.split.to_string()),
        FilePart::Flag(name) => {
            let flag = after.flags.iter().find(|flag| flag.name == *name);
            flag.map(|flag| flag.percent.to_string())
        }
        FilePart::Pool { .. } => None,
    };
    let said = said_key(part).and_then(|of| state.in_file().get(&of));
    let is_edited = said.is_some() && said != says.as_ref();
    let orders = state.orders_about(part).filter(|standing| !is_edited_list(standing, after));
    let mut words: Vec<String> = orders.map(in_words).collect();
    words.extend(ordered_beside(state, part).filter(|_| !is_edited));
    words
}

/// Whether it is about a list of upstreams that a config has other words for.
pub(super) fn is_edited_list(standing: &Override, after: &Config) -> bool {
    match &standing.what {
        What::Upstreams { service, pool, in_file: Some(then), list, deploy, .. } => {
            let known = after.service(service).and_then(|service| service.pool(pool));
            let says = known.map(|pool| written(&pool.upstreams));
            let is_said =
                |says: &Vec<(String, u16)>| deploy.is_some() && same_upstreams(says, list);
            says.is_some_and(|says| !same_upstreams(&says, then) && !is_said(&says))
        }
        _ => false,
    }
}

/// Whether a split is no share that a rollout has left half-way: nobody watches over that any more.
pub(super) fn is_settled(state: &State, service: &str, revision: &Revision) -> bool {
    let Some(id) = revision.rollout else { return true };
    let ended = state.rollout_of(service, id).and_then(|rollout| rollout.ended.as_ref());
    ended.is_some_and(|(outcome, _)| !matches!(outcome, Outcome::Superseded { .. }))
}

pub(super) fn in_words(standing: &Override) -> String {
    let what = match &standing.what {
        What::Drain { upstream, .. } => format!("drain of {upstream}"),
        What::Breaker { upstream: Some(upstream), .. } => format!("breaker of {upstream}"),
        What::Breaker { pool, upstream: None, .. } => format!("breaker of {pool}"),
        What::Hold { .. } => "hold".into(),
        What::Maintenance { .. } => "maintenance".into(),
        What::Upstreams { pool, deploy: Some(deployed), .. } => {
            format!("{} deployed to {pool}", deployed.version.words())
        }
        What::Upstreams { pool, .. } => format!("upstreams of {pool}"),
        What::Contracted { pool, .. } => format!("{pool} cannot run on the schema any more"),
        What::Freeze { .. } => "freeze".into(),
        What::Lifted { .. } => "lifted freeze".into(),
    };
    format!("{what} by {}", standing.author)
}

/// Whether a config has this.
fn has(config: &Config, part: &FilePart) -> bool {
    match part {
        FilePart::Service(name) => config.service(name).is_some(),
        FilePart::Pool { service, pool } => {
            config.service(service).is_some_and(|service| service.pool(pool).is_some())
        }
        FilePart::Flag(name) => config.flags.iter().any(|flag| flag.name == *name),
    }
}

/// What was gone and is in this config again.
fn returning(state: &State, config: &Config) -> BTreeSet<FilePart> {
    let absent = state.absent().map(|(part, _)| part);
    absent.filter(|part| has(config, part)).cloned().collect()
}

/// What something is known of, and this config does not have; what was gone before is not among it.
/// The pools of a service go with it.
fn vanishing(state: &State, config: &Config) -> BTreeSet<FilePart> {
    let said = state.in_file().keys().filter_map(|of| said_of(of));
    let ordered = state.orders().map(|standing| match standing.what.part() {
        FilePart::Pool { service, .. } if config.service(&service).is_none() => {
            FilePart::Service(service)
        }
        part => part,
    });
    let known = said.chain(ordered);
    known.filter(|part| !has(config, part) && !state.is_absent(part)).collect()
}

/// What the state keeps the file's words about something under.
pub(super) fn said_key(part: &FilePart) -> Option<Arc<str>> {
    match part {
        FilePart::Service(name) => Some(format!("split {name}").into()),
        FilePart::Flag(name) => Some(format!("flag {name}").into()),
        FilePart::Pool { .. } => None,
    }
}

fn said_of(key: &str) -> Option<FilePart> {
    let (kind, name) = key.split_once(' ')?;
    match kind {
        "split" => Some(FilePart::Service(name.into())),
        "flag" => Some(FilePart::Flag(name.into())),
        _ => None,
    }
}

/// What lets go of all that is kept of something.
fn forgetting(state: &State, part: &FilePart) -> Vec<Change> {
    let orders = state.orders_about(part).map(|standing| Change::Clear(standing.what.about()));
    let mut changes: Vec<Change> = orders.collect();
    if let FilePart::Flag(name) = part {
        let forget = |revision| Change::ForgetFlag { name: name.clone(), revision };
        changes.extend(state.flag_history(name).map(|state| forget(state.revision)));
    }
    let said = said_key(part).filter(|of| state.in_file().contains_key(of));
    changes.extend(said.map(|of| Change::InFile { of, said: None }));
    if state.is_absent(part) {
        changes.push(Change::Absent { part: part.clone(), since: None });
    }
    changes
}

/// What has been gone for longer than anything is kept.
fn expired(state: &State, now: WallTime) -> Vec<FilePart> {
    let over = |(_, since): &(&FilePart, WallTime)| now.elapsed_since(*since) >= KEPT;
    state.absent().filter(over).map(|(part, _)| part.clone()).collect()
}

fn subject(part: &FilePart) -> Subject {
    match part {
        FilePart::Service(service) => Subject::service(service),
        FilePart::Pool { service, pool } => Subject::new(service, pool, ""),
        FilePart::Flag(_) => Subject::default(),
    }
}

impl Draft<'_> {
    /// Lets go of what has been gone for a day, or of all that is gone.
    pub(super) fn forget_absent(&mut self, all: bool) {
        let gone: Vec<FilePart> = match all {
            true => self.state.absent().map(|(part, _)| part.clone()).collect(),
            false => expired(&self.state, self.view.now.wall),
        };
        gone.iter().for_each(|part| self.forget(part));
    }

    fn forget(&mut self, part: &FilePart) {
        let kept = kept_of(&self.state, part);
        forgetting(&self.state, part).into_iter().for_each(|change| self.change(change));
        if !kept.is_empty() {
            let kind = Kind::OrdersForgotten { part: part.to_string(), what: kept.join(", ") };
            self.say(kind, subject(part));
        }
    }

    /// Notes what is gone from the file, and what is there again.
    pub(super) fn note_absent(&mut self, config: &Config, forgets: bool) {
        for part in returning(&self.state, config) {
            let kept = kept_of(&self.state, &part);
            self.change(Change::Absent { part: part.clone(), since: None });
            if !kept.is_empty() {
                let kind = Kind::OrdersBack { part: part.to_string(), what: kept.join(", ") };
                self.say(kind, subject(&part));
            }
        }
        for part in vanishing(&self.state, config) {
            if let FilePart::Service(name) = &part {
                self.supersede(name, "the removal of the service", false);
                self.say(Kind::ServiceRemoved, Subject::service(name));
            }
            if forgets {
                self.forget(&part);
                continue;
            }
            let kept = kept_of(&self.state, &part);
            let since = Some(self.view.now.wall);
            self.change(Change::Absent { part: part.clone(), since });
            if !kept.is_empty() {
                let kind = Kind::OrdersKept {
                    part: part.to_string(),
                    what: kept.join(", "),
                    length: KEPT,
                };
                self.say(kind, subject(&part));
            }
        }
    }

    /// Takes back lists of upstreams that the file has other words for: as with splits, an unedited one
    /// keeps what was changed at run time.
    pub(super) fn give_up_upstreams(&mut self, config: &Config) {
        let ordered: Vec<Override> = self
            .state
            .orders()
            .filter(|order| matches!(order.what, What::Upstreams { .. }))
            .cloned()
            .collect();
        for mut standing in ordered {
            let What::Upstreams { service, pool, in_file, list, deploy, .. } = &mut standing.what
            else {
                continue;
            };
            let known = config.service(service).and_then(|service| service.pool(pool));
            let Some(now) = known.map(|pool| written(&pool.upstreams)) else { continue };
            match (in_file.as_ref(), &deploy) {
                (Some(then), _) if same_upstreams(then, &now) => {}
                // It says what was deployed: the version goes by its tag still.
                (Some(_), Some(deployed)) if same_upstreams(list, &now) => {
                    let gives_back = deployed.gives_back.is_some().then(GivesBack::default);
                    *deploy = Some(Deployed { version: deployed.version.clone(), gives_back });
                    *in_file = Some(now);
                    self.change(Change::Order(standing));
                }
                (Some(_), _) => {
                    let deployed = deploy.as_ref().map(|deployed| deployed.version.rollout);
                    let reason = format!("the file has other upstreams for pool `{pool}`");
                    let (about, service) = (standing.what.about(), standing.what.service());
                    self.change(Change::Clear(about));
                    if let Some(id) = deployed {
                        self.give_up_deploy(service, id, reason);
                    }
                }
                // An older version has not noted it.
                (None, _) => {
                    *in_file = Some(now);
                    self.change(Change::Order(standing));
                }
            }
        }
    }
}

impl Orders {
    /// Lets go of what has been gone for a day. It counted for nothing already, so this makes nobody
    /// wait.
    pub(super) fn forget_absent(&mut self, now: WallTime) {
        // Where the clock was set back the day begins anew: until it gets there nothing would be let go of.
        let ahead = self.base.absent().filter(|(_, since)| *since > now);
        let since_now = |(part, _): (&FilePart, WallTime)| Change::Absent {
            part: part.clone(),
            since: Some(now),
        };
        let ahead: Vec<Change> = ahead.map(since_now).collect();
        self.count(ahead);
        for part in expired(&self.base, now) {
            let kept = kept_of(&self.base, &part);
            let gone = forgetting(&self.base, &part);
            self.count(gone);
            if !kept.is_empty() {
                let kind = Kind::OrdersForgotten { part: part.to_string(), what: kept.join(", ") };
                self.effects.push(super::Effect::Say(Event::by_itself(kind, subject(&part))));
            }
        }
    }
}
