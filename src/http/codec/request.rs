//! A request's head: its bytes in, where its parts lie out, or the rule it breaks.

use http::Version;

use super::lines::Lines;
use super::{Limits, Malformed, Span, is_token};

/// Bytes of a method. The longest that is registered has 17.
const LONGEST_METHOD: usize = 32;

/// How the header of the PROXY protocol's second version begins.
const PROXY_2: &[u8] = b"\r\n\r\n\0";

/// Where a request's parts lie in its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method.
    pub method: Span,
    /// What is asked for, as it came.
    pub target: Span,
    /// What form that has.
    pub form: Form,
    /// 1.0 or 1.1; a later minor version is taken for 1.1 (RFC 9110, 2.5).
    pub version: Version,
    /// Bytes of the head; its body is behind them.
    pub length: usize,
}

/// The form of a request's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A path with perhaps a query.
    Path,
    /// A whole URI: its authority, which counts in `Host`'s place (RFC 9112, 3.2.2), and its path with
    /// perhaps a query. A path that is missing is `/`.
    Whole {
        /// Host and perhaps port.
        authority: Span,
        /// Empty, or begins with `/` or `?`.
        path: Span,
    },
    /// `*`: the server itself, of `OPTIONS`.
    Server,
}

/// Reads one head after the other.
#[derive(Clone, Debug, Default)]
pub struct RequestReader {
    lines: Lines,
    part: Part,
    /// The next byte to look at, of the request line.
    at: usize,
    method: Span,
    target: Span,
    version: Version,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Begin,
    Method,
    Target,
    Version,
    Fields,
}

impl RequestReader {
    /// Begins anew, for the next request of a connection.
    pub fn begin(&mut self) {
        (self.part, self.at) = (Part::Begin, 0);
    }

    /// The fields of the head read last.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Goes on reading. `bytes` are all that have come since the head's first; the head once it is
    /// whole.
    pub fn read(&mut self, bytes: &[u8], limits: Limits) -> Result<Option<RequestHead>, Malformed> {
        // What is too long is not looked at.
        let within = &bytes[..bytes.len().min(limits.bytes)];
        let is_all = within.len() == bytes.len();
        match self.read_within(within, limits.fields)? {
            None if !is_all => Err(Malformed::TooLong),
            head => Ok(head),
        }
    }

    fn read_within(&mut self, bytes: &[u8], most: usize) -> Result<Option<RequestHead>, Malformed> {
        loop {
            match self.part {
                Part::Begin => {
                    let Some(at) = first(bytes)? else { return Ok(None) };
                    (self.method.from, self.at, self.part) = (at, at, Part::Method);
                }
                Part::Method => {
                    let Some(at) = end(bytes, self.at, is_token) else {
                        self.at = bytes.len();
                        let is_long = self.at - self.method.from > LONGEST_METHOD;
                        return if is_long { Err(Malformed::Method) } else { Ok(None) };
                    };
                    if !(1..=LONGEST_METHOD).contains(&(at - self.method.from)) {
                        return Err(Malformed::Method);
                    }
                    if bytes[at] != b' ' {
                        return Err(Malformed::RequestLine);
                    }
                    self.method.to = at;
                    (self.target.from, self.at, self.part) = (at + 1, at + 1, Part::Target);
                }
                Part::Target => {
                    let Some(at) = end(bytes, self.at, is_of_target) else {
                        self.at = bytes.len();
                        return Ok(None);
                    };
                    if bytes[at] != b' ' {
                        return Err(self.no_target(bytes, at));
                    }
                    if at == self.target.from {
                        return Err(Malformed::RequestLine);
                    }
                    self.target.to = at;
                    (self.at, self.part) = (at + 1, Part::Version);
                }
                Part::Version => {
                    let Some(line) = bytes[self.at..].first_chunk::<10>() else {
                        return Ok(None);
                    };
                    self.version = self.version(bytes, line)?;
                    self.lines.begin(self.at + line.len());
                    self.part = Part::Fields;
                }
                Part::Fields => {
                    let Some(length) = self.lines.read(bytes, most)? else { return Ok(None) };
                    let (method, target) = (self.method, self.target);
                    let form = form(method.of(bytes), target, bytes)?;
                    let version = self.version;
                    return Ok(Some(RequestHead { method, target, form, version, length }));
                }
            }
        }
    }

