//! The life of one request, whoever moves its bytes: a head in, decisions and edits out, and at
//! the end one record.
//!
//! A lane opens an exchange with what is published and has it admit a request. The phases that
//! follow are types (see [`phases`]) that borrow the exchange: what may not happen next does not
//! compile. Whatever way it goes (answered, failed, client gone, task cancelled, panic),
//! [`Exchange::end`] or dropping it gives back the upstream's place and accounts for the request
//! exactly once. The next request of the connection may have the same exchange.
//!
//! `way.rs` has what a route makes of a request, `acting.rs` what it does beside leading to a service, `door.rs` whom it asks for more than an
//! address, `attempt.rs` what happens on upstreams, `again.rs` what is done when one failed, `line.rs` the
//! wait for a place, `wait.rs` what else is waited for, `fall_back.rs` what is said when nobody can
//! be asked, `explaining.rs` what would become of a request, `id.rs` what it is known by, `mirroring.rs` the
//! copy for another pool, `tracing.rs` its trace, `watching.rs` what of a request speaks for a version under way.

pub mod explaining;
pub mod phases;
mod acting;
mod again;
mod attempt;
mod door;
mod fall_back;
mod id;
mod line;
mod mirroring;
mod tracing;
mod wait;
mod watching;
mod way;
#[cfg(any(test, fuzzing))]
pub(crate) mod any;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HeaderName, HeaderValue};
use http::{Method, Version};
use smallvec::SmallVec;

use crate::clock::{Clock, Draws, Moment};
use crate::fallback::Step;
use crate::http::admission::{self, Accepted, Head, OddNames, Upload};
use crate::http::answer::{Answer, For, Quota};
use crate::http::compression::Compression;
use crate::http::edits::{Edits, Text};
use crate::http::failure::{BadRequest, Cause};
use crate::http::fields::{FieldId, Fields};
use crate::http::forwarded::{self, Client, Peer, TrustedProxies};
use crate::http::forwards::Forwards;
use crate::http::grpc;
use crate::http::hop_by_hop;
use crate::http::response::Additions;
use crate::http::streaming;
use crate::http::trace_context::hex;
use crate::http::upgrade;
use crate::mirror::Copied;
use crate::record::{Noted, Own, Reader, Record, Said};
use crate::route::{Facts, Found, Tester};
use crate::snapshot::{
    Asks, By, Choice, Published, RateStand, Refusal, ServiceHold, Snapshot, Tries, Why,
};
use crate::upstream::{Outcome, StatusClass};

pub use door::{AtDoor, Checked, Wanted};
pub use line::Line;
pub use wait::Wait;

use acting::Acting;
use attempt::Asking;
use door::Entered;
use fall_back::Kept;
use id::RequestId;
use mirroring::Mirroring;
use phases::{Admission, Admitted, Sent};

/// The longest body that a lane keeps to send it again, in bytes.
pub const REPLAYED: usize = 64 * 1024;

/// The longest request id of a client that is kept.
const LONGEST_REQUEST_ID: usize = 128;

