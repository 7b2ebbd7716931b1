use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::HeaderMap;

use super::*;
use crate::config::Config;
use crate::http::fields::Fields;
use crate::snapshot::{Blueprint, Ended, Pool, RunTime};
use crate::split::Secret;
use crate::upstream::{BreakerOrder, BreakerState, EjectionSettings, Outcome, Proof, StatusClass};

const BALANCES: [&str; 4] = ["latency", "least-requests", "round-robin", "consistent-hash"];

fn file(balance: &str) -> String {
    let hash = if balance == "consistent-hash" { ", hash = { client_ip = true }" } else { "" };
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [services.shop]\nbalance = {{ by = \"{balance}\"{hash} }}\n\
         [services.shop.pools]\nblue.upstreams = [\n\
         {{ address = \"192.0.2.1:80\", weight = 300 }}, \"192.0.2.2:80\", \"192.0.2.3:80\",\n\
         \"192.0.2.4:80\", \"192.0.2.5:80\", \"192.0.2.6:80\" ]\n"
    )
}

const READILY: Asks<'static> =
    Asks { lines: &[], doubtful: false, tries: Tries::Readily, upload: Upload::Done, found: None };

/// A pool on a clock of its own.
struct Bench {
    snapshot: Snapshot,
    now: Moment,
    draws: Draws,
}

impl Bench {
    fn new(balance: &str, began: Instant) -> Bench {
        Bench::of(&file(balance), began)
    }

    fn of(text: &str, began: Instant) -> Bench {
        let (config, _) = Config::parse(text).unwrap();
        let (run_time, secret) = (RunTime::default(), Secret([1; 16]));
        let config = Arc::new(config);
        let blueprint = Blueprint { config, run_time: &run_time, secret, now: began };
        let snapshot = Snapshot::build(&blueprint, None);
        Bench { snapshot, now: Moment::from_micros(100_000_000), draws: Draws::seeded(3) }
    }

    fn pool(&self) -> &Pool {
        &self.snapshot.services[0].pools[0]
    }

    /// Everything that a choice may look at.
    fn state(&self) -> String {
        format!("{:?}", self.snapshot)
    }

    fn ask<T>(&self, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
        let headers = HeaderMap::new();
        let (method, client) = (&Method::GET, Some([192, 0, 2, 9].into()));
        ask(&Facts {
            path_and_query: "",
            tester: None,
            is_doubtful: false,
            method,
            host: "",
            path: "/",
            fields: Fields::new(&headers),
            client,
        })
    }

    fn choose(&self, draws: &mut Draws) -> Chosen {
        self.ask(|facts| self.snapshot.choose(facts, READILY, self.now, draws))
    }

    fn explain(&self, draws: &mut Draws) -> Explained {
        self.ask(|facts| self.snapshot.explain(facts, READILY, self.now, draws))
    }

    /// A request that is answered with this a while later, but for one in three, which is not over.
    fn serve(&mut self, nth: usize, status: u16, held: &mut Vec<Seat>) -> Result<usize, Why> {
        let mut draws = self.draws.clone();
        let chosen = self.choose(&mut draws);
        let committed = self.snapshot.commit(chosen, &[], self.now, &mut draws);
        self.now = self.now + Duration::from_millis(20);
        self.draws = draws;
        let Committed { choice, seat, .. } = committed.map_err(|refusal| refusal.why)?;
        match nth.is_multiple_of(3) {
            true => held.push(seat),
            false => self.end(seat, status),
        }
        Ok(choice.member)
    }

    fn end(&mut self, seat: Seat, status: u16) {
        let service = &self.snapshot.services[0];
        let outcome = Outcome::Status(StatusClass::of(status));
        let took = Duration::from_millis(1 + self.draws.below(9));
        let client = self.draws.below(9) as u32;
        let (was_given_up, was_refused) = (false, false);
        let status = Some(status);
        let (cause, waited) = (None, Some(took));
        let ended =
            Ended { outcome, status, cause, took, waited, was_given_up, was_refused, client };
        let (pool, stability) = (&service.pools[0], &service.stability);
        pool.on_end(seat, &ended, stability, self.now, &mut self.draws);
    }

    fn answer(&mut self, status: u16, times: usize) {
        let mut held = Vec::new();
        for _ in 0..times {
            let _ = self.serve(1, status, &mut held);
        }
    }

    /// One whose ejection's time is over, one whose time is not, one that starts slowly, and one whose
    /// breaker is held open.
    fn upset(&mut self) {
        let members = self.pool().members.list();
        for (place, ago) in [(1, 60), (2, 1)] {
            let at = Moment::from_micros(self.now.micros() - ago * 1_000_000);
            let ejection = &members[place].upstream.ejection;
            ejection.eject(&EjectionSettings::default(), at, &mut Draws::seeded(1));
            members[place].upstream.note_ejected(at);
        }
        members[3].upstream.come_in(self.now);
        members[4].upstream.breaker.set_order(BreakerOrder::Open, self.now);
        members[4].upstream.note_breaker(self.now);
        let service = &self.snapshot.services[0];
        service.pools[0].assess(&service.stability, self.now);
    }
}

/// What happened to a pool before it is asked.
type Past = (&'static str, fn(&mut Bench));

const PASTS: [Past; 4] = [
    ("as new", |_| {}),
    ("upset", Bench::upset),
    ("throttled", |bench| bench.answer(429, 300)),
    ("half-open", |bench| {
        bench.answer(500, 400);
        let until = bench.pool().state.breaker.open_until().unwrap();
        bench.now = until + Duration::from_millis(1);
        assert_eq!(bench.pool().state.breaker.state(bench.now), BreakerState::HalfOpen);
    }),
];

#[test]
fn who_asks_a_thousand_times_disturbs_nothing() {
    let began = Instant::now();
    for (balance, (past, happens)) in BALANCES.iter().flat_map(|b| PASTS.map(|past| (b, past))) {
        let (mut asked, mut twin) = (Bench::new(balance, began), Bench::new(balance, began));
        happens(&mut asked);
        happens(&mut twin);
        let (mut of_asked, mut of_twin) = (Vec::new(), Vec::new());
        for nth in 0..40 {
            if nth % 10 == 0 {
                let before = asked.state();
                let mut draws = Draws::seeded(nth);
                for _ in 0..1_000 {
                    let _ = asked.choose(&mut draws);
                }
                (0..20).for_each(|_| drop(asked.explain(&mut draws)));
                assert_eq!(asked.state(), before, "{balance}, {past}");
            }
            let status = if nth % 7 == 0 { 503 } else { 200 };
            let served = [
                asked.serve(nth as usize, status, &mut of_asked),
                twin.serve(nth as usize, status, &mut of_twin),
            ];
            assert_eq!(served[0], served[1], "{balance}, {past}, the {nth}th");
        }
    }
}

#[test]
fn an_explanation_is_what_a_request_with_the_same_draws_gets() {
    let began = Instant::now();
    for (balance, (past, happens)) in BALANCES.iter().flat_map(|b| PASTS.map(|past| (b, past))) {
        let mut bench = Bench::new(balance, began);
        happens(&mut bench);
        for seed in 0..200 {
            let explained = bench.explain(&mut Draws::seeded(seed));
            let chosen = bench.choose(&mut Draws::seeded(seed));
            assert_eq!(explained.chosen, chosen, "{balance}, {past}");
            let others = if chosen.is_ok() { 5 } else { 6 };
            assert_eq!(explained.not_taken.len(), others, "{balance}, {past}");
        }
    }
}

#[test]
fn each_upstream_that_is_not_taken_has_its_reason() {
    let mut bench = Bench::new("round-robin", Instant::now());
    bench.upset();
    let members = bench.pool().members.list();
    members[0].upstream.set_draining(true);
    members[5].upstream.set_proof(Proof::Down, bench.now);
    let Explained { chosen, not_taken } = bench.explain(&mut Draws::seeded(1));
    // Of those that may be asked one starts slowly; the other's time is over, and a trial is due.
    assert_eq!(chosen.unwrap().member, 1);
    let not_taken: BTreeMap<usize, NotTaken> = not_taken.into_iter().collect();
    let slow = not_taken[&3];
    assert!(matches!(slow, NotTaken::NotItsTurn | NotTaken::PartShare), "{slow:?}");
    let others = [
        (0, NotTaken::Drained),
        (2, NotTaken::Ejected),
        (3, slow),
        (4, NotTaken::HeldOpen),
        (5, NotTaken::Down),
    ];
    assert_eq!(not_taken, others.into_iter().collect());
}

#[test]
fn a_pool_that_refuses_says_so_for_each_upstream() {
    let mut bench = Bench::new("latency", Instant::now());
    bench.pool().state.breaker.set_order(BreakerOrder::Open, bench.now);
    bench.pool().members.list()[2].upstream.set_draining(true);
    let Explained { chosen, not_taken } = bench.explain(&mut Draws::seeded(1));
    assert_eq!(chosen.unwrap_err().why, Why::Open);
    let why = |place| if place == 2 { NotTaken::Drained } else { NotTaken::PoolOpen };
    assert_eq!(not_taken, (0..6).map(|place| (place, why(place))).collect::<Vec<_>>());
    bench.pool().state.breaker.set_order(BreakerOrder::Auto, bench.now);
    bench.now = bench.now + Duration::from_secs(60);
    assert_eq!(bench.explain(&mut Draws::seeded(1)).not_taken.len(), 5);
}

#[test]
fn a_record_looks_at_no_more_upstreams_than_it_tells_of_and_an_explanation_at_all() {
    let upstreams: Vec<String> = (0..100).map(|n| format!("\"192.0.2.{n}:80\"")).collect();
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.shop.pools]\n\
         blue.upstreams = [{}]\n",
        upstreams.join(", ")
    );
    let bench = Bench::of(&text, Instant::now());
    bench.pool().state.breaker.set_order(BreakerOrder::Open, bench.now);
    let Explained { chosen, not_taken } = bench.explain(&mut Draws::seeded(1));
    assert_eq!((chosen.map_err(|refusal| refusal.why), not_taken.len()), (Err(Why::Open), 100));
    let told = bench.snapshot.not_taken(&chosen, &[], bench.now);
    assert_eq!(told, not_taken[..MOST_PASSED_OVER]);
}

