//! The command line: arguments in, words for people (or JSON for scripts) and an exit code out.
//!
//! One file for each verb. Verbs that change or show a running process speak to its admin API and
//! nothing else, so whatever they can do a script can do with curl.

mod address;
mod api;
mod automation;
mod away;
mod breaker;
mod capacity;
mod check;
mod completions;
mod demo;
mod deploy;
mod diff;
mod doctor;
mod drain;
mod events;
mod explain;
mod flags;
mod flip;
mod freeze;
mod history;
mod hold;
mod incident;
mod init;
mod input;
mod log_level;
mod logging;
mod maintenance;
mod man;
mod metrics;
mod mirror;
mod mode;
mod notify;
mod out;
mod proxy;
mod rehearse;
mod reload;
mod rollback;
mod rollout;
mod run;
mod schema;
mod secure;
mod shift;
mod slo;
mod status;
mod store;
mod table;
mod terminal;
mod top;
mod upgrade;
mod upstream;
mod version;
mod why;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStr, Resettable};
use clap::{Args, CommandFactory, Parser, Subcommand};

use self::address::AdminAddress;
use self::api::ApiError;
use self::out::print;
use crate::config::Environment;
use crate::server::inherit::Inherited;
use crate::server::upgrade::stand_between;

/// Moves live traffic between versions of a service, and back.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Try it without a file or a server of your own:\n  pointsman demo\n\n\
                  --admin, --token, --token-file and --json may stand before the verb as well.\n\
                  `pointsman --version --verbose` says how it was built.\n\n\
                  Exit codes: 0 done, 1 the answer is no, 2 wrong usage, 3 rolled back or aborted, 4 \
                  paused, 5 refused (frozen, conflict, lost race), 6 ordered and no answer came, 69 the admin \
                  API cannot be reached, 130 Ctrl-C."
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// What each verb says of itself stands where it is declared: a word of it here would be all that its help says.
#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Check(check::Check),
    Demo(demo::Demo),
    Proxy(proxy::Proxy),
    Init(init::Init),
    Status(status::Status),
    Top(top::Top),
    Shift(shift::Shift),
    Flip(flip::Flip),
    Rollback(rollback::Rollback),
    History(history::History),
    Deploy(deploy::Deploy),
    Rollout(rollout::Rollout),
    Why(why::Why),
    Explain(explain::Explain),
    Slo(slo::Slo),
    Capacity(capacity::Capacity),
    Freeze(freeze::Freeze),
    Rehearse(Box<rehearse::Rehearse>),
    Flags(flags::Flags),
    Drain(drain::Drain),
    Breaker(breaker::Breaker),
    Hold(hold::Hold),
    Maintenance(maintenance::Maintenance),
    Upstream(upstream::Upstream),
    Mirror(mirror::Mirror),
    Automation(automation::Automation),
    Events(events::Events),
    Notify(notify::Notify),
    Incident(incident::Incident),
    LogLevel(log_level::LogLevel),
    Reload(reload::Reload),
    Upgrade(upgrade::Upgrade),
    Diff(diff::Diff),
    Doctor(doctor::Doctor),
    Store(store::Store),
    Schema(schema::Schema),
    Metrics(metrics::Metrics),
    #[command(hide = true)]
    Man(man::Pages),
    Completions(completions::Completions),
}

/// How to reach a running proxy.
#[derive(Clone, Debug, Args)]
struct Reach {
    /// Admin address: `IP:PORT`, `https://NAME:PORT` or `unix:/PATH`.
    #[arg(long, env = "POINTSMAN_ADMIN", default_value = "127.0.0.1:9900", value_name = "ADDRESS",
          value_parser = AdminAddress::parse)]
    admin: AdminAddress,
    /// Bearer token, if the admin API wants one.
    #[arg(long, env = "POINTSMAN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// File with the token in its first line, alone or as `name: token`; what `--token` says is seen
    /// by everybody who lists processes.
    #[arg(long, env = "POINTSMAN_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the authority (PEM) of the admin address's certificate, for `https://`; the system's
    /// otherwise.
    #[arg(long, env = "POINTSMAN_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File with a certificate (PEM) to show there, with its chain.
    #[arg(long, env = "POINTSMAN_CERT", value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// File with its key (PEM).
    #[arg(long, env = "POINTSMAN_KEY", value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a change is made for.
#[derive(Clone, Debug, Args)]
struct Why {
    /// Why; kept with the revision.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only if this is still the newest revision.
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
}

