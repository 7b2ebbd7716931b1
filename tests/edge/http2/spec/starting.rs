//! How a connection begins, and what a frame is: h2spec's sections 3 and 4.

use super::super::frames::*;
use super::{Answer::*, Case, dummies};

pub fn cases() -> Vec<Case> {
    let ping_of = |name, kind, flags, stream| {
        Case::new(name).send(frame(kind, flags, stream, &[0; 8])).send(ping([1; 8]))
    };
    vec![
        Case::unbegun("3.5/1: a client's preface")
            .send([PREFACE, &settings(&[(WINDOW, 65_535)])].concat())
            .then(TheirSettings),
        Case::unbegun("3.5/2: no preface")
            .send(*b"INVALID CONNECTION PREFACE\r\n\r\n")
            .then(TheEnd),
        ping_of("4.1/1: a frame of an unknown type", 0x16, 0, 0).then(Pong([1; 8])),
        ping_of("4.1/2: a frame with unknown flags", PING, 0x16, 0).then(Pong([0; 8])),
        ping_of("4.1/3: a frame with the reserved bit", PING, 0x16, 1 << 31).then(Pong([0; 8])),
        Case::new("4.2/1: DATA as long as it may be")
            .send(post(1))
            .send(data(1, END, &[b'x'; 16_384]))
            .then(Head),
        Case::new("4.2/2: DATA that is too long")
            .send(post(1))
            .send(data(1, END, &[b'x'; 16_385]))
            .then(Refusal(&[FRAME_SIZE_ERROR])),
        Case::new("4.2/3: HEADERS that are too long")
            .send(headers(1, END, &[request("GET"), dummies(16_384)].concat()))
            .then(Goaway(&[FRAME_SIZE_ERROR])),
        Case::new("4.3/1: a block that is none")
            .send(headers(1, END, b"\x40"))
            .then(Goaway(&[COMPRESSION])),
        Case::new("4.3/2: PRIORITY within a block")
            .send(frame(HEADERS, 0, 1, &request("GET")))
            .send(priority(1, 0, 255))
            .send(continuation(1, WHOLE, &dummies(100)))
            .then(Goaway(&[PROTOCOL])),
        Case::new("4.3/3: HEADERS of another stream within a block")
            .send(frame(HEADERS, 0, 1, &request("GET")))
            .send(get(3))
            .send(continuation(1, WHOLE, &dummies(100)))
            .then(Goaway(&[PROTOCOL])),
    ]
}
