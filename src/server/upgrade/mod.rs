//! Another process takes the place of this one, and nobody notices: the order to do so in, a successor that
//! serves out; or this one goes on as before, and why.
//!
//! The old process starts the program that is at its own path by now and passes it all listeners, in the form
//! of systemd. Then they speak, over a socket that is passed with them:
//!
//! | new | old |
//! |---|---|
//! | *prepared*: the config is good, the sockets are here | |
//! | | stores all there is, closes the store, decides nothing any more: *yours* |
//! | opens the store: *ready* | |
//! | | tells the supervisor who is the main process: *serve* |
//! | accepts: *serving* | |
//! | decides and stores; tells what it decides | accepts no more, lets connections end; follows; tells what it has still served |
//!
//! Up to *serving* the old one can go on, and does whenever the new one ends, refuses or is late: it has stopped
//! nothing but to decide. The new one stores nothing before that word. If the old one ends before *yours*, the
//! new one ends with it; after that it is the only one, and serves.

mod binary;
mod copied;
mod launch;
mod launched;
mod predecessor;
mod words;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::inherit::{FIRST, Inherited, OWN, WAY};
use super::socket::Bound;
use super::supervisor;
use crate::clock::Clock;
use crate::control::{Commits, Control, GivenUp, NotUpgraded};
use crate::snapshot::{Carried, Counted, Published};
use crate::state::State;
use crate::store::heard;
use words::{COUNTED, PREPARED, READY, REFUSED, SERVE, SERVING, STANDS, Way, YOURS};

pub(super) use binary::Binary;
use copied::{Copied, open_again};
use launch::BETWEEN;
pub use launch::stand_between;
use launched::Launched;
pub(super) use predecessor::Predecessor;

/// How long the new process may take to be prepared: a check of the config, and a second for names.
const TO_PREPARE: Duration = Duration::from_secs(15);

/// How long it may take to be ready: nothing is decided meanwhile.
const TO_BE_READY: Duration = Duration::from_secs(5);

/// How long whoever has wished for an upgrade that failed waits until this process goes on as before.
const TO_GO_ON: Duration = Duration::from_secs(2);

/// Between two attempts to open the store again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it is told what was still served.
const COUNTS: Duration = Duration::from_secs(1);

/// What goes over with the store. Fields that the other does not know are passed over.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Yours {
    /// How all stands that no store keeps.
    pub carried: Carried,
    /// What was counted, but for what the store has.
    pub counted: Counted,
}

/// What an upgrade needs of the old process.
pub(super) struct Upgrade {
    pub binary: Binary,
    pub control: Control,
    /// Gone with who accepts there.
    pub admin: Weak<Bound>,
    pub inherited: Arc<Inherited>,
    pub published: Arc<Published>,
    pub clock: Clock,
    /// Whether we look after upstreams.
    pub duty: watch::Sender<bool>,
    pub store: PathBuf,
    /// Whether the process is to end.
    pub is_stopping: Arc<AtomicBool>,
}

/// The process that serves from now on.
pub(super) struct Successor {
    /// Its number.
    pub id: u32,
    way: Way,
    /// Who was here at the end counts as served by us up to this.
    counted: Counted,
}

impl Upgrade {
    /// Has another process take over, and tells when it fails. Once this answers with that process, this one
    /// only has to leave; with none, all is as before.
    pub async fn perform(&self, tell: impl FnOnce(NotUpgraded)) -> Option<Successor> {
        let (error, store) = match self.attempt().await {
            Ok(successor) => return Some(successor),
            Err(failed) => failed,
        };
        if store == GivenUp::Kept {
            self.control.take_back(None).await;
            let _ = self.duty.send(true);
            tell(error);
            return None;
        }
        // Who orders something next is to be heard; but nobody waits for a disk.
        let mut back = pin!(self.take_back());
        let is_back = timeout(TO_GO_ON, &mut back).await.is_ok();
        tell(error);
        if !is_back {
            back.await;
        }
        None
    }

    /// The successor, or why there is none and what has become of the store.
    async fn attempt(&self) -> Result<Successor, (NotUpgraded, GivenUp)> {
        let (mut child, mut way) = self.start().await.map_err(|error| (error, GivenUp::Kept))?;
        if let Err(error) = expect(&mut way, PREPARED, TO_PREPARE, &mut child).await {
            child.end().await;
            return Err((error, GivenUp::Kept));
        }
        let _ = self.duty.send(false);
        let store = self.control.give_up().await;
        let handed = match store {
            GivenUp::Free => {
                let copy = Copied::of(&self.store).await;
                let handed = self.hand_over(&mut way, &mut child).await;
                copy.forget_or_keep(handed.is_ok());
                handed
            }
            GivenUp::Hangs | GivenUp::Kept => Err(NotUpgraded::Disk),
        };
        match handed {
            Ok((id, counted)) => {
                child.release();
                Ok(Successor { id, way, counted })
            }
            Err(error) => {
                supervisor::main_is(std::process::id());
                child.end().await;
                Err((error, store))
            }
        }
    }

    /// The new process, and the way to it.
    async fn start(&self) -> Result<(Launched, Way), NotUpgraded> {
        let program = self.binary.trusted().map_err(NotUpgraded::Untrusted)?;
        let not_started = |error: io::Error| NotUpgraded::NotStarted(error.to_string());
        let (ours, theirs) = StdUnixStream::pair().map_err(not_started)?;
        let mut passed: Vec<(String, OwnedFd)> = vec![(WAY.into(), theirs.into())];
        let mut own = self.control.pass_on().await.map_err(not_started)?;
        if let Some(admin) = self.admin.upgrade().filter(|admin| !admin.is_held()) {
            own.push(admin.descriptor().map_err(not_started)?);
        }
        passed.extend(own.into_iter().map(|socket| (OWN.to_string(), socket)));
        passed.extend(self.inherited.held().map_err(not_started)?);
        let way = Way::over(ours).map_err(not_started)?;
        let child = self.spawn(&program, passed).map_err(not_started)?;
        Ok((child, way))
    }

