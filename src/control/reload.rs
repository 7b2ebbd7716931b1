//! The file is read again: what it says in; a config in force, or why nothing has changed, out.
//!
//! The file is read, and names that are new are looked up, beside the writer: it only takes what was
//! found. A name that becomes new meanwhile counts as one that has not resolved yet.
//!
//! One after the other: what a reload has bound is in use, or given back, before the next one binds.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{BindError, Cause, Controller, Listening};
use crate::config::{Change, Config, Removals};
use crate::event::{Event, Kind, Subject};
use crate::files::{FileError, Files, InForce, Loaded};
use crate::orders::{By, Order, Refused, Ticket, changed_upstreams, differences, removals};
use crate::resolve::{look_up_new, names};
use crate::snapshot::Resolved;
use crate::upstream::Address;

/// How long a reload waits for names it has not seen before.
const NEW_NAMES: Duration = Duration::from_secs(1);

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The process was started without a file.
    #[error("there is no file to reload: the process was started without one")]
    NoFile,
    /// A fault of ours.
    #[error("reading the file has failed for a fault of pointsman's own; the log has more")]
    Failed,
    /// The file cannot be read, or is not a config.
    #[error(transparent)]
    File(#[from] FileError),
    /// It would open the admin API to other machines.
    #[error("other machines can reach the admin API, and the file names no `token_file`")]
    Open,
    /// It was saved, and takes away what is in use.
    #[error(
        "it takes away what is in use ({}), and waits for `pointsman reload`", .0.join("; ")
    )]
    Removes(Vec<String>),
    /// A new listener's address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What the file changes was not taken.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl ReloadError {
    /// What has to be mended: a file, an address, the store.
    fn at_fault(&self) -> String {
        match self {
            ReloadError::File(FileError::Read { path, .. } | FileError::Hangs { path, .. }) => {
                path.clone()
            }
            ReloadError::File(FileError::Problems(rejected)) => rejected.path().to_string(),
            ReloadError::Bind(error) => error.address.to_string(),
            ReloadError::Refused(
                Refused::UnderDeploy { service, pool, .. }
                | Refused::OrderedOwn { service, pool, .. },
            ) => format!("{service}/{pool}"),
            ReloadError::Refused(_) => "store".into(),
            ReloadError::Open => "token_file".into(),
            ReloadError::NoFile | ReloadError::Failed | ReloadError::Removes(_) => String::new(),
        }
    }
}

pub(super) type Reply = oneshot::Sender<Result<Vec<Change>, ReloadError>>;

/// A reload that waits for the disk.
pub(super) struct Reloading<P> {
    pub ticket: Ticket,
    by: By,
    /// None once it was answered that nobody knows.
    reply: Option<Reply>,
    /// Whether somebody has asked for it.
    is_asked: bool,
    prepared: P,
    loaded: Loaded,
    changes: Vec<Change>,
}

/// A file that is being read, beside the writer: what takes a while keeps no order waiting.
pub(super) struct Reading {
    by: By,
    cause: Cause,
    reply: Reply,
    task: JoinHandle<Result<Read, ReloadError>>,
}

/// A file that was read.
pub(super) struct Read {
    loaded: Loaded,
    /// What names resolve to that were not known before.
    new: Resolved,
}

/// Reads the file, and waits a little for the addresses of names that are not `known`: upstreams
/// known by name only would take nothing until theirs are looked up.
async fn read_file(files: Arc<Files>, known: Resolved) -> Result<Read, ReloadError> {
    let loaded = files.load().await?;
    let new = look_up_new(&loaded.config, &known, NEW_NAMES).await;
    Ok(Read { loaded, new })
}

/// The end of a reading, if one is under way.
pub(super) async fn read(reading: &mut Option<Reading>) -> Result<Read, ReloadError> {
    match reading {
        Some(reading) => (&mut reading.task).await.unwrap_or(Err(ReloadError::Failed)),
        None => std::future::pending().await,
    }
}

impl<L: Listening> Controller<L> {
    /// Begins the next reload, if none is under way.
    pub(super) fn reload_next(&mut self) {
        while self.may_reload()
            && self.reading.is_none()
            && self.reloading.is_none()
            && let Some((by, cause, reply)) = self.reloads.pop_front()
        {
            if self.wiring.files.path().is_none() {
                self.tell_reloaded(by, reply, Err(ReloadError::NoFile));
                continue;
            }
            let (files, known) = (self.wiring.files.clone(), self.orders.resolved().clone());
            let task = tokio::spawn(read_file(files, known));
            self.reading = Some(Reading { by, cause, reply, task });
        }
    }

