//! One upstream in one second, and many of them as a text.
//!
//! `50` are fifty requests that all went well, `50/12` are fifty of which twelve failed, `50/12+19.2.1` had
//! nineteen good answers slower than the pool's p50, two of them slower than its p95, one than its p99; `50-`
//! is of one whose answers' time did not count, for it had just started. `-` is a second in which nobody looked:
//! the upstream was not in its pool. `0*7` is seven seconds alike.

use std::fmt;

use crate::judge::Counts;
use crate::judge::bursts::ByUpstream;

/// What one upstream did in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Second {
    /// Requests.
    pub total: u32,
    /// Those that failed.
    pub bad: u32,
    /// Good answers slower than the pool's p50, p95 and p99, each among those before it.
    pub slow: [u32; 3],
    /// Whether the time of its answers counts.
    pub is_timed: bool,
}

/// A word that is no second.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no second of an upstream; one is `50`, `50/12`, `50/12+19.2.1` or `-`, and `50*3` are three"
)]
pub struct NoSecond(String);

impl Default for Second {
    /// Nothing.
    fn default() -> Second {
        Second { total: 0, bad: 0, slow: [0; 3], is_timed: true }
    }
}

impl Second {
    /// Of what an upstream did in a tick.
    pub fn of(upstream: &ByUpstream) -> Second {
        let short = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let total = short(upstream.attempts.total);
        let bad = short(upstream.attempts.bad).min(total);
        let good = total - bad;
        Second {
            total,
            bad,
            slow: falling(upstream.slow.map(short), good),
            is_timed: upstream.answers > 0 || good == 0,
        }
    }

    /// Requests and failures.
    pub fn attempts(&self) -> Counts {
        Counts { total: u64::from(self.total), bad: u64::from(self.bad) }
    }

    /// Its good answers whose time counts, in four parts: up to the p50, up to the p95, up to the p99, and
    /// slower than that.
    pub fn answers(&self) -> [u64; 4] {
        if !self.is_timed {
            return [0; 4];
        }
        let [median, most, tail] = self.slow;
        let good = self.total - self.bad;
        [good - median, median - most, most - tail, tail].map(u64::from)
    }

    /// What these words say, to the first that is none; a gap where nobody looked.
    pub fn read_all(text: &str) -> impl Iterator<Item = Result<Option<Second>, NoSecond>> + '_ {
        let words = text.split_ascii_whitespace();
        words.flat_map(|word| {
            let (one, times) = word.split_once('*').unwrap_or((word, "1"));
            let times = times.parse::<u8>().ok().filter(|times| *times > 0);
            let second = if one == "-" { Some(None) } else { Second::read(one).map(Some) };
            let read = times.and(second).ok_or_else(|| {
                // What somebody else has written may be of any length.
                NoSecond(word.chars().take(40).collect())
            });
            let times = if read.is_ok() { times.unwrap_or(1) } else { 1 };
            std::iter::repeat_n(read, times.into())
        })
    }

    fn read(word: &str) -> Option<Second> {
        let (word, is_timed) = match word.strip_suffix('-') {
            Some(word) => (word, false),
            None => (word, true),
        };
        let (counts, slow) = word.split_once('+').unwrap_or((word, ""));
        let (total, bad) = counts.split_once('/').unwrap_or((counts, "0"));
        let (total, bad): (u32, u32) = (total.parse().ok()?, bad.parse().ok()?);
        let good = total.checked_sub(bad)?;
        let mut numbers = [0; 3];
        if !slow.is_empty() {
            let mut parts = slow.split('.');
            for number in &mut numbers {
                *number = parts.next().map_or(Some(0), |part| part.parse().ok())?;
            }
            parts.next().is_none().then_some(())?;
        }
        let is_right = falling(numbers, good) == numbers;
        is_right.then_some(Second { total, bad, slow: numbers, is_timed })
    }
}

/// Each at most the one before it.
fn falling([median, most, tail]: [u32; 3], good: u32) -> [u32; 3] {
    let median = median.min(good);
    let most = most.min(median);
    [median, most, tail.min(most)]
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.total)?;
        if self.bad > 0 {
            write!(f, "/{}", self.bad)?;
        }
        match self.slow {
            [0, ..] => {}
            [median, 0, _] => write!(f, "+{median}")?,
            [median, most, 0] => write!(f, "+{median}.{most}")?,
            [median, most, tail] => write!(f, "+{median}.{most}.{tail}")?,
        }
        if self.is_timed { Ok(()) } else { f.write_str("-") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_wrong_is_told() {
        let text = "0*3 50 50/12 50/12+19.2.1 9+4 9+4.1 7/7 50- 1 -*2";
        let read: Result<Vec<Option<Second>>, _> = Second::read_all(text).collect();
        let read = read.unwrap();
        assert_eq!((read.len(), read[11..].to_vec()), (13, vec![None; 2]));
        let read: Vec<Second> = read.into_iter().flatten().collect();
        assert_eq!(read[5].answers(), [19, 17, 1, 1]);
        assert_eq!((read[9].answers(), read[9].attempts().total), ([0; 4], 50));
        let again: Vec<String> = read.iter().map(Second::to_string).collect();
        assert_eq!(again.join(" ") + " -*2", text.replace("0*3", "0 0 0"));
        for wrong in [
            "x",
            "5/6",
            "5+6",
            "5+2.3",
            "5+3.2.1.0",
            "-1",
            "--",
            "5*0",
            "5*x",
            "5*300",
            "5/",
            "\u{1b}[2J",
        ] {
            let told = Second::read_all(wrong).next().unwrap().unwrap_err().to_string();
            // Whatever it is, it is shown and not obeyed.
            assert!(told.starts_with(&format!("{wrong:?} is no second")), "{told}");
        }
    }

    #[test]
    fn counts_that_were_read_one_after_the_other_fit_together() {
        let attempts = Counts { total: 10, bad: 4 };
        let odd = ByUpstream { attempts, answers: 9, slow: [8, 7, 9], ..ByUpstream::default() };
        let second = Second::of(&odd);
        assert_eq!((second.slow, second.answers()), ([6; 3], [0, 0, 0, 6]));
    }
}
