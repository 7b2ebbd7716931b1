//! Heads of HTTP/2 that would be something else in HTTP/1.1: refused, and no byte of them goes on.

use std::net::SocketAddr;

use http::Method;
use tokio::task::JoinSet;

use super::edge;
use super::frames::*;
use super::peer::{self, Client, map_of, send_all};
use super::raw::{Came, Raw};
use crate::harness::edge::shop;
use crate::harness::{Origin, Reply};

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    /// The upstream's answer came.
    Answered,
    /// It was refused: by a status, a reset or the connection's end.
    Refused,
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/");
const HOST: (&str, &str) = (":authority", "shop.test");

/// A block in as many frames as it needs.
fn whole(block: &[u8]) -> Vec<u8> {
    if block.len() <= 16_384 {
        return headers(1, END, block);
    }
    let (first, rest) = block.split_at(16_384);
    let rest = rest.chunks(16_384).map(|piece| continuation(1, 0, piece));
    let last = continuation(1, WHOLE, b"");
    [vec![frame(HEADERS, END, 1, first)], rest.collect(), vec![last]].concat().concat()
}

/// What becomes of a request.
async fn play(edge: SocketAddr, frames: &[u8]) -> Became {
    let mut raw = Raw::usual(edge).await;
    raw.send(frames).await;
    loop {
        match raw.next().await.or_silence("an answer") {
            // The first field of an answer is its status: 200 has an index of its own.
            Came::Frame(frame) if frame.kind == HEADERS => {
                return if frame.payload[0] == 0x88 { Became::Answered } else { Became::Refused };
            }
            Came::Frame(frame) if frame.kind == RST_STREAM => return Became::Refused,
            Came::End => return Became::Refused,
            _ => {}
        }
    }
}

/// A request with this field behind it.
fn with(name: &str, value: &str) -> Vec<u8> {
    [request("GET"), field(name, value)].concat()
}

/// A request in which this pseudo-field has another value.
fn of(name: &str, value: &str) -> Vec<u8> {
    let all = [METHOD, SCHEME, PATH, HOST];
    fields(&all.map(|field| if field.0 == name { (field.0, value) } else { field }))
}

fn refused() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a line's end in a value", with("x", "1\r\nevil: 1")),
        ("a line feed in a value", with("x", "1\nevil: 1")),
        ("a carriage return in a value", with("x", "1\revil: 1")),
        ("NUL in a value", with("x", "1\0evil")),
        ("a request in a value", with("x", "1\r\n\r\nGET /evil HTTP/1.1\r\nhost: evil\r\n\r\n")),
        ("a line's end in a name", with("x\r\nevil", "1")),
        ("a colon in a name", with("evil:x", "1")),
        ("a space in a name", with("evil x", "1")),
        ("a name of nothing", with("", "evil")),
        ("a name in upper case", with("Evil", "1")),
        ("a line's end in the path", of(":path", "/ HTTP/1.1\r\nevil: 1\r\nx: ")),
        ("a space in the path", of(":path", "/evil HTTP/1.1")),
        ("a control character in the path", of(":path", "/evil\x01")),
        ("a path that is none", of(":path", "evil")),
        ("a path that leads elsewhere", of(":path", "/a/../evil")),
        ("a line's end in the host", of(":authority", "shop.test\r\nevil: 1")),
        ("a user in the host", of(":authority", "evil@shop.test")),
        ("a path in the host", of(":authority", "shop.test/evil")),
        ("a space in the host", of(":authority", "shop.test evil")),
        ("a line's end in the method", of(":method", "GET /evil HTTP/1.1\r\nevil: 1\r\n")),
        ("a space in the method", of(":method", "GET /evil")),
        ("a tunnel", fields(&[(":method", "CONNECT"), (":authority", "evil.test:443")])),
        ("another host beside the authority", with("host", "evil.test")),
        ("no host", fields(&[METHOD, SCHEME, PATH])),
        ("a coding of HTTP/1.1", with("transfer-encoding", "chunked")),
        ("Connection", with("connection", "evil")),
        ("Keep-Alive", with("keep-alive", "timeout=5")),
        ("Proxy-Connection", with("proxy-connection", "keep-alive")),
        ("Upgrade", with("upgrade", "h2c")),
        ("TE of more than trailers", with("te", "gzip")),
        ("a length that is none", with("content-length", "+1")),
        ("two lengths", [with("content-length", "0"), field("content-length", "1")].concat()),
        ("a length of what does not come", with("content-length", "1")),
        ("a name that servers confuse", with("x_forwarded_for", "evil")),
        ("more fields than there may be", [request("GET"), field("x", "1").repeat(300)].concat()),
        (
            "more cookies than there may be",
            [request("GET"), field("cookie", "a=b").repeat(1_000)].concat(),
        ),
        ("a longer head than there may be", with("x", &"v".repeat(40_000))),
    ]
}

