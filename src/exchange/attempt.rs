//! What happens on upstreams: a place taken, an answer heard or a failure, and what that says of
//! the upstream. `again.rs` has what is done about a failure.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Exchange;
use super::again::Doubt;
use super::phases::{Delivery, Heard, Link};
use crate::balance::offering;
use crate::clock::Moment;
use crate::config::Timeouts;
use crate::http::admission::Upload;
use crate::http::failure::Cause;
use crate::http::forwarded::Peer;
use crate::http::grpc::GrpcStatus;
use crate::http::streaming::{Body, BodyKind};
use crate::http::upgrade;
use crate::http::view::View;
use crate::record::Attempt as Tried;
use crate::route::Facts;
use crate::snapshot::{
    Asks, Choice, Chosen, Committed, Ended, Pool, Refusal, Seat, Service, ServiceHold, Why,
    client_key,
};
use crate::upstream::{DialAddress, Outcome, StatusClass, Trouble, Upstream};

/// Waits shorter than this are nobody's failure, however short the settings are.
const SHORTEST_LONG: Duration = Duration::from_secs(1);

/// One upstream being asked.
#[derive(Debug)]
pub(super) struct Asking {
    /// Its part in the request's trace; 0 while no traces are kept.
    pub(super) span: u64,
    pub(super) seat: Seat,
    pub(super) target: DialAddress,
    /// With the end of its pause.
    started: Moment,
    /// When it had a connection, and which.
    pub(super) connected: Option<(Moment, Link)>,
    /// Since when the upstream is waited for; none while the request's body comes in.
    asked: Option<Moment>,
    /// Whether the request's body has yet to come; none before its head has gone out.
    pub(super) upload: Option<Upload>,
    /// When the response's head came.
    answered: Option<Moment>,
    outcome: Option<Outcome>,
    /// That of the response's head.
    pub(super) status: Option<u16>,
    /// What kind of body its answer has.
    pub(super) kind: BodyKind,
    /// Whether its answer has said how long it is.
    has_length: bool,
    /// How its call went, if it is one of gRPC's and has told.
    grpc: Option<GrpcStatus>,
    /// Whether only the trailers will tell.
    awaits_trailers: bool,
    /// What its answer's head said to a rollout's ledger: a bit for each metric.
    metrics: u8,
    /// Bytes of the request's body that were sent.
    to_upstream: u64,
    /// Bytes of the answer's body that came.
    pub(super) from_upstream: u64,
    /// Before it begins.
    pub(super) pause: Duration,
    /// How long the response's head may take.
    within: Duration,
    /// How long the connection may take.
    connect: Duration,
    /// Whether the upstream could not be reached.
    was_refused: bool,
    /// Whether the connection to it failed or broke.
    pub(super) was_broken: bool,
}

impl Asking {
    pub fn upstream(&self) -> &Upstream {
        self.seat.in_flight.upstream()
    }

    /// When it began.
    pub fn began(&self) -> Moment {
        self.started
    }

    /// As its request's record has it, which is over now.
    fn noted(&self, at: &Choice, cause: Option<Cause>, now: Moment) -> Tried {
        let has_failed = !matches!(self.outcome, Some(Outcome::Status(_)));
        Tried {
            span: self.span,
            pool: at.pool,
            member: at.member,
            chosen: self.started - self.pause,
            began: self.started,
            connected: self.connected.map(|(at, _)| at),
            is_reused: self.connected.is_some_and(|(_, link)| link == Link::Kept),
            // Without a body it goes out as soon as there is a connection.
            sent: self.connected.zip(self.asked).map(|((at, _), asked)| asked.max(at)),
            head: self.answered,
            done: now,
            status: self.status,
            cause: cause.filter(|_| has_failed),
            outcome: self.outcome.unwrap_or(Outcome::ClientGone),
            held: Outcome::ClientGone,
            grpc: self.grpc,
            metrics: self.metrics,
            is_withheld: false,
            is_judged: false,
            to_upstream: self.to_upstream,
            from_upstream: self.from_upstream,
        }
    }

