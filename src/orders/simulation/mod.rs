//! A deterministic simulation: a seed in; orders, a store and a data plane that live through it, and
//! what must hold of them, out.
//!
//! One seed is one life of a proxy on a virtual clock: thousands of requests through
//! [`Snapshot::choose`] and the pools' own accounts, upstreams that fail, reloads, orders, rollouts,
//! a disk that fails or hangs at any write for any time, and a controller that is killed in the middle
//! of writes to its store, over and over. At each new start, and when all has come to rest, what was
//! believed to be stored is what the store says, read anew, but for counts. While the controller is
//! down the last snapshot goes on serving, as that of a process which is being replaced does. There
//! are no sockets and no threads, so a seed is always the same life.

#![allow(clippy::unwrap_used, reason = "a test, which fuzzing has too")]

mod file;
mod ledger;
mod operator;
mod deploys;
mod restart;
mod shares;
mod traffic;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::drive::Drive;
use super::*;
use crate::clock::Draws;
use crate::rollout::{Finished, TaskError};
use crate::store::Store;
use crate::store::crash::{Failure, FrailDisk};
use file::File;
use ledger::Ledger;
pub(super) use ledger::lasting;
use shares::Shares;
use traffic::{Fault, Request};

/// How many lives are lived in CI.
const SEEDS: u64 = 1_000;

/// How long each lasts, in seconds of its own.
const SECONDS: u64 = 110;

/// Looks at requests in each second.
const SLOTS: u64 = 4;

/// A life.
struct Run {
    dice: Dice,
    origin: Instant,
    /// Since the origin.
    elapsed: Duration,
    file: File,
    drive: Drive,
    /// When a disk that hangs answers again, and whether it then fails or dies.
    hangs_until: Option<(Duration, Option<Failure>)>,
    /// The services of orders, for when their answers come.
    asked: BTreeMap<Ticket, Arc<str>>,
    requests: Vec<Request>,
    tasks: Vec<Begun>,
    faults: BTreeMap<Arc<str>, Fault>,
    ledger: Ledger,
    shares: Shares,
    seen: Seen,
}

/// A task of a rollout that is under way.
struct Begun {
    due: Duration,
    service: Arc<str>,
    rollout: u64,
    task: Task,
    result: Result<Finished, TaskError>,
}

/// What lives were made of, so that nobody takes an idle simulation for a good one.
#[derive(Clone, Debug, Default)]
struct Seen {
    requests: u64,
    refused: u64,
    failed: u64,
    retried: u64,
    kills: u64,
    deaths_at_start: u64,
    /// Commits that had happened though nobody was told.
    beside: u64,
    full_disks: u64,
    hangs: u64,
    /// Orders that were answered though the disk had not taken what they made.
    unstored: u64,
    /// Orders that were withdrawn or gave way.
    withdrawn: u64,
    /// Orders that were stored, with something else in force.
    overtaken: u64,
    reloads: u64,
    /// Deploys that came to nothing before their first request, so that the pool has what it had.
    given_back: u64,
    /// Deploys of which a version has had traffic.
    deployed: u64,
    orders: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<&'static str, u64>,
    /// At which operation of a command its disk died.
    died_at: BTreeSet<u64>,
}

/// A sequence of draws with the questions that a simulation asks. What is decided is said by bytes, as
/// far as there are any; what requests draw is not.
struct Dice(Draws, VecDeque<u8>);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        match self.1.pop_front() {
            None => self.0.below(bound),
            Some(byte) if bound <= 256 => u64::from(byte) % bound.max(1),
            Some(byte) => {
                let low = self.1.pop_front().unwrap_or_default();
                u64::from(u16::from_be_bytes([byte, low])) % bound
            }
        }
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn of<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len() as u64) as usize]
    }
}