fn answered() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a request", request("GET")),
        ("a query", of(":path", "/a?b=c&d=%20")),
        ("one of the server", fields(&[(":method", "OPTIONS"), SCHEME, (":path", "*"), HOST])),
        ("a host in the authority's place", fields(&[METHOD, SCHEME, PATH, ("host", "shop.test")])),
        ("the same host twice", with("host", "shop.test")),
        ("a port", of(":authority", "shop.test:8080")),
        ("trailers that are taken", with("te", "trailers")),
        ("a length of nothing", with("content-length", "0")),
        ("an empty value", with("x", "")),
        ("cookies in pieces", [with("cookie", "a=1"), field("cookie", "b=2")].concat()),
        ("a head as long as it may be", with("x", &"v".repeat(30_000))),
    ]
}

#[tokio::test]
async fn no_head_of_http2_arrives_as_another() {
    let origin = Origin::always(Reply::ok("fine")).await;
    let edge = edge(&shop(&[("only", &origin)], "")).await;
    let refused = refused().into_iter().map(|(name, block)| (name, whole(&block), Became::Refused));
    let answered = answered().into_iter();
    let mut all: Vec<_> =
        answered.map(|(name, block)| (name, whole(&block), Became::Answered)).collect();
    // The library h2 0.4.20 passes over such a field where its frame is not the last.
    let nameless = frame(HEADERS, END, 1, &with("", "evil"));
    let nameless = [nameless, continuation(1, WHOLE, b"")].concat();
    all.push(("a name of nothing, and another frame", nameless, Became::Answered));
    let count = all.len();
    all.extend(refused);
    let (mut playing, address) = (JoinSet::new(), edge.address);
    for (name, frames, due) in all {
        playing.spawn(async move { (name, play(address, &frames).await, due) });
    }
    let played = playing.join_all().await;
    let wrong: Vec<_> = played.iter().filter(|(_, became, due)| became != due).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let received = origin.received();
    assert_eq!(received.len(), count);
    for request in received {
        assert!(!request.head.contains("evil"), "{}", request.head);
        assert!(request.body.is_empty(), "{request:?}");
    }
}

#[tokio::test]
async fn trailers_of_http2_decide_nothing() {
    let origin = Origin::always(Reply::ok("fine")).await;
    let edge = edge(&shop(&[("only", &origin)], "")).await;
    let trailers = [("x-sum", "7"), ("content-length", "9"), ("host", "evil"), ("cookie", "evil")];
    let mut raw = Raw::usual(edge.address).await;
    let body = [post(1), data(1, 0, b"test"), headers(1, END, &fields(&trailers))].concat();
    raw.send(&body).await;
    while !matches!(raw.next().await.or_silence("an answer"), Came::Frame(frame) if frame.kind == HEADERS)
    {
    }
    let request = origin.only();
    let body = String::from_utf8(request.body).unwrap();
    assert!(body.starts_with("4\r\ntest\r\n0\r\n"), "{body}");
    assert!(!body.contains("evil") && !body.contains("content-length"), "{body}");
    assert!(body.ends_with("0\r\n\r\n"), "nor does any that was not announced go on: {body}");
}

#[tokio::test]
async fn trailers_of_http2_go_on_to_http1_as_announced() {
    let origin = Origin::always(Reply::ok("fine")).await;
    let edge = edge(&shop(&[("only", &origin)], "")).await;
    let client = Client::connect(edge.address).await;
    let request = client.request(Method::POST, "/", &[("trailer", "x-sum, host")]);
    let (response, mut stream) = client.begin(request, false).await;
    send_all(&mut stream, b"test").await;
    stream.send_trailers(map_of(&[("x-sum", "7"), ("x-other", "8"), ("host", "evil")])).unwrap();
    assert_eq!(peer::whole(response).await.unwrap().status, 200);
    let request = origin.only();
    assert_eq!(request.fields("trailer"), ["x-sum"]);
    assert_eq!(String::from_utf8_lossy(&request.body), "4\r\ntest\r\n0\r\nx-sum: 7\r\n\r\n");
}
