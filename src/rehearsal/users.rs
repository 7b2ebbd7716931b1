//! Users that keep to their side: a crowd in, the requests of a second to either pool out.
//!
//! A few users make most of the requests, so that a pool's share of requests is not what the split
//! says, and one broken client can look like a bad version. Requests are noted in the ledger that
//! the data plane writes in, so that users are counted here as they are there.

use std::sync::Arc;

use super::Crowd;
use crate::clock::Draws;
use crate::judge::ledger::Noted;
use crate::judge::{Counts, Ledger};
use crate::sampling::{Weighted, pareto};
use crate::split::{Cohort, Cut, Layout, Split};

/// The users of one run.
#[derive(Debug)]
pub(super) struct Users {
    activity: Weighted,
    all: Vec<User>,
    layout: Layout,
    /// Users that a request to the canary failed for.
    hit: u64,
}

#[derive(Clone, Copy, Debug)]
struct User {
    /// What the data plane's hash would be; even bits are as good.
    hash: u64,
    is_broken: bool,
    is_on_canary: bool,
    is_hit: bool,
}

/// What a second's requests came to at the canary.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AtCanary {
    /// Requests of users whose client works.
    pub sound: u64,
    /// Requests of users whose client is broken.
    pub broken: u64,
}

/// What a second's requests came to at each upstream of both pools, by place.
pub(super) type ByPool = [Vec<Counts>; 2];

impl Users {
    pub fn new(crowd: Crowd, split: &Split, draws: &mut Draws) -> Users {
        let users = 0..crowd.users.max(1);
        let activity: Vec<f64> = users.clone().map(|_| pareto(crowd.tail, draws)).collect();
        let user = |_| User {
            hash: draws.bits(),
            is_broken: draws.unit() < crowd.broken,
            is_on_canary: false,
            is_hit: false,
        };
        let all = users.map(user).collect();
        Users { activity: Weighted::new(&activity), all, layout: Layout::of(split), hit: 0 }
    }

    /// Where each user goes from now on.
    pub fn on_shift(&mut self, split: &Split, pools: [&Arc<str>; 2]) {
        self.layout = self.layout.after(split);
        let cut = Cut::of(&self.layout, pools);
        for user in &mut self.all {
            user.is_on_canary = cut.pool(Cohort::from_bits(user.hash)) == 1;
        }
    }

    /// So many requests, of which those that go to either pool fail with the chance of one of its
    /// upstreams.
    pub fn ask(
        &mut self,
        requests: u64,
        fails: [&[f64]; 2],
        ledger: &Ledger,
        draws: &mut Draws,
    ) -> (AtCanary, ByPool) {
        let mut at_canary = AtCanary::default();
        let mut by_pool = fails.map(|upstreams| vec![Counts::default(); upstreams.len()]);
        let accounts = [&ledger.stable, &ledger.target];
        for _ in 0..requests {
            let user = &mut self.all[self.activity.draw(draws)];
            let pool = usize::from(user.is_on_canary);
            let upstream = draws.below(fails[pool].len() as u64) as usize;
            let is_bad = user.is_broken || draws.unit() < fails[pool][upstream];
            by_pool[pool][upstream] += Counts { total: 1, bad: u64::from(is_bad) };
            let known = Some(user.hash as u32);
            accounts[pool].arrive(known);
            accounts[pool].note(Noted { user: known, is_bad, ..Noted::default() });
            if user.is_on_canary {
                let account = match user.is_broken {
                    true => &mut at_canary.broken,
                    false => &mut at_canary.sound,
                };
                *account += 1;
                // A broken client would have failed as well elsewhere.
                let is_new = is_bad && !user.is_broken && !user.is_hit;
                user.is_hit |= is_new;
                self.hit += u64::from(is_new);
            }
        }
        (at_canary, by_pool)
    }

    /// Users whose client works and who saw a failure of the canary.
    pub fn hit(&self) -> u64 {
        self.hit
    }

    /// The share of all requests that broken clients make.
    pub fn broken_share(&self, draws: &mut Draws) -> f64 {
        const THROWN: u32 = 20_000;
        let broken = (0..THROWN).filter(|_| self.all[self.activity.draw(draws)].is_broken);
        broken.count() as f64 / f64::from(THROWN)
    }
}
