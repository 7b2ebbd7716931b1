//! Lengths of time as people write them: a text such as `1m 30s` in, a duration out.

use std::time::Duration;

use jiff::SignedDuration;

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    /// A number alone: nobody knows of what.
    #[error("a duration needs a unit, such as {0}s or {0}ms")]
    NoUnit(String),
    /// It is zero or less.
    #[error("a duration lies above zero")]
    NotPositive,
    /// It is less than zero.
    #[error("a duration is not negative")]
    Negative,
    /// It is something else.
    #[error("expected a duration such as `500ms`, `1m 30s` or `2d`")]
    Unreadable,
}

/// A length of time such as `500ms` or `1m 30s`, above zero.
pub fn duration(text: &str) -> Result<Duration, BadDuration> {
    match signed(text)? {
        length if length.is_positive() => Ok(length.unsigned_abs()),
        _ => Err(BadDuration::NotPositive),
    }
}

/// A length of time that may be none at all, such as `0s`.
pub fn duration_or_zero(text: &str) -> Result<Duration, BadDuration> {
    match signed(text)? {
        length if length.is_negative() => Err(BadDuration::Negative),
        length => Ok(length.unsigned_abs()),
    }
}

fn signed(text: &str) -> Result<SignedDuration, BadDuration> {
    let text = text.trim();
    let is_bare = text.parse::<f64>().is_ok_and(f64::is_finite);
    if let Some((days, rest)) = text.split_once('d')
        && let Ok(days) = days.trim().parse::<u16>()
    {
        let rest = if rest.trim().is_empty() { SignedDuration::ZERO } else { signed(rest)? };
        return Ok(SignedDuration::from_hours(24 * i64::from(days)) + rest);
    }
    match text.parse::<SignedDuration>() {
        Ok(length) => Ok(length),
        Err(_) if is_bare => Err(BadDuration::NoUnit(text.to_string())),
        Err(_) => Err(BadDuration::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_without_a_unit_is_asked_for_one() {
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(2 * 24 * 3_600)));
        assert_eq!(duration("1d 12h"), Ok(Duration::from_secs(36 * 3_600)));
        assert_eq!(
            duration("5").unwrap_err().to_string(),
            "a duration needs a unit, such as 5s or 5ms"
        );
        assert_eq!(duration(" 1.5 "), Err(BadDuration::NoUnit("1.5".into())));
        assert_eq!(duration("0s"), Err(BadDuration::NotPositive));
        assert_eq!(duration("-3s"), Err(BadDuration::NotPositive));
        for text in ["", "soon", "5 parsecs", "s", "infinity"] {
            assert_eq!(duration(text), Err(BadDuration::Unreadable), "{text}");
        }
    }

    #[test]
    fn a_wait_may_be_zero() {
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
        assert_eq!(duration_or_zero("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration_or_zero("-3s"), Err(BadDuration::Negative));
        assert_eq!(duration_or_zero("0"), Err(BadDuration::NoUnit("0".into())));
    }
}
