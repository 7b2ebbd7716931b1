//! Certificates from authorities (ACME, RFC 8555): a config in; accounts, orders and renewals, and
//! certificates for handshakes out.
//!
//! One task orders one certificate after the other, beside everything else: no request waits for it. What
//! is wanted and when is decided by [`crate::acme`]; `issue.rs` is one order, `account.rs` our account,
//! `holds.rs` who is left alone, `kept.rs` what outlasts the process, `http.rs` the way to an authority,
//! `failure.rs` what it says when there is nothing.

mod account;
mod failure;
mod holds;
mod http;
mod issue;
mod kept;
mod standing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::acme::{Attempts, Wanted, wanted};
use crate::certificate::{Pair, identity};
use crate::clock::{Clock, in_words};
use crate::config::{AcmeAuthority, Config};
use crate::event::{Event, Kind, Subject};
use crate::events::Events;
use crate::files::InForce;
use crate::snapshot::Published;
use crate::wire::clients::Common;
use crate::wire::tls::ordered::Ordered;
use failure::Failure;
use http::Way;
use issue::{Issue, is_for};
use kept::Kept;
use standing::{Standing, Standings};

/// How often it is looked whether something is due: a machine may have slept, or its clock have been set.
const LOOK: Duration = Duration::from_secs(10);

/// For one order, whatever the authority makes of it: others wait.
const WITHIN: Duration = Duration::from_secs(10 * 60);

/// How often an authority is asked at most and at least when it would like a certificate replaced, in
/// seconds: it says itself how often.
const WINDOWS: (u64, u64) = (60 * 60, 24 * 60 * 60);

/// When it is asked again that has not answered well.
const WINDOW_FAILED: u64 = 6 * 60 * 60;

/// Orders what the config in force wants.
#[derive(Clone)]
pub struct AcmeClient {
    /// The state folder; none if what comes ends with the process.
    folder: Option<PathBuf>,
    common: Common,
    clock: Clock,
}

/// What an order is made with.
struct Means {
    published: Arc<Published>,
    events: Arc<Events>,
}

/// An authority that was asked before, and our account with it.
struct Known {
    authority: AcmeAuthority,
    way: Way,
    account: Account,
}

impl AcmeClient {
    /// Of a process with this state folder, for its listeners.
    pub fn new(folder: Option<PathBuf>, common: Common, clock: Clock) -> AcmeClient {
        AcmeClient { folder, common, clock }
    }

    /// Takes over what earlier processes were given, so that the first handshake has it. Waits for the disk.
    pub fn recall(&self, config: &Config) {
        Standings::default().follow(wanted(config), self.folder.as_deref(), &self.common);
    }

    /// Orders what is due, for ever.
    pub async fn run(
        self,
        published: Arc<Published>,
        mut in_force: watch::Receiver<Arc<InForce>>,
        events: Arc<Events>,
    ) {
        let means = Means { published, events };
        let (mut standings, mut known) = (Standings::default(), Vec::new());
        let mut before = None;
        let mut asked = in_force.borrow().asked;
        loop {
            let asked_before = std::mem::replace(&mut asked, in_force.borrow_and_update().asked);
            if asked_before < asked {
                standings.hurry();
            }
            let config = means.published.load().config.clone();
            let wanted = wanted(&config);
            if before.as_ref() != Some(&wanted) {
                before = Some(wanted.clone());
                let (folder, common) = (self.folder.clone(), self.common.clone());
                let followed = beside(move || {
                    standings.follow(wanted, folder.as_deref(), &common);
                    standings
                });
                standings = followed.await;
            }
            let now = self.now();
            match standings.next(now) {
                Some((place, at)) if at <= now => {
                    let turned = self.turn(standings.at(place), &config, &means, &mut known).await;
                    if let Some(ended) = turned {
                        let (now, draw) = (self.now(), (self.clock.draw)());
                        standings.note(place, ended.err().as_ref(), now, draw);
                    }
                    standings.show(&self.common);
                }
                next => {
                    let left = next.map(|(_, at)| LOOK.min(Duration::from_secs(at - now)));
                    wait(left, &mut in_force).await;
                }
            }
        }
    }