    /// The file was read: what it says is put in force, or not.
    pub(super) fn on_read(&mut self, read: Result<Read, ReloadError>) {
        let Some(Reading { by, cause, reply, .. }) = self.reading.take() else { return };
        let read = read.and_then(|read| self.check_removals(cause, read));
        let prepared = read.and_then(|read| Ok((self.prepare(&read.loaded.config)?, read)));
        let (prepared, Read { loaded, new }) = match prepared {
            Ok(prepared) => prepared,
            Err(error @ ReloadError::Removes(_)) if cause == (Cause::Saved { is_last: false }) => {
                // It may be half of what is to come; if it is not, this is told later.
                tracing::warn!("the file has changed: {error}, or changes again");
                let _ = reply.send(Err(error));
                return;
            }
            Err(error) => return self.tell_reloaded(by, reply, Err(error)),
        };
        let forgets = cause == (Cause::Asked { forgets: true });
        let config = loaded.config.clone();
        let changes = differences(self.orders.state(), self.orders.config(), &config, forgets);
        let (snapshot, now) = (self.wiring.published.load(), self.now());
        let told = changes.iter().map(Change::to_string).collect();
        let order = Order::Reload { config, changes: told, learnt: new, forgets };
        let ticket = self.orders.take(order, by.clone(), &snapshot, now);
        let reply = Some(reply);
        let is_asked = matches!(cause, Cause::Asked { .. });
        self.reloading = Some(Reloading { ticket, by, reply, is_asked, prepared, loaded, changes });
    }

    /// Refuses a file that was merely saved and takes away what is in use.
    fn check_removals(&self, cause: Cause, read: Read) -> Result<Read, ReloadError> {
        let before = self.orders.config();
        let is_consent = matches!(cause, Cause::Asked { .. });
        if is_consent || before.server.removals == Removals::AtOnce {
            return Ok(read);
        }
        let (snapshot, now) = (self.wiring.published.load(), self.wiring.clock.now());
        let history = self.orders.history();
        let is_asked = |service: &str| history.was_asked(&snapshot, service, now);
        match removals(self.orders.state(), before, &read.loaded.config, is_asked) {
            none if none.is_empty() => Ok(read),
            removed => Err(ReloadError::Removes(removed)),
        }
    }

    fn prepare(&self, config: &Config) -> Result<L::Prepared, ReloadError> {
        if config.admin.tokens.is_none() && !self.wiring.is_admin_local {
            return Err(ReloadError::Open);
        }
        let admin = (&config.admin.address, config.admin.tls.as_ref());
        Ok(self.wiring.listeners.prepare(&config.listeners, admin, &config.certificates)?)
    }

    /// The config of the reload under way is in force, or is not.
    pub(super) fn reloaded(&mut self, answered: Result<(), Refused>) {
        if let (Err(refused @ Refused::Unknown { .. }), Some(reloading)) =
            (&answered, &mut self.reloading)
        {
            // It may be in force yet: what was prepared for it is kept.
            if let Some(reply) = reloading.reply.take() {
                let by = reloading.by.clone();
                self.tell_reloaded(by, reply, Err(refused.clone().into()));
            }
            return;
        }
        let Some(reloading) = self.reloading.take() else { return };
        let Reloading { by, reply, is_asked, prepared, loaded, changes, .. } = reloading;
        let Loaded { config, texts } = loaded;
        // Whoever was told that nobody knows waits no longer.
        let reply = reply.unwrap_or_else(|| oneshot::channel().0);
        if let Err(refused) = answered {
            return self.tell_reloaded(by, reply, Err(refused.into()));
        }
        self.wiring.listeners.commit(prepared);
        self.wiring.process.set_listeners(self.wiring.listeners.tallies());
        self.wiring.notifier.set_targets(&config.notify, &config.keys);
        let changed = changed_upstreams(self.orders.state());
        let wanted: HashSet<Address> = names(&config, &changed).collect();
        self.orders.retain_resolved(|address| wanted.contains(address));
        let asked = self.wiring.in_force.borrow().asked + u64::from(is_asked);
        self.wiring.in_force.send_replace(Arc::new(InForce { config, texts, changed, asked }));
        self.tell_reloaded(by, reply, Ok(changes));
    }

    fn tell_reloaded(&self, by: By, reply: Reply, reloaded: Result<Vec<Change>, ReloadError>) {
        if let Err(ReloadError::NoFile) = reloaded {
            let _ = reply.send(reloaded);
            return;
        }
        let now = self.wiring.clock.unix_seconds();
        let refused = reloaded.as_ref().err();
        self.wiring.process.set_refused(refused.map(ToString::to_string));
        self.wiring.process.update(|gauges| match &reloaded {
            Ok(_) => {
                gauges.reloads += 1;
                gauges.last_reload_successful = true;
                gauges.last_reload_success = now;
                gauges.waits_for_reload = false;
            }
            Err(error) => {
                gauges.refused_reloads += 1;
                gauges.last_reload_successful = false;
                gauges.waits_for_reload = matches!(error, ReloadError::Removes(_));
            }
        });
        // The event is the line of the log; where the mistakes stand it has no room for.
        if let Err(ReloadError::File(FileError::Problems(rejected))) = &reloaded {
            tracing::error!("the config's mistakes:\n{}", rejected.render(false));
        }
        if let Err(error) = &reloaded {
            let file = self.wiring.files.path().map(|path| path.display().to_string());
            let kind = match error {
                ReloadError::Removes(removed) => Kind::RemovalWaits { what: removed.join("; ") },
                error => {
                    let (at_fault, why) = (error.at_fault(), error.to_string());
                    Kind::ReloadRefused { at_fault, why, file }
                }
            };
            let By { author, reason, .. } = by;
            let (author, subject) = (Some(author), Subject::default());
            self.wiring.events.say(Event { kind, subject, author, reason });
        }
        let _ = reply.send(reloaded);
    }
}
