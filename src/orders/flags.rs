//! Feature flags: shares set in the file or by order, each a numbered state like a split.

use std::sync::Arc;

use super::{Desk, Now, check_expected};
use crate::event::{Kind, Subject};
use crate::orders::{Order, Refused};
use crate::split::BasisPoints;
use crate::store::{Batch, CommitError, FlagState};

/// A flag for people.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagReport {
    /// Unique.
    pub name: Arc<str>,
    /// The share of clients that has it.
    pub percent: BasisPoints,
    /// Its services.
    pub services: Vec<Arc<str>>,
    /// What was ordered last; none if the file alone has said so far.
    pub state: Option<FlagState>,
}

impl Desk {
    /// Gives a flag to another share of clients.
    pub fn set_flag(
        &mut self,
        name: &str,
        percent: BasisPoints,
        order: &Order,
        now: Now,
    ) -> Result<FlagReport, Refused> {
        let config = self.config.clone();
        let flag = config.flags.iter().find(|flag| &*flag.name == name);
        let flag = flag.ok_or_else(|| Refused::NoFlag(name.into()))?;
        let current = self.flags.get(name).map_or(0, |state| state.revision);
        check_expected(order.expected, current)?;
        let (author, reason) = (order.author.clone(), order.reason.clone());
        let state = FlagState { percent, revision: current + 1, author, reason, at: now.wall };
        let mut batch = Batch::new();
        batch.flag(&flag.name, current, state.clone());
        self.commit(batch)?;
        self.flags.insert(flag.name.clone(), state);
        self.take_flags();
        for service in &flag.services {
            let (flag, revision) = (flag.name.clone(), current + 1);
            let kind = Kind::FlagSet { flag, percent, revision };
            self.say(kind, Subject::service(service), order);
        }
        self.flag(name)
    }

    /// Takes a flag back to the state before.
    pub fn roll_flag_back(
        &mut self,
        name: &str,
        order: &Order,
        now: Now,
    ) -> Result<FlagReport, Refused> {
        self.flag(name)?;
        let history = self.store.flag_history(name, 2).map_err(CommitError::Store)?;
        let before = match history.get(1) {
            Some(before) => before.percent,
            None if history.is_empty() => return Err(Refused::FlagAsInFile(name.into())),
            // Before the first order it was as the file says.
            None => self.percent_in_file(name).unwrap_or_default(),
        };
        self.set_flag(name, before, order, now)
    }

    /// One flag.
    pub fn flag(&self, name: &str) -> Result<FlagReport, Refused> {
        let all = self.flags();
        all.into_iter().find(|flag| &*flag.name == name).ok_or_else(|| Refused::NoFlag(name.into()))
    }

    /// All flags of the config.
    pub fn flags(&self) -> Vec<FlagReport> {
        let report = |flag: &crate::config::Flag| {
            let state = self.flags.get(&flag.name).cloned();
            FlagReport {
                name: flag.name.clone(),
                percent: self.run_time.flags.get(&flag.name).copied().unwrap_or(flag.percent),
                services: flag.services.clone(),
                state,
            }
        };
        self.config.flags.iter().map(report).collect()
    }

    fn percent_in_file(&self, name: &str) -> Option<BasisPoints> {
        let flag = self.config.flags.iter().find(|flag| &*flag.name == name);
        flag.map(|flag| flag.percent)
    }

    /// What was ordered of flags stands above what the file says.
    pub(super) fn take_flags(&mut self) {
        let ordered = self.flags.iter().map(|(name, state)| (name.clone(), state.percent));
        self.run_time.flags = ordered.collect();
        self.is_changed = true;
    }
}