    /// How long its upstream was waited for: from when all of the request was on its way until the
    /// head of its answer, or until now if there was none. None if the head came first, but that of a
    /// stream: there it is usual that both sides go on talking.
    fn waited(&self, now: Moment) -> Option<Duration> {
        let until = self.answered.unwrap_or(now);
        let since = match self.asked.filter(|asked| *asked <= until) {
            None if self.kind != BodyKind::Whole => Some(self.started),
            since => since,
        };
        since.map(|since| until.elapsed_since(since))
    }

    /// Until the head of its answer, or until now if there was none.
    fn took(&self, now: Moment) -> Duration {
        self.answered.unwrap_or(now).elapsed_since(self.started)
    }

    /// The status that it is judged by.
    pub(super) fn judged(&self) -> Option<u16> {
        self.status.map(|status| self.grpc.map_or(status, GrpcStatus::http_status))
    }
}

impl Exchange {
    /// Decides where the request goes and takes a place there.
    pub(super) fn place(&mut self, facts: &Facts<'_>, asks: Asks<'_>) -> Result<(), Refusal> {
        let is_later = self.has_waited || asks.doubtful;
        // Whom its pool refused belongs to it all the same: a client without a cohort is drawn as before.
        match asks.doubtful {
            true => self.draws = self.first_draws.clone(),
            false => self.first_draws = self.draws.clone(),
        }
        let now = if is_later { self.now() } else { self.started };
        let chosen = self.snapshot.choose(facts, asks, now, &mut self.draws);
        if let Err(refusal) = &chosen {
            // Places are those of this snapshot; one from an earlier look may not be there any more.
            self.pool = refusal.at;
        }
        let placed = self.sit_down(chosen, now);
        if let Err(Refusal { at: Some(_), by, route, route_place, .. }) = placed {
            self.noted.by = by;
            (self.noted.route, self.noted.route_place) = (Some(route), Some(route_place));
        }
        placed?;
        if let Some(choice) = &self.decision {
            self.note_arrival(choice);
        }
        Ok(())
    }

    /// The pool that is asked.
    pub(super) fn pool_asked(&self) -> Option<&Pool> {
        let choice = self.decision.as_ref()?;
        Some(&self.snapshot.services[choice.service].pools[choice.pool])
    }

    /// Takes the places that a choice needs: one of the service, one of the upstream.
    pub(super) fn sit_down(&mut self, chosen: Chosen, now: Moment) -> Result<(), Refusal> {
        let snapshot = self.snapshot.clone();
        if let Ok(choice) = &chosen {
            let at = (choice.service, choice.pool);
            self.pool = Some(at);
            if self.hold.is_none() {
                let service = &snapshot.services[choice.service];
                let limits = &service.stability.limits;
                // Told apart where it matters only: to settle is not free.
                let upload = if limits.are_any() { self.upload } else { Upload::Done };
                let hold = service.state.take(upload, limits.of_service());
                self.hold = Some(hold.ok_or_else(|| choice.refused(Why::Full))?);
            }
        }
        let committed = snapshot.commit(chosen, &[], now, &mut self.draws)?;
        let choice = committed.choice;
        self.noted.by = Some(choice.by);
        self.noted.route = Some(choice.route);
        self.noted.route_place = Some(choice.route_place);
        self.noted.user = choice.user;
        self.noted.stratum = choice.stratum;
        self.asking = Some(self.seat(committed, Duration::ZERO, self.attempts, now));
        self.tried.push(choice.member);
        self.attempts += 1;
        self.decision = Some(choice);
        snapshot.services[choice.service].state.budget.on_request(now);
        Ok(())
    }

