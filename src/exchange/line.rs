//! The wait for a place: a refusal that may pass in, a place or a refusal that stands out.
//!
//! A [`Line`] is what is waited for, and for how long; whoever keeps time awaits it.
//!
//! A request stands in the line of what is full: its service's, or its pool's, so that a pool whose
//! upstreams are stuck keeps nobody from another. It may have to stand in both, one after the
//! other; then it keeps its place in the order of each.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::phases::Admission;
use super::{Exchange, Incoming};
use crate::balance::{Queue, Waiting};
use crate::clock::{Draws, Moment};
use crate::http::admission::Upload;
use crate::http::answer::Answer;
use crate::http::failure::Cause;
use crate::route::{Facts, Found};
use crate::snapshot::{Asks, Mode, Refusal, Snapshot, Why};

/// How long after the end of a hold a request that nobody has called looks by itself: later than
/// those before it in the line, who are called at the end, and so not before them.
const GRACE: Duration = Duration::from_secs(1);

/// How long a line may be, and how long to wait in it.
struct Bounds {
    most: usize,
    left: Duration,
}

/// The lines in which a request stood; in the last of them it stands.
#[derive(Debug, Default)]
struct Lines {
    all: SmallVec<[Waiting; 2]>,
    /// The snapshot is another since it last looked.
    are_new: bool,
}

impl Lines {
    /// Stands in this line and no other; no if it is full.
    fn stand_in(&mut self, queue: &Arc<Queue>, upload: Upload, most: usize) -> bool {
        let known = self.all.iter().position(|line| line.is_in(queue));
        if !self.stands_in(queue) {
            self.all.last_mut().into_iter().for_each(Waiting::leave);
        }
        let line = match known {
            Some(at) => {
                let mut line = self.all.remove(at);
                line.again();
                Some(line)
            }
            None => queue.join(upload, most),
        };
        line.map(|line| self.all.push(line)).is_some()
    }

    fn stands_in(&self, queue: &Arc<Queue>) -> bool {
        self.all.last().is_some_and(|line| line.is_in(queue))
    }

    fn stands_first(&mut self) -> bool {
        self.all.last_mut().is_some_and(Waiting::is_first)
    }
}

/// A request that stands in line. Dropping it leaves the line.
#[derive(Debug)]
#[must_use]
pub struct Line<'e, 'r> {
    exchange: &'e mut Exchange,
    incoming: Incoming<'r>,
    refusal: Refusal,
    /// Those that it is decided by each time: a client without a cohort keeps its pool as long as
    /// the split stays.
    draws: Draws,
    lines: Lines,
    since: Moment,
    within: Duration,
    /// What its route says by the snapshot in force now, if it does not lead to a place any more.
    told: Option<Told>,
}

/// What a route says that does not lead to a place.
#[derive(Debug)]
enum Told {
    /// This is its answer.
    Answer(Box<Answer>),
    /// It asks for more than an address.
    Door(Found),
}

impl<'e, 'r> Line<'e, 'r> {
    /// Joins the line after this refusal; what becomes of the request if there is none, or its turn
    /// has come meanwhile.
    pub(super) fn join(
        exchange: &'e mut Exchange,
        incoming: Incoming<'r>,
        refusal: Refusal,
        draws: Draws,
    ) -> Admission<'e, 'r> {
        let since = exchange.now();
        exchange.has_waited = true;
        exchange.waits_since = Some(since);
        let (lines, within) = (Lines::default(), Duration::ZERO);
        let told = None;
        Box::new(Line { exchange, incoming, refusal, draws, lines, since, within, told }).stand()
    }

    /// How long to wait for its turn at most, from now.
    pub fn within(&self) -> Duration {
        match self.exchange.call_left() {
            Some(left) => left.min(self.within),
            None => self.within,
        }
    }

    /// Its turn.
    pub async fn turn(&mut self) {
        if let Some(line) = self.lines.all.last_mut() {
            line.await;
        }
    }

    /// Its body has come while it stands: it goes before those whose bodies have not, and is to look
    /// whether there is a place for it now.
    pub fn has_all(&mut self) {
        self.exchange.count_in();
        self.lines.all.iter_mut().for_each(Waiting::has_all);
    }

