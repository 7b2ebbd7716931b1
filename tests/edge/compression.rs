//! Answers that are made smaller on the way to clients that take them so.

use std::io::Read;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::client::fields;
use crate::harness::edge::{HEAD, shop, shop_at};
use crate::harness::{Client, Edge, Origin, Reply};
use crate::http2::peer::{Client as Http2Client, whole};

const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// What a body in a coding says; as much of it as is there.
fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut reader: Box<dyn Read> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4_096)),
        "zstd" => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
        other => panic!("{other}"),
    };
    reader.read_to_end(&mut text).unwrap_or_else(|error| panic!("{coding}: {error}"));
    text
}

/// A page that is worth it.
fn page() -> String {
    (0..2_000).map(|nth| format!("<p>line {nth}</p>\n")).collect()
}

/// An answer as it came: its head, and its body without the framing.
async fn ask(
    edge: &Edge,
    method: &str,
    path: &str,
    version: &str,
    lines: &[&str],
) -> (String, Vec<u8>) {
    let mut client = Client::connect(edge.address).await;
    let more: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!(
        "{method} {path} HTTP/{version}\r\nhost: shop.test\r\nconnection: close\r\n{more}\r\n"
    );
    client.send(request).await;
    let bytes = client.rest().await;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = (String::from_utf8_lossy(&bytes[..end]).into_owned(), bytes[end..].to_vec());
    match fields(&head, "transfer-encoding")[..] {
        [] => (head, body),
        _ => (head, unchunked(&body)),
    }
}

/// The bytes of a whole body in chunks.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line =
            bytes.windows(2).position(|window| window == b"\r\n").expect("the size of a chunk");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        let (piece, rest) = bytes[line + 2..].split_at(size);
        if size == 0 {
            assert_eq!(rest, b"\r\n", "nothing follows the last chunk");
            return body;
        }
        body.extend_from_slice(piece);
        bytes = rest.strip_prefix(b"\r\n").unwrap();
    }
}

async fn before(service: &str) -> (Origin, Edge) {
    let origin = Origin::with(|request| {
        let html = "content-type: text/html; charset=utf-8";
        let (page, tag) = (page(), "etag: \"v1\"");
        match request.head.split(' ').nth(1).unwrap() {
            "/page" if request.head.starts_with("HEAD") => Reply::Bytes(
                format!("HTTP/1.1 200 OK\r\n{html}\r\n{tag}\r\ncontent-length: {}\r\n\r\n", page.len()).into(),
            ),
            "/page" => Reply::head("200 OK", &[html, tag, "accept-ranges: bytes"], &page),
            "/chunked" => Reply::Bytes(
                format!("HTTP/1.1 200 OK\r\n{html}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{page}\r\n0\r\n\r\n", page.len()).into(),
            ),
            "/close" => Reply::BytesThenClose(format!("HTTP/1.1 200 OK\r\n{html}\r\n\r\n{page}").into()),
            "/empty" => Reply::Bytes(format!("HTTP/1.1 200 OK\r\n{html}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").into()),
            "/cut" => Reply::BytesThenClose(format!("HTTP/1.1 200 OK\r\n{html}\r\ncontent-length: 100000\r\n\r\n{page}").into()),
            "/small" => Reply::head("200 OK", &[html], "small"),
            "/image" => Reply::head("200 OK", &["content-type: image/png"], &page),
            "/coded" => Reply::head("200 OK", &[html, "content-encoding: gzip"], &page),
            "/kept" => Reply::head("200 OK", &[html, "cache-control: no-transform"], &page),
            "/part" => Reply::head("206 Partial Content", &[html, "content-range: bytes 0-9/10"], &page),
            "/error" => Reply::head("500 Internal Server Error", &[html], &page),
            "/304" => Reply::Bytes(format!("HTTP/1.1 304 Not Modified\r\n{tag}\r\n\r\n").into()),
            "/304-html" => Reply::Bytes(format!("HTTP/1.1 304 Not Modified\r\n{tag}\r\n{html}\r\n\r\n").into()),
            other => panic!("{other}"),
        }
    })
    .await;
    let edge = Edge::before(&[("only", &origin)], service).await;
    (origin, edge)
}

