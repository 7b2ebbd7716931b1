use proptest::prelude::*;

use super::super::tests::notice as worded;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn notice(severity: Severity, dedup: &str) -> Arc<Notice> {
    Arc::new(worded(severity, dedup))
}

/// A queue, a time, and chance.
fn fixture() -> (Queue, Instant, Draws) {
    (Queue::new(Patience::default()), crate::server::clock::system().now(), Draws::seeded(1))
}

fn parcel(next: Next) -> Parcel {
    let Next::Send(parcel) = next else { panic!("{next:?}") };
    parcel
}

/// Sends everything, and what was sent with how many suppressed.
fn drain(queue: &mut Queue, now: Instant) -> Vec<(String, u64)> {
    let mut told = Vec::new();
    while let Next::Send(parcel) = queue.next(now) {
        told.push((parcel.notice.dedup.clone(), parcel.suppressed));
        let after = queue.on_end(&parcel, End::Sent, now, &mut Draws::seeded(1));
        assert_eq!(after, After::Told);
    }
    told
}

#[test]
fn the_most_severe_goes_first_and_then_the_oldest() {
    let (mut queue, now, _) = fixture();
    use Severity::*;
    for (severity, key) in [(Low, "a"), (High, "b"), (Low, "c"), (Critical, "d"), (High, "e")] {
        assert_eq!(queue.offer(notice(severity, key), now), Offer::Taken);
    }
    let keys: Vec<String> = drain(&mut queue, now).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["d", "b", "e", "a", "c"]);
    assert_eq!(queue.next(now), Next::Idle);
}

#[test]
fn a_repetition_is_told_once_in_five_minutes_and_counted_in_the_next() {
    let (mut queue, now, _) = fixture();
    let low = |key| notice(Severity::Low, key);
    assert_eq!(queue.offer(low("a"), now), Offer::Taken);
    assert_eq!(drain(&mut queue, now), [("a".into(), 0)]);
    assert_eq!(queue.offer(low("a"), now + SECOND), Offer::Suppressed);
    assert_eq!(queue.offer(low("a"), now + 299 * SECOND), Offer::Suppressed);
    assert_eq!(queue.offer(low("b"), now + 299 * SECOND), Offer::Taken);
    assert_eq!(queue.offer(low("a"), now + 300 * SECOND), Offer::Taken);
    let later = now + 300 * SECOND;
    assert_eq!(drain(&mut queue, later), [("b".into(), 0), ("a".into(), 2)]);
    // The five minutes begin anew.
    assert_eq!(queue.offer(low("a"), later + 299 * SECOND), Offer::Suppressed);
}

#[test]
fn a_state_that_was_another_meanwhile_is_told_again_and_told_last() {
    let (mut queue, now, _) = fixture();
    let of = |severity, dedup: &str| {
        Arc::new(Notice { topic: "mode".into(), ..worded(severity, dedup) })
    };
    use Severity::*;
    for (severity, dedup) in [(Low, "serves"), (High, "down"), (Low, "serves"), (High, "down")] {
        assert_eq!(queue.offer(of(severity, dedup), now), Offer::Taken);
    }
    assert_eq!(queue.offer(of(High, "down"), now), Offer::Suppressed);
    queue.offer(notice(Critical, "other"), now);
    let told: Vec<String> = drain(&mut queue, now).into_iter().map(|(key, _)| key).collect();
    assert_eq!(told, ["other", "serves", "down", "serves", "down"], "the last word is the last");
    assert!(queue.has_told_of_trouble("mode") && !queue.has_told_of_trouble("none"));
}

#[test]
fn what_was_held_back_of_one_state_is_not_counted_for_another() {
    let (mut queue, now, _) = fixture();
    let of =
        |dedup: &str| Arc::new(Notice { topic: "mode".into(), ..worded(Severity::Low, dedup) });
    queue.offer(of("down"), now);
    drain(&mut queue, now);
    (0..3).for_each(|_| assert_eq!(queue.offer(of("down"), now), Offer::Suppressed));
    queue.offer(of("serves"), now);
    assert_eq!(drain(&mut queue, now), [("serves".into(), 0)]);
}

#[test]
fn what_is_worse_or_has_no_key_is_no_repetition() {
    let (mut queue, now, _) = fixture();
    for (severity, expected) in [
        (Severity::Medium, Offer::Taken),
        (Severity::Low, Offer::Suppressed),
        (Severity::Critical, Offer::Taken),
        (Severity::High, Offer::Suppressed),
    ] {
        assert_eq!(queue.offer(notice(severity, "a"), now), expected, "{severity}");
    }
    assert_eq!(queue.offer(notice(Severity::Low, ""), now), Offer::Taken);
    assert_eq!(queue.offer(notice(Severity::Low, ""), now), Offer::Taken);
}

