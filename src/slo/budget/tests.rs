use super::*;
use crate::slo::{DEFAULT_WINDOW, Goal, TIERS};

const START: u64 = 1_700_000_000;

const DAY: u64 = 24 * 60 * 60;

fn availability() -> Objective {
    Objective::Availability(Goal::THREE_NINES)
}

/// A budget on simulated time, with as many requests a second as are asked for.
struct Service {
    budget: Budget,
    now: u64,
    counter: Counts,
    bad: f64,
}

impl Service {
    fn begin() -> Service {
        let now = WallTime::from_millis(START * 1_000);
        let budget = Budget::begin(availability(), DEFAULT_WINDOW, Kept::default(), true, now);
        Service { budget, now: START, counter: Counts::default(), bad: 0.0 }
    }

    fn time(&self) -> WallTime {
        WallTime::from_millis(self.now * 1_000)
    }

    /// `step` seconds with this many requests a second, this share of which fails.
    fn serve(&mut self, step: u64, rate: u64, failing: f64) {
        self.now += step;
        self.counter.total += rate * step;
        self.bad += (rate * step) as f64 * failing;
        self.counter.bad = self.bad as u64;
        self.budget.look(self.counter, self.time());
    }

    fn reading(&self) -> Reading {
        self.budget.reading(self.time())
    }
}

#[test]
fn outages_are_alerted_of_after_as_long_as_arithmetic_says() {
    const NEVER: u64 = u64::MAX;
    // Table T11 of the specification: the whole service's share of errors, and seconds from the
    // outage's start, after thirty clean days, to each tier.
    let table = [
        (1.0, [51, 129, 259, 259]),
        (0.1, [518, 1_295, 2_591, 2_591]),
        (0.01, [NEVER, 12_960, 25_920, 25_920]),
        (0.005, [NEVER, NEVER, 51_840, 51_840]),
        (0.001_09, [NEVER, NEVER, NEVER, 237_798]),
    ];
    let mut clean = Service::begin();
    (0..30 * DAY / 10).for_each(|_| clean.serve(10, 100, 0.0));
    assert!(!clean.reading().is_warming);
    for (failing, expected) in table {
        let mut service = Service {
            budget: clean.budget.clone(),
            now: clean.now,
            counter: clean.counter,
            bad: 0.0,
        };
        let mut fired = [NEVER; TIERS.len()];
        // A second at a time as long as that matters.
        let step = if failing >= 0.1 { 1 } else { 10 };
        // The longest window is full after three days: what has not fired then never will.
        while service.now < clean.now + 3 * DAY + 600 && fired.contains(&NEVER) {
            service.serve(step, 100, failing);
            let burns = service.reading().burns;
            for (tier, at) in TIERS.iter().zip(&mut fired) {
                if *at == NEVER && tier.fires(&burns) {
                    *at = service.now - clean.now;
                }
            }
        }
        for ((tier, said), expected) in TIERS.iter().zip(fired).zip(expected) {
            // Windows are longer than they say by up to a grain, and looked at once a step.
            let grain = if tier.long.length() > Span::H6.length() { 300.0 } else { 10.0 };
            let off = grain / tier.long.length().as_secs_f64();
            let most = if expected == NEVER {
                NEVER
            } else {
                (expected as f64 * (1.0 + off)) as u64 + 1 + step
            };
            assert!(
                said >= expected && said <= most,
                "{failing} {}×: after {said} s, not {expected} to {most}",
                tier.rate
            );
        }
    }
}

