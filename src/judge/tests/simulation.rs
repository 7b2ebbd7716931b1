//! Traffic by chance, and the judge's parts run on it: a seed in, what was detected and when out.
//!
//! The scenarios of the tables in `docs/judge.md`. Tests run a few hundred of each, and
//! `cargo bench --bench judge -- full` as many as the tables say, so what is used here is named by
//! whoever includes it.

use std::time::Duration;

use super::{
    AbsoluteGuard, Causes, Counts, Distribution, Draws, ErrorTest, Gate, LatencyTest, Slack,
    Spending, Threshold, Tolerance, Weighing, bucket_of,
};

pub const ALPHA: f64 = 0.004;
pub const ALPHA_FLOOR: f64 = 0.05;
pub const TOLERANCE: Tolerance = Tolerance { ratio: 1.25, rate: 0.001 };
pub const MARGIN: Tolerance = Tolerance { ratio: 2.0, rate: 0.005 };

/// Places by their weights, each draw in constant time (Walker and Vose's alias method).
pub struct Dice {
    /// The chance of a place to be itself, and who it is otherwise.
    faces: Vec<(f64, u32)>,
}

impl Dice {
    pub fn new(weights: &[f64]) -> Dice {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut faces: Vec<(f64, u32)> =
            weights.iter().zip(0..).map(|(weight, place)| (weight / mean, place)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..faces.len()).partition(|&place| faces[place].0 < 1.0);
        while let (Some(less), Some(&more)) = (small.pop(), large.last()) {
            faces[less].1 = more as u32;
            faces[more].0 -= 1.0 - faces[less].0;
            if faces[more].0 < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        // What is left is 1 but for rounding.
        small.into_iter().chain(large).for_each(|place| faces[place] = (1.0, place as u32));
        Dice { faces }
    }

    pub fn roll(&self, draws: &mut Draws) -> usize {
        let place = draws.below(self.faces.len() as u64) as usize;
        let (own, other) = self.faces[place];
        if draws.unit() < own { place } else { other as usize }
    }
}

/// Poisson counts, from a table that leaves out less than 1e-15 on either side.
pub struct Poisson {
    first: u64,
    dice: Dice,
}

impl Poisson {
    pub fn new(mean: f64) -> Poisson {
        let width = 9.0 * mean.sqrt() + 30.0;
        let first = (mean - width).max(0.0) as u64;
        let mut ln = -mean;
        let mut weights = Vec::new();
        for count in 0..=(mean + width) as u64 {
            if count > 0 {
                ln += mean.ln() - (count as f64).ln();
            }
            if count >= first {
                weights.push(if mean == 0.0 { f64::from(u8::from(count == 0)) } else { ln.exp() });
            }
        }
        Poisson { first, dice: Dice::new(&weights) }
    }

    pub fn draw(&self, draws: &mut Draws) -> u64 {
        self.first + self.dice.roll(draws) as u64
    }
}

/// Both pools' requests of a second. Good and bad ones are Poisson by themselves, which is the same
/// as a Poisson count of requests of which each is bad by chance.
pub struct Traffic {
    stable: [Poisson; 2],
    canary: [Poisson; 2],
}

impl Traffic {
    pub fn new(rate: f64, share: f64, stable_bad: f64, canary_bad: f64) -> Traffic {
        let of = |mean: f64, bad: f64| [Poisson::new(mean * (1.0 - bad)), Poisson::new(mean * bad)];
        Traffic {
            stable: of(rate * (1.0 - share), stable_bad),
            canary: of(rate * share, canary_bad),
        }
    }

    pub fn tick(&self, draws: &mut Draws) -> (Counts, Counts) {
        let mut of = |[good, bad]: &[Poisson; 2]| {
            let bad = bad.draw(draws);
            Counts { total: good.draw(draws) + bad, bad }
        };
        (of(&self.stable), of(&self.canary))
    }
}

/// When something was detected, and what it had cost until then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detection {
    pub seconds: u64,
    pub requests: u64,
    pub canary: Counts,
}

/// What was found in many runs.
#[derive(Debug)]
pub struct Found {
    runs: usize,
    found: Vec<Detection>,
}

impl Found {
    pub fn in_runs(
        runs: usize,
        seed: u64,
        mut run: impl FnMut(&mut Draws) -> Option<Detection>,
    ) -> Found {
        let mut seeds = Draws::seeded(seed);
        let found = (0..runs).filter_map(|_| run(&mut Draws::seeded(seeds.bits()))).collect();
        Found { runs, found }
    }

    pub fn share(&self) -> f64 {
        self.found.len() as f64 / self.runs as f64
    }

