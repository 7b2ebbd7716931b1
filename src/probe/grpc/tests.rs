use h2::server;
use http::Response;
use proptest::prelude::*;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::outgoing::dial::Stream;
use crate::outgoing::dial::tests::{acceptor, dialer};

/// What a health service answers.
#[derive(Clone, Default)]
struct Reply {
    status: u16,
    fields: Vec<(&'static str, &'static str)>,
    /// None: the head is all there is.
    message: Option<Vec<u8>>,
    trailers: Vec<(&'static str, &'static str)>,
}

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let parsed =
        fields.iter().map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    parsed.collect()
}

/// A gRPC answer with this serving status.
fn serving(status: u8) -> Reply {
    let message = if status == 0 { vec![0; 5] } else { vec![0, 0, 0, 0, 2, 0x08, status] };
    let trailers = vec![("grpc-status", "0")];
    Reply { status: 200, message: Some(message), trailers, ..Reply::default() }
}

/// An answer without a message.
fn refusing(fields: &[(&'static str, &'static str)]) -> Reply {
    Reply { status: 200, fields: fields.to_vec(), ..Reply::default() }
}

/// Answers one call; what it was sent.
async fn serve(stream: Box<dyn Stream>, reply: Reply) -> (Request<()>, Vec<u8>) {
    let mut connection = server::handshake(stream).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    let exchange = async move {
        let (head, mut body) = request.into_parts();
        let mut received = Vec::new();
        while let Some(data) = body.data().await {
            received.extend_from_slice(&data.unwrap());
        }
        let mut response = Response::builder().status(reply.status).body(()).unwrap();
        *response.headers_mut() = map(&reply.fields);
        let mut sender = respond.send_response(response, reply.message.is_none()).unwrap();
        if let Some(message) = reply.message {
            sender.send_data(message.into(), false).unwrap();
            sender.send_trailers(map(&reply.trailers)).unwrap();
        }
        (Request::from_parts(head, ()), received)
    };
    let (received, _) =
        tokio::join!(exchange, async { while connection.accept().await.is_some() {} });
    received
}

async fn origin(reply: Reply, tls: bool) -> (DialAddress, JoinHandle<(Request<()>, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = DialAddress::Socket(listener.local_addr().unwrap());
    let received = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream: Box<dyn Stream> = match tls {
            true => Box::new(acceptor(b"h2").accept(stream).await.unwrap()),
            false => Box::new(stream),
        };
        serve(stream, reply).await
    });
    (target, received)
}

/// What a probe makes of this answer.
async fn judged(reply: Reply) -> Result<Advice, ProbeFailure> {
    let (target, _) = origin(reply, false).await;
    let authority = Authority::from_static("shop.test");
    super::probe(&dialer(), &target, &authority, &GrpcProbe::default()).await
}

#[tokio::test]
async fn a_serving_service_passes_in_the_clear_and_over_tls() {
    for tls in [false, true] {
        let (target, received) = origin(serving(1), tls).await;
        let authority = Authority::from_static("shop.test");
        let probe = GrpcProbe { service: "shop.v1.Cart".into(), tls };
        let result = super::probe(&dialer(), &target, &authority, &probe).await;
        assert_eq!(result, Ok(Advice::default()));
        let (head, body) = received.await.unwrap();
        let scheme = if tls { "https" } else { "http" };
        let uri = format!("{scheme}://shop.test/grpc.health.v1.Health/Check");
        assert_eq!((head.method(), head.uri().to_string()), (&Method::POST, uri));
        assert_eq!(head.headers()[CONTENT_TYPE], "application/grpc");
        assert_eq!(head.headers()[TE], "trailers");
        assert_eq!(body, b"\0\0\0\0\x0e\x0a\x0cshop.v1.Cart");
    }
}

#[tokio::test]
async fn a_service_that_does_not_serve_fails() {
    for status in [0, 2, 3] {
        let failure = Err(ProbeFailure::NotServing(status.into()));
        assert_eq!(judged(serving(status)).await, failure);
    }
}

#[tokio::test]
async fn a_refused_call_fails_wherever_its_status_is() {
    let unimplemented = [("grpc-status", "12"), ("grpc-message", "unknown service")];
    let failure = ProbeFailure::Grpc { code: 12, message: "unknown service".into() };
    assert_eq!(judged(refusing(&unimplemented)).await, Err(failure.clone()));
    let in_trailers = Reply { trailers: unimplemented.to_vec(), ..serving(1) };
    assert_eq!(judged(in_trailers).await, Err(failure));
}

#[tokio::test]
async fn what_is_no_grpc_fails() {
    assert_eq!(judged(Reply { status: 503, ..serving(1) }).await, Err(ProbeFailure::Status(503)));
    let cases = [
        refusing(&[]),
        refusing(&[("grpc-status", "0")]),
        refusing(&[("grpc-status", "fine")]),
        Reply { trailers: Vec::new(), ..serving(1) },
        Reply { message: Some(b"<html>".to_vec()), ..serving(1) },
        Reply { message: Some(vec![b'.'; 60_000]), ..serving(1) },
    ];
    for (place, reply) in cases.into_iter().enumerate() {
        assert_eq!(judged(reply).await, Err(ProbeFailure::NoHealthResponse), "case {place}");
    }
}

#[tokio::test]
async fn an_answer_may_advise() {
    let reply = Reply { fields: vec![("x-pointsman-weight", "30")], ..serving(1) };
    assert_eq!(judged(reply).await, Ok(Advice { weight: Some(30), drain: false }));
}

#[test]
fn fields_of_later_versions_are_skipped() {
    let later = b"\0\0\0\0\x10\x12\x02hi\x1d\0\0\0\0\x20\xff\x01\x08\x01\x0a\x00";
    assert_eq!(serving_status(later), Some(1));
}

proptest! {
    #[test]
    fn numbers_read_as_written(number in any::<u64>()) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        let mut rest = &bytes[..];
        prop_assert_eq!((take_varint(&mut rest), rest.len()), (Some(number), 0));
    }

    #[test]
    fn no_message_does_harm(mut message in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut framed = vec![0, 0, 0, 0, message.len() as u8];
        framed.append(&mut message);
        serving_status(&framed);
    }
}
