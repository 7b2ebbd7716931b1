use proptest::prelude::*;

use super::*;

/// What somebody who remembers every single look says came after `from`.
fn brute_force(looks: &[(u64, Counts)], from: u64) -> Counts {
    let mut sum = Counts::default();
    looks.iter().filter(|(at, _)| *at > from).for_each(|(_, counts)| sum += *counts);
    sum
}

fn at(seconds: u64) -> WallTime {
    WallTime::from_millis(seconds * 1_000)
}

/// Any moment: rings know no beginning of the day.
const START: u64 = 1_700_000_123;

const DAY: u64 = 24 * 60 * 60;

/// Seconds to the next look, what came with it, and whether the process was away before it.
type Look = (u64, u64, u64, Option<u64>);

fn looks(longest: u64) -> impl Strategy<Value = Vec<Look>> {
    let away = prop_oneof![60 => Just(None), 1 => (1..100_000u64).prop_map(Some)];
    let one = (1..=longest, 0..1_000u64, 0..100u64, away);
    proptest::collection::vec(one, 1..400)
}

proptest! {
    #[test]
    fn no_window_is_off_by_more_than_a_grain(
        looks in looks(40),
        windows in proptest::collection::vec(1..=3 * DAY, 1..20),
    ) {
        let mut rings = Rings::new(Duration::from_secs(30 * DAY));
        let (mut totals, mut now) = (Counts::default(), START);
        rings.note(at(now), totals);
        let mut known = vec![(now, totals)];
        for (step, total, bad, away) in looks {
            if let Some(away) = away {
                // Killed: what was sampled last is what is known of it, of all grains.
                rings = Rings::recall(Duration::from_secs(30 * DAY), blocks(&rings));
                totals = rings.totals();
                let sampled = rings.newest().unwrap().millis() / 1_000;
                known.retain(|(at, _)| *at <= sampled);
                now += away;
            }
            now += step;
            let came = Counts { total: total.max(bad), bad };
            totals += came;
            rings.note(at(now), totals);
            known.push((now, came));
        }
        for window in windows.into_iter().chain([5 * 60, 30 * 60, 3_600, 6 * 3_600, DAY, 3 * DAY]) {
            let said = rings.within(Duration::from_secs(window), at(now), totals);
            let grain = if window <= 6 * 3_600 { 10 } else { 5 * 60 };
            let least = brute_force(&known, now - window);
            // A sample is taken with the first look of its stretch, at most 40 s into it.
            let most = brute_force(&known, now.saturating_sub(window + grain + 40));
            let is_between = |of: fn(Counts) -> u64| of(least) <= of(said) && of(said) <= of(most);
            let holds = is_between(|counts| counts.total) && is_between(|counts| counts.bad);
            prop_assert!(holds, "{window}: {least:?} {said:?} {most:?}");
        }
    }

    #[test]
    fn what_was_stored_in_pieces_is_the_whole(looks in looks(90), saves in 1..50usize) {
        let mut rings = Rings::new(Duration::from_secs(30 * DAY));
        let (mut totals, mut now) = (Counts::default(), START);
        let mut stored = std::collections::BTreeMap::new();
        let mut save = |rings: &mut Rings| {
            for block in rings.unsaved() {
                stored.insert((block.grain, block.number), block);
            }
            for (grain, oldest) in rings.oldest_blocks() {
                stored.retain(|(of, number), _| *of != grain || *number >= oldest);
            }
            rings.set_saved();
            stored.values().cloned().collect::<Vec<_>>()
        };
        for (place, (step, total, bad, away)) in looks.into_iter().enumerate() {
            now += step + away.unwrap_or_default();
            totals += Counts { total, bad };
            rings.note(at(now), totals);
            if place % saves == 0 {
                save(&mut rings);
            }
        }
        let blocks = save(&mut rings);
        let mut recalled = Rings::recall(Duration::from_secs(30 * DAY), blocks);
        prop_assert_eq!(recalled.totals(), totals_of(&rings));
        // A block holds more than is needed; the next sample lets go of that.
        recalled.note(at(now + 3_600), totals);
        rings.note(at(now + 3_600), totals);
        for (recalled, ring) in recalled.0.iter().zip(&rings.0) {
            let more: Vec<_> =
                recalled.samples.iter().filter(|sample| !contains(ring, sample)).collect();
            prop_assert_eq!(recalled.samples.iter().count(), ring.samples.iter().count() + more.len());
            // The beginning of the gap, which is the end of the finest ring.
            let is_end = |sample: &&Sample| contains(&rings.0[0], sample);
            prop_assert!(more.len() <= 1 && more.iter().all(is_end), "{more:?}");
        }
    }
}

fn contains(ring: &Ring, sample: &Sample) -> bool {
    ring.samples.iter().any(|known| known == sample)
}

fn totals_of(rings: &Rings) -> Counts {
    rings.0[0].samples.back().unwrap().counts
}

/// All of some rings, as if nothing had been stored yet.
fn blocks(rings: &Rings) -> Vec<Arc<Block>> {
    let mut rings = rings.clone();
    rings.0.iter_mut().for_each(|ring| ring.saved = WallTime::default());
    rings.unsaved()
}

