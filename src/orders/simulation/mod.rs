//! A deterministic simulation: a seed in; a desk, a store and a data plane that live through it, and
//! what must hold of them, out.
//!
//! One seed is one life of a proxy on a virtual clock: thousands of requests through
//! [`Snapshot::choose`] and the pools' own accounts, upstreams that fail, reloads, orders, rollouts,
//! and a controller that is killed in the middle of writes to its store, over and over. While it is
//! down the last snapshot goes on serving, as that of a process which is being replaced does. There
//! are no sockets and no threads, so a seed is always the same life.

mod file;
mod ledger;
mod operator;
mod shares;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::clock::Draws;
use crate::rollout::{Finished, TaskError};
use crate::store::crash::{Failure, FrailDisk, Leaves};
use file::File;
use ledger::{Belief, Ledger};
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
    disk: FrailDisk,
    desk: Desk,
    /// In force.
    snapshot: Arc<Snapshot>,
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
    reloads: u64,
    orders: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<&'static str, u64>,
    /// At which operation of a command its disk died.
    died_at: BTreeSet<u64>,
}

/// What is being done when the disk may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Shift,
    Flag,
    Override,
    Rollout,
    Tick,
    Reload,
}

/// What an order was answered with: the revision of a service that it made, if it made one.
type Answer = Option<(Arc<str>, Revision)>;

