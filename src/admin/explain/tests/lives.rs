//! One life: a seed in; a config, requests to it and what happens between them; what came up, out.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use http::header::LOCATION;
use http::{HeaderMap, Version};

use super::agreeing::{self, Came, End};
use super::asked::Asked;
use super::configs;
use super::{Dice, REQUESTS, Seen};
use crate::admin::explain::explained;
use crate::admin::wire;
use crate::auth;
use crate::balance::Waiting;
use crate::clock::{Clock, Moment, WallTime};
use crate::config::Config;
use crate::exchange::phases::{Admission, Delivery, Link, Next, Sent};
use crate::exchange::{Checked, Exchange, Wanted};
use crate::http::admission::{Head, Upload};
use crate::http::failure::Cause;
use crate::http::fields::Fields;
use crate::http::forwarded::Peer;
use crate::http::response::FALLBACK_MARK;
use crate::http::view::View;
use crate::record::{Reader, Record, decode, encode};
use crate::snapshot::{
    Blueprint, Mode, Published, RunTime, Service, ServiceHold, Snapshot, Traffic,
};
use crate::split::{BasisPoints, Secret, Split};
use crate::upstream::{BreakerOrder, BreakerSettings, Proof, Upstream};

thread_local! {
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static DRAWN: Cell<u64> = const { Cell::new(0) };
    static BEGAN: Instant = Instant::now();
}

/// Time stands but for what is let pass, and chance is what is set.
const CLOCK: Clock = Clock {
    now: || BEGAN.with(|began| *began) + Duration::from_secs(60) + PASSED.get(),
    wall: || SystemTime::UNIX_EPOCH + PASSED.get(),
    draw: || DRAWN.get(),
};

fn pass(length: Duration) {
    PASSED.set(PASSED.get() + length);
}

/// What `why` is told of requests that are over.
#[derive(Debug, Default)]
struct Over(Mutex<Vec<wire::Request>>);

impl Reader for Over {
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot) {
        let mut bytes = Vec::new();
        encode(record, snapshot, &mut bytes);
        let known = (Moment::from_micros(0), WallTime::from_millis(0));
        let kept = decode(&bytes, known).expect("what was written can be read");
        self.0.lock().unwrap().push(kept.into());
    }
}

/// Of the two snapshots one.
struct Side {
    published: Arc<Published>,
    over: Arc<Over>,
    /// Places that others have, and those who wait for one.
    held: Vec<(Option<ServiceHold>, Option<Waiting>)>,
}

/// A request that was let in, on both sides.
struct UnderWay {
    asked: Asked,
    told: wire::Explanation,
    came: Came,
    exchanges: Vec<Exchange>,
    dice: Dice,
}

struct Life {
    dice: Dice,
    /// How many in eight attempts fail.
    gloom: usize,
    config: Arc<Config>,
    run_time: RunTime,
    /// The one that is asked, and its twin.
    sides: Vec<Side>,
    under_way: Vec<UnderWay>,
    /// What was asked for before.
    before: Vec<Asked>,
    seen: Seen,
}

/// Lives the life of this seed.
pub(super) fn live(seed: u64) -> Seen {
    PASSED.set(Duration::ZERO);
    let mut dice = Dice::seeded(seed);
    let text = configs::any(&mut dice);
    let config = Config::parse(&text).unwrap_or_else(|error| panic!("{error:?}\n{text}")).0;
    let mut life = Life {
        gloom: dice.of(&[0, 1, 3, 6]),
        dice,
        config: Arc::new(config),
        run_time: RunTime::default(),
        sides: Vec::new(),
        under_way: Vec::new(),
        before: Vec::new(),
        seen: Seen::new(),
    };
    for _ in 0..2 {
        let published = Arc::new(Published::of(Arc::new(life.build(None))));
        life.sides.push(Side { published, over: Arc::default(), held: Vec::new() });
    }
    for nth in 0..REQUESTS {
        life.happen();
        life.request(nth);
    }
    while !life.under_way.is_empty() {
        life.end(0);
    }
    let [asked, twin] = [0, 1].map(|side| {
        life.sides[side].held.clear();
        counted(&life.sides[side].published.load())
    });
    let differs = asked.iter().zip(&twin).find(|(asked, twin)| asked != twin);
    assert_eq!(differs, None, "something was counted that is no request");
    life.seen
}

