//! The thread that waits for the disk: batches in, one at a time; whether each is stored out.
//!
//! A disk that hangs holds this thread and nobody else. What waits for it waits with the writer,
//! which hands over the next batch once the one before is answered; so what this thread has not
//! begun can still be withdrawn.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::state::Change;
use crate::store::{Store, StoreError, StoredEvent};

/// How often it is looked whether a disk that failed in the middle of a commit says anything.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be stored together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub changes: Vec<Change>,
    pub events: Vec<StoredEvent>,
}

/// The way to the thread and back.
#[derive(Debug)]
pub struct Commits {
    batches: SyncSender<Batch>,
    stored: mpsc::Receiver<Result<(), String>>,
}

impl Commits {
    /// Starts the thread, which ends with this.
    pub fn start(store: Arc<Store>) -> std::io::Result<Commits> {
        Commits::calling(move |batch| commit(&store, batch))
    }

    /// A thread that has each batch stored by this.
    pub(crate) fn calling(
        commit: impl Fn(&Batch) -> Result<(), String> + Send + 'static,
    ) -> std::io::Result<Commits> {
        let (batches, taken) = sync_channel(1);
        let (answers, stored) = mpsc::channel(1);
        thread::Builder::new()
            .name("commits".into())
            .spawn(move || run(commit, &taken, &answers))?;
        Ok(Commits { batches, stored })
    }

    /// Hands over a batch; the one before must have been answered.
    pub(super) fn hand(&self, batch: Batch) {
        // There is room for the one that is handed over; a thread that is gone answers nothing.
        let _ = self.batches.try_send(batch);
    }

    /// How it went with the batch that was handed over; none if the thread has panicked: then nothing
    /// is stored ever again.
    pub(super) async fn stored(&mut self) -> Option<Result<(), String>> {
        self.stored.recv().await
    }

    /// Waits until the thread has ended, and with it the store is given back.
    pub(super) async fn end(self) {
        let Commits { batches, mut stored } = self;
        drop(batches);
        while stored.recv().await.is_some() {}
    }
}

fn run(
    commit: impl Fn(&Batch) -> Result<(), String>,
    batches: &Receiver<Batch>,
    answers: &mpsc::Sender<Result<(), String>>,
) {
    while let Ok(batch) = batches.recv() {
        if answers.blocking_send(commit(&batch)).is_err() {
            break;
        }
    }
}

/// Stores a batch; an error says that nothing of it has happened.
fn commit(store: &Store, batch: &Batch) -> Result<(), String> {
    let failed = match store.commit(&batch.changes, &batch.events) {
        Ok(()) => return Ok(()),
        Err(error @ StoreError::Lost { .. }) => error,
        Err(error) => return Err(error.to_string()),
    };
    tracing::error!(error = %failed, "the disk is looked at again each second");
    loop {
        match store.has_happened() {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(failed.to_string()),
            // Until it is known, it is as with a disk that does not answer.
            Err(_) => thread::sleep(AGAIN),
        }
    }
}
