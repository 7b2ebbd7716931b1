//! HTTP/1.1 as bytes, without a socket: bytes in, heads, pieces of bodies and refusals out; and the
//! other way.
//!
//! Strict by construction (RFC 9110, RFC 9112): what is not exactly right is refused with a reason and
//! never repaired, for every proxy that mends what it reads is one that somebody else reads in another
//! way. Readers go on where they stopped when more bytes come, so that no byte is looked at more than twice,
//! however a message is cut. A head stays the bytes that it came in; `lines.rs` says where its fields
//! lie, and which of them rules are about.
//!
//! `request.rs` and `response.rs` read heads, `framing.rs` says what body follows, `body.rs` and
//! `chunks.rs` read it, `write.rs` writes.

pub mod body;
pub mod chunks;
pub mod framing;
pub mod lines;
pub mod request;
pub mod response;
pub mod write;

#[cfg(test)]
mod tests;

/// How much of a head is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, with its first line and its empty line; at most 2³²−1.
    pub bytes: usize,
    /// Field lines.
    pub fields: usize,
}

/// Where something lies in the bytes of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub from: usize,
    /// The first one behind it.
    pub to: usize,
}

impl Span {
    /// What lies there.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.from..self.to).unwrap_or_default()
    }
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A connection that begins with TLS.
    #[error("this is TLS, and plain HTTP is spoken here")]
    Tls,
    /// A connection that begins with a PROXY header.
    #[error("this is a PROXY protocol header, and none is expected here")]
    ProxyHeader,
    /// A connection that begins with HTTP/2.
    #[error("this is HTTP/2, and HTTP/1.1 is spoken here")]
    Http2,
    /// A first line that is no request line.
    #[error("the request line is not `METHOD target HTTP/1.1`")]
    RequestLine,
    /// A method that is no token, or too long to be one.
    #[error("the method is not a token of at most 32 bytes")]
    Method,
    /// A target with a byte that none may have, or of no known form.
    #[error("the request target is neither a path nor a whole http URI")]
    Target,
    /// `CONNECT`: this is no forward proxy.
    #[error("CONNECT is not served")]
    Connect,
    /// A version other than 1.x.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken")]
    Version,
    /// A first line that is no status line.
    #[error("the status line is not `HTTP/1.1 200 reason`")]
    StatusLine,
    /// A field name that is no token.
    #[error("a field name is not a token")]
    FieldName,
    /// Space between a name and its colon.
    #[error("there is space before a field's colon")]
    SpaceBeforeColon,
    /// A line that begins with space, as the go-on of the one before.
    #[error("a field is folded over several lines")]
    Fold,
    /// A control character in a field's value.
    #[error("a field's value holds a control character")]
    FieldValue,
    /// A line that ends with a line feed alone.
    #[error("a line ends without a carriage return")]
    BareLineFeed,
    /// A carriage return without a line feed.
    #[error("a carriage return is not followed by a line feed")]
    BareCarriageReturn,
    /// More bytes than a head may have.
    #[error("the header section is too long")]
    TooLong,
    /// More lines than a head may have.
    #[error("the header section has too many fields")]
    TooManyFields,
    /// More than one length, or one that is no number.
    #[error("Content-Length is not one number")]
    ContentLength,
    /// A coding other than `chunked`, or where none may be.
    #[error("the only transfer coding is chunked, and HTTP/1.0 has none")]
    TransferEncoding,
    /// Length and coding.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    TwoFramings,
    /// A chunk that does not begin with its size.
    #[error("a chunk's size is not a hexadecimal number")]
    ChunkSize,
    /// A chunk extension that breaks the grammar, or more of them than anybody needs.
    #[error("a chunk's extension is malformed or too long")]
    ChunkExtension,
    /// A chunk that does not end where its size says.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// Trailers that break the rules of fields, or are too many.
    #[error("the trailers are malformed or too long")]
    Trailers,
    /// The stream ended before the message did.
    #[error("the message ends too early")]
    CutOff,
}

/// Eight bytes at a time: one in each, and the highest bit of each.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// What a byte is in a name: of a token (RFC 9110, 5.6.2), and one of those that all names are made of.
const IS_TOKEN: u8 = 1;
const IS_PLAIN: u8 = 2;
static KINDS: [u8; 256] = {
    let mut table = [0; 256];
    let others = b"!#$%&'*+-.^_`|~";
    let mut nth = 0;
    while nth < others.len() {
        table[others[nth] as usize] = IS_TOKEN;
        nth += 1;
    }
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'-' {
            table[byte] = IS_TOKEN | IS_PLAIN;
        }
        byte += 1;
    }
    table
};

fn is_token(byte: u8) -> bool {
    KINDS[byte as usize] != 0
}

/// Whether a name is letters, digits and hyphens only.
pub fn is_plain_name(name: &[u8]) -> bool {
    name.iter().all(|byte| KINDS[*byte as usize] & IS_PLAIN != 0)
}

/// Where the name that goes on at this place ends, and whether what was looked at of it is letters, digits
/// and hyphens only. The end if it may go on.
fn name_end(bytes: &[u8], mut at: usize) -> (usize, bool) {
    let mut all = IS_PLAIN;
    while let Some(&byte) = bytes.get(at) {
        let kind = KINDS[byte as usize];
        if kind == 0 {
            break;
        }
        all &= kind;
        at += 1;
    }
    (at, all != 0)
}

/// Where the first colon from `at` on is, if eight bytes are there that show it and no control character is
/// before it.
fn colon(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let eight = bytes.get(at..)?.first_chunk::<8>()?;
        let word = u64::from_le_bytes(*eight);
        let is_low = word.wrapping_sub(ONES * 0x20) & !word;
        let marks = (is_low | is_byte(word, b':')) & HIGH;
        if marks != 0 {
            let first = (marks.trailing_zeros() / 8) as usize;
            return (eight[first] == b':').then_some(at + first);
        }
        at += 8;
    }
}

/// Marks which of eight bytes are this one by their highest bits; of those marked the lowest is always right.
fn is_byte(word: u64, byte: u8) -> u64 {
    let zero = word ^ (ONES * byte as u64);
    zero.wrapping_sub(ONES) & !zero
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The place of the first byte from `at` on that no text may hold: a control character other than a
/// tab. The end if there is none.
fn text_end(bytes: &[u8], mut at: usize) -> usize {
    // Eight at a time; of what is marked the lowest is always right (Anderson, Bit Twiddling Hacks,
    // "Determine if a word has a byte less than n").
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let is_low = word.wrapping_sub(ONES * 0x20) & !word;
        let marks = (is_low | is_byte(word, 0x7f)) & HIGH;
        if marks == 0 {
            at += 8;
            continue;
        }
        let first = (marks.trailing_zeros() / 8) as usize;
        if eight[first] != b'\t' {
            return at + first;
        }
        at += first + 1;
    }
    while let Some(b'\t' | b' '..=b'~' | 0x80..) = bytes.get(at) {
        at += 1;
    }
    at
}
