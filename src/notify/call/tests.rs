use super::super::tests::{assert_signed, secret};
use super::*;
use crate::outgoing::tests::{Receiver, deaf};
use crate::server::clock::system;

async fn post(url: &str, secret_file: Option<&Path>, limit: Duration) -> Result<Reply, NoAnswer> {
    let url = url.parse().unwrap();
    let body = Bytes::from_static(b"{\"a\":1}");
    let keys = &SigningKeys::default();
    let call =
        Call { url: &url, id: "call_1", body, fields: &[], secret_file, keys, timeout: limit };
    Caller::new(system()).post(&call).await
}

const PATIENT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_call_is_signed_json_on_a_connection_of_its_own() {
    let receiver = Receiver::start(|_| Some((StatusCode::ACCEPTED, "\n thanks \nbye"))).await;
    let (_folder, key) = secret("s3cret\n");
    let before = system().unix_seconds() as u64;
    let reply = post(&receiver.url("/in?x=1"), Some(&key), PATIENT).await.unwrap();
    let line = "thanks".to_string();
    assert_eq!(reply, Reply { status: StatusCode::ACCEPTED, line, retry_after: None });
    let call = &receiver.calls()[0];
    assert_eq!((&*call.1, call.0.uri.to_string()), (&b"{\"a\":1}"[..], "/in?x=1".into()));
    let field = |name: &str| call.0.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(call.0.method, Method::POST);
    assert_eq!(field("host"), Some(receiver.address.to_string()).as_deref());
    assert_eq!(field("content-type"), Some("application/json"));
    assert_eq!(field("connection"), Some("close"));
    assert_eq!(field("webhook-id"), Some("call_1"));
    let at: u64 = field("webhook-timestamp").unwrap().parse().unwrap();
    assert!((before..=system().unix_seconds() as u64).contains(&at), "{at}");
    assert_signed(call, b"s3cret");
    post(&receiver.url("/"), None, PATIENT).await.unwrap();
    assert_eq!(receiver.calls()[1].0.headers.get("webhook-signature"), None);
}

#[tokio::test]
async fn without_its_key_a_call_is_not_made() {
    let receiver = Receiver::start(|_| Some("ok")).await;
    let gone = Path::new("/nowhere/key");
    let failure = post(&receiver.url("/"), Some(gone), PATIENT).await.unwrap_err();
    let why = "cannot read the secret file /nowhere/key: No such file or directory (os error 2)";
    assert_eq!(failure, NoAnswer::NotSent(why.into()));
    assert_eq!(receiver.calls().len(), 0);
}

#[tokio::test]
async fn an_answer_may_say_when_to_come_again() {
    let busy = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")]);
    let receiver = Receiver::start(move |_| Some(busy)).await;
    let reply = post(&receiver.url("/"), None, PATIENT).await.unwrap();
    assert_eq!(reply.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn who_says_nothing_or_is_not_there_gives_no_answer() {
    let receiver = Receiver::start(|_| None::<StatusCode>).await;
    let limit = Duration::from_millis(50);
    let failure = post(&receiver.url("/"), None, limit).await.unwrap_err();
    assert_eq!(failure, NoAnswer::TimedOut(limit));
    let (_socket, address) = deaf();
    let failure = post(&format!("http://{address}/"), None, PATIENT).await.unwrap_err();
    assert_eq!(failure, NoAnswer::Unreachable("connection refused".into()));
}

#[test]
fn what_others_say_is_cut_and_cleaned_before_it_is_shown() {
    assert_eq!(first_line(b"\n \n\x1b[31mred\x07 alert\r\nmore"), "[31mred alert");
    assert_eq!(first_line(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    assert_eq!(first_line(b""), "");
    assert_eq!(first_line("ü".repeat(300).as_bytes()), "ü".repeat(200));
}

#[test]
fn an_address_is_shown_without_what_may_be_secret() {
    let shown = |text: &str| super::shown(&text.parse().unwrap());
    assert_eq!(shown("https://hooks.slack.com/services/T0/B0/x"), "https://hooks.slack.com/…");
    assert_eq!(shown("http://127.0.0.1:80/?key=x"), "http://127.0.0.1:80/…");
    assert_eq!(shown("http://127.0.0.1:80/"), "http://127.0.0.1:80");
}
