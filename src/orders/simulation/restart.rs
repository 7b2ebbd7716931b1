//! A controller that is killed, and the next one that begins on what is left of its disk.

use super::{Run, lasting};
use crate::orders::drive::Drive;
use crate::orders::{Change, Orders, Resolved, State};
use crate::store::Store;
use crate::store::crash::{Failure, FrailDisk, Leaves};

impl Run {
    /// The controller was killed. The next one starts after a while, on what is left of the disk,
    /// and may be killed while it does.
    pub(super) fn restart(&mut self) {
        self.seen.kills += 1;
        self.tasks.clear();
        self.asked.clear();
        self.hangs_until = None;
        let unstored = self.drive.orders.services_unstored();
        let orders = &self.drive.orders;
        let (mut base, mut held) = (orders.stored().clone(), orders.in_hands());
        let mut commits = self.drive.store.commits();
        for _ in 0..self.dice.below(80) {
            self.serve(1);
        }
        unstored.iter().for_each(|service| self.ledger.forget(service));
        if self.dice.one_in(4) {
            self.file.edit(&mut self.dice);
        }
        let mut disk = self.drive.disk.clone();
        loop {
            let leaves = match self.dice.one_in(2) {
                true => Leaves::EveryWrite,
                false => Leaves::SomeWrites(self.dice.below(u64::MAX)),
            };
            disk = disk.survivor(leaves);
            if self.dice.one_in(3) {
                disk.fail_after(self.dice.below(30), Failure::Killed);
            }
            let begun = self.begin(&disk, (&mut base, &mut held, &mut commits));
            if begun.is_some() && !disk.is_dead() {
                break;
            }
            assert!(disk.is_dead(), "it cannot start again");
            self.seen.deaths_at_start += 1;
        }
        let now = self.now();
        self.drive.orders.resume_rollouts(now);
        self.drive.settle();
        self.check_published();
        self.begin_tasks();
        // What was to fail at the start and did not come to it must not fail anything else.
        self.drive.disk.fail_after(u64::MAX / 2, Failure::Killed);
    }

    /// Begins on what is left, and compares it with what was known before: what was stored, with
    /// what the disk had in its hands or without it.
    fn begin(
        &mut self,
        disk: &FrailDisk,
        (base, held, commits): (&mut State, &mut Vec<Change>, &mut u64),
    ) -> Option<()> {
        let store = Store::on_disk(disk.clone()).ok()?;
        let found = store.recall().ok()?;
        match store.commits().checked_sub(*commits) {
            Some(0) => {}
            Some(1) => {
                self.seen.beside += 1;
                base.apply_all(&*held);
            }
            _ => panic!("{} commits are there, {commits} were answered", store.commits()),
        }
        assert_eq!(lasting(base), lasting(&found), "what is stored is what was believed");
        self.ledger.check_history(&found);
        (*base, *commits) = (found.clone(), store.commits());
        let never = || Err(std::io::Error::other("the secret is gone"));
        store.secret(never).ok()?;
        let now = self.now();
        let (orders, edits) = Orders::open(found, self.file.read(), Resolved::new(), now);
        if edits.is_empty() {
            // The file has said nothing new, so it goes on exactly where it was.
            assert_eq!(lasting(orders.state()), lasting(base));
        }
        held.clone_from(&edits);
        self.drive = Drive::begin(disk.clone(), store, orders, &edits, now)?;
        Some(())
    }
}
