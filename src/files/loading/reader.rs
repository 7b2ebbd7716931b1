//! Who reads the files that a config names: a file or a problem in, what this reader may look at or is told out.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, PathBuf};

use super::Named;
use crate::certificate::Certificates;
use crate::config::Problem;

/// Who reads the files that a config names, and when, in seconds since the epoch.
#[derive(Clone, Debug)]
pub(in crate::files) struct Reader {
    pub who: Who,
    /// None if the age of certificates is nobody's business.
    pub now: Option<u64>,
}

#[derive(Clone, Debug)]
pub(in crate::files) enum Who {
    /// Who serves by it, and needs all of them; with the certificates that it has, if it serves
    /// already.
    Process(Option<Certificates>),
    /// Who checks it, and need not be allowed to read tokens and keys.
    Checker,
    /// Who sends it, and may name these beside what lies beside the config.
    Stranger(BTreeSet<PathBuf>),
}

impl Reader {
    /// Whether a file may be looked at.
    pub(super) fn may_name(&self, named: &Named) -> bool {
        let lies_beside = || {
            let mut parts = named.written.components();
            parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        };
        match &self.who {
            Who::Process(_) | Who::Checker => true,
            Who::Stranger(known) => known.contains(&named.placed) || lies_beside(),
        }
    }

    /// What it is told of a certificate that is not good now. One that is in force anyway, or with which
    /// a process begins, does more good than none.
    pub(super) fn told_age(
        &self,
        problem: Problem,
        is_same: impl Fn(&Certificates) -> bool,
    ) -> Problem {
        match &self.who {
            Who::Process(None) => problem.warning(),
            Who::Process(Some(known)) if is_same(known) => problem.warning(),
            _ => problem,
        }
    }

    /// What it is told of a file of tokens or of a key that cannot be read.
    pub(super) fn told_unreadable(&self, problem: Problem, error: &io::Error) -> Problem {
        match (&self.who, error.kind()) {
            (Who::Checker, io::ErrorKind::PermissionDenied) => problem.warning(),
            _ => problem,
        }
    }
}
