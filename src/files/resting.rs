//! Whether a file may be read: what the system says of it and what was reported in, yes or how long to
//! wait out.
//!
//! Whoever writes a file may pause in the middle, and half a config can be a config. So a file is read
//! only when whoever wrote it has closed it or moved it into its place, and nothing has changed for a
//! while since. Where nothing is reported (a network file system) it has to rest for longer.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a file rests after it was closed or moved into its place: several are saved together.
pub(super) const AFTER_CLOSE: Duration = Duration::from_millis(500);

/// How long where nobody has reported that.
pub(super) const UNREPORTED: Duration = Duration::from_secs(2);

/// What tells that a file is another one, or holds something else; times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    written: i128,
    changed: i128,
}

/// A file on its way to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resting {
    /// None while it cannot be looked at.
    stamp: Option<Stamp>,
    since: Instant,
    /// Whether it was reported as whole since it last changed.
    is_whole: bool,
    /// Since when somebody has been writing who has not closed it.
    written_since: Option<Instant>,
}

/// What was reported of a file since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// It was closed after a write, or moved into its place.
    pub is_whole: bool,
    /// It was written to and is not closed yet.
    pub is_open: bool,
}

impl Stamp {
    /// That of what is at this path, through links.
    pub fn of(path: &Path) -> Option<Stamp> {
        let file = std::fs::metadata(path).ok()?;
        let nanos =
            |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Some(Stamp {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            written: nanos(file.mtime(), file.mtime_nsec()),
            changed: nanos(file.ctime(), file.ctime_nsec()),
        })
    }
}

impl Resting {
    /// A file that is seen for the first time.
    pub fn new(stamp: Option<Stamp>, now: Instant) -> Resting {
        Resting { stamp, since: now, is_whole: false, written_since: None }
    }

    /// Takes in a look.
    pub fn note(&mut self, stamp: Option<Stamp>, report: Report, now: Instant) {
        if stamp != self.stamp {
            (self.stamp, self.since, self.is_whole) = (stamp, now, false);
        }
        self.is_whole |= report.is_whole;
        self.written_since = report.is_open.then(|| self.written_since.unwrap_or(now));
    }

    /// How long it has to rest yet; none while somebody writes it.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        if self.written_since.is_some() {
            return None;
        }
        // What is gone may be on its way back: some take the old one away first.
        let wanted = match self.is_whole && self.stamp.is_some() {
            true => AFTER_CLOSE,
            false => UNREPORTED,
        };
        Some(wanted.saturating_sub(now.saturating_duration_since(self.since)))
    }

    /// For how long somebody has been writing it.
    pub fn open_for(&self, now: Instant) -> Option<Duration> {
        self.written_since.map(|since| now.saturating_duration_since(since))
    }

    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Report = Report { is_whole: false, is_open: false };
    const WHOLE: Report = Report { is_whole: true, is_open: false };
    const OPEN: Report = Report { is_whole: false, is_open: true };

    fn stamp(size: u64) -> Option<Stamp> {
        Some(Stamp { device: 1, inode: 2, size, written: 3, changed: 4 })
    }

    #[test]
    fn a_file_is_read_half_a_second_after_it_was_closed_and_never_while_it_is_written() {
        let start = crate::server::clock::system().now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let left = |file: &Resting, millis| file.left(at(millis)).map(|left| left.as_millis());
        let mut file = Resting::new(stamp(10), start);
        assert_eq!((left(&file, 500), left(&file, 2_000)), (Some(1_500), Some(0)));
        // Written, with a pause of an hour in the middle.
        file.note(stamp(5), OPEN, at(3_000));
        assert_eq!(
            (left(&file, 3_600_000), file.open_for(at(4_000))),
            (None, Some(at(4_000) - at(3_000)))
        );
        file.note(stamp(8), OPEN, at(3_600_000));
        file.note(stamp(9), WHOLE, at(3_700_000));
        assert_eq!((left(&file, 3_700_400), left(&file, 3_700_500)), (Some(100), Some(0)));
        // Closed, and opened again by the next in line.
        file.note(stamp(12), OPEN, at(3_700_600));
        assert_eq!(left(&file, 3_800_000), None);
    }

    #[test]
    fn what_nobody_reports_rests_for_longer() {
        let start = crate::server::clock::system().now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut file = Resting::new(stamp(1), start);
        file.note(stamp(2), NOTHING, at(5_000));
        file.note(stamp(2), NOTHING, at(6_000));
        assert_eq!(file.left(at(6_900)), Some(Duration::from_millis(100)));
        assert_eq!(file.left(at(7_000)), Some(Duration::ZERO));
        // The report comes after the look that saw the change.
        file.note(stamp(3), NOTHING, at(8_000));
        file.note(stamp(3), WHOLE, at(8_100));
        assert_eq!(file.left(at(8_500)), Some(Duration::ZERO));
        // Taken away: the next one may come any moment.
        file.note(None, WHOLE, at(9_000));
        assert_eq!(file.left(at(9_500)), Some(Duration::from_millis(1_500)));
    }
}
