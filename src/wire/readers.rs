//! Who reads the record of each request, beside those that the core tells itself.

use std::sync::Arc;

use super::failure_log::FailureLog;
use crate::clock::Clock;
use crate::record::{Reader, Record, Rings};
use crate::snapshot::Snapshot;

/// All readers of a process.
#[derive(Debug)]
pub struct Readers {
    last: Arc<Rings>,
    failures: FailureLog,
}

impl Readers {
    /// The rings of the last requests, and the log.
    pub fn new(last: Arc<Rings>, clock: Clock) -> Readers {
        Readers { last, failures: FailureLog::new(clock) }
    }
}

impl Reader for Readers {
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot) {
        self.last.read(record, snapshot);
        self.failures.read(record, snapshot);
    }
}
