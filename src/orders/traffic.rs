//! Splits: shifted by order, taken back to an earlier revision, edited in the file.

use std::sync::Arc;

use super::absent::{is_settled, said_key};
use super::draft::{Draft, Undecided};
use super::{By, Haste, Made, Refused, TrafficOrder, upstreams_in};
use crate::config::{Config, Service};
use crate::event::{Kind, Subject};
use crate::rollout::Strategy;
use crate::split::{BasisPoints, Split};
use crate::state::{About, Change, Draft as Drafted, FilePart, FlagState, Revision};

/// Who a revision is by that was made by an edit of the file.
pub(super) const FILE: &str = "file";

/// How many differences an event of a reload tells; `pointsman diff` and the answer to `reload` tell
/// all.
const CHANGES_TOLD: usize = 10;

impl Draft<'_> {
    /// Makes a new revision of a service's split.
    pub fn shift(&mut self, name: &str, to: TrafficOrder) -> Result<Made, Undecided> {
        let config = self.view.config;
        let service = config.service(name).ok_or_else(|| Refused::NoService(name.into()))?;
        let current = self.newest_number(name);
        self.check_expected(current)?;
        let takes_back_the_last = to == TrafficOrder::Back { to: None };
        if let Some(newest) = self.state.newest(name).filter(|newest| newest.is_back)
            && takes_back_the_last
        {
            // What was taken back must not come again by being taken back once more.
            return match self.state.rollout(name) {
                None => Ok(Made::Already(newest.clone())),
                Some(rollout) if rollout.plan.strategy == Strategy::Rolling => {
                    // It may have renewed half of a pool: that is ended by its own order.
                    let (service, id, to) = (name.into(), rollout.id, rollout.plan.to.to_string());
                    Err(Refused::RolloutUnderWay { service, id, to }.into())
                }
                Some(rollout) => {
                    Err(Refused::NothingMoved { service: name.into(), id: rollout.id }.into())
                }
            };
        }
        let under_way = self.state.rollout(name).cloned();
        if let Some(rollout) = &under_way {
            let has_moved = rollout.has_moved() || rollout.plan.strategy == Strategy::Rolling;
            if takes_back_the_last && !has_moved {
                // The change before it may have been away from its very target, or there is none.
                return Err(Refused::NothingMoved { service: name.into(), id: rollout.id }.into());
            }
        }
        let (split, goes_back) = self.split_of(service, to)?;
        if let Some(rollout) = under_way.as_ref().filter(|_| goes_back.is_none() && !self.by.force)
        {
            let (service, id, to) = (name.into(), rollout.id, rollout.plan.to.to_string());
            return Err(Refused::RolloutUnderWay { service, id, to }.into());
        }
        if let (Some(newest), None) = (self.state.newest(name), &under_way)
            && newest.split == split
            && goes_back.is_none_or(|to| newest.is_back && self.is_as(name, newest, to))
        {
            // Said twice it is one change still, and a rollback takes that back.
            return Ok(Made::Already(newest.clone()));
        }
        if !self.by.force {
            if let Some(then) = goes_back.and_then(|number| self.state.revision(name, number)) {
                self.check_versions(name, then)?;
                self.check_given_back(name, &then.split)?;
            }
            self.check_contracted(service, &split)?;
            self.check_growing(&service.name, &split)?;
        }
        let author = self.by.author.clone();
        let words = match goes_back {
            Some(to) => format!("a rollback to revision {to} by {author}"),
            None => format!("a shift by {author}"),
        };
        if let (Some(rollout), None) = (&under_way, goes_back)
            && split.weight(&rollout.plan.to) > BasisPoints::NONE
        {
            // What was deployed is what whoever forces this wants to see served.
            self.settle_version(name, &rollout.plan.to);
        }
        self.supersede(name, &words, goes_back.is_some());
        if goes_back.is_some() && under_way.is_some() {
            self.haste = Haste::Traffic;
        }
        let reason = match goes_back {
            Some(to) => {
                let why = self.by.reason.as_ref().map_or_else(String::new, |r| format!(": {r}"));
                let outcome = format!("rolled back by {author}{why}");
                self.note_outcome(&service.name, current, &outcome);
                Some(format!("rollback to revision {to}{why}"))
            }
            None => self.by.reason.clone(),
        };
        if goes_back.is_none() {
            self.warnings = self.overloads(name, &split);
        }
        let at = self.view.now.wall.seconds();
        let is_back = goes_back.is_some();
        let drafted = Drafted { split, author, reason, at, rollout: None, is_back };
        let revision = self.revise(&service.name, drafted, goes_back);
        let (split, number) = (revision.split.clone(), revision.number);
        let kind = match goes_back {
            Some(to) => Kind::RolledBack { to, split, revision: number },
            None => Kind::Shifted { split, revision: number },
        };
        self.say(kind, Subject::service(name));
        Ok(Made::Revision(revision))
    }

    /// The split that is asked for, and the revision that it goes back to, if it does.
    fn split_of(
        &self,
        service: &Service,
        to: TrafficOrder,
    ) -> Result<(Split, Option<u64>), Refused> {
        match to {
            TrafficOrder::Weights(weights) => {
                let split = Split::new(weights.into_iter().map(|(pool, w)| (pool.into(), w)))?;
                split.check_pools(&service.pool_names())?;
                Ok((split, None))
            }
            TrafficOrder::Flip { pool } => {
                if service.pool(&pool).is_none() {
                    return Err(Refused::NoPool { service: service.name.to_string(), pool });
                }
                Ok((Split::all_to(pool.into()), None))
            }
            TrafficOrder::Back { to } => {
                let revision = match to {
                    Some(number) => self.revision(&service.name, number)?,
                    None => self.before_the_last_change(&service.name)?,
                };
                revision.split.check_pools(&service.pool_names())?;
                Ok((revision.split.clone(), Some(revision.number)))
            }
        }
    }

    /// Whether in a revision every client is where it was in another of the same split.
    fn is_as(&self, service: &str, revision: &Revision, other: u64) -> bool {
        let place = |revision: &Revision| (revision.salt, revision.layout.clone());
        let other = self.state.revision(service, other);
        revision.split.is_one_sided() || other.is_some_and(|other| place(other) == place(revision))
    }

    fn revision(&self, service: &str, number: u64) -> Result<&Arc<Revision>, Refused> {
        let missing = || Refused::NoRevision { service: service.into(), number };
        self.state.revision(service, number).ok_or_else(missing)
    }

    /// The state before the newest revision; the steps of one rollout count as one change.
    fn before_the_last_change(&self, service: &str) -> Result<&Arc<Revision>, Refused> {
        let nothing = || Refused::NothingBefore(service.into());
        let newest = self.state.newest(service).ok_or_else(nothing)?;
        let same = |revision: &Revision| {
            revision.number == newest.number
                || newest.rollout.is_some() && revision.rollout == newest.rollout
        };
        self.state.history(service).find(|revision| !same(revision)).ok_or_else(nothing)
    }

    /// Refuses more traffic for a version that cannot run on the schema as it is.
    fn check_contracted(&self, service: &Service, split: &Split) -> Result<(), Refused> {
        let now = self.state.newest(&service.name).map(|newest| &newest.split);
        for (pool, weight) in split.parts() {
            let grows = now.is_none_or(|now| *weight > now.weight(pool));
            let about = About::contracted(&service.name, pool);
            if grows && self.state.order(&about).is_some() {
                return Err(Refused::Contracted { pool: pool.to_string() });
            }
        }
        Ok(())
    }

    /// Puts a config in force that was read again, and says what that changes.
    pub fn reload(
        &mut self,
        config: &Arc<Config>,
        changes: &[String],
        forgets: bool,
    ) -> Result<Made, Refused> {
        self.check_deploys(config)?;
        self.check_ordered(config)?;
        let told = changes.iter().take(CHANGES_TOLD).cloned().collect();
        self.say(Kind::Reloaded { changes: told, all: changes.len() }, Subject::default());
        Ok(self.adopt(config, forgets))
    }

    /// Applies the rule for file and API together: a split that was edited in the file is a new
    /// revision, one that was not keeps what was set at run time. Flags and lists of upstreams
    /// likewise. The start of a process and a reload both come here. `forgets`: nothing is kept of
    /// what is not in the file any more.
    pub fn adopt(&mut self, config: &Arc<Config>, forgets: bool) -> Made {
        self.forget_absent(forgets);
        // Before what comes back is told of, for it does not; and before splits, which may have given
        // traffic to what is gone with them.
        self.give_up_upstreams(config);
        let before = self.state.in_file().clone();
        for service in &config.services {
            let part = FilePart::Service(service.name.clone());
            let said = service.split.to_string();
            // The first file of all brings no news.
            let is_known = said_key(&part).is_some_and(|of| before.contains_key(&of));
            let is_back = self.state.is_absent(&part);
            if !before.is_empty() && (is_back || !is_known) {
                self.say(Kind::ServiceAdded, Subject::service(&service.name));
            }
            self.adopt_split(service, self.is_in_file(&part, &said), is_back);
            self.note_in_file(&part, said);
        }
        for flag in &config.flags {
            let part = FilePart::Flag(flag.name.clone());
            let said = flag.percent.to_string();
            let is_known = said_key(&part).is_some_and(|of| before.contains_key(&of));
            if is_known
                && !self.is_in_file(&part, &said)
                && let Some(state) = self.state.flag(&flag.name)
            {
                let state = FlagState {
                    percent: flag.percent,
                    revision: state.revision + 1,
                    author: FILE.into(),
                    reason: None,
                    at: self.view.now.wall,
                    is_back: false,
                };
                self.change(Change::Flag { name: flag.name.clone(), state: Arc::new(state) });
            }
            self.note_in_file(&part, said);
        }
        self.note_absent(config, forgets);
        self.give_up_rollouts(config);
        self.give_up_deploys(config);
        Made::Done
    }

    /// Whether this is what the file said when it was read last.
    fn is_in_file(&self, part: &FilePart, said: &str) -> bool {
        said_key(part)
            .is_some_and(|of| self.state.in_file().get(&of).is_some_and(|was| was == said))
    }

    fn note_in_file(&mut self, part: &FilePart, said: String) {
        if let Some(of) = said_key(part).filter(|_| !self.is_in_file(part, &said)) {
            self.change(Change::InFile { of, said: Some(said) });
        }
    }

    /// `is_back`: the service was gone meanwhile.
    fn adopt_split(&mut self, service: &Service, is_unedited: bool, is_back: bool) {
        let name = &service.name;
        let newest = self.state.newest(name).cloned();
        let reason = match newest.as_ref().filter(|_| is_unedited) {
            // Its rollout ended with the service, and nobody watches over this share any more.
            Some(newest) if is_back && !is_settled(&self.state, name, newest) => {
                Some(format!("revision {} was a step of a rollout that has ended", newest.number))
            }
            Some(newest) if newest.split.check_pools(&service.pool_names()).is_err() => {
                Some(format!("revision {} names a pool that is gone", newest.number))
            }
            Some(newest) => match self.emptied(service, &newest.split) {
                None => return,
                Some(pool) => {
                    let number = newest.number;
                    Some(format!("pool `{pool}` of revision {number} has no upstreams any more"))
                }
            },
            None => None,
        };
        self.supersede(name, "an edit of the file", false);
        let (split, at) = (service.split.clone(), self.view.now.wall.seconds());
        let (author, rollout, is_back) = (FILE.into(), None, false);
        let drafted = Drafted { split, author, reason: reason.clone(), at, rollout, is_back };
        let revision = self.revise(name, drafted, None);
        if newest.is_some() {
            let kind = Kind::Shifted { split: revision.split.clone(), revision: revision.number };
            let by = std::mem::replace(&mut self.by, By::new(FILE, reason.as_deref()));
            self.say(kind, Subject::service(name));
            self.by = by;
        }
    }

    /// A pool that gets traffic by a split, not by the file's, and has no upstreams, by the file and by
    /// order.
    fn emptied(&self, service: &Service, split: &Split) -> Option<Arc<str>> {
        let is_empty = |pool: &Arc<str>| match upstreams_in(&self.state, &service.name, pool) {
            Some(ordered) => ordered.is_empty(),
            None => service.pool(pool).is_none_or(|pool| pool.upstreams.is_empty()),
        };
        let with_traffic = split.parts().iter().filter(|(_, weight)| *weight > BasisPoints::NONE);
        let not_by_file = |pool: &&Arc<str>| service.split.weight(pool) == BasisPoints::NONE;
        let mut pools = with_traffic.map(|(pool, _)| pool).filter(not_by_file);
        pools.find(|pool| is_empty(pool)).cloned()
    }

    /// Ends rollouts between pools of which one is gone.
    fn give_up_rollouts(&mut self, config: &Config) {
        let is_gone = |service: &Service, pools: [&Arc<str>; 2]| {
            pools.into_iter().any(|pool| service.pool(pool).is_none())
        };
        let gone: Vec<Arc<str>> = self
            .state
            .rollouts()
            .filter(|rollout| {
                let pools = [&rollout.plan.to, &rollout.plan.from];
                config.service(&rollout.service).is_some_and(|service| is_gone(service, pools))
            })
            .map(|rollout| rollout.service.clone())
            .collect();
        gone.iter().for_each(|name| self.supersede(name, "the removal of its pool", false));
    }
}
