//! Connect checks: the published snapshots in, which upstreams accept connections out.
//!
//! A check opens a connection and sends nothing. Checked is who refused its last connection, once a
//! second until it is back: so an upstream that is started again is found soon, without health checks
//! and without a user's request. And checked is each upstream of a pool that somebody is about to give
//! traffic, at once, or that a rollout may go back to, once a second ([`Wanted`](crate::snapshot::Wanted)).
//! What follows from it is decided elsewhere.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::balance::Member;
use crate::clock::{Clock, Moment};
use crate::outgoing::dial::{DialError, Dialer};
use crate::snapshot::{Pool, Published, Snapshot};
use crate::upstream::{DialAddress, Upstream};

/// Between two checks of one upstream.
const EVERY: Duration = Duration::from_secs(1);

/// How long a check may take, however long the service lets a request wait for a connection.
const LONGEST: Duration = Duration::from_secs(1);

/// Checks under way at once; those that find no place are looked at again when one has ended.
const AT_ONCE: usize = 256;

/// An upstream to be checked: places of service, pool and member, and where to dial.
struct Due {
    at: (usize, usize, usize),
    upstream: Arc<Upstream>,
    target: DialAddress,
    within: Duration,
}

/// Checks the upstreams of whatever snapshot is in force, for ever; at once when it is called.
pub async fn run(published: Arc<Published>, clock: Clock, called: Arc<Notify>) {
    let dialer = Arc::new(Dialer::default());
    // By the address of what lives as long as its check.
    let (mut under_way, mut checked) = (JoinSet::new(), HashSet::new());
    loop {
        let snapshot = published.load();
        let mut is_left = false;
        for due in due(&snapshot, snapshot.moment(clock.now())) {
            let key = Arc::as_ptr(&due.upstream).addr();
            if under_way.len() < AT_ONCE && checked.insert(key) {
                let check = check(dialer.clone(), snapshot.clone(), due, clock);
                under_way.spawn(async move {
                    check.await;
                    key
                });
            } else {
                is_left = true;
            }
        }
        let next = sleep(EVERY);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                () = called.notified() => break,
                Some(ended) = under_way.join_next() => {
                    if let Ok(key) = ended {
                        checked.remove(&key);
                    }
                    // Somebody may wait for one that found no place, or for a newer one of this.
                    if is_left {
                        break;
                    }
                }
            }
        }
    }
}

fn due(snapshot: &Snapshot, now: Moment) -> Vec<Due> {
    let mut all = Vec::new();
    for (service_at, service) in snapshot.services.iter().enumerate() {
        let within = service.timeouts.connect.min(LONGEST);
        for (pool_at, pool) in service.pools.iter().enumerate() {
            for (member_at, member) in pool.members.list().iter().enumerate() {
                if !is_due(pool, member, now) {
                    continue;
                }
                let Some(target) = member.target.clone() else { continue };
                let (at, upstream) = ((service_at, pool_at, member_at), member.upstream.clone());
                all.push(Due { at, upstream, target, within });
            }
        }
    }
    all
}

fn is_due(pool: &Pool, member: &Member, now: Moment) -> bool {
    let last = member.upstream.checked.last().map(|(began, _)| began);
    let is_refusing = || {
        let is_time = last.is_none_or(|last| now.elapsed_since(last) >= EVERY);
        member.upstream.wants_check(now) && is_time
    };
    // Who is taken out is none of anybody's business.
    (pool.state.wanted.is_due(last, now, EVERY) || is_refusing()) && member.is_left_in()
}