#[test]
fn what_was_given_up_does_not_suppress_its_like() {
    let (mut queue, now, mut draws) = fixture();
    queue.offer(notice(Severity::Low, "a"), now);
    let first = parcel(queue.next(now));
    assert_eq!(queue.on_end(&first, End::Refused, now, &mut draws), After::Dropped);
    assert_eq!(queue.offer(notice(Severity::Low, "a"), now), Offer::Taken);
}

#[test]
fn pauses_double_with_jitter_and_end_after_eight_attempts() {
    let (mut queue, mut now, mut draws) = fixture();
    let begun = now;
    queue.offer(notice(Severity::Low, "a"), now);
    let mut pauses = Vec::new();
    let last = loop {
        let parcel = parcel(queue.next(now));
        match queue.on_end(&parcel, End::Failed(None), now, &mut draws) {
            After::Again(pause) => {
                assert_eq!(queue.next(now), Next::Wait(pause));
                pauses.push(pause);
                now += pause;
            }
            after => break after,
        }
    };
    assert_eq!((last, pauses.len()), (After::Dropped, 7));
    for (place, pause) in pauses.iter().enumerate() {
        let whole = SECOND * 4 * (1 << place);
        assert!((whole / 2..=whole).contains(pause), "{pauses:?}");
    }
    assert!(now - begun < Duration::from_secs(508));
}

#[test]
fn a_success_ends_the_pauses() {
    let (mut queue, now, mut draws) = fixture();
    queue.offer(notice(Severity::Low, "a"), now);
    for _ in 0..3 {
        let parcel = parcel(queue.next(now + 1_000 * SECOND));
        queue.on_end(&parcel, End::Failed(None), now, &mut draws);
    }
    assert_eq!(drain(&mut queue, now + 1_000 * SECOND).len(), 1);
    queue.offer(notice(Severity::Low, "b"), now);
    let next = parcel(queue.next(now));
    let After::Again(pause) = queue.on_end(&next, End::Failed(None), now, &mut draws) else {
        panic!("given up");
    };
    assert!(pause <= SECOND * 4, "{pause:?}");
}

#[test]
fn a_target_may_ask_for_a_longer_pause_within_bounds() {
    let (mut queue, now, mut draws) = fixture();
    queue.offer(notice(Severity::Low, "a"), now);
    for (asked, expected) in [(60, 60), (86_400, 256)] {
        let parcel = parcel(queue.next(now + 1_000 * SECOND));
        let end = End::Failed(Some(SECOND * asked));
        assert_eq!(queue.on_end(&parcel, end, now, &mut draws), After::Again(SECOND * expected));
    }
}

#[test]
fn only_what_is_worse_than_all_that_waits_does_not_wait_out_a_pause() {
    let (mut queue, now, mut draws) = fixture();
    queue.offer(notice(Severity::Medium, "a"), now);
    let mut fail = |queue: &mut Queue| {
        let parcel = parcel(queue.next(now));
        queue.on_end(&parcel, End::Failed(None), now, &mut draws);
        parcel.notice.dedup.clone()
    };
    assert_eq!(fail(&mut queue), "a");
    queue.offer(notice(Severity::Medium, "b"), now);
    assert!(matches!(queue.next(now), Next::Wait(_)));
    queue.offer(notice(Severity::High, "c"), now);
    assert_eq!(fail(&mut queue), "c");
    queue.offer(notice(Severity::High, "d"), now);
    assert!(matches!(queue.next(now), Next::Wait(_)));
    queue.offer(notice(Severity::Critical, "e"), now);
    assert_eq!(fail(&mut queue), "e");
}

#[test]
fn news_of_ten_minutes_ago_is_dropped() {
    let (mut queue, now, _) = fixture();
    queue.offer(notice(Severity::Low, "a"), now);
    queue.offer(notice(Severity::Low, "b"), now + SECOND);
    assert_eq!(queue.expire(now + 599 * SECOND), []);
    let gone = queue.expire(now + 600 * SECOND);
    assert_eq!(gone, [notice(Severity::Low, "a")]);
    assert_eq!(drain(&mut queue, now + 600 * SECOND), [("b".into(), 0)]);
}

