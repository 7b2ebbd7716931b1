//! `metrics`: nothing in, what each metric says out.

use clap::Args;

use super::{Ending, print};
use crate::observe::declared::page;

/// Print what each metric says: its type, unit and labels, as a page of Markdown.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman metrics | less\n  pointsman metrics > docs/metrics.md"
)]
pub struct Metrics {}

impl Metrics {
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        print(page().trim_end());
        Ok(Ending::Done)
    }
}
