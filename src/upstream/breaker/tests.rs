use super::*;

const GOOD: Fared = Fared { failed: false, slow: false };
const BAD: Fared = Fared { failed: true, slow: false };

/// A breaker on a clock of its own.
struct Bench {
    breaker: Breaker,
    settings: BreakerSettings,
    now: Moment,
    draws: Draws,
}

impl Bench {
    fn new() -> Bench {
        let (breaker, settings) = (Breaker::default(), BreakerSettings::default());
        Bench { breaker, settings, now: Moment::from_micros(7_300_000), draws: Draws::seeded(3) }
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// One request, if it is let through; whether the breaker has opened.
    fn request(&mut self, fared: Fared) -> bool {
        self.breaker.note(fared, &self.settings, || true, self.now, &mut self.draws)
    }

    fn requests(&mut self, count: u32, fared: Fared) {
        for _ in 0..count {
            self.request(fared);
        }
    }

    fn state(&self) -> BreakerState {
        self.breaker.state(self.now)
    }

    /// Trips it; answers with how long it is open.
    fn trip(&mut self) -> Duration {
        while self.state() == BreakerState::Closed {
            self.request(BAD);
        }
        self.breaker.open_until().unwrap().elapsed_since(self.now)
    }

    fn recover(&mut self) {
        self.now = self.breaker.open_until().unwrap();
        assert!(self.breaker.close(self.now));
        assert_eq!(self.state(), BreakerState::Closed);
    }
}

#[test]
fn closed_opens_at_half_of_twenty() {
    let mut bench = Bench::new();
    bench.requests(10, GOOD);
    (0..9).for_each(|_| assert!(!bench.request(BAD)));
    assert_eq!(bench.state(), BreakerState::Closed);
    assert!(bench.request(BAD));
    assert_eq!((bench.state(), bench.breaker.opened()), (BreakerState::Open, 1));
}

#[test]
fn fewer_than_twenty_never_open() {
    let mut bench = Bench::new();
    for _ in 0..200 {
        bench.request(BAD);
        bench.pass(1_000);
    }
    assert_eq!(bench.state(), BreakerState::Closed, "ten in ten seconds are too few");
}

#[test]
fn under_half_never_opens() {
    let mut bench = Bench::new();
    for n in 0..100_000 {
        bench.request(if n % 100 < 51 || n < 20 { GOOD } else { BAD });
        bench.pass(1);
    }
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn the_window_forgets_after_ten_seconds() {
    let mut bench = Bench::new();
    bench.requests(19, BAD);
    bench.pass(10_000);
    bench.request(BAD);
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn it_is_half_open_when_its_time_is_over() {
    let mut bench = Bench::new();
    let open = bench.trip();
    assert!(open >= Duration::from_millis(2_500) && open <= Duration::from_secs(5), "{open:?}");
    bench.now = bench.now + (open - Duration::from_millis(1));
    assert_eq!(bench.state(), BreakerState::Open);
    bench.pass(1);
    assert_eq!((bench.state(), bench.breaker.is_open()), (BreakerState::HalfOpen, true));
}

#[test]
fn it_does_not_open_where_it_may_not() {
    let mut bench = Bench::new();
    bench.requests(19, BAD);
    for may in [false, true] {
        let (breaker, settings) = (&bench.breaker, &bench.settings);
        assert_eq!(breaker.note(BAD, settings, || may, bench.now, &mut bench.draws), may);
    }
}

#[test]
fn who_closes_it_forgives() {
    let mut bench = Bench::new();
    bench.trip();
    bench.recover();
    bench.pass(10);
    assert!(!bench.request(BAD), "what tripped it lies before its closing");
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn one_failed_trial_opens_again_for_longer() {
    let mut bench = Bench::new();
    let mut longest = Duration::ZERO;
    bench.trip();
    for times in 1..8u32 {
        bench.now = bench.breaker.open_until().unwrap();
        bench.breaker.reopen(&bench.settings, bench.now, &mut bench.draws);
        let open = bench.breaker.open_until().unwrap().elapsed_since(bench.now);
        let whole = Duration::from_secs(60).min(Duration::from_secs(5) * 2u32.pow(times));
        assert!(open >= whole / 2 && open <= whole, "{open:?} of {whole:?}");
        longest = longest.max(open);
    }
    assert!(longest > Duration::from_secs(30) && bench.breaker.opened() == 8);
}

#[test]
fn what_fails_while_its_time_stands_changes_nothing() {
    let mut bench = Bench::new();
    bench.trip();
    let until = bench.breaker.open_until();
    assert!(!bench.request(BAD));
    bench.breaker.reopen(&bench.settings, bench.now, &mut bench.draws);
    assert_eq!((bench.breaker.open_until(), bench.breaker.opened()), (until, 1));
}

#[test]
fn minutes_without_a_trip_shorten_the_next_one() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.trip();
        bench.recover();
        bench.pass(2_000);
    }
    let fifth = bench.trip();
    assert!(fifth >= Duration::from_secs(30), "{fifth:?}");
    bench.recover();
    bench.pass(10 * 60_000);
    let after_rest = bench.trip();
    assert!(after_rest <= Duration::from_secs(5), "{after_rest:?}");
}

#[test]
fn slow_answers_trip_it_where_the_rule_is_set() {
    let slow = Fared { failed: false, slow: true };
    let mut bench = Bench::new();
    bench.requests(100, slow);
    assert_eq!(bench.state(), BreakerState::Closed);
    bench.settings.slow = Some(Duration::from_secs(1));
    bench.pass(20_000);
    (0..19).for_each(|_| assert!(!bench.request(slow)));
    assert!(bench.request(slow));
    assert_eq!(bench.state(), BreakerState::Open);
}

#[test]
fn an_order_stands_above_all_until_it_is_taken_back() {
    let mut bench = Bench::new();
    bench.breaker.set_order(BreakerOrder::Open, bench.now);
    assert_eq!((bench.state(), bench.breaker.is_open()), (BreakerState::Open, false));
    bench.pass(3_600_000);
    assert_eq!(bench.state(), BreakerState::Open);
    bench.breaker.set_order(BreakerOrder::Closed, bench.now);
    (0..100).for_each(|_| assert!(!bench.request(BAD)));
    assert_eq!(bench.state(), BreakerState::Closed);
    bench.breaker.set_order(BreakerOrder::Auto, bench.now);
    assert_eq!(bench.state(), BreakerState::Closed);
    assert!(!bench.request(BAD), "what happened under the order is forgiven");
    bench.pass(1_000);
    bench.trip();
    assert_eq!(bench.state(), BreakerState::Open);
}

#[test]
fn threads_make_each_transition_once() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let bench = &bench;
            scope.spawn(move || {
                let mut draws = Draws::seeded(seed);
                for _ in 0..1_000 {
                    bench.breaker.note(BAD, &bench.settings, || true, bench.now, &mut draws);
                }
            });
        }
    });
    assert_eq!((bench.state(), bench.breaker.opened()), (BreakerState::Open, 1));
}

#[test]
fn what_shows_that_it_may_close_says_nothing_of_the_next_time() {
    let mut bench = Bench::new();
    let closed = bench.breaker.opening();
    bench.trip();
    assert!(!bench.breaker.close_as(closed, bench.now) && bench.breaker.is_open());
    let first = bench.breaker.opening();
    bench.recover();
    bench.pass(1_000);
    bench.trip();
    assert!(!bench.breaker.close_as(first, bench.now) && bench.breaker.is_open());
}
