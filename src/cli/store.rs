//! `store`: what a process remembers as JSON out, and such JSON back in.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::api::{Api, Call};
use super::{Ending, Reach, print};
use crate::files::Source;
use crate::server::{STORE, state_dir};
use crate::store::{Export, Page, Store as Kept};

/// Take what a proxy remembers out as JSON, or put such JSON back in.
///
/// It holds revisions, rollouts, orders, events and the secret of cohorts: keep it private.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman store export > state.json\n  \
                        pointsman store import pointsman.toml state.json --replace")]
pub struct Store {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print all that a running proxy remembers.
    Export(ExportIt),
    /// Make this the state of a proxy that does not run.
    Import(ImportIt),
}

#[derive(Debug, Args)]
struct ExportIt {
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
struct ImportIt {
    /// The config file of the proxy.
    config: PathBuf,
    /// What `store export` printed.
    export: PathBuf,
    /// Even if there is a state already, which is lost.
    #[arg(long)]
    replace: bool,
}

impl Store {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        match self.verb {
            Verb::Export(ExportIt { reach }) => {
                let export: Export = Api(&reach).ask(Call::get("/v1/store")).await?;
                print(&serde_json::to_string_pretty(&export)?);
            }
            Verb::Import(import) => import.run()?,
        }
        Ok(Ending::Done)
    }
}

impl ImportIt {
    fn run(self) -> anyhow::Result<()> {
        let source = Source::File(self.config.clone());
        let (config, _) = source.read()?.parse()?;
        let folder = state_dir(&source, &config).context("the proxy has no state folder")?;
        let name = self.export.display();
        let text =
            std::fs::read_to_string(&self.export).with_context(|| format!("cannot read {name}"))?;
        let export: Export = serde_json::from_str(&text)
            .with_context(|| format!("{name} is not what `pointsman store export` prints"))?;
        let path = folder.join(STORE);
        Kept::import(&path, &export, self.replace)?;
        Page::remove(&path)?;
        eprintln!("imported into {}", path.display());
        Ok(())
    }
}
