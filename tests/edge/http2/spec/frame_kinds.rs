//! What each kind of frame may hold: h2spec's section 6.

use super::super::frames::*;
use super::{Answer, Answer::*, Case, dummies};

pub fn cases() -> Vec<Case> {
    [bodies_and_heads(), settings_and_pings(), windows(), continuations()]
        .into_iter()
        .flatten()
        .collect()
}

/// What answers one frame.
fn one(name: &'static str, sent: Vec<u8>, answer: Answer) -> Case {
    Case::new(name).send(sent).then(answer)
}

fn bodies_and_heads() -> Vec<Case> {
    let half = || frame(HEADERS, 0, 1, &request("GET"));
    let sized = [request("POST"), field("content-length", "4")].concat();
    let too_padded = [&[request("GET").len() as u8 + 2], &request("GET")[..]].concat();
    vec![
        one("6.1/1: DATA of no stream", data(0, END, b"test"), Goaway(&[PROTOCOL])),
        Case::new("6.1/2: DATA on a stream that takes none")
            .send(headers(1, END, &request("POST")))
            .send(data(1, END, b"test"))
            .then(Refusal(&[STREAM_CLOSED])),
        Case::new("6.1/3: DATA with more padding than there is")
            .send(headers(1, 0, &sized))
            .send(data(1, END | PADDED, b"\x06test"))
            .then(Goaway(&[PROTOCOL])),
        Case::new("6.2/1: HEADERS that are not whole, then PRIORITY")
            .send(half())
            .send(priority(1, 0, 255))
            .then(Goaway(&[PROTOCOL])),
        Case::new("6.2/2: HEADERS that are not whole, then others")
            .send(half())
            .send(get(3))
            .then(Goaway(&[PROTOCOL])),
        one("6.2/3: HEADERS of no stream", get(0), Goaway(&[PROTOCOL])),
        one(
            "6.2/4: HEADERS with more padding than there is",
            headers(1, END | PADDED, &too_padded),
            Goaway(&[PROTOCOL]),
        ),
        one("6.3/1: PRIORITY of no stream", priority(0, 0, 255), Goaway(&[PROTOCOL])),
        Case::new("6.3/2: PRIORITY of 4 octets")
            .send(post(1))
            .send(frame(PRIORITY, 0, 1, b"\x80\0\0\x01"))
            .then(Refusal(&[FRAME_SIZE_ERROR])),
        one("6.4/1: RST_STREAM of no stream", reset(0, CANCEL), Goaway(&[PROTOCOL])),
        one("6.4/2: RST_STREAM of an idle stream", reset(1, CANCEL), Goaway(&[PROTOCOL])),
        Case::new("6.4/3: RST_STREAM of 3 octets")
            .send(post(1))
            .send(frame(RST_STREAM, 0, 1, b"\0\0\0"))
            .then(Goaway(&[FRAME_SIZE_ERROR])),
    ]
}

fn settings_and_pings() -> Vec<Case> {
    let set = |name, id, value, codes| one(name, settings(&[(id, value)]), Goaway(codes));
    vec![
        one(
            "6.5/1: SETTINGS that acknowledge and set",
            frame(SETTINGS, ACK, 0, b"\0"),
            Goaway(&[FRAME_SIZE_ERROR]),
        ),
        one(
            "6.5/2: SETTINGS of a stream",
            frame(SETTINGS, 0, 1, b"\0\x03\0\0\0\x64"),
            Goaway(&[PROTOCOL]),
        ),
        one(
            "6.5/3: SETTINGS of 3 octets",
            frame(SETTINGS, 0, 0, b"\0\x03\0"),
            Goaway(&[FRAME_SIZE_ERROR]),
        ),
        set("6.5.2/1: ENABLE_PUSH 2", ENABLE_PUSH, 2, &[PROTOCOL]),
        set("6.5.2/2: INITIAL_WINDOW_SIZE 2^31", WINDOW, 1 << 31, &[FLOW_CONTROL]),
        set("6.5.2/3: MAX_FRAME_SIZE 2^14 - 1", FRAME_SIZE, (1 << 14) - 1, &[PROTOCOL]),
        set("6.5.2/4: MAX_FRAME_SIZE 2^24", FRAME_SIZE, 1 << 24, &[PROTOCOL]),
        Case::new("6.5.2/5: an unknown setting")
            .send(settings(&[(0xff, 1)]))
            .send(ping([1; 8]))
            .then(Pong([1; 8])),
        Case::new("6.5.3/1: the last of a setting's values counts")
            .send(settings(&[(WINDOW, 100), (WINDOW, 1)]))
            .then(Acknowledged)
            .send(get(1))
            .then(Bytes(1)),
        one("6.5.3/2: SETTINGS", settings(&[(ENABLE_PUSH, 0)]), Acknowledged),
        one("6.7/1: PING", ping(*b"h2spec\0\0"), Pong(*b"h2spec\0\0")),
        Case::new("6.7/2: PING that acknowledges")
            .send(frame(PING, ACK, 0, b"invalid\0"))
            .send(ping(*b"h2spec\0\0"))
            .then(Pong(*b"h2spec\0\0")),
        one("6.7/3: PING of a stream", frame(PING, 0, 1, &[0; 8]), Goaway(&[PROTOCOL])),
        one("6.7/4: PING of 6 octets", frame(PING, 0, 0, &[0; 6]), Goaway(&[FRAME_SIZE_ERROR])),
        one("6.8/1: GOAWAY of a stream", frame(GOAWAY, 0, 1, &[0; 8]), Goaway(&[PROTOCOL])),
    ]
}