    /// Its turn has come: it sees the snapshot in force and is decided anew.
    pub fn called(mut self: Box<Self>) -> Admission<'e, 'r> {
        self.exchange.renew(&mut self.lines);
        match self.look() {
            Ok(()) => self.leave(Ok(())),
            Err(still) => {
                self.refusal = still;
                self.stand()
            }
        }
    }

    /// Its turn did not come in time.
    pub fn gave_up(mut self: Box<Self>) -> Admission<'e, 'r> {
        if self.exchange.call_left().is_some_and(|left| left.is_zero()) {
            let answer = self.exchange.answer(Cause::CallOver, &self.incoming.fields);
            self.told = Some(Told::Answer(Box::new(answer)));
            let refusal = self.refusal;
            return self.leave(Err(refusal));
        }
        if self.refusal.why == Why::Held {
            // The hold is over, and whoever was to call has not: it holds nobody all the same.
            return self.called();
        }
        let refusal = self.refusal;
        self.leave(Err(refusal))
    }

    fn stand(mut self: Box<Self>) -> Admission<'e, 'r> {
        match self.find_place() {
            Ok(Some(within)) => {
                self.within = within;
                Admission::Wait(self)
            }
            Ok(None) => self.leave(Ok(())),
            Err(refusal) => self.leave(Err(refusal)),
        }
    }

    /// Stands in the line that it was refused for, and looks whether there is a place already; how
    /// long it may wait if not.
    fn find_place(&mut self) -> Result<Option<Duration>, Refusal> {
        loop {
            let refusal = self.refusal;
            let (queue, most) = self.exchange.line(&refusal).ok_or(refusal)?;
            if !self.lines.stand_in(&queue, self.exchange.upload, most) {
                self.exchange.count_turned_away(&refusal);
                return Err(refusal);
            }
            // Whoever made room or changed the rules before it stood there has called nobody, so
            // it looks again before it waits.
            self.exchange.renew(&mut self.lines);
            if self.lines.are_new || self.lines.stands_first() {
                match self.look() {
                    Ok(()) => return Ok(None),
                    Err(still) => self.refusal = still,
                }
                if !self.exchange.is_in(&self.refusal, &self.lines) {
                    continue;
                }
            }
            let Bounds { left, .. } = self.exchange.bounds(&self.refusal).ok_or(self.refusal)?;
            return Ok(Some(left));
        }
    }

    fn look(&mut self) -> Result<(), Refusal> {
        let Line { exchange, incoming, refusal, draws, lines, told, .. } = self;
        if lines.are_new && !exchange.snapshot.acts() {
            incoming.note_route(None, &exchange.snapshot);
        } else if lines.are_new {
            // Its route may be another now, or do something else.
            if let Err(instead) = exchange.act_anew(incoming) {
                *told = Some(instead);
                return Err(Refusal::NO_ROUTE);
            }
        }
        exchange.look(&incoming.facts(), lines, draws, *refusal)
    }

    fn leave(self: Box<Self>, placed: Result<(), Refusal>) -> Admission<'e, 'r> {
        let Line { exchange, incoming, lines, since, told, .. } = *self;
        // Leaving the line passes the turn on, or lets the next one look.
        drop(lines);
        exchange.waits_since = None;
        exchange.waited = exchange.now().elapsed_since(since);
        match told {
            Some(Told::Answer(answer)) => Admission::Answer(answer),
            Some(Told::Door(found)) => exchange.come_to_door(incoming, found),
            None => exchange.settle(placed, &incoming),
        }
    }
}

impl Exchange {
    /// Asks for a decision and a place once more.
    fn look(
        &mut self,
        facts: &Facts<'_>,
        lines: &mut Lines,
        draws: &Draws,
        before: Refusal,
    ) -> Result<(), Refusal> {
        if before.why == Why::Held {
            // Its time for a place and for attempts begins when the hold is over.
            self.let_in = self.now();
        }
        self.draws = draws.clone();
        let (tries, upload) = (self.tries, self.upload);
        let asks = Asks { lines: &lines.all, tries, upload, ..Asks::default() };
        let placed = self.place(facts, asks);
        let are_new = std::mem::take(&mut lines.are_new);
        if let Err(still) = placed
            && are_new
            && self.is_in(&still, lines)
        {
            // What is still full for this one may not be what those behind want now.
            lines.all.last().into_iter().for_each(Waiting::call_behind);
        }
        placed
    }