    /// What ended a target was no space.
    fn no_target(&self, bytes: &[u8], at: usize) -> Malformed {
        match bytes[at] {
            // HTTP/0.9, or somebody who talks to himself.
            b'\r' | b'\n' => Malformed::RequestLine,
            _ => Malformed::Target,
        }
    }

    fn version(&self, bytes: &[u8], line: &[u8; 10]) -> Result<Version, Malformed> {
        match (self.method.of(bytes), self.target.of(bytes)) {
            (b"PRI", b"*") => return Err(Malformed::Http2),
            (b"PROXY", b"TCP4" | b"TCP6" | b"UNKNOWN") => return Err(Malformed::ProxyHeader),
            _ => {}
        }
        match line {
            b"HTTP/1.1\r\n" => Ok(Version::HTTP_11),
            b"HTTP/1.0\r\n" => Ok(Version::HTTP_10),
            _ => version(line[..8].first_chunk(), Malformed::RequestLine).and_then(|version| {
                match &line[8..] {
                    b"\r\n" => Ok(version),
                    [b'\n', _] => Err(Malformed::BareLineFeed),
                    [b'\r', _] => Err(Malformed::BareCarriageReturn),
                    _ => Err(Malformed::RequestLine),
                }
            }),
        }
    }
}

/// `HTTP/1.x`; what it breaks if it is nothing of the kind.
pub(super) fn version(text: Option<&[u8; 8]>, no_line: Malformed) -> Result<Version, Malformed> {
    match text {
        Some(b"HTTP/1.0") => Ok(Version::HTTP_10),
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9']) => Ok(Version::HTTP_11),
        Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) => {
            Err(Malformed::Version)
        }
        _ => Err(no_line),
    }
}

/// Where a request begins: an empty line before it is passed over (RFC 9112, 2.2), for clients of old
/// send one behind a body.
fn first(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    match bytes {
        [] | [b'\r'] | [b'\r', b'\n'] => Ok(None),
        [0x16, ..] => Err(Malformed::Tls),
        [b'\r', b'\n', b'\r', ..] => match bytes.len() < PROXY_2.len() {
            true if PROXY_2.starts_with(bytes) => Ok(None),
            _ if bytes.starts_with(PROXY_2) => Err(Malformed::ProxyHeader),
            _ => Err(Malformed::RequestLine),
        },
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\r', ..] => Err(Malformed::BareCarriageReturn),
        [b'\n', ..] => Err(Malformed::BareLineFeed),
        _ => Ok(Some(0)),
    }
}

/// The first place from `at` on whose byte is not one of these; none if there is none yet.
fn end(bytes: &[u8], at: usize, is_one: fn(u8) -> bool) -> Option<usize> {
    let rest = bytes.get(at..)?;
    rest.iter().position(|&byte| !is_one(byte)).map(|length| at + length)
}

/// What RFC 3986 forbids is let pass where all of the field do so (`"`, `<`, Latin-1): it is written on
/// as it came. A fragment is not: some servers cut it off, and then mean another path.
fn is_of_target(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte != b'#'
}

fn form(method: &[u8], target: Span, bytes: &[u8]) -> Result<Form, Malformed> {
    if method == b"CONNECT" {
        return Err(Malformed::Connect);
    }
    let text = target.of(bytes);
    match text {
        [b'/', ..] => return Ok(Form::Path),
        b"*" if method == b"OPTIONS" => return Ok(Form::Server),
        _ => {}
    }
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let from = target.from + scheme.ok_or(Malformed::Target)?.len();
    let rest = Span { from, to: target.to }.of(bytes);
    let length = rest.iter().position(|&byte| byte == b'/' || byte == b'?').unwrap_or(rest.len());
    let authority = Span { from, to: from + length };
    // A user's name before the host has misled more people than it has helped (RFC 9110, 4.2.4).
    match length == 0 || authority.of(bytes).contains(&b'@') {
        true => Err(Malformed::Target),
        false => Ok(Form::Whole { authority, path: Span { from: from + length, to: target.to } }),
    }
}
