//! How events come together within blocks of so many ticks: counts by upstream in, κ out.
//!
//! At the end of a block each upstream's count is compared with that of its block before: independent
//! events make differences as large as their mean, causes of many make larger ones. Neighbouring blocks,
//! so that slow drifts are no clusters. Where there are three upstreams or more, what all of them share
//! is taken off first, for a comparison of pools does not see that either; the sums without that are
//! kept too, for when nothing runs beside the canary.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::Counts;
use super::ByUpstream;

/// Ticks after which what was counted weighs half.
const HALF: f64 = 3_600.0;

/// Standard errors that are taken off.
const CAREFUL: f64 = 1.0;

/// Upstreams from which on what they share can be told from what one does.
const SHARING: usize = 3;

/// Ticks that an upstream may be off the list and be known when it comes back: an address that a name
/// gave no more for a moment, one that was taken out and put back.
const AWAY: u32 = HALF as u32;

/// Upstreams that are remembered while they are off the list: where each deployment has addresses of its
/// own, none comes back.
const MOST_AWAY: usize = 64;

/// One length of blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub(super) struct Scale {
    /// Ticks of a block.
    length: u32,
    /// Ticks of the one that is being filled.
    filled: u32,
    upstreams: Vec<Known>,
    kappa: f64,
    kappa_alone: f64,
}

/// What is known of one upstream.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    name: Arc<str>,
    /// In the block that is being filled.
    block: Counts,
    is_listed: bool,
    /// Blocks since it was on the list; what it did then counts in κ only once it is back.
    away: u32,
    sums: Sums,
}

/// Sums over blocks, the older the less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    blocks: f64,
    x: f64,
    n: f64,
    nn: f64,
    dnn: f64,
    /// Without what upstreams share.
    apart: Differences,
    /// With it.
    alone: Differences,
    last: Option<Last>,
}

/// The block before.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Last {
    n: f64,
    apart: f64,
    alone: f64,
    /// Whether what is shared was taken off.
    is_apart: bool,
}

/// Sums of products of differences between neighbouring blocks, halved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Differences {
    dxx: f64,
    dxn: f64,
}

/// What makes κ of sums.
#[derive(Default)]
struct Excess {
    excess: f64,
    pairs: f64,
    variance: f64,
}

impl Scale {
    pub fn new(length: u32) -> Scale {
        Scale { length, filled: 0, upstreams: Vec::new(), kappa: 0.0, kappa_alone: 0.0 }
    }

    /// Ticks of a block.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// What upstreams share is not in it.
    pub fn kappa(&self) -> f64 {
        self.kappa
    }

    /// It is in this one.
    pub fn kappa_alone(&self) -> f64 {
        self.kappa_alone
    }

    pub fn tick(&mut self, upstreams: &[ByUpstream], of: impl Fn(&ByUpstream) -> Counts) {
        for (place, upstream) in upstreams.iter().enumerate() {
            let known = self.known(place, &upstream.name);
            known.block += of(upstream);
            known.is_listed = true;
        }
        self.filled += 1;
        if self.filled >= self.length {
            self.end_block();
        }
    }

    /// What comes next is no neighbour of what came last.
    pub fn interrupt(&mut self) {
        self.filled = 0;
        for known in &mut self.upstreams {
            known.block = Counts::default();
            known.sums.last = None;
        }
    }

    /// An upstream, which is nearly always in the same place.
    fn known(&mut self, place: usize, name: &Arc<str>) -> &mut Known {
        let is_there = self.upstreams.get(place).is_some_and(|known| known.name == *name);
        let found = match is_there {
            true => Some(place),
            false => self.upstreams.iter().position(|known| known.name == *name),
        };
        let place = found.unwrap_or_else(|| {
            self.upstreams.push(Known::of(name.clone()));
            self.upstreams.len() - 1
        });
        &mut self.upstreams[place]
    }

