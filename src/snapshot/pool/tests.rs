use super::*;
use crate::balance::LimitSettings;
use crate::upstream::{BreakerState, EjectionSettings, Outcome, StatusClass, Upstream};

mod failing_keys;

/// A pool on a clock of its own.
struct Bench {
    pool: Pool,
    stability: Stability,
    now: Moment,
    draws: Draws,
    client: u32,
    refuses: bool,
}

impl Bench {
    fn new(upstreams: usize) -> Bench {
        let member = |nth| Member::nth(nth, 100);
        let members = Members::new((0..upstreams).map(member).collect(), Policy::Latency);
        Bench {
            pool: Pool::of_members(members),
            stability: Stability::default(),
            now: Moment::from_micros(50_000_000),
            draws: Draws::seeded(11),
            client: 1,
            refuses: false,
        }
    }

    fn upstream(&self, place: usize) -> &Arc<Upstream> {
        &self.pool.members.list()[place].upstream
    }

    fn pick(&mut self) -> Result<usize, Why> {
        self.choose(Tries::Never).map(|pick| pick.member)
    }

    fn choose(&mut self, tries: Tries) -> Result<Pick, Why> {
        let Bench { stability, now, .. } = self;
        let (spares, upload) = (false, Upload::Done);
        let ask = Ask { stability, tried: &[], key: None, spares, tries, upload, now: *now };
        let chosen = self.pool.choose(&ask, &mut self.draws, &mut ());
        chosen.inspect_err(|why| self.pool.on_refusal(*why, self.now))
    }

    /// Who is tried, if a trial is due; it is answered like this.
    fn tries(&mut self, status: u16) -> Option<usize> {
        let Ok(pick) = self.choose(Tries::Readily) else { return None };
        if !pick.is_trial {
            return None;
        }
        let Bench { stability, now, .. } = self;
        let tries = Tries::Readily;
        let (spares, upload) = (false, Upload::Done);
        let ask = Ask { stability, tried: &[], key: None, spares, tries, upload, now: *now };
        let Taken { member, seat, .. } = self.pool.commit(pick, &ask, &mut self.draws).unwrap();
        self.end(seat, Outcome::Status(StatusClass::of(status)), Some(status));
        Some(member)
    }

    /// One request to this upstream that ends like this.
    fn ask(&mut self, place: usize, outcome: Outcome, status: Option<u16>) {
        self.end(self.pool.take(place), outcome, status);
    }