/// How a verb ended, if not with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// As wished.
    Done,
    /// The answer is no.
    No,
    /// Traffic was taken back, by us or by somebody.
    Back,
    /// It stands still, and somebody has to decide.
    Open,
    /// What was asked makes no sense; why was said.
    Usage,
    /// Circumstances that can change do not allow it; which was said.
    Refused,
    /// It goes on; who waited for it does no more.
    Interrupted,
}

/// What may stand before the verb as well as after it, and whether a value follows.
const ANYWHERE: [(&str, bool); 7] = [
    ("--admin", true),
    ("--token", true),
    ("--token-file", true),
    ("--ca", true),
    ("--cert", true),
    ("--key", true),
    ("--json", false),
];

/// `--version` and `--verbose`, and nothing else.
fn asks_for_the_whole_version(args: impl Iterator<Item = String>) -> bool {
    let args: Vec<String> = args.collect();
    let is_version = |arg: &String| arg == "--version" || arg == "-V";
    matches!(&args[..], [one, other]
        if (is_version(one) && other == "--verbose") || (one == "--verbose" && is_version(other)))
}

/// The arguments of the command line with those that may stand before the verb behind it, where each
/// verb declares them.
fn behind_the_verb(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut rest: VecDeque<OsString> = args.into_iter().collect();
    let mut ordered: Vec<OsString> = rest.pop_front().into_iter().collect();
    let mut before = Vec::new();
    while let Some(first) = rest.front().map(|first| first.to_string_lossy().into_owned()) {
        let name = first.split_once('=').map_or(&*first, |(name, _)| name);
        let Some((_, has_value)) = ANYWHERE.iter().find(|(known, _)| *known == name) else { break };
        let is_apart = *has_value && !first.contains('=');
        before.extend(rest.drain(..rest.len().min(1 + usize::from(is_apart))));
    }
    if rest.is_empty() {
        // There is no verb to stand behind, which clap says best.
        ordered.append(&mut before);
    }
    let end = rest.iter().position(|arg| arg == "--").unwrap_or(rest.len());
    ordered.extend(rest.drain(..end));
    ordered.append(&mut before);
    ordered.extend(rest);
    ordered
}

impl Cli {
    /// What a command line means, its words without the program's name; why it makes no sense, if it makes
    /// none.
    pub fn understand<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Cli, String> {
        let words = std::iter::once("pointsman").chain(words).map(OsString::from);
        Cli::try_parse_from(behind_the_verb(words)).map_err(|error| error.to_string())
    }

    /// The process's own command line; ends the process if it makes no sense.
    pub fn of_process() -> Cli {
        if asks_for_the_whole_version(std::env::args().skip(1)) {
            print(version::verbose().trim_end());
            std::process::exit(0);
        }
        let words = behind_the_verb(std::env::args_os());
        Cli::try_parse_from(&words).unwrap_or_else(|error| {
            let error = if error.use_stderr() { without_environment(&words, error) } else { error };
            out::or_end(error.print());
            std::process::exit(error.exit_code())
        })
    }
}

/// What is wrong with a command line, with a usage in which what the environment says is not told as
/// missing from it.
fn without_environment(words: &[OsString], error: clap::Error) -> clap::Error {
    fn bare(command: clap::Command) -> clap::Command {
        let command = command.mut_args(|arg| arg.env(Resettable::<OsStr>::Reset));
        command.mut_subcommands(bare)
    }
    match bare(Cli::command()).try_get_matches_from(words) {
        Err(bare) if bare.kind() == error.kind() => bare,
        // It is of the environment then.
        _ => error,
    }
}

