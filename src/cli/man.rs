//! `man`: a folder in, a page of the manual for each verb in it out.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{Cli, Ending, print};

/// Write the pages of the manual, one for each verb.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pointsman man /usr/share/man/man1")]
pub struct Pages {
    /// The folder; made if it is not there.
    folder: PathBuf,
}

impl Pages {
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        let folder = self.folder.display();
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {folder}"))?;
        let pages = pages();
        for (name, page) in &pages {
            let file = self.folder.join(name);
            let failed = || format!("cannot write {}", file.display());
            fs::write(&file, page).with_context(failed)?;
        }
        print(&format!("wrote {} pages to {folder}", pages.len()));
        Ok(Ending::Done)
    }
}

/// Each page with the name of its file.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    each("", root, &mut pages);
    pages
}

/// A verb and those below it.
fn each(before: &str, verb: Command, pages: &mut Vec<(String, Vec<u8>)>) {
    if verb.is_hide_set() {
        return;
    }
    let name = match before {
        "" => verb.get_name().to_string(),
        before => format!("{before}-{}", verb.get_name()),
    };
    let below: Vec<Command> = verb.get_subcommands().cloned().collect();
    let mut page = Vec::new();
    // It is called by both words, and its page by one.
    let version = verb.get_version().unwrap_or(env!("CARGO_PKG_VERSION")).to_string();
    let man =
        Man::new(verb).title(&name).source(format!("pointsman {version}")).manual("Pointsman");
    // Writing to memory does not fail.
    let _ = man.render(&mut page);
    pages.push((format!("{name}.1"), page));
    below.into_iter().for_each(|verb| each(&name, verb, pages));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command as Process, Stdio};

    #[test]
    fn each_verb_has_a_page_with_its_examples() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["pointsman.1", "pointsman-run.1", "pointsman-rollout-start.1"] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert!(!names.contains(&"pointsman-man.1"), "it is for packages");
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let name = format!("pointsman-{}.1", verb.get_name());
            let (_, page) = pages.iter().find(|(known, _)| *known == name).unwrap();
            let page = String::from_utf8(page.clone()).unwrap();
            for part in [".TH", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", "Example"] {
                assert!(page.contains(part), "{name}: {part}");
            }
        }
    }

    #[test]
    fn groff_has_nothing_to_complain_of() {
        let groff = |page: &[u8]| -> std::io::Result<String> {
            let mut groff = Process::new("groff")
                .args(["-man", "-Kutf8", "-Tutf8", "-ww", "-z"])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            groff.stdin.take().unwrap().write_all(page)?;
            Ok(String::from_utf8_lossy(&groff.wait_with_output()?.stderr).into_owned())
        };
        for (name, page) in pages() {
            match groff(&page) {
                Ok(said) => assert_eq!(said, "", "{name}"),
                // A machine without it has the other test.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
}