/// All that is counted, by service and at the end by nobody's. Shelves are not told in an order.
fn counted(snapshot: &Snapshot) -> Vec<String> {
    let of_service =
        |service: &Service| format!("{:?} {:?} {:?}", service.state, service.limits, service.pools);
    let others = format!("{:?} {:?}", snapshot.unmatched, snapshot.own);
    snapshot.services.iter().map(of_service).chain([others]).collect()
}

impl Life {
    fn build(&self, before: Option<&Snapshot>) -> Snapshot {
        let (config, run_time, secret) = (self.config.clone(), &self.run_time, Secret([7; 16]));
        let now = if before.is_none() { BEGAN.with(|began| *began) } else { CLOCK.now() };
        Snapshot::build(&Blueprint { config, run_time, secret, now }, before)
    }

    fn see(&mut self, what: &str) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    /// Something happens, or nothing.
    fn happen(&mut self) {
        let (what, dice) = (self.dice.below(32), self.dice.apart());
        match what {
            0 => pass(Duration::from_millis(dice.clone().below(3_000) as u64)),
            1 | 2 => self.order(dice),
            3 if !self.under_way.is_empty() => {
                let nth = self.dice.below(self.under_way.len());
                self.end(nth);
            }
            _ => {
                for side in &mut self.sides {
                    side.happen(what, dice.clone());
                }
            }
        }
    }

    /// A service's mode or its split is another from now on.
    fn order(&mut self, mut dice: Dice) {
        let snapshot = self.sides[0].published.load();
        let service = &snapshot.services[dice.below(snapshot.services.len())];
        let name = service.name.clone();
        let until = snapshot.moment(CLOCK.now()) + Duration::from_secs(5);
        match dice.below(5) {
            0 => drop(self.run_time.modes.insert(name, Mode::Hold { most: dice.below(3), until })),
            1 => {
                let message = dice.one_in(2).then(|| "soon".into());
                self.run_time.modes.insert(name, Mode::Maintenance { message });
            }
            2 => drop(self.run_time.modes.remove(&name)),
            _ => {
                let shares = configs::shares(&mut dice, service.pools.len());
                let parts = service.pools.iter().zip(shares);
                let parts = parts.map(|(pool, share)| {
                    (pool.name.clone(), BasisPoints::new(share * 100).expect("at most all"))
                });
                let split = Split::new(parts).expect("all of it is given");
                let (revision, salt) = (service.revision + 1, dice.bits() % 3);
                let traffic = Traffic { split, revision, salt, layout: None };
                self.run_time.traffic.insert(name, traffic);
            }
        }
        for side in &self.sides {
            let next = self.build(Some(&side.published.load()));
            side.published.publish(next);
        }
    }

    /// Asks about a request, sends it, and has it end at once or later.
    fn request(&mut self, nth: usize) {
        self.see("requests");
        let id = format!("request-{nth}");
        let asked = match self.dice.below(self.before.len() + 20) {
            again if again < self.before.len() => self.before[again].again(id),
            _ => Asked::any(&mut self.dice, id),
        };
        self.before.push(asked.clone());
        let drawn = self.dice.bits();
        DRAWN.set(drawn);
        let told = self.explain(&asked);
        for _ in 0..self.dice.below(3) {
            DRAWN.set(self.dice.bits());
            let another = Asked::any(&mut self.dice, "another".into());
            let _ = self.explain(&another);
        }
        DRAWN.set(drawn);
        let (began, dice) = (PASSED.get(), self.dice.apart());
        let mut come = Vec::new();
        for side in &self.sides {
            PASSED.set(began);
            come.push(side.send(&asked, dice.clone()));
        }
        let (exchanges, mut came): (Vec<Exchange>, Vec<Came>) = come.into_iter().unzip();
        assert_eq!(came[0], came[1], "it was asked about\n{asked:?}");
        let came = came.swap_remove(0);
        let dice = self.dice.apart();
        self.under_way.push(UnderWay { asked, told, came, exchanges, dice });
        if !self.dice.one_in(4) {
            self.end(self.under_way.len() - 1);
        }
    }