#[tokio::test]
async fn a_client_gets_what_it_takes_and_all_of_it() {
    let (_origin, edge) = before("compression = {}\n").await;
    for coding in CODINGS {
        let takes = format!("accept-encoding: {coding}");
        for path in ["/page", "/chunked", "/close", "/error"] {
            let (head, body) = ask(&edge, "GET", path, "1.1", &[&takes]).await;
            assert_eq!(fields(&head, "content-encoding"), [coding], "{path} {head}");
            assert_eq!(fields(&head, "transfer-encoding"), ["chunked"], "{path} {head}");
            for gone in ["content-length", "accept-ranges"] {
                assert!(fields(&head, gone).is_empty(), "{path} {head}");
            }
            assert_eq!(fields(&head, "vary"), ["accept-encoding"], "{path} {head}");
            assert!(body.len() < page().len() / 3, "{path} {coding}: {}", body.len());
            assert_eq!(decoded(coding, &body), page().into_bytes(), "{path} {coding}");
        }
        let (head, body) = ask(&edge, "GET", "/empty", "1.1", &[&takes]).await;
        assert_eq!(fields(&head, "content-encoding"), [coding], "{head}");
        assert_eq!(decoded(coding, &body), b"");
    }
    let (head, _) = ask(&edge, "GET", "/page", "1.1", &["accept-encoding: gzip;q=0.5, br"]).await;
    assert_eq!(
        (fields(&head, "content-encoding"), fields(&head, "etag")),
        (vec!["br"], vec!["W/\"v1\""])
    );
}

#[tokio::test]
async fn what_is_not_to_be_coded_goes_on_as_it_is() {
    let (_origin, edge) = before("compression = {}\n").await;
    let all = "accept-encoding: zstd, br, gzip";
    for path in ["/small", "/image", "/coded", "/kept", "/part"] {
        let (head, body) = ask(&edge, "GET", path, "1.1", &[all]).await;
        let coding: &[&str] = if path == "/coded" { &["gzip"] } else { &[] };
        assert_eq!(fields(&head, "content-encoding"), coding, "{path} {head}");
        assert!(fields(&head, "vary").is_empty(), "{path} {head}");
        let length = body.len().to_string();
        assert_eq!(fields(&head, "content-length"), [length], "{path} {head}");
        assert!(body == page().as_bytes() || path == "/small");
    }
    // Caches have to know, whoever asked first.
    for (version, lines) in
        [("1.1", &[][..]), ("1.1", &["accept-encoding: identity"]), ("1.0", &[all])]
    {
        let (head, body) = ask(&edge, "GET", "/page", version, lines).await;
        assert!(fields(&head, "content-encoding").is_empty(), "{head}");
        assert_eq!(fields(&head, "vary"), ["accept-encoding"], "{head}");
        assert_eq!(
            (fields(&head, "etag"), body),
            (vec!["\"v1\""], page().into_bytes()),
            "{version}"
        );
    }
    // A `HEAD` is told what a `GET` would be.
    let (head, body) = ask(&edge, "HEAD", "/page", "1.1", &[all]).await;
    assert_eq!(
        (fields(&head, "content-encoding"), fields(&head, "etag")),
        (vec!["zstd"], vec!["W/\"v1\""])
    );
    assert!(fields(&head, "content-length").is_empty() && body.is_empty(), "{head}");
    // Half of one is no whole one.
    let mut client = edge.client().await;
    client.send(format!("GET /cut HTTP/1.1\r\nhost: shop.test\r\n{all}\r\n\r\n")).await;
    let bytes = client.rest().await;
    assert!(!bytes.ends_with(b"0\r\n\r\n"), "it was cut: {}", bytes.len());
}

#[tokio::test]
async fn a_client_is_told_of_what_it_was_given_that_it_still_holds() {
    let (_origin, edge) = before("compression = {}\n").await;
    let all = "accept-encoding: zstd, br, gzip";
    for (path, tag, told, varies) in [
        ("/304", "W/\"v1\"", "W/\"v1\"", true),
        // It was given what was never coded, or before anything was.
        ("/304", "\"v1\"", "\"v1\"", false),
        ("/304", "*", "\"v1\"", false),
        ("/304-html", "\"v1\"", "\"v1\"", true),
    ] {
        let asked = format!("if-none-match: {tag}");
        let (head, body) = ask(&edge, "GET", path, "1.1", &[all, &asked]).await;
        assert!(head.starts_with("HTTP/1.1 304") && body.is_empty(), "{head}");
        assert_eq!(fields(&head, "etag"), [told], "{path} {tag} {head}");
        assert_eq!(fields(&head, "vary"), vec!["accept-encoding"; usize::from(varies)], "{head}");
        assert!(fields(&head, "content-encoding").is_empty(), "{head}");
    }
}

