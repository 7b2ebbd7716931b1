//! Connect checks: the published snapshots in, which upstreams accept connections again out.
//!
//! A check opens a connection and sends nothing. Only an upstream that refused its last connection
//! is checked, once a second until it accepts; who decides what follows from it are its
//! [`Trials`](crate::upstream::Trials). So an upstream that is started again is found soon, without
//! health checks and without a user's request.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::balance::Member;
use crate::clock::Clock;
use crate::outgoing::dial::Dialer;
use crate::snapshot::{Published, Snapshot};
use crate::upstream::{DialAddress, Upstream};

/// Between two checks of one upstream.
const EVERY: Duration = Duration::from_secs(1);

/// How long a check may take, however long the service lets a request wait for a connection.
const LONGEST: Duration = Duration::from_secs(1);

/// Checks under way at once; those that find no place are looked at again a second later.
const AT_ONCE: usize = 256;

/// An upstream to be checked: places of service and pool, and where to dial.
struct Wanted {
    at: (usize, usize),
    upstream: Arc<Upstream>,
    target: DialAddress,
    within: Duration,
}

/// Checks the upstreams of whatever snapshot is in force, for ever.
pub async fn run(published: Arc<Published>, clock: Clock) {
    let dialer = Arc::new(Dialer::default());
    // By the address of what lives as long as its check.
    let (mut under_way, mut checked) = (JoinSet::new(), HashSet::new());
    loop {
        let snapshot = published.load();
        for wanted in wanted(&snapshot) {
            let key = Arc::as_ptr(&wanted.upstream).addr();
            if under_way.len() < AT_ONCE && checked.insert(key) {
                let check = check(dialer.clone(), snapshot.clone(), wanted, clock);
                under_way.spawn(async move {
                    check.await;
                    key
                });
            }
        }
        let next = sleep(EVERY);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                Some(ended) = under_way.join_next() => {
                    if let Ok(key) = ended {
                        checked.remove(&key);
                    }
                }
            }
        }
    }
}

fn wanted(snapshot: &Snapshot) -> Vec<Wanted> {
    let mut all = Vec::new();
    for (service_at, service) in snapshot.services.iter().enumerate() {
        let within = service.timeouts.connect.min(LONGEST);
        for (pool_at, pool) in service.pools.iter().enumerate() {
            // Who is taken out is none of anybody's business.
            let wants = |of: &&Member| of.upstream.wants_check() && of.is_left_in();
            for member in pool.members.list().iter().filter(wants) {
                let Some(target) = member.target.clone() else { continue };
                let (at, upstream) = ((service_at, pool_at), member.upstream.clone());
                all.push(Wanted { at, upstream, target, within });
            }
        }
    }
    all
}

async fn check(dialer: Arc<Dialer>, snapshot: Arc<Snapshot>, wanted: Wanted, clock: Clock) {
    let Wanted { at: (service, pool), upstream, target, within } = wanted;
    let accepts = matches!(timeout(within, dialer.connect(&target)).await, Ok(Ok(_)));
    if accepts {
        let now = snapshot.moment(clock.now());
        upstream.note_accepted(now);
        let service = &snapshot.services[service];
        // So that a trial is due at once.
        service.pools[pool].assess(&service.stability, now);
    }
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
        assert_eq!(wanted(&snapshot).len(), 0, "it is well");
        let clock = Clock { now: Instant::now, wall: SystemTime::now, draw: || 1 };
        let check_it = async || {
            for wanted in wanted(&snapshot) {
                check(Arc::default(), snapshot.clone(), wanted, clock).await;
            }
        };
        upstream.note_refused(snapshot.moment(clock.now()));
        check_it().await;
        assert!(upstream.wants_check() && upstream.trial_due(true).is_none());
        let listener = socket.listen(8).unwrap();
        check_it().await;
        assert!(!upstream.wants_check() && upstream.trial_due(true).is_some());
        let (mut accepted, _) = listener.accept().await.unwrap();
        let mut sent = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut accepted, &mut sent).await.unwrap();
        assert_eq!((sent.len(), wanted(&snapshot).len()), (0, 0), "it sends nothing");
        upstream.set_draining(true);
        upstream.note_refused(snapshot.moment(clock.now()));
        assert_eq!(wanted(&snapshot).len(), 0, "who is taken out is left alone");
    }
}
