//! Frames of HTTP/2 as bytes, right ones and wrong ones: no library between a test and the wire.

/// Types of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags. What acknowledges a PING or SETTINGS has the bit of the end of a stream.
pub const END: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const WHOLE: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const PRIORITISED: u8 = 0x20;

/// What SETTINGS set.
pub const TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const MAX_STREAMS: u16 = 3;
pub const WINDOW: u16 = 4;
pub const FRAME_SIZE: u16 = 5;
pub const LIST_SIZE: u16 = 6;

/// Codes of errors.
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL: u32 = 1;
pub const FLOW_CONTROL: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION: u32 = 9;

/// What a client begins with, in front of its SETTINGS.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of any kind.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A head that is whole; `flags` as [`END`] or [`PRIORITISED`].
pub fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags | WHOLE, stream, block)
}

/// A request without a body.
pub fn get(stream: u32) -> Vec<u8> {
    headers(stream, END, &request("GET"))
}

/// One for another path than `/`.
pub fn get_of(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, END, &request_of("GET", path))
}

/// A request whose body follows.
pub fn post(stream: u32) -> Vec<u8> {
    headers(stream, 0, &request("POST"))
}

pub fn data(stream: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, bytes)
}

/// One that says so, and at last one that says that it is whole.
pub fn continuation(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, flags, stream, block)
}

/// `on` with its highest bit set is exclusive; `weight` is one less than the weight.
pub fn priority(stream: u32, on: u32, weight: u8) -> Vec<u8> {
    frame(PRIORITY, 0, stream, &dependency(on, weight))
}

/// What a PRIORITY holds, and a head before its block.
pub fn dependency(on: u32, weight: u8) -> Vec<u8> {
    [&on.to_be_bytes()[..], &[weight]].concat()
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let value = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &values.iter().flat_map(value).collect::<Vec<u8>>())
}

pub fn ping(opaque: [u8; 8]) -> Vec<u8> {
    frame(PING, 0, 0, &opaque)
}

pub fn goaway(code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[0_u32.to_be_bytes(), code.to_be_bytes()].concat())
}

pub fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

/// `bytes` behind the length of padding that follows them.
pub fn padded(bytes: &[u8], padding: u8) -> Vec<u8> {
    [&[padding], bytes, &vec![0; padding.into()]].concat()
}

/// The block of a request for `/`.
pub fn request(method: &str) -> Vec<u8> {
    request_of(method, "/")
}

fn request_of(method: &str, path: &str) -> Vec<u8> {
    fields(&[
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "shop.test"),
    ])
}

/// A block of these fields.
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A literal field with a new name, which enters no table (RFC 7541, 6.2.2).
pub fn field(name: &str, value: &str) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

/// A string without Huffman's code (RFC 7541, 5.2).
fn string(text: &str) -> Vec<u8> {
    [&number(0, 7, text.len())[..], text.as_bytes()].concat()
}

/// A number behind these bits of its first octet (RFC 7541, 5.1).
pub fn number(first: u8, prefix: u8, number: usize) -> Vec<u8> {
    let most = (1 << prefix) - 1;
    if number < most {
        return vec![first | number as u8];
    }
    let (mut octets, mut left) = (vec![first | most as u8], number - most);
    while left >= 128 {
        octets.push((left % 128) as u8 | 128);
        left /= 128;
    }
    octets.push(left as u8);
    octets
}
