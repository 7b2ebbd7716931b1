//! What the judge costs; with `-- full`, what it finds: `cargo bench --bench judge -- full [TABLE…]`
//! prints the tables of `docs/judge.md`.

#[path = "tables.rs"]
mod tables;

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use pointsman::clock::Draws;
use pointsman::judge::bursts::{Bursts, ByUpstream};
use pointsman::judge::{
    Counts, Distribution, Histogram, Judge, JudgeSettings, Part, Reading, Side,
};
use pointsman::split::BasisPoints;

/// Latencies around 50 ms that touch about a hundred buckets.
fn latency(requests: u64, draws: &mut Draws) -> Distribution {
    let mut distribution = Distribution::default();
    for _ in 0..requests {
        let spread = draws.unit() + draws.unit() + draws.unit() + draws.unit() - 2.0;
        distribution.add(Duration::from_secs_f64(0.05 * (1.1 * spread).exp()));
    }
    distribution
}

/// So many upstreams of a pool that share these requests of a second; a failure is of one of them.
fn upstreams(count: u64, requests: u64, bad: u64, draws: &mut Draws) -> Vec<ByUpstream> {
    let unlucky = draws.below(count.max(1));
    let upstream = |nth: u64| ByUpstream {
        name: format!("10.0.0.{nth}:80").into(),
        attempts: Counts { total: requests / count, bad: if nth == unlucky { bad } else { 0 } },
        answers: requests / count,
        slow: [requests / count / 2, requests / count / 20, requests / count / 100],
    };
    (0..count).map(upstream).collect()
}

/// A second of 1,000 requests, a tenth of them the canary's, with so many strata, and of so many upstreams of
/// either pool.
fn reading(strata: usize, [old, new]: [u64; 2], draws: &mut Draws) -> Reading {
    let mut side = |requests: u64, bad: u64, count: u64| Side {
        cold: Distribution::default(),
        attempts: Counts { total: requests, bad },
        latency: latency(requests, draws),
        arrivals: requests,
        upstreams: upstreams(count, requests, bad, draws),
    };
    let (stable, canary) = (side(900, 1, old), side(100, 0, new));
    let part = |n: usize| Part {
        name: format!("GET /{n}").into(),
        stable: Counts { total: 14, bad: u64::from(n == 0) },
        canary: Counts { total: 2, bad: 0 },
    };
    Reading { stable, canary, strata: (0..strata).map(part).collect(), ..Reading::default() }
}

fn record(c: &mut Criterion) {
    let histogram = Histogram::new(4);
    let mut micros = 1u64;
    c.bench_function("judge: record a latency", |b| {
        b.iter(|| {
            micros = micros % 900_000 + 977;
            histogram.record(Duration::from_micros(black_box(micros)));
        });
    });
    c.bench_function("judge: read a histogram", |b| b.iter(|| black_box(&histogram).read()));
}

fn tick(c: &mut Criterion) {
    let mut draws = Draws::seeded(7);
    let past = latency(300_000, &mut draws);
    println!("{} buckets are touched", past.buckets().count());
    let pools = [("tick", 0, [0, 0]), ("tick with 64 strata", 64, [0, 0])];
    for (name, strata, sizes) in pools.into_iter().chain([("tick with 10 upstreams", 0, [9, 1])]) {
        let readings: Vec<Reading> = (0..64).map(|_| reading(strata, sizes, &mut draws)).collect();
        let planned = Duration::from_secs(3_600);
        let bursts = an_hour(sizes[0], &mut draws);
        let mut judge = Judge::new(JudgeSettings::default(), bursts, past.clone(), planned);
        judge.begin_step(BasisPoints::new(1_000).expect("it is below the whole"));
        let mut second = 0;
        c.bench_function(&format!("judge: {name}"), |b| {
            b.iter(|| {
                second = (second + 1) % readings.len();
                judge.tick(black_box(&readings[second]));
                judge.ruling()
            });
        });
        c.bench_function(&format!("judge: verdict after {name}"), |b| {
            b.iter(|| black_box(&judge).verdict());
        });
    }
}

/// What is known after an hour of so many upstreams, of which one fails now and then.
fn an_hour(count: u64, draws: &mut Draws) -> Bursts {
    let mut bursts = Bursts::default();
    for _ in 0..3_600 {
        let bad = u64::from(draws.unit() < 0.9);
        bursts.tick(&upstreams(count, 900, bad, draws));
    }
    bursts
}

/// What is done every 30 seconds and when a step begins: how many bad seconds one cause makes.
fn measure(c: &mut Criterion) {
    let bursts = an_hour(10, &mut Draws::seeded(7));
    c.bench_function("judge: bad seconds of an hour of 10 upstreams", |b| {
        b.iter(|| black_box(&bursts).seconds().per_cause(black_box(10.0)));
    });
    c.bench_function("judge: spread of 10 upstreams", |b| {
        b.iter(|| black_box(&bursts).seconds().spread(black_box(0.1)));
    });
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(full) = arguments.iter().position(|argument| argument == "full") {
        let named: Vec<String> =
            arguments[full + 1..].iter().filter(|name| name.starts_with('T')).cloned().collect();
        return tables::print(&named);
    }
    let mut criterion = Criterion::default().configure_from_args();
    record(&mut criterion);
    tick(&mut criterion);
    measure(&mut criterion);
    criterion.final_summary();
}
