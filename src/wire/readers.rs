//! Who reads the record of each request, beside those that the core tells itself.

use std::sync::Arc;

use super::request_log::RequestLog;
use crate::access_log::Entries;
use crate::clock::Clock;
use crate::record::{Reader, Record, Refusals, Rings};
use crate::snapshot::Snapshot;
use crate::traces::Waiting;

/// All readers of a process.
#[derive(Debug)]
pub struct Readers {
    last: Arc<Rings>,
    refusals: Arc<Refusals>,
    access: Arc<Entries>,
    traces: Arc<Waiting>,
    log: RequestLog,
}

impl Readers {
    /// The rings of the last requests, the counts of what was refused, the access log, the traces, and the log
    /// of what went wrong.
    pub fn new(
        last: Arc<Rings>,
        refusals: Arc<Refusals>,
        access: Arc<Entries>,
        traces: Arc<Waiting>,
        clock: Clock,
    ) -> Readers {
        Readers { last, refusals, access, traces, log: RequestLog::new(clock) }
    }
}

impl Reader for Readers {
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot) {
        self.last.read(record, snapshot);
        self.access.read(record, snapshot);
        self.traces.read(record, snapshot);
        if record.is_uneventful() {
            return;
        }
        self.refusals.read(record, snapshot);
        self.log.read(record, snapshot);
    }
}
