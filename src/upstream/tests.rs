use super::*;
use crate::clock::Draws;

const WINDOW: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Moment {
    Moment::from_micros(seconds * 1_000_000)
}

fn upstream() -> Upstream {
    Upstream::new("192.0.2.1:80".parse().unwrap(), None)
}

#[test]
fn one_that_was_down_starts_slowly_over_thirty_seconds() {
    let upstream = upstream();
    upstream.set_proof(Proof::Down, at(1));
    assert_eq!(upstream.proof(), Proof::Down);
    upstream.set_proof(Proof::Up, at(10));
    let shares = [10, 12, 25, 39, 40].map(|t| upstream.share(WINDOW, at(t)));
    assert_eq!(shares.map(|s| (s * 100.0).round()), [10.0, 10.0, 50.0, 97.0, 100.0]);
    assert!(!upstream.refresh(WINDOW, at(39)).none());
    assert!(upstream.refresh(WINDOW, at(40)).none());
}

#[test]
fn one_that_is_new_and_proves_itself_does_not() {
    let upstream = upstream();
    upstream.set_proof(Proof::Unproven, at(0));
    assert_eq!(upstream.proof(), Proof::Unproven);
    upstream.set_proof(Proof::Up, at(1));
    assert!(upstream.conditions().none());
}

#[test]
fn whatever_put_it_out_good_trials_end_it_and_it_starts_slowly() {
    let (upstream, settings) = (upstream(), EjectionSettings::default());
    let (breaker, mut draws) = (BreakerSettings::default(), Draws::seeded(1));
    upstream.ejection.eject(&settings, at(1), &mut draws);
    upstream.note_ejected(at(1));
    upstream.note_failing(&breaker, at(1), &mut draws);
    upstream.note_refused(at(1));
    assert_eq!(upstream.trial_due(true), None);
    assert!(upstream.wants_check(at(1)));
    upstream.note_accepted(3, at(2));
    assert_eq!(upstream.unwell_since(), Some(at(1)));
    assert_eq!(upstream.trial_due(true).map(|due| due.at), Some(at(2)), "whatever its time");
    let trial = upstream.trials.enter(at(2)).unwrap();
    assert!(!upstream.wants_check(at(2)), "a request finds out");
    assert_eq!(upstream.trials.leave(trial, Some(false), 3), Shown::Fails);
    upstream.stay_out(upstream.look(), false, Some(&settings), &breaker, at(3), &mut draws);
    let own = upstream.ejection.until().max(upstream.trials.until());
    assert_eq!(upstream.trial_due(true).map(|due| due.at), Some(own), "it answers, and badly");
    assert!(upstream.refresh(WINDOW, own).any(Conditions::EJECTED), "time alone brings nothing");
    upstream.come_back(upstream.look(), own);
    assert_eq!(upstream.conditions(), Conditions::SLOW_START);
}

#[test]
fn where_nobody_comes_checks_in_a_row_bring_it_back_with_its_breaker() {
    let upstream = upstream();
    let settings = BreakerSettings { requests: 1, ..BreakerSettings::default() };
    let fared = Fared { failed: true, slow: false };
    assert!(upstream.breaker.note(fared, &settings, || true, at(1), &mut Draws::seeded(1)));
    upstream.note_breaker(at(1));
    upstream.note_refused(at(1));
    upstream.note_accepted(3, at(2));
    upstream.note_accepted(3, at(3));
    upstream.note_refused(at(3));
    for second in 4..6 {
        upstream.note_accepted(3, at(second));
        assert!(upstream.is_out() && upstream.wants_check(at(second)));
    }
    let trial = upstream.trials.enter(at(6)).unwrap();
    upstream.trials.leave(trial, None, 3);
    upstream.note_accepted(3, at(7));
    assert!(upstream.is_out(), "somebody came: what a request finds counts for more");
    upstream.note_accepted(3, at(8));
    upstream.note_accepted(3, at(9));
    assert_eq!(upstream.conditions(), Conditions::SLOW_START);
    assert_eq!((upstream.breaker.is_open(), upstream.unwell_since()), (false, None));
}

