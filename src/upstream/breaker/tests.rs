use super::*;

const GOOD: Option<Fared> = Some(Fared { failed: false, slow: false });
const BAD: Option<Fared> = Some(Fared { failed: true, slow: false });

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

    fn enter(&self) -> Option<Entry> {
        self.breaker.enter(&self.settings, self.now)
    }

    fn leave(&mut self, entry: Entry, fared: Option<Fared>) -> bool {
        self.breaker.leave(entry, fared, &self.settings, self.now, &mut self.draws)
    }

    /// One request, if it is let through.
    fn request(&mut self, fared: Option<Fared>) -> bool {
        let entry = self.enter();
        entry.is_some_and(|entry| self.leave(entry, fared))
    }

    fn requests(&mut self, count: u32, fared: Option<Fared>) {
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
        let until = self.breaker.open_until().unwrap();
        self.now = until;
        for _ in 0..self.settings.successes {
            assert!(self.enter().is_some_and(|entry| {
                self.breaker.leave(entry, GOOD, &self.settings, self.now, &mut self.draws);
                true
            }));
        }
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
    assert_eq!(
        (bench.state(), bench.enter(), bench.breaker.opened()),
        (BreakerState::Open, None, 1)
    );
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
fn open_lets_nothing_through_until_its_time_is_over() {
    let mut bench = Bench::new();
    let open = bench.trip();
    assert!(open >= Duration::from_millis(2_500) && open <= Duration::from_secs(5), "{open:?}");
    bench.now = bench.now + (open - Duration::from_millis(1));
    assert_eq!((bench.state(), bench.enter()), (BreakerState::Open, None));
    bench.pass(1);
    assert_eq!(bench.state(), BreakerState::HalfOpen);
    assert!(bench.breaker.admits(&bench.settings, bench.now));
}

#[test]
fn half_open_lets_three_trials_through_at_once() {
    let mut bench = Bench::new();
    let open = bench.trip();
    bench.now = bench.now + open;
    let trials: Vec<_> = std::iter::from_fn(|| bench.enter()).take(10).collect();
    assert_eq!(trials.len(), 3);
    assert!(!bench.breaker.admits(&bench.settings, bench.now));
    bench.leave(trials[0], None);
    assert!(bench.enter().is_some(), "a client that went away gives its trial back");
}

#[test]
fn five_successes_close_and_forgive() {
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
        assert!(bench.request(BAD));
        let open = bench.breaker.open_until().unwrap().elapsed_since(bench.now);
        let whole = Duration::from_secs(60).min(Duration::from_secs(5) * 2u32.pow(times));
        assert!(open >= whole / 2 && open <= whole, "{open:?} of {whole:?}");
        longest = longest.max(open);
    }
    assert!(longest > Duration::from_secs(30) && bench.breaker.opened() == 8);
}

#[test]
fn a_trial_that_ends_late_decides_nothing() {
    let mut bench = Bench::new();
    bench.trip();
    bench.now = bench.breaker.open_until().unwrap();
    let (late, other) = (bench.enter().unwrap(), bench.enter().unwrap());
    assert!(bench.leave(other, BAD));
    bench.now = bench.breaker.open_until().unwrap();
    let fresh = bench.enter().unwrap();
    assert!(!bench.leave(late, BAD));
    assert_eq!(bench.state(), BreakerState::HalfOpen);
    assert!(bench.leave(fresh, BAD));
}

#[test]
fn a_plain_request_that_ends_while_open_changes_nothing() {
    let mut bench = Bench::new();
    let early = bench.enter().unwrap();
    bench.trip();
    let until = bench.breaker.open_until();
    assert!(!bench.leave(early, BAD));
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
    let slow = Some(Fared { failed: false, slow: true });
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
    assert_eq!((bench.state(), bench.enter()), (BreakerState::Open, None));
    bench.pass(3_600_000);
    assert_eq!(bench.enter(), None);
    bench.breaker.set_order(BreakerOrder::Closed, bench.now);
    (0..100).for_each(|_| assert!(!bench.request(BAD)));
    assert_eq!(bench.enter(), Some(Entry::Plain));
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
                    if let Some(entry) = bench.enter() {
                        bench.breaker.leave(entry, BAD, &bench.settings, bench.now, &mut draws);
                    }
                }
            });
        }
    });
    assert_eq!((bench.state(), bench.breaker.opened()), (BreakerState::Open, 1));
}
