use hyper::body::{Body, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use super::super::dial::tests::{acceptor, dialer};
use super::super::tests::{Receiver, deaf};
use super::*;

const PATIENT: Duration = Duration::from_secs(60);

fn request(url: &str) -> Request<Full<Bytes>> {
    Request::post(url).body(Full::from("{\"a\":1}")).unwrap()
}

fn call(url: &str) -> Call {
    Call { request: request(url), whom: Whom::Named, within: PATIENT, wanted: 1024 }
}

async fn send(call: Call) -> Result<Fetched, CallError> {
    Client::with(dialer()).send(call).await
}

#[tokio::test]
async fn a_request_is_sent_as_it_is_with_what_every_call_has() {
    let receiver =
        Receiver::start(|_| Some((StatusCode::ACCEPTED, [("x-a", "1")], "thanks"))).await;
    let answer = send(call(&receiver.url("/in?x=1"))).await.unwrap();
    assert_eq!(
        (answer.status, &answer.fields["x-a"]),
        (StatusCode::ACCEPTED, &"1".parse().unwrap())
    );
    assert_eq!(answer.body.unwrap(), b"thanks");
    let (head, body) = &*receiver.calls()[0];
    assert_eq!((&**body, head.uri.to_string()), (&b"{\"a\":1}"[..], "/in?x=1".into()));
    let field = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(head.method, http::Method::POST);
    assert_eq!(field("host"), Some(receiver.address.to_string()).as_deref());
    assert_eq!(field("user-agent"), Some(concat!("pointsman/", env!("CARGO_PKG_VERSION"))));
    assert_eq!([field("accept"), field("connection")], [Some("*/*"), Some("close")]);
    // What the request has itself is left as it is.
    let mut own = call(&receiver.url("/"));
    let fields = [("host", "shop.test"), ("accept", "text/plain"), ("user-agent", "me")];
    for (name, value) in fields {
        own.request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    send(own).await.unwrap();
    let (head, _) = &*receiver.calls()[1];
    for (name, value) in fields {
        assert_eq!(head.headers[name], value);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let receiver = Receiver::start(|_| Some((StatusCode::FOUND, [("location", "/other")]))).await;
    let answer = send(call(&receiver.url("/in"))).await.unwrap();
    assert_eq!(answer.status, StatusCode::FOUND);
    assert_eq!(receiver.calls().len(), 1);
}

/// A server of one connection, which is given these bytes for an answer: its address, and its end,
/// for which it waits for the caller's or not.
async fn serve(answer: &[u8], waits: bool) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, answer) = (format!("http://{}/", listener.local_addr().unwrap()), answer.to_vec());
    let serve = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"{\"a\":1}") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
        // Who is sent too much may hang up before all of it is there.
        let _ = stream.write_all(&answer).await;
        if waits {
            let _ = stream.read_to_end(&mut bytes).await;
        }
    };
    (url, tokio::spawn(serve))
}

#[tokio::test]
async fn a_call_has_a_time_for_all_of_it_and_leaves_no_connection_behind() {
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"] {
        let (url, server) = serve(answer, true).await;
        let within = Duration::from_millis(50);
        let failure = send(Call { within, ..call(&url) }).await.unwrap_err();
        assert_eq!(failure, CallError::TimedOut(within));
        assert_eq!(failure.to_string(), "timed out after 50ms");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_from_one_that_is_none() {
    let broken = HttpError::Broken(io::ErrorKind::UnexpectedEof);
    for answer in [&b""[..], b"HTTP/1.1 20"] {
        let (url, server) = serve(answer, false).await;
        assert_eq!(send(call(&url)).await.unwrap_err(), CallError::Http(broken.clone()));
        server.await.unwrap();
    }
    let field = vec![b'x'; 4 * HEAD_LIMIT];
    let long = [&b"HTTP/1.1 200 OK\r\nx: "[..], &field, b"\r\n\r\n"].concat();
    for answer in [&b"SSH-2.0-x\r\n\r\n"[..], &long] {
        let (url, server) = serve(answer, true).await;
        let failure = send(call(&url)).await.unwrap_err();
        assert!(matches!(failure, CallError::Http(HttpError::Bad(_))), "{failure}");
        server.await.unwrap();
    }
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok";
    let (url, server) = serve(short, false).await;
    let answer = send(call(&url)).await.unwrap();
    assert_eq!((answer.status, answer.body), (StatusCode::OK, Err(broken)));
    server.await.unwrap();
}

/// A body that does not end.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 4_096])))))
    }
}

#[tokio::test]
async fn an_endless_answer_is_read_as_far_as_it_is_wanted() {
    let receiver = Receiver::start(|_| Some(axum::body::Body::new(Endless))).await;
    for wanted in [0, 5_000] {
        let answer = send(Call { wanted, ..call(&receiver.url("/")) }).await.unwrap();
        assert_eq!(answer.body.unwrap(), vec![b'x'; wanted]);
    }
}

#[tokio::test]
async fn a_name_is_looked_up_and_its_addresses_tried_in_turn() {
    let receiver = Receiver::start(|_| Some("ok")).await;
    // On most machines it stands for ::1 as well, where nobody listens on this port.
    let url = format!("http://localhost:{}/", receiver.address.port());
    assert_eq!(send(call(&url)).await.unwrap().body.unwrap(), b"ok");
}

#[tokio::test]
async fn nobody_there_is_refused_and_a_name_of_nobody_is_told() {
    let (_socket, address) = deaf();
    let failure = send(call(&format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(failure, CallError::Dial(DialError::Refused));
    let failure = send(call("http://nobody.invalid/")).await.unwrap_err();
    assert!(matches!(&failure, CallError::LookUp { host, .. } if host == "nobody.invalid"));
}

#[tokio::test]
async fn whom_a_call_is_for_need_not_be_whom_its_address_names() {
    let receiver = Receiver::start(|_| Some("ok")).await;
    let whom = Whom::At(DialAddress::Socket(receiver.address));
    send(Call { whom, ..call("http://shop.test/a") }).await.unwrap();
    assert_eq!(receiver.calls()[0].0.headers["host"], "shop.test");
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("shop.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let app = axum::Router::new().fallback(|| async { "by a socket of this machine" });
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let whom = Whom::At(DialAddress::Unix(path.to_str().unwrap().into()));
    let answer = send(Call { whom, ..call("http://shop.test/a") }).await.unwrap();
    assert_eq!(answer.body.unwrap(), b"by a socket of this machine");
    server.abort();
}

#[tokio::test]
async fn https_needs_a_trusted_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor(b"http/1.1").accept(stream).await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"{\"a\":1}") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        stream.flush().await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        acceptor(b"http/1.1").accept(stream).await.is_err()
    });
    assert_eq!(send(call(&url)).await.unwrap().body.unwrap(), b"ok");
    let strict = Client::default().send(call(&url)).await;
    assert!(matches!(strict, Err(CallError::Dial(DialError::Tls(_)))), "{strict:?}");
    assert!(server.await.unwrap());
}