/// One request from its head to its record.
#[derive(Debug)]
pub struct Exchange {
    clock: Clock,
    published: Arc<Published>,
    snapshot: Arc<Snapshot>,
    draws: Draws,
    /// Those by which its pool was decided first.
    first_draws: Draws,
    started: Moment,
    /// When the time for attempts and for a place began: with the request, or with the end of a hold.
    let_in: Moment,
    decision: Option<Choice>,
    /// Set once a pool is known even if no upstream of it was: the refusal counts there.
    pool: Option<(usize, usize)>,
    /// The service that let it through to none of its pools.
    closed: Option<usize>,
    /// What its route did with it itself.
    own: Option<Own>,
    /// How many bytes its body may have.
    body_limit: u64,
    /// What its route does beside leading to a service, if it does anything.
    acting: Option<Box<Acting>>,
    /// By which door it was let in, if its route has one.
    entered: Option<Box<Entered>>,
    /// How long that took.
    at_door: Duration,
    hold: Option<ServiceHold>,
    phase: Phase,
    asking: Option<Asking>,
    tried: SmallVec<[usize; 4]>,
    attempts: u32,
    reconnects: u32,
    /// Since when it has been offered to members that could not be reached.
    offered_since: Option<Moment>,
    /// Whether it may try out an upstream that is not well.
    tries: Tries,
    /// Whether its body has yet to come, and no answer to it either: it counts for no limit yet.
    upload: Upload,
    request_id: RequestId,
    edits: Edits,
    is_idempotent: bool,
    asks_websocket: bool,
    /// Whether its `Connection` names fields.
    nominates: bool,
    /// Whether it says whose it is, in `Host` or in its target.
    names_host: bool,
    has_waited: bool,
    /// When the head of a stream came that is passed on.
    answered: Option<Moment>,
    /// When the client had all of its answer.
    ended: Option<Moment>,
    /// How long its client waits for a call of gRPC.
    call: Option<Duration>,
    /// Whether it says that its body may go on for as long as there is something to tell.
    talks: bool,
    /// While it stands in line.
    waits_since: Option<Moment>,
    /// How long it stood in line.
    waited: Duration,
    /// What gives the client a cookie of ours.
    set_cookie: Option<HeaderValue>,
    /// What its client is told of limits with an upstream's answer.
    limits: Vec<(HeaderName, HeaderValue)>,
    /// Whether no flag is on that is not on for everybody.
    is_for_everybody: bool,
    kept: Kept,
    /// What is told instead of what the last attempt came to, if that was a trial and a fallback has
    /// something.
    instead: Option<Box<(Step, Answer)>>,
    mirroring: Option<Box<Mirroring>>,
    cause: Option<Cause>,
    /// What an answer of ours says, which a call of gRPC is not told by its status.
    stands_for: Option<u16>,
    /// What its record will say.
    noted: Noted,
    reader: Arc<dyn Reader>,
}

/// How far a request has got. From [`Phase::Admitted`] to [`Phase::Relaying`] somebody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is known of it.
    Opened,
    /// It was looked at, and goes nowhere so far.
    Examined,
    /// It goes to an upstream.
    Admitted,
    /// An upstream is being asked.
    Asking,
    /// An upstream's answer is passed on.
    Relaying,
    /// Its record is made.
    Over,
}

/// A request that HTTP has nothing against, with what it is decided by.
#[derive(Debug)]
struct Incoming<'r> {
    head: Head<'r>,
    peer: &'r Peer,
    /// The host asked for, in lower case and without a port.
    host: Cow<'r, str>,
    /// What is asked for, in the form that routes are matched on.
    path: Cow<'r, str>,
    /// What is to be in `Host` instead of what is.
    authority: Option<&'r str>,
    fields: Fields<'r>,
    client: Option<IpAddr>,
    /// Whether that is only as far as it could be looked up.
    is_doubtful: bool,
    /// Which pool it asks for, where its route says who may do that.
    tester: Option<Tester<'r>>,
}

impl<'r> Incoming<'r> {
    /// Hears which route it has.
    fn note_route(&mut self, found: Option<Found>, snapshot: &Snapshot) {
        self.tester = None;
        let testers = found.and_then(|found| snapshot.testers(&found));
        self.tester = testers.map(|testers| {
            let (client, is_doubtful, fields) = (self.client, self.is_doubtful, self.fields);
            let path_and_query: &'r str = self.head.target.path_and_query;
            let (method, host, path) = (self.head.method, "", "");
            testers.tester(&Facts {
                method,
                host,
                path,
                fields,
                client,
                path_and_query,
                tester: None,
                is_doubtful,
            })
        });
    }
}

impl Incoming<'_> {
    fn facts(&self) -> Facts<'_> {
        Facts {
            method: self.head.method,
            host: &self.host,
            path: &self.path,
            fields: self.fields,
            client: self.client,
            is_doubtful: self.is_doubtful,
            path_and_query: self.head.target.path_and_query,
            tester: self.tester,
        }
    }
}

