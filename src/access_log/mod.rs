//! The access log: which requests get a line, and what is in it.
//!
//! On a request's way only bytes are put behind each other ([`Entry::encode`]); a line is made of them by
//! whoever writes the log.

mod entries;
mod entry;
mod line;

use crate::config::AccessLog;
use crate::record::Record;
use crate::split::BasisPoints;
use crate::upstream::{Outcome, StatusClass};

pub use entries::Entries;
pub use entry::Entry;
pub use line::{masked, write};

/// Whether a request gets a line: always, unless all went well with it. Of those that are left out by chance
/// the same are for everybody who has the same trace id and the same share.
pub fn is_wanted(record: &Record<'_>, log: &AccessLog) -> bool {
    log.sample == BasisPoints::WHOLE || !is_good(record) || is_drawn(record, log.sample)
}

/// Whether there is nothing to tell of a request: a good answer from the first upstream that the split, or
/// a tester, chose.
fn is_good(record: &Record<'_>) -> bool {
    let status = match record.outcome {
        Outcome::Status(class) => class,
        Outcome::ClientGone | Outcome::Failed => return false,
    };
    let is_well = !matches!(status, StatusClass::ClientError | StatusClass::ServerError);
    is_well && record.cause.is_none() && !record.was_helped()
}

fn is_drawn(record: &Record<'_>, share: BasisPoints) -> bool {
    // The last digits of a trace id are random where the first need not be.
    let Some((trace, _)) = &record.noted.trace else { return true };
    let digits = std::str::from_utf8(&trace[24..]).ok();
    let Some(number) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
        return true;
    };
    (u64::from(number) * u64::from(BasisPoints::WHOLE.get())) >> 32 < u64::from(share.get())
}

#[cfg(test)]
mod tests;