    /// An attempt that begins after this pause, and after so many others.
    pub(super) fn seat(
        &self,
        at: Committed,
        pause: Duration,
        attempts: u32,
        now: Moment,
    ) -> Asking {
        let service = &self.snapshot.services[at.choice.service];
        let stability = &service.stability;
        let started = now + pause;
        let Timeouts { response: mut within, mut connect, stream_idle, .. } = self.waits(service);
        if self.call.is_some() && stability.retries.per_try.is_none() {
            // Its client says how long it waits, perhaps for something that does not happen soon.
            within = within.max(stream_idle);
        }
        if attempts > 0 {
            // The time for attempts decides how long to go on trying, not how long an answer may take.
            let spent = started.elapsed_since(self.let_in);
            within = within.min(stability.retries.total.saturating_sub(spent));
        }
        if at.seat.is_trial() {
            // So that there is time to make it good if it hangs.
            within = within.min(stability.retries.total / 2);
        }
        if let Some(since) = self.offered_since {
            let spent = started.elapsed_since(since);
            connect = connect.min(offering(connect).saturating_sub(spent));
        }
        Asking {
            span: 0,
            seat: at.seat,
            target: at.target,
            started,
            connected: None,
            asked: Some(started),
            upload: None,
            answered: None,
            outcome: None,
            status: None,
            kind: BodyKind::Whole,
            has_length: false,
            grpc: None,
            awaits_trailers: false,
            metrics: 0,
            to_upstream: 0,
            from_upstream: 0,
            pause,
            within,
            connect,
            was_refused: false,
            was_broken: false,
        }
    }

    /// Connections that say whom they are for are one client's.
    pub(super) fn speak_for_client(
        &mut self,
        peer: &Peer,
        own_end: impl FnOnce() -> Option<SocketAddr>,
    ) {
        let Some(asking) = &mut self.asking else { return };
        let spoken = asking.target.speaking_for(self.noted.client, &peer.ends, own_end);
        if let Some(target) = spoken {
            asking.target = target;
        }
    }

    /// Who is asked.
    pub(super) fn asking(&self) -> &Asking {
        self.asking.as_ref().expect("who has been admitted has a place until the request ends")
    }

    /// The bounds of the service being asked; the defaults before one is known. The response's is
    /// that of the attempt under way.
    pub(super) fn timeouts(&self) -> Timeouts {
        let service = self.decision.map(|decision| &self.snapshot.services[decision.service]);
        let mut timeouts = service.map_or_else(Timeouts::default, |service| service.timeouts);
        if let Some(acting) = &self.acting {
            timeouts = acting.timeouts(timeouts);
        }
        if let Some(asking) = &self.asking {
            timeouts.response = asking.within;
            timeouts.connect = asking.connect;
        }
        timeouts
    }

    /// How long a connection that it has used may wait for the next request.
    pub(super) fn pool_idle(&self) -> Duration {
        self.decision.map_or_else(
            || Timeouts::default().pool_idle,
            |decision| self.snapshot.services[decision.service].timeouts.pool_idle,
        )
    }

    /// The head of the request has gone out. While its body has yet to come, it is the client that
    /// is waited for.
    pub(super) fn note_upload(&mut self, upload: Upload) {
        let Some(asking) = &mut self.asking else { return };
        asking.upload = Some(upload);
        match upload {
            Upload::ToCome => asking.asked = None,
            Upload::Done => self.count_in(),
        }
    }

    /// Its body has come as a whole, or the head of its answer before that: from now on it counts
    /// towards limits.
    pub(super) fn count_in(&mut self) {
        if self.upload == Upload::Done {
            return;
        }
        self.upload = Upload::Done;
        self.hold.iter_mut().for_each(ServiceHold::settle);
        self.asking.iter_mut().for_each(|asking| asking.seat.settle());
    }

    /// The connection it goes out on.
    pub(super) fn note_link(&mut self, link: Link, now: Instant) {
        let now = self.snapshot.moment(now);
        if let Some(asking) = &mut self.asking {
            asking.connected = Some((now, link));
            asking.upstream().connections.count(link == Link::Kept);
        }
    }

    /// A piece of the request's body. With its end all of it is on its way: from now on the upstream
    /// is waited for.
    pub(super) fn note_request_body(&mut self, piece: Option<&[u8]>, is_end: bool) {
        self.copy_body(piece, is_end);
        let Some(asking) = &mut self.asking else { return };
        asking.to_upstream += piece.map_or(0, |piece| piece.len() as u64);
        // Another attempt is sent again what had come before.
        self.noted.from_client = self.noted.from_client.max(asking.to_upstream);
        if is_end {
            asking.upload = Some(Upload::Done);
            asking.asked.get_or_insert_with(|| self.snapshot.moment(self.clock.now()));
            self.count_in();
        }
    }

