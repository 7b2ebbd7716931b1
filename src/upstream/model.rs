//! The marks under every order in which two or three threads can come, and with all that a processor
//! may hold back: `loom` runs the same file with its own atomics in place of those of the machine.

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use self::marks::{Marks, Seen};
use self::sync::{AtomicU64, Ordering};
use super::{Conditions, changes};

mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
}

// What one writer alone decides on is no matter of order.
#[expect(dead_code)]
#[allow(clippy::duplicate_mod)] // That it is the same file is the point.
#[path = "marks.rs"]
mod marks;

/// An upstream's marks, and two things that some of them stand for.
#[derive(Default)]
struct World {
    marks: Marks,
    is_open: AtomicU64,
    came_in: AtomicU64,
}

impl World {
    fn with(marks: Conditions) -> Arc<World> {
        let world = World::default();
        world.marks.put(marks);
        Arc::new(world)
    }

    /// A breaker opens or closes, and who does it says so.
    fn turn_breaker(&self, open: bool) {
        self.is_open.store(u64::from(open), Ordering::Relaxed);
        self.note_breaker();
    }

    fn note_breaker(&self) {
        let put = || {
            self.marks.put(Conditions::BREAKER);
        };
        let take = |seen| self.marks.take(seen, Conditions::BREAKER, Conditions::SLOW_START);
        self.marks.agree(Conditions::BREAKER, || self.is_open(), put, take);
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed) == 1
    }

    fn come_in(&self, now: u64) {
        self.came_in.store(now, Ordering::Relaxed);
        self.marks.put(Conditions::SLOW_START);
    }

    fn come_back(&self, seen: Seen) -> bool {
        self.marks.take(seen, Conditions::EJECTED, Conditions::SLOW_START)
    }
}

/// Every order, but for those in which one thread is made to wait more than thrice.
fn check(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

#[test]
fn an_ejection_stands_that_comes_while_another_is_found_to_be_over() {
    check(|| {
        let world = World::with(Conditions::EJECTED);
        let first = world.marks.look();
        let ejects = thread::spawn({
            let world = world.clone();
            move || {
                world.marks.put(Conditions::EJECTED);
            }
        });
        let seen = world.marks.look();
        let is_back = world.come_back(seen);
        ejects.join().unwrap();
        let is_ejected = world.marks.read().any(Conditions::EJECTED);
        if seen == first {
            assert!(is_ejected, "it came after what was seen");
        } else {
            assert!(is_back && !is_ejected, "it was seen with the rest");
        }
    });
}

#[test]
fn of_two_who_bring_it_back_one_does_and_both_leave_an_ejection() {
    check(|| {
        let world = World::with(Conditions::EJECTED);
        let seen = world.marks.look();
        let others = [false, true].map(|ejects| {
            let world = world.clone();
            thread::spawn(move || match ejects {
                true => !world.marks.put(Conditions::EJECTED).any(Conditions::EJECTED),
                false => world.come_back(seen),
            })
        });
        let is_back = world.come_back(seen);
        let [is_back_too, was_back] = others.map(|other| other.join().unwrap());
        assert!(world.marks.read().any(Conditions::EJECTED));
        assert_eq!(u8::from(is_back) + u8::from(is_back_too), u8::from(was_back));
    });
}

#[test]
fn an_operators_order_stands_whoever_notes_a_breaker_at_the_time() {
    for opens in [true, false] {
        check(move || {
            // The breaker has just turned, and nobody has noted that yet.
            let stale = if opens { Conditions::BREAKER } else { Conditions::default() };
            let world = World::with(stale);
            world.is_open.store(u64::from(!opens), Ordering::Relaxed);
            let orders = thread::spawn({
                let world = world.clone();
                move || world.turn_breaker(opens)
            });
            world.note_breaker();
            orders.join().unwrap();
            assert_eq!(world.marks.read().any(Conditions::BREAKER), opens);
        });
    }
}

#[test]
fn the_mark_of_a_breaker_agrees_with_it_whoever_turns_it_last() {
    check(|| {
        let world = World::with(Conditions::BREAKER);
        let turn = [true, false].map(|open| {
            let world = world.clone();
            thread::spawn(move || world.turn_breaker(open))
        });
        turn.into_iter().for_each(|turn| turn.join().unwrap());
        assert_eq!(world.marks.read().any(Conditions::BREAKER), world.is_open());
    });
}

#[test]
fn who_comes_in_again_starts_slowly_while_an_earlier_start_is_found_to_be_over() {
    check(|| {
        let world = World::with(Conditions::SLOW_START);
        let comes_in = thread::spawn({
            let world = world.clone();
            move || world.come_in(1)
        });
        let seen = world.marks.look();
        if world.came_in.load(Ordering::Relaxed) == 0 {
            world.marks.take(seen, Conditions::SLOW_START, Conditions::default());
        }
        comes_in.join().unwrap();
        assert!(world.marks.read().any(Conditions::SLOW_START));
    });
}
