//! What the system tells the process: signals in, a reload or the end out.

use tokio::signal::unix::{SignalKind, signal};

use crate::control::Control;
use crate::orders::By;

/// Reloads on SIGHUP; returns on the first SIGTERM or SIGINT.
pub async fn until_told_to_stop(control: &Control) -> std::io::Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                // The controller has said all there is to say about a refusal.
                let _ = control.reload(By::new("SIGHUP", None)).await;
            }
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

/// Returns on the next SIGTERM or SIGINT: who asks twice does not want to wait.
pub async fn again() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
