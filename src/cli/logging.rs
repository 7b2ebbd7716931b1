//! The process's own log lines: what is noteworthy in, standard error out.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::check::is_coloured;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is said without being asked for.
const DEFAULT: &str = "info";

/// Starts logging at the level that `POINTSMAN_LOG` names, or `default`.
pub fn start(format: LogFormat, default: Option<&str>) {
    let filter = std::env::var("POINTSMAN_LOG");
    let filter = filter.unwrap_or_else(|_| default.unwrap_or(DEFAULT).to_string());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured())
        .with_target(false);
    // A second start in one process keeps the first.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
