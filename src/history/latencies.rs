//! How long one pool took lately: its histogram once a second in, quantiles by window out.

use std::collections::VecDeque;

use crate::judge::Distribution;

/// Seconds that are kept one by one.
const SECONDS: usize = 10;

/// Spans of [`SECONDS`] that are kept: five minutes.
const SPANS: usize = 30;

/// The windows that quantiles are told of, in seconds.
pub const WINDOWS: [usize; 3] = [10, 60, 300];

/// The last five minutes of one pool.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    read: Distribution,
    /// The newest last; at most [`SECONDS`].
    seconds: VecDeque<Distribution>,
    /// The newest last, the one that is being filled among them; at most [`SPANS`] and that one.
    spans: VecDeque<Distribution>,
    /// Seconds in the newest span.
    filled: usize,
}

impl Latencies {
    /// Notes what came since the last second.
    pub fn note(&mut self, read: Distribution) {
        let new = read.since(&self.read);
        self.read = read;
        if self.filled == 0 {
            self.spans.push_back(Distribution::default());
        }
        if let Some(span) = self.spans.back_mut() {
            *span += &new;
        }
        self.filled = (self.filled + 1) % SECONDS;
        self.seconds.push_back(new);
        if self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
        if self.spans.len() > SPANS + 1 {
            self.spans.pop_front();
        }
    }

    /// The last second.
    pub fn newest(&self) -> Option<&Distribution> {
        self.seconds.back()
    }

    /// Each of the [`WINDOWS`].
    pub fn windows(&self) -> [Distribution; 3] {
        WINDOWS.map(|seconds| self.last(seconds))
    }

    /// The shortest of them.
    pub fn shortest(&self) -> Distribution {
        self.last(WINDOWS[0])
    }

    /// The longest of them.
    pub fn longest(&self) -> Distribution {
        self.last(WINDOWS[2])
    }

    /// The last so many seconds, more by at most one span.
    fn last(&self, seconds: usize) -> Distribution {
        let mut sum = Distribution::default();
        if seconds <= SECONDS {
            self.seconds.iter().rev().take(seconds).for_each(|one| sum += one);
            return sum;
        }
        // A span that has just begun counts for none.
        let spans = seconds / SECONDS + usize::from(self.filled > 0);
        self.spans.iter().rev().take(spans).for_each(|span| sum += span);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_window_holds_its_seconds() {
        let (mut latencies, mut read) = (Latencies::default(), Distribution::default());
        for second in 1..=400u64 {
            read.add(Duration::from_millis(second));
            latencies.note(read.clone());
        }
        let last = latencies.windows();
        assert_eq!(last.each_ref().map(Distribution::total), [10, 60, 300]);
        let least = last[1].quantile(0.0).unwrap().as_secs_f64();
        assert!((0.335..0.346).contains(&least), "{least}");
        read.add(Duration::from_millis(1));
        latencies.note(read);
        assert_eq!(latencies.windows().map(|window| window.total()), [10, 61, 301]);
    }
}
