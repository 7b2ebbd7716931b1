//! Everybody who is told: notices in, one queue and one worker for each target out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

use super::Notice;
use super::call::Caller;
use super::queue::Patience;
use super::recipient::{Recipient, Settings};
use super::tried::{Heard, Tried};
use crate::clock::Clock;
use crate::config::{NotifyTarget, SigningKeys};
use crate::observe::Process;

/// How long a stopping process waits for what is still to be told.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Tells the targets of the config what happens.
pub struct Notifier {
    caller: Arc<Caller>,
    process: Arc<Process>,
    patience: Patience,
    workers: Mutex<Vec<Worker>>,
}

/// A target and the task that calls it, which ends when this is dropped.
struct Worker {
    target: Arc<Recipient>,
    task: JoinHandle<()>,
}

impl Notifier {
    /// Nobody is told yet. Totals of targets are shown in `process`.
    pub fn new(clock: Clock, process: Arc<Process>) -> Notifier {
        Notifier::with(Caller::new(clock), Patience::default(), process)
    }

    /// With a caller and a patience of its own.
    pub(super) fn with(caller: Caller, patience: Patience, process: Arc<Process>) -> Notifier {
        Notifier { caller: Arc::new(caller), process, patience, workers: Mutex::default() }
    }

    /// Who is told from now on, and with which keys calls are signed. A target that keeps its name keeps its queue and its totals, with
    /// whatever settings; those that are gone are told no more. To be called within a runtime.
    pub fn set_targets(&self, targets: &[NotifyTarget], keys: &SigningKeys) {
        let mut workers = self.workers();
        let mut before = std::mem::take(&mut *workers);
        for target in targets {
            let settings = Settings { target: target.clone(), keys: keys.clone() };
            match before.iter().position(|worker| worker.target.name() == &*target.name) {
                Some(place) => {
                    let worker = before.swap_remove(place);
                    worker.target.set(settings);
                    workers.push(worker);
                }
                None => workers.push(self.employ(settings)),
            }
        }
        let tallies = workers.iter().map(|worker| worker.target.tally.clone());
        self.process.set_notify_targets(tallies.collect());
        drop(workers);
        for worker in before {
            worker.task.abort();
            worker.target.abandon("its target is not in the config any more");
        }
    }

    /// Tells everybody who wants to know of it. Never waits: what finds no room is counted, logged
    /// and lost.
    pub fn send(&self, notice: Notice) {
        let notice = Arc::new(notice);
        let workers = self.workers();
        let is_meant = |worker: &&Worker| match &notice.only_for {
            Some(only) => worker.target.name() == &**only,
            None => true,
        };
        // A file that is read since may have that target no more; then all are meant.
        let is_known = workers.iter().any(|worker| is_meant(&worker));
        for worker in workers.iter().filter(|worker| !is_known || is_meant(worker)) {
            worker.target.offer(&notice, &self.caller);
        }
    }

    /// Tells one target, or all of them, whatever severity they want, and waits for what they answer: each is
    /// called once. None if no target has this name.
    pub async fn try_out(
        &self,
        target: Option<&str>,
        notice: Notice,
        within: Duration,
    ) -> Option<Vec<Tried>> {
        let notice = Arc::new(notice);
        let asked: Vec<_> = {
            let workers = self.workers();
            let of_name = |worker: &&Worker| target.is_none_or(|name| name == worker.target.name());
            let named = workers.iter().filter(of_name).map(|worker| worker.target.clone());
            named.map(|target| (target.try_out(&notice, &self.caller), target)).collect()
        };
        if asked.is_empty() && target.is_some() {
            return None;
        }
        let until = self.caller.clock().now() + within;
        let mut tried = Vec::new();
        for (hears, recipient) in asked {
            let unheard = |answer: String| Heard { is_taken: false, status: None, answer };
            let heard = match timeout_at(until.into(), hears).await {
                Ok(Ok(heard)) => heard,
                Ok(Err(_)) => unheard("its target is not in the config any more".into()),
                Err(_) => unheard(format!("not told within {} s", within.as_secs())),
            };
            let NotifyTarget { name, form, .. } = recipient.target();
            tried.push(Tried { target: name, form, heard });
        }
        Some(tried)
    }

    /// Tells what is still to be told, each once and the most severe first, for three seconds at
    /// most, and gives up the rest. Nobody is told afterwards.
    pub async fn stop(&self) {
        let mut workers = std::mem::take(&mut *self.workers());
        workers.iter().for_each(|worker| worker.target.close());
        let all = async {
            for worker in &mut workers {
                // It ends by itself; if it panicked, its queue is abandoned below.
                let _ = (&mut worker.task).await;
            }
        };
        // What is left is counted below.
        let _ = timeout(LAST_WORDS, all).await;
        for worker in workers {
            worker.task.abort();
            worker.target.abandon("the process stops");
        }
    }

    fn employ(&self, settings: Settings) -> Worker {
        let target = Arc::new(Recipient::new(settings, self.patience));
        let task = tokio::spawn(target.clone().run(self.caller.clone()));
        Worker { target, task }
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}
