//! What every server takes: h2spec's group `generic`.

use super::super::frames::*;
use super::{Answer::*, Case};

pub fn cases() -> Vec<Case> {
    [starting(), streams(), kinds(), exchanges(), hpack()].into_iter().flatten().collect()
}

fn starting() -> Vec<Case> {
    vec![
        Case::unbegun("generic/1/1: a client's preface")
            .send([PREFACE, &settings(&[])].concat())
            .then(TheirSettings),
    ]
}

fn streams() -> Vec<Case> {
    let held = |name| Case::new(name).send(settings(&[(WINDOW, 0)])).send(get(1));
    vec![
        Case::new("generic/2/1: PRIORITY on an idle stream")
            .send(priority(1, 0, 255))
            .send(ping([1; 8]))
            .then(Pong([1; 8])),
        held("generic/2/2: WINDOW_UPDATE on one half closed").send(window(1, 1)).then(Bytes(1)),
        held("generic/2/3: PRIORITY on one half closed")
            .send(priority(1, 0, 255))
            .send(window(1, 1))
            .then(Bytes(1)),
        Case::new("generic/2/4: RST_STREAM on one half closed")
            .send(get(1))
            .send(reset(1, CANCEL))
            .send(ping([2; 8]))
            .then(PongOrEnd([2; 8])),
        Case::new("generic/2/5: PRIORITY on one that is closed")
            .send(get(1))
            .then(Whole)
            .send(priority(1, 0, 255))
            .send(ping([3; 8]))
            .then(Pong([3; 8])),
    ]
}

fn kinds() -> Vec<Case> {
    let prioritised =
        |name, on, weight| Case::new(name).send(priority(1, on, weight)).send(get(1)).then(Head);
    let with_priority = [dependency(0, 255), request("GET")].concat();
    let all = [
        (TABLE_SIZE, 4096),
        (ENABLE_PUSH, 1),
        (MAX_STREAMS, 100),
        (WINDOW, 65_535),
        (FRAME_SIZE, 16_384),
        (LIST_SIZE, 100),
    ];
    vec![
        Case::new("generic/3.1/1: DATA").send(post(1)).send(data(1, END, b"test")).then(Head),
        Case::new("generic/3.1/2: several DATA")
            .send(post(1))
            .send(data(1, 0, b"test"))
            .send(data(1, END, b"test"))
            .then(Head),
        Case::new("generic/3.1/3: DATA with padding")
            .send(post(1))
            .send(data(1, END | PADDED, &padded(b"test", 6)))
            .then(Head),
        Case::new("generic/3.2/1: HEADERS").send(get(1)).then(Head),
        Case::new("generic/3.2/2: HEADERS with padding")
            .send(headers(1, END | PADDED, &padded(&request("GET"), 6)))
            .then(Head),
        Case::new("generic/3.2/3: HEADERS with a priority")
            .send(headers(1, END | PRIORITISED, &with_priority))
            .then(Head),
        prioritised("generic/3.3/1: PRIORITY 1", 0, 0),
        prioritised("generic/3.3/2: PRIORITY 256", 0, 255),
        Case::new("generic/3.3/3: PRIORITY with a dependency")
            .send(priority(3, 1, 0))
            .send(get(1))
            .then(Head),
        prioritised("generic/3.3/4: an exclusive PRIORITY", 1 << 31, 0),
        Case::new("generic/3.3/5: PRIORITY on an idle stream, then HEADERS on a lower one")
            .send(priority(3, 0, 255))
            .send(get(1))
            .then(Head),
        Case::new("generic/3.4/1: RST_STREAM")
            .send(post(1))
            .send(reset(1, CANCEL))
            .send(ping([4; 8]))
            .then(Pong([4; 8])),
        Case::new("generic/3.5/1: SETTINGS").send(settings(&all)).then(Acknowledged),
        Case::new("generic/3.7/1: PING").send(ping(*b"h2spec\0\0")).then(Pong(*b"h2spec\0\0")),
        Case::new("generic/3.8/1: GOAWAY")
            .send(goaway(NO_ERROR))
            .send(ping([5; 8]))
            .then(PongOrEnd([5; 8])),
        Case::new("generic/3.9/1: WINDOW_UPDATE of the connection")
            .send(window(0, 1))
            .send(ping([6; 8]))
            .then(Pong([6; 8])),
        Case::new("generic/3.9/2: WINDOW_UPDATE of a stream")
            .send(post(1))
            .send(window(1, 1))
            .send(ping([7; 8]))
            .then(Pong([7; 8])),
        Case::new("generic/3.10/1: CONTINUATION")
            .send(frame(HEADERS, END, 1, &request("GET")))
            .send(continuation(1, WHOLE, &field("x-test", "ok")))
            .then(Head),
        Case::new("generic/3.10/2: several CONTINUATION")
            .send(frame(HEADERS, END, 1, &request("GET")))
            .send(continuation(1, 0, &field("x-test", "ok")))
            .send(continuation(1, WHOLE, &field("x-test", "ok")))
            .then(Head),
    ]
}

