//! One target and its worker: notices in, calls out, each outcome counted.
//!
//! Each target has a worker of its own, so that a slow one delays no other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::Notice;
use super::call::{Call, Caller};
use super::message;
use super::queue::{After, End, Next, Offer, Parcel, Patience, Queue};
use crate::config::{NotifyTarget, SigningKeys};
use crate::observe::NotifyTally;

/// A target, shared by its worker and by who has something to tell.
pub struct Recipient {
    settings: Mutex<Arc<Settings>>,
    queue: Mutex<Queue>,
    /// Something was offered, or the queue was closed.
    wake: Notify,
    /// The queue is closed, and what is not urgent is to give way.
    hurries: watch::Sender<bool>,
    /// Its totals.
    pub tally: Arc<NotifyTally>,
}

/// How it is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// As the config has it.
    pub target: NotifyTarget,
    /// Among which is that of its file.
    pub keys: SigningKeys,
}

impl Recipient {
    /// Nothing waits yet.
    pub fn new(settings: Settings, patience: Patience) -> Recipient {
        Recipient {
            tally: Arc::new(NotifyTally::new(settings.target.name.clone())),
            settings: Mutex::new(Arc::new(settings)),
            queue: Mutex::new(Queue::new(patience)),
            wake: Notify::new(),
            hurries: watch::Sender::new(false),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.tally.name
    }

    /// What waits is told by the new settings too.
    pub fn set(&self, settings: Settings) {
        *lock(&self.settings) = Arc::new(settings);
    }

    /// Queues a notice, if the target wants to know.
    pub fn offer(&self, notice: &Arc<Notice>, caller: &Caller) {
        let is_severe = notice.severity >= lock(&self.settings).target.severity;
        let mut queue = lock(&self.queue);
        // Who was told of trouble is told that it is over, however little that matters.
        let is_wanted = is_severe || notice.is_relief && queue.has_told_of_trouble(&notice.topic);
        if !is_wanted {
            return;
        }
        let offer = queue.offer(notice.clone(), caller.clock().now());
        self.show(&queue);
        drop(queue);
        match offer {
            Offer::Taken => {}
            Offer::TakenFor(gone) => self.on_drop(&gone, "the queue is full"),
            Offer::Suppressed => count(&self.tally.suppressed),
            Offer::Refused => self.on_drop(notice, "the queue is full or closed"),
        }
        self.wake.notify_one();
    }

    /// Tells each that waits once more, and ends. What is not urgent gives way to what is, even while
    /// it is being told: a target that does not answer would leave no time for it.
    pub fn close(&self) {
        self.hurries.send_replace(lock(&self.queue).close());
        self.wake.notify_one();
    }

    /// Gives up what waits.
    pub fn abandon(&self, why: &str) {
        let gone = {
            let mut queue = lock(&self.queue);
            let gone = queue.empty();
            self.show(&queue);
            gone
        };
        gone.iter().for_each(|notice| self.on_drop(notice, why));
    }

    /// Tells one after the other, until the queue is closed and empty.
    pub async fn run(self: Arc<Self>, caller: Arc<Caller>) {
        let mut draws = caller.clock().draws();
        loop {
            let now = caller.clock().now();
            let (old, next) = {
                let mut queue = lock(&self.queue);
                let old = queue.expire(now);
                self.show(&queue);
                (old, queue.next(now))
            };
            old.iter().for_each(|notice| self.on_drop(notice, "it could not be told in time"));
            match next {
                Next::Done => return,
                Next::Idle => self.wake.notified().await,
                Next::Wait(pause) => {
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = self.wake.notified() => {}
                    }
                }
                Next::Send(parcel) => {
                    let mut hurry = self.hurries.subscribe();
                    let may_wait = !parcel.is_urgent() && !*hurry.borrow();
                    let (end, how) = tokio::select! {
                        sent = self.send(&parcel, &caller) => sent,
                        // It is told when its turn comes again.
                        _ = hurry.wait_for(|hurry| *hurry), if may_wait => continue,
                    };
                    let now = caller.clock().now();
                    let after = {
                        let mut queue = lock(&self.queue);
                        let after = queue.on_end(&parcel, end, now, &mut draws);
                        self.show(&queue);
                        after
                    };
                    self.on_end(&parcel, end, after, &how);
                }
            }
        }
    }

    /// Shows how many wait.
    fn show(&self, queue: &Queue) {
        self.tally.waiting.store(queue.len(), Ordering::Relaxed);
    }

    /// One attempt, and what came of it in words.
    async fn send(&self, parcel: &Parcel, caller: &Caller) -> (End, String) {
        let settings = lock(&self.settings).clone();
        let Settings { target, keys } = &*settings;
        let id = message::id(&parcel.notice);
        let body = message::write(target.form, &parcel.notice, parcel.suppressed);
        let call = Call {
            url: &target.url,
            id: &id,
            body: Bytes::from(body),
            secret_file: target.secret_file.as_deref(),
            keys,
            timeout: target.timeout,
        };
        match caller.post(&call).await {
            Ok(reply) if reply.status.is_success() => (End::Sent, String::new()),
            Ok(reply) if may_pass(reply.status) => {
                (End::Failed(reply.retry_after), reply.to_string())
            }
            Ok(reply) => (End::Refused, reply.to_string()),
            Err(error) => (End::Failed(None), error.to_string()),
        }
    }

    fn on_end(&self, parcel: &Parcel, end: End, after: After, how: &str) {
        if end == End::Sent {
            return count(&self.tally.sent);
        }
        count(&self.tally.failed);
        let target = self.name();
        match after {
            After::Told => {}
            After::Again(pause) => {
                tracing::info!(target, ?pause, "a notification failed and is tried again: {how}");
            }
            After::Dropped => self.on_drop(&parcel.notice, how),
        }
    }

    fn on_drop(&self, notice: &Notice, why: &str) {
        count(&self.tally.dropped);
        let (target, severity, what) = (self.name(), notice.severity.name(), &notice.what);
        tracing::warn!(target, severity, what, "a notification was dropped: {why}");
    }
}

/// Whether the same call may be taken later. Redirects are not followed, and whatever else is wrong
/// with a call stays wrong.
fn may_pass(status: StatusCode) -> bool {
    let early = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || early.contains(&status)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