    fn explain(&self, asked: &Asked) -> wire::Explanation {
        let snapshot = self.sides[0].published.load();
        explained(&asked.question(), &snapshot, &CLOCK)
            .unwrap_or_else(|error| panic!("{error}\n{asked:?}"))
    }

    /// The request at this place of those under way ends, and what `why` says is looked at.
    fn end(&mut self, nth: usize) {
        let UnderWay { asked, told, came, exchanges, dice } = self.under_way.remove(nth);
        let began = PASSED.get();
        let mut over = Vec::new();
        for (side, mut exchange) in self.sides.iter().zip(exchanges) {
            PASSED.set(began);
            conduct(&mut exchange, &asked, &came, self.gloom, dice.clone());
            drop(exchange);
            let mut told = std::mem::take(&mut *side.over.0.lock().unwrap());
            assert_eq!(told.len(), 1, "each has one record");
            over.append(&mut told);
        }
        let [why, twin] = [0, 1].map(|side| format!("{:?}", over[side]));
        assert_eq!(why, twin, "it was asked about\n{asked:?}");
        if let Err(what) = agreeing::check(&self.config, &told, &came, &over[0]) {
            panic!("{what}\n{asked:#?}\n{told:#?}\n{came:#?}\n{:#?}", over[0]);
        }
        for what in agreeing::names(&told, &came, &over[0]) {
            self.see(&what);
        }
    }
}

impl Side {
    /// Something that concerns a service.
    fn happen(&mut self, what: usize, mut dice: Dice) {
        let snapshot = self.published.load();
        let now = snapshot.moment(CLOCK.now());
        let service = &snapshot.services[dice.below(snapshot.services.len())];
        let pool = &service.pools[dice.below(service.pools.len())];
        let members = pool.members.list();
        let Some(upstream) = members.get(dice.below(members.len().max(1))) else { return };
        let upstream: &Upstream = &upstream.upstream;
        match what {
            4 | 5 => upstream.set_draining(dice.one_in(2)),
            6 => upstream.set_proof(dice.of(&[Proof::Up, Proof::Down, Proof::Unproven]), now),
            7 => members.iter().for_each(|member| member.upstream.set_proof(Proof::Up, now)),
            8 => upstream.note_refused(now),
            9 => upstream.note_ejected(now),
            10 => upstream.note_failing(&BreakerSettings::default(), now, &mut dice.0),
            11 => {
                let order = [BreakerOrder::Open, BreakerOrder::Closed, BreakerOrder::Auto];
                pool.state.breaker.set_order(dice.of(&order), now);
            }
            12 => members.iter().for_each(|member| member.upstream.note_refused(now)),
            13 => self.held.push(self.take(service, Upload::Done)),
            14 => {
                let queues: Vec<_> = service.queues().collect();
                let line = queues[dice.below(queues.len())].join(Upload::Done, 2);
                self.held.push((None, line));
            }
            15..=17 => {
                let nth = dice.below(self.held.len().max(1));
                drop((nth < self.held.len()).then(|| self.held.remove(nth)));
            }
            18 => upstream.set_advice(Some(dice.of(&[0, 10, 100])), false),
            19 => upstream.note_accepted(1, now),
            20 => (0..25).for_each(|_| pool.state.throttle.on_answer(true, now)),
            21..=24 => {
                for service in &snapshot.services {
                    for pool in &service.pools {
                        pool.assess(&service.stability, now);
                    }
                }
            }
            _ => {}
        }
    }

    fn take(&self, service: &Service, upload: Upload) -> (Option<ServiceHold>, Option<Waiting>) {
        (service.state.take(upload, service.stability.limits.of_service()), None)
    }

