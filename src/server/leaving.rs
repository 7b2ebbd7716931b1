//! The end of a process whose place another one has taken: its connections in, their ends out. Nobody new comes
//! and nobody is cut off: who is silent has all the time there is to say something once more.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::Server;
use super::upgrade::{Successor, Upgrade};
use crate::control::{NotUpgraded, Wish};
use crate::event::{Event, Kind, Subject};
use crate::events::Events;
use crate::wire::stop::Bounds;

/// How long tunnels may stay: nobody waits for the end of this process.
const TUNNELS: Duration = Duration::from_secs(300);

/// What silent connections have more than their time, to close in peace.
const PEACE: Duration = Duration::from_secs(1);

/// How long those who ask the admin API may still take for their answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How often it is looked whether connections are still open.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until none of these are left.
pub(super) async fn none_is_left(count: impl Fn() -> usize) {
    while count() > 0 {
        sleep(LOOK).await;
    }
}

/// Has another process take over when somebody wishes it, and goes on as before when that fails; for ever.
pub(super) async fn upgrade_on_wish(
    upgrade: Result<Upgrade, NotUpgraded>,
    mut wishes: mpsc::Receiver<Wish>,
    (leaves, succeeded): (Arc<watch::Sender<bool>>, oneshot::Sender<Successor>),
    events: Arc<Events>,
) {
    let mut succeeded = Some(succeeded);
    while let Some(Wish { reply }) = wishes.recv().await {
        if succeeded.is_none() {
            let _ = reply.send(Err(NotUpgraded::Stopping));
            continue;
        }
        // Who has asked and waits no longer has lost nothing but the answer.
        let mut reply = Some(reply);
        let mut answer = |answer| reply.take().map(|reply| reply.send(answer));
        let mut fails = |error: NotUpgraded| {
            let kind = Kind::UpgradeRefused { why: error.to_string() };
            events.say(Event::by_itself(kind, Subject::default()));
            let _ = answer(Err(error));
        };
        let successor = match &upgrade {
            Ok(upgrade) => alone(upgrade.perform(&mut fails), &mut wishes).await,
            Err(why) => {
                fails(why.clone());
                None
            }
        };
        if let Some(successor) = successor {
            // Whoever hears of it and orders something is to reach the other process.
            let _ = leaves.send(true);
            leaves.closed().await;
            let _ = answer(Ok(successor.id));
            if let Some(succeeded) = succeeded.take() {
                let _ = succeeded.send(successor);
            }
        }
    }
    std::future::pending().await
}

/// Does this; whoever wishes for an upgrade meanwhile is told that one is under way.
async fn alone<T>(perform: impl Future<Output = T>, wishes: &mut mpsc::Receiver<Wish>) -> T {
    let mut perform = pin!(perform);
    loop {
        tokio::select! {
            performed = &mut perform => return performed,
            Some(Wish { reply }) = wishes.recv() => {
                let _ = reply.send(Err(NotUpgraded::UnderWay));
            }
        }
    }
}

impl Server {
    /// Waits until it is over with the process though nobody has told it to stop.
    pub async fn over(&mut self) -> Over {
        tokio::select! {
            part = self.parts.ended() => {
                self.note_ended(part);
                Over::Part(part)
            }
            Ok(successor) = &mut self.succeeded, if self.successor.is_none() => {
                self.successor = Some(successor);
                Over::Succeeded
            }
        }
    }

    /// Lets connections end: the kept ones with their next answer or after `drain`, tunnels after five
    /// minutes. Answers with how many have not.
    pub async fn leave(mut self) -> usize {
        let Some(mut successor) = self.successor.take() else { return self.stop().await };
        self.is_stopping.store(true, Ordering::Relaxed);
        let drain = self.published.load().config.server.drain;
        self.control.leave().await;
        self.clients.leave(Bounds { idle: drain, tunnels: TUNNELS });
        let (control, published, state) = (&self.control, &self.published, &self.state);
        let follow = async {
            successor.follow(control, published, state).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = follow => {}
            () = self.drained(drain) => {}
        }
        successor.tell_last(&self.published).await;
        tokio::join!(self.admin_door.answered(), self.notifier.stop(), self.exporter.stop());
        self.open.load(Ordering::Relaxed)
    }

    async fn drained(&self, drain: Duration) {
        let all = none_is_left(|| self.open.load(Ordering::Relaxed));
        if timeout(drain + PEACE, all).await.is_ok() {
            return;
        }
        let tunnels = none_is_left(|| self.clients.tunnels());
        // The count of those who are left says whether this ended in time.
        let _ = timeout(TUNNELS.saturating_sub(drain) + PEACE, tunnels).await;
    }
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A part has ended that must not: the process is to stop, and to be started again.
    Part(&'static str),
    /// Another process has taken over: there is only [`Server::leave`] left to do.
    Succeeded,
}

/// Where orders come in.
#[derive(Debug)]
pub(super) struct AdminDoor {
    /// Tells whoever accepts there that another process has the socket; held until the end.
    #[expect(dead_code, reason = "without anybody who could tell, it would be as if it was told")]
    pub leaves: Arc<watch::Sender<bool>>,
    /// Of those who may ask at once.
    pub places: Arc<Semaphore>,
    /// How many those are.
    pub most: usize,
}

impl AdminDoor {
    /// Waits a little for those who are being answered.
    async fn answered(&self) {
        let most = u32::try_from(self.most).unwrap_or(u32::MAX);
        let _ = timeout(LAST_ANSWERS, self.places.acquire_many(most)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::upgrades;

    #[tokio::test]
    async fn who_wishes_for_an_upgrade_while_one_is_under_way_is_told_so_at_once() {
        let (upgrades, mut wishes) = upgrades();
        for _ in 0..3 {
            let said = alone(upgrades.upgrade(), &mut wishes).await;
            assert!(matches!(said, Err(NotUpgraded::UnderWay)), "{said:?}");
        }
    }
}
