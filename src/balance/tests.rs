use proptest::prelude::*;

use super::*;
use crate::split::StickyKey;
use crate::upstream::{InFlight, Proof};

const ALL: [Policy; 4] =
    [Policy::Latency, Policy::LeastRequests, Policy::RoundRobin, Policy::ConsistentHash];

/// A pool on a clock of its own.
struct Bench {
    members: Members,
    settings: BalanceSettings,
    turn: usize,
    draws: Draws,
    now: Moment,
    limit: Option<Limit>,
    usual: f32,
    spares: bool,
    key: Option<u64>,
}

impl Bench {
    fn new(policy: Policy, weights: &[u16]) -> Bench {
        let member = |(nth, &weight): (usize, &u16)| Member::nth(nth, weight);
        let hash = Sticky { keys: vec![StickyKey::ClientIp] };
        Bench {
            members: Members::new(weights.iter().enumerate().map(member).collect(), policy),
            settings: BalanceSettings { by: policy, hash, ..BalanceSettings::default() },
            turn: 0,
            draws: Draws::seeded(3),
            now: Moment::from_micros(100_000_000),
            limit: None,
            usual: 0.0,
            spares: false,
            key: None,
        }
    }

    fn upstream(&self, place: usize) -> &Arc<Upstream> {
        &self.members.list()[place].upstream
    }

    fn picking<'a>(&'a self, tried: &'a [usize]) -> Picking<'a> {
        let held = self.members.list().iter().map(|member| member.upstream.in_flight()).sum();
        Picking {
            settings: &self.settings,
            limit: self.limit,
            upload: Upload::Done,
            usual: self.usual,
            turn: self.turn,
            load: held,
            stays_near: self.members.stay_near(),
            spares: self.spares,
            tried,
            key: self.key,
            is_repeatable: true,
            now: self.now,
        }
    }

    fn pick_but(&mut self, tried: &[usize]) -> Result<usize, NoMember> {
        let mut draws = self.draws.clone();
        let picked = self.members.pick(&self.picking(tried), &mut draws, &mut ());
        self.draws = draws;
        picked
    }

    /// Picks, and takes the turn.
    fn pick(&mut self) -> Result<usize, NoMember> {
        let picked = self.pick_but(&[]);
        self.turn += 1;
        picked
    }

    /// How often each is picked.
    fn shares(&mut self, picks: u32) -> Vec<u32> {
        let mut picked = vec![0; self.members.list().len()];
        for _ in 0..picks {
            picked[self.pick().unwrap()] += 1;
        }
        picked
    }
}

/// Within 4 σ of a binomial share.
fn is_near(picked: u32, of: u32, share: f64) -> bool {
    let (n, expected) = (f64::from(of), f64::from(of) * share);
    (f64::from(picked) - expected).abs() < 4.0 * (n * share * (1.0 - share)).sqrt().max(1.0)
}

#[test]
fn idle_members_share_by_weight_whatever_the_policy() {
    for policy in [Policy::Latency, Policy::LeastRequests, Policy::RoundRobin] {
        let picked = Bench::new(policy, &[100, 100, 200]).shares(40_000);
        for (picked, share) in picked.iter().zip([0.25, 0.25, 0.5]) {
            assert!(is_near(*picked, 40_000, share), "{policy:?}: {picked}");
        }
    }
    // A ring of a hundred points is even to within about a tenth.
    let picked = Bench::new(Policy::ConsistentHash, &[100, 100, 200]).shares(40_000);
    for (picked, share) in picked.iter().zip([0.25, 0.25, 0.5]) {
        assert!((f64::from(*picked) / 40_000.0 - share).abs() < 0.08, "{picked}");
    }
}

#[test]
fn noise_in_latency_does_not_overrule_weights() {
    let mut bench = Bench::new(Policy::Latency, &[100, 300]);
    for n in 0..2_000u64 {
        bench.now = bench.now + Duration::from_millis(1);
        let took = |base| Duration::from_micros(base + n % 7 * 100);
        bench.upstream(0).latency.observe(took(2_000), 0, bench.now);
        bench.upstream(1).latency.observe(took(2_500), 0, bench.now);
    }
    let picked = bench.shares(10_000);
    assert!(is_near(picked[1], 10_000, 0.75), "{picked:?}");
}

