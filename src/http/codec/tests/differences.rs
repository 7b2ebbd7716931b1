//! Where hyper reads the corpus in another way: each difference is known, with its reason.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::corpus::entries::Entry;
use super::corpus::{of_requests, of_responses};
use super::*;

/// Room for any head of the corpus.
const ROOM: Limits = Limits { bytes: 32 * 1024, fields: 1_000 };

/// A message: its first words, its fields, its body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    first: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// How it goes on behind the messages that are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    /// More has to come.
    Waits,
    Refused,
}

type Taken = (Vec<Message>, End);

fn sorted(fields: impl Iterator<Item = (String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> = fields.collect();
    fields.sort();
    fields
}

fn of_map(map: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    sorted(map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())))
}

fn of_lines(lines: &Lines, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let lower = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
    sorted(lines.list().iter().map(|line| (lower(line.name(bytes)), line.value(bytes).to_vec())))
}

/// A body at the front of these bytes, with its length there.
fn body(
    mut reader: BodyReader,
    framing: Framing,
    bytes: &[u8],
) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let read = reader.read(&bytes[at..])?;
        match read.event {
            Event::Piece(range) => body.extend_from_slice(&bytes[at..][range]),
            Event::End => return Ok(Some((body, at + read.used))),
            Event::Wanting if framing == Framing::UntilClose => {
                return Ok(Some((body, bytes.len())));
            }
            Event::Wanting => return Ok(None),
        }
        at += read.used;
    }
}

fn our_request(bytes: &[u8]) -> Result<Option<(Message, usize)>, Malformed> {
    let mut reader = RequestReader::default();
    let Some(head) = reader.read(bytes, ROOM)? else { return Ok(None) };
    let framing = framing::of_request(reader.lines(), bytes, head.version)?;
    let text =
        |span: crate::http::codec::Span| String::from_utf8_lossy(span.of(bytes)).into_owned();
    let first = format!("{} {}", text(head.method), text(head.target));
    let fields = of_lines(reader.lines(), bytes);
    let body = body(BodyReader::new(framing), framing, &bytes[head.length..])?;
    let Some((body, length)) = body else { return Ok(None) };
    Ok(Some((Message { first, fields, body }, head.length + length)))
}

fn our_requests(bytes: &[u8]) -> Taken {
    let (mut messages, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match our_request(&bytes[at..]) {
            Ok(Some((message, length))) => {
                messages.push(message);
                at += length;
            }
            Ok(None) => return (messages, End::Waits),
            Err(_) => return (messages, End::Refused),
        }
    }
    (messages, End::Done)
}

fn is_early_end(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    error.is_incomplete_message()
        || io.is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof)
}

async fn hypers_requests(bytes: &[u8]) -> Taken {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let seen = Arc::new(Mutex::new((Vec::new(), End::Done)));
    let heard = seen.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let heard = heard.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes().to_vec());
            let mut heard = heard.lock().unwrap();
            match body {
                Ok(body) => {
                    let first = format!("{} {}", head.method, head.uri);
                    heard.0.push(Message { first, fields: of_map(&head.headers), body });
                }
                Err(error) => {
                    heard.1 = if is_early_end(&error) { End::Waits } else { End::Refused };
                }
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let serving = builder.half_close(true).serve_connection(TokioIo::new(server), service);
    let send = async {
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        client
    };
    let (served, _client) = tokio::join!(serving, send);
    let (messages, mut end) = seen.lock().unwrap().clone();
    if let (Err(error), End::Done) = (served, end) {
        end = if is_early_end(&error) { End::Waits } else { End::Refused };
    }
    (messages, end)
}

/// The answer to a request of this method, behind which the connection ends.
fn our_response(bytes: &[u8], is_to_head: bool) -> Taken {
    let mut at = 0;
    loop {
        let bytes = &bytes[at..];
        let mut reader = ResponseReader::default();
        let head = match reader.read(bytes, ROOM) {
            Ok(Some(head)) => head,
            Ok(None) => return (Vec::new(), End::Waits),
            Err(_) => return (Vec::new(), End::Refused),
        };
        let lines = reader.lines();
        let framing = framing::of_response(lines, bytes, head.version, head.status, is_to_head);
        let read = framing.and_then(|framing| {
            let reader = BodyReader::new(framing).of_response();
            body(reader, framing, &bytes[head.length..])
        });
        match read {
            Ok(Some(_)) if head.status < 200 && head.status != 101 => at += head.length,
            Ok(Some((body, _))) => {
                let fields = of_lines(lines, bytes);
                let message = Message { first: head.status.to_string(), fields, body };
                return (vec![message], End::Done);
            }
            Ok(None) => return (Vec::new(), End::Waits),
            Err(_) => return (Vec::new(), End::Refused),
        }
    }
}

