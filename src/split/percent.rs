//! A share of the whole: "12.5" in, 1,250 basis points out, and back.
//!
//! Parsed from the text as written, never through a float: 0.29 % must be 29, not 28. What JSON brings
//! is a float already, and as near to a hundredth as floats are.

use std::fmt;

use super::WHOLE;

/// A share in basis points (1/10,000), 0 to 10,000.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(try_from = "u16", into = "u16")]
pub struct BasisPoints(u16);

/// Why a text is not a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PercentError {
    /// Not a plain decimal number.
    #[error("expected a percentage such as 12.5")]
    NotANumber,
    /// More than two decimals.
    #[error("a percentage has at most two decimals")]
    TooFine,
    /// Below 0 or above 100.
    #[error("a percentage lies between 0 and 100")]
    OutOfRange,
}

impl BasisPoints {
    /// Nothing.
    pub const NONE: BasisPoints = BasisPoints(0);
    /// Everything.
    pub const WHOLE: BasisPoints = BasisPoints(WHOLE);

    /// A share of this many basis points, if it is not more than the whole.
    pub fn new(basis_points: u16) -> Option<BasisPoints> {
        (basis_points <= WHOLE).then_some(BasisPoints(basis_points))
    }

    /// Reads a percentage: digits, perhaps a point and one or two more, perhaps zeros after them.
    pub fn from_percent(text: &str) -> Result<BasisPoints, PercentError> {
        let text = text.trim().trim_end_matches('%').trim_end();
        if text.starts_with('-') {
            return Err(PercentError::OutOfRange);
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
            return Err(PercentError::NotANumber);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 2 {
            return Err(PercentError::TooFine);
        }
        let whole: u32 = whole.parse().map_err(|_| PercentError::OutOfRange)?;
        let fraction: u32 = format!("{fraction:0<2}").parse().unwrap_or(0);
        let sum = whole.checked_mul(100).and_then(|w| w.checked_add(fraction));
        sum.and_then(|bp| u16::try_from(bp).ok())
            .and_then(BasisPoints::new)
            .ok_or(PercentError::OutOfRange)
    }

    /// A percentage that has been a float: the hundredth that it stands for. 57 × 0.01 is
    /// 0.5700000000000001, and yet 0.57 %.
    pub fn from_number(percent: f64) -> Result<BasisPoints, PercentError> {
        let basis_points = percent * 100.0;
        let nearest = basis_points.round();
        if !(0.0..=f64::from(WHOLE)).contains(&nearest) {
            return Err(PercentError::OutOfRange);
        }
        if (basis_points - nearest).abs() > ROUNDING {
            return Err(PercentError::TooFine);
        }
        // In range and whole: nothing is lost.
        BasisPoints::new(nearest as u16).ok_or(PercentError::OutOfRange)
    }

    /// Basis points, 0 to 10,000.
    pub fn get(self) -> u16 {
        self.0
    }

    /// The share as a ratio, 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// The share as a percentage, 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl TryFrom<u16> for BasisPoints {
    type Error = PercentError;

    fn try_from(basis_points: u16) -> Result<BasisPoints, PercentError> {
        BasisPoints::new(basis_points).ok_or(PercentError::OutOfRange)
    }
}

impl From<BasisPoints> for u16 {
    fn from(share: BasisPoints) -> u16 {
        share.0
    }
}

impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&display(u32::from(self.0)))
    }
}

/// How far from a hundredth of a percent sums and products of floats end, in basis points, with room
/// to spare: far less than anybody writes.
const ROUNDING: f64 = 1e-6;

/// Basis points as a percentage without needless zeros: 1250 → "12.5".
pub(super) fn display(basis_points: u32) -> String {
    let text = format!("{}.{:02}", basis_points / 100, basis_points % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_exact() {
        let cases = [("0", 0), ("0.29", 29), ("5", 500), ("12.5", 1_250), ("99.990", 9_999)];
        for (text, basis_points) in cases {
            assert_eq!(BasisPoints::from_percent(text), Ok(BasisPoints(basis_points)), "{text}");
        }
        assert_eq!(BasisPoints::from_percent("100"), Ok(BasisPoints::WHOLE));
        assert_eq!(BasisPoints(1_250).to_string(), "12.5");
        assert_eq!(BasisPoints::NONE.to_string(), "0");
    }

    #[test]
    fn a_float_stands_for_its_hundredth() {
        for (percent, basis_points) in [
            (0.29, 29),
            (57.0 * 0.01, 57),
            (99.99, 9_999),
            (1e1, 1_000),
            (-0.0, 0),
            (100.0, 10_000),
        ] {
            assert_eq!(
                BasisPoints::from_number(percent),
                Ok(BasisPoints(basis_points)),
                "{percent}"
            );
        }
        for (percent, error) in [
            (0.125, PercentError::TooFine),
            (99.999, PercentError::TooFine),
            (1e-6, PercentError::TooFine),
            (100.01, PercentError::OutOfRange),
            (-1.0, PercentError::OutOfRange),
            (1e300, PercentError::OutOfRange),
            (f64::NAN, PercentError::OutOfRange),
        ] {
            assert_eq!(BasisPoints::from_number(percent), Err(error), "{percent}");
        }
    }

    #[test]
    fn bad_percentages_say_why() {
        let cases = [
            ("", PercentError::NotANumber),
            ("5.", PercentError::NotANumber),
            ("1e1", PercentError::NotANumber),
            ("0.125", PercentError::TooFine),
            ("100.01", PercentError::OutOfRange),
            ("-1", PercentError::OutOfRange),
            ("99999999999", PercentError::OutOfRange),
        ];
        for (text, error) in cases {
            assert_eq!(BasisPoints::from_percent(text), Err(error), "{text}");
        }
    }
}
