//! What last went wrong with an upstream: failures in, the last one and its time out.
//!
//! One atomic word, so that requests which fail write it without a lock and people read it whole.

use std::fmt::{Display, Formatter};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Moment;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It could not be connected to.
    Refused,
    /// It accepted no connection in time.
    ConnectTimeout,
    /// It did not answer in time.
    NoAnswer,
    /// It closed or reset the connection.
    Reset,
    /// Its answer is not one that may be passed on.
    BadAnswer,
    /// Its certificate is not to be trusted, or its TLS is no good.
    Tls,
    /// It answered with this status.
    Status(u16),
}

/// The last trouble: microseconds above, 16 bits of what it was below; 0 for none.
#[derive(Debug, Default)]
pub(super) struct LastTrouble(AtomicU64);

const CODE: u64 = 0xFFFF;

impl Trouble {
    fn code(self) -> u64 {
        match self {
            Trouble::Refused => 1,
            Trouble::ConnectTimeout => 2,
            Trouble::NoAnswer => 3,
            Trouble::Reset => 4,
            Trouble::BadAnswer => 5,
            Trouble::Tls => 6,
            Trouble::Status(status) => u64::from(status.max(100)),
        }
    }

    fn of(code: u64) -> Option<Trouble> {
        Some(match code {
            0 => return None,
            1 => Trouble::Refused,
            2 => Trouble::ConnectTimeout,
            3 => Trouble::NoAnswer,
            4 => Trouble::Reset,
            5 => Trouble::BadAnswer,
            6 => Trouble::Tls,
            status => Trouble::Status(status as u16),
        })
    }
}

impl Display for Trouble {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Trouble::Refused => "it refuses connections or cannot be reached",
            Trouble::ConnectTimeout => "it accepted no connection in time",
            Trouble::NoAnswer => "it did not answer in time",
            Trouble::Reset => "it closed the connection before its answer was whole",
            Trouble::BadAnswer => "its answer cannot be passed on",
            Trouble::Tls => "its certificate or its TLS is no good here",
            Trouble::Status(status) => return write!(f, "it answered {status}"),
        })
    }
}

impl LastTrouble {
    pub fn note(&self, trouble: Trouble, now: Moment) {
        self.0.store(now.micros() << 16 | trouble.code(), Ordering::Relaxed);
    }

    pub fn read(&self) -> Option<(Trouble, Moment)> {
        let word = self.0.load(Ordering::Relaxed);
        Some((Trouble::of(word & CODE)?, Moment::from_micros(word >> 16)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_read_as_it_was_noted() {
        let (last, year) = (LastTrouble::default(), Moment::from_micros(366 * 86_400 * 1_000_000));
        assert_eq!(last.read(), None);
        let statuses = [500, 503, 599].map(Trouble::Status);
        use Trouble::*;
        for trouble in
            [Refused, ConnectTimeout, NoAnswer, Reset, BadAnswer, Tls].into_iter().chain(statuses)
        {
            last.note(trouble, year);
            assert_eq!(last.read(), Some((trouble, year)));
        }
    }
}