#[test]
fn a_full_queue_gives_up_what_matters_least() {
    let (mut queue, now, _) = fixture();
    for place in 0..ROOM {
        let severity = if place == 0 { Severity::Low } else { Severity::Medium };
        assert_eq!(queue.offer(notice(severity, &place.to_string()), now), Offer::Taken);
    }
    let least = notice(Severity::Low, "0");
    assert_eq!(queue.offer(notice(Severity::Low, "x"), now), Offer::Refused);
    assert_eq!(queue.offer(notice(Severity::Medium, "x"), now), Offer::TakenFor(least));
    assert_eq!(queue.offer(notice(Severity::Medium, "y"), now), Offer::Refused);
    assert_eq!(drain(&mut queue, now).len(), ROOM);
}

#[test]
fn a_closed_queue_tells_each_once() {
    let (mut queue, now, mut draws) = fixture();
    use Severity::*;
    for (severity, key) in [(Low, "a"), (High, "b"), (Medium, "c"), (Critical, "d")] {
        queue.offer(notice(severity, key), now);
    }
    let first = parcel(queue.next(now));
    queue.on_end(&first, End::Failed(None), now, &mut draws);
    assert!(queue.close(), "b and d do not wait for what matters less");
    assert_eq!(queue.offer(notice(Critical, "e"), now), Offer::Refused);
    let first = parcel(queue.next(now));
    assert_eq!(first.notice.dedup, "d");
    assert_eq!(queue.on_end(&first, End::Failed(None), now, &mut draws), After::Dropped);
    let rest = ["b", "c", "a"].map(|key| (key.into(), 0));
    assert_eq!(drain(&mut queue, now), rest);
    assert_eq!(queue.next(now), Next::Done);
}

#[test]
fn a_queue_without_what_is_urgent_does_not_hurry() {
    let (mut queue, now, _) = fixture();
    queue.offer(notice(Severity::Medium, "a"), now);
    assert!(!queue.close());
    let (mut queue, now, _) = fixture();
    queue.offer(notice(Severity::High, "a"), now);
    parcel(queue.next(now));
    assert!(!queue.close(), "it is being told");
}

proptest! {
    /// Whatever happens: bounded, every notice has exactly one end, and none is tried too often.
    #[test]
    fn nothing_is_lost_told_twice_or_kept_for_ever(
        steps in prop::collection::vec((0u8..6, 0u8..4, 0u8..20, 0u64..200), 1..400),
        seed: u64,
    ) {
        let (mut queue, mut now, _) = fixture();
        let mut draws = Draws::seeded(seed);
        let mut attempts: HashMap<u64, u32> = HashMap::new();
        let (mut offered, mut ended) = (0u64, 0u64);
        for (step, severity, key, seconds) in steps {
            now += SECOND * seconds as u32;
            ended += queue.expire(now).len() as u64;
            if step < 3 {
                let severities =
                    [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
                let mut new = worded(severities[severity as usize], &key.to_string());
                offered += 1;
                new.id = offered;
                match queue.offer(Arc::new(new), now) {
                    Offer::Taken => {}
                    Offer::TakenFor(_) | Offer::Suppressed | Offer::Refused => ended += 1,
                }
            } else if let Next::Send(parcel) = queue.next(now) {
                let tried = attempts.entry(parcel.notice.id).or_default();
                *tried += 1;
                prop_assert!(*tried <= 8);
                let end = [End::Sent, End::Failed(None), End::Refused][step as usize - 3];
                match queue.on_end(&parcel, end, now, &mut draws) {
                    After::Again(pause) => prop_assert!(pause <= 256 * SECOND),
                    After::Told | After::Dropped => ended += 1,
                }
            }
            prop_assert_eq!(offered - ended, queue.waiting.len() as u64);
            prop_assert!(queue.recent.len() <= ROOM);
        }
        queue.close();
        ended += queue.empty().len() as u64;
        prop_assert_eq!(offered, ended);
    }
}

#[test]
fn one_that_somebody_waits_for_goes_before_all_others_and_waits_out_no_pause() {
    let (mut queue, now, mut draws) = fixture();
    queue.offer(notice(Severity::High, "a"), now);
    let first = parcel(queue.next(now));
    queue.on_end(&first, End::Failed(None), now, &mut draws);
    assert!(matches!(queue.next(now), Next::Wait(_)));
    queue.offer(notice(Severity::Critical, "b"), now);
    let critical = parcel(queue.next(now));
    queue.on_end(&critical, End::Failed(None), now, &mut draws);
    assert_eq!(queue.offer_first(notice(Severity::Low, ""), now), Offer::Taken);
    let asked = parcel(queue.next(now));
    assert_eq!(asked.notice.dedup, "");
    assert_eq!(queue.on_end(&asked, End::Refused, now, &mut draws), After::Dropped);
    assert!(matches!(queue.next(now), Next::Wait(_)), "for others the pause goes on");
    queue.close();
    assert_eq!(queue.offer_first(notice(Severity::Low, ""), now), Offer::Refused);
}
