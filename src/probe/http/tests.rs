use http::HeaderName;
use http::uri::PathAndQuery;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::outgoing::dial::tests::{acceptor, dialer};
use crate::outgoing::dial::{DialError, Speaks};
use crate::upstream::DialAddress;

fn get() -> HttpProbe {
    HttpProbe::get(PathAndQuery::from_static("/healthz?deep=1"))
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: Vec<u8>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap() > 0 {}
    // One that has seen enough may be gone before all is sent.
    let _ = stream.write_all(&reply).await;
    let _ = stream.shutdown().await;
    String::from_utf8(head).unwrap()
}

/// An origin for one request, and what it is sent.
async fn origin(reply: impl Into<Vec<u8>>, tls: bool) -> (DialAddress, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = DialAddress::Socket(listener.local_addr().unwrap());
    let reply = reply.into();
    let received = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        match tls {
            true => serve(acceptor(b"http/1.1").accept(stream).await.unwrap(), reply).await,
            false => serve(stream, reply).await,
        }
    });
    (target, received)
}

/// What a probe makes of this answer.
async fn judged(reply: impl Into<Vec<u8>>, probe: &HttpProbe) -> Result<Advice, ProbeFailure> {
    let (target, _) = origin(reply, probe.tls).await;
    super::probe(&dialer(), &target, &Authority::from_static("shop.test"), probe, Speaks::Http1)
        .await
}

