//! Values of the command line as people write them: texts in, what they mean or what would do out.

use std::str::FromStr;

use crate::config;
use crate::rehearsal::{Cold, Lasts, Latency, Pauses, Restarts, Stalls, Traffic};
use std::time::Duration;

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

/// `30s,30%` or `60s,0%-60%,3s`: how often, the share that fails then, and for how long on average; without
/// that for exactly a second.
pub fn stalls(text: &str) -> Result<Stalls, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let (every, fails, lasts) = match parts[..] {
        [every, fails] => (every, fails, Lasts::Exactly(Duration::from_secs(1))),
        [every, fails, lasts] => (every, fails, Lasts::About(time(lasts)?)),
        _ => return Err("expected how often and what share fails, such as 30s,30%".into()),
    };
    let share = match fails.split_once('-') {
        Some((least, most)) => [share(least)?, share(most)?],
        None => [share(fails)?; 2],
    };
    if share[0] > share[1] {
        return Err("the smaller share comes first, as in 0%-60%".into());
    }
    Ok(Stalls { every: seldom(every)?, share, lasts })
}

/// `60s,2s`: how often, and for how long on average.
pub fn pauses(text: &str) -> Result<Pauses, String> {
    let Some((every, lasts)) = text.split_once(',') else {
        return Err("expected how often and for how long, such as 60s,500ms".into());
    };
    Ok(Pauses { every: seldom(every)?, lasts: Lasts::About(time(lasts)?) })
}

/// `5m,2s` or `5m,2s,60s`: when, for how long, and how often from then on.
pub fn restarts(text: &str) -> Result<Restarts, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let (at, lasts, every) = match parts[..] {
        [at, lasts] => (at, lasts, None),
        [at, lasts, every] => (at, lasts, Some(seldom(every)?)),
        _ => return Err("expected when and for how long, such as 5m,2s, or 5m,2s,60s".into()),
    };
    let at = config::duration_or_zero(at).map_err(|error| format!("`{at}`: {error}"))?;
    let lasts = time(lasts)?;
    match every.is_some_and(|every| every <= lasts) {
        true => Err("it must be back before it goes again".into()),
        false => Ok(Restarts { at, lasts, every }),
    }
}

/// `x2,90s`: how many times as long at first, and after which time no more.
pub fn cold(text: &str) -> Result<Cold, String> {
    let expected = "expected how many times as long and until when, such as x2,90s";
    let (factor, lasts) = text.split_once(',').ok_or(expected)?;
    let factor = factor.trim().strip_prefix('x').and_then(|factor| factor.parse().ok());
    let factor = factor.filter(|factor: &f64| (1.0..=1_000.0).contains(factor)).ok_or(expected)?;
    Ok(Cold { factor, lasts: time(lasts)? })
}

/// `10,1`: upstreams of the old version and of the new one.
pub fn upstreams(text: &str) -> Result<[u32; 2], String> {
    let number = |text: &str| match text.trim().parse() {
        Ok(number @ 1..=1_000) => Ok(number),
        _ => Err("from 1 to 1000 upstreams a pool would do".to_string()),
    };
    match text.split_once(',') {
        Some((stable, canary)) => Ok([number(stable)?, number(canary)?]),
        None => Err("expected those of both versions, such as 10,1".into()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|error| format!("`{text}`: {error}"))
}

/// Not more often than once a second.
fn seldom(text: &str) -> Result<Duration, String> {
    let every = time(text)?;
    if every.as_secs() == 0 { Err("at most once a second".into()) } else { Ok(every) }
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
        let secs = Duration::from_secs;
        let lasts = Lasts::Exactly(secs(1));
        let wanted = Stalls { every: secs(30), share: [0.3; 2], lasts };
        assert_eq!(stalls("30s,30%"), Ok(wanted));
        let wanted = Stalls { share: [0.0, 0.6], lasts: Lasts::About(secs(3)), ..wanted };
        assert_eq!(stalls("30s,0%-60%,3s"), Ok(wanted));
        assert_eq!(stalls("30s,60%-0%"), Err("the smaller share comes first, as in 0%-60%".into()));
        assert_eq!(stalls("10ms,30%"), Err("at most once a second".into()));
        assert!(stalls("30s").is_err() && stalls("30s,0.3").is_err());
    }

    #[test]
    fn what_else_may_go_wrong_is_told_with_its_times() {
        let secs = Duration::from_secs;
        let wanted = Pauses { every: secs(60), lasts: Lasts::About(secs(2)) };
        assert_eq!(pauses("60s,2s"), Ok(wanted));
        let once = Restarts { at: secs(300), lasts: secs(2), every: None };
        assert_eq!(restarts("5m,2s"), Ok(once));
        assert_eq!(restarts("5m,2s,60s"), Ok(Restarts { every: Some(secs(60)), ..once }));
        assert_eq!(cold("x2,90s"), Ok(Cold { factor: 2.0, lasts: secs(90) }));
        assert_eq!(upstreams("10,1"), Ok([10, 1]));
        for told in [
            pauses("60s").unwrap_err(),
            restarts("5m").unwrap_err(),
            restarts("5m,9s,2s").unwrap_err(),
            cold("2,90s").unwrap_err(),
            cold("x0.5,90s").unwrap_err(),
            upstreams("10").unwrap_err(),
            upstreams("10,0").unwrap_err(),
        ] {
            assert!(told.contains(" "), "{told}");
        }
    }
}
