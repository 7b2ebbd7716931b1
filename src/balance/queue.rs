//! Requests that wait for a place, in the order they came: a bounded line in, turns out.
//!
//! Whoever waits holds a [`Waiting`]; whoever makes room calls the next one. A turn that nobody
//! takes (its request has gone away, or waits for something else) passes on. The lock is taken only
//! by those who wait and those who call while somebody waits: with an empty line a call is one load.
//!
//! Requests whose bodies have come go before those whose bodies have yet to come: these may wait for
//! something else, that other bodies end, and keep nobody from a place meanwhile. But only so many
//! later ones go before one, so that it is not passed for ever, and only half of the line is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::http::admission::Upload;

/// So many that come later go before one whose body has yet to come.
const PASSED_BY: u64 = 32;

/// A line of waiting requests.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: AtomicUsize,
    /// Of these all but those whose bodies have yet to come and who were not called.
    before_all: AtomicUsize,
    line: Mutex<Line>,
}

/// By tickets: the lowest is next.
#[derive(Debug, Default)]
struct Line {
    joined: u64,
    /// Those whose bodies have come.
    whole: Waits,
    /// Those whose bodies have yet to come.
    uploads: Waits,
    /// Called, and not yet back or gone.
    called: BTreeSet<Ticket>,
}

type Waits = BTreeMap<Ticket, Option<Waker>>;

/// Where one stands: who came as the nth, set back by [`PASSED_BY`] if its body had yet to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket {
    place: u64,
    is_upload: bool,
}

/// A place in the line; a turn once awaited.
#[derive(Debug)]
pub struct Waiting {
    queue: Arc<Queue>,
    ticket: Ticket,
    has_turn: bool,
}

impl Queue {
    /// How many wait now, with those who have been called and have not looked yet: nobody may
    /// overtake them either.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether somebody waits who would be overtaken by one who comes now and does not wait.
    pub fn would_be_overtaken(&self, upload: Upload) -> bool {
        match upload {
            Upload::Done => self.before_all.load(Ordering::SeqCst) > 0,
            Upload::ToCome => self.waiting() > 0,
        }
    }

    /// Joins the line, unless `most` wait already, or half of that and its body has yet to come.
    pub fn join(self: &Arc<Self>, upload: Upload, most: usize) -> Option<Waiting> {
        let mut line = self.line();
        if !line.has_room(upload, most) {
            return None;
        }
        let ticket = Ticket::new(line.joined, upload == Upload::ToCome);
        line.joined += 1;
        self.enter(line, ticket, None);
        Some(Waiting { queue: self.clone(), ticket, has_turn: false })
    }

    /// Whether somebody who comes now may join.
    pub fn has_room(&self, upload: Upload, most: usize) -> bool {
        self.line().has_room(upload, most)
    }

    /// Calls who is next: there is a place.
    pub fn call_next(&self) {
        self.call(|line| line.call_from(Ticket::default()));
    }

    /// Calls who is next of those whose bodies have yet to come: there is room for a body.
    pub fn call_upload(&self) {
        self.call(Line::call_upload);
    }

    /// Calls for what one leaves that was held as this.
    pub fn call_for(&self, upload: Upload) {
        match upload {
            Upload::Done => self.call_next(),
            Upload::ToCome => self.call_upload(),
        }
    }

    fn call(&self, next: impl FnOnce(&mut Line) -> Option<Waker>) {
        if self.waiting() == 0 {
            return;
        }
        let mut line = self.line();
        let waker = next(&mut line);
        self.count(&line);
        // Woken when the lock has been given back.
        drop(line);
        waker.into_iter().for_each(Waker::wake);
    }

    fn enter(&self, mut line: MutexGuard<'_, Line>, ticket: Ticket, waker: Option<Waker>) {
        line.called.remove(&ticket);
        let wait = line.of(ticket).entry(ticket).or_default();
        *wait = waker.or(wait.take());
        self.count(&line);
        drop(line);
        // Who gives a place back does so before it looks whether anybody waits; who waits looks for
        // a place after this. So one of them sees the other.
        fence(Ordering::SeqCst);
    }