#[tokio::test]
async fn what_a_route_says_of_an_answer_is_what_the_client_gets() {
    let page = page();
    let plain = ["content-type: text/html", "etag: \"v1\"", "vary: cookie"];
    let origin = Origin::always(Reply::head("200 OK", &plain, &page)).await;
    let rules = [
        ("own", r#"set = { etag = '"own"', vary = "origin", cache-control = "max-age=5" }"#),
        ("more", r#"add = { vary = "origin" }"#),
        ("less", r#"remove = ["etag", "vary"]"#),
        ("kept", r#"set = { cache-control = "no-transform" }"#),
    ];
    let routes: String = rules
        .iter()
        .map(|(path, rule)| {
            let head = format!("[[routes]]\npath_prefix = \"/{path}\"\nservice = \"shop\"");
            format!("{head}\n[routes.response]\n{rule}\n")
        })
        .collect();
    let shop = shop(&[("only", &origin)], "compression = {}\n");
    let edge = crate::http2::edge(&format!("{routes}[[routes]]\nservice = \"shop\"\n{shop}")).await;
    let weak = "W/\"v1\"";
    for (path, coding, tags, vary) in [
        ("/", Some("gzip"), &[weak][..], &["cookie", "accept-encoding"][..]),
        ("/own", Some("gzip"), &["\"own\""], &["origin"]),
        ("/more", Some("gzip"), &[weak], &["cookie", "origin", "accept-encoding"]),
        ("/less", Some("gzip"), &[], &[]),
        ("/kept", None, &["\"v1\""], &["cookie"]),
    ] {
        let (head, body) = ask(&edge, "GET", path, "1.1", &["accept-encoding: gzip"]).await;
        assert_eq!(fields(&head, "content-encoding"), coding.as_slice(), "{path} {head}");
        assert_eq!(fields(&head, "etag"), tags, "{path} {head}");
        assert_eq!(fields(&head, "vary"), vary, "{path} {head}");
        match coding {
            Some(coding) => assert_eq!(decoded(coding, &body), page.as_bytes(), "{path}"),
            None => assert_eq!(body, page.as_bytes(), "{path}"),
        }
        let client = Http2Client::connect(edge.address).await;
        let request = client.request(Method::GET, path, &[("accept-encoding", "gzip")]);
        let got = whole(client.begin(request, true).await.0).await.unwrap();
        assert_eq!(got.field("content-encoding"), coding, "{path}");
        assert_eq!(got.field("etag"), tags.first().copied(), "{path}");
    }
}

#[tokio::test]
async fn nothing_is_coded_unless_the_service_says_so() {
    let (_origin, edge) = before("").await;
    let (head, body) = ask(&edge, "GET", "/page", "1.1", &["accept-encoding: gzip"]).await;
    assert!(
        fields(&head, "content-encoding").is_empty() && fields(&head, "vary").is_empty(),
        "{head}"
    );
    assert_eq!((fields(&head, "etag"), body), (vec!["\"v1\""], page().into_bytes()));
}

#[tokio::test]
async fn a_client_of_http2_gets_it_in_frames() {
    let origin = Origin::always(Reply::head("200 OK", &["content-type: text/html"], &page())).await;
    let head = HEAD.replace("[admin]", "speaks = [\"http1\", \"h2\"]\n[admin]");
    let text = format!(
        "{head}{}",
        shop(&[("only", &origin)], "compression.codings = [\"br\", \"gzip\"]\n")
    );
    let edge = Edge::start_file(&text, false).await;
    let client = Http2Client::connect(edge.address).await;
    let request = client.request(Method::GET, "/", &[("accept-encoding", "gzip, zstd")]);
    let got = whole(client.begin(request, true).await.0).await.unwrap();
    assert_eq!((got.field("content-encoding"), got.field("content-length")), (Some("gzip"), None));
    assert_eq!(decoded("gzip", &got.body), page().into_bytes());
}

#[tokio::test]
async fn who_tells_bit_by_bit_is_heard_bit_by_bit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Streams are coded only where they are named.
    let compression = "compression = { codings = \"gzip\", types = \"text/event-stream\" }\n";
    let edge = Edge::start(&shop_at(&[("only", &[address])], compression)).await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nhost: shop.test\r\naccept-encoding: gzip\r\n\r\n").await;
    // Connect checks come and say nothing.
    let mut upstream = loop {
        let (mut upstream, _) = listener.accept().await.unwrap();
        if upstream.read(&mut [0; 4_096]).await.unwrap_or(0) > 0 {
            break upstream;
        }
    };
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    upstream.write_all(head.as_bytes()).await.unwrap();
    let (mut got, mut wanted) = (Vec::new(), String::new());
    for nth in 0..3 {
        let event = format!("data: {nth}\n\n");
        wanted.push_str(&event);
        upstream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
        // It comes before the next one is sent.
        loop {
            got.extend(client.bytes(1).await);
            if reads(&got, wanted.as_bytes()) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_tells_of_the_bytes_that_came_in_does_not_come_behind_others() {
    let page = page();
    let behind = "X-Sum: 1\r\nRepr-Digest: sha-256=:x:\r\nDigest: sha-256=x\r\nETag: \"v1\"\r\n";
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntrailer: digest\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{page}\r\n0\r\n{behind}\r\n",
        page.len()
    );
    let origin = Origin::always(Reply::Bytes(answer.into())).await;
    let lines = format!(
        "[[routes]]\nservice = \"shop\"\n{}",
        shop(&[("only", &origin)], "compression = {}\n")
    );
    let edge = crate::http2::edge(&lines).await;
    for (takes, wanted) in [("identity", behind), ("gzip", "X-Sum: 1\r\n")] {
        let mut client = edge.client().await;
        let head = "GET / HTTP/1.1\r\nhost: shop.test\r\nte: trailers\r\nconnection: close";
        client.send(format!("{head}\r\naccept-encoding: {takes}\r\n\r\n")).await;
        let bytes = client.rest().await;
        let end = bytes.windows(5).rposition(|window| window == b"\r\n0\r\n").unwrap() + 5;
        let got = String::from_utf8_lossy(&bytes[end..]);
        assert_eq!(got, format!("{wanted}\r\n"), "{takes}");
        let client = Http2Client::connect(edge.address).await;
        let request = client.request(Method::GET, "/", &[("accept-encoding", takes)]);
        let got = whole(client.begin(request, true).await.0).await.unwrap();
        assert_eq!(got.trailers.len(), wanted.lines().count(), "{takes} {:?}", got.trailers);
    }
}

/// Bodies that are coded at once (`src/wire/lane/coder.rs`).
const MOST: usize = 256;

/// The head of an answer of which more is to come.
async fn begun(edge: &Edge) -> (Client, String) {
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nhost: shop.test\r\naccept-encoding: gzip\r\n\r\n").await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.bytes(1).await);
    }
    (client, String::from_utf8(head).unwrap())
}

#[tokio::test]
async fn while_many_answers_are_coded_others_go_on_as_they_are() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n";
    let origin = Origin::always(Reply::Bytes(head.into())).await;
    let edge = Edge::before(&[("only", &origin)], "compression = {}\n").await;
    let mut coded = Vec::new();
    for nth in 0..MOST {
        let (client, head) = begun(&edge).await;
        assert_eq!(fields(&head, "content-encoding"), ["gzip"], "{nth} {head}");
        coded.push(client);
    }
    let (_, head) = begun(&edge).await;
    assert!(fields(&head, "content-encoding").is_empty(), "{head}");
    assert_eq!(fields(&head, "vary"), ["accept-encoding"], "{head}");
    // Who leaves makes room, as soon as that is noticed.
    coded.pop();
    let again = async {
        loop {
            let (client, head) = begun(&edge).await;
            if fields(&head, "content-encoding") == ["gzip"] {
                return client;
            }
        }
    };
    let again = tokio::time::timeout(crate::harness::PATIENCE, again).await.expect("there is room");
    drop((again, coded));
}

/// Whether so much of a coded stream has come, in whole chunks, that this can be read.
fn reads(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let (mut rest, mut body) = (&bytes[end + 4..], Vec::new());
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let Some(piece) = rest.get(line + 2..line + 2 + size) else { break };
        body.extend_from_slice(piece);
        rest = rest.get(line + 4 + size..).unwrap_or_default();
    }
    let mut text = vec![0; wanted.len()];
    flate2::read::GzDecoder::new(&body[..]).read_exact(&mut text).is_ok() && text == wanted
}