fn windows() -> Vec<Case> {
    const MOST: u32 = (1 << 31) - 1;
    let set_window =
        |name, size| Case::new(name).send(settings(&[(WINDOW, size)])).then(Acknowledged);
    vec![
        one("6.9/1: WINDOW_UPDATE by 0", window(0, 0), Goaway(&[PROTOCOL])),
        Case::new("6.9/2: WINDOW_UPDATE of a stream by 0")
            .send(post(1))
            .send(window(1, 0))
            .then(Refusal(&[PROTOCOL])),
        one(
            "6.9/3: WINDOW_UPDATE of 3 octets",
            frame(WINDOW_UPDATE, 0, 0, b"\0\0\x01"),
            Goaway(&[FRAME_SIZE_ERROR]),
        ),
        set_window("6.9.1/1: no more than there is room for", 1).send(get(1)).then(Bytes(1)),
        Case::new("6.9.1/2: a window above 2^31 - 1")
            .send([window(0, MOST), window(0, MOST)].concat())
            .then(GoawayOnly(FLOW_CONTROL)),
        Case::new("6.9.1/3: a stream's window above 2^31 - 1")
            .send(post(1))
            .send([window(1, MOST), window(1, MOST)].concat())
            .then(ResetOnly(FLOW_CONTROL)),
        set_window("6.9.2/1: windows change with the settings", 0)
            .send(get(1))
            .send(settings(&[(WINDOW, 1)]))
            .then(Acknowledged)
            .then(Bytes(1)),
        set_window("6.9.2/2: a window may be below 0", 3)
            .send(get(1))
            .then(Bytes(3))
            .send(settings(&[(WINDOW, 2)]))
            .then(Acknowledged)
            .send(window(1, 2))
            .then(Bytes(1)),
        one(
            "6.9.2/3: windows above 2^31 - 1 by the settings",
            settings(&[(WINDOW, 1 << 31)]),
            Goaway(&[FLOW_CONTROL]),
        ),
    ]
}

fn continuations() -> Vec<Case> {
    let half = |name, method| Case::new(name).send(frame(HEADERS, END, 1, &request(method)));
    let more = |stream, flags| continuation(stream, flags, &dummies(4000));
    vec![
        half("6.10/1: several CONTINUATION", "GET")
            .send(more(1, 0))
            .send(more(1, WHOLE))
            .then(Head),
        half("6.10/2: CONTINUATION, then DATA", "POST")
            .send(more(1, 0))
            .send(data(1, END, b"test"))
            .then(Goaway(&[PROTOCOL])),
        half("6.10/3: CONTINUATION of no stream", "GET")
            .send(more(0, WHOLE))
            .then(Goaway(&[PROTOCOL])),
        Case::new("6.10/4: CONTINUATION behind HEADERS that are whole")
            .send(get(1))
            .send(more(1, WHOLE))
            .then(Goaway(&[PROTOCOL])),
        half("6.10/5: CONTINUATION behind one that is the last", "GET")
            .send(more(1, WHOLE))
            .send(more(1, WHOLE))
            .then(Goaway(&[PROTOCOL])),
        half("6.10/6: CONTINUATION behind DATA", "POST")
            .send(data(1, END, b"test"))
            .send(more(1, 0))
            .send(more(0, WHOLE))
            .then(Goaway(&[PROTOCOL])),
    ]
}