    fn spawn(&self, program: &Path, passed: Vec<(String, OwnedFd)>) -> io::Result<Launched> {
        let names: Vec<String> = passed.iter().map(|(name, _)| name.clone()).collect();
        let mappings = (FIRST..).zip(passed).map(|(number, (_, parent_fd))| {
            // There are fewer than a process may have open.
            FdMapping { parent_fd, child_fd: i32::try_from(number).unwrap_or(i32::MAX) }
        });
        let mut command = std::process::Command::new(program);
        command
            // What it is called by: where a link leads by the time of the next upgrade is found then.
            .arg0(&self.binary.path)
            .args(&self.binary.arguments)
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            // Its number is not known yet; and it is to be watched as the main process.
            .env_remove("LISTEN_PID")
            .env_remove("WATCHDOG_PID")
            .env_remove(BETWEEN)
            .stdin(Stdio::piped())
            .process_group(0)
            .fd_mappings(mappings.collect())
            .map_err(io::Error::other)?;
        Command::from(command).spawn().map(Launched::new)
    }

    /// From *yours* to *serving*.
    async fn hand_over(
        &self,
        way: &mut Way,
        child: &mut Launched,
    ) -> Result<(u32, Counted), NotUpgraded> {
        let snapshot = self.published.load();
        let counted = snapshot.counted();
        let yours = Yours {
            carried: snapshot.carry(snapshot.moment(self.clock.now())),
            counted: counted.clone().without_objectives(),
        };
        // Plain data with text keys always is JSON.
        let yours = serde_json::to_string(&yours).unwrap_or_default();
        let say = timeout(TO_BE_READY, way.says.say(YOURS, &yours)).await;
        if !matches!(say, Ok(Ok(()))) {
            return Err(ended(child, READY).await);
        }
        let id = expect(way, READY, TO_BE_READY, child).await?.parse().unwrap_or_default();
        child.let_go().await;
        // At the last moment: once it is told to serve, it does.
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err(NotUpgraded::Stopping);
        }
        supervisor::main_is(id);
        if way.says.say(SERVE, "").await.is_err() {
            return Err(ended(child, SERVING).await);
        }
        expect(way, SERVING, TO_BE_READY, child).await?;
        Ok((id, counted))
    }

    /// Goes on as before. A store that cannot be opened at once is tried until it can: without it nothing is
    /// decided, and to end would help nobody.
    async fn take_back(&self) {
        let mut is_told = false;
        let commits = loop {
            let started = open_again(&self.store).await.and_then(|store| {
                Commits::start(Arc::new(store)).map_err(|error| error.to_string())
            });
            match started {
                Ok(commits) => break commits,
                Err(error) if !is_told => {
                    is_told = true;
                    tracing::error!(%error, "the store cannot be opened again: nothing is decided");
                }
                Err(_) => {}
            }
            sleep(AGAIN).await;
        };
        self.control.take_back(Some(commits)).await;
        let _ = self.duty.send(true);
    }
}

/// Waits for a word of the new process.
async fn expect(
    way: &mut Way,
    word: &'static str,
    within: Duration,
    child: &mut Launched,
) -> Result<String, NotUpgraded> {
    let hear = async {
        loop {
            match way.hears.hear().await {
                None => return Err(ended(child, word).await),
                Some((heard, rest)) if heard == word => return Ok(rest),
                Some((heard, why)) if heard == REFUSED => return Err(NotUpgraded::Refuses(why)),
                Some(_) => {}
            }
        }
    };
    timeout(within, hear).await.unwrap_or(Err(NotUpgraded::Late { word, within }))
}

/// How it ended that says nothing more. It has closed its end of the way: it ends now, or is none of ours.
async fn ended(child: &mut Launched, word: &'static str) -> NotUpgraded {
    let status = child.ended().await.map_or_else(
        || "it closes the way to us".to_string(),
        |status: ExitStatus| status.to_string(),
    );
    NotUpgraded::Ended { word, status }
}

impl Successor {
    /// Follows what the new process decides and tells what is still served here, until it ends.
    pub async fn follow(
        &mut self,
        control: &Control,
        published: &Published,
        states: &watch::Receiver<Arc<State>>,
    ) {
        let Way { hears, says } = &mut self.way;
        let counted = &mut self.counted;
        let follow = async {
            while let Some((word, what)) = hears.hear().await {
                if word == STANDS {
                    let changes = heard(&what, &states.borrow());
                    control.follow(changes).await;
                }
            }
        };
        let tell = async {
            loop {
                sleep(COUNTS).await;
                if tell(says, counted, published).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(follow, tell);
    }

    /// Tells what was served last.
    pub async fn tell_last(&mut self, published: &Published) {
        // Who has ended needs no counts.
        let _ = tell(&mut self.way.says, &mut self.counted, published).await;
    }
}

async fn tell(
    says: &mut words::Mouth,
    before: &mut Counted,
    published: &Published,
) -> io::Result<()> {
    let now = published.load().counted();
    let new = now.since(before);
    *before = now;
    match new.is_empty() {
        true => Ok(()),
        false => says.say(COUNTED, &serde_json::to_string(&new).unwrap_or_default()).await,
    }
}
