//! `schema`: nothing in, the JSON Schema of the config file out.

use clap::Args;

use super::{Ending, print};
use crate::config::schema;

/// Print the JSON Schema of the config file.
///
/// Editors complete and check by it: with a first line `#:schema ./pointsman.schema.json`, or by their
/// settings (taplo, Even Better TOML). `pointsman check` finds more.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pointsman schema > pointsman.schema.json")]
pub struct Schema {}

impl Schema {
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        print(&serde_json::to_string_pretty(&schema())?);
        Ok(Ending::Done)
    }
}
