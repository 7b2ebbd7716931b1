//! Clients of HTTP/2 that hold what they were given: time, memory, the connection itself.

use std::collections::BTreeSet;

use super::abuse::memory;
use super::frames::*;
use super::raw::{Came, Frame, Raw};
use super::{HEAD, peer};
use crate::harness::edge::shop;
use crate::harness::{Edge, Origin, Reply, Running, client, running, until};

const MOST_WINDOW: u32 = (1 << 31) - 1;

/// An upstream with something large.
async fn upstream() -> Origin {
    let large = "x".repeat(4 << 20);
    Origin::with(move |request| match request.head.starts_with("GET /large") {
        true => Reply::ok(&large),
        false => Reply::ok("fine"),
    })
    .await
}

/// An edge with these lines in `[server.client]`.
async fn limited(lines: &str, origin: &Origin) -> Edge {
    let text = format!("{HEAD}[server.client]\n{lines}\n{}", shop(&[("only", origin)], ""));
    Edge::start_file(&text, false).await
}

/// Whether a frame ends its stream.
fn ends(frame: &Frame) -> bool {
    frame.kind == RST_STREAM || (frame.flags & END != 0 && [HEADERS, DATA].contains(&frame.kind))
}

/// Reads until so many streams have ended; the frames that ended them.
async fn all_end(raw: &mut Raw, count: usize) -> Vec<Frame> {
    let (mut streams, mut ended) = (BTreeSet::new(), Vec::new());
    while streams.len() < count {
        match raw.next().await {
            Came::Frame(frame) if ends(&frame) && streams.insert(frame.stream) => ended.push(frame),
            Came::Frame(_) => {}
            other => panic!("{other:?} with {} of {count} ended", streams.len()),
        }
    }
    ended
}

#[tokio::test]
async fn who_gives_no_room_for_an_answer_or_sends_no_body_loses_the_request() {
    let origin = upstream().await;
    let edge = limited("send_timeout = \"300ms\"\nbody_timeout = \"300ms\"", &origin).await;
    let mut raw = Raw::with(edge.address, &[(WINDOW, 0)]).await;
    let large: Vec<u8> = (0..50).flat_map(|at| get_of(2 * at + 1, "/large")).collect();
    raw.send(&large).await;
    let ended = all_end(&mut raw, 50).await;
    assert!(ended.iter().all(|frame| frame.kind == RST_STREAM), "{ended:?}");
    // Bodies that do not come, and one of which a part has: the connection is a good one all the same.
    let silent: Vec<u8> = (50..99).flat_map(|at| post(2 * at + 1)).collect();
    raw.send(&[silent, post(199), data(199, 0, b"abc"), settings(&[(WINDOW, 65_535)])].concat())
        .await;
    all_end(&mut raw, 50).await;
    raw.send(&get(201)).await;
    loop {
        match raw.next().await {
            Came::Frame(frame) if frame.stream == 201 && ends(&frame) => {
                assert_eq!(frame.kind, DATA);
                break;
            }
            Came::Frame(_) => {}
            other => panic!("{other:?} instead of an answer"),
        }
    }
}

#[tokio::test]
async fn who_reads_nothing_is_let_go_with_all_that_waits_for_it() {
    let origin = upstream().await;
    let listen = running::free();
    let services = format!(
        "[[listeners]]\naddress = \"{listen}\"\nspeaks = [\"h2\"]\n{}",
        shop(&[("only", &origin)], "")
    );
    let server = "workers = 2\nclient.send_timeout = \"500ms\"";
    let edge = Running::start(server, &services).await;
    assert_eq!(peer::Client::connect(listen).await.get("/").await.body, b"fine");
    let before = memory(edge.id());
    let mut raw = Raw::with(listen, &[(WINDOW, MOST_WINDOW)]).await;
    let large: Vec<u8> = (0..100).flat_map(|at| get_of(2 * at + 1, "/large")).collect();
    raw.send(&[window(0, MOST_WINDOW - 65_535), large].concat()).await;
    until("it is let go", async || {
        let metrics = client::get(edge.admin, "localhost", "/metrics", &[]).await.body;
        let grown = memory(edge.id()).saturating_sub(before);
        assert!(grown < 64 << 20, "{grown} bytes more");
        metrics.contains("pointsman_connections_limited_total{reason=\"stuck\"} 1\n")
    })
    .await;
    assert_eq!(peer::Client::connect(listen).await.get("/").await.body, b"fine");
}

#[tokio::test]
async fn a_body_octet_by_octet_arrives_whole() {
    let origin = upstream().await;
    let edge = limited("", &origin).await;
    let mut raw = Raw::usual(edge.address).await;
    // More than the library lets wait by itself.
    const PIECES: usize = 4_000;
    let pieces = data(1, 0, b"x").repeat(PIECES);
    let body =
        [headers(1, 0, &[request("POST"), field("content-length", "4000")].concat()), pieces];
    raw.send(&[body.concat(), data(1, END, b"")].concat()).await;
    assert_eq!(all_end(&mut raw, 1).await[0].kind, DATA);
    assert_eq!(origin.only().body, [b'x'; PIECES]);
}

#[tokio::test]
async fn half_a_head_is_not_waited_for() {
    let origin = upstream().await;
    let edge = limited("header_timeout = \"200ms\"", &origin).await;
    let mut raw = Raw::usual(edge.address).await;
    raw.send(&frame(HEADERS, END, 1, &request("GET"))).await;
    while !matches!(raw.next().await.or_silence("the end"), Came::End) {}
    assert_eq!(origin.asked(), 0);
}

#[tokio::test]
async fn so_many_requests_at_once_and_so_many_in_all_whatever_the_client_thinks_of_it() {
    let origin = upstream().await;
    let edge = limited("streams = 2\nrequests = 4", &origin).await;
    let mut raw = Raw::connect(edge.address).await;
    raw.send(&[PREFACE, &settings(&[(WINDOW, 0)]), &frame(SETTINGS, ACK, 0, b"")].concat()).await;
    let Came::Frame(theirs) = raw.next().await else { panic!("no settings") };
    let most = [&MAX_STREAMS.to_be_bytes()[..], &2_u32.to_be_bytes()].concat();
    assert!(theirs.payload.chunks(6).any(|setting| setting == most), "{theirs:?}");
    raw.send(&[get(1), get(3), get(5)].concat()).await;
    let refused = all_end(&mut raw, 1).await.remove(0);
    assert_eq!((refused.stream, refused.code()), (5, Some(REFUSED)));
    raw.send(&settings(&[(WINDOW, 65_535)])).await;
    all_end(&mut raw, 2).await;
    // The goodbye comes with the fourth, and is not listened to.
    let mut served = 2;
    for at in 3.. {
        raw.send(&get(2 * at + 1)).await;
        let came = loop {
            match raw.next().await {
                Came::Frame(frame) if !ends(&frame) => {}
                other => break other,
            }
        };
        match came {
            Came::Frame(_) => served += 1,
            _ => break,
        }
        assert!(served < 20, "it goes on for ever");
    }
    // Those above are as many as may have been on their way.
    assert_eq!(served, 6);
}
