//! Who may come in by a route beside whom its lists let in: a request's `Authorization` or another
//! service's word in; in, not in, or what has to be found out first, out.
//!
//! Everything here decides and keeps, nothing waits. What takes long, the hash of a password and the
//! question to a service, is a value that the rim works on ([`Claim`], [`Question`]), off the workers
//! or without holding one up. `hashed.rs` is one password as a file keeps it, `users.rs` the file,
//! `credentials.rs` what a request brings. `passed.rs` remembers who was right a moment ago, `failures.rs`
//! who was wrong too often, and `passwords.rs` puts these together. `asking.rs` is the service that is
//! asked.

mod asking;
mod credentials;
mod failures;
mod hashed;
mod passed;
mod passwords;
mod users;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use asking::{Ask, Asked, LONGEST_ANSWER, Question, Said, Word};
pub use credentials::Credentials;
pub use passwords::{Begun, Claim, Found, Passwords};
pub use users::{UserFiles, Users};

/// Who may come in by a route, as the config says it.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Whose name and password are in a file.
    Basic {
        /// The file.
        users: PathBuf,
        /// Whether upstreams get `Authorization` too.
        passes_on: bool,
    },
    /// Whom another service lets in.
    Ask(Arc<Ask>),
}

/// The same with all that is known of it.
#[derive(Clone, Debug)]
pub enum Door {
    /// A file of users.
    Passwords(Arc<Passwords>),
    /// A service that is asked.
    Asked(Arc<Asked>),
}

impl Door {
    /// Whether who was let in by one is let in by the other: nothing has changed between them.
    pub fn is_same(&self, other: &Door) -> bool {
        match (self, other) {
            (Door::Passwords(one), Door::Passwords(other)) => one.is_same(other),
            (Door::Asked(one), Door::Asked(other)) => one.ask == other.ask,
            _ => false,
        }
    }
}

/// What came of it, since the start of the process.
#[derive(Debug, Default)]
pub struct Outcomes([[AtomicU64; 3]; 2]);

/// Who said whether somebody may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A password was hashed.
    Password,
    /// A service was asked.
    Service,
}

/// What was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In.
    Passed,
    /// Not in.
    Refused,
    /// Nothing, or nothing in time.
    Failed,
}

impl Outcomes {
    /// What a metric calls them.
    pub const BY: [&'static str; 2] = ["password", "service"];
    pub const OUTCOMES: [&'static str; 3] = ["passed", "refused", "failed"];

    /// One more.
    pub fn count(&self, by: By, outcome: Outcome) {
        self.0[by as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All of them, as they are named, where there are any.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let of = |(by, counts): (&'static str, &[AtomicU64; 3])| {
            let counts = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
            let are_any = counts.iter().any(|count| *count > 0);
            let named = Outcomes::OUTCOMES.into_iter().zip(counts);
            named.map(move |(outcome, count)| (by, outcome, count)).filter(move |_| are_any)
        };
        Outcomes::BY.into_iter().zip(&self.0).flat_map(of)
    }
}