async fn hypers_response(bytes: &[u8], request: Request<Empty<Bytes>>) -> Taken {
    let (client, mut server) = tokio::io::duplex(1 << 20);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    let connection = tokio::spawn(connection.with_upgrades());
    let answered = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        let (first, fields) = (head.status.as_u16().to_string(), of_map(&head.headers));
        Ok::<_, hyper::Error>(Message { first, fields, body })
    };
    let answer = async {
        // What comes before the request would be nobody's answer.
        tokio::task::yield_now().await;
        let mut head = [0; 1];
        let _ = tokio::io::AsyncReadExt::read(&mut server, &mut head).await;
        let _ = server.write_all(bytes).await;
        let _ = server.shutdown().await;
    };
    let (answered, ()) = tokio::join!(answered, answer);
    connection.abort();
    match answered {
        Ok(message) => (vec![message], End::Done),
        Err(error) if is_early_end(&error) => (Vec::new(), End::Waits),
        Err(_) => (Vec::new(), End::Refused),
    }
}

/// A reason, and the entries that hyper reads in another way for it.
type Rows = &'static [(&'static str, &'static [&'static str])];

fn compare(found: Vec<(String, String)>, known: Rows) {
    let names: BTreeSet<&str> = found.iter().map(|(name, _)| &**name).collect();
    let listed: BTreeSet<&str> =
        known.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let told = |name: &&&str| found.iter().find(|(n, _)| n == **name).map(|(_, how)| how.clone());
    let unknown: Vec<_> =
        names.difference(&listed).map(|name| (*name, told(&name).unwrap_or_default())).collect();
    let gone: Vec<_> = listed.difference(&names).collect();
    let text: Vec<_> = unknown.iter().map(|(name, how)| format!("{name:?}: {how}")).collect();
    assert!(unknown.is_empty(), "differences without a reason:\n{}", text.join("\n"));
    assert!(gone.is_empty(), "no differences any more: {gone:?}");
}

fn how(ours: &Taken, other: &Taken) -> String {
    let short = |taken: &Taken| {
        let all: Vec<_> = taken.0.iter().map(|one| format!("{one:.200?}")).collect();
        let mut text = format!("{:?} {}", taken.1, all.join(", "));
        text.truncate(300);
        text
    };
    format!("ours {} -- hyper's {}", short(ours), short(other))
}

#[tokio::test]
async fn hyper_takes_the_same_requests_but_for_these() {
    let mut found = Vec::new();
    for Entry { name, bytes, .. } in of_requests() {
        let (ours, other) = (our_requests(&bytes), hypers_requests(&bytes).await);
        if ours != other {
            found.push((name, how(&ours, &other)));
        }
    }
    compare(found, REQUESTS);
}

#[tokio::test]
async fn hyper_takes_the_same_responses_but_for_these() {
    let mut found = Vec::new();
    for Entry { name, bytes, settings, .. } in of_responses() {
        let is_to_head = settings.iter().any(|said| said == "HEAD");
        let method = if is_to_head { "HEAD" } else { "GET" };
        let request = Request::builder().method(method).uri("/").body(Empty::new()).unwrap();
        let ours = our_response(&bytes, is_to_head);
        let other = hypers_response(&bytes, request).await;
        if ours != other {
            found.push((name, how(&ours, &other)));
        }
    }
    compare(found, RESPONSES);
}