#[test]
fn a_budget_is_spent_by_what_failed_in_its_window_and_comes_back_after_it() {
    let mut service = Service::begin();
    (0..30 * DAY / 10).for_each(|_| service.serve(10, 10, 0.0));
    assert_eq!(service.reading().remaining, 1.0);
    // All of 43.2 minutes of a month may fail at three nines.
    (0..259).for_each(|_| service.serve(5, 10, 1.0));
    let half = service.reading().remaining;
    assert!((half - 0.5).abs() < 0.001, "{half}");
    (0..260).for_each(|_| service.serve(5, 10, 1.0));
    assert_eq!(service.budget.state(), State::Frozen);
    let text = service.reading();
    assert!(text.remaining < 0.0 && text.is_enough && !text.is_warming);
    (0..(29 * DAY + 22 * 3_600) / 60).for_each(|_| service.serve(60, 10, 0.0));
    assert_eq!(service.budget.state(), State::Frozen, "it is in the window to its last minute");
    (0..3 * 60).for_each(|_| service.serve(60, 10, 0.0));
    assert_eq!((service.budget.state(), service.reading().remaining), (State::Open, 1.0));
}

#[test]
fn few_requests_and_few_errors_burn_nothing() {
    let burns = |total, bad| {
        let mut service = Service::begin();
        service.now += 60;
        service.budget.look(Counts { total, bad }, service.time());
        service.reading().burns[0]
    };
    assert_eq!([burns(99, 99), burns(100, 4), burns(1_000_000, 4)], [0.0; 3]);
    assert_eq!((burns(100, 5).round(), burns(1_000, 5).round()), (50.0, 5.0));
}

#[test]
fn a_young_budget_goes_by_what_there_is_and_says_so() {
    let mut service = Service::begin();
    (0..60).for_each(|_| service.serve(1, 10, 0.5));
    let reading = service.reading();
    assert_eq!((reading.is_warming, reading.seen.total), (true, 600));
    assert_eq!(reading.since.millis(), START * 1_000);
    assert_eq!(reading.burns.map(f64::round), [500.0; 7]);
    assert_eq!(service.budget.state(), State::Hold);
    assert_eq!(service.budget.alarms().burning(), [true; 4]);
}

#[test]
fn a_restart_goes_on_from_the_last_sample_and_counts_anew() {
    let mut service = Service::begin();
    (0..600).for_each(|_| service.serve(1, 10, 0.5));
    let blocks = service.budget.rings().unsaved();
    let kept = Kept { blocks, alarms: service.budget.alarms().clone() };
    let later = WallTime::from_millis((service.now + 3_600) * 1_000);
    let mut second = Budget::begin(availability(), DEFAULT_WINDOW, kept.clone(), true, later);
    let sampled = second.reading(later).seen;
    // The last sample is at most ten seconds old.
    assert!((5_900..=6_000).contains(&sampled.total) && sampled.bad == sampled.total / 2);
    assert_eq!(second.state(), State::Hold);
    second.look(Counts { total: 7, bad: 7 }, later);
    assert_eq!(second.reading(later).seen.total, sampled.total + 7);
    assert_eq!(second.reading(later).burns[Span::M5 as usize], 0.0, "it was away for an hour");
    // An objective that joins later has nothing to do with what the counter says by then.
    let mut joins = Budget::begin(availability(), DEFAULT_WINDOW, kept, false, later);
    joins.look(Counts { total: 5_000, bad: 5_000 }, later);
    assert_eq!(joins.reading(later).seen, sampled);
    joins.look(Counts { total: 5_001, bad: 5_000 }, later);
    assert_eq!(joins.reading(later).seen.total, sampled.total + 1);
    // A service that was gone and came back has a counter that began again.
    joins.look(Counts { total: 2, bad: 0 }, later);
    assert_eq!(joins.reading(later).seen.total, sampled.total + 3);
}

#[test]
fn another_goal_is_for_the_same_history() {
    let mut service = Service::begin();
    (0..60).for_each(|_| service.serve(1, 10, 0.5));
    let stricter = Objective::Availability(Goal::from_percent("99.99").unwrap());
    service.budget.set(stricter, Duration::from_secs(7 * DAY));
    let reading = service.reading();
    assert_eq!((reading.burns[0].round(), reading.seen.total), (5_000.0, 600));
}
