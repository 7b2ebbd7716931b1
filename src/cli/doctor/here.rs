//! What the command sees of its own machine: the clock, the service manager, runbooks.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::doctor::{Here, StopTimeout};

/// How long a command of the system may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The unit that packages bring.
const UNIT: &str = "pointsman.service";

/// Where runbooks are: where packages put them, or in a copy of the repository.
const RUNBOOKS: [&str; 2] = ["/usr/share/doc/pointsman/runbooks", "docs/runbooks"];

/// There while the clock was set by systemd-timesyncd.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

pub(super) async fn look() -> Here {
    let (clock, unit) = tokio::join!(
        said_by("timedatectl", &["show", "--property=NTPSynchronized", "--value"]),
        said_by("systemctl", &["show", UNIT, "--property=MainPID,TimeoutStopUSec"]),
    );
    let runbooks = RUNBOOKS.into_iter().find(|folder| Path::new(folder).join("README.md").exists());
    Here {
        is_clock_synchronised: synchronised(&clock)
            .or_else(|| Path::new(SYNCHRONISED).exists().then_some(true)),
        skew: None,
        stop_timeout: stop_timeout(&unit),
        runbooks: runbooks.map(String::from),
    }
}

/// What a command of the system says; nothing if there is none, or it fails.
async fn said_by(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => String::new(),
    }
}

fn synchronised(said: &str) -> Option<bool> {
    match said.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// How long systemd waits for the unit, if it runs it: `1min 30s`, or `infinity`.
fn stop_timeout(said: &str) -> Option<StopTimeout> {
    let field =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    if matches!(field("MainPID"), None | Some("0")) {
        return None;
    }
    match field("TimeoutStopUSec")? {
        "infinity" => Some(StopTimeout::Never),
        text => {
            let length: Duration = text.parse::<jiff::SignedDuration>().ok()?.try_into().ok()?;
            Some(StopTimeout::After(length))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_is_understood() {
        let runs = |text: &str| stop_timeout(&format!("MainPID=7\nTimeoutStopUSec={text}\n"));
        let after = |seconds| Some(StopTimeout::After(Duration::from_secs(seconds)));
        assert_eq!((runs("45s"), runs("1min 30s")), (after(45), after(90)));
        assert_eq!(runs("infinity"), Some(StopTimeout::Never));
        assert_eq!(stop_timeout("MainPID=0\nTimeoutStopUSec=1min 30s\n"), None);
        assert_eq!(stop_timeout(""), None);
        assert_eq!(
            (synchronised("yes\n"), synchronised("no\n"), synchronised("")),
            (Some(true), Some(false), None)
        );
    }
}