    fn end_block(&mut self) {
        self.filled = 0;
        let decay = 0.5f64.powf(f64::from(self.length) / HALF);
        self.part_with_absent(decay);
        // Also those that nobody asked in it: what is shared must not become a cluster of the others.
        let listed = self.upstreams.iter().filter(|known| known.is_listed).count();
        let mut all = Counts::default();
        self.upstreams.iter().for_each(|known| all += known.block);
        let shared = (listed >= SHARING).then(|| all.ratio());
        let (mut apart, mut alone) = (Excess::default(), Excess::default());
        for known in &mut self.upstreams[..listed] {
            let block = std::mem::take(&mut known.block);
            known.is_listed = false;
            known.sums.add(block, shared, decay);
            let sums = &known.sums;
            if sums.x <= 0.0 || sums.blocks < 2.0 {
                continue;
            }
            let length = f64::from(self.length);
            let few = sums.blocks / (sums.blocks - 1.0);
            let of_all = few * sums.about_its_rate(sums.alone);
            apart.add(
                sums,
                length,
                match shared {
                    // Taking off the mean of all takes a part of its own too.
                    Some(_) => few * sums.apart.dxx * listed as f64 / (listed as f64 - 1.0),
                    None => of_all,
                },
            );
            alone.add(sums, length, of_all);
        }
        self.kappa = apart.kappa(self.length);
        self.kappa_alone = alone.kappa(self.length);
    }

    /// Puts those that were off the list for the whole block behind the others, and forgets who has been
    /// for long.
    fn part_with_absent(&mut self, decay: f64) {
        for known in &mut self.upstreams {
            match known.is_listed {
                true => known.away = 0,
                false => known.stay_away(decay),
            }
        }
        let longest = AWAY / self.length;
        self.upstreams.retain(|known| known.away <= longest);
        self.upstreams.sort_by_key(|known| known.away);
        let listed = self.upstreams.iter().filter(|known| known.is_listed).count();
        self.upstreams.truncate(listed + MOST_AWAY);
    }
}

impl Known {
    fn of(name: Arc<str>) -> Known {
        Known { name, block: Counts::default(), is_listed: true, away: 0, sums: Sums::default() }
    }

    /// Off the list for a block: what it did gets older, and its next block has no neighbour.
    fn stay_away(&mut self, decay: f64) {
        self.away += 1;
        let Sums { blocks, x, n, nn, dnn, apart, alone, last } = &mut self.sums;
        *last = None;
        for sum in [blocks, x, n, nn, dnn] {
            *sum *= decay;
        }
        for Differences { dxx, dxn } in [apart, alone] {
            (*dxx, *dxn) = (*dxx * decay, *dxn * decay);
        }
    }
}

impl Sums {
    /// Adds a block; `shared` is the rate of all upstreams in it, where that is taken off.
    fn add(&mut self, block: Counts, shared: Option<f64>, decay: f64) {
        let (n, x) = (block.total as f64, block.bad as f64);
        let now = Last {
            n,
            apart: x - n * shared.unwrap_or_default(),
            alone: x,
            is_apart: shared.is_some(),
        };
        let add = |sum: &mut f64, more: f64| *sum = *sum * decay + more;
        add(&mut self.blocks, 1.0);
        add(&mut self.x, x);
        add(&mut self.n, n);
        add(&mut self.nn, n * n);
        if let Some(last) = self.last {
            let dn = n - last.n;
            add(&mut self.dnn, dn * dn / 2.0);
            for (sums, dx, counts) in [
                (&mut self.apart, now.apart - last.apart, now.is_apart == last.is_apart),
                (&mut self.alone, now.alone - last.alone, true),
            ] {
                let dx = if counts { dx } else { 0.0 };
                add(&mut sums.dxx, dx * dx / 2.0);
                add(&mut sums.dxn, dx * dn / 2.0);
            }
        }
        self.last = Some(now);
    }

    /// Differences of counts beyond those of requests.
    fn about_its_rate(&self, of: Differences) -> f64 {
        let rate = self.x / self.n;
        of.dxx - 2.0 * rate * of.dxn + rate * rate * self.dnn
    }
}

impl Excess {
    fn add(&mut self, sums: &Sums, length: f64, differences: f64) {
        let rate = sums.x / sums.n;
        self.excess += differences - sums.x;
        self.pairs += rate * (sums.nn / length - sums.n).max(0.0);
        self.variance += 3.0 * rate * rate * sums.nn + sums.x;
    }

    fn kappa(&self, length: u32) -> f64 {
        if self.pairs <= 0.0 {
            return 0.0;
        }
        let kappa = (self.excess - CAREFUL * self.variance.sqrt()) / self.pairs;
        kappa.clamp(0.0, f64::from(length))
    }
}

/// As it is kept: numbers in texts, for JSON may change the last digit of one.
#[derive(Serialize, Deserialize)]
struct Stored {
    length: u32,
    filled: u32,
    kappas: String,
    upstreams: Vec<(Arc<str>, String)>,
}

