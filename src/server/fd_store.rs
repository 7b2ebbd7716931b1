//! Listening sockets that a service manager keeps for us (systemd's file descriptor store, `FDSTORE=1` of
//! sd_notify(3)): after a crash the next process gets them back as it gets those of a predecessor, and whoever
//! connects in between waits in their queues and is not refused.
//!
//! It is for crashes only. Who is told to stop takes them back first: nobody is to wait for a process that
//! nobody starts.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sd_notify::NotifyState;

use super::inherit::OWN;
use super::socket::Bound;

/// Descriptors in one message; the system takes 253.
const AT_ONCE: usize = 200;

/// What the manager is to keep.
#[derive(Debug, Default)]
pub struct FdStore(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sockets: Vec<Weak<Bound>>,
    /// What it was told of last; none if that is not known to have arrived.
    told: Option<Vec<Weak<Bound>>>,
    /// Before, the manager hears another process than this one.
    is_main: bool,
}

impl FdStore {
    /// This process is the one that the manager hears.
    pub(super) fn begin(&self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.is_main = true;
        inner.tell();
    }

    /// These listen from now on, and no others.
    pub(super) fn keep<'a>(&self, sockets: impl Iterator<Item = &'a Arc<Bound>>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What the manager holds itself it passes anyway.
        inner.sockets = sockets.filter(|bound| !bound.is_held()).map(Arc::downgrade).collect();
        inner.tell();
    }
}

impl Inner {
    fn tell(&mut self) {
        if !self.is_main || self.told.as_ref().is_some_and(|told| are_same(told, &self.sockets)) {
            return;
        }
        // All go, and those that stay come again: the manager knows them by one name.
        forget();
        let sockets = self.sockets.iter().filter_map(Weak::upgrade);
        let sockets = sockets.map(|bound| bound.descriptor()).collect::<Result<Vec<OwnedFd>, _>>();
        let told = sockets.and_then(|sockets| {
            let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            let mut messages = sockets.chunks(AT_ONCE);
            let what = [NotifyState::FdStore, NotifyState::FdName(OWN)];
            messages.try_for_each(|sockets| sd_notify::notify_with_fds(&what, sockets))
        });
        self.told = told.is_ok().then(|| self.sockets.clone());
        if let Err(error) = told {
            tracing::warn!(%error, "the service manager cannot be given the listening sockets to keep");
        }
    }
}

fn are_same(some: &[Weak<Bound>], others: &[Weak<Bound>]) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(one, other)| one.ptr_eq(other))
}

/// Takes all back that were given, also by a process before this one.
pub(super) fn forget() {
    let what = [NotifyState::FdStoreRemove, NotifyState::FdName(OWN)];
    if let Err(error) = sd_notify::notify(&what) {
        tracing::warn!(%error, "the service manager cannot be told to let go of sockets");
    }
}