impl Run {
    fn new(seed: u64, bytes: &[u8]) -> Run {
        let draws = Draws::seeded(seed.wrapping_mul(0x9E37_79B9).wrapping_add(1));
        let mut dice = Dice(draws, bytes.iter().copied().collect());
        let mut file = File::new(&mut dice);
        let disk = FrailDisk::default();
        let (origin, elapsed) = (Instant::now(), Duration::ZERO);
        let now = Now { instant: origin, wall: wall(elapsed) };
        let secret = [dice.below(256) as u8; 16];
        let store = Store::on_disk(disk.clone()).unwrap();
        store.secret(|| Ok(secret)).unwrap();
        drop(store);
        let mut drive = Drive::open(disk, file.read(), now).unwrap();
        drive.settle();
        drive.effects.clear();
        let mut run = Run {
            dice,
            origin,
            elapsed,
            file,
            drive,
            hangs_until: None,
            asked: BTreeMap::new(),
            requests: Vec::new(),
            tasks: Vec::new(),
            faults: BTreeMap::new(),
            ledger: Ledger::default(),
            shares: Shares::default(),
            seen: Seen::default(),
        };
        run.check_published();
        run
    }

    fn now(&self) -> Now {
        Now { instant: self.origin + self.elapsed, wall: wall(self.elapsed) }
    }

    fn live(&mut self) {
        for second in 0..SECONDS {
            self.arm();
            if second % 5 == 0 {
                self.change_faults();
            }
            for _ in 0..SLOTS {
                self.serve(5);
                if self.dice.one_in(4) {
                    self.order();
                }
                self.hear_tasks();
            }
            self.probe();
            self.tick();
        }
        self.come_to_rest();
    }

    fn tick(&mut self) {
        self.act(None, |drive| {
            drive.orders.history().look(&drive.snapshot, drive.now.instant, drive.now.wall);
            drive.orders.tick(&drive.snapshot, drive.now);
            None
        });
        self.drive.run(Counts::Go);
        self.after_writes();
    }

    /// The disk may fail some operations from now.
    fn arm(&mut self) {
        if self.hangs_until.is_some() {
            return;
        }
        let disk = self.drive.disk.clone();
        match self.dice.below(24) {
            0 | 1 => disk.fail_after(self.dice.below(40), Failure::Killed),
            2 => disk.fail_after(self.dice.below(20), Failure::Once),
            3 | 4 => disk.fail_after(self.dice.below(30), Failure::Hangs),
            _ => {}
        }
    }

    /// Serves for a part of a second.
    fn serve(&mut self, requests: u64) {
        self.elapsed += Duration::from_millis(1_000 / SLOTS);
        self.end_requests();
        (0..requests).for_each(|_| self.request());
        self.check_in_flight();
    }

    /// Does something that may write, as the controller does: what it changed is published. Answers
    /// with whether it is so now.
    fn act(
        &mut self,
        service: Option<Arc<str>>,
        what: impl FnOnce(&mut Drive) -> Option<Ticket>,
    ) -> bool {
        self.answer_again();
        let (state, taken) = (self.drive.orders.state().clone(), self.drive.disk.taken());
        let is_idle = !self.drive.orders.is_waiting();
        let ticket = what(&mut self.drive);
        self.asked.extend(ticket.zip(service));
        self.drive.run(Counts::Wait);
        let reply = ticket.and_then(|ticket| self.drive.replies.remove(&ticket));
        if let (Some(Err(error)), true) = (&reply, is_idle) {
            let after = self.drive.orders.state();
            let is_same = state.is_shared_with(after) || lasting(&state) == lasting(after);
            assert!(is_same, "it was refused ({error}) and has changed something");
        }
        let is_so = matches!(reply, Some(Ok(_)));
        self.note_reply(ticket, reply);
        self.check_ended(&state);
        self.check_deploys(&state, is_idle);
        if self.drive.disk.is_dead() {
            self.seen.died_at.insert(self.drive.disk.taken() - taken);
        }
        self.after_writes();
        is_so
    }

