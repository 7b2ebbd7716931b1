//! What is left for a copy.

use super::*;

const MIRRORED: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
split = { blue = 100, green = 0 }
[services.shop.mirror]
to = "green"
percent = 100
body_limit = 4
compare = {}
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80"]
green.upstreams = ["192.0.2.2:80"]
"#;

/// A request of these body pieces that is being answered.
fn mirrored(pieces: &[&'static str], ends: bool) -> Exchange {
    let mut exchange = open(clock(), &snapshot_of(MIRRORED));
    admit(&mut exchange, &[]).unwrap();
    let mut attempt = exchange.attempt().unwrap();
    with_sent(|sent| attempt.request_head(sent, Upload::ToCome));
    for piece in pieces {
        attempt.request_body(Some(&bytes::Bytes::from_static(piece.as_bytes())), false);
    }
    attempt.request_body(None, ends);
    head(&mut exchange, 200, &HeaderMap::new(), true).unwrap();
    exchange.relay().unwrap().body(Some(&bytes::Bytes::from_static(b"half")), false);
    exchange
}

#[test]
fn a_request_that_is_over_leaves_its_copy_once() {
    let mut exchange = mirrored(&["ab", "cd"], true);
    let copied = finish(&mut exchange, Some(200)).unwrap();
    assert_eq!(copied.request.body(), "abcd");
    assert_eq!((copied.request.uri(), copied.live.is_some()), (&Uri::from_static("/a?b"), true));
    assert!(exchange.take_copy().is_none());
}

#[test]
fn a_body_that_is_too_long_or_was_cut_off_is_not_copied() {
    assert!(mirrored(&["ab", "cde"], true).take_copy().is_none());
    assert!(mirrored(&["ab"], false).take_copy().is_none());
}

#[test]
fn a_copy_has_nothing_to_be_compared_with_when_the_answer_was_cut_off() {
    let mut exchange = mirrored(&[], true);
    fails(&mut exchange, Cause::ClientGone, SENT);
    assert!(finish(&mut exchange, Some(200)).unwrap().live.is_none());
}
