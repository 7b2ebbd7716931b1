//! Whether shares are what splits say: requests and clients with their chances in, a bound out.
//!
//! Each is one trial with a chance of its own. Bernstein's inequality bounds how far their sum may
//! lie from what is expected, for any number of them: P(|S - E| > t) < 2 exp(-t² / (2 (V + t / 3))).

/// Sums of trials.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    trials: u64,
    off: f64,
    variance: f64,
}

/// What is counted of shares.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    /// Requests of nobody in particular: each is drawn by itself.
    pub drawn: Sum,
    /// Clients, once for each salt.
    pub clients: Sum,
}

/// How often one life may look wrong though it is not: two sums of a thousand lives.
const OF_ONE: f64 = 1e-10;

/// How often all of them together may.
const OF_ALL: f64 = 1e-7;

impl Sum {
    /// One trial that came true or did not.
    pub fn count(&mut self, is_so: bool, chance: f64) {
        self.trials += 1;
        self.off += f64::from(u8::from(is_so)) - chance;
        self.variance += chance * (1.0 - chance);
    }

    fn add(&mut self, other: &Sum) {
        self.trials += other.trials;
        self.off += other.off;
        self.variance += other.variance;
    }

    /// Whether they are as they should be; if so, it is denied once in this many times.
    fn is_fair(&self, odds: f64) -> bool {
        let length = (2.0 / odds).ln();
        let most = length / 3.0 + (length * length / 9.0 + 2.0 * self.variance * length).sqrt();
        self.off.abs() <= most
    }
}

impl Shares {
    pub fn add(&mut self, other: &Shares) {
        self.drawn.add(&other.drawn);
        self.clients.add(&other.clients);
    }

    /// Those of one life.
    pub fn check(&self) {
        assert!(self.drawn.is_fair(OF_ONE) && self.clients.is_fair(OF_ONE), "{self:?}");
    }

    /// Those of all lives.
    pub fn check_all(&self) {
        assert!(self.drawn.is_fair(OF_ALL) && self.clients.is_fair(OF_ALL), "{self:?}");
        assert!(self.drawn.trials > 10_000 && self.clients.trials > 10_000, "{self:?}");
    }
}

#[test]
fn a_share_that_is_a_little_off_is_found_out() {
    let mut dice = super::Dice(crate::clock::Draws::seeded(7), Default::default());
    let (mut fair, mut unfair) = (Sum::default(), Sum::default());
    for _ in 0..100_000 {
        let draw = dice.below(1_000);
        fair.count(draw < 50, 0.05);
        unfair.count(draw < 56, 0.05);
    }
    assert!(fair.is_fair(OF_ALL) && !unfair.is_fair(OF_ALL), "{fair:?} {unfair:?}");
}
