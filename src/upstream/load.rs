//! How many requests somebody holds: who comes, has sent its body and leaves in, and whether there is
//! room for another one out.
//!
//! A body may take as long as its client likes, and meanwhile nobody works on the request. So limits
//! count those that have been sent, and those that are still being sent have a bound of their own: who
//! sends slowly takes no place from others.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::http::admission::Upload;

/// Requests that a service, a pool or an upstream holds.
///
/// One word with all of them in its lower half and those that are still being sent in its upper, so
/// that one load sees both as they were at one moment.
#[derive(Debug, Default)]
pub struct LoadCount(AtomicU64);

/// What a [`LoadCount`] was at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// All of them.
    pub all: u32,
    /// Those whose bodies have yet to come.
    pub sending: u32,
}

/// How many may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of those that have been sent.
    pub sent: u32,
    /// Of those that are still being sent.
    pub sending: u32,
}

/// One that is still being sent, as the word counts it.
const SENDING: u64 = 1 << 32;

impl Load {
    /// How many count towards a limit.
    pub fn sent(self) -> u32 {
        self.all.saturating_sub(self.sending)
    }

    /// Whether one more may come. One with a body needs both: it will have been sent one day.
    pub fn has_room(self, upload: Upload, limit: Limit) -> bool {
        self.sent() < limit.sent && (upload == Upload::Done || self.sending < limit.sending)
    }
}

impl LoadCount {
    /// What it is now, in one order with joining a line: places are given back before it is looked
    /// who waits.
    pub fn read(&self) -> Load {
        read(self.0.load(Ordering::SeqCst))
    }

    /// One more.
    pub fn enter(&self, upload: Upload) {
        self.0.fetch_add(one(upload), Ordering::SeqCst);
    }

    /// One more if there is room; whether there was. One that is refused never looks like one that
    /// is held.
    pub fn try_enter(&self, upload: Upload, limit: Limit) -> bool {
        let more = |now| read(now).has_room(upload, limit).then_some(now + one(upload));
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// One that came with its body to come counts towards limits from now on.
    pub fn settle(&self) {
        self.0.fetch_sub(SENDING, Ordering::SeqCst);
    }

    /// One less, of those that are still being sent or of the others.
    pub fn leave(&self, upload: Upload) {
        self.0.fetch_sub(one(upload), Ordering::SeqCst);
    }
}

fn one(upload: Upload) -> u64 {
    match upload {
        Upload::Done => 1,
        Upload::ToCome => 1 + SENDING,
    }
}

fn read(word: u64) -> Load {
    Load { all: word as u32, sending: (word >> 32) as u32 }
}

#[cfg(test)]
mod tests {
    use super::Upload::{Done, ToCome};
    use super::*;

    #[test]
    fn each_request_counts_once_and_towards_the_limit_from_the_end_of_its_body() {
        let count = LoadCount::default();
        let is = |all, sending| assert_eq!(count.read(), Load { all, sending });
        count.enter(ToCome);
        count.enter(Done);
        count.enter(ToCome);
        is(3, 2);
        assert_eq!(count.read().sent(), 1);
        count.settle();
        is(3, 1);
        assert_eq!(count.read().sent(), 2);
        count.leave(Done);
        count.leave(ToCome);
        is(1, 0);
        count.leave(Done);
        is(0, 0);
    }

    #[test]
    fn what_is_being_sent_takes_no_place_from_others_and_has_a_bound_of_its_own() {
        let (count, limit) = (LoadCount::default(), Limit { sent: 2, sending: 3 });
        let enters = |upload| count.try_enter(upload, limit);
        assert_eq!([ToCome; 4].map(enters), [true, true, true, false]);
        assert_eq!([Done; 3].map(enters), [true, true, false]);
        count.leave(ToCome);
        assert!(!enters(ToCome), "it would count one day, and there is no place");
        count.leave(Done);
        assert_eq!([ToCome; 2].map(enters), [true, false]);
        (0..3).for_each(|_| count.settle());
        assert_eq!((count.read(), count.read().sent()), (Load { all: 4, sending: 0 }, 4));
        assert!(!enters(Done) && !enters(ToCome), "those that are under way go on, nobody else");
    }

    #[test]
    fn both_halves_are_seen_as_they_were_at_one_moment() {
        let (count, limit) = (LoadCount::default(), Limit { sent: 1, sending: 1 });
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..300_000 {
                    assert!(count.try_enter(ToCome, limit));
                    count.settle();
                    assert!(!count.try_enter(Done, limit));
                    count.leave(Done);
                }
                is_over.store(true, Ordering::Relaxed);
            });
            while !is_over.load(Ordering::Relaxed) {
                let load = count.read();
                assert!(load.all <= 1 && load.sending <= load.all, "{load:?}");
            }
        });
        assert_eq!(count.read(), Load::default());
    }
}
