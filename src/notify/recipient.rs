//! One target and its worker: notices in, calls out, each outcome counted.
//!
//! Each target has a worker of its own, so that a slow one delays no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::sleep;

use super::call::{Call, Caller, Reply};
use super::queue::{After, End, Next, Offer, Parcel, Patience, Queue};
use super::standing::{AGAIN, Standing};
use super::tried::Heard;
use super::{Notice, Severity, message};
use crate::config::{Form, NotifyTarget, SigningKeys};
use crate::event::Turn;
use crate::observe::NotifyTally;

/// A target, shared by its worker and by who has something to tell.
pub struct Recipient {
    settings: Mutex<Arc<Settings>>,
    queue: Mutex<Queue>,
    /// Something was offered, or the queue was closed.
    wake: Notify,
    /// The queue is closed, and what is not urgent is to give way.
    hurries: watch::Sender<bool>,
    /// Who waits for what becomes of a notice, by its id: then it is tried once.
    asked: Mutex<HashMap<u64, oneshot::Sender<Heard>>>,
    /// Alerts that it has to be reminded of.
    standing: Mutex<Standing>,
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
            asked: Mutex::default(),
            standing: Mutex::default(),
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
        let settings = lock(&self.settings).clone();
        let mut queue = lock(&self.queue);
        if !wants(&settings.target, notice, &queue) {
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

    /// Queues a notice before all others, whatever its severity. What the target answers, or why it was not
    /// told, is heard there.
    pub fn try_out(&self, notice: &Arc<Notice>, caller: &Caller) -> oneshot::Receiver<Heard> {
        let (tells, hears) = oneshot::channel();
        // Who does not wait any more is forgotten when its notice has been told.
        lock(&self.asked).insert(notice.id, tells);
        let offer = lock(&self.queue).offer_first(notice.clone(), caller.clock().now());
        match offer {
            Offer::Taken => {}
            Offer::TakenFor(gone) => self.on_drop(&gone, "the queue is full"),
            Offer::Suppressed | Offer::Refused => {
                let answer = "the queue is full or closed".into();
                self.answer(notice, Heard { is_taken: false, status: None, answer });
            }
        }
        self.wake.notify_one();
        hears
    }

    /// What it is called, and how it is told.
    pub fn target(&self) -> NotifyTarget {
        lock(&self.settings).target.clone()
    }

    fn answer(&self, notice: &Notice, heard: Heard) -> bool {
        let asked = lock(&self.asked).remove(&notice.id);
        // Who asked may have gone.
        asked.map(|asked| asked.send(heard)).is_some()
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
                Next::Idle if lock(&self.standing).is_empty() => self.wake.notified().await,
                Next::Idle => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = sleep(AGAIN) => self.remind(&caller).await,
                    }
                }
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
                    let (end, how) = self.heard(&parcel, end, how);
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

    /// One attempt, and what came of it.
    async fn send(&self, parcel: &Parcel, caller: &Caller) -> (End, Outcome) {
        let settings = lock(&self.settings).clone();
        let target = &settings.target;
        let id = message::id(&parcel.notice);
        let key = target.routing_key.as_ref();
        let body = message::write(target.form, key, &parcel.notice, parcel.suppressed);
        let outcome = self.post(&settings, &id, body, caller).await;
        let end = match &outcome {
            Ok(reply) if reply.status.is_success() => End::Sent,
            Ok(reply) if may_pass(reply.status) => End::Failed(reply.retry_after),
            Ok(_) => End::Refused,
            Err(_) => End::Failed(None),
        };
        if end == End::Sent && target.form == Form::Alertmanager {
            lock(&self.standing).note(&parcel.notice);
        }
        (end, outcome)
    }

    async fn post(&self, settings: &Settings, id: &str, body: Vec<u8>, caller: &Caller) -> Outcome {
        let Settings { target, keys } = settings;
        let call = Call {
            url: &target.url,
            id,
            body: Bytes::from(body),
            fields: &target.headers,
            secret_file: target.secret_file.as_deref(),
            keys,
            timeout: target.timeout,
        };
        caller.post(&call).await.map_err(|error| error.to_string())
    }

    /// Tells whoever waits for it. Then one attempt is all.
    fn heard(&self, parcel: &Parcel, end: End, outcome: Outcome) -> (End, String) {
        let (status, answer) = match outcome {
            Ok(reply) => (Some(reply.status), reply.to_string()),
            Err(error) => (None, error),
        };
        let is_taken = end == End::Sent;
        let heard = Heard { is_taken, status, answer: answer.clone() };
        match self.answer(&parcel.notice, heard) {
            true if !is_taken => (End::Refused, answer),
            _ => (end, answer),
        }
    }

    /// Posts once more what is still open: Alertmanager forgets it when it starts anew.
    async fn remind(&self, caller: &Caller) {
        let settings = lock(&self.settings).clone();
        let open = lock(&self.standing).open(caller.clock().wall_time());
        if open.is_empty() || settings.target.form != Form::Alertmanager {
            return;
        }
        let body = message::again(&open);
        let outcome = self.post(&settings, "alerts", body, caller).await;
        let why = match outcome {
            Ok(reply) if reply.status.is_success() => return,
            Ok(reply) => reply.to_string(),
            Err(error) => error,
        };
        tracing::info!(target = self.name(), "open alerts could not be posted once more: {why}");
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
        self.answer(notice, Heard { is_taken: false, status: None, answer: why.into() });
        count(&self.tally.dropped);
        let (target, severity, what) = (self.name(), notice.severity.name(), &notice.what);
        tracing::warn!(target, severity, what, "a notification was dropped: {why}");
    }
}

/// What a call came to: an answer, or why there is none.
type Outcome = Result<Reply, String>;

/// Whether a target wants to know. Who was told of trouble is told that it is over, however little that matters.
fn wants(target: &NotifyTarget, notice: &Notice, queue: &Queue) -> bool {
    let is_severe = notice.severity >= target.severity;
    match notice.alert {
        // Nobody would ever close it.
        None if target.form.has_alerts() => is_severe && notice.severity > Severity::Low,
        // Perhaps it was opened before the process began.
        Some(alert) if target.form.has_alerts() && alert.turn == Turn::Closes => true,
        _ => is_severe || notice.is_relief && queue.has_told_of_trouble(&notice.topic),
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