    /// A head of the upstream's: one that may not be passed on, or is better asked for again
    /// elsewhere, is told from one that goes to the client.
    pub(super) fn hear_head(&mut self, status: u16, view: View<'_>, delivery: Delivery) -> Heard {
        if status == 101 && !(self.asks_websocket && upgrade::is_made(view)) {
            // A switch nobody asked for would open a tunnel past every rule.
            return Heard::Unfit;
        }
        if status != 101 && status < 200 {
            return Heard::Interim;
        }
        let now = self.now();
        let Body { kind, has_length } = Body::of(view);
        let metrics = self.read_metrics(view);
        if let Some(asking) = &mut self.asking {
            asking.metrics = metrics;
            asking.status = Some(status);
            asking.kind = kind;
            asking.has_length = has_length;
            if kind == BodyKind::Grpc {
                asking.grpc = GrpcStatus::read(view);
                asking.awaits_trailers = status == 200 && asking.grpc.is_none();
            }
            asking.outcome = asking.judged().map(StatusClass::of).map(Outcome::Status);
            asking.answered = Some(now);
        }
        let doubt = self.doubt(status);
        if doubt != Doubt::None {
            if self.try_again(delivery, doubt, now) {
                return Heard::Again;
            }
            if self.instead.is_some() {
                return Heard::Withheld;
            }
        }
        if kind != BodyKind::Whole {
            self.answered = Some(now);
        }
        self.note_answer(now);
        self.begin_to_keep(status, view, now);
        self.begin_to_compare(status, view);
        self.note_response_fields(view);
        Heard::Final
    }

    /// Keeps what the access log tells of an answer.
    fn note_response_fields(&mut self, view: View<'_>) {
        let log = self.snapshot.config.server.access_log.as_ref();
        let Some(log) = log.filter(|log| !log.response_fields.is_empty()) else { return };
        let told = log.response_fields.iter().filter_map(|name| {
            let value = view.first(name)?;
            Some((name.clone(), value.to_vec()))
        });
        self.noted.response_fields = told.collect();
    }

    /// That an upstream is not frozen is known with the head, and how a breaker's trial went unless
    /// the trailers tell: a long answer is no reason to try nobody else.
    fn note_answer(&mut self, now: Moment) {
        self.count_in();
        let (Some(decision), Some(asking)) = (self.decision, &self.asking) else { return };
        if asking.status.is_some_and(|status| status < 500) {
            asking.upstream().note_answer(now);
        }
        if !asking.awaits_trailers {
            self.settle_trial(decision, now);
        }
    }

    fn settle_trial(&mut self, decision: Choice, now: Moment) {
        let Some(asking) = &mut self.asking else { return };
        let service = &self.snapshot.services[decision.service];
        let pool = &service.pools[decision.pool];
        let failed = asking.judged().is_some_and(|status| status >= 500);
        let waited = asking.waited(now);
        let (seat, stability) = (&mut asking.seat, &service.stability);
        pool.settle_trial(seat, failed, waited, stability, now, &mut self.draws);
    }

    /// What comes behind a body. A gRPC call that ends without a status went nobody knows how.
    pub(super) fn hear_trailers(&mut self, view: View<'_>) {
        let Some(asking) = self.asking.as_mut().filter(|asking| asking.awaits_trailers) else {
            return;
        };
        asking.awaits_trailers = false;
        asking.grpc = Some(GrpcStatus::read(view).unwrap_or(GrpcStatus::UNKNOWN));
        if asking.outcome != Some(Outcome::Failed) {
            asking.outcome = asking.judged().map(StatusClass::of).map(Outcome::Status);
        }
        if let Some(decision) = self.decision {
            self.settle_trial(decision, self.now());
        }
    }

    /// The attempt under way came to nothing. Answers whether another one is made; its place is
    /// taken then.
    pub(super) fn hear_failure(&mut self, cause: Cause, delivery: Delivery) -> bool {
        self.hear_cut(cause);
        let now = self.now();
        if let Some(asking) = &mut self.asking {
            asking.was_refused =
                matches!(cause, Cause::Connect | Cause::ConnectTimeout | Cause::UpstreamTls);
            asking.was_broken = asking.was_refused || cause == Cause::Reset;
        }
        // Nobody waits for another answer.
        let is_over = self.call_left().is_some_and(|left| left.is_zero());
        cause.row().upstream_at_fault && !is_over && self.try_again(delivery, Doubt::Failure, now)
    }

