//! The share of requests that has to be good: "99.9" in, what may be bad out.
//!
//! Exact from the text to the share, like [`BasisPoints`](crate::split::BasisPoints), but finer:
//! five nines are an objective that people have.

use std::fmt;

/// A share of good requests, from a half to less than all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Goal(u32);

/// Why a text is no goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoalError {
    /// Not a plain decimal number.
    #[error("expected a percentage such as 99.9")]
    NotANumber,
    /// More than four decimals.
    #[error("an objective has at most four decimals")]
    TooFine,
    /// The whole, or more.
    #[error("an objective lies below 100 %: what must never fail leaves no budget to watch")]
    NoBudget,
    /// Below a half.
    #[error("an objective is at least 50 %")]
    TooLow,
}

/// In millionths.
const ALL: u32 = 1_000_000;

impl Goal {
    /// 99.9 %.
    pub const THREE_NINES: Goal = Goal(999_000);

    /// This many millionths, which must be from a half to less than all.
    pub(super) const fn of_millionths(good: u32) -> Goal {
        assert!(good >= ALL / 2 && good < ALL);
        Goal(good)
    }

    /// Reads a percentage: digits, perhaps a point and up to four more.
    pub fn from_percent(text: &str) -> Result<Goal, GoalError> {
        let text = text.trim().trim_end_matches('%').trim_end();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
            return Err(GoalError::NotANumber);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 4 {
            return Err(GoalError::TooFine);
        }
        let whole: u32 = whole.parse().map_err(|_| GoalError::NoBudget)?;
        let fraction: u32 = format!("{fraction:0<4}").parse().unwrap_or(0);
        match whole.saturating_mul(10_000).saturating_add(fraction) {
            ALL.. => Err(GoalError::NoBudget),
            good if good < ALL / 2 => Err(GoalError::TooLow),
            good => Ok(Goal(good)),
        }
    }

    /// The share that may be bad, above 0 and at most a half.
    pub fn budget(self) -> f64 {
        f64::from(ALL - self.0) / f64::from(ALL)
    }

    /// As a percentage.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_exact() {
        let cases = [("99.9", 999_000), (" 99.999 %", 999_990), ("50", 500_000), ("95.0", 950_000)];
        for (text, good) in cases {
            assert_eq!(Goal::from_percent(text), Ok(Goal(good)), "{text}");
        }
        assert_eq!(Goal::from_percent("99.9"), Ok(Goal::THREE_NINES));
        assert_eq!(
            (Goal(999_000).to_string(), Goal(999_999).to_string().as_str()),
            ("99.9".into(), "99.9999")
        );
        assert_eq!((Goal(999_000).budget(), Goal(999_000).percent()), (0.001, 99.9));
    }

    #[test]
    fn bad_goals_say_why() {
        let cases = [
            ("", GoalError::NotANumber),
            ("99.", GoalError::NotANumber),
            ("-1", GoalError::NotANumber),
            ("99.99999", GoalError::TooFine),
            ("100", GoalError::NoBudget),
            ("99999999999", GoalError::NoBudget),
            ("49.9999", GoalError::TooLow),
        ];
        for (text, error) in cases {
            assert_eq!(Goal::from_percent(text), Err(error), "{text}");
        }
    }
}
