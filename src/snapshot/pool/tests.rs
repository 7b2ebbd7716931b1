use super::*;
use crate::balance::{BalanceSettings, LimitSettings};
use crate::upstream::{Address, BreakerOrder, BreakerState, EjectionSettings, Upstream};

/// A pool on a clock of its own.
struct Bench {
    pool: Pool,
    stability: Stability,
    now: Moment,
    draws: Draws,
}

impl Bench {
    fn new(upstreams: usize) -> Bench {
        let member = |place: usize| {
            let address: Address = format!("192.0.2.1:{}", place + 1).parse().unwrap();
            let target = address.target();
            Member { upstream: Arc::new(Upstream::new(address, None)), weight: 100, target }
        };
        let members = Members::new((0..upstreams).map(member).collect(), Policy::Latency);
        Bench {
            pool: Pool { name: "blue".into(), members, state: Arc::default() },
            stability: Stability::default(),
            now: Moment::from_micros(50_000_000),
            draws: Draws::seeded(11),
        }
    }

    fn upstream(&self, place: usize) -> &Arc<Upstream> {
        &self.pool.members.list()[place].upstream
    }

    fn pick(&mut self) -> Result<usize, Why> {
        let ask =
            Ask { stability: &self.stability, tried: &[], key: None, spares: false, now: self.now };
        let chosen = self.pool.choose(&ask, &mut self.draws, &mut ());
        chosen.map(|pick| pick.member).inspect_err(|why| self.pool.on_refusal(*why, self.now))
    }

    /// One request to this upstream that ends like this.
    fn ask(&mut self, place: usize, outcome: Outcome, status: Option<u16>) {
        let seat = self.pool.take(place, &self.stability, self.now).unwrap();
        let took = Duration::from_millis(5);
        let ended = Ended { outcome, status, took, was_given_up: false };
        self.pool.on_end(seat, &ended, &self.stability, self.now, &mut self.draws);
    }

    fn fail(&mut self, place: usize, times: u32) {
        (0..times).for_each(|_| self.ask(place, Outcome::Failed, None));
    }

    fn answer(&mut self, place: usize, status: u16, times: u32) {
        let outcome = Outcome::Status(StatusClass::of(status));
        (0..times).for_each(|_| self.ask(place, outcome, Some(status)));
    }

    /// Keeps the pool's own breaker out of the matter.
    fn without_pool_breaker(self) -> Bench {
        self.pool.state.breaker.set_order(BreakerOrder::Closed, self.now);
        self
    }

    fn pass(&mut self, length: Duration) {
        self.now = self.now + length;
    }

    fn is_out(&self, place: usize) -> bool {
        self.upstream(place).conditions().any(Conditions::EJECTED)
    }
}

#[test]
fn five_failures_in_a_row_eject_and_time_brings_back_slowly() {
    let mut bench = Bench::new(3);
    bench.fail(0, 4);
    bench.answer(0, 200, 1);
    bench.fail(0, 4);
    assert!(!bench.is_out(0));
    bench.fail(0, 1);
    assert!(bench.is_out(0));
    assert!((0..500).all(|_| bench.pick() != Ok(0)));
    bench.now = bench.upstream(0).ejection.until();
    let conditions =
        bench.pool.conditions(&bench.pool.members.list()[0].clone(), &bench.stability, bench.now);
    assert_eq!(conditions, Conditions::SLOW_START);
    bench.pass(Duration::from_secs(31));
    assert!((0..500).any(|_| bench.pick() == Ok(0)));
    assert!(!bench.upstream(0).conditions().none(), "who chooses only looks");
    bench.pool.assess(&bench.stability, bench.now);
    assert!(bench.upstream(0).conditions().none());
}

#[test]
fn a_third_may_be_out_and_the_last_never() {
    let mut bench = Bench::new(3).without_pool_breaker();
    (0..3).for_each(|place| bench.fail(place, 10));
    assert_eq!([0, 1, 2].map(|place| bench.is_out(place)), [true, false, false]);
    let mut bench = Bench::new(9).without_pool_breaker();
    (0..9).for_each(|place| bench.fail(place, 10));
    assert_eq!((0..9).filter(|&place| bench.is_out(place)).count(), 2);
    let mut bench = Bench::new(1);
    bench.fail(0, 10);
    assert!(!bench.is_out(0));
    let mut bench = Bench::new(2).without_pool_breaker();
    let share = EjectionSettings { share: 100, ..EjectionSettings::default() };
    bench.stability.ejection = Some(share);
    (0..2).for_each(|place| bench.fail(place, 10));
    assert_eq!([0, 1].map(|place| bench.is_out(place)), [true, false]);
}

