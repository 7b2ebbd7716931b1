//! Requests without sockets: decided, seated, tried again and ended as the proxy does.

use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Run;
use crate::balance::{Failed, Retry};
use crate::clock::{Draws, Moment};
use crate::http::admission::Upload;
use crate::http::fields::Fields;
use crate::judge::ledger::{Account, Noted};
use crate::route::Facts;
use crate::snapshot::{
    Asks, By, Choice, Chosen, Committed, Ended, Refusal, Seat, Service, ServiceHold, Snapshot,
    Tries, Why,
};
use crate::split::{BasisPoints, Split, Sticky};
use crate::state::What;
use crate::upstream::{Outcome, Proof, StatusClass};

/// Clients of each service.
const CLIENTS: u64 = 200;

/// What is wrong with an upstream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// Percent of its requests.
    fails: u64,
    /// How long each takes.
    takes: Duration,
}

/// A request under way.
pub(super) struct Request {
    /// The picture that it sees from start to end.
    snapshot: Arc<Snapshot>,
    decision: Choice,
    /// The pool that the split gave it.
    own: usize,
    hold: ServiceHold,
    seat: Seat,
    tried: Vec<usize>,
    tries: u32,
    came: Duration,
    ends: Duration,
    ended: Ended,
    /// What the snapshot said when it came.
    saw: (u64, Split),
}

/// Who asks for what.
struct Asker {
    service: &'static str,
    client: Option<u64>,
    /// The pool that it names.
    names: Option<&'static str>,
}

/// A refusal is committed too, as the exchange does it: it counts.
fn count_refusal(snapshot: &Snapshot, chosen: Option<Chosen>, now: Moment, draws: &mut Draws) {
    if let Some(refused @ Err(_)) = chosen {
        assert!(snapshot.commit(refused, &[], now, draws).is_err());
    }
}

/// Where it is noted for a rollout what becomes of a request, as `observing` finds it.
fn account<'s>(service: &'s Service, decision: &Choice, own: usize) -> Option<&'s Account> {
    let by_split = matches!(decision.by, By::Cohort(_) | By::Draw);
    let watched = service.watched.as_ref().filter(|_| by_split && own == decision.pool)?;
    watched.account(decision.pool)
}

const HEALTHY: Fault = Fault { fails: 1, takes: Duration::from_millis(80) };

impl Run {
    /// Other upstreams are ill from now.
    pub fn change_faults(&mut self) {
        if self.dice.one_in(2) {
            self.faults.clear();
        }
        let service = self.dice.of(&self.drive.snapshot.services);
        let members = self.dice.of(&service.pools).members.list();
        if members.is_empty() {
            return;
        }
        let name = self.dice.of(members).upstream.name.clone();
        let fails = *self.dice.of(&[0, 3, 30, 100]);
        let takes = Duration::from_millis(20 + self.dice.below(3_000));
        self.faults.insert(name, Fault { fails, takes });
        self.note_away();
    }

    fn note_away(&mut self) {
        let is_away =
            |(name, fault): (&Arc<str>, &Fault)| (fault.fails == 100).then(|| name.clone());
        self.drive.away = self.faults.iter().filter_map(is_away).collect();
    }

    /// Something that fails so often runs at an address from now.
    pub fn run_at(&mut self, address: &str, fails: u64) {
        self.faults.insert(address.into(), Fault { fails, ..HEALTHY });
        self.note_away();
    }

    /// A pool runs a bad version from now.
    pub fn spoil(&mut self, service: &str, pool: &str) {
        let pool = self.drive.snapshot.service(service).and_then(|service| service.pool(pool));
        for member in pool.into_iter().flat_map(|pool| pool.members.list()) {
            let fault = Fault { fails: 60, ..HEALTHY };
            self.faults.insert(member.upstream.name.clone(), fault);
        }
    }

    /// Probes find out what is so, and pools are looked at, as the prober and the watchman do.
    pub fn probe(&mut self) {
        let now = self.drive.snapshot.moment(self.now().instant);
        for service in &self.drive.snapshot.services {
            for pool in &service.pools {
                for member in pool.members.list() {
                    let fault = self.faults.get(&member.upstream.name).unwrap_or(&HEALTHY);
                    let proof = if fault.fails == 100 { Proof::Down } else { Proof::Up };
                    if service.stability.health.is_some() && member.upstream.proof() != proof {
                        member.upstream.set_proof(proof, now);
                    }
                }
                pool.assess(&service.stability, now);
            }
        }
    }

