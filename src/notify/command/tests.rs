use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tokio::task::{JoinHandle, spawn_blocking};

use super::*;

const PATIENT: Duration = Duration::from_secs(60);

async fn shell(
    script: &str,
    input: impl Into<Bytes>,
    limit: Duration,
) -> Result<String, CommandError> {
    let command = ["/bin/sh", "-c", script].map(String::from);
    run(&command, &[], input.into(), (limit, None)).await
}

#[tokio::test]
async fn a_command_says_a_line_if_it_ends_well() {
    assert_eq!(shell("echo; echo ' ready'; echo more", "", PATIENT).await, Ok("ready".into()));
    assert_eq!(shell("cat", "told\n", PATIENT).await, Ok("told".into()));
    assert_eq!(shell("true", "", PATIENT).await, Ok(String::new()));
}

#[tokio::test]
async fn a_command_that_fails_is_quoted_with_its_last_words() {
    let script = "seq 1 9 >&2; echo no >&2; exit 3";
    let expected = "`/bin/sh` ended with exit status: 3: 8 / 9 / no";
    assert_eq!(shell(script, "", PATIENT).await.unwrap_err().to_string(), expected);
    let killed = shell("kill -9 $$", "", PATIENT).await.unwrap_err();
    assert_eq!(killed.to_string(), "`/bin/sh` ended with signal: 9 (SIGKILL)");
}

#[tokio::test]
async fn what_cannot_be_run_is_named() {
    let none =
        run(&["/nowhere/deploy".into()], &[], Bytes::new(), (PATIENT, None)).await.unwrap_err();
    assert!(none.to_string().starts_with("cannot run `/nowhere/deploy`: No such file"), "{none}");
    let empty = run(&[], &[], Bytes::new(), (PATIENT, None)).await;
    assert_eq!(empty, Err(CommandError::Empty));
    // Without a shell, what it would take for its own is text.
    let command = ["echo", "$HOME", "; exit 1"].map(String::from);
    let said = run(&command, &[], Bytes::new(), (PATIENT, None)).await;
    assert_eq!(said, Ok("$HOME ; exit 1".into()));
}

#[tokio::test]
async fn neither_a_flood_of_words_nor_unread_input_holds_a_command_up() {
    let script = "head -c 1000000 /dev/zero | tr '\\0' x; echo end >&2; exit 1";
    let unread = vec![b'y'; 1_000_000];
    let expected = "`/bin/sh` ended with exit status: 1: end";
    assert_eq!(shell(script, unread, PATIENT).await.unwrap_err().to_string(), expected);
    let flood = shell("seq 1 100000 >&2; exit 1", "", PATIENT).await.unwrap_err().to_string();
    assert!(flood.ends_with(": 99998 / 99999 / 100000"), "{flood}");
}

/// A pipe with a name. Who opens it for writing can be waited for, and so can its end.
fn pipe(folder: &Path) -> PathBuf {
    let path = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// The reading end, once somebody has opened the other.
async fn opened(path: &Path) -> File {
    let path = path.to_path_buf();
    spawn_blocking(|| File::open(path)).await.unwrap().unwrap()
}

/// Once nobody has the other end open: every process that had is gone.
async fn closed(mut file: File) {
    spawn_blocking(move || file.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

/// A command that begins another one; both hold the pipe open and neither ends.
fn two_sleepers(pipe: &Path) -> JoinHandle<Result<String, CommandError>> {
    let script = format!("exec 3>{}; echo stuck >&2; sleep 100000 & wait", pipe.display());
    tokio::spawn(async move { shell(&script, "", PATIENT).await })
}

#[tokio::test]
async fn at_the_time_out_a_command_is_killed_with_all_that_it_began() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = pipe(folder.path());
    let command = two_sleepers(&path);
    let file = opened(&path).await;
    tokio::time::pause();
    tokio::time::advance(PATIENT).await;
    tokio::time::resume();
    let failure = command.await.unwrap().unwrap_err().to_string();
    assert!(failure.starts_with("`/bin/sh` timed out after 60s"), "{failure}");
    closed(file).await;
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_is_killed_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = pipe(folder.path());
    let command = two_sleepers(&path);
    let file = opened(&path).await;
    command.abort();
    closed(file).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_neither_killed_nor_waited_for() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = pipe(folder.path());
    // What is left behind holds all of the command's outputs open, and waits for a word.
    let script = format!("{{ read word; echo $word; }} <{0}.in >{0} & echo begun", path.display());
    let input = folder.path().join("pipe.in");
    assert!(std::process::Command::new("mkfifo").arg(&input).status().unwrap().success());
    let command = tokio::spawn(async move { shell(&script, "", PATIENT).await });
    assert_eq!(command.await.unwrap(), Ok("begun".into()));
    let said = spawn_blocking(move || {
        std::fs::write(input, "alive\n").unwrap();
        std::fs::read_to_string(path).unwrap()
    });
    assert_eq!(said.await.unwrap(), "alive\n");
}

#[tokio::test]
async fn a_command_has_not_the_descriptors_that_were_raised_for_us() {
    // It asks after it was told something, which it is after all that is set for it.
    let command = ["/bin/sh", "-c", "read line; ulimit -Sn"].map(String::from);
    let told = async |most| run(&command, &[], "go\n".into(), (PATIENT, most)).await.unwrap();
    assert_eq!(told(Some(77)).await, "77");
    assert_ne!(told(None).await, "77");
}

#[tokio::test]
async fn one_that_has_ended_as_its_time_is_over_is_not_late_though_nobody_has_told() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = pipe(folder.path());
    let pid = folder.path().join("pid");
    let script = format!("echo $$ >{}; read word <{}; echo $word", pid.display(), path.display());
    let command = ["/bin/sh", "-c", &script].map(String::from);
    // It goes on once its time is looked at, and has ended before anything else is.
    let has_ended = std::future::poll_fn(move |_| {
        std::fs::write(&path, "begun\n").unwrap();
        while !is_gone(&pid) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::task::Poll::Ready(())
    });
    let said = run_until(&command, &[], Bytes::new(), (PATIENT, None), has_ended).await;
    assert_eq!(said, Ok("begun".into()));
}

/// Whether the process of which this file has the number has ended, told or not.
fn is_gone(pid: &Path) -> bool {
    let id = std::fs::read_to_string(pid).unwrap_or_default();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim()));
    !id.trim().is_empty() && stat.map_or(true, |stat| stat.contains(") Z") || stat.contains(") X"))
}

#[tokio::test]
async fn one_that_has_ended_well_is_not_late_though_its_outputs_are_still_open() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = pipe(folder.path());
    let pid = folder.path().join("pid");
    // What is left behind holds its outputs open, until it may read.
    let script = format!("echo $$ >{}; read word <{} & echo begun", pid.display(), path.display());
    let command = ["/bin/sh", "-c", &script].map(String::from);
    // The time is over when it has ended, which is before its outputs are.
    let has_ended = async move {
        while !is_gone(&pid) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let said = run_until(&command, &[], Bytes::new(), (PATIENT, None), has_ended).await;
    assert_eq!(said, Ok("begun".into()));
    // It was not killed: it still reads.
    spawn_blocking(move || std::fs::write(path, "end\n").unwrap()).await.unwrap();
}