fn exchanges() -> Vec<Case> {
    let trailer = [request("POST"), field("trailer", "x-test")].concat();
    vec![
        Case::new("generic/4/1: GET").send(get(1)).then(Head),
        Case::new("generic/4/2: HEAD").send(headers(1, END, &request("HEAD"))).then(Head),
        Case::new("generic/4/3: POST").send(post(1)).send(data(1, END, b"test")).then(Head),
        Case::new("generic/4/4: POST with trailers")
            .send(headers(1, 0, &trailer))
            .send(data(1, 0, b"test"))
            .send(headers(1, END, &field("x-test", "ok")))
            .then(Head),
    ]
}

/// `user-agent` and `x-test` as names, `h2spec` as their value: as they are, and in Huffman's code.
const AGENT: &[u8] = b"\x0auser-agent\x06h2spec";
const AGENT_CODED: &[u8] = b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93\x84\x9c\x48\xac\xa4";
const TEST: &[u8] = b"\x06x-test\x06h2spec";
const TEST_CODED: &[u8] = b"\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4";

fn hpack() -> Vec<Case> {
    let behind = |name, first: &[u8], rest: &[u8]| {
        let block = [&request("GET"), first, rest].concat();
        Case::new(name).send(headers(1, END, &block)).then(Head)
    };
    let before = |name, first: &[u8]| {
        let block = [first, &request("GET")].concat();
        Case::new(name).send(headers(1, END, &block)).then(Head)
    };
    vec![
        behind("generic/5/1: an indexed field", b"\xba", b""),
        behind("generic/5/2: literal, to be indexed, known name", b"\x40", AGENT),
        behind("generic/5/3: that in Huffman's code", b"\x40", AGENT_CODED),
        behind("generic/5/4: literal, to be indexed, new name", b"\x40", TEST),
        behind("generic/5/5: that in Huffman's code", b"\x40", TEST_CODED),
        behind("generic/5/6: literal, not to be indexed, known name", b"\0", AGENT),
        behind("generic/5/7: that in Huffman's code", b"\0", AGENT_CODED),
        behind("generic/5/8: literal, not to be indexed, new name", b"\0", TEST),
        behind("generic/5/9: that in Huffman's code", b"\0", TEST_CODED),
        behind("generic/5/10: literal, never indexed, known name", b"\x10", AGENT),
        behind("generic/5/11: that in Huffman's code", b"\x10", AGENT_CODED),
        behind("generic/5/12: literal, never indexed, new name", b"\x10", TEST),
        behind("generic/5/13: that in Huffman's code", b"\x10", TEST_CODED),
        before("generic/5/14: the table's size", b"\x20"),
        before("generic/5/15: the table's size, twice", b"\x20\x3f\xe1\x1f"),
    ]
}