    fn now(&self) -> u64 {
        self.clock.unix_seconds() as u64
    }

    /// Does what is due for one certificate: asks when it is to be replaced, or orders it. How that has
    /// ended; none if it says nothing of the authority.
    async fn turn(
        &self,
        standing: &mut Standing,
        config: &Config,
        means: &Means,
        known: &mut Vec<Known>,
    ) -> Option<Result<(), Failure>> {
        let kept = Kept::of(self.folder.as_deref(), &standing.wanted.authority.directory);
        let is_look = standing.is_look(self.now());
        let way = self.way(&standing.wanted.authority, config, known);
        let account = self.account(&standing.wanted.authority, &way, &kept, config, known).await;
        let asked_to_wait = |mut failure: Failure| {
            failure.refused.after = failure.refused.after.or(way.asked_to_wait());
            failure
        };
        let account = account.map_err(|failure| asked_to_wait(failure).of_authority());
        if is_look {
            let (account, failure) = match account {
                Ok(account) => (Some(account), None),
                Err(failure) => (None, Some(Err(failure))),
            };
            self.ask_when(standing, account).await;
            return failure;
        }
        if self.found_elsewhere(standing, &kept).await {
            return None;
        }
        let issued = match account {
            Ok(account) => timeout(WITHIN, self.order(standing, &account, &kept)).await,
            Err(failure) => Ok(Err(failure)),
        };
        let too_long = || Failure::new(format!("it has taken more than {}", in_words(WITHIN)), "");
        let issued = issued.unwrap_or_else(|_| Err(too_long()));
        let holder = standing.wanted.holder.clone();
        self.common.ordered.count(&holder, issued.is_ok());
        let issued = issued.map_err(asked_to_wait);
        let now = self.now();
        let ended = match issued {
            Ok(ordered) => {
                standing.progress.attempts = Attempts::succeeded(now);
                standing.progress.begun = None;
                let left = Duration::from_secs(ordered.pair.about.until.saturating_sub(now));
                standing.take(ordered);
                let kind = Kind::CertificateIssued { holder: holder.to_string(), left };
                means.events.say(Event::by_itself(kind, Subject::default()));
                Ok(())
            }
            Err(failure) => {
                // What is wrong may be the account, which is found anew.
                known.retain(|known| known.authority != *standing.wanted.authority);
                self.note_failed(standing, &failure, means, now);
                if failure.is_unknown
                    && let Err(error) = account::forget(&kept).await
                {
                    tracing::warn!(%error, "the account that the authority has forgotten stays");
                }
                Err(failure)
            }
        };
        let progress = standing.progress.clone();
        let stored = beside(move || kept.put_progress(&holder, &progress)).await;
        if let Err(error) = stored {
            tracing::warn!(%error, "how an order for a certificate went cannot be kept");
        }
        Some(ended)
    }

    fn note_failed(&self, standing: &mut Standing, failure: &Failure, means: &Means, now: u64) {
        let attempts = &mut standing.progress.attempts;
        *attempts = attempts.failed(now, failure.refused, (self.clock.draw)());
        if failure.ends_order {
            standing.progress.begun = None;
        }
        let kind = Kind::CertificateNotIssued {
            holder: standing.wanted.holder.to_string(),
            why: failure.why.clone(),
            what_to_do: failure.what_to_do.into(),
            again: Duration::from_secs(standing.progress.attempts.not_before.saturating_sub(now)),
            has_one: standing.shown().is_some(),
        };
        means.events.say(Event::by_itself(kind, Subject::default()));
    }

    /// The way to an authority, which is the one that its account goes by.
    fn way(&self, authority: &AcmeAuthority, config: &Config, known: &[Known]) -> Way {
        let is_it = |known: &&Known| known.authority == *authority;
        known.iter().find(is_it).map(|known| known.way.clone()).unwrap_or_else(|| {
            let ca = authority.ca.as_ref();
            Way::trusting(ca.and_then(|ca| config.certificates.authorities(ca)).map(|ca| &**ca))
        })
    }