    /// Somebody asks for something.
    pub fn request(&mut self) {
        self.seen.requests += 1;
        let client = self.dice.below(CLIENTS * 5 / 4);
        let asker = Asker {
            service: if self.dice.one_in(4) { "api" } else { "shop" },
            client: (client < CLIENTS).then_some(client),
            names: self.dice.one_in(50).then(|| *self.dice.of(&["blue", "green", "gold"])),
        };
        let mut headers = HeaderMap::new();
        if let Some(client) = asker.client {
            headers.insert(HeaderName::from_static("x-user"), client.into());
        }
        if let Some(pool) = asker.names {
            headers.insert(HeaderName::from_static("x-pool"), HeaderValue::from_static(pool));
        }
        let host = if asker.service == "api" { "api.test" } else { "shop.test" };
        let client = Some([192, 0, 2, 200].into());
        let facts = Facts {
            path_and_query: "",
            tester: None,
            is_doubtful: false,
            method: &Method::GET,
            host,
            path: "/",
            fields: Fields::new(&headers),
            client,
        };
        let snapshot = self.drive.snapshot.clone();
        let now = snapshot.moment(self.now().instant);
        let asks = Asks { tries: Tries::Readily, ..Asks::default() };
        let chosen = snapshot.choose(&facts, asks, now, &mut self.dice.0);
        self.check_decided(&asker, &chosen);
        count_refusal(&snapshot, Some(chosen), now, &mut self.dice.0);
        let choice = match chosen {
            Ok(choice) => Some(choice),
            Err(refusal) => self.elsewhere(&facts, refusal),
        };
        let Some(choice) = choice else {
            self.seen.refused += 1;
            return;
        };
        let service = &snapshot.services[choice.service];
        let limit = service.stability.limits.of_service();
        let hold = service.state.take(Upload::Done, limit);
        let Some(hold) = hold else { return };
        let committed = snapshot.commit(Ok(choice), &[], now, &mut self.dice.0);
        let Ok(Committed { choice: decision, seat, .. }) = committed else {
            self.seen.refused += 1;
            return;
        };
        service.state.budget.on_request(now);
        let saw = (service.revision, service.split.clone());
        let (ended, takes) = self.fate(&seat);
        self.check_place(&snapshot, &decision);
        if let Some(account) = account(service, &decision, decision.pool) {
            account.arrive(decision.user);
        }
        self.requests.push(Request {
            snapshot,
            decision,
            own: decision.pool,
            hold,
            seat,
            tried: vec![decision.member],
            tries: 1,
            came: self.elapsed,
            ends: self.elapsed + takes,
            ended,
            saw,
        });
    }

    /// Who takes a request that its own pool cannot, as `fall_back` finds it.
    fn elsewhere(&mut self, facts: &Facts<'_>, refusal: Refusal) -> Option<Choice> {
        let at = refusal.at.filter(|_| matches!(refusal.why, Why::NoUpstream | Why::Open))?;
        let snapshot = self.drive.snapshot.clone();
        let (now, draws) = (snapshot.moment(self.now().instant), &mut self.dice.0);
        let state = &snapshot.services[at.0].pools[at.1].state;
        let from = refusal.unmade(facts.method, Upload::Done)?;
        let mut chosen = snapshot.choose_shield(from, facts, now, draws);
        if !matches!(chosen, Some(Ok(_))) {
            count_refusal(&snapshot, chosen, now, draws);
            chosen = snapshot.choose_stand_in(from, now, draws);
        }
        if let Some(Ok(choice)) = chosen {
            state.attempts.count(true);
            return Some(choice);
        }
        count_refusal(&snapshot, chosen, now, draws);
        let asks = Asks { doubtful: true, ..Asks::default() };
        let is_any = snapshot.services[at.0].stability.fallback.is_any();
        let doubtful = is_any.then(|| snapshot.choose(facts, asks, now, draws));
        let taken = doubtful.and_then(Result::ok);
        if taken.is_none_or(|choice| (choice.service, choice.pool) != at) {
            state.attempts.count(true);
        }
        count_refusal(&snapshot, doubtful, now, draws);
        taken
    }

    /// How an attempt will end, and how long it takes.
    fn fate(&mut self, seat: &Seat) -> (Ended, Duration) {
        let fault = self.faults.get(&seat.in_flight.upstream().name).copied().unwrap_or(HEALTHY);
        let takes = fault.takes.mul_f64(0.5 + self.dice.0.unit());
        let status = match self.dice.below(100) < fault.fails {
            false => Some(200),
            true => *self.dice.of(&[None, Some(500), Some(503)]),
        };
        let outcome = match status {
            _ if self.dice.one_in(100) => Outcome::ClientGone,
            Some(status) => Outcome::Status(StatusClass::of(status)),
            None => Outcome::Failed,
        };
        let client = self.dice.below(CLIENTS) as u32;
        let was_refused = false;
        let ended = Ended {
            outcome,
            status,
            cause: None,
            took: takes,
            waited: Some(takes),
            was_given_up: false,
            was_refused,
            client,
        };
        (ended, takes)
    }