fn counts(total: u64) -> Counts {
    Counts { total, bad: 0 }
}

#[test]
fn a_ring_holds_its_horizon_and_one_more() {
    let mut rings = Rings::new(Duration::from_secs(30 * DAY));
    for second in 0..40 * DAY / 10 {
        rings.note(at(START + 10 * second), counts(second));
    }
    let lengths = rings.0.each_ref().map(|ring| ring.samples.iter().count());
    assert_eq!(lengths, [2_161, 865, 721]);
    let all: usize = lengths.iter().sum();
    assert!(all * size_of::<Sample>() < 90 << 10, "24 bytes each");
}

#[test]
fn a_clock_that_was_set_back_takes_samples_out_and_no_counts() {
    let mut rings = Rings::new(Duration::from_secs(30 * DAY));
    (0..=600).for_each(|second| rings.note(at(START + second), counts(second)));
    rings.set_saved();
    let back = START + 300;
    rings.note(at(back), counts(601));
    let within = |seconds| rings.within(Duration::from_secs(seconds), at(back), counts(601));
    assert_eq!(within(10).total, 601 - 287, "what came later is said to have come just now");
    assert_eq!(within(300).total, 601);
    let next = Sample { at: at(back + 10), counts: counts(611) };
    rings.note(next.at, next.counts);
    let unsaved = rings.unsaved();
    assert_eq!(unsaved.len(), 1, "of the coarser ones nothing was taken out: {unsaved:?}");
    assert_eq!(unsaved[0].samples.last(), Some(&next));
}

#[test]
fn what_came_while_nobody_looked_is_not_spread() {
    let mut rings = Rings::new(Duration::from_secs(30 * DAY));
    rings.note(at(START), counts(100));
    rings.note(at(START + DAY), counts(100));
    let within = |seconds| rings.within(Duration::from_secs(seconds), at(START + DAY), counts(130));
    assert_eq!([within(10), within(3_600), within(2 * DAY)].map(|c| c.total), [30, 30, 30]);
}

#[test]
fn a_mark_is_stored_though_its_time_has_not_come() {
    let mut rings = Rings::new(Duration::from_secs(30 * DAY));
    rings.note(at(START), counts(1));
    rings.set_saved();
    for (second, count) in [(0, 2), (1, 3), (1, 4)] {
        rings.mark(at(START + second), counts(count));
        let unsaved = rings.unsaved();
        let newest = unsaved[0].samples.last().unwrap();
        assert_eq!(*newest, Sample { at: at(START + second), counts: counts(count) });
        rings.set_saved();
    }
    assert_eq!((rings.0[0].samples.iter().count(), rings.totals()), (2, counts(4)));
    rings.mark(at(START + 1), counts(4));
    assert_eq!(rings.unsaved(), []);
}

#[test]
fn what_is_stored_is_in_memory_once() {
    let mut rings = Rings::new(Duration::from_secs(30 * DAY));
    let mut stored = std::collections::BTreeMap::new();
    for second in 0..DAY / 10 {
        rings.note(at(START + 10 * second), counts(second));
        if second % 6 == 0 {
            stored.extend(
                rings.unsaved().into_iter().map(|block| ((block.grain, block.number), block)),
            );
            rings.set_saved();
        }
    }
    let is_shared = |block: &&Arc<Block>| Arc::strong_count(block) > 1;
    for ring in &rings.0 {
        // The one that is written on is another than the one that was stored of it.
        let complete = ring.samples.blocks().count() - 1;
        assert!(ring.samples.blocks().filter(is_shared).count() >= complete, "{:?}", ring.grain);
    }
    let recalled = Rings::recall(Duration::from_secs(30 * DAY), stored.values().cloned());
    for block in recalled.0.iter().flat_map(|ring| ring.samples.blocks()) {
        let kept = &stored[&(block.grain, block.number)];
        // To a coarser ring the end of the finest is added.
        assert!(Arc::ptr_eq(block, kept) || block.samples.len() == kept.samples.len() + 1);
    }
}

#[test]
fn blocks_that_somebody_has_mixed_up_are_put_in_order() {
    let sample = |second: u64| Sample { at: at(START + second), counts: counts(second) };
    let block = |number, samples: &[u64]| {
        let samples = samples.iter().map(|second| sample(*second)).collect();
        Arc::new(Block { grain: Grain::Fine, number, samples })
    };
    let mixed = [block(9, &[40, 20]), block(7, &[3_600, 10]), block(8, &[])];
    let rings = Rings::recall(Duration::from_secs(30 * DAY), mixed);
    let found: Vec<u64> = rings.0[0].samples.iter().map(|sample| sample.counts.total).collect();
    assert_eq!(found, [10, 20, 40, 3_600]);
    let within =
        |seconds| rings.within(Duration::from_secs(seconds), at(START + 3_600), counts(3_600));
    assert_eq!([within(10), within(3_570), within(7_200)].map(|c| c.total), [3_560, 3_580, 3_590]);
}
