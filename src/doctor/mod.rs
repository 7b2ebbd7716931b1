//! What is in place for production and what is missing: facts in, one finding for each check out.
//!
//! [`CHECKS`] declares each check once: what it is called, how much it matters, why, what mends it, and the
//! function that looks. The command, the API's answer and the table of `docs/doctor.md` come of that. Facts are
//! gathered by whoever can see them: the running proxy, or the command on its own machine; what nobody could
//! look at is said to be so.

mod alerting;
mod checks;
mod facts;
mod process;
mod services;
#[cfg(test)]
mod tests;

pub use checks::{CHECKS, Check, Remedy, Seen, check};
pub use facts::{
    Disk, Facts, Good, Here, Judged, Notified, PoolLoad, ProcessFacts, Running, Sandbox,
    ServiceFacts, StopTimeout,
};

/// What a check has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is as it should be: what there is.
    Well(String),
    /// It is not.
    Missing {
        /// What is not, in a sentence.
        what: String,
        /// Whose: a service, or `SERVICE/POOL`; empty where it is of no service.
        of: Vec<String>,
    },
    /// Nobody can say yet.
    Unknown {
        /// Why, in a sentence.
        why: String,
        /// Of whom, as in [`Found::Missing`].
        of: Vec<String>,
    },
    /// It was not looked at, and why.
    Skipped(String),
}

impl Found {
    fn missing(what: impl Into<String>) -> Found {
        Found::Missing { what: what.into(), of: Vec::new() }
    }

    fn well(what: impl Into<String>) -> Found {
        Found::Well(what.into())
    }
}

/// A check with what it has come to.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which.
    pub check: &'static Check,
    /// What it has come to.
    pub found: Found,
}

impl Finding {
    /// The lines that mend it, made for whom it is about; nothing of what is well.
    pub fn lines(&self) -> Vec<String> {
        let of = match &self.found {
            Found::Missing { of, .. } | Found::Unknown { of, .. } => of.first().map(String::as_str),
            Found::Well(_) | Found::Skipped(_) => return Vec::new(),
        };
        self.check.remedy.lines_for(of)
    }
}

/// All checks, in their order.
pub fn diagnose(facts: &Facts<'_>) -> Vec<Finding> {
    CHECKS.iter().map(|check| Finding { check, found: check.look.at(facts) }).collect()
}

/// Some names in a sentence: `a, b and 3 more`.
fn names(of: &[String]) -> String {
    const TOLD: usize = 3;
    let told = of.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    match of.len().checked_sub(TOLD) {
        Some(more @ 1..) => format!("{told} and {more} more"),
        _ => told,
    }
}
