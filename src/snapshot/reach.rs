//! Whether a pool could be given traffic: what connect checks, probes and requests have shown of its
//! upstreams in, alive, dead or not known yet out.
//!
//! A pool that had no traffic for a while may have died unnoticed. So whoever is about to give it some
//! asks for connect checks, and goes on when they are done; while a rollout may still go back, they go
//! on once a second. Who makes them is `probe/checks.rs`; here is what they mean.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Pool;
use crate::balance::Member;
use crate::clock::Moment;
use crate::config::Stability;
use crate::upstream::{BreakerOrder, Proof, SUCCESSES, Trouble};

/// Whether anybody of a pool could take traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Somebody accepts connections.
    Accepts,
    /// Nobody is known to, and not everybody was checked.
    NotKnown,
    /// Nobody does.
    Dead(Dead),
}

/// Why a pool is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dead {
    /// Persons, the config or name servers have taken all of them out.
    #[error("has no upstream that takes requests")]
    TakenOut,
    /// There are health checks, and none has passed one.
    #[error("has no upstream that has passed its health check")]
    Unproven,
    /// Connections are refused, or not answered in time.
    #[error("has no upstream that accepts connections")]
    Refuses,
}

/// Whom a pool's health checks rule out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probes {
    /// Whoever has not passed one.
    MustHavePassed,
    /// Whoever has failed them: who is new may pass yet.
    MustNotHaveFailed,
}

/// Connect checks that somebody waits for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// One more than the moment from which on each upstream is to be checked once, in microseconds.
    since: AtomicU64,
    /// Each is to be checked once a second until then, in microseconds.
    until: AtomicU64,
}

impl Wanted {
    /// Asks for a check of each upstream that begins then or later.
    pub fn ask(&self, since: Moment) {
        self.since.fetch_max(since.micros() + 1, Ordering::Relaxed);
    }

    /// Asks for checks until then.
    pub fn ask_until(&self, until: Moment) {
        self.until.fetch_max(until.micros(), Ordering::Relaxed);
    }

    /// Whether an upstream is to be checked now, of which the last check began then.
    pub fn is_due(&self, last: Option<Moment>, now: Moment, every: std::time::Duration) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        if since != 0 && last.is_none_or(|last| last.micros() + 1 < since) {
            return true;
        }
        let goes_on = now.micros() < self.until.load(Ordering::Relaxed);
        goes_on && last.is_none_or(|last| now.elapsed_since(last) >= every)
    }
}

impl Pool {
    /// Whether anybody of it could take traffic, by what was found since then.
    pub fn reach(&self, stability: &Stability, probes: Probes, since: Moment) -> Reach {
        let left_in = || self.members.list().iter().filter(|member| member.is_left_in());
        if self.state.breaker.order() == BreakerOrder::Open || left_in().next().is_none() {
            return Reach::Dead(Dead::TakenOut);
        }
        let is_ruled_out = |proof: Proof| match probes {
            Probes::MustHavePassed => proof != Proof::Up,
            Probes::MustNotHaveFailed => proof == Proof::Down,
        };
        let has_probes = stability.health.is_some();
        let may_be = |member: &&Member| !has_probes || !is_ruled_out(member.upstream.proof());
        let (mut found, mut is_known) = (0, true);
        for member in left_in().filter(may_be) {
            found += 1;
            match member.upstream.accepts_since(since) {
                Some(true) => return Reach::Accepts,
                Some(false) => {}
                None => is_known = false,
            }
        }
        match (found, is_known) {
            (0, _) => Reach::Dead(Dead::Unproven),
            (_, true) => Reach::Dead(Dead::Refuses),
            (_, false) => Reach::NotKnown,
        }
    }

    /// Those of it that have not shown since then that they would take traffic: they accept
    /// connections and, with health checks, have passed one.
    pub fn unready(&self, stability: &Stability, since: Moment) -> Vec<&Member> {
        let has_probes = stability.health.is_some();
        let is_held_open = self.state.breaker.order() == BreakerOrder::Open;
        let is_ready = |member: &Member| {
            let upstream = &member.upstream;
            !is_held_open
                && member.is_left_in()
                && (!has_probes || upstream.proof() == Proof::Up)
                && upstream.accepts_since(since) == Some(true)
        };
        self.members.list().iter().filter(|member| !is_ready(member)).collect()
    }

    /// Whether anybody of it has begun a good answer since then.
    pub fn answers_since(&self, since: Moment) -> bool {
        self.members.list().iter().any(|member| member.upstream.answered_since(since))
    }

