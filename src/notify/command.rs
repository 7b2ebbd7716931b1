//! A command of this machine: program, arguments, variables and a text for it in, what it says out.
//!
//! Without a shell, in a process group of its own, with none of our environment but `PATH`: it may
//! hold secrets that are not the command's. At the time-out the whole group is killed, so that what
//! the command began ends with it. What it leaves behind when it ends by itself stays: a deploy may
//! well start a server.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{self, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::call::{clean, first_line};
use crate::rollout::{CommandEnd, CommandError};

/// What is kept of each output, in bytes.
const KEPT: usize = 4 * 1024;

/// Lines of the error output that are told.
const LINES: usize = 3;

/// How long outputs are listened to after the command's end: a server that it left behind may hold
/// them open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long a killed command may take to be gone.
const BURIAL: Duration = Duration::from_secs(1);

/// Where programs are looked for if our own environment does not say.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs a command. The first line it writes if it ends with 0; else why not, with the last lines of
/// its error output.
pub async fn run(
    run: &[String],
    variables: &[(&'static str, String)],
    input: Bytes,
    (limit, descriptors): (Duration, Option<u64>),
) -> Result<String, CommandError> {
    run_until(run, variables, input, (limit, descriptors), sleep(limit)).await
}

/// As [`run`], with all that is kept of what it writes.
pub async fn run_whole(
    run: &[String],
    variables: &[(&'static str, String)],
    input: Bytes,
    (limit, descriptors): (Duration, Option<u64>),
) -> Result<Vec<u8>, CommandError> {
    output_of(run, variables, input, (limit, descriptors), sleep(limit)).await
}

/// The same as [`run`] until its time is over.
async fn run_until(
    run: &[String],
    variables: &[(&'static str, String)],
    input: Bytes,
    limits: (Duration, Option<u64>),
    over: impl Future<Output = ()>,
) -> Result<String, CommandError> {
    let words = output_of(run, variables, input, limits, over).await?;
    Ok(first_line(&words))
}

/// What it writes until its time is over, as far as that is kept.
async fn output_of(
    run: &[String],
    variables: &[(&'static str, String)],
    input: Bytes,
    (limit, descriptors): (Duration, Option<u64>),
    over: impl Future<Output = ()>,
) -> Result<Vec<u8>, CommandError> {
    let Some((program, arguments)) = run.split_first() else {
        return Err(CommandError::Empty);
    };
    let spawned = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let not_run = |error: std::io::Error| CommandError::NotRun {
        program: program.clone(),
        why: error.to_string(),
    };
    let mut child = spawned.map_err(not_run)?;
    // Dropped before the child, which is what keeps the group's number from being used again.
    let group = Group(child.id());
    if let (Some(id), Some(most)) = (child.id(), descriptors) {
        bound_descriptors(id, most);
    }
    let (mut words, mut complaints) = (Kept::start(), Kept::end());
    let ended = end_of(&mut child, input, (&mut words, &mut complaints), over).await;
    let end = match ended {
        Ok(Some(status)) => {
            group.release();
            match status.success() {
                true => return Ok(words.bytes().to_vec()),
                false => CommandEnd::Exited { code: status.code(), status: status.to_string() },
            }
        }
        Err(error) => CommandEnd::Unknown(error.to_string()),
        Ok(None) => {
            drop(group);
            match timeout(BURIAL, child.wait()).await {
                Ok(_) => CommandEnd::TimedOut(limit),
                Err(_) => CommandEnd::Undying(limit),
            }
        }
    };
    let complaints = complaints.last_lines();
    Err(CommandError::Failed { program: program.clone(), end, complaints })
}

/// Gives a child so many descriptors, of those that it may have at all. Between its beginning and this
/// there is a moment: to have it set before would take what only `unsafe` can do.
fn bound_descriptors(id: u32, most: u64) {
    // Without a number it would be ours that is set.
    let Some(id) = i32::try_from(id).ok().and_then(process::Pid::from_raw) else { return };
    let maximum = getrlimit(Resource::Nofile).maximum;
    let soft = maximum.map_or(most, |maximum| most.min(maximum));
    // Who is gone by now needs none.
    let _ = prlimit(Some(id), Resource::Nofile, Rlimit { current: Some(soft), maximum });
}

/// Waits for the end, while the input is written and the outputs are read; none if the time is over
/// before it. What is listened to after the end is no part of that time.
async fn end_of(
    child: &mut Child,
    input: Bytes,
    (words, complaints): (&mut Kept, &mut Kept),
    over: impl Future<Output = ()>,
) -> std::io::Result<Option<ExitStatus>> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let talk = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // A command need not read what it is told.
                let _ = stdin.write_all(&input).await;
            }
        };
        tokio::join!(write, words.read(stdout), complaints.read(stderr));
    };
    tokio::pin!(talk, over);
    let mut is_said = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break Some(status?),
            () = &mut talk, if !is_said => is_said = true,
            // It may have ended, and nobody has told yet.
            () = &mut over => break child.try_wait()?,
        }
    };
    if status.is_some() && !is_said {
        let _ = timeout(LAST_WORDS, talk).await;
    }
    Ok(status)
}

/// A process group that is killed when this is dropped.
struct Group(Option<u32>);

impl Group {
    /// Its command has ended by itself.
    fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // It fails if the whole group is gone already.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// The first or the last bytes of an output.
struct Kept {
    bytes: VecDeque<u8>,
    is_end: bool,
}

impl Kept {
    fn start() -> Kept {
        Kept { bytes: VecDeque::new(), is_end: false }
    }

    fn end() -> Kept {
        Kept { bytes: VecDeque::new(), is_end: true }
    }

    /// Reads to the end, so that nobody who writes is held up.
    async fn read(&mut self, output: Option<impl AsyncRead + Unpin>) {
        let Some(mut output) = output else { return };
        let mut chunk = [0; 1_024];
        while let Ok(length @ 1..) = output.read(&mut chunk).await {
            self.bytes.extend(&chunk[..length]);
            let over = self.bytes.len().saturating_sub(KEPT);
            match self.is_end {
                true => drop(self.bytes.drain(..over)),
                false => self.bytes.truncate(KEPT),
            }
        }
    }

    fn bytes(&mut self) -> &[u8] {
        self.bytes.make_contiguous()
    }

    fn last_lines(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(clean).filter(|line| !line.trim().is_empty());
        let lines: Vec<String> = lines.collect();
        lines[lines.len().saturating_sub(LINES)..].join(" / ")
    }
}

#[cfg(test)]
mod tests;
