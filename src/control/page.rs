//! The thread that writes the page of what is in force and not stored: what it is to say in, whether it
//! does out. A thread of its own, because the one that stores may hang or be in vain just then.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::mpsc;

use crate::state::Unstored;
use crate::store::Page;

/// The way to the thread and back.
#[derive(Debug)]
pub struct PageWriter {
    /// None where there is no page.
    wanted: Option<SyncSender<Vec<Unstored>>>,
    written: mpsc::Receiver<Option<Vec<Unstored>>>,
    /// What it says; none while that is not known.
    says: Option<Vec<Unstored>>,
    is_busy: bool,
    has_failed: bool,
}

impl PageWriter {
    /// Starts the thread, which ends with this. The page says this now.
    pub fn start(page: Page, says: Vec<Unstored>) -> std::io::Result<PageWriter> {
        let (wanted, taken) = sync_channel(1);
        let (answers, written) = mpsc::channel(1);
        let run = move || run(&page, &taken, &answers);
        thread::Builder::new().name("page".into()).spawn(run)?;
        let (wanted, says) = (Some(wanted), Some(says));
        Ok(PageWriter { wanted, written, says, is_busy: false, has_failed: false })
    }

    /// Where there is no page, nothing is ever written.
    pub fn nowhere() -> PageWriter {
        let (_, written) = mpsc::channel(1);
        PageWriter { wanted: None, written, says: None, is_busy: false, has_failed: false }
    }

    /// Has the page say this, once it says what it was told before. After a failure it is tried again
    /// when it `is_time`.
    pub(super) fn say(&mut self, unstored: Vec<Unstored>, is_time: bool) {
        let may = !self.is_busy && (is_time || !self.has_failed);
        let Some(wanted) = self.wanted.as_ref().filter(|_| may) else { return };
        if self.says.as_ref() != Some(&unstored) {
            self.is_busy = wanted.try_send(unstored).is_ok();
        }
    }

    /// What the page says from now on; nothing if it could not be written. Never answers where nothing
    /// is being written.
    pub(super) async fn written(&mut self) -> Vec<Unstored> {
        if !self.is_busy {
            std::future::pending::<()>().await;
        }
        let written = self.written.recv().await.flatten();
        // A thread that is gone is not asked again.
        self.is_busy = self.written.is_closed();
        self.has_failed = written.is_none();
        self.says.clone_from(&written);
        written.unwrap_or_default()
    }
}

fn run(
    page: &Page,
    wanted: &Receiver<Vec<Unstored>>,
    answers: &mpsc::Sender<Option<Vec<Unstored>>>,
) {
    // Tried again each second: said once.
    let mut has_failed = false;
    while let Ok(unstored) = wanted.recv() {
        let written = page.write(&unstored);
        match (&written, has_failed) {
            (Err(error), false) => {
                tracing::error!(%error, "what is in force and not stored cannot be noted");
            }
            (Ok(()), true) => tracing::info!("what is in force and not stored can be noted again"),
            _ => {}
        }
        has_failed = written.is_err();
        if answers.blocking_send(written.is_ok().then_some(unstored)).is_err() {
            break;
        }
    }
}
