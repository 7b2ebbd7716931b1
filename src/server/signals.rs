//! What the system tells the process: signals in, a reload or the end out.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::supervisor;
use crate::control::{Cause, Control, Upgrades};
use crate::observe::OpenAgain;
use crate::orders::By;

/// The signals that a process is told something by. From when this is made they end it in its own way
/// only, so that it is made before anybody can take the process for ready.
pub struct Signals {
    hang_up: Signal,
    upgrade: Signal,
    open_again: Signal,
    /// SIGTERM, SIGINT and SIGQUIT, which mean the same here.
    ends: [Signal; 3],
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> std::io::Result<Signals> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        let [terminate, interrupt, quit] = kinds.map(signal);
        let ends = [terminate?, interrupt?, quit?];
        let [hang_up, upgrade] = [SignalKind::hangup(), SignalKind::user_defined2()].map(signal);
        let open_again = signal(SignalKind::user_defined1())?;
        Ok(Signals { hang_up: hang_up?, upgrade: upgrade?, open_again, ends })
    }

    /// Reloads on SIGHUP, opens the access log again on SIGUSR1 and has another process take over on SIGUSR2;
    /// returns on the first signal that ends
    /// a process. The kernel takes signals from root and from our own user only.
    pub async fn until_told_to_stop(
        &mut self,
        control: &Control,
        upgrades: &Upgrades,
        access_log: &OpenAgain,
    ) {
        loop {
            tokio::select! {
                _ = self.hang_up.recv() => {
                    // The controller has said all there is to say about a refusal.
                    let by = By::new("SIGHUP", None);
                    supervisor::reloading();
                    let _ = control.reload(by, Cause::Asked { forgets: false }).await;
                    supervisor::ready();
                }
                _ = self.upgrade.recv() => {
                    let upgrades = upgrades.clone();
                    // It takes a while, in which other signals come; the event says what came of it.
                    tokio::spawn(async move { upgrades.upgrade().await.map(drop) });
                }
                _ = self.open_again.recv() => access_log.open_again(),
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
