//! Values of the command line as people write them: texts in, what they mean or what would do out.

use std::str::FromStr;

use crate::config;
use crate::rehearsal::{Latency, Stalls, Traffic};

/// Decimals that an error rate may have: one request in a hundred million.
const FINEST: usize = 6;

/// How long a canary takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CanaryLatency {
    /// So long.
    Of(Latency),
    /// So many times as long as the other pool.
    Times(f64),
}

/// A share such as `0.1%`, as a number from 0 to 1. The sign is wanted: 0.001 without it could be
/// either.
pub fn share(text: &str) -> Result<f64, String> {
    let Some(number) = text.trim().strip_suffix('%') else {
        return Err(match text.trim().parse::<f64>() {
            Ok(_) => format!("of what? say {}%", text.trim()),
            Err(_) => "expected a percentage such as 0.1%".into(),
        });
    };
    let number = number.trim();
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    match number.parse::<f64>() {
        Ok(_) if decimals > FINEST => Err(format!("at most {FINEST} decimals")),
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        Ok(_) => Err("a percentage lies between 0% and 100%".into()),
        Err(_) => Err("expected a percentage such as 0.1%".into()),
    }
}

/// Requests a second.
pub fn rate(text: &str) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().map_err(|_| "expected a number such as 500")?;
    match Traffic::steady(number) {
        Some(_) => Ok(number),
        None => Err("from 0 to 10000000 requests a second would do".into()),
    }
}

/// `50ms,200ms`: the median and the 99th percentile.
pub fn latency(text: &str) -> Result<Latency, String> {
    let Some((p50, p99)) = text.split_once(',') else {
        return Err("expected p50 and p99, such as 50ms,200ms".into());
    };
    let read = |text: &str| config::duration(text).map_err(|error| format!("`{text}`: {error}"));
    Latency::new(read(p50)?, read(p99)?).map_err(|error| error.to_string())
}

/// `30s,30%`: how often, and the share that fails then.
pub fn stalls(text: &str) -> Result<Stalls, String> {
    let Some((every, fails)) = text.split_once(',') else {
        return Err("expected how often and what share fails, such as 30s,30%".into());
    };
    let every = config::duration(every).map_err(|error| format!("`{every}`: {error}"))?;
    if every.as_secs() == 0 {
        return Err("at most once a second".into());
    }
    Ok(Stalls { every, share: share(fails)? })
}

impl FromStr for CanaryLatency {
    type Err = String;

    fn from_str(text: &str) -> Result<CanaryLatency, String> {
        let Some(factor) = text.trim().strip_prefix('x') else {
            return latency(text).map(CanaryLatency::Of).map_err(|error| {
                match text.contains(',') {
                    true => error,
                    false => format!("{error}, or how many times as long, such as x1.5"),
                }
            });
        };
        match factor.parse::<f64>() {
            Ok(factor) if (0.01..=1_000.0).contains(&factor) => Ok(CanaryLatency::Times(factor)),
            Ok(_) => Err("from x0.01 to x1000 would do".into()),
            Err(_) => Err("expected a factor such as x1.5".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn shares_want_their_sign() {
        assert_eq!(share("0.1%"), Ok(0.001));
        assert_eq!(share(" 2 % "), Ok(0.02));
        for (text, told) in [
            ("0.1", "of what? say 0.1%"),
            ("much", "expected a percentage such as 0.1%"),
            ("-1%", "a percentage lies between 0% and 100%"),
            ("NaN%", "a percentage lies between 0% and 100%"),
            ("0.1234567%", "at most 6 decimals"),
        ] {
            assert_eq!(share(text), Err(told.into()), "{text}");
        }
    }

    #[test]
    fn latencies_are_two_quantiles_or_a_factor() {
        let millis = Duration::from_millis;
        let wanted = Latency::new(millis(50), millis(200)).unwrap();
        assert_eq!(latency("50ms,200ms"), Ok(wanted));
        assert_eq!("50ms, 200ms".parse(), Ok(CanaryLatency::Of(wanted)));
        assert_eq!("x1.5".parse(), Ok(CanaryLatency::Times(1.5)));
        for (text, told) in [
            (
                "50ms",
                "expected p50 and p99, such as 50ms,200ms, or how many times as long, such as x1.5",
            ),
            ("50,200ms", "`50`: a duration needs a unit, such as 50s or 50ms"),
            ("200ms,50ms", "p99 (50ms) must be above p50 (200ms), and p50 at least 1 µs"),
            ("x0", "from x0.01 to x1000 would do"),
            ("xl", "expected a factor such as x1.5"),
        ] {
            assert_eq!(text.parse::<CanaryLatency>(), Err(told.into()), "{text}");
        }
    }

    #[test]
    fn stalls_are_seldom() {
        let wanted = Stalls { every: Duration::from_secs(30), share: 0.3 };
        assert_eq!(stalls("30s,30%"), Ok(wanted));
        assert_eq!(stalls("10ms,30%"), Err("at most once a second".into()));
        assert!(stalls("30s").is_err() && stalls("30s,0.3").is_err());
    }
}