    fn count(&self, line: &Line) {
        let before_all = line.whole.len() + line.called.len();
        self.before_all.store(before_all, Ordering::SeqCst);
        self.waiting.store(before_all + line.uploads.len(), Ordering::SeqCst);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    fn new(nth: u64, is_upload: bool) -> Ticket {
        Ticket { place: nth + if is_upload { PASSED_BY } else { 0 }, is_upload }
    }

    /// That of the same one once its body has come.
    fn whole(self) -> Ticket {
        let set_back = if self.is_upload { PASSED_BY } else { 0 };
        Ticket { place: self.place - set_back, is_upload: false }
    }

    /// The least one behind it.
    fn behind(self) -> Ticket {
        match self.is_upload {
            false => Ticket { is_upload: true, ..self },
            true => Ticket { place: self.place + 1, is_upload: false },
        }
    }
}

impl Line {
    fn has_room(&self, upload: Upload, most: usize) -> bool {
        let has_room_for_a_body = self.uploads.len() < most.div_ceil(2);
        self.whole.len() + self.uploads.len() < most
            && (upload == Upload::Done || has_room_for_a_body)
    }

    fn of(&mut self, ticket: Ticket) -> &mut Waits {
        if ticket.is_upload { &mut self.uploads } else { &mut self.whole }
    }

    fn first_from(&self, ticket: Ticket) -> Option<Ticket> {
        let first = |waits: &Waits| waits.range(ticket..).next().map(|(&ticket, _)| ticket);
        [first(&self.whole), first(&self.uploads)].into_iter().flatten().min()
    }

    /// Calls the first of those with this ticket or a later one; answers with who is to be woken.
    fn call_from(&mut self, ticket: Ticket) -> Option<Waker> {
        let first = self.first_from(ticket);
        self.call(first)
    }

    fn call_whole(&mut self) -> Option<Waker> {
        let first = self.whole.keys().next().copied();
        self.call(first)
    }

    fn call_upload(&mut self) -> Option<Waker> {
        let first = self.uploads.keys().next().copied();
        self.call(first)
    }

    fn call(&mut self, ticket: Option<Ticket>) -> Option<Waker> {
        let ticket = ticket?;
        self.called.insert(ticket);
        self.of(ticket).remove(&ticket).flatten()
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
        // Bodies that have yet to come keep nobody whose body has come from a place.
        let first = match self.ticket.is_upload {
            false => line.whole.keys().next().copied(),
            true => line.first_from(Ticket::default()),
        };
        let is_first = first == Some(self.ticket)
            && line.called.first().is_none_or(|&called| called > self.ticket);
        self.has_turn |= is_first;
        is_first
    }

    /// Its body has come: it stands where it would stand if it had come so.
    pub fn has_all(&mut self) {
        if !self.ticket.is_upload {
            return;
        }
        let (before, ticket) = (self.ticket, self.ticket.whole());
        self.ticket = ticket;
        let mut line = self.queue.line();
        if line.called.remove(&before) {
            line.called.insert(ticket);
        } else if let Some(waker) = line.uploads.remove(&before) {
            // Called as what it was, it did not overtake those whom it would now.
            self.has_turn = false;
            self.queue.enter(line, ticket, waker);
        }
    }

    /// Back to where it stood in the line: its turn came, but there was no room after all.
    pub fn again(&mut self) {
        self.queue.enter(self.queue.line(), self.ticket, None);
        if self.ticket.is_upload {
            // There may have been a place, only no room for a body.
            self.queue.call(Line::call_whole);
        }
    }

    /// Calls the one behind: what has changed may concern each of them otherwise.
    pub fn call_behind(&self) {
        self.queue.call(|line| line.call_from(self.ticket.behind()));
    }

    /// Leaves the line. The next one looks: it may be given what this one did not take.
    pub fn leave(&mut self) {
        let mut line = self.queue.line();
        let was_called = line.called.remove(&self.ticket);
        if line.of(self.ticket).remove(&self.ticket).is_none() && !was_called {
            return;
        }
        // Called as one of many that were to look, it owes the call to those behind as well.
        let next_is_ahead =
            line.first_from(Ticket::default()).is_some_and(|first| first < self.ticket);
        let next = match self.ticket.is_upload {
            false => [line.call_from(Ticket::default()), None],
            // It may leave a place, room for a body or both, and each may be for another one.
            true => [line.call_whole(), line.call_upload()],
        };
        let behind = if was_called && next_is_ahead { line.call_from(self.ticket) } else { None };
        self.queue.count(&line);
        drop(line);
        next.into_iter().flatten().chain(behind).for_each(Waker::wake);
    }
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(waker) = this.queue.line().of(this.ticket).get_mut(&this.ticket) {
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
        let all = (0..count).map(|_| queue.join(Upload::Done, count).unwrap()).collect();
        (queue, all)
    }