#[test]
fn a_500_counts_for_the_breaker_and_not_for_ejection() {
    let mut bench = Bench::new(3).without_pool_breaker();
    bench.answer(0, 500, 19);
    assert!(!bench.is_out(0));
    assert_eq!(bench.upstream(0).breaker.state(bench.now), BreakerState::Closed);
    bench.answer(0, 500, 1);
    assert_eq!(bench.upstream(0).breaker.state(bench.now), BreakerState::Open);
    assert!((0..500).all(|_| bench.pick() != Ok(0)));
    bench.answer(1, 503, 5);
    assert!(bench.is_out(1), "a 503 says that the upstream is away");
}

#[test]
fn the_pool_trips_when_most_of_it_fails_and_recovers_by_trials() {
    let mut bench = Bench::new(3);
    bench.stability.limits = LimitSettings { throttle: false, ..LimitSettings::default() };
    (0..20).for_each(|n| bench.fail(n % 3, 1));
    assert_eq!(bench.pick(), Err(Why::Open));
    bench.now = bench.pool.state.breaker.open_until().unwrap();
    for _ in 0..5 {
        let place = bench.pick().unwrap();
        bench.answer(place, 200, 1);
    }
    assert_eq!(bench.pool.state.breaker.state(bench.now), BreakerState::Closed);
}

#[test]
fn losing_half_is_borne_and_losing_more_is_panic() {
    let mut bench = Bench::new(4);
    bench.stability.ejection = Some(EjectionSettings { share: 75, ..EjectionSettings::default() });
    bench.stability.breaker = None;
    (0..2).for_each(|place| bench.fail(place, 5));
    assert!(!bench.pool.state.panics());
    assert!((0..500).all(|_| matches!(bench.pick(), Ok(2 | 3))));
    bench.fail(2, 5);
    assert!(bench.pool.state.panics(), "the ejection itself says so");
    bench.pass(Duration::from_secs(20));
    let picked: std::collections::BTreeSet<_> = (0..500).map(|_| bench.pick().unwrap()).collect();
    assert_eq!(picked.len(), 4, "all are tried");
    bench.now = bench.upstream(0).ejection.until().max(bench.upstream(1).ejection.until());
    bench.pool.assess(&bench.stability, bench.now);
    assert!(!bench.pool.state.panics());
}

#[test]
fn without_panic_a_pool_that_has_nobody_refuses() {
    let mut bench = Bench::new(2);
    bench.stability.balance = BalanceSettings { panic: 0, ..BalanceSettings::default() };
    for place in 0..2 {
        bench.upstream(place).set_proof(crate::upstream::Proof::Down, bench.now);
    }
    assert_eq!(bench.pick(), Err(Why::NoUpstream));
    assert!(!bench.pool.is_available(&bench.stability, bench.now));
    bench.stability.balance.panic = 50;
    assert!(bench.pool.is_available(&bench.stability, bench.now), "all are tried");
    assert!(!bench.pool.is_ready(&bench.stability, bench.now), "but nothing moves there");
}

#[test]
fn an_operators_open_breaker_refuses_and_an_upstreams_is_passed_over() {
    let mut bench = Bench::new(2);
    bench.upstream(0).breaker.set_order(BreakerOrder::Open, bench.now);
    bench.upstream(0).note_breaker(bench.now);
    assert!((0..200).all(|_| bench.pick() == Ok(1)));
    bench.pool.state.breaker.set_order(BreakerOrder::Open, bench.now);
    assert_eq!(bench.pick(), Err(Why::Open));
    bench.stability.breaker = None;
    assert_eq!(bench.pick(), Err(Why::Open), "orders hold without settings too");
}

#[test]
fn a_client_that_goes_away_says_nothing_of_the_upstream() {
    let mut bench = Bench::new(2);
    (0..100).for_each(|_| bench.ask(0, Outcome::ClientGone, None));
    assert!(bench.upstream(0).conditions().none());
    assert_eq!((bench.upstream(0).in_flight(), bench.pool.state.in_flight()), (0, 0));
}

#[test]
fn a_pool_that_refuses_is_spared() {
    let mut bench = Bench::new(2);
    bench.stability.breaker = None;
    bench.stability.ejection = None;
    bench.answer(0, 429, 200);
    let spared = (0..500).filter(|_| bench.pick() == Err(Why::Throttled)).count();
    assert!(spared > 400, "{spared}");
    bench.pass(Duration::from_secs(11));
    assert!(bench.pick().is_ok());
}

#[test]
fn an_adaptive_limit_refuses_what_is_above_it() {
    let mut bench = Bench::new(2);
    bench.stability.limits = LimitSettings { adaptive: true, ..LimitSettings::default() };
    let seats: Vec<Seat> =
        (0..20).map(|n| bench.pool.take(n % 2, &bench.stability, bench.now).unwrap()).collect();
    assert_eq!(bench.pick(), Err(Why::PoolFull));
    drop(seats);
    assert!(bench.pick().is_ok());
}