    /// Does what the route of a request says by the snapshot in force now, by which it may have another.
    fn act_anew(&mut self, incoming: &mut Incoming<'_>) -> Result<(), Told> {
        let found = self.act(incoming).map_err(Told::Answer)?;
        if let Some(found) = found {
            if self.is_at_door(&found) {
                return Err(Told::Door(found));
            }
            self.act_on(incoming, &found).map_err(Told::Answer)?;
        }
        incoming.note_route(found, &self.snapshot);
        Ok(())
    }

    /// Takes the snapshot in force, if it is another.
    fn renew(&mut self, lines: &mut Lines) {
        let now = self.published.load();
        if Arc::ptr_eq(&now, &self.snapshot) {
            return;
        }
        // Nothing is kept of the one before: what was at a place there may be gone here.
        self.snapshot = now;
        (self.acting, self.body_limit) = (None, u64::MAX);
        (self.pool, self.hold) = (None, None);
        (self.noted.route, self.noted.route_place) = (None, None);
        lines.all.drain(..lines.all.len().saturating_sub(1));
        lines.are_new = true;
    }

    /// The line to stand in after this refusal, and how long it may be; none if waiting is no use.
    fn line(&self, refusal: &Refusal) -> Option<(Arc<Queue>, usize)> {
        let Bounds { most, .. } = self.bounds(refusal)?;
        Some((self.queue(refusal)?.clone(), most))
    }

    fn queue(&self, refusal: &Refusal) -> Option<&Arc<Queue>> {
        queue_of(&self.snapshot, refusal)
    }

    fn is_in(&self, refusal: &Refusal, lines: &Lines) -> bool {
        self.queue(refusal).is_some_and(|queue| lines.stands_in(queue))
    }

    fn bounds(&self, refusal: &Refusal) -> Option<Bounds> {
        // Nobody would ever let it in.
        if refusal.why == Why::Held && self.published.lets_go() {
            return None;
        }
        let now = self.now();
        bounds_of(&self.snapshot, refusal, now, now.elapsed_since(self.let_in))
    }

    fn count_turned_away(&self, refusal: &Refusal) {
        let Some((service, _)) = refusal.at else { return };
        let state = &self.snapshot.services[service].state;
        state.turned_away.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Whether a request that is refused now waits for that to pass.
pub(super) fn may_wait(
    snapshot: &Snapshot,
    refusal: &Refusal,
    upload: Upload,
    now: Moment,
) -> bool {
    bounds_of(snapshot, refusal, now, Duration::ZERO)
        .zip(queue_of(snapshot, refusal))
        .is_some_and(|(Bounds { most, .. }, queue)| queue.has_room(upload, most))
}

/// The line of what a request was refused for.
fn queue_of<'s>(snapshot: &'s Snapshot, refusal: &Refusal) -> Option<&'s Arc<Queue>> {
    let (service, pool) = refusal.at?;
    let service = &snapshot.services[service];
    match refusal.why {
        Why::Full | Why::Held => Some(&service.state.queue),
        Why::PoolFull => Some(&service.pools[pool].state.queue),
        _ => None,
    }
}

/// How long that may be, and how long one who has waited so long may stay there; none if waiting is no use.
fn bounds_of(
    snapshot: &Snapshot,
    refusal: &Refusal,
    now: Moment,
    waited: Duration,
) -> Option<Bounds> {
    if !refusal.why.may_pass() {
        return None;
    }
    let service = &snapshot.services[refusal.at?.0];
    match (refusal.why, &service.mode) {
        (Why::Held, Mode::Hold { most, until }) => {
            Some(Bounds { most: *most, left: until.elapsed_since(now) + GRACE })
        }
        _ => {
            let limits = &service.stability.limits;
            let left = limits.queue_timeout.saturating_sub(waited);
            (limits.queue > 0 && !left.is_zero()).then_some(Bounds { most: limits.queue, left })
        }
    }
}

impl Why {
    /// Whether waiting may help.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Why::Full | Why::PoolFull | Why::Held)
    }
}

#[cfg(test)]
mod tests;