impl From<Scale> for Stored {
    fn from(scale: Scale) -> Stored {
        let Scale { length, filled, upstreams, kappa, kappa_alone } = scale;
        let kappas = format!("{kappa} {kappa_alone}");
        let upstreams = upstreams.into_iter().map(|known| {
            let text = known.written();
            (known.name, text)
        });
        Stored { length, filled, kappas, upstreams: upstreams.collect() }
    }
}

impl From<Stored> for Scale {
    fn from(stored: Stored) -> Scale {
        let Stored { length, filled, kappas, upstreams } = stored;
        let mut kappas = numbers(&kappas);
        let mut kappa = || kappas.next().unwrap_or_default().clamp(0.0, f64::from(length));
        let (kappa, kappa_alone) = (kappa(), kappa());
        let known = |(name, text): (Arc<str>, String)| Known::read(name, &text);
        let upstreams = upstreams.into_iter().map(known).collect();
        Scale { length, filled: filled.min(length), upstreams, kappa, kappa_alone }
    }
}

impl Known {
    fn written(&self) -> String {
        let Sums { blocks, x, n, nn, dnn, apart, alone, last } = self.sums;
        let block = self.block;
        // 1 for who is listed; who is not is told by more, which a version that forgets him takes for 0.
        let is_listed = match (self.is_listed, self.away) {
            (true, _) => 1,
            (false, 0) => 0,
            (false, away) => 1 + away,
        };
        let text = format!(
            "{} {} {is_listed} {blocks} {x} {n} {nn} {dnn} {} {} {} {}",
            block.total, block.bad, apart.dxx, apart.dxn, alone.dxx, alone.dxn
        );
        match last {
            Some(Last { n, apart, alone, is_apart }) => {
                format!("{text} {n} {apart} {alone} {}", u8::from(is_apart))
            }
            None => text,
        }
    }

    /// What cannot be read is nothing.
    fn read(name: Arc<str>, text: &str) -> Known {
        let mut rest = numbers(text);
        let mut next = || rest.next().unwrap_or_default();
        let block = Counts { total: next() as u64, bad: next() as u64 };
        let listed = next() as u32;
        let (is_listed, away) = (listed == 1, listed.saturating_sub(1));
        let [blocks, x, n, nn, dnn] = [next(), next(), next(), next(), next()];
        let mut differences = || Differences { dxx: next(), dxn: next() };
        let (apart, alone) = (differences(), differences());
        let last = match (rest.next(), rest.next(), rest.next(), rest.next()) {
            (Some(n), Some(apart), Some(alone), Some(is_apart)) => {
                Some(Last { n, apart, alone, is_apart: is_apart == 1.0 })
            }
            _ => None,
        };
        let sums = Sums { blocks, x, n, nn, dnn, apart, alone, last };
        Known { name, block: block.consistent(), is_listed, away, sums }
    }
}