#[test]
fn refusals_are_counted_when_they_are_committed() {
    let mut bench = Bench::new("latency", Instant::now());
    bench.answer(429, 300);
    let throttled = |bench: &Bench| bench.pool().state.throttle.throttled();
    let before = throttled(&bench);
    let refused = (0..200).filter_map(|seed| {
        let chosen = bench.choose(&mut Draws::seeded(seed));
        chosen.is_err_and(|refusal| refusal.why == Why::Throttled).then_some(chosen)
    });
    let refused: Vec<Chosen> = refused.collect();
    assert!(refused.len() > 100 && throttled(&bench) == before, "{}", refused.len());
    for refused in &refused {
        let mut draws = Draws::seeded(1);
        assert!(bench.snapshot.commit(*refused, &[], bench.now, &mut draws).is_err());
    }
    assert_eq!(throttled(&bench) - before, refused.len() as u64);
}

#[test]
fn each_turn_is_taken_once_however_many_choose_at_once() {
    let bench = Bench::new("round-robin", Instant::now());
    const THREADS: usize = 4;
    const REQUESTS: usize = 8 * 500;
    let counts: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let each = |seed| {
            let bench = &bench;
            scope.spawn(move || {
                let (mut draws, mut counts) = (Draws::seeded(seed), vec![0; 6]);
                for _ in 0..REQUESTS {
                    let chosen = bench.choose(&mut draws);
                    // Somebody else chooses here, by the same turn.
                    std::thread::yield_now();
                    let committed = bench.snapshot.commit(chosen, &[], bench.now, &mut draws);
                    counts[committed.unwrap().choice.member] += 1;
                }
                counts
            })
        };
        let threads: Vec<_> = (0..THREADS as u64).map(each).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sums: Vec<usize> = (0..6).map(|place| counts.iter().map(|c| c[place]).sum()).collect();
    let part = THREADS * REQUESTS / 8;
    assert_eq!(sums, [3 * part, part, part, part, part, part]);
}

#[test]
fn who_finds_the_trial_taken_is_refused() {
    let mut bench = Bench::new("latency", Instant::now());
    (PASTS[3].1)(&mut bench);
    let chosen: Vec<Chosen> = (0..5).map(|seed| bench.choose(&mut Draws::seeded(seed))).collect();
    assert!(chosen.iter().all(Result::is_ok), "nothing is taken by choosing");
    let mut draws = Draws::seeded(1);
    let commit = |chosen| bench.snapshot.commit(chosen, &[], bench.now, &mut draws);
    let committed: Vec<_> = chosen.into_iter().map(commit).collect();
    let taken = committed.iter().filter(|committed| committed.is_ok()).count();
    assert_eq!((taken, committed[4].as_ref().unwrap_err().why), (1, Why::Open));
}
