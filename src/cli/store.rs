//! `store`: what a process remembers as JSON out, and such JSON back in.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::api::{Api, Call, plain};
use super::{Ending, Reach, environment, print};
use crate::files::{Source, write_private};
use crate::orders::Imported;
use crate::server::{STORE, state_dir};
use crate::store::{Export, Page, Store as Kept};

/// Take what a proxy remembers out as JSON, or put such JSON back in.
///
/// It holds revisions, rollouts, orders, events and the secret of cohorts: keep it private.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman store export state.json\n  \
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
    /// The file to write it to, which only you can read: an older export there is replaced as a whole.
    /// Without one, or with `-`, it is printed.
    file: Option<PathBuf>,
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
    /// Even if rollouts in it mean to run commands.
    ///
    /// What is run is what the config says when it is due: what is stored says only at which points.
    #[arg(long)]
    with_commands: bool,
}

impl Store {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        match self.verb {
            Verb::Export(ExportIt { file, reach }) => {
                let export: Export = Api(&reach).ask(Call::get("/v1/store")).await?;
                let text = serde_json::to_string_pretty(&export)?;
                match file.filter(|file| file.as_os_str() != "-") {
                    Some(file) => {
                        let failed = || format!("cannot write {}", file.display());
                        check_replaced(&file).with_context(failed)?;
                        write_private(&file, text.as_bytes()).with_context(failed)?;
                        eprintln!("wrote {}: keep it private", file.display());
                    }
                    None => print(&text),
                }
            }
            Verb::Import(import) => import.run()?,
        }
        Ok(Ending::Done)
    }
}

impl ImportIt {
    fn run(self) -> anyhow::Result<()> {
        let source = Source::file(&self.config, environment());
        let (config, _) = source.read()?.parse()?;
        let folder = state_dir(&source, &config).context("the proxy has no state folder")?;
        let name = self.export.display();
        let text =
            std::fs::read_to_string(&self.export).with_context(|| format!("cannot read {name}"))?;
        let export: Export = serde_json::from_str(&text)
            .with_context(|| format!("{name} is not what `pointsman store export` prints"))?;
        let Imported { brings, commands, problems } = Imported::of(&export.state()?, &config);
        let listed = |lines: &[String]| {
            lines.iter().map(|line| format!("\n  {}", seen(line))).collect::<String>()
        };
        if !problems.is_empty() {
            bail!("{name} says what no config could:{}", listed(&problems));
        }
        if !commands.is_empty() && !self.with_commands {
            bail!(
                "{name} has commands:{}\nnothing was imported; if they are meant, say \
                 `--with-commands` (what is run is what the config says when it is due)",
                listed(&commands)
            );
        }
        eprintln!("{name} brings:{}{}", listed(&brings), listed(&commands));
        let path = folder.join(STORE);
        Kept::import(&path, &export, self.replace)?;
        Page::remove(&path)?;
        eprintln!("imported into {}", path.display());
        Ok(())
    }
}

/// Refuses to put an export in the place of what is none, such as a config named by mistake. Half of one
/// that a full disk has cut short begins like one.
fn check_replaced(file: &Path) -> anyhow::Result<()> {
    let mut first = [0];
    // What is no file is refused by who writes it, and of a pipe nobody waits for the other end.
    if !file.is_file() {
        return Ok(());
    }
    let read = File::open(file)?.read(&mut first)?;
    match &first[..read] {
        [] | [b'{'] => Ok(()),
        _ => bail!("what is there is no export; name another file, or remove it"),
    }
}

/// In one line, without what a terminal would obey: an export may be anybody's.
fn seen(line: &str) -> String {
    plain(line).replace('\n', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_takes_the_place_of_an_export_and_of_nothing_else() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("state.json");
        assert!(check_replaced(&file).is_ok(), "none is there yet");
        for before in ["", "{\n  \"format\": 1", "{}"] {
            std::fs::write(&file, before).unwrap();
            assert!(check_replaced(&file).is_ok(), "{before}");
        }
        std::fs::write(&file, "[[listeners]]\n").unwrap();
        assert!(check_replaced(&file).unwrap_err().to_string().contains("no export"));
    }
}