    /// A quantile over all runs, those without a detection being infinite.
    pub fn quantile(&self, share: f64, of: impl Fn(&Detection) -> u64) -> f64 {
        let mut values: Vec<u64> = self.found.iter().map(of).collect();
        values.sort_unstable();
        let at = |place: usize| values.get(place).map_or(f64::INFINITY, |value| *value as f64);
        let place = share * (self.runs - 1) as f64;
        let (low, high) = (at(place.floor() as usize), at(place.ceil() as usize));
        if low == high { low } else { low + (high - low) * place.fract() }
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5, |detection| detection.seconds)
    }

    pub fn p95(&self) -> f64 {
        self.quantile(0.95, |detection| detection.seconds)
    }
}

fn an_hour() -> Spending {
    Spending::over(Duration::from_secs(3_600))
}

/// The error test on traffic of which each second may be another's, until it fails.
pub fn errors(
    horizon: u64,
    with_floor: bool,
    mut second: impl FnMut(u64) -> (Counts, Counts),
) -> Option<Detection> {
    let (mut test, mut spending) = (ErrorTest::default(), an_hour());
    let alpha_floor = if with_floor { ALPHA_FLOOR } else { f64::INFINITY };
    let mut so_far = Detection::default();
    (0..horizon).find_map(|tick| {
        let (stable, canary) = second(tick);
        so_far.seconds += 1;
        so_far.requests += stable.total + canary.total;
        so_far.canary += canary;
        let ln_stake = spending.tick();
        test.tick(TOLERANCE, Weighing::of(ln_stake, Causes::OF_EACH), stable, canary);
        // Asked only when something failed: otherwise the evidence has not grown.
        let may_fail = canary.bad > 0;
        (may_fail && test.fails(ALPHA, alpha_floor)).then_some(so_far)
    })
}

/// T5: healthy for half an hour, then ten times as many failures.
pub fn late(
    restarts: bool,
    before: &Traffic,
    after: &Traffic,
    draws: &mut Draws,
) -> Option<Detection> {
    let (mut test, mut spending) = (ErrorTest::default(), an_hour());
    (1..=3_600u64).find_map(|seconds| {
        let traffic = if seconds <= 1_800 { before } else { after };
        let (stable, canary) = traffic.tick(draws);
        let ln_stake = match (restarts, seconds) {
            (true, _) => spending.tick(),
            (false, 1) => 0.0,
            (false, _) => f64::NEG_INFINITY,
        };
        test.tick(TOLERANCE, Weighing::of(ln_stake, Causes::OF_EACH), stable, canary);
        test.fails(ALPHA, ALPHA_FLOOR).then_some(Detection { seconds, ..Detection::default() })
    })
}

/// T3b: the block test where both pools are slow equally often.
pub fn block(
    slow: f64,
    horizon: u64,
    alpha: f64,
    traffic: &Traffic,
    draws: &mut Draws,
) -> Option<Detection> {
    let (mut test, mut spending) = (LatencyTest::default(), an_hour());
    (1..=horizon).find_map(|seconds| {
        let (stable, canary) = traffic.tick(draws);
        test.tick_counts(slow, spending.tick(), stable, canary, Causes::OF_EACH);
        test.fails(alpha).then_some(Detection { seconds, ..Detection::default() })
    })
}

/// T7: when the gate opens.
pub fn gate(horizon: u64, traffic: &Traffic, draws: &mut Draws) -> Option<Detection> {
    let mut gate = Gate::default();
    let mut so_far = Detection::default();
    (0..horizon).find_map(|_| {
        let (stable, canary) = traffic.tick(draws);
        so_far.seconds += 1;
        so_far.canary += canary;
        gate.tick(MARGIN, stable, canary);
        (gate.ln_e() >= 20f64.ln()).then_some(so_far)
    })
}

/// T8: when the guard fires, at 5 %.
pub fn guard(horizon: u64, traffic: &Traffic, draws: &mut Draws) -> Option<Detection> {
    let (mut guard, mut spending) = (AbsoluteGuard::default(), an_hour());
    let mut so_far = Detection::default();
    (0..horizon).find_map(|_| {
        let (_, canary) = traffic.tick(draws);
        so_far.seconds += 1;
        so_far.canary += canary;
        guard.tick(0.05, Weighing::of(spending.tick(), Causes::OF_EACH), 1.0, canary);
        guard.fires(0.05, 0.001, so_far.canary, Counts::default()).then_some(so_far)
    })
}

/// Latencies by bucket: a lognormal with median 50 ms and p99 200 ms, made into something else.
pub struct Latencies(Dice);

impl Latencies {
    /// `mixture` says, of a latency in milliseconds, what becomes of it, and how often.
    pub fn new(mixture: &[(f64, &dyn Fn(f64) -> f64)]) -> Latencies {
        let sigma = 4f64.ln() / 2.326_347_874;
        let mut weights = vec![0.0; 832];
        for step in 0..240_000 {
            let z = f64::from(step) / 20_000.0 - 6.0;
            let density = (-z * z / 2.0).exp();
            let millis = 50.0 * (sigma * z).exp();
            for (share, becomes) in mixture {
                let took = Duration::from_secs_f64(becomes(millis) / 1e3);
                weights[bucket_of(took)] += density * share;
            }
        }
        Latencies(Dice::new(&weights))
    }