    /// Ends what is due, or tries it again elsewhere.
    pub fn end_requests(&mut self) {
        let due = self.elapsed;
        let (over, rest) = std::mem::take(&mut self.requests)
            .into_iter()
            .partition(|request: &Request| request.ends <= due);
        self.requests = rest;
        over.into_iter().for_each(|request| self.end(request));
    }

    fn end(&mut self, request: Request) {
        let snapshot = request.snapshot.clone();
        let service = &snapshot.services[request.decision.service];
        assert_eq!((service.revision, &service.split), (request.saw.0, &request.saw.1));
        let now = snapshot.moment(self.origin + request.ends);
        let next = match request.ended.outcome {
            Outcome::ClientGone => None,
            _ => self.again(&request),
        };
        let Request { decision, own, hold, seat, ended, tried, tries, came, saw, .. } = request;
        let pool = &service.pools[decision.pool];
        let held = pool.on_end(seat, &ended, &service.stability, now, &mut self.dice.0);
        if let Some(account) = account(service, &decision, own)
            && held.outcome != Outcome::ClientGone
        {
            let (user, stratum) = (decision.user, decision.stratum.place());
            account.note(Noted { user, stratum, is_bad: ended.failed(), ..Noted::default() });
        }
        let Some((retry, to, seat)) = next else {
            self.seen.failed += u64::from(ended.failed());
            drop(hold);
            return;
        };
        self.seen.retried += 1;
        if retry != Retry::Stable {
            self.check_place(&snapshot, &to);
        }
        service.state.budget.on_retry();
        let mut tried = if to.pool == decision.pool { tried } else { Vec::new() };
        tried.push(to.member);
        let (ended, takes) = self.fate(&seat);
        self.requests.push(Request {
            snapshot: snapshot.clone(),
            decision: to,
            own,
            hold,
            seat,
            tried,
            tries: tries + 1,
            came,
            ends: self.elapsed + takes,
            ended,
            saw,
        });
    }

    /// Somebody else to ask, and a place there, as `try_again` finds it.
    fn again(&mut self, request: &Request) -> Option<(Retry, Choice, Seat)> {
        let (snapshot, decision) = (&request.snapshot, request.decision);
        let service = &snapshot.services[decision.service];
        let (stability, now) = (&service.stability, snapshot.moment(self.now().instant));
        let by_chance = matches!(decision.by, By::Cohort(_) | By::Draw);
        let on_canary = by_chance && service.is_canary(decision.pool);
        let is_failure = request.ended.outcome == Outcome::Failed;
        let was_trial = request.seat.is_trial();
        if !request.ended.failed() || !is_failure && !on_canary && !was_trial {
            return None;
        }
        let failed = Failed {
            was_sent: true,
            was_stale: false,
            is_idempotent: true,
            can_replay: true,
            tries: request.tries,
            elapsed: self.elapsed.saturating_sub(request.came),
            on_canary,
            is_failure,
            has_stand_in: service.stand_in.is_some_and(|pool| pool != decision.pool)
                && !matches!(decision.by, By::StandIn | By::OptIn),
            was_trial,
            offered: request.tried.len(),
            offering: Duration::ZERO,
            connect: Duration::from_secs(1),
            was_alone: false,
        };
        let draws = &mut self.dice.0;
        for retry in stability.retries.ways(&failed, draws) {
            let stable = retry == Retry::Stable;
            let pool = if stable { service.stable } else { decision.pool };
            let tried = match retry {
                Retry::Another(_) | Retry::Relief => &request.tried[..],
                _ => &[][..],
            };
            let chosen = match retry {
                // Everything is sent, and on connections that live.
                Retry::Reconnect | Retry::Onward | Retry::Same(_) => continue,
                Retry::Relief => Some(snapshot.choose_well(decision, tried, now, draws)),
                Retry::StandIn => snapshot.choose_stand_in(decision, now, draws),
                Retry::Another(_) | Retry::Stable => {
                    Some(snapshot.choose_again(decision, pool, tried, now, draws))
                }
            };
            let Some(chosen) = chosen else { continue };
            let is_paid_for = matches!(retry, Retry::Another(_));
            let budget = &service.state.budget;
            if chosen.is_ok() && is_paid_for && !budget.affords(stability.retries.budget, now) {
                budget.refuse();
                continue;
            }
            if let Ok(Committed { choice, seat, .. }) = snapshot.commit(chosen, tried, now, draws) {
                if is_paid_for {
                    budget.spend(now);
                }
                return Some((retry, choice, seat));
            }
        }
        None
    }