    #[test]
    fn turns_come_in_order_and_are_passed_on() {
        let (queue, mut all) = line_of(4);
        assert!(queue.join(Upload::Done, 4).is_none());
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

    /// A line in which these stand in this order.
    fn line_as(uploads: &[Upload]) -> (Arc<Queue>, Vec<Waiting>) {
        let queue = Arc::new(Queue::default());
        let most = 2 * uploads.len();
        let all = uploads.iter().map(|upload| queue.join(*upload, most).unwrap()).collect();
        (queue, all)
    }

    const WHOLE: Upload = Upload::Done;
    const UPLOAD: Upload = Upload::ToCome;

    #[test]
    fn whose_body_has_come_goes_first() {
        let (queue, mut all) = line_as(&[UPLOAD, WHOLE, WHOLE]);
        assert!(all[1].is_first() && !all[0].is_first());
        queue.call_next();
        assert_eq!(turns(&mut all), [false, true, false]);
        all.remove(1).leave();
        assert_eq!(turns(&mut all), [false, true]);
        all.remove(1).leave();
        assert_eq!((turns(&mut all), queue.waiting()), (vec![true], 1));
    }

    #[test]
    fn one_whose_body_has_yet_to_come_is_passed_by_so_many_and_no_more() {
        let mut come = vec![UPLOAD];
        come.resize(PASSED_BY as usize + 3, WHOLE);
        let (queue, mut all) = line_as(&come);
        let mut passed = 0;
        queue.call_next();
        while !poll(&mut all[0]) {
            all.remove(1).leave();
            passed += 1;
        }
        assert_eq!((passed, all.len()), (PASSED_BY, 3));
    }

    #[test]
    fn whose_body_has_yet_to_come_keeps_nobody_from_a_place() {
        let (queue, mut all) = line_as(&[UPLOAD, UPLOAD]);
        assert!(!queue.would_be_overtaken(WHOLE) && queue.would_be_overtaken(UPLOAD));
        queue.call_next();
        assert!(queue.would_be_overtaken(WHOLE), "who was called is about to look");
        all.push(queue.join(WHOLE, 9).unwrap());
        assert_eq!(turns(&mut all), [true, false, false]);
        // There is a place, and no room for a body.
        all[0].again();
        assert_eq!(turns(&mut all), [false, false, true]);
        all.pop();
        assert_eq!(turns(&mut all), [true, false], "the place may be for it by now");
        all[0].again();
        assert!(!queue.would_be_overtaken(WHOLE));
    }

    #[test]
    fn room_for_a_body_is_for_one_that_has_a_body() {
        let (queue, mut all) = line_as(&[WHOLE, UPLOAD, UPLOAD]);
        queue.call_for(UPLOAD);
        assert_eq!(turns(&mut all), [false, true, false]);
        // It leaves a place or room, whoever it is for.
        all.remove(1).leave();
        assert_eq!(turns(&mut all), [true, true]);
    }

    #[test]
    fn whose_body_has_come_meanwhile_stands_where_it_would_have_stood() {
        let (queue, mut all) = line_as(&[WHOLE, UPLOAD, WHOLE, UPLOAD]);
        all[1].has_all();
        for _ in 0..2 {
            queue.call_next();
        }
        assert_eq!(turns(&mut all), [true, true, false, false]);
        assert!(!all[3].is_first() && queue.waiting() == 4);
        // Called while its body had yet to come.
        queue.call_upload();
        all[3].has_all();
        assert_eq!(turns(&mut all), [true, true, false, true]);
        drop(all);
        assert_eq!((queue.waiting(), queue.would_be_overtaken(WHOLE)), (0, false));
    }

    #[test]
    fn half_of_a_line_is_for_those_whose_bodies_have_come() {
        let queue = Arc::new(Queue::default());
        let join = |upload| queue.join(upload, 3);
        let mut all: Vec<_> =
            [UPLOAD, UPLOAD].into_iter().map(|upload| join(upload).unwrap()).collect();
        assert!(join(UPLOAD).is_none());
        all.push(join(WHOLE).unwrap());
        assert!(join(WHOLE).is_none());
        assert!(Arc::new(Queue::default()).join(UPLOAD, 1).is_some(), "of one place one is half");
    }

    #[test]
    fn an_empty_line_is_no_matter() {
        let queue = Queue::default();
        queue.call_next();
        assert_eq!(queue.waiting(), 0);
    }
}