impl Exchange {
    /// Begins when a request's head has been read. What is published then is what the request sees;
    /// the reader gets its record.
    pub fn open(clock: Clock, published: Arc<Published>, reader: Arc<dyn Reader>) -> Exchange {
        let snapshot = published.load();
        let started = snapshot.moment(clock.now());
        let draws = clock.draws();
        Exchange {
            started,
            let_in: started,
            first_draws: draws.clone(),
            draws,
            clock,
            snapshot,
            published,
            decision: None,
            pool: None,
            closed: None,
            own: None,
            body_limit: u64::MAX,
            acting: None,
            entered: None,
            at_door: Duration::ZERO,
            hold: None,
            phase: Phase::Opened,
            asking: None,
            tried: SmallVec::new(),
            attempts: 0,
            reconnects: 0,
            offered_since: None,
            tries: Tries::Never,
            upload: Upload::Done,
            request_id: RequestId::none(),
            edits: Edits::default(),
            is_idempotent: false,
            asks_websocket: false,
            nominates: false,
            names_host: false,
            has_waited: false,
            answered: None,
            ended: None,
            call: None,
            talks: false,
            limits: Vec::new(),
            waits_since: None,
            waited: Duration::ZERO,
            set_cookie: None,
            is_for_everybody: true,
            kept: Kept::default(),
            instead: None,
            mirroring: None,
            cause: None,
            stands_for: None,
            noted: Noted::default(),
            reader,
        }
    }

    /// The snapshot that this request sees.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The clock is read here and nowhere else, once for each thing that happens.
    fn now(&self) -> Moment {
        self.snapshot.moment(self.clock.now())
    }

    /// Checks a request, decides where it goes and what its fields become. It stands in line if its
    /// service is held, or full and has a queue. A request before it on the connection is over.
    pub fn admit<'e, 'r>(&'e mut self, head: &Head<'r>, peer: &'r Peer) -> Admission<'e, 'r> {
        if self.phase != Phase::Opened {
            self.record(None, Said::default());
            *self = Exchange::open(self.clock, self.published.clone(), self.reader.clone());
        }
        self.phase = Phase::Examined;
        self.noted.version = head.version;
        let snapshot = self.snapshot.clone();
        let server = &snapshot.config.server;
        let limits = server.client.head_limits();
        let accepted = match admission::examine(head, limits, Some(&peer.host)) {
            Ok(accepted) => accepted,
            Err(rule) => {
                let fields = Fields::new(head.view);
                self.noted.client = peer.address;
                self.identify(&fields);
                return Admission::Answer(Box::new(self.answer(rule.into(), &fields)));
            }
        };
        let Accepted { host, path, authority, odd_names, fields } = accepted;
        self.noted.odd_names = odd_names;
        if odd_names > 0 && limits.odd_names == OddNames::Drop {
            self.edits.drop_odd_names();
        }
        self.identify(&fields);
        if let Some(traces) = &snapshot.config.traces {
            self.begin_trace(traces, &fields, peer);
        }
        self.is_idempotent = head.method.is_idempotent();
        if head.version == Version::HTTP_2 {
            self.call = grpc::timeout(&fields);
            self.talks = streaming::talks(fields.view);
        }
        self.tries = tries_of(head.method, &fields);
        let Client { address: client, is_doubtful } =
            forwarded::client(&fields, peer, &server.trusted_proxies);
        (self.noted.client, self.noted.is_client_doubtful) = (client, is_doubtful);
        self.noted.connection_age = self.started.elapsed_since(snapshot.moment(peer.since));
        if let Some(elsewhere) = self.lead_on(head, &host, &fields, peer) {
            return Admission::Answer(Box::new(elsewhere));
        }
        match Forwards::asked(head.method, &fields) {
            Forwards::Any => {}
            Forwards::None => {
                return Admission::Answer(Box::new(Answer::nothing(self.request_id())));
            }
            Forwards::Left(more) => {
                self.edits.set(FieldId::MaxForwards, Text::Own(HeaderValue::from(more)));
            }
        }
        let (head, tester) = (*head, None);
        let incoming =
            Incoming { head, peer, host, path, authority, fields, client, is_doubtful, tester };
        let mut found = None;
        if snapshot.acts() {
            match self.act(&incoming) {
                Ok(route) => found = route,
                Err(answer) => return Admission::Answer(answer),
            }
        }
        if let Some(answer) = self.limit(&snapshot, &incoming, found) {
            return Admission::Answer(Box::new(answer));
        }
        match found {
            Some(found) if self.is_at_door(&found) => self.come_to_door(incoming, found),
            _ => self.go_in(incoming, found),
        }
    }

