//! What is said when nobody can be asked: a refusal in; the stable pool for a canary's request, the
//! last good response, another pool, the service's static answer or a plain refusal out, in this
//! order. And what is kept for that time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method};

use smallvec::SmallVec;

use super::{Exchange, Incoming, edit_origin};
use crate::clock::Moment;
use crate::fallback::{Asked, Received, Recording, StaleResponse, StaticAnswer, Step};
use crate::http::answer::Answer;
use crate::http::edits::{Edits, Text};
use crate::http::failure::Cause;
use crate::http::fields::{FieldId, Fields};
use crate::http::response::FALLBACK_MARK;
use crate::http::view::View;
use crate::route::Facts;
use crate::snapshot::{Asks, By, Choice, Mode, Named, Refusal, Service, Why};

/// What is kept of a request and its response, where the service keeps responses.
#[derive(Debug, Default)]
pub(super) struct Kept {
    asked: Option<Box<Request>>,
    recording: Option<Recording>,
}

/// A request as it is sent on.
#[derive(Debug)]
struct Request {
    method: Method,
    host: String,
    target: String,
    rewritten: Option<Arc<str>>,
    headers: HeaderMap,
}

impl Request {
    /// As the answers kept of this pool are asked for it.
    fn of<'a>(&'a self, pool: &'a str, began: Moment) -> Asked<'a> {
        let Request { method, host, target, rewritten, headers } = self;
        Asked { method, host, target, rewritten: rewritten.as_deref(), headers, pool, began }
    }
}

/// What became of a request that its own pool could not take.
enum Elsewhere {
    /// Another pool is asked.
    Asked,
    /// This is its answer.
    Answer(Box<Answer>),
}