    fn note_reply(&mut self, ticket: Option<Ticket>, reply: Option<Result<Answered, Refused>>) {
        let of = ticket.and_then(|ticket| self.asked.get(&ticket).cloned());
        match reply {
            Some(Ok(Answered {
                answer: Made::Revision(revision) | Made::Already(revision),
                stored: Stored::Yes,
                ..
            })) => {
                self.ledger.answered(&of.expect("it was asked of a service"), &revision);
            }
            Some(Ok(Answered { stored: Stored::No, .. })) => self.seen.unstored += 1,
            Some(Err(Refused::Store(_))) => self.seen.full_disks += 1,
            Some(Err(Refused::Withdrawn | Refused::GaveWay { .. })) => self.seen.withdrawn += 1,
            Some(Err(Refused::Overtaken { .. })) => self.seen.overtaken += 1,
            _ => {}
        }
    }

    /// What follows from writes: a disk that hangs, a process that is dead, something published.
    fn after_writes(&mut self) {
        for (ticket, reply) in std::mem::take(&mut self.drive.replies) {
            self.note_reply(Some(ticket), Some(reply));
        }
        if self.drive.disk.is_dead() {
            return self.restart();
        }
        if self.drive.hung.is_some() && self.hangs_until.is_none() {
            self.seen.hangs += 1;
            let until = self.elapsed + Duration::from_millis(self.dice.below(25_000));
            let then = match self.dice.below(4) {
                0 => Some(Failure::Once),
                1 => Some(Failure::Killed),
                _ => None,
            };
            self.hangs_until = Some((until, then));
        }
        self.check_published();
        self.begin_tasks();
    }

    /// Lets time pass for what waits for the disk, and a disk that has hung long enough answer.
    fn answer_again(&mut self) {
        let now = self.now();
        self.drive.now = now;
        self.drive.orders.on_time(now);
        self.drive.settle();
        if let Some((until, then)) = self.hangs_until
            && self.elapsed >= until
        {
            self.hangs_until = None;
            if let Some(failure) = then {
                self.drive.disk.fail_after(0, failure);
            }
            self.drive.let_go();
        }
        self.after_writes();
    }

    fn begin_tasks(&mut self) {
        for effect in std::mem::take(&mut self.drive.effects) {
            let Effect::Begin { rollout, task } = effect else { continue };
            let result = match self.dice.below(10) {
                0 => Err(TaskError::NoHook),
                _ => Ok(Finished::Agreed(String::new())),
            };
            let due = self.elapsed + Duration::from_millis(self.dice.below(4_000));
            // Some are never heard of again.
            let due = if self.dice.one_in(40) { due + Duration::from_secs(1_000_000) } else { due };
            let (service, rollout) = (rollout.service, rollout.id);
            self.tasks.push(Begun { due, service, rollout, task, result });
        }
    }

    fn hear_tasks(&mut self) {
        while let Some(at) = self.tasks.iter().position(|begun| begun.due <= self.elapsed) {
            let Begun { service, rollout, task, result, .. } = self.tasks.swap_remove(at);
            self.act(None, |drive| {
                let (snapshot, now) = (drive.snapshot.clone(), drive.now);
                drive.orders.on_done(&service, rollout, task, result, &snapshot, now);
                None
            });
        }
    }

    /// No more requests come and nothing more is ordered; everything ends.
    fn come_to_rest(&mut self) {
        self.drive.disk.fail_after(u64::MAX / 2, Failure::Killed);
        self.hangs_until = self.hangs_until.map(|(until, _)| (until, None));
        while !self.tasks.is_empty()
            || self.drive.orders.has_unheard()
            || self.drive.orders.is_waiting()
        {
            self.tasks.iter_mut().for_each(|begun| begun.due = Duration::ZERO);
            self.hear_tasks();
            self.tick();
            self.elapsed += Duration::from_secs(1);
        }
        assert_eq!(self.drive.orders.state().lingering().count(), 0, "hooks have ended");
        while !self.requests.is_empty() {
            self.elapsed += Duration::from_secs(1);
            self.end_requests();
        }
        self.check_in_flight();
        self.ledger.check_nothing_in_flight();
        let found = self.drive.store.recall().unwrap();
        assert_eq!(self.drive.orders.depth(), 0, "nothing waits for the disk");
        assert_eq!(lasting(self.drive.orders.state()), lasting(&found));
        self.ledger.check_history(&found);
        self.check_past_rollouts();
        self.shares.check();
    }
}