    /// Goes on with a request that its route lets in, if it is known which that is.
    fn go_in<'e, 'r>(
        &'e mut self,
        mut incoming: Incoming<'r>,
        found: Option<Found>,
    ) -> Admission<'e, 'r> {
        if self.snapshot.acts() {
            if let Some(found) = &found
                && let Err(answer) = self.act_on(&incoming, found)
            {
                return Admission::Answer(answer);
            }
            incoming.note_route(found, &self.snapshot);
        }
        let draws = self.draws.clone();
        self.upload = incoming.head.upload;
        let asks = Asks { tries: self.tries, upload: self.upload, found, ..Asks::default() };
        match self.place(&incoming.facts(), asks) {
            Err(refusal) if refusal.why.may_pass() => Line::join(self, incoming, refusal, draws),
            placed => self.settle(placed, &incoming),
        }
    }

    /// The answer to a request that is one too many of its client's: before any line, in which it would
    /// take others' places.
    fn limit(
        &mut self,
        snapshot: &Snapshot,
        incoming: &Incoming<'_>,
        found: Option<Found>,
    ) -> Option<Answer> {
        let limits = &mut self.limits;
        let tell = |stand: RateStand<'_>| limits.extend(quota(&stand).fields());
        let facts = incoming.facts();
        let refusal = snapshot.refuse_by_rate(&facts, found, self.started, tell)?;
        // Nothing that its pool did.
        self.closed = Some(refusal.service);
        self.noted.came_by(&refusal.found);
        Some(self.answer(Cause::RateLimited, &incoming.fields).with_limit(&quota(&refusal)))
    }

    /// What is told of a request that has to come in another way: by HTTPS, or by a connection that was
    /// made under the name of its host; and to an authority that looks for what we have put there.
    fn lead_on(
        &mut self,
        head: &Head<'_>,
        host: &str,
        fields: &Fields<'_>,
        peer: &Peer,
    ) -> Option<Answer> {
        if peer.secured.as_ref().is_some_and(|secured| !secured.covers(host)) {
            return Some(self.answer(BadRequest::Misdirected.into(), fields));
        }
        let entrance = peer.entrance.as_ref()?;
        if let Some(challenges) = &entrance.challenges
            && matches!(*head.method, Method::GET | Method::HEAD)
            && let Some(found) = challenges.answer(head.target.path_and_query)
        {
            return Some(Answer::found(found, self.request_id()));
        }
        let is_https =
            || forwarded::is_https(fields, peer, &self.snapshot.config.server.trusted_proxies);
        if entrance.https_port.is_none() || is_https() {
            return None;
        }
        if host.is_empty() {
            return Some(self.answer(BadRequest::NoHost.into(), fields));
        }
        let place = entrance.instead(host, head.target.path_and_query)?;
        Some(Answer::moved(head.method, place, self.request_id()))
    }

    /// What becomes of a request that has a place, or is refused one for good.
    fn settle<'e, 'r>(
        &'e mut self,
        placed: Result<(), Refusal>,
        incoming: &Incoming<'_>,
    ) -> Admission<'e, 'r> {
        if let Err(refusal) = placed
            && let Some(answer) = self.fall_back(incoming, refusal)
        {
            return Admission::Answer(Box::new(answer));
        }
        self.prepare(incoming);
        self.phase = Phase::Admitted;
        Admission::Forward(Admitted(self))
    }

