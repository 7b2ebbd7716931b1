//! Requests that wait for a place, in the order they came: a bounded line in, turns out.
//!
//! Whoever waits holds a [`Waiting`]; whoever makes room calls the next one. A turn that nobody
//! takes (its request has gone away) passes on. The lock is taken only by those who wait and those
//! who call while somebody waits: with an empty line a call is one load.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A line of waiting requests.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: AtomicUsize,
    turned_away: AtomicU64,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    next_ticket: u64,
    /// In order; those at the front have waited before.
    tickets: VecDeque<(u64, Option<Waker>)>,
    /// Called, and not yet noticed by who waits.
    called: Vec<u64>,
}

/// A place in the line; a turn once awaited.
#[derive(Debug)]
pub struct Waiting {
    queue: Arc<Queue>,
    ticket: u64,
    is_over: bool,
}

impl Queue {
    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// How many found the line full so far.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Joins the end of the line, unless `most` wait already.
    pub fn join(self: &Arc<Self>, most: usize) -> Option<Waiting> {
        let mut line = self.line();
        if line.tickets.len() >= most {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        line.tickets.push_back((ticket, None));
        self.waiting.store(line.tickets.len(), Ordering::SeqCst);
        Some(Waiting { queue: self.clone(), ticket, is_over: false })
    }

    /// Calls the one who has waited longest.
    pub fn call_next(&self) {
        if self.waiting() == 0 {
            return;
        }
        let mut line = self.line();
        let Some((ticket, waker)) = line.tickets.pop_front() else { return };
        line.called.push(ticket);
        self.waiting.store(line.tickets.len(), Ordering::SeqCst);
        drop(line);
        waker.into_iter().for_each(Waker::wake);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Back to the front of the line: the turn came, but there was no room after all.
    pub fn again(mut self) -> Waiting {
        self.is_over = true;
        let mut line = self.queue.line();
        line.called.retain(|called| *called != self.ticket);
        // Behind those who were called before and came back first.
        let at = line.tickets.partition_point(|(ticket, _)| *ticket < self.ticket);
        if line.tickets.get(at).is_none_or(|(ticket, _)| *ticket != self.ticket) {
            line.tickets.insert(at, (self.ticket, None));
        }
        self.queue.waiting.store(line.tickets.len(), Ordering::SeqCst);
        drop(line);
        Waiting { queue: self.queue.clone(), ticket: self.ticket, is_over: false }
    }
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut line = this.queue.line();
        match line.tickets.binary_search_by_key(&this.ticket, |(ticket, _)| *ticket) {
            Ok(at) => {
                line.tickets[at].1 = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(_) => Poll::Ready(()),
        }
    }
}

impl Drop for Waiting {
    /// Leaves the line; who was called and leaves passes the turn on.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut line = self.queue.line();
        line.tickets.retain(|(ticket, _)| *ticket != self.ticket);
        self.queue.waiting.store(line.tickets.len(), Ordering::SeqCst);
        let called = line.called.len();
        line.called.retain(|called| *called != self.ticket);
        let had_turn = line.called.len() < called;
        drop(line);
        if had_turn {
            self.queue.call_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(waiting: &mut Waiting) -> bool {
        Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn turns_come_in_order_and_are_passed_on() {
        let queue = Arc::new(Queue::default());
        let mut all: Vec<_> = (0..4).map(|_| queue.join(4).unwrap()).collect();
        assert!(queue.join(4).is_none());
        assert_eq!((queue.waiting(), queue.turned_away()), (4, 1));
        assert!(!all.iter_mut().any(poll));
        queue.call_next();
        assert_eq!(all.iter_mut().map(poll).collect::<Vec<_>>(), [true, false, false, false]);
        drop(all.remove(0));
        assert_eq!(all.iter_mut().map(poll).collect::<Vec<_>>(), [true, false, false]);
        drop(all.remove(1));
        assert_eq!(queue.waiting(), 1, "one that leaves without a turn calls nobody");
        assert_eq!(all.iter_mut().map(poll).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn who_finds_no_room_is_first_again() {
        let queue = Arc::new(Queue::default());
        let (first, mut second) = (queue.join(9).unwrap(), queue.join(9).unwrap());
        queue.call_next();
        let mut first = first.again();
        assert_eq!(queue.waiting(), 2);
        assert!(!poll(&mut first) && !poll(&mut second));
        queue.call_next();
        assert!(poll(&mut first) && !poll(&mut second));
    }

    #[test]
    fn an_empty_line_is_no_matter() {
        let queue = Queue::default();
        queue.call_next();
        assert_eq!(queue.waiting(), 0);
    }
}
