//! What waits to be sent: requests as bytes in, batches out.
//!
//! While the collector takes none the oldest make room: what is of now tells more.

use std::collections::VecDeque;

use crate::traces::Entry;

/// Bytes that wait.
const ROOM: usize = 8 << 20;

/// Spans that are sent in one call, as the SDK does; half a MiB or so.
const BATCH: u64 = 512;

/// Calls in a row that have to be taken before twice as many spans are tried: one whose bound stays where it
/// is refuses no more than one call in so many, and one that found spans of another kind too large gets whole
/// batches again.
const TAKEN: u32 = 16;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Spans that are being sent.
    out: u64,
    /// Spans in one call at most, if the collector has found one too large.
    most: Option<u64>,
    /// Calls in a row that were taken since that was set.
    taken: u32,
}

/// Requests that are sent together.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub entries: Vec<Box<[u8]>>,
    pub spans: u64,
}

impl Queue {
    /// Takes one in; answers with how many spans had to go for it.
    pub fn push(&mut self, entry: &[u8]) -> u64 {
        let mut gone = 0;
        while self.bytes + entry.len() > ROOM {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.len();
            gone += Entry::spans(&oldest);
        }
        self.bytes += entry.len();
        self.waiting.push_back(entry.into());
        gone
    }

    /// Takes out what is sent next; none if nothing waits.
    pub fn batch(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        while let Some(next) = self.waiting.front() {
            let spans = Entry::spans(next);
            if !batch.entries.is_empty() && batch.spans + spans > self.most.unwrap_or(BATCH) {
                break;
            }
            self.bytes -= next.len();
            batch.spans += spans;
            batch.entries.extend(self.waiting.pop_front());
        }
        self.out = batch.spans;
        (!batch.entries.is_empty()).then_some(batch)
    }

    /// The collector took what was taken out. After some calls it gets larger ones again.
    pub fn taken(&mut self) {
        let Some(most) = self.most else { return };
        self.taken += 1;
        if self.taken == TAKEN {
            self.taken = 0;
            self.most = Some(most.saturating_mul(2)).filter(|most| *most < BATCH);
        }
    }

    /// The collector is another one: nobody knows what is too large for it.
    pub fn begin_anew(&mut self) {
        (self.most, self.taken) = (None, 0);
    }

    /// What was taken out is done with.
    pub fn done(&mut self) {
        self.out = 0;
    }

    /// It was too large for one call: it goes back to be sent in halves. No if it is one request alone, which
    /// cannot be halved.
    pub fn halve(&mut self, batch: Batch) -> Result<(), Batch> {
        if batch.entries.len() < 2 {
            return Err(batch);
        }
        (self.most, self.taken) = (Some((batch.spans / 2).max(1)), 0);
        for entry in batch.entries.into_iter().rev() {
            self.bytes += entry.len();
            self.waiting.push_front(entry);
        }
        self.out = 0;
        Ok(())
    }

    /// Gives up all that waits or is out; answers with how many spans that were.
    pub fn give_up(&mut self) -> u64 {
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().map(|entry| Entry::spans(entry)).sum::<u64>() + std::mem::take(&mut self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look like those of a request with no attempts, so long.
    fn entry(length: usize) -> Vec<u8> {
        vec![0; length]
    }

    #[test]
    fn batches_have_a_bound_and_come_in_order() {
        let mut queue = Queue::default();
        (1..=600).for_each(|length| assert_eq!(queue.push(&entry(length)), 0));
        let first = queue.batch().unwrap();
        assert_eq!((first.spans, first.entries[0].len(), first.entries.len()), (512, 1, 512));
        queue.done();
        assert_eq!(queue.batch().unwrap().entries[0].len(), 513);
        queue.done();
        assert!(queue.batch().is_none());
        assert_eq!((queue.bytes, queue.give_up()), (0, 0));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut queue = Queue::default();
        for _ in 0..8 {
            assert_eq!(queue.push(&entry(1 << 20)), 0);
        }
        assert_eq!(queue.push(&entry(1)), 1);
        assert_eq!(queue.push(&entry(2 << 20)), 2);
        let lengths: Vec<usize> = queue.batch().unwrap().entries.iter().map(|e| e.len()).collect();
        assert_eq!(lengths, [1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1, 2 << 20]);
        assert_eq!(queue.push(&entry(5)), 0);
        assert_eq!(queue.give_up(), 8, "those that are out are among them");
    }

    #[test]
    fn what_is_too_large_is_halved_until_it_is_one() {
        let mut queue = Queue::default();
        (1..=4).for_each(|length| assert_eq!(queue.push(&entry(length)), 0));
        let mut sizes = Vec::new();
        while let Some(batch) = queue.batch() {
            sizes.push(batch.entries.iter().map(|entry| entry.len()).collect::<Vec<_>>());
            if let Err(alone) = queue.halve(batch) {
                assert_eq!(alone.entries.len(), 1);
                queue.done();
            }
        }
        assert_eq!(sizes, [vec![1, 2, 3, 4], vec![1, 2], vec![1], vec![2], vec![3], vec![4]]);
    }

    #[test]
    fn calls_grow_again_while_they_are_taken() {
        let mut queue = Queue::default();
        (0..10_000).for_each(|_| assert_eq!(queue.push(&entry(1)), 0));
        let first = queue.batch().unwrap();
        queue.halve(first).unwrap();
        let second = queue.batch().unwrap();
        assert_eq!(second.spans, BATCH / 2);
        queue.halve(second).unwrap();
        let mut take = |times: u32| {
            let sizes = (0..times).map(|_| {
                let spans = queue.batch().unwrap().spans;
                queue.taken();
                queue.done();
                spans
            });
            sizes.collect::<Vec<_>>()
        };
        assert_eq!(take(TAKEN), [BATCH / 4; TAKEN as usize]);
        assert_eq!(take(TAKEN), [BATCH / 2; TAKEN as usize]);
        assert_eq!(take(2), [BATCH; 2]);
    }

    #[test]
    fn a_refusal_begins_the_count_of_what_was_taken_anew_and_so_does_another_collector() {
        let mut queue = Queue::default();
        (0..4_000).for_each(|_| assert_eq!(queue.push(&entry(1)), 0));
        let batch = queue.batch().unwrap();
        queue.halve(batch).unwrap();
        (1..TAKEN).for_each(|_| queue.taken());
        let batch = queue.batch().unwrap();
        queue.halve(batch).unwrap();
        queue.taken();
        assert_eq!(queue.batch().unwrap().spans, BATCH / 4);
        queue.begin_anew();
        assert_eq!(queue.batch().unwrap().spans, BATCH);
    }
}