#[test]
fn of_two_the_less_loaded_is_taken() {
    for policy in [Policy::Latency, Policy::LeastRequests] {
        let mut bench = Bench::new(policy, &[100, 100]);
        let _held = bench.upstream(0).hold(Upload::Done);
        assert_eq!(bench.shares(1_000), [0, 1_000], "{policy:?}");
        let mut bench = Bench::new(policy, &[300, 100]);
        let _held: Vec<InFlight> = (0..2).map(|_| bench.upstream(0).hold(Upload::Done)).collect();
        let _one = bench.upstream(1).hold(Upload::Done);
        assert_eq!(bench.shares(1_000), [1_000, 0], "{policy:?}: 2/3 is less than 1/1");
    }
}

#[test]
fn the_least_loaded_of_eight_is_found() {
    let mut bench = Bench::new(Policy::LeastRequests, &[100; 8]);
    let _held: Vec<InFlight> = (0..8)
        .flat_map(|p| (0..8 - p).map(move |_| p))
        .map(|p| bench.upstream(p).hold(Upload::Done))
        .collect();
    assert_eq!(bench.shares(100)[7], 100);
}

#[test]
fn a_slow_member_gets_less_and_a_failing_one_nothing() {
    let mut bench = Bench::new(Policy::Latency, &[100, 100, 100]);
    for _ in 0..3_000 {
        bench.now = bench.now + Duration::from_millis(1);
        bench.upstream(0).latency.observe(Duration::from_millis(2), 0, bench.now);
        bench.upstream(1).latency.observe(Duration::from_millis(20), 0, bench.now);
        bench.upstream(2).latency.observe_failure(Duration::from_millis(1), 3, bench.now);
    }
    let picked = bench.shares(9_000);
    assert!(picked[0] > 5_000 && picked[1] < 3_100 && picked[2] == 0, "{picked:?}");
}

#[test]
fn one_that_was_a_little_slower_once_is_not_left_out() {
    let mut bench = Bench::new(Policy::Latency, &[100, 100]);
    let mut picked = [0, 0];
    // One request at a time; the second one's first answer takes 0.4 ms longer, or 40 % longer.
    for first in [1_400, 14_000] {
        bench.now = bench.now + Duration::from_secs(3_600);
        for nth in 0..5_000 {
            let place = if nth < 2 { nth } else { bench.pick().unwrap() };
            let usual = if first > 10_000 { 10_000 } else { 1_000 };
            let took = if nth == 1 { first } else { usual };
            bench.now = bench.now + Duration::from_micros(took);
            bench.upstream(place).latency.observe(Duration::from_micros(took), 0, bench.now);
            bench.usual = bench.members.usual_latency(bench.now);
            picked[place] += 1;
        }
        assert!(picked[1] * 3 > picked[0], "{picked:?} after {first} us");
        picked = [0, 0];
    }
}

#[test]
fn while_a_fallback_answers_nobody_is_tried_against_what_its_probes_say() {
    let mut bench = Bench::new(Policy::Latency, &[100; 2]);
    (0..2).for_each(|place| bench.upstream(place).set_proof(Proof::Down, bench.now));
    for spares in [true, false] {
        bench.spares = spares;
        let due = bench.members.due_trial(&bench.picking(&[]), Moment::default());
        assert_eq!(due.is_none(), spares);
    }
}

#[test]
fn a_black_hole_draws_no_more_than_its_share() {
    // Ten members; the first fails at once, the others take ten milliseconds. As many requests are
    // under way as ten members hold at half their load.
    let mut bench = Bench::new(Policy::Latency, &[100; 10]);
    let (mut ends, mut into_hole): (Vec<(Moment, usize, InFlight)>, u32) = (Vec::new(), 0);
    for _ in 0..20_000 {
        bench.now = bench.now + Duration::from_micros(500);
        let now = bench.now;
        let over = ends.extract_if(.., |(end, ..)| *end <= now).collect::<Vec<_>>();
        for (_, place, held) in over {
            match place {
                0 => {
                    let in_a_row = held.upstream().note_failure();
                    held.upstream().latency.observe_failure(
                        Duration::from_millis(1),
                        in_a_row,
                        now,
                    );
                }
                _ => held.upstream().latency.observe(Duration::from_millis(10), 0, now),
            }
        }
        let place = bench.pick().unwrap();
        into_hole += u32::from(place == 0);
        let took = Duration::from_millis(if place == 0 { 1 } else { 10 });
        ends.push((now + took, place, bench.upstream(place).hold(Upload::Done)));
    }
    assert!(into_hole < 200, "{into_hole} of 20,000, where 2,000 were fair");
}

