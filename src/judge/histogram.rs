//! Where the data plane records how long requests took: durations in, a [`Distribution`] out.
//!
//! Threads record by `&self` with two relaxed additions, each thread in a shard of its own (as long
//! as there are as many shards as threads), so that no cache line travels between cores. A shard is
//! 6.7 KB and is made when a thread first records in it, outside of any lock: pools without traffic
//! cost a few words. Each pool is read once a second and its latencies lie in a few octaves, so a
//! shard knows in which it holds anything, and only those are read.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::Distribution;
use super::buckets::{self, BUCKETS, OCTAVE};

/// Durations since it was made, recorded by many threads.
#[derive(Debug)]
pub struct Histogram {
    shards: Box<[OnceLock<Box<Shard>>]>,
}

/// What some of the threads recorded; begins on a cache line of its own.
#[repr(align(64))]
struct Shard {
    counts: [AtomicU64; BUCKETS],
    micros: AtomicU64,
    /// A bit for each octave that holds anything.
    octaves: AtomicU32,
}

const _: () = assert!(BUCKETS.is_multiple_of(OCTAVE) && BUCKETS / OCTAVE <= u32::BITS as usize);

impl Histogram {
    /// An empty one for about this many threads.
    pub fn new(threads: usize) -> Histogram {
        // A power of two, so that a thread finds its shard without a division.
        let shards = (0..threads.next_power_of_two()).map(|_| OnceLock::new()).collect();
        Histogram { shards }
    }

    /// Records one duration.
    pub fn record(&self, took: Duration) {
        let micros = buckets::micros(took);
        let (shard, bucket) = (self.shard(), buckets::bucket_of_micros(micros));
        shard.counts[bucket].fetch_add(1, Ordering::Relaxed);
        shard.micros.fetch_add(micros, Ordering::Relaxed);
        let octave = 1 << (bucket / OCTAVE);
        // Nearly always there already.
        if shard.octaves.load(Ordering::Relaxed) & octave == 0 {
            shard.octaves.fetch_or(octave, Ordering::Relaxed);
        }
    }

    /// All that was recorded until now. Taken without a lock: what is recorded meanwhile may be in
    /// the counts and not yet in the sum, or the other way round.
    pub fn read(&self) -> Distribution {
        let shards = || self.shards.iter().filter_map(OnceLock::get);
        let octaves =
            shards().fold(0, |octaves, shard| octaves | shard.octaves.load(Ordering::Relaxed));
        if octaves == 0 {
            return Distribution::default();
        }
        let first = octaves.trailing_zeros() as usize * OCTAVE;
        let end = (u32::BITS - octaves.leading_zeros()) as usize * OCTAVE;
        let (mut counts, mut micros) = (vec![0; end - first], 0u64);
        for shard in shards() {
            for (count, more) in counts.iter_mut().zip(&shard.counts[first..end]) {
                *count += more.load(Ordering::Relaxed);
            }
            micros = micros.wrapping_add(shard.micros.load(Ordering::Relaxed));
        }
        Distribution::new(first, counts, micros)
    }

    fn shard(&self) -> &Shard {
        let cell = &self.shards[THREAD.with(|thread| *thread) & (self.shards.len() - 1)];
        match cell.get() {
            Some(shard) => shard,
            None => Histogram::make(cell),
        }
    }

    /// Once for each shard. It is made before the cell is asked, so that a thread that comes second
    /// waits for a pointer to be stored, not for memory.
    #[cold]
    fn make(cell: &OnceLock<Box<Shard>>) -> &Shard {
        let shard = Box::new(Shard::new());
        cell.get_or_init(|| shard)
    }
}

impl Shard {
    fn new() -> Shard {
        Shard {
            counts: [const { AtomicU64::new(0) }; BUCKETS],
            micros: AtomicU64::new(0),
            octaves: AtomicU32::new(0),
        }
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}

/// Numbers for threads, in the order in which they first record anything.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Draws;

    #[test]
    fn what_many_threads_record_at_once_is_all_there() {
        let histogram = Histogram::new(3);
        let of = |thread: u64| {
            let mut draws = Draws::seeded(thread);
            (0..2_000).map(move |_| Duration::from_micros(draws.below(5_000_000)))
        };
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let histogram = &histogram;
                scope.spawn(move || of(thread).for_each(|took| histogram.record(took)));
            }
        });
        let mut single = Distribution::default();
        (0..8).flat_map(of).for_each(|took| single.add(took));
        assert_eq!(histogram.read(), single);
    }

    #[test]
    fn the_shortest_and_the_longest_are_read_too() {
        let (histogram, mut single) = (Histogram::new(1), Distribution::default());
        for took in [Duration::ZERO, Duration::from_millis(7), Duration::from_secs(1 << 20)] {
            histogram.record(took);
            single.add(took);
            assert_eq!(histogram.read(), single);
        }
    }

    #[test]
    fn one_that_saw_nothing_holds_nothing() {
        let histogram = Histogram::new(64);
        assert!(histogram.shards.iter().all(|shard| shard.get().is_none()));
        assert_eq!(histogram.read(), Distribution::default());
    }

    #[test]
    fn only_the_shard_of_a_thread_that_records_is_made() {
        let histogram = Histogram::new(4);
        histogram.record(Duration::from_millis(3));
        assert_eq!(histogram.shards.iter().filter(|shard| shard.get().is_some()).count(), 1);
        assert_eq!(histogram.read().sum(), Duration::from_millis(3));
    }
}