    fn end(&mut self, seat: Seat, outcome: Outcome, status: Option<u16>) {
        let (took, client) = (Duration::from_millis(5), self.client);
        let was_refused = self.refuses && outcome == Outcome::Failed;
        let ended = Ended {
            outcome,
            status,
            cause: None,
            took,
            waited: Some(took),
            was_given_up: false,
            was_refused,
            client,
        };
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
fn five_failures_in_a_row_eject_and_good_trials_bring_back_slowly() {
    let mut bench = Bench::new(3);
    bench.fail(0, 4);
    bench.answer(0, 200, 1);
    bench.fail(0, 4);
    assert!(!bench.is_out(0));
    bench.fail(0, 1);
    assert!(bench.is_out(0));
    assert!((0..500).all(|_| bench.pick() != Ok(0)));
    bench.now = bench.upstream(0).ejection.until();
    bench.pool.assess(&bench.stability, bench.now);
    assert!(bench.is_out(0), "time alone shows nothing");
    assert_eq!([200; 4].map(|status| bench.tries(status)), [Some(0), Some(0), Some(0), None]);
    let member = bench.pool.members.list()[0].clone();
    let conditions = bench.pool.conditions(&member, &bench.stability, bench.now);
    assert_eq!(conditions, Conditions::SLOW_START);
    bench.pass(Duration::from_secs(31));
    assert!((0..500).any(|_| bench.pick() == Ok(0)));
    assert!(!bench.upstream(0).conditions().none(), "who chooses only looks");
    bench.pool.assess(&bench.stability, bench.now);
    assert!(bench.upstream(0).conditions().none());
}

#[test]
fn what_is_cold_is_counted_apart_and_its_errors_as_ever() {
    let mut bench = Bench::new(2);
    bench.upstream(0).warmth.set_cold(true);
    for place in [0, 1, 1] {
        bench.answer(place, 200, 1);
        bench.answer(place, 500, 1);
    }
    let state = &bench.pool.state;
    assert_eq!([&state.latency, &state.cold].map(|known| known.read().total()), [2, 1]);
    assert_eq!((state.attempts.read().total, state.attempts.read().bad), (6, 3));
}

#[test]
fn a_third_may_be_ejected_and_the_last_never() {
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
fn the_pool_trips_when_nobody_is_well_and_recovers_by_trials() {
    let mut bench = Bench::new(3);
    bench.stability.limits = LimitSettings { throttle: false, ..LimitSettings::default() };
    for n in 0..60 {
        assert_eq!(bench.pool.state.breaker.is_open(), !bench.pool.members.any_well() && n >= 20);
        bench.fail(n % 3, 1);
    }
    assert_eq!(bench.pick(), Err(Why::Open));
    bench.pass(Duration::from_secs(1));
    let tried = [503; 3].map(|status| {
        let tried = bench.tries(status);
        bench.pass(Duration::from_millis(100));
        tried.unwrap()
    });
    assert_eq!(std::collections::BTreeSet::from(tried).len(), 3, "each once a second");
    assert_eq!((bench.tries(503), bench.pick()), (None, Err(Why::Open)));
    bench.pass(Duration::from_secs(1));
    let first = bench.tries(200);
    assert!(first.is_some() && bench.tries(200) == first && bench.pick() == Err(Why::Open));
    assert_eq!(bench.tries(200), first, "it goes on with who answers");
    assert_eq!(bench.pool.state.breaker.state(bench.now), BreakerState::Closed);
    assert_eq!(bench.pick(), Ok(first.unwrap()), "one is well");
}

#[test]
fn a_pools_breaker_stays_closed_while_one_is_well() {
    let mut bench = Bench::new(2);
    for _ in 0..100 {
        bench.fail(0, 1);
    }
    assert!(!bench.pool.state.breaker.is_open() && !bench.pool.state.has_nobody());
    assert!((0..200).all(|_| bench.pick() == Ok(1)));
}

#[test]
fn who_refused_its_last_connection_is_not_asked_until_it_accepts() {
    let mut bench = Bench::new(3);
    bench.refuses = true;
    (0..2).for_each(|place| bench.fail(place, 1));
    assert!((0..200).all(|_| bench.pick() == Ok(2)), "whatever the share");
    bench.pass(Duration::from_secs(60));
    bench.pool.assess(&bench.stability, bench.now);
    assert_eq!(bench.tries(200), None, "nothing shows that it would be any use");
    bench.upstream(1).note_accepted(3, bench.now);
    bench.pool.assess(&bench.stability, bench.now);
    assert_eq!([200; 4].map(|status| bench.tries(status)), [Some(1), Some(1), Some(1), None]);
    assert!((0..500).any(|_| bench.pick() == Ok(1)));
}

#[test]
fn who_fails_at_all_of_a_second_is_not_asked_whatever_the_share() {
    let mut bench = Bench::new(3).without_pool_breaker();
    bench.fail(0, 5);
    assert!(bench.is_out(0), "and no other may be ejected");
    bench.answer(1, 503, 3);
    assert!(bench.upstream(1).conditions().none(), "one client may do that");
    bench.client = 2;
    bench.answer(1, 503, 1);
    assert_eq!(bench.upstream(1).conditions(), Conditions::FAILING);
    assert!((0..200).all(|_| bench.pick() == Ok(2)));
    bench.pass(Duration::from_secs(5));
    bench.pool.assess(&bench.stability, bench.now);
    assert_eq!([503, 503].map(|status| bench.tries(status)), [Some(1), None], "for longer now");
}

#[test]
fn a_post_is_a_trial_only_if_nothing_better_comes_for_two_seconds() {
    let mut bench = Bench::new(2);
    bench.refuses = true;
    bench.fail(0, 1);
    bench.upstream(0).note_accepted(3, bench.now + Duration::from_micros(1));
    bench.pool.assess(&bench.stability, bench.now);
    bench.pass(Duration::from_millis(1_900));
    let is_trial = |bench: &mut Bench| bench.choose(Tries::IfNeedBe).map(|pick| pick.is_trial);
    assert_eq!(is_trial(&mut bench), Ok(false));
    bench.pass(Duration::from_millis(200));
    assert_eq!(is_trial(&mut bench), Ok(true));
    assert_eq!(bench.choose(Tries::Never).map(|pick| pick.member), Ok(1));
}

#[test]
fn who_sends_a_trial_slowly_keeps_nobody_from_showing_that_it_works() {
    let mut bench = Bench::new(1);
    bench.answer(0, 500, 25);
    assert_eq!(bench.pick(), Err(Why::Open));
    bench.pass(Duration::from_secs(1));
    let mut dripping = Vec::new();
    for _ in 0..3 {
        // Three that send a byte now and then, each let through as soon as it may be.
        let Ok(pick) = bench.choose(Tries::IfNeedBe) else {
            bench.pass(Duration::from_secs(2));
            continue;
        };
        let Bench { pool, stability, now, draws, .. } = &mut bench;
        let (tries, spares, upload) = (Tries::IfNeedBe, false, Upload::ToCome);
        let ask = Ask { stability, tried: &[], key: None, spares, tries, upload, now: *now };
        dripping.push(pool.commit(pick, &ask, draws).unwrap());
        bench.pass(Duration::from_secs(2));
    }
    assert!(!dripping.is_empty());
    let tried = [200; 3].map(|status| bench.tries(status));
    assert_eq!(tried, [Some(0); 3], "two seconds after the last of them");
    assert!(!bench.pool.state.breaker.is_open() && bench.pick() == Ok(0));
}

#[test]
fn good_trials_end_the_throttle_too() {
    let mut bench = Bench::new(1);
    bench.answer(0, 503, 30);
    assert_eq!(bench.pick(), Err(Why::Open));
    bench.pass(Duration::from_secs(1));
    assert_eq!([200; 3].map(|status| bench.tries(status)), [Some(0); 3]);
    assert!((0..500).all(|_| bench.pick() == Ok(0)));
}

#[test]
fn a_pool_that_has_nobody_is_asked_but_is_no_place_to_go() {
    let mut bench = Bench::new(2);
    for place in 0..2 {
        bench.upstream(place).set_proof(crate::upstream::Proof::Down, bench.now);
    }
    bench.pool.assess(&bench.stability, bench.now);
    assert!(bench.pool.state.has_nobody() && bench.pick().is_ok());
    assert!(bench.pool.is_available() && !bench.pool.is_ready());
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
    let seats: Vec<Seat> = (0..20).map(|n| bench.pool.take(n % 2)).collect();
    assert_eq!(bench.pick(), Err(Why::PoolFull));
    drop(seats);
    assert!(bench.pick().is_ok());
}

#[test]
fn a_limit_follows_the_upstream_and_not_how_long_clients_send() {
    let mut bench = Bench::new(1);
    bench.stability.limits = LimitSettings { adaptive: true, ..LimitSettings::default() };
    let _held: Vec<Seat> = (0..20).map(|_| bench.pool.take(0)).collect();
    for nth in 0..2_000 {
        bench.pass(Duration::from_millis(20));
        let ended = Ended {
            outcome: Outcome::Status(StatusClass::Success),
            status: Some(200),
            cause: None,
            took: Duration::from_millis(10 * nth),
            waited: (nth % 2 == 0).then_some(Duration::from_millis(10)),
            was_given_up: false,
            was_refused: false,
            client: 1,
        };
        let (seat, Bench { pool, stability, now, draws, .. }) = (bench.pool.take(0), &mut bench);
        pool.on_end(seat, &ended, stability, *now, draws);
    }
    let limit = bench.pool.state.gradient.limit();
    assert!(limit > 20, "{limit}");
}

#[test]
fn only_2xx_and_3xx_answers_show_that_an_upstream_works() {
    let shows = |status: u16| {
        let mut bench = Bench::new(1);
        let before = bench.now;
        bench.pass(Duration::from_millis(1));
        bench.answer(0, status, 1);
        bench.upstream(0).succeeded_since(before)
    };
    let statuses = [101, 200, 204, 302, 400, 404, 429, 500, 503];
    assert_eq!(
        statuses.into_iter().filter(|status| shows(*status)).collect::<Vec<_>>(),
        [200, 204, 302]
    );
}