const REQUESTS: Rows = &[
    (
        "a line feed alone ends its lines",
        &[
            "a bare line feed before",
            "a bare line feed behind a field",
            "a bare line feed behind the line",
            "a coding behind a bare line feed",
            "a field behind a bare line feed",
            "an end by a bare line feed",
            "an end by two line feeds",
            "bare line feeds only",
            "length and chunks with a line feed",
        ],
    ),
    (
        "it waits for the line's end before it judges a line of trailers",
        &["a trailer with a bare line feed", "an end by a bare line feed of chunks"],
    ),
    (
        "it passes over any number of empty lines between requests",
        &["two empty lines before", "two empty lines between"],
    ),
    (
        "it takes the coding where there is a length, too (RFC 9112, 6.3, lets a server do so)",
        &[
            "a length of five, then chunks",
            "chunks, then a length of zero",
            "chunks, then length",
            "length and chunks, both nominated",
            "length and chunks, one nominated",
            "length, then chunks",
            "two lengths and chunks",
        ],
    ),
    (
        "it asks only whether the last coding is chunked",
        &[
            "a cow and chunks",
            "chunks twice",
            "chunks twice in a line",
            "chunks with a comma before",
            "gzip before chunks",
            "identity and chunks in two lines",
            "identity before chunks",
        ],
    ),
    ("it takes equal lengths for one", &["two equal lengths"]),
    (
        "it takes any zeros before a number",
        &["a length with very many zeros", "a size with one zero too many"],
    ),
    ("it takes space behind a size", &["a space behind a size", "a tab behind a size"]),
    (
        "it passes over extensions up to the end of their line",
        &[
            "NUL in an extension",
            "an empty extension",
            "an extension in open quotes",
            "an extension with space behind",
            "an extension with two words",
            "an extension without a name",
            "an extension without a value",
        ],
    ),
    (
        "its bounds are wider",
        &[
            "a method that is too long",
            "a name that is too long",
            "an extension that is too long",
            "more bytes than may be",
            "trailers that are too long",
            "trailers that are too many",
        ],
    ),
    (
        "its bounds are narrower than this test's, and ours are in the config",
        &["one field too many"],
    ),
    (
        "it serves tunnels",
        &[
            "a tunnel",
            "a tunnel by a path",
            "a tunnel to a whole URI",
            "a tunnel with what goes through it",
        ],
    ),
    (
        "it leaves to its user what a target may be",
        &[
            "a host and port",
            "a path without its slash",
            "a star for what is no OPTIONS",
            "a whole URI of ftp",
            "a whole URI of ws",
            "a whole URI with a user",
            "a whole URI with user and password",
            "two stars",
        ],
    ),
    ("it cuts fragments off", &["a fragment", "an empty fragment", "a whole URI with a fragment"]),
    (
        "it writes a whole URI in its own way, and we as it came",
        &[
            "a whole URI in large letters",
            "a whole URI with a query only",
            "a whole URI without a path",
            "the server, by a whole URI",
        ],
    ),
    (
        "a URI is no URI to it that we pass on as it came",
        &["Latin-1 in a path", "bytes that URIs do not have"],
    ),
    (
        "the authority is checked behind our codec, in `admission.rs`",
        &["a whole URI with two ports"],
    ),
    (
        "it knows no later minor version (RFC 9110, 2.5, takes it for 1.1)",
        &["of a later minor version", "of the last minor version"],
    ),
    (
        "the lane ends connections, not the codec",
        &["none of HTTP/1.0", "one that ends the connection"],
    ),
    ("it waits for more of a method that is none yet", &["a length of zero before a body"]),
];

const RESPONSES: Rows = &[
    (
        "a line feed alone ends its lines",
        &[
            "a bare line feed in a response",
            "a line feed before a response",
            "a line feed behind the line",
            "a line feed in a reason",
            "a response split by a line feed",
        ],
    ),
    ("it passes over empty lines before a response", &["an empty line before a response"]),
    (
        "it takes the coding where there is a length, too",
        &["chunks, then length, answered", "length, then chunks, answered"],
    ),
    (
        "it asks only whether the last coding is chunked, and else reads to the end",
        &[
            "an empty coding, answered",
            "chunks in quotes, answered",
            "chunks twice, answered",
            "gzip alone, answered",
            "gzip before chunks, answered",
            "identity behind chunks, answered",
            "identity, answered",
            "length and identity, answered",
        ],
    ),
    (
        "it takes equal lengths for one",
        &["two equal lengths, answered", "two lengths in a line, answered"],
    ),
    (
        "it passes over extensions up to the end of their line",
        &["a space behind an extension, answered"],
    ),
    (
        "it does not read the framing of what has no body",
        &[
            "100 with both",
            "204 with a length that is none",
            "304 with both",
            "a HEAD with both",
            "a HEAD with two lengths",
        ],
    ),
    ("its bounds are narrower", &["many fields"]),
    ("it knows no later minor version", &["of a later minor version"]),
];