/// Runs a verb and answers with its exit code.
pub fn run(cli: Cli) -> ExitCode {
    if matches!(cli.verb, Verb::Run(_))
        && let Some(ended) = stand_between()
    {
        return ended;
    }
    let ended = match cli.verb {
        Verb::Run(verb) => block_on(verb.run(Inherited::from_environment())),
        Verb::Check(verb) => verb.run(),
        Verb::Demo(verb) => block_on(verb.run()),
        Verb::Proxy(verb) => block_on(verb.run(Inherited::from_environment())),
        Verb::Init(verb) => verb.run(),
        Verb::Status(verb) => block_on(verb.run()),
        Verb::Top(verb) => block_on(verb.run()),
        Verb::Shift(verb) => block_on(verb.run()),
        Verb::Flip(verb) => block_on(verb.run()),
        Verb::Rollback(verb) => block_on(verb.run()),
        Verb::History(verb) => block_on(verb.run()),
        Verb::Deploy(verb) => block_on(verb.run()),
        Verb::Rollout(verb) => block_on(verb.run()),
        Verb::Why(verb) => block_on(verb.run()),
        Verb::Explain(verb) => block_on(verb.run()),
        Verb::Slo(verb) => block_on(verb.run()),
        Verb::Capacity(verb) => block_on(verb.run()),
        Verb::Freeze(verb) => block_on(verb.run()),
        Verb::Rehearse(verb) => block_on(verb.run()),
        Verb::Flags(verb) => block_on(verb.run()),
        Verb::Store(verb) => block_on(verb.run()),
        Verb::Drain(verb) => block_on(verb.run()),
        Verb::Breaker(verb) => block_on(verb.run()),
        Verb::Hold(verb) => block_on(verb.run()),
        Verb::Maintenance(verb) => block_on(verb.run()),
        Verb::Upstream(verb) => block_on(verb.run()),
        Verb::Mirror(verb) => block_on(verb.run()),
        Verb::Automation(verb) => block_on(verb.run()),
        Verb::Events(verb) => block_on(verb.run()),
        Verb::Notify(verb) => block_on(verb.run()),
        Verb::Incident(verb) => block_on(verb.run()),
        Verb::LogLevel(verb) => block_on(verb.run()),
        Verb::Reload(verb) => block_on(verb.run()),
        Verb::Upgrade(verb) => block_on(verb.run()),
        Verb::Diff(verb) => block_on(verb.run()),
        Verb::Doctor(verb) => block_on(verb.run()),
        Verb::Schema(verb) => verb.run(),
        Verb::Metrics(verb) => verb.run(),
        Verb::Man(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
    };
    match ended {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::No) => ExitCode::from(1),
        Ok(Ending::Usage) => ExitCode::from(2),
        Ok(Ending::Back) => ExitCode::from(3),
        Ok(Ending::Open) => ExitCode::from(4),
        Ok(Ending::Refused) => ExitCode::from(5),
        Ok(Ending::Interrupted) => ExitCode::from(130),
        Err(error) => {
            eprintln!("pointsman: {error:#}");
            ExitCode::from(error.downcast_ref::<ApiError>().map_or(1, ApiError::exit_code))
        }
    }
}

/// Two threads: what runs beside the workers must not wait for one slow part of it.
fn block_on(verb: impl Future<Output = anyhow::Result<Ending>>) -> anyhow::Result<Ending> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).thread_name("control").enable_all().build()?;
    let ended = runtime.block_on(verb);
    runtime.shutdown_background();
    ended
}

/// What texts of a config are filled in from.
fn environment() -> Environment {
    Environment::of(std::env::vars_os())
}

/// Who gives an order, for the revision's record.
fn author() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    user.map_or_else(|_| "cli".to_string(), |user| format!("cli:{user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn where_the_proxy_is_may_be_said_before_the_verb() {
        let ordered = |line: &str| {
            let args = behind_the_verb(line.split(' ').map(OsString::from));
            args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ordered("p --admin a:1 status"), "p status --admin a:1");
        assert_eq!(ordered("p --token-file t status"), "p status --token-file t");
        assert_eq!(
            ordered("p --json --token=t rollout start s"),
            "p rollout start s --json --token=t"
        );
        assert_eq!(ordered("p status --admin a:1"), "p status --admin a:1");
        assert_eq!(ordered("p --admin a:1 x -- y"), "p x --admin a:1 -- y");
        for alone in ["p", "p --admin", "p --json", "p --version"] {
            assert_eq!(ordered(alone), alone);
        }
    }

    #[test]
    fn every_verb_teaches_with_an_example() {
        let mut command = Cli::command();
        for verb in command.get_subcommands_mut() {
            let help = verb.render_long_help().to_string();
            assert!(help.contains("Example"), "{}", verb.get_name());
        }
    }

    #[test]
    fn a_verb_tells_all_that_is_said_of_it() {
        let mut command = Cli::command();
        for (verb, says) in [
            ("run", "SIGTERM"),
            ("log-level", "Needs the role admin"),
            ("reload", "kept for a day"),
        ] {
            let help = command.find_subcommand_mut(verb).unwrap().render_long_help().to_string();
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(help.contains(says), "{verb}: {help}");
        }
    }
}
