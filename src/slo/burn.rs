//! How fast a budget burns: the windows that are looked at, and the rates that are too much.
//!
//! A burn rate of 1 spends a budget in exactly its window. Each tier asks two windows at once: the
//! long one says that it matters, the short one that it still goes on.

use std::time::Duration;

/// A window that a burn rate is looked at over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// 5 minutes.
    M5 = 0,
    /// 30 minutes.
    M30 = 1,
    /// An hour.
    H1 = 2,
    /// 2 hours.
    H2 = 3,
    /// 6 hours.
    H6 = 4,
    /// A day.
    D1 = 5,
    /// 3 days.
    D3 = 6,
}

/// Burn rates by [`Span`].
pub type Burns = [f64; Span::ALL.len()];

/// A rate that is too much when a long and a short window show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tier {
    /// Times the rate at which the budget would just last.
    pub rate: f64,
    /// The window that says that it matters.
    pub long: Span,
    /// The window that says that it goes on.
    pub short: Span,
}

/// The fastest first. In terms of a budget for 30 days: 2 % of it in an hour, 5 % in six, and 10 %
/// in one day and in three. The rates stay the same for budgets of other windows: they say what
/// users suffer now, and a third of a shorter budget may be gone by then.
pub const TIERS: [Tier; 4] = [
    Tier { rate: 14.4, long: Span::H1, short: Span::M5 },
    Tier { rate: 6.0, long: Span::H6, short: Span::M30 },
    Tier { rate: 3.0, long: Span::D1, short: Span::H2 },
    Tier { rate: 1.0, long: Span::D3, short: Span::H6 },
];

impl Span {
    /// All of them, the shortest first.
    pub const ALL: [Span; 7] =
        [Span::M5, Span::M30, Span::H1, Span::H2, Span::H6, Span::D1, Span::D3];

    /// Its word in labels.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// As people say it.
    pub const fn words(self) -> &'static str {
        self.row().1
    }

    /// How long it is.
    pub const fn length(self) -> Duration {
        Duration::from_secs(self.row().2 * 60)
    }

    const fn row(self) -> (&'static str, &'static str, u64) {
        match self {
            Span::M5 => ("5m", "5 min", 5),
            Span::M30 => ("30m", "30 min", 30),
            Span::H1 => ("1h", "1 h", 60),
            Span::H2 => ("2h", "2 h", 2 * 60),
            Span::H6 => ("6h", "6 h", 6 * 60),
            Span::D1 => ("1d", "1 d", 24 * 60),
            Span::D3 => ("3d", "3 d", 3 * 24 * 60),
        }
    }
}

impl Tier {
    /// Whether the rate is too much in both windows.
    pub fn fires(&self, burns: &Burns) -> bool {
        burns[self.long as usize] >= self.rate && burns[self.short as usize] >= self.rate
    }

    /// Whether the short window is well below the rate.
    pub fn is_quiet(&self, burns: &Burns) -> bool {
        burns[self.short as usize] < 0.9 * self.rate
    }
}
