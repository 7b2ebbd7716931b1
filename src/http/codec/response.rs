//! A response's head: its bytes in, where its parts lie out, or the rule it breaks.

use http::Version;

use super::lines::Lines;
use super::request::version;
use super::{Limits, Malformed, Span, text_end};

/// Where a response's parts lie in its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 1.0 or 1.1; a later minor version is taken for 1.1 (RFC 9110, 2.5).
    pub version: Version,
    /// 100 to 999.
    pub status: u16,
    /// What is said for people; may be empty.
    pub reason: Span,
    /// Bytes of the head; its body is behind them.
    pub length: usize,
}

/// Reads one head after the other.
#[derive(Clone, Debug, Default)]
pub struct ResponseReader {
    lines: Lines,
    part: Part,
    at: usize,
    version: Version,
    status: u16,
    reason: Span,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Status,
    Reason,
    LineFeed,
    Fields,
}

/// Bytes of a status line up to the end of its status.
const STATUS: usize = 12;

impl ResponseReader {
    /// Begins anew, for the next head of a connection.
    pub fn begin(&mut self) {
        (self.part, self.at) = (Part::Status, 0);
    }

    /// The fields of the head read last.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Goes on reading. `bytes` are all that have come since the head's first; the head once it is
    /// whole.
    pub fn read(
        &mut self,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Option<ResponseHead>, Malformed> {
        let within = &bytes[..bytes.len().min(limits.bytes)];
        let is_all = within.len() == bytes.len();
        match self.read_within(within, limits.fields)? {
            None if !is_all => Err(Malformed::TooLong),
            head => Ok(head),
        }
    }

    fn read_within(
        &mut self,
        bytes: &[u8],
        most: usize,
    ) -> Result<Option<ResponseHead>, Malformed> {
        loop {
            match self.part {
                Part::Status => {
                    let Some(line) = bytes.first_chunk::<STATUS>() else { return Ok(None) };
                    self.version = version(line.first_chunk(), Malformed::StatusLine)?;
                    self.status = status(&line[8..]).ok_or(Malformed::StatusLine)?;
                    (self.at, self.part) = (STATUS, Part::Reason);
                }
                Part::Reason => {
                    // Servers leave the space out where there is no reason.
                    if self.at == STATUS && !matches!(bytes.get(STATUS), None | Some(b' ' | b'\r'))
                    {
                        return Err(Malformed::StatusLine);
                    }
                    self.at = text_end(bytes, self.at);
                    match bytes.get(self.at) {
                        None => return Ok(None),
                        Some(b'\r') => {}
                        Some(b'\n') => return Err(Malformed::BareLineFeed),
                        Some(_) => return Err(Malformed::StatusLine),
                    }
                    self.reason = Span { from: (STATUS + 1).min(self.at), to: self.at };
                    (self.at, self.part) = (self.at + 1, Part::LineFeed);
                }
                Part::LineFeed => match bytes.get(self.at) {
                    None => return Ok(None),
                    Some(b'\n') => {
                        self.lines.begin(self.at + 1);
                        self.part = Part::Fields;
                    }
                    Some(_) => return Err(Malformed::BareCarriageReturn),
                },
                Part::Fields => {
                    let (version, status, reason) = (self.version, self.status, self.reason);
                    let length = self.lines.read(bytes, most)?;
                    let head = |length| ResponseHead { version, status, reason, length };
                    return Ok(length.map(head));
                }
            }
        }
    }
}

/// The status in ` 200`.
fn status(text: &[u8]) -> Option<u16> {
    let [b' ', digits @ ..] = text else { return None };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let status = digits.iter().try_fold(0, |sum, byte| Some(sum * 10 + digit(byte)?))?;
    (100..1_000).contains(&status).then_some(status)
}
