//! Errors, and requests as HTTP has them: h2spec's sections 7 and 8.

use super::super::frames::*;
use super::{Answer::*, Case};

pub fn cases() -> Vec<Case> {
    [errors(), fields_of_requests(), pseudo_fields(), lengths()].into_iter().flatten().collect()
}

fn errors() -> Vec<Case> {
    vec![
        Case::new("7/1: GOAWAY with an unknown code")
            .send(goaway(0xff))
            .send(ping([1; 8]))
            .then(PongOrEnd([1; 8])),
        Case::new("7/2: RST_STREAM with an unknown code")
            .send(post(1))
            .send(reset(1, 0xff))
            .send(ping([1; 8]))
            .then(Pong([1; 8])),
    ]
}

/// A request whose whole block is this is malformed.
fn malformed(name: &'static str, block: Vec<u8>) -> Case {
    Case::new(name).send(headers(1, END, &block)).then(Refusal(&[PROTOCOL]))
}

fn with(fields_behind: &[(&str, &str)]) -> Vec<u8> {
    [request("GET"), fields(fields_behind)].concat()
}

fn fields_of_requests() -> Vec<Case> {
    let trailed = |name, block: Vec<u8>| {
        Case::new(name)
            .send(post(1))
            .send(data(1, 0, b"test"))
            .send(headers(1, 0, &block))
            .then(Refusal(&[PROTOCOL]))
    };
    vec![
        trailed("8.1/1: trailers that do not end the stream", field("x-test", "ok")),
        malformed("8.1.2/1: a name in upper case", with(&[("X-TEST", "ok")])),
        malformed("8.1.2.1/1: an unknown pseudo-field", with(&[(":test", "ok")])),
        malformed("8.1.2.1/2: a pseudo-field of responses", with(&[(":status", "200")])),
        trailed("8.1.2.1/3: a pseudo-field in trailers", field(":method", "POST")),
        malformed(
            "8.1.2.1/4: a pseudo-field behind another",
            [field("x-test", "ok"), request("GET")].concat(),
        ),
        malformed("8.1.2.2/1: a field of one connection", with(&[("connection", "keep-alive")])),
        malformed("8.1.2.2/2: TE of more than trailers", with(&[("te", "trailers, deflate")])),
    ]
}

fn pseudo_fields() -> Vec<Case> {
    const METHOD: (&str, &str) = (":method", "GET");
    const SCHEME: (&str, &str) = (":scheme", "http");
    const PATH: (&str, &str) = (":path", "/");
    const HOST: (&str, &str) = (":authority", "shop.test");
    let empty = (":path", "");
    let of = |name, all: &[(&str, &str)]| malformed(name, fields(all));
    vec![
        of("8.1.2.3/1: an empty path", &[METHOD, SCHEME, empty, HOST]),
        of("8.1.2.3/2: no method", &[SCHEME, PATH, HOST]),
        of("8.1.2.3/3: no scheme", &[METHOD, PATH, HOST]),
        of("8.1.2.3/4: no path", &[METHOD, SCHEME, HOST]),
        of("8.1.2.3/5: two methods", &[METHOD, SCHEME, PATH, HOST, METHOD]),
        of("8.1.2.3/6: two schemes", &[METHOD, SCHEME, PATH, HOST, SCHEME]),
        of("8.1.2.3/7: two paths", &[METHOD, SCHEME, PATH, HOST, PATH]),
    ]
}

fn lengths() -> Vec<Case> {
    let of_one = [request("POST"), field("content-length", "1")].concat();
    let promise = [&3_u32.to_be_bytes()[..], &request("GET")].concat();
    vec![
        Case::new("8.1.2.6/1: a body longer than it says")
            .send(headers(1, 0, &of_one))
            .send(data(1, END, b"test"))
            .then(Refusal(&[PROTOCOL])),
        Case::new("8.1.2.6/2: that, in several frames")
            .send(headers(1, 0, &of_one))
            .send(data(1, 0, b"test"))
            .send(data(1, END, b"test"))
            .then(Refusal(&[PROTOCOL])),
        Case::new("8.2/1: PUSH_PROMISE of a client")
            .send(frame(PUSH_PROMISE, WHOLE, 1, &promise))
            .then(Goaway(&[PROTOCOL])),
    ]
}
