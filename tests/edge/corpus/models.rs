//! Parsers of HTTP/1.1 as they are met in the wild, each lenient in one way: bytes in, the messages that
//! it takes them for out.
//!
//! Two of them before and behind a proxy that passes on what it gets are an attack. What we send must be
//! the same to all of them.

/// A message as a parser sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Method and target, or the status.
    pub first: String,
    pub body: Vec<u8>,
}

/// What it sees in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Seen {
    pub messages: Vec<Message>,
    /// Bytes that are no whole message.
    pub rest: usize,
    /// It gave up there.
    pub refused: bool,
}

/// Which side the bytes come from.
#[derive(Clone, Copy, Debug)]
pub enum Side<'m> {
    Client,
    /// The answers to requests of these methods. The connection has ended behind them, or not.
    Server {
        methods: &'m [String],
        has_ended: bool,
    },
}

/// One way to read.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    pub name: &'static str,
    both: Both,
    lengths: Which,
    number: Number,
    coding: Coding,
    line: LineEnd,
    fold: Fold,
    name_is: Name,
    size: Size,
    chunk_end: ChunkEnd,
    skips_lines: bool,
    old_has_chunks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Both {
    Neither,
    Length,
    Coding,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    None,
    First,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Digits,
    /// As far as it is one: C's `atoi`.
    Prefix,
    /// `0x` and a leading 0 mean what they mean in C: `strtol`.
    AnyBase,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Coding {
    Chunked,
    /// In small letters; anything else is ignored.
    Spelled,
    /// Wherever the word is in it.
    Contains,
    /// The first of a list counts.
    First,
    /// The last of a list counts, and the rest is ignored.
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum LineEnd {
    Both,
    LineFeed,
    CarriageReturn,
    /// What is behind NUL is not read.
    Nul,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fold {
    Refused,
    Joined,
    /// Read as a line of its own.
    Line,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Name {
    Token,
    /// Space before the colon is none.
    Stripped,
    /// Control characters around names and values are space.
    Trimmed,
    /// The names of framing are known in small letters and as the RFCs write them.
    Cased,
    /// As environment variables are made: what is no letter is a hyphen.
    Variable,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    Digits,
    /// Up to the first byte that is no digit.
    Prefix,
    /// Of 32 bits.
    Short,
    /// Space, signs and `0x` before it are let pass.
    Loose,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ChunkEnd {
    Line,
    /// Any two bytes.
    Two,
    /// As many carriage returns and line feeds as there are, or none.
    Any,
}

const STRICT: Model = Model {
    name: "strict",
    both: Both::Neither,
    lengths: Which::None,
    number: Number::Digits,
    coding: Coding::Chunked,
    line: LineEnd::Both,
    fold: Fold::Refused,
    name_is: Name::Token,
    size: Size::Digits,
    chunk_end: ChunkEnd::Line,
    skips_lines: false,
    old_has_chunks: false,
};

/// All of them; the first one is not lenient.
pub const MODELS: [Model; 24] = [
    STRICT,
    Model { name: "the length counts", both: Both::Length, ..STRICT },
    Model { name: "the coding counts", both: Both::Coding, ..STRICT },
    Model { name: "the first length counts", lengths: Which::First, ..STRICT },
    Model { name: "the last length counts", lengths: Which::Last, ..STRICT },
    Model { name: "a length as far as it is one", number: Number::Prefix, ..STRICT },
    Model { name: "a length in any base", number: Number::AnyBase, ..STRICT },
    Model { name: "chunked by exact letters", coding: Coding::Spelled, ..STRICT },
    Model { name: "chunked anywhere", coding: Coding::Contains, ..STRICT },
    Model { name: "the first coding counts", coding: Coding::First, ..STRICT },
    Model { name: "the last coding counts", coding: Coding::Last, ..STRICT },
    Model { name: "a line feed ends a line", line: LineEnd::LineFeed, ..STRICT },
    Model { name: "a carriage return ends a line", line: LineEnd::CarriageReturn, ..STRICT },
    Model { name: "NUL ends a line", line: LineEnd::Nul, ..STRICT },
    Model { name: "folds are joined", fold: Fold::Joined, ..STRICT },
    Model { name: "folds are lines", fold: Fold::Line, ..STRICT },
    Model { name: "space before a colon is none", name_is: Name::Stripped, ..STRICT },
    Model { name: "control characters are space", name_is: Name::Trimmed, ..STRICT },
    Model { name: "names in two spellings", name_is: Name::Cased, ..STRICT },
    Model { name: "names as of variables", name_is: Name::Variable, ..STRICT },
    Model { name: "a size as far as it is one", size: Size::Prefix, ..STRICT },
    Model { name: "a size of 32 bits", size: Size::Short, ..STRICT },
    Model {
        name: "a size as one pleases",
        size: Size::Loose,
        chunk_end: ChunkEnd::Any,
        skips_lines: true,
        old_has_chunks: true,
        ..STRICT
    },
    Model { name: "any two bytes end a chunk", chunk_end: ChunkEnd::Two, ..STRICT },
];

/// What a part of a message comes to: it, with the place behind it; that it is not whole; or that it is
/// none.
type Part<T> = Result<Option<(T, usize)>, ()>;

/// How a body's end is known.
enum Framing {
    Length(u64),
    Chunks,
    UntilEnd,
}

impl Model {
    /// All messages in these bytes.
    pub fn read(&self, bytes: &[u8], side: Side<'_>) -> Seen {
        let (mut messages, mut at, mut refused) = (Vec::new(), 0, false);
        let mut answered = 0;
        while at < bytes.len() {
            match self.message(bytes, at, side, answered) {
                Ok(Some((message, end))) => {
                    answered += usize::from(!message.first.starts_with('1'));
                    messages.push(message);
                    at = end;
                }
                Ok(None) => break,
                Err(()) => {
                    refused = true;
                    break;
                }
            }
        }
        Seen { messages, rest: bytes.len() - at, refused }
    }

    fn message(&self, bytes: &[u8], at: usize, side: Side<'_>, nth: usize) -> Part<Message> {
        let mut at = at;
        if self.skips_lines {
            at += bytes[at..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        } else if matches!(side, Side::Client) && bytes[at..].starts_with(b"\r\n") {
            at += 2;
        }
        let Some((line, behind)) = self.line(bytes, at)? else { return Ok(None) };
        let words: Vec<String> = text(&line).split(' ').map(str::to_string).collect();
        let (first, version) = match (side, &words[..]) {
            (Side::Client, [method, target, version]) => {
                (format!("{method} {target}"), version.clone())
            }
            (Side::Server { .. }, [version, status, ..]) => (status.clone(), version.clone()),
            _ => return Err(()),
        };
        let Some((fields, behind)) = self.fields(bytes, behind)? else { return Ok(None) };
        let framing = match side {
            Side::Client => self.framing(&fields, &version)?.unwrap_or(Framing::Length(0)),
            Side::Server { methods, .. } => {
                let is_to_head = methods.get(nth).is_some_and(|method| method == "HEAD");
                let is_empty =
                    is_to_head || first.starts_with('1') || matches!(&*first, "204" | "304");
                match is_empty {
                    true => Framing::Length(0),
                    false => self.framing(&fields, &version)?.unwrap_or(Framing::UntilEnd),
                }
            }
        };
        let body = match framing {
            Framing::Length(length) => {
                let end =
                    usize::try_from(length).ok().and_then(|length| behind.checked_add(length));
                end.and_then(|end| Some((bytes.get(behind..end)?.to_vec(), end)))
            }
            Framing::Chunks => self.chunks(bytes, behind)?,
            Framing::UntilEnd => match side {
                Side::Server { has_ended: true, .. } => {
                    Some((bytes[behind..].to_vec(), bytes.len()))
                }
                _ => None,
            },
        };
        Ok(body.map(|(body, end)| (Message { first, body }, end)))
    }

    /// A line without its end.
    fn line(&self, bytes: &[u8], from: usize) -> Part<Vec<u8>> {
        let rest = &bytes[from..];
        let find = |what: &[u8]| rest.windows(what.len()).position(|word| word == what);
        let (length, end) = match self.line {
            LineEnd::Both | LineEnd::Nul => match find(b"\r\n") {
                Some(at) => (at, at + 2),
                None => return Ok(None),
            },
            LineEnd::LineFeed => match find(b"\n") {
                Some(at) if rest[..at].ends_with(b"\r") => (at - 1, at + 1),
                Some(at) => (at, at + 1),
                None => return Ok(None),
            },
            LineEnd::CarriageReturn => match rest.iter().position(|byte| b"\r\n".contains(byte)) {
                Some(at) if rest[at..].starts_with(b"\r\n") => (at, at + 2),
                Some(at) => (at, at + 1),
                None => return Ok(None),
            },
        };
        let mut line = &rest[..length];
        if self.line == LineEnd::Nul {
            line = line.split(|byte| *byte == 0).next().unwrap_or_default();
        }
        let may_hold = |byte: &u8| match *byte {
            b'\t' => true,
            b'\r' | b'\n' | 0 => false,
            0x01..0x20 | 0x7f => self.name_is == Name::Trimmed,
            _ => true,
        };
        if line.iter().all(may_hold) { Ok(Some((line.to_vec(), from + end))) } else { Err(()) }
    }

    fn fields(&self, bytes: &[u8], from: usize) -> Part<Vec<(String, String)>> {
        let (mut fields, mut at) = (Vec::<(String, String)>::new(), from);
        loop {
            let Some((line, end)) = self.line(bytes, at)? else { return Ok(None) };
            at = end;
            if line.is_empty() {
                return Ok(Some((fields, at)));
            }
            let mut line = text(&line);
            if line.starts_with([' ', '\t']) {
                match self.fold {
                    Fold::Refused => return Err(()),
                    Fold::Joined => {
                        let Some((_, value)) = fields.last_mut() else { return Err(()) };
                        value.push_str(&format!(" {}", line.trim()));
                        *value = value.trim().to_string();
                        continue;
                    }
                    Fold::Line => line = line.trim_start().to_string(),
                }
            }
            let (name, value) = line.split_once(':').ok_or(())?;
            let space: &[char] = &[' ', '\t'];
            let is_space = |c: char| match self.name_is {
                Name::Trimmed => c.is_control() || c == ' ' || c == '\u{a0}',
                _ => space.contains(&c),
            };
            let name = match self.name_is {
                Name::Token => name.to_string(),
                Name::Cased => match name {
                    "content-length" | "Content-Length" => name.to_string(),
                    "transfer-encoding" | "Transfer-Encoding" => name.to_string(),
                    other => format!("x-{other}"),
                },
                Name::Stripped => name.trim_end_matches(space).to_string(),
                Name::Trimmed => name.trim_matches(is_space).to_string(),
                Name::Variable => {
                    name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect()
                }
            };
            let is_token = |c: char| c.is_ascii_graphic() && !"()/=,\"@[]{}\\;?<>".contains(c);
            if name.is_empty() || !name.chars().all(is_token) {
                return Err(());
            }
            fields.push((name.to_ascii_lowercase(), value.trim_matches(is_space).to_string()));
        }
    }

    fn framing(&self, fields: &[(String, String)], version: &str) -> Result<Option<Framing>, ()> {
        let all = |name: &str| -> Vec<&str> {
            fields.iter().filter(|(n, _)| n == name).map(|(_, value)| &**value).collect()
        };
        let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
        let length = match (self.lengths, &lengths[..]) {
            (_, []) => None,
            (_, [one]) => Some(*one),
            (Which::None, _) => return Err(()),
            (Which::First, all) => all.first().copied(),
            (Which::Last, all) => all.last().copied(),
        };
        let is_chunked = self.is_chunked(&codings, version)?;
        let length = match (self.both, length, is_chunked) {
            (Both::Neither, Some(_), true) => return Err(()),
            (Both::Coding, _, true) => None,
            (_, length, _) => length,
        };
        match (length, is_chunked) {
            (Some(length), _) => self.number(length).map(|length| Some(Framing::Length(length))),
            (None, true) => Ok(Some(Framing::Chunks)),
            (None, false) => Ok(None),
        }
    }

    fn is_chunked(&self, codings: &[&str], version: &str) -> Result<bool, ()> {
        if codings.is_empty() {
            return Ok(false);
        }
        if version == "HTTP/1.0" && !self.old_has_chunks {
            return Err(());
        }
        let all = codings.join(",");
        let small = all.to_ascii_lowercase();
        let mut list = small.split(',').map(str::trim);
        match self.coding {
            Coding::Chunked if small == "chunked" => Ok(true),
            Coding::Chunked => Err(()),
            Coding::Spelled => Ok(all == "chunked"),
            Coding::Contains => Ok(small.contains("chunked")),
            Coding::First => Ok(list.next() == Some("chunked")),
            Coding::Last => Ok(list.next_back() == Some("chunked")),
        }
    }

    fn number(&self, text: &str) -> Result<u64, ()> {
        let digits = |text: &str, base| {
            let end = text.find(|c: char| !c.is_digit(base)).unwrap_or(text.len());
            u64::from_str_radix(&text[..end], base).unwrap_or_default()
        };
        match self.number {
            Number::Digits if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map_err(|_| ())
            }
            Number::Digits => Err(()),
            Number::Prefix => Ok(digits(text.trim_start_matches(['+', ' ']), 10)),
            Number::AnyBase => Ok(match (text.strip_prefix("0x"), text.strip_prefix('0')) {
                (Some(rest), _) => digits(rest, 16),
                (_, Some(rest)) => digits(rest, 8),
                _ => digits(text, 10),
            }),
        }
    }

    fn chunks(&self, bytes: &[u8], from: usize) -> Part<Vec<u8>> {
        let (mut body, mut at) = (Vec::new(), from);
        loop {
            let Some((line, end)) = self.line(bytes, at)? else { return Ok(None) };
            let size = self.chunk_size(&text(&line))?;
            at = end;
            if size == 0 {
                return Ok(self.fields(bytes, at)?.map(|(_, end)| (body, end)));
            }
            let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size)).ok_or(())?;
            let Some(piece) = bytes.get(at..end) else { return Ok(None) };
            body.extend_from_slice(piece);
            at = end;
            match self.chunk_end {
                ChunkEnd::Any => {
                    at += bytes[at..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
                }
                ChunkEnd::Two if bytes.len() >= at + 2 => at += 2,
                ChunkEnd::Two => return Ok(None),
                ChunkEnd::Line => match self.line(bytes, at)? {
                    None => return Ok(None),
                    Some((line, end)) if line.is_empty() => at = end,
                    Some(_) => return Err(()),
                },
            }
        }
    }

    fn chunk_size(&self, line: &str) -> Result<u64, ()> {
        let text = line.split(';').next().unwrap_or_default();
        let text = match self.size {
            Size::Loose => text.trim().trim_start_matches(['+', '-']).trim_start_matches("0x"),
            _ if line.contains(';') => text.trim_end(),
            _ => text,
        };
        let end = text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
        if end < text.len() && self.size != Size::Prefix {
            return Err(());
        }
        match self.size {
            Size::Short => {
                let digits = &text[text.len().saturating_sub(8)..];
                u64::from_str_radix(digits, 16).map_err(|_| ())
            }
            Size::Prefix | Size::Loose => {
                Ok(u64::from_str_radix(&text[..end], 16).unwrap_or_default())
            }
            Size::Digits => u64::from_str_radix(text, 16).map_err(|_| ()),
        }
    }
}

/// Latin-1 as text: each byte is one character.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