#[tokio::test]
async fn a_probe_asks_as_configured() {
    let mut probe = get();
    probe.headers = [("x-a", "b"), ("x-a", "c"), ("accept", "text/plain")]
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .to_vec();
    let (target, received) = origin("HTTP/1.1 204 No Content\r\n\r\n", false).await;
    let authority = Authority::from_static("shop.test:81");
    assert_eq!(
        super::probe(&dialer(), &target, &authority, &probe, Speaks::Http1).await,
        Ok(Advice::default())
    );
    let head = received.await.unwrap();
    let mut lines: Vec<_> = head.trim_end().split("\r\n").collect();
    lines[1..].sort();
    let agent = format!("user-agent: pointsman-probe/{}", env!("CARGO_PKG_VERSION"));
    let expected = [
        "GET /healthz?deep=1 HTTP/1.1",
        "accept: text/plain",
        "connection: close",
        "host: shop.test:81",
        &agent,
        "x-a: b",
        "x-a: c",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn whether_the_body_matters_makes_no_difference_to_the_request() {
    let mut probe = get();
    probe.headers =
        vec![(HeaderName::from_static("x-a"), HeaderValue::from_bytes(b"\xc3\xa4").unwrap())];
    let mut sent = Vec::new();
    for body in [None, Some("ready".to_string())] {
        let probe = HttpProbe { body, ..probe.clone() };
        let (target, received) = origin("HTTP/1.1 200 OK\r\n\r\nready", false).await;
        let authority = Authority::from_static("shop.test");
        let judged = super::probe(&dialer(), &target, &authority, &probe, Speaks::Http1).await;
        assert_eq!(judged, Ok(Advice::default()));
        let head = received.await.unwrap();
        let mut lines: Vec<_> = head.split("\r\n").map(str::to_string).collect();
        lines[1..].sort();
        sent.push(lines);
    }
    assert_eq!(sent[0], sent[1]);
}

#[tokio::test]
async fn a_head_may_come_in_pieces_and_after_others() {
    let reply = b"HTTP/1.1 103 Early Hints\r\nx-pointsman-drain: 1\r\n\r\n\
                  HTTP/1.0 404 Not\r\nX: y\r\n\r\nrest";
    let whole = reply.len() - b"rest".len();
    for length in 0..whole {
        assert_eq!(judge_head(&reply[..length], &get()), Ok(None), "{length}");
    }
    let verdict = Some(Err(ProbeFailure::Status(404)));
    assert_eq!(judge_head(&reply[..whole], &get()), Ok(verdict.clone()));
    assert_eq!(judge_head(reply, &get()), Ok(verdict));
}

#[tokio::test]
async fn a_head_has_bounds() {
    let reply = |fields: usize, length: usize| {
        let field = format!("x: {}\r\n", "y".repeat(length));
        format!("HTTP/1.1 200 OK\r\n{}\r\n", field.repeat(fields))
    };
    assert_eq!(judged(reply(100, 500), &get()).await, Ok(Advice::default()));
    for (fields, length) in [(101, 1), (100, 700)] {
        let refused = judged(reply(fields, length), &get()).await;
        assert!(matches!(refused, Err(ProbeFailure::Http(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn only_expected_statuses_pass() {
    let reply = |status: u16| format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(judged(reply(200), &get()).await, Ok(Advice::default()));
    assert_eq!(judged(reply(302), &get()).await, Ok(Advice::default()));
    assert_eq!(judged(reply(404), &get()).await, Err(ProbeFailure::Status(404)));
    assert_eq!(judged(reply(503), &get()).await, Err(ProbeFailure::Status(503)));
    let probe = HttpProbe { statuses: vec![404..=404], ..get() };
    assert_eq!(judged(reply(404), &probe).await, Ok(Advice::default()));
    assert_eq!(judged(reply(200), &probe).await, Err(ProbeFailure::Status(200)));
}

#[tokio::test]
async fn the_body_must_contain_the_text_where_one_is_given() {
    let probe = HttpProbe { body: Some("ready".into()), ..get() };
    let reply =
        |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    assert_eq!(judged(reply("all ready now"), &probe).await, Ok(Advice::default()));
    assert_eq!(judged(reply("starting"), &probe).await, Err(ProbeFailure::Body));
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nre\r\n3\r\nady\r\n0\r\n\r\n";
    assert_eq!(judged(chunked, &probe).await, Ok(Advice::default()));
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    let probe = HttpProbe { body: Some("ready".into()), ..get() };
    let reply = |before: usize| {
        let mut reply = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        reply.resize(reply.len() + before, b'.');
        reply.extend_from_slice(b"ready");
        reply.resize(reply.len() + 1_000_000, b'.');
        reply
    };
    assert_eq!(judged(reply(BODY_LIMIT - 5), &probe).await, Ok(Advice::default()));
    assert_eq!(judged(reply(BODY_LIMIT - 4), &probe).await, Err(ProbeFailure::Body));
}

#[tokio::test]
async fn what_is_no_answer_fails() {
    let garbage = judged("SSH-2.0-OpenSSH_9.6\r\n", &get()).await.unwrap_err();
    assert!(matches!(garbage, ProbeFailure::Http(HttpError::Bad(_))), "{garbage}");
    let cut = judged("HTTP/1.1 200 OK\r\nx-a", &get()).await;
    assert_eq!(cut, Err(HttpError::Broken(std::io::ErrorKind::UnexpectedEof).into()));
    // Bound and not listening: nobody else can come to answer there.
    let deaf = tokio::net::TcpSocket::new_v4().unwrap();
    deaf.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let target = DialAddress::Socket(deaf.local_addr().unwrap());
    let authority = Authority::from_static("shop.test");
    let refused = super::probe(&dialer(), &target, &authority, &get(), Speaks::Http1).await;
    assert_eq!(refused, Err(DialError::Refused.into()));
}

#[tokio::test]
async fn an_answer_may_advise() {
    let reply = "HTTP/1.1 200 OK\r\nX-Pointsman-Weight: 30\r\nX-Pointsman-Drain: 1\r\n\r\n";
    assert_eq!(judged(reply, &get()).await, Ok(Advice { weight: Some(30), drain: true }));
}

#[tokio::test]
async fn a_probe_over_tls_checks_the_certificate() {
    let probe = HttpProbe { tls: true, ..get() };
    let reply = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(judged(reply, &probe).await, Ok(Advice::default()));
    let (target, _) = origin(reply, true).await;
    let other = Authority::from_static("pay.test");
    let refused = super::probe(&dialer(), &target, &other, &probe, Speaks::Http1).await;
    assert!(matches!(refused, Err(ProbeFailure::Dial(DialError::Tls(_)))), "{refused:?}");
}