/// The numbers of a text, as far as they are some.
fn numbers(text: &str) -> impl Iterator<Item = f64> {
    let read = |word: &str| word.parse().ok().filter(|number: &f64| number.is_finite());
    text.split(' ').map_while(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Draws;

    fn second(counts: &[(u64, u64)]) -> Vec<ByUpstream> {
        let upstream = |(place, &(total, bad)): (usize, &(u64, u64))| ByUpstream {
            name: format!("10.0.0.{place}:80").into(),
            attempts: Counts { total, bad },
            ..ByUpstream::default()
        };
        counts.iter().enumerate().map(upstream).collect()
    }

    /// κ and κ alone, after ten minutes of so many upstreams with 50 requests a second.
    fn after(upstreams: usize, mut fails: impl FnMut(usize, usize) -> f64) -> (f64, f64) {
        let (mut scale, mut draws) = (Scale::new(10), Draws::seeded(7));
        for tick in 0..600 {
            let counts: Vec<(u64, u64)> = (0..upstreams)
                .map(|upstream| {
                    let share = fails(tick, upstream);
                    (50, (0..50).filter(|_| draws.unit() < share).count() as u64)
                })
                .collect();
            scale.tick(&second(&counts), |upstream| upstream.attempts);
        }
        (scale.kappa(), scale.kappa_alone())
    }

    #[test]
    fn independent_failures_are_no_clusters_however_many() {
        for (upstreams, share) in [(1, 0.01), (3, 0.05), (10, 0.3)] {
            let (kappa, alone) = after(upstreams, |_, _| share);
            assert!(kappa < 0.02 && alone < 0.02, "{upstreams} {share}: {kappa} {alone}");
        }
    }

    #[test]
    fn a_failure_of_one_that_stalls_brings_along_what_the_stall_fails() {
        // Three tenths of a second's requests, each by its own chance, once in thirty seconds.
        for upstreams in [1, 3, 10] {
            let mut draws = Draws::seeded(11);
            let (kappa, alone) =
                after(upstreams, |_, _| if draws.unit() < 1.0 / 30.0 { 0.3 } else { 0.001 });
            for kappa in [kappa, alone] {
                assert!((0.18..0.4).contains(&kappa), "{upstreams}: {kappa}");
            }
        }
    }

    #[test]
    fn what_all_share_is_no_cluster_of_one_and_is_one_where_nothing_runs_beside() {
        let (kappa, alone) = after(5, |tick, _| if tick % 100 < 2 { 0.5 } else { 0.001 });
        assert!(kappa < 0.05 && alone > 0.5, "{kappa} {alone}");
    }

    #[test]
    fn what_all_share_is_no_cluster_either_while_one_of_three_has_nothing_to_do() {
        let (mut scale, mut draws) = (Scale::new(10), Draws::seeded(7));
        for tick in 0..1_200 {
            let share = if tick % 300 < 5 { 1.0 } else { 0.001 };
            let mut one = || (67, (0..67).filter(|_| draws.unit() < share).count() as u64);
            let out = if tick < 900 { one() } else { (0, 0) };
            scale.tick(&second(&[one(), one(), out]), |upstream| upstream.attempts);
            assert!(scale.kappa() < 0.05, "{tick}: {}", scale.kappa());
        }
        assert!(scale.kappa_alone() > 1.0, "{}", scale.kappa_alone());
    }

    #[test]
    fn what_is_kept_is_read_to_the_last_bit_and_what_is_broken_is_nothing() {
        let mut scale = Scale::new(10);
        for tick in 0..137u64 {
            let counts = [(50, tick % 7), (49, 0), (13, u64::from(tick % 20 == 0) * 12)];
            scale.tick(&second(&counts[..2 + usize::from(tick > 50)]), |one| one.attempts);
        }
        let text = serde_json::to_string(&scale).unwrap();
        assert_eq!(serde_json::from_str::<Scale>(&text).unwrap(), scale);
        let known = Known::read("a".into(), "3 NaN 1");
        assert_eq!((known.block, known.sums), (Counts { total: 3, bad: 0 }, Sums::default()));
    }

    #[test]
    fn what_was_stored_of_a_block_may_be_more_than_can_be_counted() {
        let stored = r#"{"length":10,"filled":9,"kappas":"","upstreams":[
            ["10.0.0.0:80","1e300 1e300 1"],["10.0.0.1:80","1e300 0 1"]]}"#;
        let mut scale: Scale = serde_json::from_str(stored).unwrap();
        scale.tick(&second(&[(50, 1), (50, 0)]), |one| one.attempts);
        assert_eq!((scale.kappa(), scale.filled), (0.0, 0));
    }

    #[test]
    fn who_is_off_the_list_for_a_while_has_its_hour_when_it_is_back() {
        let mut scale = Scale::new(10);
        let listen = |scale: &mut Scale, ticks: u64, upstreams: usize| {
            for tick in 0..ticks {
                let burst = u64::from(tick % 30 == 0) * 20;
                let counts = [(50, 0), (50, burst)];
                scale.tick(&second(&counts[..upstreams]), |one| one.attempts);
            }
        };
        listen(&mut scale, 1_800, 2);
        let known = scale.kappa();
        assert!(known > 0.2, "{known}");
        listen(&mut scale, 120, 1);
        assert_eq!(scale.kappa(), 0.0, "who is away counts for nothing");
        let text = serde_json::to_string(&scale).unwrap();
        assert_eq!(serde_json::from_str::<Scale>(&text).unwrap(), scale);
        listen(&mut scale, 10, 2);
        assert!((scale.kappa() / known - 1.0).abs() < 0.2, "{known} {}", scale.kappa());
        // And within an hour, or beside many others that are gone, it is forgotten.
        listen(&mut scale, 3_620, 1);
        assert_eq!(scale.upstreams.len(), 1);
        for gone in 0..200 {
            let mut new = second(&[(50, 0), (50, 1)]);
            new[1].name = format!("10.0.1.{gone}:80").into();
            (0..10).for_each(|_| scale.tick(&new, |one| one.attempts));
        }
        assert_eq!(scale.upstreams.len(), 2 + MOST_AWAY);
    }
}