    /// What goes with a request to an upstream.
    fn prepare(&mut self, incoming: &Incoming<'_>) {
        let Incoming { peer, fields, .. } = incoming;
        let snapshot = self.snapshot.clone();
        let trusted = &snapshot.config.server.trusted_proxies;
        self.names_host =
            fields.has(FieldId::Host) || incoming.authority.is_some() || self.names_own_host();
        self.nominates = fields.has(FieldId::Connection) && hop_by_hop::nominates(fields.view);
        self.asks_websocket = upgrade::is_asked(fields, incoming.head.version);
        if !self.asks_websocket {
            self.drop_claim(fields, FieldId::Upgrade);
        }
        edit_origin(incoming, trusted, &mut self.edits);
        match self.noted.traced {
            Some(_) => self.trace_attempt(),
            None => self.pass_trace(fields),
        }
        // A Pointsman before us may say that this is a copy.
        if fields.has(FieldId::MirrorMark) && !trusted.has_peer(peer) {
            self.edits.remove(FieldId::MirrorMark);
        }
        if let Some(decision) = &self.decision
            && let Some(hidden) = snapshot.services[decision.service].hidden_field()
            && fields.view.has(hidden)
        {
            self.edits.remove_named(hidden.clone());
        }
        self.hide_by_route(fields);
        self.flag(&incoming.facts());
        if self.acting.is_some() {
            let mut edits = std::mem::take(&mut self.edits);
            self.edit_by_route(incoming, &mut edits);
            self.edits = edits;
        }
        if let Some(Choice { service, made: Some(id), .. }) = &self.decision {
            let is_secure = forwarded::is_https(fields, peer, trusted);
            self.set_cookie = self.snapshot.services[*service].set_cookie(id, is_secure);
        }
        self.prepare_to_keep(incoming);
        self.prepare_to_mirror(&incoming.head, fields);
    }

    /// What a client says that only we may say goes no further.
    fn drop_claim(&mut self, fields: &Fields<'_>, id: FieldId) {
        if fields.has(id) {
            self.edits.remove(id);
        }
    }

    /// Tells the upstream which flags are on for the client. What a client claims of flags never
    /// reaches it.
    fn flag(&mut self, facts: &Facts<'_>) {
        let value = self.decision.and_then(|decision| {
            let service = &self.snapshot.services[decision.service];
            let on = service.flags_on(facts, decision.made, &mut self.draws);
            self.is_for_everybody = service.flags.are_for_everybody(on);
            service.flags.value(on)
        });
        match value {
            Some(value) => self.edits.set(FieldId::FeatureFlags, Text::Own(value)),
            None => self.drop_claim(&facts.fields, FieldId::FeatureFlags),
        }
    }

    /// Keeps the request's id if it can be put into a log line, else makes one.
    fn identify(&mut self, fields: &Fields<'_>) {
        let fits = |value: &&[u8]| {
            (1..=LONGEST_REQUEST_ID).contains(&value.len())
                && value.iter().all(u8::is_ascii_graphic)
        };
        let given = fields.first(FieldId::RequestId).filter(fits);
        match given.and_then(|given| HeaderValue::from_bytes(given).ok()) {
            Some(given) => self.request_id = RequestId::Given(given),
            None => self.make_id(),
        }
    }

    fn make_id(&mut self) {
        let mut id = [0; 32];
        id[..16].copy_from_slice(&hex(self.draws.bits()));
        id[16..].copy_from_slice(&hex(self.draws.bits()));
        self.request_id = RequestId::own(id);
        self.edits.set(FieldId::RequestId, Text::RequestId);
    }

    /// What becomes of the request's fields on the way to an upstream.
    pub fn edits(&self) -> &Edits {
        &self.edits
    }

    /// Whether the client's `Connection` names fields of its request: a lane that takes those out
    /// may take ours.
    pub fn nominates(&self) -> bool {
        self.nominates
    }

    /// The id that the request is known by.
    pub fn request_id(&self) -> &HeaderValue {
        self.request_id.value()
    }

    /// What gives the client a cookie of ours, for an upstream's answer with this status.
    pub fn set_cookie(&self, status: u16) -> Option<&HeaderValue> {
        // Interim answers are for this connection, not for the client to keep.
        self.set_cookie.as_ref().filter(|_| status == 101 || status >= 200)
    }

    /// What the client is told when no upstream's answer can be passed on.
    pub fn answer(&mut self, cause: Cause, request: &Fields<'_>) -> Answer {
        self.answer_with(cause, cause.row().detail, request)
    }

