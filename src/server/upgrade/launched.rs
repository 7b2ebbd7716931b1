//! The process that an upgrade has started, and all that it starts, until they may stay.

use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::timeout;

/// How long somebody who is let go may take.
const TO_GO: Duration = Duration::from_secs(1);

/// Killed with its whole group when this is dropped.
#[derive(Debug)]
pub(super) struct Launched {
    child: Child,
    group: Option<Pid>,
    /// Whoever stood between has gone: how it ended is not how the new process does.
    is_alone: bool,
}

impl Launched {
    /// It leads a group of its own.
    pub fn new(child: Child) -> Launched {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Launched { child, group, is_alone: false }
    }

    /// How it has ended, if it has, or does in a moment, and it can be known.
    pub async fn ended(&mut self) -> Option<ExitStatus> {
        if self.is_alone {
            return None;
        }
        timeout(TO_GO, self.child.wait()).await.ok().and_then(Result::ok)
    }

    /// Lets whoever stands between go: the new process is the supervisor's child from now on. Where nobody
    /// does, nothing changes.
    pub async fn let_go(&mut self) {
        drop(self.child.stdin.take());
        let went = timeout(TO_GO, self.child.wait()).await;
        // With another code it is the new process's that is passed on.
        self.is_alone = matches!(went, Ok(Ok(status)) if status.success());
    }

    /// It may stay.
    pub fn release(mut self) {
        self.group = None;
    }

    /// Ends all of it, and waits until the first is gone: then nobody else has the store.
    pub async fn end(mut self) {
        self.kill();
        let _ = timeout(TO_GO, self.child.wait()).await;
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // It fails if all of them are gone already.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::process::Command;

    use super::*;

    #[tokio::test]
    async fn how_somebody_between_ends_is_not_how_the_new_process_does() {
        for (script, code) in [("read nothing; exit 0", None), ("exit 6", Some(6))] {
            let mut command = Command::new("sh");
            let command = command.args(["-c", script]).stdin(Stdio::piped()).process_group(0);
            let mut launched = Launched::new(command.spawn().unwrap());
            launched.let_go().await;
            let ended = launched.ended().await;
            assert_eq!(ended.and_then(|status| status.code()), code, "{script}");
        }
    }
}
