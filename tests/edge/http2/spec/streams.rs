//! What a stream takes in which state: h2spec's section 5.

use super::super::frames::*;
use super::{Answer::*, Case, dummies};

pub fn cases() -> Vec<Case> {
    [states(), identifiers(), rest()].into_iter().flatten().collect()
}

fn states() -> Vec<Case> {
    let idle = |name, sent: Vec<u8>| Case::new(name).send(sent).then(Goaway(&[PROTOCOL]));
    let half = |name, sent: Vec<u8>| Case::new(name).send(get(1)).send(sent);
    let was_reset =
        |name, sent: Vec<u8>| Case::new(name).send(post(1)).send(reset(1, CANCEL)).send(sent);
    let closed = |name, sent: Vec<u8>| Case::new(name).send(get(1)).then(Whole).send(sent);
    let more = || continuation(1, WHOLE, &dummies(100));
    const CLOSED: &[u32] = &[STREAM_CLOSED];
    const EITHER: &[u32] = &[STREAM_CLOSED, PROTOCOL];
    vec![
        idle("5.1/1: idle, DATA", data(1, END, b"test")),
        idle("5.1/2: idle, RST_STREAM", reset(1, CANCEL)),
        idle("5.1/3: idle, WINDOW_UPDATE", window(1, 100)),
        idle("5.1/4: idle, CONTINUATION", continuation(1, WHOLE, &request("GET"))),
        half("5.1/5: half closed, DATA", data(1, END, b"test")).then(Refusal(CLOSED)),
        half("5.1/6: half closed, HEADERS", get(1)).then(Refusal(CLOSED)),
        half("5.1/7: half closed, CONTINUATION", more()).then(Refusal(EITHER)),
        was_reset("5.1/8: reset, DATA", data(1, END, b"test")).then(Refusal(CLOSED)),
        was_reset("5.1/9: reset, HEADERS", get(1)).then(Refusal(CLOSED)),
        was_reset("5.1/10: reset, CONTINUATION", more()).then(Refusal(EITHER)),
        closed("5.1/11: closed, DATA", data(1, END, b"test")).then(Goaway(CLOSED)),
        closed("5.1/12: closed, HEADERS", get(1)).then(Goaway(CLOSED)),
        closed("5.1/13: closed, CONTINUATION", more()).then(Goaway(EITHER)),
    ]
}

fn identifiers() -> Vec<Case> {
    // One more than may be at once: no answer ends while there is no room for it.
    let too_many = (0..101).flat_map(|at| get(2 * at + 1)).collect::<Vec<u8>>();
    vec![
        Case::new("5.1.1/1: an even stream").send(get(2)).then(Goaway(&[PROTOCOL])),
        Case::new("5.1.1/2: one lower than the last")
            .send(get(5))
            .send(get(3))
            .then(Goaway(&[PROTOCOL])),
        Case::new("5.1.2/1: more than may be at once")
            .send(settings(&[(WINDOW, 0)]))
            .send(too_many)
            .then(Refusal(&[PROTOCOL, REFUSED])),
    ]
}

fn rest() -> Vec<Case> {
    let on_itself = [dependency(1, 255), request("GET")].concat();
    let misplaced = || frame(PING, 0, 3, &[0; 8]);
    vec![
        Case::new("5.3.1/1: HEADERS that depend on themselves")
            .send(headers(1, END | PRIORITISED, &on_itself))
            .then(Refusal(&[PROTOCOL])),
        Case::new("5.3.1/2: PRIORITY that depends on itself")
            .send(priority(1, 1, 255))
            .then(Refusal(&[PROTOCOL])),
        Case::new("5.4.1/1: an error of the connection ends it").send(misplaced()).then(TheEnd),
        Case::new("5.4.1/2: and is told before").send(misplaced()).then(GoawayOnly(PROTOCOL)),
        Case::new("5.5/1: an extension's frame")
            .send(frame(0x16, 0, 0, &[0; 8]))
            .send(ping([1; 8]))
            .then(Pong([1; 8])),
        Case::new("5.5/2: an extension's frame within a block")
            .send(frame(HEADERS, END, 1, &request("GET")))
            .send(frame(0x16, 0, 0, &[0; 8]))
            .then(Goaway(&[PROTOCOL])),
    ]
}
