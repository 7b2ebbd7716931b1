//! Splits: shifted by order, taken back to an earlier revision, edited in the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Desk, Now, check_expected};
use crate::config::{Config, Service};
use crate::event::{Kind, Subject};
use crate::orders::{Order, Refused, Target};
use crate::rollout::Strategy;
use crate::snapshot::{Pool, Snapshot};
use crate::split::Split;
use crate::store::{Batch, CommitError, Draft, FlagState, OverrideKey, Revision};

/// Who a revision is by that was made by an edit of the file.
const FILE: &str = "file";

impl Desk {
    /// Makes a new revision of a service's split.
    pub fn shift(
        &mut self,
        name: &str,
        to: Target,
        order: &Order,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<Revision, Refused> {
        let config = self.config.clone();
        let service = config.service(name).ok_or_else(|| Refused::NoService(name.into()))?;
        let current = self.newest_number(name);
        check_expected(order.expected, current)?;
        let takes_back_the_last = to == Target::Back { to: None };
        let (split, goes_back) = self.split_of(service, to)?;
        let mut batch = Batch::new();
        if let Some(under_way) = self.rollouts.get(name) {
            let rollout = &under_way.rollout;
            let has_moved = rollout.has_moved() || rollout.plan.strategy == Strategy::Rolling;
            if takes_back_the_last && !has_moved {
                // The change before it may have been away from its very target.
                return Err(Refused::NothingMoved { service: name.into(), id: rollout.id });
            }
            if goes_back.is_none() && !order.force {
                let (service, id, to) = (name.into(), rollout.id, rollout.plan.to.to_string());
                return Err(Refused::RolloutUnderWay { service, id, to });
            }
        }
        let newest = self.newest.get(name);
        if let (Some(newest), None, false) = (newest, goes_back, self.rollouts.contains_key(name))
            && newest.split == split
        {
            // Said twice it is one change still, and a rollback takes that back.
            return Ok(newest.clone());
        }
        if !order.force {
            self.check_contracted(service, &split)?;
            check_available(snapshot, service, &split, now)?;
        }
        let by = match goes_back {
            Some(to) => format!("a rollback to revision {to} by {}", order.author),
            None => format!("a shift by {}", order.author),
        };
        let superseded = self.superseded_by(name, &by, goes_back.is_some(), &mut batch, now);
        let reason = match goes_back {
            Some(to) => {
                let why = order.reason.as_ref().map_or_else(String::new, |r| format!(": {r}"));
                batch.outcome(
                    &service.name,
                    current,
                    &format!("rolled back by {}{why}", order.author),
                );
                Some(format!("rollback to revision {to}{why}"))
            }
            None => order.reason.clone(),
        };
        let author = order.author.clone();
        let draft = Draft { split, author, reason, at: now.wall.seconds(), rollout: None };
        match goes_back {
            Some(to) => batch.revert(&service.name, current, draft, to),
            None => batch.revise(&service.name, current, draft),
        };
        let revision = self
            .commit(batch)?
            .pop()
            .ok_or_else(|| Refused::Store("it has made no revision".into()))?;
        self.take(&service.name, &revision);
        superseded.into_iter().for_each(|superseded| self.supersede(superseded));
        let (split, number) = (revision.split.clone(), revision.number);
        let kind = match goes_back {
            Some(to) => Kind::RolledBack { to, split, revision: number },
            None => Kind::Shifted { split, revision: number },
        };
        self.say(kind, Subject::service(name), order);
        Ok(revision)
    }

    /// The split that is asked for, and the revision that it goes back to, if it does.
    fn split_of(&self, service: &Service, to: Target) -> Result<(Split, Option<u64>), Refused> {
        match to {
            Target::Weights(weights) => {
                let split = Split::new(weights.into_iter().map(|(pool, w)| (pool.into(), w)))?;
                split.check_pools(&service.pool_names())?;
                Ok((split, None))
            }
            Target::Flip { pool } => {
                if service.pool(&pool).is_none() {
                    return Err(Refused::NoPool { service: service.name.to_string(), pool });
                }
                Ok((Split::all_to(pool.into()), None))
            }
            Target::Back { to } => {
                let revision = match to {
                    Some(number) => self.revision(&service.name, number)?,
                    None => self.before_the_last_change(&service.name)?,
                };
                revision.split.check_pools(&service.pool_names())?;
                Ok((revision.split, Some(revision.number)))
            }
        }
    }

    fn revision(&self, service: &str, number: u64) -> Result<Revision, Refused> {
        let found = self.store.revision(service, number).map_err(CommitError::Store)?;
        let missing = || Refused::NoRevision { service: service.into(), number };
        found.ok_or_else(missing)
    }

    /// The state before the newest revision; the steps of one rollout count as one change.
    fn before_the_last_change(&self, service: &str) -> Result<Revision, Refused> {
        let nothing = || Refused::NothingBefore(service.into());
        let newest = self.newest.get(service).ok_or_else(nothing)?;
        let history =
            self.store.history(service, crate::store::KEPT).map_err(CommitError::Store)?;
        let same = |revision: &Revision| {
            revision.number == newest.number
                || newest.rollout.is_some() && revision.rollout == newest.rollout
        };
        history.into_iter().find(|revision| !same(revision)).ok_or_else(nothing)
    }

    /// Refuses more traffic for a version that cannot run on the schema as it is.
    fn check_contracted(&self, service: &Service, split: &Split) -> Result<(), Refused> {
        let now = self.run_time.traffic.get(&service.name).map(|traffic| &traffic.split);
        for (pool, weight) in split.parts() {
            let key = OverrideKey::Contracted {
                service: service.name.to_string(),
                pool: pool.to_string(),
            };
            let grows = now.is_none_or(|now| *weight > now.weight(pool));
            if grows && self.overrides.contains_key(&key) {
                return Err(Refused::Contracted { pool: pool.to_string() });
            }
        }
        Ok(())
    }

    /// Applies the rule for file and API together: a split that was edited in the file is a new
    /// revision, one that was not keeps what was set at run time. Flags likewise.
    pub(super) fn adopt(&mut self, config: &Arc<Config>, now: Now) -> Result<(), CommitError> {
        let mut batch = Batch::new();
        let mut made: Vec<Arc<str>> = Vec::new();
        let mut superseded = Vec::new();
        let (mut in_file, mut flags) = (BTreeMap::new(), Vec::new());
        for service in &config.services {
            let of: Arc<str> = format!("split {}", service.name).into();
            let said = service.split.to_string();
            let is_unedited = self.in_file.get(&of) == Some(&said);
            batch.in_file(&of, Some(&said));
            in_file.insert(of, said);
            let newest = self.newest.get(&service.name);
            let reason = match newest.filter(|_| is_unedited) {
                Some(newest) if newest.split.check_pools(&service.pool_names()).is_ok() => continue,
                Some(newest) => {
                    Some(format!("revision {} names a pool that is gone", newest.number))
                }
                None => None,
            };
            let (split, at) = (service.split.clone(), now.wall.seconds());
            let draft = Draft { split, author: FILE.into(), reason, at, rollout: None };
            batch.revise(&service.name, self.newest_number(&service.name), draft);
            made.push(service.name.clone());
            let by = "an edit of the file";
            superseded.extend(self.superseded_by(&service.name, by, false, &mut batch, now));
        }
        for flag in &config.flags {
            let of: Arc<str> = format!("flag {}", flag.name).into();
            let said = flag.percent.to_string();
            if self.in_file.get(&of).is_some_and(|before| *before != said)
                && let Some(state) = self.flags.get(&flag.name)
            {
                let (percent, revision) = (flag.percent, state.revision + 1);
                let state = FlagState {
                    percent,
                    revision,
                    author: FILE.into(),
                    reason: None,
                    at: now.wall,
                };
                batch.flag(&flag.name, revision - 1, state.clone());
                flags.push((flag.name.clone(), state));
            }
            batch.in_file(&of, Some(&said));
            in_file.insert(of, said);
        }
        for of in self.in_file.keys().filter(|of| !in_file.contains_key(*of)) {
            batch.in_file(of, None);
            if let Some(name) = of.strip_prefix("split ") {
                let by = "the removal of the service";
                superseded.extend(self.superseded_by(name, by, false, &mut batch, now));
            }
        }
        for (name, under_way) in &self.rollouts {
            let plan = &under_way.rollout.plan;
            let is_gone = |service: &Service| {
                service.pool(&plan.to).is_none() || service.pool(&plan.from).is_none()
            };
            if !made.contains(name) && config.service(name).is_some_and(is_gone) {
                let by = "the removal of its pool";
                superseded.extend(self.superseded_by(name, by, false, &mut batch, now));
            }
        }
        let given_up = self.given_up(config);
        for key in &given_up {
            batch.clear(key.clone());
        }
        // A start that finds everything as it was has nothing to write.
        let is_new = !made.is_empty()
            || !superseded.is_empty()
            || !given_up.is_empty()
            || in_file != self.in_file;
        let revisions = if is_new { self.commit(batch)? } else { Vec::new() };
        for (name, revision) in made.iter().zip(&revisions) {
            let is_edit = self.newest.contains_key(name);
            self.take(name, revision);
            if is_edit {
                let order = Order::of(FILE, revision.reason.as_deref());
                let (split, revision) = (revision.split.clone(), revision.number);
                self.say(Kind::Shifted { split, revision }, Subject::service(name), &order);
            }
        }
        self.run_time.traffic.retain(|name, _| config.service(name).is_some());
        self.run_time.modes.retain(|name, _| config.service(name).is_some());
        for key in given_up {
            if let OverrideKey::Upstreams { service, pool } = &key {
                self.run_time.changed.remove(&(service.as_str().into(), pool.as_str().into()));
            }
            self.overrides.remove(&key);
        }
        self.in_file = in_file;
        self.flags.extend(flags);
        superseded.into_iter().for_each(|superseded| self.supersede(superseded));
        Ok(())
    }

    /// Puts a config in force that was checked: all of it, or nothing if it cannot be stored.
    pub fn reload(&mut self, config: &Arc<Config>, now: Now) -> Result<(), CommitError> {
        self.adopt(config, now)?;
        self.config = config.clone();
        for (service, under_way) in &mut self.rollouts {
            under_way.observing.rename(service, config);
        }
        self.is_changed = true;
        self.align_budgets(false, now).map_err(CommitError::Store)?;
        self.take_flags();
        Ok(())
    }

    /// What was ordered of services and pools that a config does not have, and of lists of upstreams
    /// that it has edited: as with splits, an unedited one keeps what was changed at run time.
    fn given_up(&self, config: &Config) -> Vec<OverrideKey> {
        let pool = |config: &Config, service: &str, pool: &str| {
            config.service(service).and_then(|service| service.pool(pool)).cloned()
        };
        let is_given_up = |key: &&OverrideKey| match key {
            OverrideKey::Mode { service }
            | OverrideKey::Freeze { service }
            | OverrideKey::Lifted { service, .. } => config.service(service).is_none(),
            OverrideKey::Drain { service, pool: name, .. }
            | OverrideKey::Breaker { service, pool: name, .. }
            | OverrideKey::Contracted { service, pool: name } => {
                pool(config, service, name).is_none()
            }
            OverrideKey::Upstreams { service, pool: name } => {
                let now = pool(config, service, name);
                now.is_none() || now != pool(&self.config, service, name)
            }
        };
        self.overrides.keys().filter(is_given_up).cloned().collect()
    }
}

/// Refuses a split that gives more to a pool that can take nothing.
fn check_available(
    snapshot: &Snapshot,
    service: &Service,
    split: &Split,
    now: Now,
) -> Result<(), Refused> {
    let Some(known) = snapshot.service(&service.name) else { return Ok(()) };
    let grows = |pool: &&Pool| split.weight(&pool.name) > known.split.weight(&pool.name);
    let mut growing = known.pools.iter().filter(grows);
    let moment = snapshot.moment(now.instant);
    match growing.find(|pool| !pool.is_ready(&known.stability, moment)) {
        Some(pool) => Err(Refused::NotAvailable(pool.name.to_string())),
        None => Ok(()),
    }
}
