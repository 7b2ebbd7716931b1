//! Requests that wait for a place, in the order they came: a bounded line in, turns out.
//!
//! Whoever waits holds a [`Waiting`]; whoever makes room calls the next one. A turn that nobody
//! takes (its request has gone away, or waits for something else) passes on. The lock is taken only
//! by those who wait and those who call while somebody waits: with an empty line a call is one load.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A line of waiting requests.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

/// By tickets: the lowest has waited longest.
#[derive(Debug, Default)]
struct Line {
    next_ticket: u64,
    waits: BTreeMap<u64, Option<Waker>>,
    /// Called, and not yet back or gone.
    called: BTreeSet<u64>,
}

/// A place in the line; a turn once awaited.
#[derive(Debug)]
pub struct Waiting {
    queue: Arc<Queue>,
    ticket: u64,
    has_turn: bool,
}

impl Queue {
    /// How many wait now, with those who have been called and have not looked yet: nobody may
    /// overtake them either.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Joins the end of the line, unless `most` wait already.
    pub fn join(self: &Arc<Self>, most: usize) -> Option<Waiting> {
        let mut line = self.line();
        if line.waits.len() >= most {
            return None;
        }
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        self.enter(line, ticket);
        Some(Waiting { queue: self.clone(), ticket, has_turn: false })
    }

    /// Calls the one who has waited longest.
    pub fn call_next(&self) {
        self.call_from(0);
    }

    fn call_from(&self, ticket: u64) {
        if self.waiting() == 0 {
            return;
        }
        // Woken when the lock has been given back.
        let waker = self.line().call_from(ticket);
        waker.into_iter().for_each(Waker::wake);
    }

    fn enter(&self, mut line: MutexGuard<'_, Line>, ticket: u64) {
        line.called.remove(&ticket);
        line.waits.entry(ticket).or_default();
        self.count(&line);
        drop(line);
        // Who gives a place back does so before it looks whether anybody waits; who waits looks for
        // a place after this. So one of them sees the other.
        fence(Ordering::SeqCst);
    }

    fn count(&self, line: &Line) {
        self.waiting.store(line.waits.len() + line.called.len(), Ordering::SeqCst);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn first_from(&self, ticket: u64) -> Option<u64> {
        self.waits.range(ticket..).next().map(|(&ticket, _)| ticket)
    }

    /// Calls the first of those with this ticket or a later one; answers with who is to be woken.
    fn call_from(&mut self, ticket: u64) -> Option<Waker> {
        let ticket = self.first_from(ticket)?;
        self.called.insert(ticket);
        self.waits.remove(&ticket).flatten()
    }
}

impl Waiting {
    /// Whether it is a place in this line.
    pub fn is_in(&self, queue: &Arc<Queue>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }

    /// Whether its turn has come in this line: it overtakes nobody there.
    pub fn has_turn_in(&self, queue: &Arc<Queue>) -> bool {
        self.has_turn && self.is_in(queue)
    }

    /// Whether nobody is before it. Then it is its turn, uncalled.
    pub fn is_first(&mut self) -> bool {
        let line = self.queue.line();
        let is_first = line.waits.keys().next() == Some(&self.ticket)
            && line.called.first().is_none_or(|&called| called > self.ticket);
        self.has_turn |= is_first;
        is_first
    }

    /// Back to where it stood in the line: its turn came, but there was no room after all.
    pub fn again(&mut self) {
        self.queue.enter(self.queue.line(), self.ticket);
    }

    /// Calls the one behind: what has changed may concern each of them otherwise.
    pub fn call_behind(&self) {
        self.queue.call_from(self.ticket + 1);
    }

    /// Leaves the line. The next one looks: it may be given what this one did not take.
    pub fn leave(&mut self) {
        let mut line = self.queue.line();
        let was_called = line.called.remove(&self.ticket);
        if line.waits.remove(&self.ticket).is_none() && !was_called {
            return;
        }
        self.queue.count(&line);
        // Called as one of many that were to look, it owes the call to those behind as well.
        let next_is_ahead = line.first_from(0).is_some_and(|first| first < self.ticket);
        let next = line.call_from(0);
        let behind = if was_called && next_is_ahead { line.call_from(self.ticket) } else { None };
        drop(line);
        next.into_iter().chain(behind).for_each(Waker::wake);
    }
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(waker) = this.queue.line().waits.get_mut(&this.ticket) {
            *waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        this.has_turn = true;
        Poll::Ready(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(waiting: &mut Waiting) -> bool {
        Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn turns(all: &mut [Waiting]) -> Vec<bool> {
        all.iter_mut().map(poll).collect()
    }

    fn line_of(count: usize) -> (Arc<Queue>, Vec<Waiting>) {
        let queue = Arc::new(Queue::default());
        let all = (0..count).map(|_| queue.join(count).unwrap()).collect();
        (queue, all)
    }

    #[test]
    fn turns_come_in_order_and_are_passed_on() {
        let (queue, mut all) = line_of(4);
        assert!(queue.join(4).is_none());
        assert_eq!(turns(&mut all), [false; 4]);
        queue.call_next();
        assert_eq!(turns(&mut all), [true, false, false, false]);
        drop(all.remove(0));
        assert_eq!(turns(&mut all), [true, false, false]);
        assert_eq!(queue.waiting(), 3, "who was called is not through yet");
    }

    #[test]
    fn who_leaves_without_a_turn_lets_the_next_one_look() {
        let (queue, mut all) = line_of(3);
        drop(all.remove(0));
        assert_eq!(turns(&mut all), [true, false]);
        all[0].again();
        drop(all.remove(1));
        assert_eq!(turns(&mut all), [true], "the first looks whoever leaves");
        drop(all);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn who_finds_no_room_is_first_again() {
        let (queue, mut all) = line_of(2);
        queue.call_next();
        all[0].again();
        assert_eq!(queue.waiting(), 2);
        assert_eq!(turns(&mut all), [false, false]);
        queue.call_next();
        assert_eq!(turns(&mut all), [true, false]);
    }

    #[test]
    fn nobody_is_first_behind_one_who_was_called() {
        let (queue, mut all) = line_of(2);
        assert!(all[0].is_first() && !all[1].is_first());
        queue.call_next();
        assert!(!all[1].is_first());
        all[0].leave();
        assert_eq!(turns(&mut all[1..]), [true]);
    }

    #[test]
    fn who_stood_elsewhere_comes_back_to_where_it_stood() {
        let (queue, mut all) = line_of(2);
        queue.call_next();
        assert!(poll(&mut all[0]));
        all[0].leave();
        assert_eq!((queue.waiting(), turns(&mut all[1..])), (1, vec![true]));
        all[0].again();
        all[1].again();
        assert!(all[0].has_turn_in(&queue) && all[0].is_first());
        assert_eq!(turns(&mut all), [false, false]);
    }

    #[test]
    fn a_call_to_look_goes_through_the_whole_line() {
        let (queue, mut all) = line_of(4);
        queue.call_next();
        all[0].call_behind();
        all[0].again();
        assert_eq!(turns(&mut all), [false, true, false, false]);
        all.remove(1).leave();
        assert_eq!(turns(&mut all), [true, true, false], "the first for room, the next to look");
    }

    #[test]
    fn an_empty_line_is_no_matter() {
        let queue = Queue::default();
        queue.call_next();
        assert_eq!(queue.waiting(), 0);
    }
}