async fn check(dialer: Arc<Dialer>, snapshot: Arc<Snapshot>, due: Due, clock: Clock) {
    let Due { at: (service, pool, member), upstream, target, within } = due;
    let began = snapshot.moment(clock.now());
    let accepts = match timeout(within, dialer.connect(&target)).await {
        Ok(Ok(_)) => true,
        // Of an upstream that says nothing; and as long as we lack what a check needs, it is not kept
        // out for what it did before.
        Ok(Err(DialError::Exhausted)) => {
            return upstream.note_unchecked(snapshot.moment(clock.now()));
        }
        Ok(Err(_)) | Err(_) => false,
    };
    let (service, now) = (&snapshot.services[service], snapshot.moment(clock.now()));
    let pool = &service.pools[pool];
    pool.note_check(&pool.members.list()[member], (began, accepts), &service.stability, now);
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use tokio::net::TcpSocket;

    use super::*;
    use crate::config::Config;
    use crate::snapshot::{Blueprint, RunTime};
    use crate::split::Secret;

    /// A snapshot of one upstream at this address.
    fn snapshot(address: std::net::SocketAddr) -> Arc<Snapshot> {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [services.shop.pools]\nblue.upstreams = [\"{address}\"]\n"
        );
        let (config, _) = Config::parse(&text).unwrap();
        let (run_time, secret) = (RunTime::default(), Secret([0; 16]));
        let config = Arc::new(config);
        let blueprint = Blueprint { config, run_time: &run_time, secret, now: Instant::now() };
        Arc::new(Snapshot::build(&blueprint, None))
    }

    #[tokio::test]
    async fn one_that_refused_is_checked_until_it_accepts_and_nobody_else_is() {
        // Bound, and refusing until it listens.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let snapshot = snapshot(address);
        let pool = &snapshot.services[0].pools[0];
        let upstream = pool.members.list()[0].upstream.clone();
        let clock = Clock { now: Instant::now, wall: SystemTime::now, draw: || 1 };
        // As if no time passed between checks.
        let later = || snapshot.moment(clock.now()) + EVERY;
        assert_eq!(due(&snapshot, later()).len(), 0, "it is well");
        let check_it = async || {
            for due in due(&snapshot, later()) {
                check(Arc::default(), snapshot.clone(), due, clock).await;
            }
        };
        upstream.note_refused(snapshot.moment(clock.now()));
        check_it().await;
        assert!(upstream.wants_check(later()) && upstream.trial_due(true).is_none());
        let listener = socket.listen(8).unwrap();
        check_it().await;
        assert!(upstream.is_out() && upstream.trial_due(true).is_some());
        let (mut accepted, _) = listener.accept().await.unwrap();
        let mut sent = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut accepted, &mut sent).await.unwrap();
        assert_eq!(sent.len(), 0, "it sends nothing");
        for _ in 0..2 {
            assert_eq!(due(&snapshot, later()).len(), 1, "until it is back, if nobody tries it");
            check_it().await;
        }
        assert!(!upstream.is_out() && due(&snapshot, later()).is_empty());
        upstream.set_draining(true);
        upstream.note_refused(snapshot.moment(clock.now()));
        assert_eq!(due(&snapshot, later()).len(), 0, "who is taken out is left alone");
    }

    #[tokio::test]
    async fn who_is_to_get_traffic_is_checked_at_once_though_it_is_well() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let snapshot = snapshot(listener.local_addr().unwrap());
        let pool = &snapshot.services[0].pools[0];
        let clock = Clock { now: Instant::now, wall: SystemTime::now, draw: || 1 };
        let (published, called) = (Published::of(snapshot.clone()), Arc::new(Notify::new()));
        let running = tokio::spawn(run(Arc::new(published), clock, called.clone()));
        let known = async |accepts: bool| {
            let asked = snapshot.moment(clock.now());
            pool.state.wanted.ask(asked);
            called.notify_one();
            let upstream = &pool.members.list()[0].upstream;
            while upstream.accepts_since(asked) != Some(accepts) {
                sleep(Duration::from_millis(1)).await;
            }
            upstream.wants_check(asked)
        };
        assert!(!known(true).await);
        drop(listener);
        assert!(known(false).await, "it is out until it accepts again");
        running.abort();
    }
}
