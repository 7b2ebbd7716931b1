//! Lives of a pool before clients of which one asks for what every upstream fails at, and before others:
//! it is found out when others contradict, and else all is as if nobody looked.

use super::*;

/// Between two requests: a hundred a second.
const PACE: Duration = Duration::from_millis(10);

/// So many seeds of each.
const LIVES: u64 = 100;

/// The client that asks for what fails.
const RUDE: u32 = 7;

struct Life {
    bench: Bench,
    dice: Draws,
    /// All but the rude one.
    clients: u32,
    /// Of a hundred requests so many are the rude one's.
    rude: u64,
    /// Upstreams that fail whoever asks.
    dead: Vec<usize>,
    /// Which upstreams were out after each request, and whether the breaker was open.
    trace: Vec<(Vec<u32>, bool)>,
}

impl Life {
    fn new(seed: u64, upstreams: usize, clients: u32, rude: u64) -> Life {
        let mut dice = Draws::seeded(seed);
        let mut bench = Bench::new(upstreams);
        bench.now = Moment::from_micros(50_000_000 + dice.below(10_000_000));
        Life { bench, dice, clients, rude, dead: Vec::new(), trace: Vec::new() }
    }

    /// So many requests, each tried on another upstream when it fails.
    fn run(mut self, requests: u32) -> Life {
        for _ in 0..requests {
            let is_rude = self.dice.below(100) < self.rude;
            self.bench.client = match is_rude {
                true => RUDE,
                false => 100 + self.dice.below(u64::from(self.clients)) as u32,
            };
            let all = self.bench.pool.members.list().len();
            let first = self.dice.below(all as u64) as usize;
            for place in [first, (first + 1) % all] {
                let fails = is_rude || self.dead.contains(&place);
                match fails {
                    true => self.bench.ask(place, Outcome::Failed, None),
                    false => self.bench.answer(place, 200, 1),
                }
                if !fails {
                    break;
                }
            }
            self.bench.pass(PACE);
            self.trace.push(self.seen());
        }
        self
    }

    fn seen(&self) -> (Vec<u32>, bool) {
        let out = |member: &Member| u32::from(member.upstream.is_out());
        let members = self.bench.pool.members.list();
        (members.iter().map(out).collect(), self.bench.pool.state.breaker.is_open())
    }

    fn with_dead(mut self, dead: impl IntoIterator<Item = usize>) -> Life {
        self.dead = dead.into_iter().collect();
        self
    }

    /// Whether nobody was out and no breaker open, ever.
    fn is_unblamed(&self) -> bool {
        self.trace.iter().all(|(out, is_open)| !is_open && out.iter().all(|out| *out == 0))
    }

    fn withheld(&self) -> u64 {
        self.bench.pool.state.withheld.load(Ordering::Relaxed)
    }
}

/// The same life as if nobody looked at keys.
fn blindly(live: impl FnOnce(Life) -> Life, life: Life) -> Life {
    let state = life.bench.pool.state.clone();
    state.failing_keys.without(|| live(life))
}

#[test]
fn one_bad_client_among_many_is_found_out_and_nobody_blamed() {
    let mut would_be = 0;
    for seed in 0..LIVES {
        let (upstreams, rude) = (1 + seed as usize % 5, 5 + seed % 60);
        let new = || {
            // Its friends are there first.
            let mut life = Life::new(seed, upstreams, 3 + seed as u32 % 20, 0).run(500);
            life.rude = rude;
            life
        };
        let life = new().run(3_000);
        assert!(life.is_unblamed(), "seed {seed}: {rude} % of {upstreams}");
        assert!(life.withheld() > 0, "seed {seed}");
        would_be += u64::from(!blindly(|life| life.run(3_000), new()).is_unblamed());
    }
    assert!(would_be > LIVES / 2, "{would_be}: that is no test");
}

impl Life {
    /// With which request each upstream was first out, and the pool's breaker first open.
    fn found(&self) -> Vec<Option<usize>> {
        let all = self.bench.pool.members.list().len();
        let out = |at: usize| self.trace.iter().position(|(out, _)| out[at] != 0);
        let open = self.trace.iter().position(|(_, is_open)| *is_open);
        (0..all).map(out).chain([open]).collect()
    }
}

/// A pool on which these die while so many clients ask for it: as it is, and as if nobody looked.
fn dies(clients: u32, upstreams: usize, dead: &[usize], seed: u64) -> (Life, Life) {
    let new = || {
        let life = Life::new(seed, upstreams, clients, 0).run(1_000);
        life.with_dead(dead.iter().copied())
    };
    let (seeing, blind) = (new().run(1_000), blindly(|life| life.run(1_000), new()));
    assert!(!blind.is_unblamed(), "seed {seed}: nobody died");
    (seeing, blind)
}

#[test]
fn a_dead_pool_is_found_as_fast_as_if_nobody_looked_at_keys() {
    let mut later = Vec::new();
    for seed in 0..LIVES {
        let upstreams = 1 + seed as usize % 5;
        let all: Vec<usize> = (0..upstreams).collect();
        let lives =
            [(20, upstreams, &all[..]), (3, upstreams, &all), (20, 2 + seed as usize % 4, &[0])];
        for (clients, upstreams, dead) in lives {
            let (seeing, blind) = dies(clients, upstreams, dead, seed);
            for (seeing, blind) in seeing.found().into_iter().zip(blind.found()) {
                assert_eq!(
                    seeing.is_some(),
                    blind.is_some(),
                    "seed {seed}, {clients} of {upstreams}"
                );
                later.extend(seeing.zip(blind).map(|(seeing, blind)| seeing as i64 - blind as i64));
            }
        }
    }
    // Where all that came were one key's and one of another's, it takes one more.
    let most = later.iter().max().unwrap();
    let some = later.iter().filter(|later| **later > 0).count();
    assert!(*most <= 20 && some * 10 < later.len(), "{most}; {some} of {}", later.len());
}

#[test]
fn one_client_alone_or_all_through_one_address_are_as_if_nobody_looked_at_keys() {
    for seed in 0..LIVES {
        let upstreams = 1 + seed as usize % 5;
        let all: Vec<usize> = (0..upstreams).collect();
        let (seeing, blind) = dies(1, upstreams, &all, seed);
        assert_eq!(seeing.trace, blind.trace, "seed {seed}: all through one address");
        let one = |life: Life| {
            let mut life = life;
            life.clients = 1;
            life.rude = 100;
            life.run(500)
        };
        let new = || Life::new(seed, upstreams, 1, 0);
        let (seeing, blind) = (one(new()), blindly(one, new()));
        assert_eq!((seeing.withheld(), seeing.trace), (0, blind.trace), "seed {seed}");
    }
}