impl Exchange {
    /// The answer to a request that was refused; none if another pool takes it.
    pub(super) fn fall_back(
        &mut self,
        incoming: &Incoming<'_>,
        refusal: Refusal,
    ) -> Option<Answer> {
        let facts = &incoming.facts();
        let Some(at) = refusal.at else {
            return Some(self.answer(refusal.why.into(), &facts.fields));
        };
        let snapshot = self.snapshot.clone();
        let service = &snapshot.services[at.0];
        if matches!(refusal.why, Why::NoUpstream | Why::Open) {
            // Who asks why is told of each of them what keeps it out, or that only the pool's breaker does.
            let now = self.now();
            self.noted.pass_over(at.1, snapshot.not_taken(&Err(refusal), &[], now));
        }
        match refusal.why {
            Why::NoUpstream | Why::Open => {
                if let Some(elsewhere) = self.elsewhere(incoming, at, refusal) {
                    self.count_refusal(facts, at);
                    return match elsewhere {
                        Elsewhere::Asked => None,
                        Elsewhere::Answer(answer) => Some(*answer),
                    };
                }
                // A doubtful upstream is better than a certain refusal.
                let asks = Asks { doubtful: true, upload: self.upload, ..Asks::default() };
                let is_asked =
                    service.stability.fallback.is_any() && self.place(facts, asks).is_ok();
                if is_asked {
                    return None;
                }
                self.count_refusal(facts, at);
            }
            Why::Full | Why::PoolFull => drop(service.state.shed.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        if matches!(refusal.why, Why::Held | Why::Maintenance | Why::NoPool) {
            // Nothing that its pool did.
            (self.pool, self.closed) = (None, Some(at.0));
            self.noted.by = None;
        }
        let answer = self.answer(refusal.why.into(), &facts.fields);
        Some(match (&service.mode, refusal.why) {
            (Mode::Maintenance { message: Some(message) }, Why::Maintenance) => {
                self.answer_with(Cause::Maintenance, message, &facts.fields)
            }
            (_, Why::NoPool) if service.tester(facts).is_known => {
                let names: Vec<&str> = service.pools.iter().map(|pool| &*pool.name).collect();
                let detail = format!("no pool is named so; known are {}", names.join(", "));
                self.answer_with(Cause::NoPool, &detail, &facts.fields)
            }
            (_, Why::Open) => answer.retry_after(service.pools[at.1].trial_in(self.now())),
            _ => answer,
        })
    }

    /// What another pool or nobody at all has for a request whose own pool cannot be asked.
    fn elsewhere(
        &mut self,
        incoming: &Incoming<'_>,
        at: (usize, usize),
        refusal: Refusal,
    ) -> Option<Elsewhere> {
        let from = refusal.unmade(incoming.head.method, self.upload)?;
        let snapshot = self.snapshot.clone();
        let service = &snapshot.services[at.0];
        let fallbacks = &service.state.fallbacks;
        if self.ask_stable(from, &incoming.facts()) {
            return Some(Elsewhere::Asked);
        }
        if let Some(answer) = self.find_kept(incoming, at) {
            fallbacks.stale.fetch_add(1, Ordering::Relaxed);
            return Some(Elsewhere::Answer(Box::new(self.dress(answer))));
        }
        if self.ask_stand_in(from) {
            fallbacks.pool.fetch_add(1, Ordering::Relaxed);
            return Some(Elsewhere::Asked);
        }
        let answer = service.stability.fallback.answer.as_ref()?;
        fallbacks.answer.fetch_add(1, Ordering::Relaxed);
        self.cause = Some(refusal.why.into());
        let answer = self.dress(fixed(answer, self.request_id()));
        Some(Elsewhere::Answer(Box::new(answer)))
    }

    /// What who asks while nobody is well gets all the same, if the attempt under way is a trial: that
    /// it tried costs its user nothing. Another pool that stands in has been asked before.
    pub(super) fn instead_of_trial(&self) -> Option<(Step, Answer)> {
        let decision = self.decision.filter(|decision| decision.by != By::OptIn)?;
        self.asking.as_ref().filter(|asking| asking.seat.is_trial())?;
        let service = &self.snapshot.services[decision.service];
        let kept_for = service.stale.as_ref().zip(self.kept.asked.as_deref());
        let mut pools = may_serve(service, decision.pool);
        let found =
            kept_for.filter(|(_, asked)| is_kept(&asked.method)).and_then(|(store, asked)| {
                let now = self.now();
                pools.find_map(|pool| {
                    store.find(&asked.of(&service.pools[pool].name, self.started), now)
                })
            });
        if let Some(found) = found {
            return Some((Step::Stale, self.dress(kept(found, self.request_id()))));
        }
        let answer = service.stability.fallback.answer.as_ref()?;
        Some((Step::Answer, self.dress(fixed(answer, self.request_id()))))
    }

    /// What the client is told when the last attempt came to nothing.
    pub fn give_up(&mut self, cause: Cause, request: &Fields<'_>) -> Answer {
        let Some((decision, instead)) = self.decision.zip(self.instead.take()) else {
            return self.answer(cause, request);
        };
        let (step, answer) = *instead;
        let fallbacks = &self.snapshot.services[decision.service].state.fallbacks;
        match step {
            Step::Stale => &fallbacks.stale,
            Step::Pool => &fallbacks.pool,
            Step::Answer => &fallbacks.answer,
        }
        .fetch_add(1, Ordering::Relaxed);
        // Before its cause is that of the answer.
        self.end_attempt(self.now());
        self.cause = (step == Step::Answer).then_some(cause);
        answer
    }

    /// Nobody of its pool could be asked for a request: as bad as an attempt that failed.
    fn count_refusal(&mut self, facts: &Facts<'_>, at: (usize, usize)) {
        let service = &self.snapshot.services[at.0];
        let state = &service.pools[at.1].state;
        state.attempts.count(true);
        state.refused.fetch_add(1, Ordering::Relaxed);
        if service.named(facts) == Named::Nobody {
            self.noted.refused_by = Some(at.1);
        }
    }

    /// Whether the stable pool takes what its canary cannot.
    fn ask_stable(&mut self, from: Choice, facts: &Facts<'_>) -> bool {
        let now = self.now();
        let chosen = self.snapshot.choose_shield(from, facts, now, &mut self.draws);
        let is_placed = chosen.is_some_and(|chosen| self.sit_down(chosen, now).is_ok());
        // It stays the canary's request, as when an attempt there has failed.
        self.pool = Some((from.service, from.pool));
        if is_placed {
            self.note_shielded();
        }
        is_placed
    }

    fn ask_stand_in(&mut self, from: Choice) -> bool {
        let now = self.now();
        let chosen = self.snapshot.choose_stand_in(from, now, &mut self.draws);
        chosen.is_some_and(|chosen| self.sit_down(chosen, now).is_ok())
    }

    fn find_kept(&mut self, incoming: &Incoming<'_>, at: (usize, usize)) -> Option<Answer> {
        let snapshot = self.snapshot.clone();
        let service = &snapshot.services[at.0];
        let store = service.stale.clone()?;
        if !is_kept(incoming.head.method) {
            return None;
        }
        // It would be sent on so, if there were somebody to send it to.
        let mut edits = self.edits.clone();
        let trusted = &snapshot.config.server.trusted_proxies;
        edit_origin(incoming, trusted, &mut edits);
        self.edit_by_route(incoming, &mut edits);
        let headers = sent(incoming, &edits, self.request_id());
        let rewritten = self.target();
        let of = |pool: usize| Asked {
            method: incoming.head.method,
            host: &incoming.host,
            target: incoming.head.target.path_and_query,
            rewritten: rewritten.as_deref(),
            headers: &headers,
            pool: &service.pools[pool].name,
            began: self.started,
        };
        let now = self.now();
        let found = may_serve(service, at.1).find_map(|pool| store.find(&of(pool), now))?;
        Some(kept(found, self.request_id()))
    }

    /// The mark of a response that does not come from the pool it should come from.
    pub fn mark(&self) -> Option<HeaderValue> {
        let stands_in = self.decision.is_some_and(|decision| decision.by == By::StandIn);
        stands_in.then(|| Step::Pool.mark())
    }

    /// Remembers the request where its response may be worth keeping, or may end what is kept.
    pub(super) fn prepare_to_keep(&mut self, incoming: &Incoming<'_>) {
        let Some(decision) = self.decision else { return };
        let service = &self.snapshot.services[decision.service];
        // As in `begin_to_keep`, where another attempt may have led to a stand-in.
        if service.stale.is_none() || decision.by == By::StandIn {
            return;
        }
        let Incoming { head, host, fields, .. } = incoming;
        // What testers and those with a flag on see is not for everybody. But whoever changes something
        // changes it for all.
        let is_personal = !self.is_for_everybody
            || self.acting.as_ref().is_some_and(|acting| acting.is_guarded())
            || decision.by == By::OptIn
            || self.nominates
            || service.tells_apart(fields.view);
        let is_safe = head.method.is_safe();
        if is_safe && is_personal {
            return;
        }
        self.kept.asked = Some(Box::new(Request {
            method: head.method.clone(),
            host: host.to_string(),
            target: head.target.path_and_query.to_string(),
            rewritten: self.target(),
            // What a change was asked for with is nothing to its end.
            headers: match is_safe {
                true => sent(incoming, &self.edits, self.request_id()),
                false => HeaderMap::new(),
            },
        }));
    }

    /// Hears the head of the response that goes to the client.
    pub(super) fn begin_to_keep(&mut self, status: u16, view: View<'_>, now: Moment) {
        let Some(asked) = self.kept.asked.as_deref() else { return };
        let Some(decision) = self.decision else { return };
        // What a stand-in says or takes is nothing that its pool would have said.
        if decision.by == By::StandIn {
            return;
        }
        let service = &self.snapshot.services[decision.service];
        let Some(store) = &service.stale else { return };
        let (headers, wall) = (view.as_map(), (self.clock.wall)());
        let received = Received { status, headers: &headers, now, wall };
        let asked = asked.of(&service.pools[decision.pool].name, self.started);
        // What may not be kept is none of the request's business.
        self.kept.recording = store.offer(&asked, &received).ok().flatten();
    }

    /// A piece of the response's body, and its end.
    pub(super) fn note_body(&mut self, piece: Option<&[u8]>, is_end: bool) {
        if let Some(piece) = piece {
            self.noted.to_client += piece.len() as u64;
            if let Some(asking) = &mut self.asking {
                asking.from_upstream += piece.len() as u64;
            }
            self.compare_piece(piece);
        }
        let Some(recording) = &mut self.kept.recording else { return };
        if let Some(piece) = piece {
            recording.push(piece);
        }
        if is_end {
            self.kept.recording.take().into_iter().for_each(Recording::complete);
        }
    }
}

/// Whether answers to this method are kept.
fn is_kept(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The pools whose kept answers may be given for a request of this one: what the stable pool has said
/// serves where it would have answered itself.
fn may_serve(service: &Service, pool: usize) -> impl Iterator<Item = usize> + use<> {
    let is_shielded = service.stability.retries.shield && service.is_canary(pool);
    let shield = Some(service.stable).filter(|_| is_shielded);
    [Some(pool), shield].into_iter().flatten()
}

/// The fields of a request as they are sent on with these edits.
fn sent(incoming: &Incoming<'_>, edits: &Edits, id: &HeaderValue) -> HeaderMap {
    let Incoming { head, peer, fields, .. } = incoming;
    edits.applied(head.view, |text| match text {
        Text::Peer => peer.field.clone(),
        Text::Scheme => Some(peer.scheme.clone()),
        Text::Host => HeaderValue::from_bytes(fields.first(FieldId::Host)?).ok(),
        Text::RequestId => Some(id.clone()),
        Text::Trace(trace) => HeaderValue::from_bytes(trace).ok(),
        Text::Own(value) => Some(value.clone()),
    })
}

/// A service's own answer for a time when nobody can be asked.
fn fixed(answer: &StaticAnswer, request_id: &HeaderValue) -> Answer {
    let mut fields: SmallVec<[_; 4]> = answer.headers.iter().cloned().collect();
    let mut add = |name: &HeaderName, value: HeaderValue| {
        if !fields.iter().any(|(known, _)| known == name) {
            fields.push((name.clone(), value));
        }
    };
    add(&CACHE_CONTROL, HeaderValue::from_static("no-store"));
    add(&FALLBACK_MARK, Step::Answer.mark());
    add(FieldId::RequestId.name(), request_id.clone());
    if answer.status == 503 {
        add(&RETRY_AFTER, HeaderValue::from_static("1"));
    }
    // The rim has read the file; an answer without content is all there is otherwise.
    let body = answer.body.text().cloned().unwrap_or_default();
    Answer { status: answer.status, fields, body, ..Answer::nothing(request_id) }
}

/// A response kept from before; it says so itself.
fn kept(kept: StaleResponse, request_id: &HeaderValue) -> Answer {
    let mut fields: SmallVec<[_; 4]> = kept.headers.into_iter().collect();
    fields.push((FieldId::RequestId.name().clone(), request_id.clone()));
    Answer { status: kept.status, fields, body: kept.body, ..Answer::nothing(request_id) }
}
