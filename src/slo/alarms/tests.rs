use super::*;
use crate::judge::Counts;
use crate::slo::{Burns, Span};

/// Alarms on simulated time, looked at every second.
struct Ride {
    alarms: Alarms,
    now: u64,
}

fn seen(burns: Burns, remaining: f64) -> Reading {
    Reading {
        burns,
        remaining,
        seen: Counts::default(),
        is_enough: true,
        is_warming: false,
        since: WallTime::default(),
    }
}

/// So much in both windows of a tier, and nothing in the others.
fn burn(tier: usize, long: f64, short: f64) -> Burns {
    let mut burns = [0.0; Span::ALL.len()];
    burns[TIERS[tier].long as usize] = long;
    burns[TIERS[tier].short as usize] = short;
    burns
}

const CALM: Burns = [0.0; Span::ALL.len()];

impl Ride {
    fn begin() -> Ride {
        Ride { alarms: Alarms::default(), now: 1_000 }
    }

    /// Sees this for so many seconds; the state at the end of them.
    fn sees(&mut self, reading: &Reading, seconds: u64) -> State {
        for _ in 0..seconds {
            self.now += 1;
            self.alarms.look(reading, WallTime::from_millis(self.now * 1_000));
        }
        self.alarms.state()
    }
}

#[test]
fn a_fast_rate_holds_until_it_has_been_over_for_thirty_minutes() {
    for tier in [0, 1] {
        let rate = TIERS[tier].rate;
        let mut ride = Ride::begin();
        assert_eq!(ride.sees(&seen(burn(tier, rate, rate - 0.1), 1.0), 60), State::Open);
        assert_eq!(ride.sees(&seen(burn(tier, rate - 0.1, rate), 1.0), 60), State::Open);
        assert_eq!(ride.sees(&seen(burn(tier, rate, rate), 1.0), 1), State::Hold);
        // The short window alone says when it is over, and not before it is well below.
        assert_eq!(ride.sees(&seen(burn(tier, rate, 0.91 * rate), 1.0), 3_600), State::Hold);
        assert!(ride.alarms.burning()[tier]);
        let calm = seen(burn(tier, rate, 0.89 * rate), 1.0);
        assert_eq!(ride.sees(&calm, 10), State::Hold);
        assert!(ride.alarms.burning()[tier], "not for ten seconds yet");
        ride.sees(&calm, 1);
        assert_eq!(ride.alarms.burning(), [false; 4]);
        assert_eq!(ride.sees(&calm, 1_799), State::Hold);
        assert_eq!(ride.sees(&calm, 2), State::Open);
    }
}

#[test]
fn a_relapse_begins_the_thirty_minutes_anew() {
    let (bad, calm) = (seen(burn(0, 20.0, 20.0), 1.0), seen(CALM, 1.0));
    let mut ride = Ride::begin();
    ride.sees(&bad, 1);
    assert_eq!(ride.sees(&calm, 1_790), State::Hold);
    ride.sees(&bad, 1);
    assert_eq!(ride.sees(&calm, 1_800), State::Hold);
    assert_eq!(ride.sees(&calm, 30), State::Open);
}

#[test]
fn a_slow_rate_asks_for_caution_only_and_as_long_as_it_lasts() {
    for tier in [2, 3] {
        let rate = TIERS[tier].rate;
        let mut ride = Ride::begin();
        assert_eq!(ride.sees(&seen(burn(tier, rate, rate), 0.5), 1), State::Caution);
        let calm = seen(burn(tier, rate, 0.89 * rate), 0.5);
        assert_eq!(ride.sees(&calm, 10), State::Caution);
        assert_eq!(ride.sees(&calm, 1), State::Open);
    }
}

#[test]
fn what_is_left_is_spent_and_regained_with_a_difference() {
    let mut ride = Ride::begin();
    for (left, expected) in [
        (0.2, State::Open),
        (0.11, State::Open),
        (0.1, State::Caution),
        (0.19, State::Caution),
        (0.2, State::Open),
        (0.1, State::Caution),
        (0.01, State::Caution),
        (0.0, State::Frozen),
        (0.09, State::Frozen),
        (0.1, State::Caution),
        (0.0, State::Frozen),
        (-3.0, State::Frozen),
        (0.15, State::Caution),
        (0.2, State::Open),
        (-1.0, State::Frozen),
        (1.0, State::Open),
    ] {
        assert_eq!(ride.sees(&seen(CALM, left), 1), expected, "{left}");
    }
}

#[test]
fn the_end_of_a_fast_burn_uncovers_what_it_did_to_the_budget() {
    let mut ride = Ride::begin();
    assert_eq!(ride.sees(&seen(burn(0, 20.0, 20.0), 0.05), 1), State::Hold);
    assert_eq!(ride.sees(&seen(CALM, 0.05), 1_812), State::Caution);
    assert_eq!(ride.sees(&seen(burn(0, 20.0, 20.0), -0.5), 1), State::Frozen);
    assert_eq!(ride.sees(&seen(CALM, 0.5), 1), State::Hold, "the burn is not over for long");
    assert_eq!(ride.sees(&seen(CALM, 0.5), 1_812), State::Open);
}

#[test]
fn a_budget_that_warms_is_held_by_fast_rates_only() {
    let warming = |burns, left| Reading { is_warming: true, ..seen(burns, left) };
    let mut ride = Ride::begin();
    assert_eq!(ride.sees(&warming(CALM, -5.0), 60), State::Open);
    assert_eq!(ride.sees(&warming(burn(2, 9.0, 9.0), -5.0), 60), State::Open);
    assert_eq!(ride.sees(&warming(burn(1, 6.0, 6.0), -5.0), 1), State::Hold);
    // A window that was made longer warms again.
    let mut ride = Ride::begin();
    assert_eq!(ride.sees(&seen(CALM, -5.0), 1), State::Frozen);
    assert_eq!(ride.sees(&warming(CALM, -5.0), 1), State::Open);
}

#[test]
fn a_handful_of_requests_spends_no_budget() {
    let few = Reading { is_enough: false, ..seen(CALM, -99.0) };
    assert_eq!(Ride::begin().sees(&few, 60), State::Open);
}

#[test]
fn alarms_go_on_after_a_clock_was_set_back() {
    let mut ride = Ride::begin();
    ride.sees(&seen(burn(0, 20.0, 20.0), 1.0), 1);
    ride.sees(&seen(CALM, 1.0), 1_000);
    assert_eq!(ride.sees(&seen(CALM, 1.0), 800), State::Hold);
    assert_eq!(ride.sees(&seen(CALM, 1.0), 20), State::Open);
    ride.sees(&seen(burn(0, 20.0, 20.0), 1.0), 1);
    ride.sees(&seen(CALM, 1.0), 1_000);
    ride.now -= 2_000;
    assert_eq!(ride.sees(&seen(CALM, 1.0), 1_800), State::Hold, "thirty minutes from here");
    assert_eq!(ride.sees(&seen(CALM, 1.0), 5), State::Open);
}
