//! What the system tells the process: signals in, a reload or the end out.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::supervisor;
use crate::control::{Cause, Control};
use crate::orders::By;

/// The signals that a process is told something by. From when this is made they end it in its own way
/// only, so that it is made before anybody can take the process for ready.
pub struct Signals {
    hang_up: Signal,
    /// SIGTERM, SIGINT and SIGQUIT, which mean the same here.
    ends: [Signal; 3],
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> std::io::Result<Signals> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        let [terminate, interrupt, quit] = kinds.map(signal);
        let ends = [terminate?, interrupt?, quit?];
        Ok(Signals { hang_up: signal(SignalKind::hangup())?, ends })
    }

    /// Reloads on SIGHUP; returns on the first signal that ends a process.
    pub async fn until_told_to_stop(&mut self, control: &Control) {
        loop {
            tokio::select! {
                _ = self.hang_up.recv() => {
                    // The controller has said all there is to say about a refusal.
                    let by = By::new("SIGHUP", None);
                    supervisor::reloading();
                    let _ = control.reload(by, Cause::Asked { forgets: false }).await;
                    supervisor::ready();
                }
                () = end(&mut self.ends) => return,
            }
        }
    }

    /// Returns on the next signal that ends a process: who asks twice does not want to wait.
    pub async fn again(&mut self) {
        end(&mut self.ends).await;
    }
}

async fn end([terminate, interrupt, quit]: &mut [Signal; 3]) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = quit.recv() => {}
    }
}