#[test]
fn advice_scales_the_share_and_may_drain() {
    let upstream = upstream();
    upstream.set_advice(Some(25), false);
    assert_eq!(upstream.share(WINDOW, at(1)), 0.25);
    assert!(!upstream.conditions().any(Conditions::ADVISED_DRAIN));
    upstream.set_advice(Some(0), false);
    assert!(upstream.conditions().any(Conditions::ADVISED_DRAIN));
    upstream.set_advice(None, false);
    assert!(upstream.conditions().none());
}

#[test]
fn a_breaker_that_closes_lets_it_in_slowly() {
    let upstream = upstream();
    upstream.breaker.set_order(BreakerOrder::Open, at(1));
    upstream.note_breaker(at(1));
    assert_eq!(upstream.conditions(), Conditions::BREAKER);
    upstream.breaker.set_order(BreakerOrder::Auto, at(2));
    upstream.note_breaker(at(2));
    assert_eq!(upstream.conditions(), Conditions::SLOW_START);
}

#[test]
fn what_puts_it_out_while_it_is_found_to_work_stands_for_its_whole_time() {
    let (upstream, settings) = (upstream(), EjectionSettings::default());
    let (breaker, mut draws) = (BreakerSettings::default(), Draws::seeded(1));
    upstream.ejection.eject(&settings, at(1), &mut draws);
    upstream.note_ejected(at(1));
    let seen = upstream.look();
    upstream.ejection.eject(&settings, at(50), &mut draws);
    upstream.note_ejected(at(50));
    let until = upstream.ejection.until();
    upstream.come_back(seen, at(50));
    assert_eq!(upstream.conditions(), Conditions::EJECTED);
    assert_eq!(upstream.trial_due(true).map(|due| due.at), Some(until));

    let seen = upstream.look();
    upstream.note_failing(&breaker, at(60), &mut draws);
    upstream.come_back(seen, at(60));
    assert!(upstream.conditions().any(Conditions::EJECTED) && upstream.trials.until() > at(60));

    upstream.come_back(upstream.look(), at(61));
    assert_eq!(upstream.conditions(), Conditions::SLOW_START);
}

#[test]
fn a_breaker_that_opens_while_it_is_found_to_work_stays_open() {
    let upstream = upstream();
    let settings = BreakerSettings { requests: 1, ..BreakerSettings::default() };
    upstream.note_refused(at(1));
    let seen = upstream.look();
    let fared = Fared { failed: true, slow: false };
    assert!(upstream.breaker.note(fared, &settings, || true, at(1), &mut Draws::seeded(1)));
    upstream.come_back(seen, at(1));
    upstream.note_breaker(at(1));
    assert!(upstream.breaker.is_open() && upstream.conditions().any(Conditions::BREAKER));
}

#[test]
fn an_operators_open_stands_beside_trials_that_bring_it_back() {
    let upstream = upstream();
    upstream.note_refused(at(1));
    let seen = upstream.look();
    upstream.breaker.set_order(BreakerOrder::Open, at(2));
    upstream.note_breaker(at(2));
    upstream.come_back(seen, at(2));
    assert!(upstream.conditions().any(Conditions::BREAKER));
    upstream.come_back(upstream.look(), at(3));
    assert_eq!(upstream.conditions().without(Conditions::SLOW_START), Conditions::BREAKER);
}

#[test]
fn one_that_accepts_and_answers_badly_is_out_all_the_time() {
    let upstream = upstream();
    let (breaker, mut draws) = (BreakerSettings::default(), Draws::seeded(1));
    upstream.note_refused(at(1));
    upstream.stay_out(upstream.look(), false, None, &breaker, at(2), &mut draws);
    assert_eq!(upstream.conditions(), Conditions::FAILING);
    let seen = upstream.look();
    upstream.note_refused(at(3));
    upstream.stay_out(seen, false, None, &breaker, at(3), &mut draws);
    assert!(upstream.conditions().any(Conditions::REFUSING), "that it refuses was found since");
    assert_eq!(upstream.unwell_since(), Some(at(1)));
}
