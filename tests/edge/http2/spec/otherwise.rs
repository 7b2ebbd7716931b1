//! The cases in which something else is answered than h2spec asks for, and why.
//!
//! A case of these fails once it is answered as it should be: then it leaves the list.

use std::collections::BTreeMap;

use super::super::frames::*;
use super::Answer::{self, *};

/// The answers of each such case.
pub fn answers() -> BTreeMap<&'static str, &'static [Answer]> {
    let as_protocol = AS_PROTOCOL.into_iter().map(|name| (name, &ENDED[..]));
    as_protocol.chain(OTHERS).collect()
}

/// The library h2 0.4.20 says PROTOCOL_ERROR where another code is due, and ends the connection, which is
/// enough for h2spec. What a peer is to do is the same with either code.
const ENDED: [Answer; 2] = [GoawayOnly(PROTOCOL), TheEnd];
const AS_PROTOCOL: [&str; 22] = [
    // COMPRESSION_ERROR is due.
    "4.3/1: a block that is none",
    "hpack/2.3.3/1: an index that there is not",
    "hpack/2.3.3/2: a name's index that there is not",
    "hpack/4.2/1: the table's size at a block's end",
    "hpack/5.2/1: padding of more than 7 bits",
    "hpack/5.2/2: padding of zeros",
    "hpack/5.2/3: the end of a string within it",
    "hpack/6.1/1: index 0",
    "hpack/6.3/1: a table above its limit",
    // FRAME_SIZE_ERROR is due.
    "6.3/2: PRIORITY of 4 octets",
    "6.4/3: RST_STREAM of 3 octets",
    "6.5/1: SETTINGS that acknowledge and set",
    "6.5/3: SETTINGS of 3 octets",
    "6.7/4: PING of 6 octets",
    "6.9/3: WINDOW_UPDATE of 3 octets",
    // FLOW_CONTROL_ERROR is due.
    "6.5.2/2: INITIAL_WINDOW_SIZE 2^31",
    "6.9.2/3: windows above 2^31 - 1 by the settings",
    // STREAM_CLOSED is due; the end of the stream may do, too.
    "5.1/5: half closed, DATA",
    "5.1/6: half closed, HEADERS",
    "5.1/9: reset, HEADERS",
    "5.1/12: closed, HEADERS",
    "6.1/2: DATA on a stream that takes none",
];

const OTHERS: [(&str, &[Answer]); 1] = [
    // The connection is to end (RFC 9113, 5.1), or the stream (6.1): the library does the latter, and the
    // connection ends when there were too many of these.
    ("5.1/11: closed, DATA", &[ResetOnly(STREAM_CLOSED)]),
];