/// A sequence of draws with the questions that a simulation asks.
struct Dice(Draws);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn of<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len() as u64) as usize]
    }
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut dice = Dice(Draws::seeded(seed.wrapping_mul(0x9E37_79B9).wrapping_add(1)));
        let mut file = File::new(&mut dice);
        let disk = FrailDisk::default();
        let (origin, elapsed) = (Instant::now(), Duration::ZERO);
        let now = Now { instant: origin, wall: wall(elapsed) };
        let secret = [dice.below(256) as u8; 16];
        let store = Store::on_disk(disk.clone()).unwrap();
        store.secret(|| Ok(secret)).unwrap();
        let mut desk = Desk::open(Arc::new(store), file.read(), Resolved::new(), now).unwrap();
        desk.take_effects();
        let snapshot = Arc::new(desk.build(None, now));
        let mut run = Run {
            dice,
            origin,
            elapsed,
            file,
            disk,
            desk,
            snapshot,
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
        self.act(Doing::Tick, |desk, snapshot, now| {
            desk.history().look(snapshot, now.instant);
            let failed = desk.tick(snapshot, now).into_iter().next();
            failed.map_or(Ok(None), |(_, error)| Err(error))
        });
    }

    /// The disk may fail some operations from now.
    fn arm(&mut self) {
        match self.dice.below(24) {
            0 | 1 => self.disk.fail_after(self.dice.below(40), Failure::Killed),
            2 => self.disk.fail_after(self.dice.below(20), Failure::Once),
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

    /// Does something that may write, as the controller does: what it changed is published.
    fn act(
        &mut self,
        doing: Doing,
        what: impl FnOnce(&mut Desk, &Snapshot, Now) -> Result<Answer, Refused>,
    ) -> bool {
        let (snapshot, now) = (self.snapshot.clone(), self.now());
        let (before, taken) = (Belief::of(&self.desk), self.disk.taken());
        let result = what(&mut self.desk, &snapshot, now);
        let after = Belief::of(&self.desk);
        if let Err(error) = &result
            && doing != Doing::Tick
        {
            assert_eq!(before, after, "{doing:?} was refused ({error}) and has changed something");
        }
        if let Ok(Some((service, revision))) = &result {
            self.ledger.answered(service, revision);
        }
        if self.disk.is_dead() {
            self.seen.died_at.insert(self.disk.taken() - taken);
            self.restart(doing);
            return false;
        }
        if let Err(Refused::Store(_)) = &result {
            self.seen.full_disks += 1;
        }
        self.settle();
        self.check_ended(&before, &after);
        result.is_ok()
    }

    /// As the controller settles: publishes, then begins what was asked for.
    fn settle(&mut self) {
        if self.desk.take_changed() {
            self.snapshot = Arc::new(self.desk.build(Some(&self.snapshot), self.now()));
            self.check_published();
        }
        self.begin_tasks();
    }

    fn begin_tasks(&mut self) {
        for effect in self.desk.take_effects() {
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
            self.act(Doing::Rollout, |desk, snapshot, now| {
                desk.on_done(&service, rollout, task, result, snapshot, now).map(|()| None)
            });
        }
    }

    /// The controller was killed. The next one starts after a while, on what is left of the disk,
    /// and may be killed while it does.
    fn restart(&mut self, doing: Doing) {
        self.seen.kills += 1;
        self.tasks.clear();
        let mut known = (Belief::of(&self.desk), self.desk.store.commits(), doing);
        for _ in 0..self.dice.below(80) {
            self.serve(1);
        }
        if self.dice.one_in(4) {
            self.file.edit(&mut self.dice);
        }
        let mut disk = self.disk.clone();
        loop {
            let leaves = match self.dice.one_in(2) {
                true => Leaves::EveryWrite,
                false => Leaves::SomeWrites(self.dice.below(u64::MAX)),
            };
            disk = disk.survivor(leaves);
            if self.dice.one_in(3) {
                disk.fail_after(self.dice.below(30), Failure::Killed);
            }
            match self.open(&disk, &mut known) {
                Ok(desk) if !disk.is_dead() => {
                    (self.desk, self.disk) = (desk, disk);
                    break;
                }
                Err(error) if !disk.is_dead() => panic!("it cannot start again: {error}"),
                _ => self.seen.deaths_at_start += 1,
            }
        }
        let now = self.now();
        self.desk.resume_rollouts(now);
        self.snapshot = Arc::new(self.desk.build(None, now));
        self.check_published();
        self.begin_tasks();
        // What was to fail at the start and did not come to it must not fail anything else.
        self.disk.fail_after(u64::MAX / 2, Failure::Killed);
    }

    /// Opens what is left, and compares it with what was known before.
    fn open(
        &mut self,
        disk: &FrailDisk,
        known: &mut (Belief, u64, Doing),
    ) -> Result<Desk, CommitError> {
        let store = Store::on_disk(disk.clone())?;
        let memory = store.recall()?;
        let (belief, commits, doing) = known;
        let found = Belief::from(&memory);
        let beside = store.commits().checked_sub(*commits);
        self.seen.beside += u64::from(beside == Some(1));
        match beside {
            Some(0) => belief.assert_stored_as(&found),
            Some(1) => belief.assert_one_beside(&found, *doing),
            _ => panic!("{} commits are there, {commits} were answered", store.commits()),
        }
        self.ledger.check_history(&store);
        *known = (found, store.commits(), Doing::Reload);
        let never = || Err(std::io::Error::other("the secret is gone"));
        store.secret(never)?;
        let desk = Desk::open(Arc::new(store), self.file.read(), Resolved::new(), self.now())?;
        if desk.store.commits() == known.1 {
            // The file has said nothing new, so it goes on exactly where it was.
            assert_eq!(Belief::of(&desk), known.0);
        }
        Ok(desk)
    }

    /// No more requests come and nothing more is ordered; everything ends.
    fn come_to_rest(&mut self) {
        self.disk.fail_after(u64::MAX / 2, Failure::Killed);
        while !self.tasks.is_empty() || !self.desk.unheard.is_empty() {
            self.tasks.iter_mut().for_each(|begun| begun.due = Duration::ZERO);
            self.hear_tasks();
            self.tick();
        }
        assert_eq!(self.desk.lingering, [], "hooks of ended rollouts have ended");
        while !self.requests.is_empty() {
            self.elapsed += Duration::from_secs(1);
            self.end_requests();
        }
        self.check_in_flight();
        self.ledger.check_nothing_in_flight();
        self.ledger.check_history(&self.desk.store);
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
        self.reloads += other.reloads;
        for (name, count) in &other.orders {
            *self.orders.entry(name).or_default() += count;
        }
        for (name, count) in &other.outcomes {
            *self.outcomes.entry(name).or_default() += count;
        }
        self.died_at.extend(&other.died_at);
    }
}

/// Lives one life; says which it was if something did not hold.
fn live(seed: u64) -> (Seen, Shares) {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::new(seed);
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
    for outcome in ["promoted", "rolled-back", "aborted", "failed", "superseded"] {
        assert!(seen.outcomes.get(outcome).is_some_and(|&count| count > SEEDS / 50), "{seen:?}");
    }
    // Every write of a commit was the last one of somebody.
    let every = (1..=12).collect::<BTreeSet<u64>>();
    assert!(seen.died_at.is_superset(&every), "{:?}", seen.died_at);
}
