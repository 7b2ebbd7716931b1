//! Users of one pool: ends of attempts in, users at risk and first failures out.
//!
//! Where clients keep to their side, the requests of one user are not independent: a broken client
//! that always fails would be held against the version it happens to sit on. So each user counts
//! once: an event is the first bad answer of a user in a step, and those exposed in a second are the
//! users that were active in it and had not failed before (the anytime-valid log-rank test of
//! `judge.md` 2.4). Bitmaps indexed by the client's hash hold who has: users that share a bit count
//! as one, which is rare up to a tenth as many users as there are bits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Counts;

/// Users that are told apart, a power of two; 32 KiB a bitmap.
const USERS: u32 = 1 << 18;

/// Words of a bitmap.
const WORDS: usize = USERS as usize / 64;

/// Words of a part of a bitmap; there are as many parts as a word has bits.
const PART: usize = WORDS / 64;

/// Who did what.
#[derive(Debug)]
pub struct Users {
    /// Has failed in this step.
    failed: Bitmap,
    /// Was active in this second.
    active: Bitmap,
    /// Was sent to either pool since the rollout began.
    known: Arc<Known>,
    exposed: AtomicU64,
    events: AtomicU64,
}

/// Running totals of users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserCounts {
    /// Users active in a second who had not failed before it, summed over seconds.
    pub exposed: u64,
    /// Users that failed for the first time in their step.
    pub events: u64,
}

/// Who was sent to either pool of a rollout.
#[derive(Debug)]
pub struct Known(Bitmap);

impl Default for Known {
    fn default() -> Known {
        Known(Bitmap::empty())
    }
}

impl Users {
    /// Nobody yet; `known` is shared with the users of the other pool.
    pub fn new(known: Arc<Known>) -> Users {
        Users {
            failed: Bitmap::empty(),
            active: Bitmap::empty(),
            known,
            exposed: AtomicU64::new(0),
            events: AtomicU64::new(0),
        }
    }

    /// Whether the user is new to the rollout. Who knows which pool it gets can send to one of them
    /// alone as often as it likes; of users that nobody has seen before nobody knows it.
    pub fn arrive(&self, user: u32) -> bool {
        self.known.0.set(user)
    }

