//! How many requests come: a rate, or a recording of one, in; the rate of a moment out.

use std::time::Duration;

/// More than this is no service.
const MOST: f64 = 1e7;

/// The requests per second of a service over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// From when on it is how many; the first from 0 on, times rising.
    rows: Vec<(f64, f64)>,
}

/// A line of a recording that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadProfile {
    /// Counts from 1.
    pub line: usize,
    /// What is wrong and what would do.
    pub why: String,
}

impl Traffic {
    /// The same at all times; none if it is negative or more than ten million.
    pub fn steady(rate: f64) -> Option<Traffic> {
        (0.0..=MOST).contains(&rate).then(|| Traffic { rows: vec![(0.0, rate)] })
    }

    /// Reads a recording: a line for each change, `seconds,requests_per_second`. A rate lasts until
    /// the next line, the last one for ever; seconds count from the first line. A line of headings,
    /// empty lines and those that begin with `#` are passed over.
    pub fn parse(text: &str) -> Result<Traffic, BadProfile> {
        let mut rows: Vec<(f64, f64)> = Vec::new();
        let mut has_headings = false;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |why: String| BadProfile { line: at + 1, why };
            let Some((seconds, rate)) = line.split_once(',') else {
                let why = format!("`{line}` has no comma; a line is `seconds,requests_per_second`");
                return Err(bad(why));
            };
            let read = |what: &str, text: &str| {
                let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
                number.ok_or_else(|| bad(format!("`{}` is no number of {what}", text.trim())))
            };
            let is_heading =
                rows.is_empty() && !has_headings && seconds.trim().parse::<f64>().is_err();
            if is_heading && rate.trim().parse::<f64>().is_err() {
                has_headings = true;
                continue;
            }
            let (seconds, rate) = (read("seconds", seconds)?, read("requests per second", rate)?);
            if !(0.0..=MOST).contains(&rate) {
                return Err(bad(format!("{rate} requests per second; from 0 to {MOST} would do")));
            }
            match rows.last() {
                Some((before, _)) if seconds <= *before => {
                    return Err(bad(format!("second {seconds} does not come after {before}")));
                }
                _ => rows.push((seconds, rate)),
            }
        }
        let Some(&(first, _)) = rows.first() else {
            let why = "it has no line such as `0,500`".to_string();
            return Err(BadProfile { line: text.lines().count().max(1), why });
        };
        // A recording's clock may stand anywhere.
        rows.iter_mut().for_each(|(seconds, _)| *seconds -= first);
        Ok(Traffic { rows })
    }

    /// Requests per second, this long after the start.
    pub fn at(&self, time: Duration) -> f64 {
        let time = time.as_secs_f64();
        let after = self.rows.partition_point(|(from, _)| *from <= time);
        self.rows.get(after.saturating_sub(1)).map_or(0.0, |(_, rate)| *rate)
    }

    /// The most that ever come in a second.
    pub fn peak(&self) -> f64 {
        self.rows.iter().map(|(_, rate)| *rate).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lasts_until_the_next_line() {
        let text = "seconds,requests_per_second\n\n# a calm night\n0, 20\n3600,500.5\n7200,0\n";
        let traffic = Traffic::parse(text).unwrap();
        let at = |seconds| traffic.at(Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(3_599), at(3_600), at(7_199), at(90_000)],
            [20.0, 20.0, 500.5, 500.5, 0.0]
        );
        assert_eq!(traffic.peak(), 500.5);
    }

    #[test]
    fn a_recording_may_begin_at_any_time() {
        let traffic = Traffic::parse("1700000000,7\n1700000060,9").unwrap();
        let at = |seconds| traffic.at(Duration::from_secs(seconds));
        assert_eq!([at(0), at(59), at(60)], [7.0, 7.0, 9.0]);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, told) in [
            ("", "line 1: it has no line such as `0,500`"),
            ("0,5\n60;6", "line 2: `60;6` has no comma; a line is `seconds,requests_per_second`"),
            ("0,5\n60,many", "line 2: `many` is no number of requests per second"),
            ("0,5\nsoon,5", "line 2: `soon` is no number of seconds"),
            ("a,b\nc,d", "line 2: `c` is no number of seconds"),
            ("0,5\n60,-1", "line 2: -1 requests per second; from 0 to 10000000 would do"),
            ("0,5\n60,6\n60,7", "line 3: second 60 does not come after 60"),
            ("0,NaN", "line 1: `NaN` is no number of requests per second"),
        ] {
            assert_eq!(Traffic::parse(text).unwrap_err().to_string(), told);
        }
        assert_eq!((Traffic::steady(-1.0), Traffic::steady(f64::NAN)), (None, None));
    }
}
