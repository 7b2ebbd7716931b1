//! What the system tells the process: signals in, a reload or the end out.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::control::{Cause, Control};
use crate::orders::By;

/// Reloads on SIGHUP; returns on the first signal that ends a process.
pub async fn until_told_to_stop(control: &Control) -> std::io::Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut end = Ends::new()?;
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                // The controller has said all there is to say about a refusal.
                let by = By::new("SIGHUP", None);
                let _ = control.reload(by, Cause::Asked { forgets: false }).await;
            }
            () = end.next() => return Ok(()),
        }
    }
}

/// Returns on the next of these signals: who asks twice does not want to wait.
pub async fn again() -> std::io::Result<()> {
    Ends::new()?.next().await;
    Ok(())
}

/// The signals that end a process: SIGTERM, SIGINT and SIGQUIT, which mean the same here.
struct Ends([Signal; 3]);

impl Ends {
    fn new() -> std::io::Result<Ends> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        let [terminate, interrupt, quit] = kinds.map(signal);
        Ok(Ends([terminate?, interrupt?, quit?]))
    }

    async fn next(&mut self) {
        let [terminate, interrupt, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
        }
    }
}