    /// Hears how a connect check of a member has ended that began then. One that was denied is asked
    /// no more while another one is well, unless it has answered a request meanwhile.
    pub fn note_check(
        &self,
        member: &Member,
        (began, accepts): (Moment, bool),
        stability: &Stability,
        now: Moment,
    ) {
        let upstream = &member.upstream;
        upstream.checked.note(began, accepts);
        match accepts {
            true => {
                let breaker = stability.breaker.as_ref();
                let needed = breaker.map_or(SUCCESSES, |breaker| breaker.successes);
                upstream.note_accepted(needed, now);
            }
            false if upstream.answered_since(began) => {}
            false => {
                upstream.note_trouble(Trouble::Refused, now);
                upstream.note_refused(now);
            }
        }
        // So that a trial is due at once, and who refuses is not taken for well.
        self.assess(stability, now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::config::Config;
    use crate::snapshot::{Blueprint, RunTime, Snapshot};
    use crate::split::Secret;

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    /// A pool of ten.
    fn ten(service: &str) -> Snapshot {
        let list: Vec<String> = (1..=10).map(|n| format!("\"192.0.2.{n}:80\"")).collect();
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.shop]\n{service}\n\
             [services.shop.pools]\nblue.upstreams = [{}]\n",
            list.join(", ")
        );
        let (config, run_time) = (Arc::new(Config::parse(&text).unwrap().0), RunTime::default());
        let (secret, now) = (Secret([0; 16]), Instant::now());
        Snapshot::build(&Blueprint { config, run_time: &run_time, secret, now }, None)
    }

    fn deny(snapshot: &Snapshot, members: impl IntoIterator<Item = usize>, began: Moment) {
        let service = &snapshot.services[0];
        let pool = &service.pools[0];
        for member in members {
            let member = &pool.members.list()[member];
            pool.note_check(member, (began, false), &service.stability, began);
        }
    }

    fn reach(snapshot: &Snapshot, probes: Probes, since: Moment) -> Reach {
        let service = &snapshot.services[0];
        service.pools[0].reach(&service.stability, probes, since)
    }

    #[test]
    fn a_pool_is_dead_when_nobody_accepts_and_only_then() {
        let snapshot = ten("");
        let pool = &snapshot.services[0].pools[0];
        let reach = |since| reach(&snapshot, Probes::MustHavePassed, since);
        assert_eq!(reach(at(5)), Reach::NotKnown);
        deny(&snapshot, 0..9, at(6));
        assert_eq!(reach(at(5)), Reach::NotKnown, "one may accept yet");
        deny(&snapshot, [9], at(6));
        assert_eq!(reach(at(5)), Reach::Dead(Dead::Refuses));
        assert_eq!(reach(at(7)), Reach::NotKnown, "that was before");
        let member = &pool.members.list()[3];
        pool.note_check(member, (at(7), true), &snapshot.services[0].stability, at(7));
        assert_eq!(reach(at(5)), Reach::Accepts, "the last one counts");
        deny(&snapshot, [3], at(8));
        member.upstream.note_answer(at(9));
        assert_eq!(reach(at(5)), Reach::Accepts, "an answer shows more than a check");
        pool.members.list().iter().for_each(|member| member.upstream.set_draining(true));
        assert_eq!(reach(at(5)), Reach::Dead(Dead::TakenOut));
    }

    #[test]
    fn with_health_checks_one_must_have_passed() {
        let snapshot = ten("health = { tcp = true }");
        let upstreams = snapshot.services[0].pools[0].members.list();
        let accepts = |proof| {
            upstreams.iter().for_each(|member| member.upstream.set_proof(proof, at(1)));
            upstreams[0].upstream.checked.note(at(6), true);
            [Probes::MustHavePassed, Probes::MustNotHaveFailed]
                .map(|probes| reach(&snapshot, probes, at(5)))
        };
        let dead = Reach::Dead(Dead::Unproven);
        assert_eq!(accepts(Proof::Up), [Reach::Accepts; 2]);
        assert_eq!(accepts(Proof::Unproven), [dead, Reach::Accepts]);
        assert_eq!(accepts(Proof::Down), [dead; 2]);
    }

    #[test]
    fn a_check_is_due_once_for_who_asks_and_each_second_while_somebody_watches() {
        let (wanted, every) = (Wanted::default(), Duration::from_secs(1));
        let is_due = |last, now| wanted.is_due(last, now, every);
        assert!(!is_due(None, at(9)), "nobody wants one");
        wanted.ask(at(9));
        assert!(is_due(None, at(9)) && is_due(Some(at(8)), at(9)) && !is_due(Some(at(9)), at(99)));
        wanted.ask_until(at(20));
        assert!(!is_due(Some(at(11)), at(11)) && is_due(Some(at(11)), at(12)));
        assert!(!is_due(Some(at(11)), at(20)));
    }
}
