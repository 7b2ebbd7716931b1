//! How the log of a verb that serves begins.

use clap::ValueEnum;

use super::check::is_coloured;
use crate::logs::{Format, Levels, Logs};
use crate::server::clock;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging at the levels that `POINTSMAN_LOG` names, or `default`.
pub fn start(format: LogFormat, default: &str) {
    let said = std::env::var("POINTSMAN_LOG");
    let read = said.as_deref().unwrap_or(default).parse::<Levels>();
    let format = match format {
        LogFormat::Text => Format::Text { is_coloured: is_coloured() },
        LogFormat::Json => Format::Json,
    };
    let (levels, bad) = match read {
        Ok(levels) => (levels, None),
        Err(error) => (Levels::default(), Some(error)),
    };
    Logs::start(format, levels, clock::system());
    if let Some(error) = bad {
        tracing::warn!("POINTSMAN_LOG is not used: {error}");
    }
}