    /// A request goes, or would have gone, where its service's revision says.
    fn check_decided(&mut self, asker: &Asker, decided: &Chosen) {
        let snapshot = self.drive.snapshot.clone();
        let at = match decided {
            Ok(decision) => Some((decision.service, decision.pool)),
            Err(refusal) => refusal.at,
        };
        // Only of a service that is not in the file.
        let Some((service, pool)) = at else {
            assert!(snapshot.service(asker.service).is_none());
            return;
        };
        let (service, pool) =
            (&snapshot.services[service], &snapshot.services[service].pools[pool]);
        assert_eq!(&*service.name, asker.service);
        self.ledger.saw(&service.name, service.revision);
        if let Err(Refusal { why: Why::NoPool, .. }) = decided {
            // Who names none that there is goes nowhere.
            assert!(asker.names.is_some_and(|name| service.pool(name).is_none()));
            return;
        }
        if asker.names.is_some_and(|name| service.pool(name).is_some()) {
            assert_eq!(Some(&*pool.name), asker.names);
            assert!(decided.is_err() || decided.is_ok_and(|decision| decision.by == By::OptIn));
            return;
        }
        let weight = service.split.weight(&pool.name);
        assert!(weight > BasisPoints::NONE, "`{}` at 0 was chosen: {decided:?}", pool.name);
        let config = snapshot.config.service(asker.service);
        let sticky = config.is_some_and(|config| config.sticky != Sticky::default());
        let (last, share) = service.split.parts().last().unwrap();
        let (is_last, is_divided) = (pool.name == *last, !service.split.is_one_sided());
        match asker.client.filter(|_| sticky) {
            None if is_divided => self.shares.drawn.count(is_last, share.ratio()),
            None => {}
            Some(client) => {
                let is_first = self.ledger.is_first(&service.name, client, service.salt);
                if is_divided && is_first {
                    self.shares.clients.count(is_last, share.ratio());
                }
                if self.ledger.is_in_force(service) {
                    self.ledger.went(&service.name, client, service.revision, &pool.name);
                }
            }
        }
        if let Ok(decision) = decided {
            let upstream = &pool.members.list()[decision.member].upstream.name;
            let drained = self.drive.orders.state().orders().any(|standing| match &standing.what {
                What::Drain { service: of, pool: within, upstream: who } => {
                    **of == *service.name && **within == *pool.name && **who == **upstream
                }
                _ => false,
            });
            assert!(!drained, "`{upstream}` is drained and was chosen");
            let by_cohort = matches!(decision.by, By::Cohort(_));
            assert_eq!(by_cohort, sticky && asker.client.is_some(), "{decision:?}");
        }
    }

    /// A place is in a pool that has a share, but for testers and for pools that help out.
    fn check_place(&self, snapshot: &Snapshot, decision: &Choice) {
        let service = &snapshot.services[decision.service];
        let weight = service.split.weight(&service.pools[decision.pool].name);
        let may = matches!(decision.by, By::OptIn | By::Shield | By::StandIn);
        assert!(may || weight > BasisPoints::NONE, "{decision:?} at {weight} %");
    }

    /// Each place that is held is counted once.
    pub fn check_in_flight(&self) {
        let (mut services, mut pools) = (HashMap::new(), HashMap::new());
        let mut upstreams = HashMap::new();
        for request in &self.requests {
            let service = &request.snapshot.services[request.decision.service];
            let pool = &service.pools[request.decision.pool];
            let upstream = request.seat.in_flight.upstream();
            *services.entry(Arc::as_ptr(&service.state)).or_insert(0) += 1;
            *pools.entry(Arc::as_ptr(&pool.state)).or_insert(0) += 1;
            *upstreams.entry(Arc::as_ptr(upstream)).or_insert(0) += 1;
        }
        for service in &self.drive.snapshot.services {
            let held = services.get(&Arc::as_ptr(&service.state)).copied().unwrap_or(0);
            assert_eq!(service.state.in_flight(), held, "of {}", service.name);
            for pool in &service.pools {
                let held = pools.get(&Arc::as_ptr(&pool.state)).copied().unwrap_or(0);
                assert_eq!(pool.state.in_flight(), held, "of {}", pool.name);
                for member in pool.members.list() {
                    let upstream = &member.upstream;
                    let held = upstreams.get(&Arc::as_ptr(upstream)).copied().unwrap_or(0);
                    assert_eq!(upstream.in_flight(), held, "of {}", upstream.name);
                }
            }
        }
    }
}