#[test]
fn round_robin_is_smooth() {
    let mut bench = Bench::new(Policy::RoundRobin, &[500, 100, 100]);
    let picked: Vec<usize> = (0..7).map(|_| bench.pick().unwrap()).collect();
    assert_eq!(picked, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn the_same_client_goes_to_the_same_member_while_it_has_room() {
    let mut bench = Bench::new(Policy::ConsistentHash, &[100; 10]);
    let mut moved = 0;
    for client in 0..1_000u64 {
        bench.key = Some(Draws::seeded(client).bits());
        let place = bench.pick().unwrap();
        assert_eq!(bench.pick(), Ok(place));
        bench.upstream(9).set_draining(true);
        let without = bench.pick().unwrap();
        bench.upstream(9).set_draining(false);
        assert!(place == 9 || without == place, "only clients of the one that left move");
        moved += u32::from(place == 9);
    }
    assert!((50..200).contains(&moved), "{moved}");
}

#[test]
fn when_nobody_is_well_all_are_tried_but_those_taken_out() {
    for policy in ALL {
        let mut bench = Bench::new(policy, &[100; 4]);
        for place in 0..3 {
            bench.upstream(place).set_proof(Proof::Down, bench.now);
        }
        bench.upstream(3).set_draining(true);
        let standing = bench.members.assess();
        assert_eq!(standing, Standing { available: 0, known: 3 });
        let picked = bench.shares(3_000);
        assert!(standing.has_nobody() && picked[3] == 0, "{policy:?}");
        assert!(picked[..3].iter().all(|&n| n > 300), "{policy:?}: {picked:?}");
    }
}

#[test]
fn who_is_well_gets_the_requests_however_few_they_are() {
    for policy in ALL {
        let mut bench = Bench::new(policy, &[100; 10]);
        for place in 0..9 {
            bench.upstream(place).note_refused(bench.now);
        }
        assert_eq!(bench.shares(500)[9], 500, "{policy:?}");
    }
}

#[test]
fn when_nobody_is_well_those_that_refused_in_the_last_second_come_last() {
    for policy in ALL {
        let mut bench = Bench::new(policy, &[100; 4]);
        (0..4).for_each(|place| bench.upstream(place).set_proof(Proof::Down, bench.now));
        (0..3).for_each(|place| bench.upstream(place).note_refused(bench.now));
        assert_eq!(bench.shares(200)[3], 200, "{policy:?}");
        assert!(bench.pick_but(&[3]).is_ok(), "{policy:?}: but they do come");
        bench.now = bench.now + Duration::from_secs(1);
        assert!(bench.shares(400).iter().all(|&n| n > 20), "{policy:?}");
    }
}

#[test]
fn who_has_shown_something_is_tried_first_and_then_who_has_waited_longest() {
    let mut bench = Bench::new(Policy::Latency, &[100; 3]);
    let due = |bench: &Bench, millis: u64| {
        let now = bench.now + Duration::from_millis(millis);
        let picking = Picking { now, ..bench.picking(&[]) };
        bench.members.due_trial(&picking, Moment::default())
    };
    let mut draws = Draws::seeded(1);
    let breaker = crate::upstream::BreakerSettings::default();
    for place in 0..3 {
        bench.now = bench.now + Duration::from_millis(10);
        bench.upstream(place).note_failing(&breaker, bench.now, &mut draws);
    }
    assert_eq!((due(&bench, 900), due(&bench, 1_100)), (None, Some(0)), "once a second");
    bench.upstream(2).note_accepted(3, bench.now + Duration::from_millis(1));
    assert_eq!(due(&bench, 1_100), Some(2));
    bench.upstream(1).come_back(bench.upstream(1).look(), bench.now);
    let next = bench.members.next_trial(Moment::default()).map(|(place, _)| place);
    assert_eq!((next, due(&bench, 1_100)), (Some(2), Some(2)));
    bench.upstream(2).come_back(bench.upstream(2).look(), bench.now);
    assert_eq!(due(&bench, 1_100), None, "its own time stands while another is well");
    assert_eq!(due(&bench, 5_100), Some(0));
}

#[test]
fn with_somebody_in_reserve_a_doubtful_one_is_not_asked() {
    for policy in ALL {
        let mut bench = Bench::new(policy, &[100; 4]);
        bench.spares = true;
        for place in 0..3 {
            bench.upstream(place).set_proof(Proof::Down, bench.now);
        }
        assert_eq!(bench.shares(200)[3], 200, "{policy:?}: one is well");
        bench.upstream(3).set_proof(Proof::Down, bench.now);
        assert_eq!(bench.pick(), Err(NoMember::None), "{policy:?}");
        bench.spares = false;
        assert!(bench.pick().is_ok(), "{policy:?}: nobody is in reserve");
    }
}

#[test]
fn newcomers_take_no_requests_until_nobody_else_is_there() {
    let mut bench = Bench::new(Policy::Latency, &[100; 4]);
    for place in 1..4 {
        bench.upstream(place).set_proof(Proof::Unproven, bench.now);
    }
    assert_eq!(bench.members.assess(), Standing { available: 1, known: 1 });
    assert_eq!(bench.shares(500), [500, 0, 0, 0]);
    bench.upstream(0).set_proof(Proof::Unproven, bench.now);
    assert!(bench.shares(500).iter().all(|&n| n > 50));
}

#[test]
fn one_that_came_back_gets_its_share_slowly() {
    for policy in [Policy::Latency, Policy::LeastRequests, Policy::RoundRobin] {
        let mut bench = Bench::new(policy, &[100; 4]);
        bench.upstream(0).come_in(bench.now);
        for (seconds, ramp) in [(0, 0.1), (15, 0.5), (30, 1.0)] {
            bench.now = Moment::from_micros((100 + seconds) * 1_000_000);
            let picked = bench.shares(20_000)[0];
            // Of round robin, what it does not take goes to the one whose turn is next.
            let share = if policy == Policy::RoundRobin { ramp / 4.0 } else { ramp / (3.0 + ramp) };
            let observed = f64::from(picked) / 20_000.0;
            assert!((observed - share).abs() < 0.03, "{policy:?} after {seconds} s: {observed}");
        }
    }
}

#[test]
fn a_retry_goes_elsewhere_and_to_a_doubtful_one_rather_than_nowhere() {
    for policy in ALL {
        let mut bench = Bench::new(policy, &[100, 100]);
        assert!((0..100).all(|_| bench.pick_but(&[0]) == Ok(1)), "{policy:?}");
        bench.upstream(1).set_proof(Proof::Down, bench.now);
        assert_eq!(bench.pick_but(&[0]), Ok(1), "{policy:?}");
        assert_eq!(bench.pick_but(&[0, 1]), Err(NoMember::None), "{policy:?}");
    }
}

#[test]
fn an_unresolved_member_takes_nothing() {
    for policy in ALL {
        let mut bench = Bench::new(policy, &[100, 100]);
        let mut list = bench.members.list().to_vec();
        list[0].target = None;
        bench.members = Members::new(list, policy);
        assert_eq!(bench.shares(500), [0, 500], "{policy:?}");
    }
}

proptest! {
    #[test]
    fn a_drained_member_is_never_picked_and_another_always_found(
        policy in proptest::sample::select(&ALL),
        weights in proptest::collection::vec(0u16..500, 1..12),
        drained in proptest::collection::vec(any::<bool>(), 12),
        seed in any::<u64>(),
    ) {
        let mut bench = Bench::new(policy, &weights);
        bench.draws = Draws::seeded(seed);
        bench.turn = seed as usize >> 1;
        for (member, &drained) in bench.members.list().iter().zip(&drained) {
            member.upstream.set_draining(drained);
        }
        let picked = bench.pick();
        prop_assert_eq!(picked.is_ok(), bench.members.any_left_in());
        if let Ok(place) = picked {
            prop_assert!(!bench.upstream(place).is_draining() && weights[place] > 0);
        }
    }

    #[test]
    fn no_member_holds_more_than_its_limit_or_its_bound(
        policy in proptest::sample::select(&ALL),
        weights in proptest::collection::vec(1u16..500, 2..10),
        requests in 1usize..60,
        limit in 1u32..6,
        seed in any::<u64>(),
    ) {
        let mut bench = Bench::new(policy, &weights);
        bench.limit = Some(Limit { sent: limit, sending: limit });
        let mut held = Vec::new();
        let whole: u32 = weights.iter().map(|&w| u32::from(w)).sum();
        let mut draws = Draws::seeded(seed);
        for sent in 0..requests as u32 {
            bench.key = Some(draws.bits());
            match bench.pick() {
                Ok(place) => {
                    let upstream = bench.upstream(place).clone();
                    prop_assert!(upstream.in_flight() < limit);
                    let part = f64::from(sent + 1) * f64::from(weights[place]) / f64::from(whole);
                    let others_full = (0..weights.len())
                        .any(|p| p != place && bench.upstream(p).in_flight() >= limit);
                    if policy == Policy::ConsistentHash && !others_full {
                        prop_assert!(f64::from(upstream.in_flight()) < (1.25 * part).ceil());
                    }
                    held.push(upstream.hold(Upload::Done));
                }
                Err(error) => {
                    prop_assert_eq!(error, NoMember::Full);
                    prop_assert!(held.len() as u32 == limit * weights.len() as u32);
                    break;
                }
            }
        }
    }

    #[test]
    fn weights_are_respected(
        policy in proptest::sample::select(&ALL[..3]),
        weights in proptest::collection::vec(1u16..300, 2..10),
        seed in any::<u64>(),
    ) {
        let mut bench = Bench::new(policy, &weights);
        bench.draws = Draws::seeded(seed);
        let whole: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let picked = bench.shares(20_000);
        for (picked, &weight) in picked.iter().zip(&weights) {
            let share = f64::from(weight) / whole;
            let variance = 20_000.0 * share * (1.0 - share);
            // Seeds differ from run to run: by Bernstein's inequality one count lies farther out
            // with a probability of 2·e^-30, and one of 256 cases of nine in one run of 2 · 10^9.
            let bound = 10.0 + (100.0 + 60.0 * variance).sqrt();
            prop_assert!((f64::from(*picked) - 20_000.0 * share).abs() <= bound);
        }
    }
}

#[test]
fn while_half_of_those_that_are_near_are_well_nobody_else_is_asked() {
    for policy in
        [Policy::Latency, Policy::LeastRequests, Policy::RoundRobin, Policy::ConsistentHash]
    {
        let mut bench = Bench::new(policy, &[100; 4]);
        let mut list = bench.members.list().to_vec();
        list[..2].iter_mut().for_each(|member| member.is_near = true);
        bench.members = Members::new(list, policy);
        let picked = bench.shares(400);
        assert!(
            picked[..2].iter().all(|n| *n > 0) && picked[2..] == [0, 0],
            "{policy:?} {picked:?}"
        );
        bench.upstream(0).set_draining(true);
        assert_eq!(bench.shares(100), [0, 100, 0, 0], "{policy:?}: half of them are well");
        assert!(bench.pick_but(&[1]).unwrap() > 1, "a retry goes to who is not near");
        bench.upstream(1).note_refused(bench.now);
        let picked = bench.shares(400);
        assert!(
            picked[..2] == [0, 0] && picked[2..].iter().all(|n| *n > 0),
            "{policy:?} {picked:?}"
        );
        let barred = bench.members.not_taken(&bench.picking(&[]), Ok(2), &[], usize::MAX);
        assert!(barred.iter().all(|(_, why)| *why != NotTaken::Elsewhere));
        let first = bench.members.not_taken(&bench.picking(&[]), Ok(0), &[], 2);
        assert_eq!(first.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2]);
        // Nobody is near where nobody has the label.
        let plain = Bench::new(policy, &[100; 2]);
        assert!(!plain.members.stay_near());
    }
}