    /// An attempt for this user is over. One whose user nobody knows is a user of its own.
    pub fn note(&self, user: Option<u32>, is_bad: bool) {
        let (is_first, is_exposed) = match user {
            None => (is_bad, true),
            Some(user) if is_bad => {
                let is_first = self.failed.set(user);
                (is_first, is_first && self.active.set(user))
            }
            Some(user) => (false, !self.failed.has(user) && self.active.set(user)),
        };
        if is_exposed {
            self.exposed.fetch_add(1, Ordering::Relaxed);
        }
        if is_first {
            self.events.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Users that have failed in this step, of those who are known: who was refused before anybody was
    /// asked is nobody in particular.
    pub fn failed(&self) -> u64 {
        self.failed.count()
    }

    /// The totals, and a new second begins.
    pub fn read(&self) -> UserCounts {
        // Events first: one that is read has its exposure read too, or in a second before.
        let events = self.events.load(Ordering::Relaxed);
        let exposed = self.exposed.load(Ordering::Relaxed);
        self.active.clear();
        UserCounts { exposed, events }
    }

    /// A new step begins.
    pub fn begin_step(&self) {
        self.failed.clear();
    }
}

impl UserCounts {
    /// What came since an earlier reading.
    pub fn since(self, earlier: UserCounts) -> UserCounts {
        UserCounts {
            exposed: self.exposed.saturating_sub(earlier.exposed),
            events: self.events.saturating_sub(earlier.events),
        }
    }

    /// As counts of a second: exposed users and the failures among them.
    pub fn counts(self) -> Counts {
        // A user that failed in the moment of a reading is exposed in one second and an event in
        // the next.
        Counts { total: self.exposed.max(self.events), bad: self.events }
    }
}

/// Who has, by the client's hash.
struct Bitmap {
    words: Box<[AtomicU64; WORDS]>,
    /// A bit for each part that somebody is in: one is cleared every second, and a service with few
    /// users is in few.
    parts: AtomicU64,
}

impl Bitmap {
    fn empty() -> Bitmap {
        let words = Box::new([const { AtomicU64::new(0) }; WORDS]);
        Bitmap { words, parts: AtomicU64::new(0) }
    }

    fn place(user: u32) -> (usize, u64) {
        let user = user % USERS;
        ((user / 64) as usize, 1 << (user % 64))
    }

    /// Whether it was not there before.
    fn set(&self, user: u32) -> bool {
        let (word, bit) = Bitmap::place(user);
        // Most are there already, and a look costs no exclusive cache line.
        let is_new = self.words[word].load(Ordering::Relaxed) & bit == 0
            && self.words[word].fetch_or(bit, Ordering::SeqCst) & bit == 0;
        let part = 1 << (word / PART);
        // Only now: who comes in while it is cleared is then in a part that is cleared next.
        if is_new && self.parts.load(Ordering::SeqCst) & part == 0 {
            self.parts.fetch_or(part, Ordering::SeqCst);
        }
        is_new
    }

    fn has(&self, user: u32) -> bool {
        let (word, bit) = Bitmap::place(user);
        self.words[word].load(Ordering::Relaxed) & bit != 0
    }

    /// How many there are. Only the parts in which somebody is are looked at.
    fn count(&self) -> u64 {
        let parts = self.parts.load(Ordering::SeqCst);
        let taken = (0..64).filter(|part| parts & (1 << part) != 0);
        let words = taken.flat_map(|part| &self.words[part * PART..(part + 1) * PART]);
        words.map(|word| u64::from(word.load(Ordering::Relaxed).count_ones())).sum()
    }

    fn clear(&self) {
        let mut parts = self.parts.swap(0, Ordering::SeqCst);
        while parts != 0 {
            let first = parts.trailing_zeros() as usize * PART;
            let words = &self.words[first..first + PART];
            words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            parts &= parts - 1;
        }
    }
}

impl std::fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bitmap").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(exposed: u64, events: u64) -> UserCounts {
        UserCounts { exposed, events }
    }

    #[test]
    fn a_user_fails_once_a_step_and_is_at_risk_until_then() {
        let users = Users::new(Arc::default());
        users.note(Some(7), false);
        users.note(Some(7), false);
        assert_eq!(users.read(), counts(1, 0), "active once a second");
        users.note(Some(7), false);
        users.note(Some(7), true);
        users.note(Some(7), true);
        assert_eq!(users.read(), counts(2, 1));
        users.note(Some(7), false);
        users.note(Some(7), true);
        assert_eq!(users.read(), counts(2, 1), "no more at risk");
        users.begin_step();
        users.note(Some(7), true);
        assert_eq!(users.read(), counts(3, 2));
    }

    #[test]
    fn everybody_begins_anew_wherever_their_bits_are() {
        let users = Users::new(Arc::default());
        let everywhere = || (0..USERS).step_by(1_000).chain([USERS - 1]);
        let many = everywhere().count() as u64;
        for second in 1..=3 {
            everywhere().for_each(|user| users.note(Some(user), false));
            assert_eq!(users.read(), counts(second * many, 0));
        }
        assert_eq!(everywhere().filter(|&user| users.arrive(user)).count() as u64, many);
        assert!(everywhere().all(|user| !users.arrive(user)));
        users.begin_step();
        assert!(everywhere().all(|user| !users.arrive(user)), "they are known for good");
    }

    #[test]
    fn requests_of_nobody_known_are_users_of_their_own() {
        let users = Users::new(Arc::default());
        users.note(None, true);
        users.note(None, false);
        assert_eq!(users.read(), counts(2, 1));
        assert_eq!(users.read().since(counts(2, 1)).counts(), Counts::default());
    }
}
