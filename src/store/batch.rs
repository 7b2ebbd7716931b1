//! Changes that belong together: collected one by one, made all at once or not at all.

use std::sync::Arc;

use super::{Draft, FlagState, Override, OverrideKey, StoredEvent};
use crate::rollout::Rollout;
use crate::slo::{Block, Budget, Course, Grain, Objective};

/// Changes that are made together. Later ones see what earlier ones did.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) changes: Vec<Change>,
}

/// One change.
#[derive(Debug)]
pub(super) enum Change {
    Revise { service: Arc<str>, expected: u64, draft: Draft, back_to: Option<u64> },
    Outcome { service: Arc<str>, number: u64, text: String },
    Rollout(Box<Rollout>),
    EndRollout(Box<Rollout>),
    Settle(Box<Rollout>),
    Set(Override),
    Clear(OverrideKey),
    Flag { name: Arc<str>, expected: u64, state: FlagState },
    Events(Vec<StoredEvent>),
    InFile { of: String, said: Option<String> },
    Budget(Box<BudgetChange>),
    ForgetBudget { of: String },
}

/// What is new of an error budget.
#[derive(Debug)]
pub(super) struct BudgetChange {
    /// Its key.
    pub of: String,
    pub course: Course,
    /// In the place of those of the same stretches.
    pub blocks: Vec<Block>,
    /// Older blocks of a grain are not needed any more.
    pub oldest: Vec<(Grain, u64)>,
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Makes a draft the newest revision of a service, if `expected` is still the newest (0 for
    /// none yet).
    pub fn revise(&mut self, service: &Arc<str>, expected: u64, draft: Draft) -> &mut Batch {
        self.push(Change::Revise { service: service.clone(), expected, draft, back_to: None })
    }

    /// As [`Batch::revise`], with every client where it was at the revision `back_to`, as long as
    /// that is remembered and had the same split.
    pub fn revert(
        &mut self,
        service: &Arc<str>,
        expected: u64,
        draft: Draft,
        back_to: u64,
    ) -> &mut Batch {
        let (service, back_to) = (service.clone(), Some(back_to));
        self.push(Change::Revise { service, expected, draft, back_to })
    }

    /// Notes what became of a revision. One that is not remembered any more needs no outcome.
    pub fn outcome(&mut self, service: &Arc<str>, number: u64, text: &str) -> &mut Batch {
        self.push(Change::Outcome { service: service.clone(), number, text: text.into() })
    }

    /// Keeps where the rollout of a service is.
    pub fn rollout(&mut self, rollout: &Rollout) -> &mut Batch {
        self.push(Change::Rollout(Box::new(rollout.clone())))
    }

    /// Moves a service's rollout to its past ones.
    pub fn end_rollout(&mut self, rollout: &Rollout) -> &mut Batch {
        self.push(Change::EndRollout(Box::new(rollout.clone())))
    }

    /// Keeps what has become of a past rollout since its end, if it is remembered.
    pub fn settle(&mut self, rollout: &Rollout) -> &mut Batch {
        self.push(Change::Settle(Box::new(rollout.clone())))
    }

    /// Puts an override in place of the one with the same key.
    pub fn set(&mut self, standing: Override) -> &mut Batch {
        self.push(Change::Set(standing))
    }

    /// Takes an override back; there need not be one.
    pub fn clear(&mut self, key: OverrideKey) -> &mut Batch {
        self.push(Change::Clear(key))
    }

    /// Makes a state the newest of a flag, if `expected` is still the newest (0 for none yet). Its
    /// number becomes the one after that, whatever it says.
    pub fn flag(&mut self, name: &Arc<str>, expected: u64, state: FlagState) -> &mut Batch {
        self.push(Change::Flag { name: name.clone(), expected, state })
    }

    /// Keeps events, by their numbers.
    pub fn events(&mut self, events: Vec<StoredEvent>) -> &mut Batch {
        self.push(Change::Events(events))
    }

    /// Keeps what the config file says of something, such as `split shop`; none once it says
    /// nothing of it any more.
    pub fn in_file(&mut self, of: &str, said: Option<&str>) -> &mut Batch {
        self.push(Change::InFile { of: of.into(), said: said.map(Into::into) })
    }

    /// Keeps what is new of a service's error budget, and lets go of what is over.
    pub fn budget(&mut self, service: &str, budget: &Budget) -> &mut Batch {
        self.push(Change::Budget(Box::new(BudgetChange {
            of: budget_key(service, budget.objective()),
            course: budget.course().clone(),
            blocks: budget.rings().unsaved(),
            oldest: budget.rings().oldest_blocks().collect(),
        })))
    }

    /// Forgets an error budget, by a key of [`Store::budgets`](super::Store::budgets).
    pub fn forget_budget(&mut self, of: &str) -> &mut Batch {
        self.push(Change::ForgetBudget { of: of.into() })
    }

    fn push(&mut self, change: Change) -> &mut Batch {
        self.changes.push(change);
        self
    }
}

/// What an error budget is kept under, as in `shop/p99 500ms`: an objective that counts otherwise has
/// another history.
pub(super) fn budget_key(service: &str, objective: &Objective) -> String {
    format!("{service}/{objective}")
}
