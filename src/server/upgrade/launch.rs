//! The process between the old and the new one: it starts the new one, and goes when it is let go.
//!
//! So the new one has the supervisor for its parent by the time it is the main process. Whoever is no child of
//! systemd is not waited for when it is stopped, but killed at once (252, `unit_kill_context`), and how it
//! ended is not known.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};

use super::super::inherit::WAY;

/// Says to the new process that somebody stands between.
pub(super) const BETWEEN: &str = "POINTSMAN_BETWEEN";

/// Stands between, if this process is the first that an upgrade has started; answers with how the new one
/// ended, if that came first. To be called before anything else is done.
pub fn stand_between() -> Option<ExitCode> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let is_first = names.split(':').next() == Some(WAY) && std::env::var_os(BETWEEN).is_none();
    is_first.then(|| {
        launch().unwrap_or_else(|error| {
            eprintln!("pointsman: cannot start the process that is to serve: {error}");
            ExitCode::FAILURE
        })
    })
}

fn launch() -> io::Result<ExitCode> {
    let mut arguments = std::env::args_os();
    // What was passed to us goes on to it as it is.
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let mut child = command.args(arguments).env(BETWEEN, "1").stdin(Stdio::null()).spawn()?;
    std::thread::spawn(|| {
        // The other end is closed to let us go, or because nobody is there any more.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0)
    });
    let status = child.wait()?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