    pub fn draw(&self, requests: u64, draws: &mut Draws) -> Distribution {
        let mut counts = vec![0u64; 832];
        (0..requests).for_each(|_| counts[self.0.roll(draws)] += 1);
        Distribution::new(0, counts, 0)
    }
}

/// T4: when the tests of p99, p95 and p50 fail, and the first of them with the canary's requests.
pub fn latency(
    horizon: u64,
    requests: (&Poisson, &Poisson),
    latencies: (&Latencies, &Latencies),
    draws: &mut Draws,
) -> ([Option<u64>; 3], Option<Detection>) {
    let slack = Slack { share: 0.1, time: Duration::ZERO };
    let mut past = latencies.0.draw(300_000, draws);
    let (mut tests, mut spending) = ([LatencyTest::default(); 3], an_hour());
    let mut when = [None; 3];
    let mut first = None;
    let mut so_far = Detection::default();
    for seconds in 1..=horizon {
        so_far.seconds = seconds;
        let stable = latencies.0.draw(requests.0.draw(draws), draws);
        let canary = latencies.1.draw(requests.1.draw(draws), draws);
        so_far.canary.total += canary.total();
        let ln_stake = spending.tick();
        let kinds = [(0.99, 0.003), (0.95, 0.002), (0.5, 0.001)];
        for ((quantile, alpha), (test, when)) in
            kinds.into_iter().zip(tests.iter_mut().zip(&mut when))
        {
            let threshold = Threshold::at(quantile, &past, slack).expect("the past is long");
            test.tick(threshold, ln_stake, &stable, &canary, Causes::OF_EACH);
            if when.is_none() && test.fails(alpha) {
                *when = Some(seconds);
                first = first.or(Some(so_far));
            }
        }
        past += &stable;
        if when.iter().all(Option::is_some) {
            break;
        }
    }
    (when, first)
}

/// T9: a population of clients of which a few break whatever they touch.
pub struct Clients {
    dice: Dice,
    is_canary: Vec<bool>,
    is_broken: Vec<bool>,
}

impl Clients {
    pub const ALL: usize = 20_000;

    pub fn new(share: f64, draws: &mut Draws) -> Clients {
        // Pareto with exponent 1.5.
        let weights: Vec<f64> =
            (0..Clients::ALL).map(|_| (1.0 - draws.unit()).powf(-1.0 / 1.5)).collect();
        let is_canary = (0..Clients::ALL).map(|_| draws.unit() < share).collect();
        let is_broken = (0..Clients::ALL).map(|_| draws.unit() < 0.001).collect();
        Clients { dice: Dice::new(&weights), is_canary, is_broken }
    }

    /// When the error test fails, by requests and by clients.
    pub fn detect(
        &self,
        horizon: u64,
        rates: (f64, f64),
        draws: &mut Draws,
    ) -> (Option<Detection>, Option<Detection>) {
        let requests = Poisson::new(1_000.0);
        let mut has_failed = vec![false; Clients::ALL];
        let mut seen = vec![0u64; Clients::ALL];
        // Both run on the same seconds; each ends by itself.
        let mut seconds = Vec::with_capacity(horizon as usize);
        for tick in 1..=horizon {
            let (mut by_request, mut by_client) = ([Counts::default(); 2], [Counts::default(); 2]);
            for _ in 0..requests.draw(draws) {
                let client = self.dice.roll(draws);
                let pool = usize::from(self.is_canary[client]);
                let rate = if pool == 1 { rates.1 } else { rates.0 };
                let bad = u64::from(self.is_broken[client] || draws.unit() < rate);
                by_request[pool] += Counts { total: 1, bad };
                if has_failed[client] && seen[client] != tick {
                    continue;
                }
                let is_first_seen = seen[client] != tick;
                let is_first_bad = bad == 1 && !has_failed[client];
                seen[client] = tick;
                has_failed[client] |= bad == 1;
                by_client[pool].total += u64::from(is_first_seen);
                by_client[pool].bad += u64::from(is_first_bad);
            }
            seconds.push((by_request, by_client));
        }
        let found = |of: &dyn Fn(usize) -> [Counts; 2]| {
            errors(horizon, true, |tick| of(tick as usize).into())
        };
        (found(&|tick| seconds[tick].0), found(&|tick| seconds[tick].1))
    }
}

/// T10: a second in which all of one pool's requests fail, on either pool once in ten minutes.
pub fn with_blips((stable, canary): (Counts, Counts), draws: &mut Draws) -> (Counts, Counts) {
    let mut blip = |counts: Counts| match draws.unit() < 1.0 / 600.0 {
        true => Counts { bad: counts.total, ..counts },
        false => counts,
    };
    (blip(stable), blip(canary))
}