    async fn account(
        &self,
        authority: &AcmeAuthority,
        way: &Way,
        kept: &Kept,
        config: &Config,
        known: &mut Vec<Known>,
    ) -> Result<Account, Failure> {
        if let Some(known) = known.iter().find(|known| known.authority == *authority) {
            return Ok(known.account.clone());
        }
        let account = account::open(authority, way, kept, &config.keys).await?;
        known.push(Known {
            authority: authority.clone(),
            way: way.clone(),
            account: account.clone(),
        });
        Ok(account)
    }

    /// Whether another process has been given a later certificate, which is ours then.
    async fn found_elsewhere(&self, standing: &mut Standing, kept: &Kept) -> bool {
        let (holder, kept) = (standing.wanted.holder.clone(), kept.clone());
        let wanted = standing.wanted.clone();
        let found = beside(move || standing::read(&wanted, &kept)).await;
        let until = |ordered: &Ordered| ordered.pair.about.until;
        match found {
            Some(found)
                if is_for(&found.pair, &holder)
                    && standing.ordered.as_ref().is_none_or(|own| until(own) < until(&found)) =>
            {
                standing.take(found);
                true
            }
            _ => false,
        }
    }

    /// One order.
    async fn order(
        &self,
        standing: &mut Standing,
        account: &Account,
        kept: &Kept,
    ) -> Result<Ordered, Failure> {
        let Standing { wanted, ordered, window, progress, .. } = standing;
        let ways = &wanted.ways;
        // One that has failed is not tried again before the others.
        let way = ways[progress.attempts.failed as usize % ways.len()];
        let replaces = ordered.as_ref().filter(|_| window.is_some());
        let replaces = replaces.and_then(|ordered| identifier(&ordered.pair.chain));
        let issue = Issue { wanted, way, replaces, kept, common: &self.common };
        let pair = issue.run(account, progress).await?;
        ordered_of(wanted, kept, pair)
    }

    /// Asks an authority when it would like a certificate replaced.
    async fn ask_when(&self, standing: &mut Standing, account: Option<Account>) {
        let identifier = standing.ordered.as_ref().and_then(|own| identifier(&own.pair.chain));
        let asked = match (account, identifier) {
            (Some(account), Some(identifier)) => account.renewal_info(&identifier).await.ok(),
            _ => None,
        };
        let now = self.now();
        let Some((info, again)) = asked else {
            standing.look_at = now + WINDOW_FAILED;
            return;
        };
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        let window = &info.suggested_window;
        let (start, end) =
            (seconds(window.start.unix_timestamp()), seconds(window.end.unix_timestamp()));
        standing.window(start, end, (self.clock.draw)());
        standing.look_at = now + again.as_secs().clamp(WINDOWS.0, WINDOWS.1);
    }
}

/// Waits for this long, or until another config is in force.
async fn wait(left: Option<Duration>, in_force: &mut watch::Receiver<Arc<InForce>>) {
    let changed = async {
        if in_force.changed().await.is_err() {
            // The writer has ended, and so does the process.
            std::future::pending::<()>().await;
        }
    };
    match left {
        Some(left) => {
            // Either is what was waited for.
            let _ = timeout(left, changed).await;
        }
        None => changed.await,
    }
}

/// A certificate as handshakes take it.
fn ordered_of(wanted: &Wanted, kept: &Kept, pair: Pair) -> Result<Ordered, Failure> {
    let (directory, holder) = (wanted.authority.directory.clone(), wanted.holder.clone());
    let file = kept.place(&holder);
    let ordered = Ordered::new(directory, holder, file, pair);
    ordered.map_err(|error| Failure::new(format!("it cannot be used: {error}"), ""))
}

/// What an authority knows a certificate by.
fn identifier(chain: &[Vec<u8>]) -> Option<CertificateIdentifier<'static>> {
    let (signer, serial) = identity(chain.first()?)?;
    Some(CertificateIdentifier::new(signer[..].into(), serial[..].into()).into_owned())
}

/// Does what waits for the disk beside the runtime.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It has panicked, which has been reported; so does who waits for it. At the end of a process
        // nothing is left to wait for.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => std::future::pending().await,
    }
}