/// Wall time begins some day, and goes as the virtual clock does.
fn wall(elapsed: Duration) -> WallTime {
    WallTime::from_millis(1_790_000_000_000 + elapsed.as_millis() as u64)
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.requests += other.requests;
        self.refused += other.refused;
        self.failed += other.failed;
        self.retried += other.retried;
        self.kills += other.kills;
        self.deaths_at_start += other.deaths_at_start;
        self.beside += other.beside;
        self.full_disks += other.full_disks;
        self.hangs += other.hangs;
        self.unstored += other.unstored;
        self.withdrawn += other.withdrawn;
        self.overtaken += other.overtaken;
        self.reloads += other.reloads;
        self.given_back += other.given_back;
        self.deployed += other.deployed;
        for (name, count) in &other.orders {
            *self.orders.entry(name).or_default() += count;
        }
        for (name, count) in &other.outcomes {
            *self.outcomes.entry(name).or_default() += count;
        }
        self.died_at.extend(&other.died_at);
    }
}

/// Lives the life that these bytes say.
pub(crate) fn live_by(bytes: &[u8]) {
    Run::new(0, bytes).live();
}

/// Lives one life; says which it was if something did not hold.
fn live(seed: u64) -> (Seen, Shares) {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::new(seed, &[]);
        run.live();
        (run.seen, run.shares)
    }));
    lived.unwrap_or_else(|broken| {
        eprintln!("seed {seed} failed; again: POINTSMAN_SEED={seed} cargo test --lib simulation");
        resume_unwind(broken)
    })
}

#[test]
fn a_seed_is_always_the_same_life() {
    let life = || format!("{:?}", live(4));
    assert_eq!(life(), life());
}

#[test]
fn whatever_happens_traffic_goes_where_the_revisions_say() {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    if let Ok(seed) = std::env::var("POINTSMAN_SEED") {
        let (seen, _) = live(seed.parse().expect("POINTSMAN_SEED is a number"));
        eprintln!("{seen:#?}");
        return;
    }
    let (next, whole) = (AtomicU64::new(0), Mutex::new((Seen::default(), Shares::default())));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    // The other's failure is enough.
                    if seed >= SEEDS || whole.is_poisoned() {
                        break;
                    }
                    let lived = catch_unwind(|| live(seed));
                    let Ok(mut whole) = whole.lock() else { break };
                    let (seen, shares) = lived.unwrap_or_else(|broken| resume_unwind(broken));
                    whole.0.add(&seen);
                    whole.1.add(&shares);
                }
            });
        }
    });
    let (seen, shares) = whole.into_inner().unwrap();
    eprintln!("{seen:#?}\n{shares:?}");
    shares.check_all();
    assert!(seen.requests > 1_000 * SEEDS, "{seen:?}");
    assert!(seen.kills > SEEDS && seen.beside > SEEDS / 10, "{seen:?}");
    assert!(seen.hangs > SEEDS && seen.withdrawn > SEEDS / 10, "{seen:?}");
    assert!(seen.unstored > SEEDS / 20 && seen.overtaken > 0, "{seen:?}");
    assert!(seen.given_back > SEEDS / 10 && seen.deployed > SEEDS / 10, "{seen:?}");
    for outcome in ["promoted", "rolled-back", "aborted", "failed", "superseded"] {
        assert!(seen.outcomes.get(outcome).is_some_and(|&count| count > SEEDS / 50), "{seen:?}");
    }
    // Every write of a commit was the last one of somebody.
    let every = (1..=12).collect::<BTreeSet<u64>>();
    assert!(seen.died_at.is_superset(&every), "{:?}", seen.died_at);
}
