//! What is called at points of a rollout, and may stop it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point of a rollout at which something outside is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// Before anything; a failure ends the rollout.
    BeforeStart,
    /// Widens the schema so that both versions can run on it, before any traffic moves.
    Expand,
    /// Before each further step; a failure pauses.
    BeforeStep,
    /// Before the last step; a failure pauses.
    BeforePromote,
    /// Once all traffic is on the target; a failure is told.
    AfterPromote,
    /// Once traffic was taken back; a failure is told.
    AfterRollback,
    /// Narrows the schema, after the watch: the old version cannot run from then on.
    Contract,
    /// Puts the new version on this upstream, in a rolling rollout.
    Deploy {
        /// Its address.
        upstream: Arc<str>,
    },
}

impl HookPoint {
    /// Its key in the config, and its name to whom it calls.
    pub fn name(&self) -> &'static str {
        match self {
            HookPoint::BeforeStart => "before_start",
            HookPoint::Expand => "expand",
            HookPoint::BeforeStep => "before_step",
            HookPoint::BeforePromote => "before_promote",
            HookPoint::AfterPromote => "after_promote",
            HookPoint::AfterRollback => "after_rollback",
            HookPoint::Contract => "contract",
            HookPoint::Deploy { .. } => "deploy",
        }
    }
}

/// Something outside that is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A POST with signed JSON; any 2xx lets the rollout go on.
    Webhook {
        /// `http` or `https`.
        url: String,
        /// A file that holds the key of the signature.
        secret_file: Option<PathBuf>,
        /// For all of it.
        timeout: Duration,
    },
    /// A command of this machine, without a shell; exit code 0 lets the rollout go on.
    Command {
        /// Program and arguments.
        run: Vec<String>,
        /// For all of it.
        timeout: Duration,
    },
}

/// The hooks of a rollout, one for each point at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// See [`HookPoint::BeforeStart`].
    pub before_start: Option<Hook>,
    /// See [`HookPoint::Expand`].
    pub expand: Option<Hook>,
    /// See [`HookPoint::BeforeStep`].
    pub before_step: Option<Hook>,
    /// See [`HookPoint::BeforePromote`].
    pub before_promote: Option<Hook>,
    /// See [`HookPoint::AfterPromote`].
    pub after_promote: Option<Hook>,
    /// See [`HookPoint::AfterRollback`].
    pub after_rollback: Option<Hook>,
    /// See [`HookPoint::Contract`].
    pub contract: Option<Hook>,
    /// See [`HookPoint::Deploy`].
    pub deploy: Option<Hook>,
}

impl Hook {
    /// For all of it.
    pub fn timeout(&self) -> Duration {
        match self {
            Hook::Webhook { timeout, .. } | Hook::Command { timeout, .. } => *timeout,
        }
    }
}

impl Hooks {
    /// Where the keys of signatures are.
    pub fn secret_files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let Hooks {
            before_start,
            expand,
            before_step,
            before_promote,
            after_promote,
            after_rollback,
            contract,
            deploy,
        } = self;
        let promotion = [before_start, expand, before_step, before_promote, after_promote];
        let others = [after_rollback, contract, deploy];
        promotion.into_iter().chain(others).flatten().filter_map(|hook| match hook {
            Hook::Webhook { secret_file, .. } => secret_file.as_mut(),
            Hook::Command { .. } => None,
        })
    }

    /// What is called at this point.
    pub fn at(&self, point: &HookPoint) -> Option<&Hook> {
        match point {
            HookPoint::BeforeStart => self.before_start.as_ref(),
            HookPoint::Expand => self.expand.as_ref(),
            HookPoint::BeforeStep => self.before_step.as_ref(),
            HookPoint::BeforePromote => self.before_promote.as_ref(),
            HookPoint::AfterPromote => self.after_promote.as_ref(),
            HookPoint::AfterRollback => self.after_rollback.as_ref(),
            HookPoint::Contract => self.contract.as_ref(),
            HookPoint::Deploy { .. } => self.deploy.as_ref(),
        }
    }
}
