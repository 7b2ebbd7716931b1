//! Exchanges that are driven phase by phase.

use super::*;

/// One upstream after the other is asked until one answers, as a lane does that holds each phase.
fn served<'e>(admitted: Admitted<'e>, heads: &[(u16, &HeaderMap)]) -> Result<Relay<'e>, Cause> {
    let mut attempt = admitted.next();
    let mut heads = heads.iter();
    loop {
        attempt.connected(Link::Kept, Instant::now());
        with_sent(|sent| attempt.request_head(sent, Upload::Done));
        let next = match heads.next() {
            Some((status, headers)) => attempt.head(*status, View::Map(headers), SENT),
            None => {
                attempt = attempt.failed(Cause::Reset, SENT)?;
                continue;
            }
        };
        attempt = match next {
            Next::Interim(attempt) | Next::Again(attempt) => attempt,
            Next::Forward(relay) => return Ok(relay),
            Next::Answer(cause) => return Err(cause),
        };
    }
}

/// A request whose phases are all passed through, by one exchange after the request before it.
fn drive(exchange: &mut Exchange, heads: &[(u16, &HeaderMap)]) -> Result<(), Cause> {
    let headers = HeaderMap::from_iter([(http::header::HOST, "shop.test".parse().unwrap())]);
    let (uri, peer) =
        (Uri::from_static("/"), Peer::new([192, 0, 2, 9].into(), "http", Instant::now()));
    let (target, version) = (RequestTarget::read(b"/", &uri), Version::HTTP_11);
    let (method, view) = (&Method::GET, View::Map(&headers));
    let head = Head { method, target, version, view, raw: b"", upload: Upload::Done };
    let Admission::Forward(admitted) = exchange.admit(&head, &peer) else { panic!("refused") };
    let mut relay = served(admitted, heads)?;
    relay.body(Some(&bytes::Bytes::from_static(b"hello")), true);
    relay.trailers(View::Map(&HeaderMap::new()));
    with_sent(|sent| relay.done(sent));
    Ok(())
}

#[test]
fn one_exchange_serves_request_after_request_phase_by_phase() {
    let snapshot = snapshot_of(&TWO_POOLS.replacen("limits = { in_flight = 1 }\n", "", 1));
    let (mut exchange, none) = (open(clock(), &snapshot), HeaderMap::new());
    for _ in 0..2 {
        assert_eq!(drive(&mut exchange, &[(103, &none), (503, &none), (200, &none)]), Ok(()));
        assert_eq!(in_flight(&snapshot), 0);
    }
    assert_eq!(drive(&mut exchange, &[]), Err(Cause::Reset));
    // The one that was not ended counts when the next one begins.
    assert_eq!(drive(&mut exchange, &[(200, &none)]), Ok(()));
    drop(exchange);
    assert_eq!(requests(&snapshot), [0, 3, 0, 0, 0, 0, 1]);
    assert_eq!(attempts(&snapshot), [0, 3, 0, 0, 2, 0, 2]);
}

#[test]
fn a_request_says_what_it_waits_for() {
    let snapshot = snapshot();
    let (mut exchange, none) = (open(clock(), &snapshot), HeaderMap::new());
    assert_eq!(exchange.wait(), Wait::Nothing);
    admit(&mut exchange, &[]).unwrap();
    assert_eq!(exchange.wait(), Wait::Nothing, "a connection is made in a time of its own");
    with_sent(|sent| exchange.attempt().unwrap().request_head(sent, Upload::ToCome));
    let seconds = Duration::from_secs;
    assert_eq!(exchange.wait(), Wait::Request(seconds(60)), "longer than the client's own bound");
    exchange.attempt().unwrap().request_body(None, true);
    assert_eq!(exchange.wait(), Wait::Answer(seconds(15)));
    head(&mut exchange, 103, &none, true).unwrap();
    assert_eq!(exchange.wait(), Wait::Answer(seconds(15)));
    assert!(fails(&mut exchange, Cause::ResponseTimeout, SENT));
    assert_eq!(exchange.wait(), Wait::Nothing, "nobody has been asked yet");
    with_sent(|sent| exchange.attempt().unwrap().request_head(sent, Upload::ToCome));
    head(&mut exchange, 200, &none, true).unwrap();
    assert_eq!(exchange.wait(), Wait::Request(seconds(60)), "an answer that began early");
    exchange.relay().unwrap().request_body(None, true);
    assert_eq!(exchange.wait(), Wait::Rest(seconds(60)));
    finish(&mut exchange, Some(200));
    assert_eq!(exchange.wait(), Wait::Nothing);
}