    /// What the upstream sends has come to an end before its time.
    pub(super) fn hear_cut(&mut self, cause: Cause) {
        // Who has promised nothing may be quiet for as long as there is nothing to tell.
        let is_quiet = |asking: &Asking| asking.status.is_some() && !asking.has_length;
        let cause = match cause {
            Cause::ResponseTimeout if self.asking.as_ref().is_some_and(is_quiet) => Cause::Quiet,
            cause => cause,
        };
        self.cause = Some(cause);
        let Some(asking) = &mut self.asking else { return };
        match (cause.row().upstream_at_fault, asking.outcome) {
            (true, _) => asking.outcome = Some(Outcome::Failed),
            (false, None) => asking.outcome = Some(Outcome::ClientGone),
            (false, Some(_)) => {}
        }
    }

    /// Accounts for the attempt under way; answers with how it ended.
    pub(super) fn end_attempt(&mut self, now: Moment) -> Option<Outcome> {
        let asking = self.asking.take()?;
        let outcome = asking.outcome.unwrap_or(Outcome::ClientGone);
        let Some(decision) = self.decision else { return Some(outcome) };
        let mut noted = asking.noted(&decision, self.cause, now);
        let service = &self.snapshot.services[decision.service];
        let ended = Ended {
            outcome,
            status: asking.judged(),
            cause: self.cause,
            took: asking.took(now),
            waited: asking.waited(now),
            was_given_up: asking.status.is_none()
                && match self.cause {
                    Some(Cause::ClientGone) => asking.waited(now) > Some(self.long(service)),
                    // Whoever chooses a short time has no say in this.
                    Some(Cause::CallOver) => {
                        asking.waited(now) > Some(self.waits(service).response)
                    }
                    _ => false,
                },
            was_refused: asking.was_refused,
            client: self.noted.client.map_or(0, client_key),
        };
        let pool = &service.pools[decision.pool];
        let held = pool.on_end(asking.seat, &ended, &service.stability, now, &mut self.draws);
        // What is its client's own doing is no trouble of the upstream's.
        if ended.failed() && !held.is_withheld {
            let upstream = &pool.members.list()[decision.member].upstream;
            upstream.note_trouble(trouble(self.cause, ended.status), now);
        }
        (noted.held, noted.is_withheld) = (held.outcome, held.is_withheld);
        noted.is_judged = self.is_judged(&decision);
        self.noted.tried(noted);
        Some(outcome)
    }

    /// How long one attempt at a service may take to be answered, and its connection.
    fn waits(&self, service: &Service) -> Timeouts {
        let within = service.stability.retries.per_try.unwrap_or(service.timeouts.response);
        let waits = Timeouts { response: within, ..service.timeouts };
        // What a route says of its answers goes before what the service says of attempts.
        self.acting.as_ref().map_or(waits, |acting| acting.timeouts(waits))
    }

    /// A wait for an answer's head that is long for this service: what its breaker calls slow; without
    /// that a third of what one attempt may take, which an upstream that is well hardly ever needs and an
    /// impatient client (a page that is closed, a caller with a time-out of its own) still waits.
    fn long(&self, service: &Service) -> Duration {
        let slow = service.stability.breaker.as_ref().and_then(|breaker| breaker.slow);
        slow.unwrap_or_else(|| (self.waits(service).response / 3).max(SHORTEST_LONG))
    }
}

/// What went wrong with an attempt that failed.
fn trouble(cause: Option<Cause>, status: Option<u16>) -> Trouble {
    match (cause, status) {
        (Some(Cause::Connect), _) => Trouble::Refused,
        (Some(Cause::UpstreamTls), _) => Trouble::Tls,
        (Some(Cause::ConnectTimeout), _) => Trouble::ConnectTimeout,
        (Some(Cause::Reset), _) => Trouble::Reset,
        (Some(Cause::BadResponse), _) => Trouble::BadAnswer,
        (_, Some(status)) if status >= 500 => Trouble::Status(status),
        _ => Trouble::NoAnswer,
    }
}