    /// Sends a request here, until it is let in or has its answer.
    fn send(&self, asked: &Asked, mut dice: Dice) -> (Exchange, Came) {
        let mut exchange = Exchange::open(CLOCK, self.published.clone(), self.over.clone());
        let (headers, uri) = (asked.headers(), asked.uri());
        let head = Head {
            method: &asked.method,
            target: asked.read(&uri),
            version: Version::HTTP_11,
            view: View::Map(&headers),
            raw: b"",
            upload: asked.upload,
        };
        let client = asked.client.parse().expect("they are addresses");
        let peer = Peer::new(client, asked.scheme(), CLOCK.now());
        let (mut waits, mut was_at_door) = (0, false);
        let mut admission = exchange.admit(&head, &peer);
        let mut end = loop {
            admission = match admission {
                Admission::Forward(admitted) => {
                    let target = admitted.next().path_and_query().map(|target| target.to_string());
                    break End::Forwarded { target, sets_cookie: false };
                }
                Admission::Answer(answer) => {
                    let field = |name| {
                        let mut named = answer.fields.iter().filter(|(field, _)| *field == name);
                        named.next().map(|(_, value)| value.to_str().unwrap().to_string())
                    };
                    let (location, fallback) = (field(LOCATION), field(FALLBACK_MARK));
                    break End::Answered { status: answer.status, location, fallback };
                }
                Admission::Wait(line) => {
                    waits += 1;
                    pass(Duration::from_secs(if waits > 2 { 10 } else { 0 }));
                    if dice.one_in(2) { line.called() } else { line.gave_up() }
                }
                Admission::Door(door) => {
                    was_at_door = true;
                    match door.wanted() {
                        Wanted::Word(_) => {
                            door.told(dice.of(&[Some(200), Some(403), None]).map(said))
                        }
                        Wanted::Password(_) => door.checked(Checked::Right),
                    }
                }
            };
        };
        if let End::Forwarded { sets_cookie, .. } = &mut end {
            *sets_cookie = exchange.set_cookie(200).is_some();
        }
        (exchange, Came { waited: waits > 0, was_at_door, end })
    }
}

/// What the service that is asked at a door says.
fn said(status: u16) -> auth::Said {
    auth::Said { status, fields: HeaderMap::new(), body: Default::default() }
}

/// Has a request end in some way.
fn conduct(exchange: &mut Exchange, asked: &Asked, came: &Came, gloom: usize, mut dice: Dice) {
    let headers = asked.headers();
    let view = View::Map(&headers);
    let sent = Sent { method: &asked.method, path_and_query: &asked.target, view };
    if let End::Answered { status, .. } = came.end {
        let _ = exchange.end(Some(status), &sent);
        return;
    }
    let mut answer = HeaderMap::new();
    answer.insert("cache-control", "public, max-age=60".parse().unwrap());
    answer.insert("content-length", "0".parse().unwrap());
    while let Some(mut attempt) = exchange.attempt() {
        pass(Duration::from_millis(dice.below(200) as u64));
        let delivery =
            Delivery { was_sent: dice.one_in(2), was_stale: false, can_replay: !dice.one_in(4) };
        let cause = if dice.below(8) < gloom {
            let causes = [Cause::Connect, Cause::ConnectTimeout, Cause::Reset, Cause::ClientGone];
            match attempt.failed(dice.of(&causes), delivery) {
                Ok(_) => continue,
                Err(cause) => cause,
            }
        } else {
            attempt.connected(Link::New, CLOCK.now());
            attempt.request_head(&sent, asked.upload);
            if asked.upload == Upload::ToCome {
                attempt.request_body(Some(b"hello"), true);
            }
            let status = match dice.below(12) < gloom {
                true => dice.of(&[500, 503, 429]),
                false => dice.of(&[200, 200, 204, 404]),
            };
            match attempt.head(status, View::Map(&answer), delivery) {
                Next::Forward(mut relay) => {
                    relay.body(None, true);
                    relay.told(CLOCK.now());
                    let _ = relay.done(&sent);
                    return;
                }
                Next::Interim(_) | Next::Again(_) => continue,
                Next::Answer(cause) => cause,
            }
        };
        let status = exchange.give_up(cause, &Fields::new(view)).status;
        let _ = exchange.end(Some(status), &sent);
        return;
    }
}
