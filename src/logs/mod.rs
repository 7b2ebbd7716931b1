//! The process's own log: what is noteworthy in, lines on standard error out.
//!
//! There is one of a process, as there is one standard error: it is started once, and its levels can be
//! changed while it runs.

mod levels;
mod repeats;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::clock::Clock;
use repeats::Repeats;

pub use levels::{BadLevel, Level, Levels, MOST, OURS, REST, ROOMS, Wish};

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured or not.
    Text {
        /// Whether a terminal reads it.
        is_coloured: bool,
    },
    /// One JSON object a line.
    Json,
}

/// The log of this process.
#[derive(Debug)]
pub struct Logs {
    levels: Mutex<Levels>,
    began: Levels,
    filter: reload::Handle<Targets, Registry>,
}

static LOGS: OnceLock<Logs> = OnceLock::new();

impl Logs {
    /// That of this process; none before it is started.
    pub fn of_process() -> Option<&'static Logs> {
        LOGS.get()
    }

    /// Starts it with these levels. A second start in one process keeps the first.
    pub fn start(format: Format, levels: Levels, clock: Clock) {
        let (filter, handle) = reload::Layer::new(levels.filter());
        let repeats = Arc::new(Repeats::new(clock));
        let base =
            tracing_subscriber::registry().with(filter).with(repeats::Bound(repeats.clone()));
        let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
        let begun = match format {
            Format::Text { is_coloured } => base.with(lines.with_ansi(is_coloured)).try_init(),
            Format::Json => base.with(lines.json().flatten_event(true)).try_init(),
        };
        if begun.is_ok() {
            let _ = LOGS.set(Logs {
                levels: Mutex::new(levels.clone()),
                began: levels,
                filter: handle,
            });
            repeats.tell_from_a_thread();
        }
    }

    /// What is said now.
    pub fn levels(&self) -> Levels {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has more or less said, until the process ends; with `resets` as it was at the start before that.
    pub fn change(&self, wishes: &[Wish], resets: bool) -> Result<Levels, BadLevel> {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = if resets { self.began.clone() } else { levels.clone() };
        wishes.iter().for_each(|wish| next.set(wish));
        next.check()?;
        // It fails only where the subscriber is gone, and it lives as long as the process.
        let _ = self.filter.reload(next.filter());
        *levels = next.clone();
        Ok(next)
    }
}