    /// The same with these words instead of the usual ones.
    fn answer_with(&mut self, cause: Cause, detail: &str, request: &Fields<'_>) -> Answer {
        self.cause = Some(cause);
        let of_pool = self.pool.map(|(service, _)| service);
        let service = self.closed.or(of_pool).and_then(|place| self.snapshot.services.get(place));
        let pages = service.map(|service| &service.stability.error_pages);
        let to = For { request, request_id: self.request_id(), trace_id: self.trace_id(), pages };
        let answer = Answer::with_detail(cause, detail, &to);
        self.stands_for = Some(cause.row().status);
        answer
    }

    /// What the client is told of something that is no request, or none that may be admitted. It is
    /// ended by [`end_unread`](Exchange::end_unread).
    pub fn refuse(
        &mut self,
        cause: Cause,
        (version, fields): (Version, &Fields<'_>),
        peer: &Peer,
    ) -> Answer {
        self.phase = Phase::Examined;
        self.noted.version = version;
        self.noted.client = peer.address;
        self.identify(fields);
        self.answer(cause, fields)
    }

    /// The client has all of its answer.
    fn note_end(&mut self, now: Instant) {
        self.ended = Some(self.snapshot.moment(now));
    }

    /// Hears that the client has left, with nobody to be told anything.
    pub fn left(&mut self) {
        self.cause = Some(Cause::ClientGone);
    }

    /// What is added to an upstream's head with this status.
    fn additions<'a>(&'a self, status: u16, peer: &'a Peer) -> Additions<'a> {
        let (cookie, hsts) = (self.set_cookie(status), peer.hsts());
        let (route, pool) = (self.response_edits(status), self.told_pool(status));
        let limits = if status < 200 { &[][..] } else { &self.limits };
        Additions {
            id: self.request_id.bytes(),
            mark: self.mark(),
            cookie,
            hsts,
            pool,
            route,
            limits,
        }
    }

    /// What its service makes smaller, if anything.
    fn compression(&self) -> Option<&Compression> {
        let decision = self.decision.as_ref()?;
        self.snapshot.services[decision.service].compression.as_deref()
    }

    /// The name of the pool that answers, for who is told: testers, and everybody if the service says so.
    fn told_pool(&self, status: u16) -> Option<HeaderValue> {
        let decision = self.decision.as_ref().filter(|_| status >= 200)?;
        let service = &self.snapshot.services[decision.service];
        let is_told = service.tells_pool || decision.by == By::OptIn;
        is_told.then(|| HeaderValue::from_str(&service.pools[decision.pool].name).ok())?
    }

    /// Why it failed, if it did and the lane has said so.
    pub fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// Ends the request: the one place where its record is made. `told` is the status that the
    /// client was told, if it was told anything. Gives the request's copy for another pool.
    pub fn end(&mut self, told: Option<u16>, request: &Sent<'_>) -> Option<Copied> {
        let Sent { method, path_and_query: target, view } = *request;
        let host = view.first_of(FieldId::Host).unwrap_or_default();
        let (method, rewritten) = (method.as_str(), self.target());
        let rewritten = rewritten.as_deref();
        self.record(told, Said { method, host, target, rewritten, view: Some(view) });
        self.take_copy()
    }

    /// Ends what could not be read as a request.
    pub fn end_unread(&mut self, told: Option<u16>) {
        self.record(told, Said::default());
    }

    fn record(&mut self, told: Option<u16>, said: Said<'_>) {
        if matches!(self.phase, Phase::Opened | Phase::Over) {
            return;
        }
        self.phase = Phase::Over;
        let now = self.ended.unwrap_or_else(|| self.now());
        // An answer of ours to a call of gRPC, and one that failed, have a good status all the same.
        let meant = told.map(|told| self.stands_for.unwrap_or(told));
        let judged = self.asking.as_ref().filter(|asking| asking.status == meant);
        let status = judged.and_then(Asking::judged).or(meant);
        let attempt = self.end_attempt(now);
        self.hold = None;
        let outcome = match (status, self.cause) {
            // Its client waits no longer, as if it had left: whoever chooses a short time would spend
            // the service's error budget.
            (_, Some(Cause::CallOver)) => Outcome::ClientGone,
            // Nor is it anybody's failure that nobody said anything, with nothing told before.
            (_, Some(Cause::Quiet)) if attempt == Some(Outcome::ClientGone) => Outcome::ClientGone,
            // A good status whose body was cut off by the upstream is no success.
            (Some(0..500), _) if attempt == Some(Outcome::Failed) => Outcome::Failed,
            (Some(status), _) => Outcome::Status(StatusClass::of(status)),
            (None, Some(cause)) if cause.row().upstream_at_fault => Outcome::Failed,
            (None, _) => Outcome::ClientGone,
        };
        // What it spent in line and at the door says nothing of how its pool does.
        let waited = self.waits_since.map_or(self.waited, |since| now.elapsed_since(since));
        let began = self.started + self.at_door;
        let whole = now.elapsed_since(began);
        // A stream goes on as long as there is something to tell; its user waits for its head.
        let answered = self.answered.map(|at| at.elapsed_since(began));
        let has_answer = matches!(attempt, Some(Outcome::Status(_)));
        let cause = match self.noted.is_one_clients() {
            true => Some(Cause::OneClient),
            false => self.cause,
        };
        let record = Record {
            pool: self.pool,
            closed: self.closed,
            own: self.own,
            outcome,
            status: told,
            // What came of an answer that had begun is not seen in its status.
            cause: cause.filter(|cause| !has_answer || cause.ends_answers()),
            duration: whole.saturating_sub(waited),
            waited,
            felt: answered.unwrap_or(whole),
            at: self.started,
            request_id: self.request_id.bytes(),
            said,
            noted: &self.noted,
        };
        record.account(&self.snapshot, &self.clock);
        self.reader.read(&record, &self.snapshot);
    }
}

/// A limit as its client is told of it.
fn quota(stand: &RateStand<'_>) -> Quota {
    let (rate, grant) = (&stand.limiter.settings.rate, stand.grant);
    Quota {
        name: if stand.is_of_route { "route" } else { "service" },
        burst: rate.burst,
        period: rate.period,
        left: grant.left,
        wait: grant.wait,
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.record(None, Said::default());
    }
}

impl From<BadRequest> for Cause {
    fn from(rule: BadRequest) -> Cause {
        Cause::BadRequest(rule)
    }
}

impl From<Why> for Cause {
    fn from(why: Why) -> Cause {
        match why {
            Why::NoRoute => Cause::NoRoute,
            Why::NoPool => Cause::NoPool,
            Why::NoUpstream => Cause::NoUpstream,
            Why::Open => Cause::Open,
            Why::Throttled => Cause::Throttled,
            Why::Full | Why::PoolFull => Cause::Full,
            Why::Held => Cause::Held,
            Why::Maintenance => Cause::Maintenance,
        }
    }
}

/// Tells the upstream where a request comes from.
fn edit_origin(incoming: &Incoming<'_>, trusted: &TrustedProxies, edits: &mut Edits) {
    let Incoming { peer, fields, .. } = incoming;
    let replaced = incoming.authority.and_then(|host| HeaderValue::from_str(host).ok());
    let mut host = fields.has(FieldId::Host).then_some(Text::Host);
    if let Some(authority) = replaced {
        edits.set(FieldId::Host, Text::Own(authority.clone()));
        host = Some(Text::Own(authority));
    }
    forwarded::edit(fields, peer, trusted, host, edits);
}

/// Whether a request may try out an upstream that is not well: readily if it may be sent twice and is here
/// as a whole, as who sends a body may take their time.
fn tries_of(method: &Method, fields: &Fields<'_>) -> Tries {
    let is_light = method.is_idempotent() && !has_body(fields);
    if is_light { Tries::Readily } else { Tries::IfNeedBe }
}

/// Whether a request's fields announce a body.
fn has_body(fields: &Fields<'_>) -> bool {
    let is_some = |length: &[u8]| length.iter().any(|digit| *digit != b'0');
    fields.has(FieldId::TransferEncoding)
        || fields.first(FieldId::ContentLength).is_some_and(is_some)
}

#[cfg(test)]
mod tests;
