//! Feature flags: shares set in the file or by order, each a numbered state like a split.

use std::sync::Arc;

use super::draft::Draft;
use super::{Made, Refused};
use crate::config::Config;
use crate::event::{Kind, Subject};
use crate::split::BasisPoints;
use crate::state::{Change, FlagState, State};

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

impl FlagReport {
    /// All flags of a config.
    pub fn all(state: &State, config: &Config) -> Vec<FlagReport> {
        let report = |flag: &crate::config::Flag| {
            let state = state.flag(&flag.name).map(|state| (**state).clone());
            FlagReport {
                name: flag.name.clone(),
                // What was ordered stands above what the file says.
                percent: state.as_ref().map_or(flag.percent, |state| state.percent),
                services: flag.services.clone(),
                state,
            }
        };
        config.flags.iter().map(report).collect()
    }

    /// One flag of a config.
    pub fn of(state: &State, config: &Config, name: &str) -> Result<FlagReport, Refused> {
        let mut all = FlagReport::all(state, config).into_iter();
        all.find(|flag| &*flag.name == name).ok_or_else(|| Refused::NoFlag(name.into()))
    }
}

impl Draft<'_> {
    /// Gives a flag to another share of clients. Said twice it is one change still, and going back
    /// takes that back.
    pub fn set_flag(&mut self, name: &str, percent: BasisPoints) -> Result<Made, Refused> {
        let known = self.flag_for_change(name)?;
        match known.state {
            Some(state) if state.percent == percent => self.flag_as_it_is(name),
            _ => self.give_flag(name, percent, false),
        }
    }

    /// Takes a flag back to the state before. What was taken back must not come again by being taken
    /// back once more.
    pub fn roll_flag_back(&mut self, name: &str) -> Result<Made, Refused> {
        let known = self.flag_for_change(name)?;
        match known.state {
            None => return Err(Refused::FlagAsInFile(name.into())),
            Some(state) if state.is_back => return self.flag_as_it_is(name),
            Some(_) => {}
        }
        // Before the first order it was as the file says.
        let in_file = self.view.config.flags.iter().find(|flag| &*flag.name == name);
        let in_file = in_file.map(|flag| flag.percent).unwrap_or_default();
        let before = self.state.flag_history(name).nth(1).map_or(in_file, |before| before.percent);
        self.give_flag(name, before, true)
    }

    /// A flag, if it is at the revision that the change is meant for.
    fn flag_for_change(&self, name: &str) -> Result<FlagReport, Refused> {
        let known = FlagReport::of(&self.state, self.view.config, name)?;
        self.check_expected(known.state.as_ref().map_or(0, |state| state.revision))?;
        Ok(known)
    }

    fn flag_as_it_is(&self, name: &str) -> Result<Made, Refused> {
        let flag = FlagReport::of(&self.state, self.view.config, name)?;
        Ok(Made::Flag { flag, is_changed: false })
    }

    fn give_flag(
        &mut self,
        name: &str,
        percent: BasisPoints,
        is_back: bool,
    ) -> Result<Made, Refused> {
        let config = self.view.config;
        let flag = config.flags.iter().find(|flag| &*flag.name == name);
        let flag = flag.ok_or_else(|| Refused::NoFlag(name.into()))?;
        let current = self.state.flag(name).map_or(0, |state| state.revision);
        let (author, reason) = (self.by.author.clone(), self.by.reason.clone());
        let (revision, at) = (current + 1, self.view.now.wall);
        let state = Arc::new(FlagState { percent, revision, author, reason, at, is_back });
        self.change(Change::Flag { name: flag.name.clone(), state });
        for service in &flag.services {
            let kind = Kind::FlagSet { flag: flag.name.clone(), percent, revision };
            self.say(kind, Subject::service(service));
        }
        let flag = FlagReport::of(&self.state, config, name)?;
        Ok(Made::Flag { flag, is_changed: true })
    }
}
