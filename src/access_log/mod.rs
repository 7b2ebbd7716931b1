//! The access log: which requests get a line, and what is in it.
//!
//! On a request's way only bytes are put behind each other ([`Entry::encode`]); a line is made of them by
//! whoever writes the log.

mod entry;
mod line;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use crate::record::Record;
use crate::split::BasisPoints;
use crate::upstream::{Outcome, StatusClass};

pub use entry::Entry;
pub use line::write;

/// What the file says of the access log.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Where lines go.
    pub to: LogPlace,
    /// What a line looks like.
    pub format: LogFormat,
    /// The share of good requests that get a line; all others always do.
    pub sample: BasisPoints,
    /// Fields of the request that are in a line.
    pub request_fields: Vec<HeaderName>,
    /// Fields of the upstream's answer that are.
    pub response_fields: Vec<HeaderName>,
    /// Parts of queries whose values are not told.
    pub mask: Arc<[String]>,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// To the process's standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
    /// To this Unix datagram socket, one line each.
    Socket(PathBuf),
}

impl fmt::Display for LogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogPlace::Stdout => f.write_str("stdout"),
            LogPlace::File(path) => path.display().fmt(f),
            LogPlace::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// An object of JSON.
    #[default]
    Json,
    /// As Apache's and nginx's `combined`.
    Combined,
}

impl AccessLog {
    /// Whether a request gets a line: always, unless all went well with it. Of those that are left out by
    /// chance the same are for everybody who has the same trace id and the same share.
    pub fn wants(&self, record: &Record<'_>) -> bool {
        self.sample == BasisPoints::WHOLE || !is_good(record) || is_drawn(record, self.sample)
    }
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
