//! TLS as bytes that no library would send: hellos built here, cut and wrong in every way.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Shop;
use crate::harness::PATIENCE;

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const CIPHER_CHANGE: u8 = 20;

/// What a hello of a client says (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2).
#[derive(Clone)]
struct Hello {
    version: u16,
    suites: Vec<u16>,
    compressions: Vec<u8>,
    extensions: Vec<(u16, Vec<u8>)>,
}

fn with_length16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn words(words: &[u16]) -> Vec<u8> {
    with_length16(&words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>())
}

/// The extension that names these hosts, each by a name of type 0.
fn names(names: &[&[u8]]) -> (u16, Vec<u8>) {
    let list: Vec<u8> =
        names.iter().flat_map(|name| [&[0], &with_length16(name)[..]].concat()).collect();
    (0, with_length16(&list))
}

fn protocols(names: &[&[u8]]) -> (u16, Vec<u8>) {
    let list: Vec<u8> =
        names.iter().flat_map(|name| [&[name.len() as u8], *name].concat()).collect();
    (16, with_length16(&list))
}

impl Hello {
    /// One of TLS 1.2 that is good, for this host.
    fn of_1_2(host: &[u8]) -> Hello {
        Hello {
            version: 0x0303,
            suites: vec![0xc02b, 0xc02f],
            compressions: vec![0],
            extensions: vec![
                names(&[host]),
                (10, words(&[29, 23])),
                (11, vec![1, 0]),
                (13, words(&[0x0403, 0x0804, 0x0401])),
                (23, vec![]),
            ],
        }
    }

    /// One that has nothing in common with an old server: TLS 1.3 alone, a key of X25519.
    fn of_1_3(host: &[u8]) -> Hello {
        let mut hello = Hello::of_1_2(host);
        hello.suites = vec![0x1301];
        let share = [&29_u16.to_be_bytes()[..], &with_length16(&[9; 32])].concat();
        hello.extensions.extend([(43, vec![2, 3, 4]), (51, with_length16(&share))]);
        hello
    }

    fn set(mut self, (kind, bytes): (u16, Vec<u8>)) -> Hello {
        self.extensions.retain(|(known, _)| *known != kind);
        self.extensions.push((kind, bytes));
        self
    }

    /// The message, without records around it.
    fn message(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, bytes)| [&kind.to_be_bytes(), &with_length16(bytes)[..]].concat())
            .collect();
        let body = [
            &self.version.to_be_bytes()[..],
            &[7; 32],
            &[0],
            &words(&self.suites),
            &[self.compressions.len() as u8],
            &self.compressions,
            &with_length16(&extensions),
        ]
        .concat();
        let [_, length @ ..] = (body.len() as u32).to_be_bytes();
        [&[1], &length[..], &body].concat()
    }

    fn record(&self) -> Vec<u8> {
        record(HANDSHAKE, &self.message())
    }
}

fn record(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1], &with_length16(bytes)[..]].concat()
}

/// What the server says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Its hello, which takes this suite.
    Hello(u16),
    /// An alert, by its number (RFC 8446 section 6).
    Alert(u8),
    /// Nothing: the connection ends.
    Nothing,
}

const UNEXPECTED: Said = Said::Alert(10);
const HANDSHAKE_FAILURE: Said = Said::Alert(40);
const ILLEGAL: Said = Said::Alert(47);
const DECODE: Said = Said::Alert(50);
const VERSION: Said = Said::Alert(70);
const UNKNOWN_NAME: Said = Said::Alert(112);
const NO_PROTOCOL: Said = Said::Alert(120);

/// What is said to these bytes, which are written one piece after the other.
async fn ask(to: SocketAddr, pieces: &[Vec<u8>]) -> Said {
    let mut socket = TcpStream::connect(to).await.unwrap();
    socket.set_nodelay(true).unwrap();
    for piece in pieces {
        // It may have been told to go already.
        if socket.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut head = [0; 5];
    let read = timeout(PATIENCE, socket.read_exact(&mut head)).await.expect("an end in time");
    if read.is_err() {
        return Said::Nothing;
    }
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    let read = socket.read_exact(&mut body).await;
    assert!(read.is_ok(), "it begins so and ends: {:?}", head.escape_ascii().to_string());
    match (head[0], &body[..]) {
        (ALERT, [_, what]) => Said::Alert(*what),
        // Type, length, version, random, an id with its length, suite.
        (HANDSHAKE, [2, _, _, _, rest @ ..]) => {
            let behind = 2 + 32 + 1 + usize::from(rest[34]);
            Said::Hello(u16::from_be_bytes([rest[behind], rest[behind + 1]]))
        }
        other => panic!("{other:?}"),
    }
}

async fn ask_once(to: SocketAddr, hello: &Hello) -> Said {
    ask(to, &[hello.record()]).await
}

#[tokio::test]
async fn a_hello_is_one_however_it_is_cut_into_records_and_pieces() {
    let shop = Shop::start().await;
    let to = shop.edge.address;
    for (hello, suite) in
        [(Hello::of_1_2(b"shop.test"), 0xc02b), (Hello::of_1_3(b"shop.test"), 0x1301)]
    {
        let message = hello.message();
        for size in [1, 2, 3, 7, 40, message.len()] {
            let records: Vec<_> =
                message.chunks(size).map(|part| record(HANDSHAKE, part)).collect();
            assert_eq!(ask(to, &records).await, Said::Hello(suite), "records of {size}");
            let bytes = records.concat();
            assert_eq!(
                ask(to, std::slice::from_ref(&bytes)).await,
                Said::Hello(suite),
                "at once, {size}"
            );
            let odd: Vec<_> = bytes.chunks(size + 2).map(<[u8]>::to_vec).collect();
            assert_eq!(ask(to, &odd).await, Said::Hello(suite), "cut elsewhere, {size}");
        }
        // Something in between is no part of it.
        let (first, rest) = message.split_at(20);
        let between = [record(HANDSHAKE, first), record(ALERT, &[1, 0]), record(HANDSHAKE, rest)];
        let said = ask(to, &between).await;
        assert!(matches!(said, Said::Alert(_) | Said::Nothing), "an alert in the middle: {said:?}");
    }
    assert_eq!(shop.connect("shop.test").await.get("shop.test", &[]).await.status, 200);
}

#[tokio::test]
async fn a_name_is_one_name_and_is_a_name() {
    let shop = Shop::with(|files, authority| {
        format!("certificates = [{{ {} }}]", files.issue("shop", authority, &["shop.test"]))
    })
    .await;
    let to = shop.edge.address;
    let of = |names| Hello::of_1_2(b"").set(names);
    for (said, name) in [
        (Said::Hello(0xc02b), &b"shop.test"[..]),
        (Said::Hello(0xc02b), b"SHOP.TEST"),
        (UNKNOWN_NAME, b"pay.test"),
        (UNKNOWN_NAME, b"shop.test.evil.test"),
        // An address is no name: it is as if none had been said.
        (UNKNOWN_NAME, b"192.0.2.1"),
    ] {
        assert_eq!(ask_once(to, &of(names(&[name]))).await, said, "{}", name.escape_ascii());
    }
    for name in [
        &b""[..],
        b"shop.test\0",
        b"shop test",
        b"shop.test\0.evil.test",
        &[0xff; 9],
        b".",
        b"a..b",
    ] {
        let said = ask_once(to, &of(names(&[name]))).await;
        assert!(matches!(said, Said::Alert(_)), "{}: {said:?}", name.escape_ascii());
    }
    for two in [
        [&b"shop.test"[..], b"pay.test"],
        [b"pay.test", b"shop.test"],
        [b"shop.test", b"shop.test"],
    ] {
        let said = ask_once(to, &of(names(&two))).await;
        assert!(matches!(said, Said::Alert(_)), "two names: {said:?}");
    }
    // The extension twice, and one that is longer than it says.
    let mut twice = Hello::of_1_2(b"shop.test");
    twice.extensions.push(names(&[b"pay.test"]));
    let said = ask_once(to, &twice).await;
    assert!(matches!(said, Said::Alert(_)), "{said:?}");
    let (kind, mut bytes) = names(&[b"shop.test"]);
    bytes.extend(b"more");
    let said = ask_once(to, &of((kind, bytes))).await;
    assert!(matches!(said, Said::Alert(_)), "{said:?}");
    assert_eq!(shop.connect("shop.test").await.get("shop.test", &[]).await.status, 200);
}

#[tokio::test]
async fn what_is_spoken_inside_is_agreed_on_or_refused() {
    let shop = Shop::start().await;
    let to = shop.edge.address;
    let of = |spoken: &[&[u8]]| Hello::of_1_2(b"shop.test").set(protocols(spoken));
    for (said, spoken) in [
        (Said::Hello(0xc02b), &[&b"h2"[..]][..]),
        (Said::Hello(0xc02b), &[b"http/1.1"]),
        (Said::Hello(0xc02b), &[b"spdy/3", b"http/1.1"]),
        (NO_PROTOCOL, &[b"spdy/3"]),
        // Not the same by case or by a part of it.
        (NO_PROTOCOL, &[b"H2", b"HTTP/1.1"]),
        (NO_PROTOCOL, &[b"h2c", b"http/1", b"http/1.1 "]),
    ] {
        assert_eq!(ask_once(to, &of(spoken)).await, said, "{spoken:?}");
    }
    for spoken in [&[][..], &[&b""[..]], &[&b"h2"[..], b""]] {
        let said = ask_once(to, &of(spoken)).await;
        assert!(matches!(said, Said::Alert(_)), "{spoken:?}: {said:?}");
    }
}

/// The suites of Mozilla's intermediate list (version 5.7) that we have: no older ones, none without forward
/// secrecy, no CBC.
const GOOD: [u16; 6] = [0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9];

#[tokio::test]
async fn no_suite_is_taken_that_is_not_good_and_no_version_that_is_old() {
    let shop = Shop::start().await;
    let to = shop.edge.address;
    let mut taken = BTreeSet::new();
    // All that are assigned and could be asked for in TLS 1.2.
    let known = (0..=0x00c7).chain(0xc001..=0xc0b5).chain(0xcca8..=0xccae).chain(0xd001..=0xd005);
    for suite in known {
        let mut hello = Hello::of_1_2(b"shop.test");
        hello.suites = vec![suite];
        match ask_once(to, &hello).await {
            Said::Hello(same) => assert!(same == suite && taken.insert(suite)),
            said => assert_eq!(said, HANDSHAKE_FAILURE, "{suite:#06x}"),
        }
    }
    // The certificate's key is of ECDSA.
    let mine: BTreeSet<u16> = taken.iter().copied().collect();
    assert!(!mine.is_empty() && mine.iter().all(|suite| GOOD.contains(suite)), "{mine:x?}");
    // A bad one beside a good one is not the one.
    let mut both = Hello::of_1_2(b"shop.test");
    both.suites = vec![0x0005, 0x000a, 0xc009, 0xc02b];
    assert_eq!(ask_once(to, &both).await, Said::Hello(0xc02b));
    for version in [0x0300, 0x0301, 0x0302] {
        let mut old = Hello::of_1_2(b"shop.test");
        old.version = version;
        assert_eq!(ask_once(to, &old).await, VERSION, "{version:#06x}");
        // Nor where the list says so, whatever the old field says.
        let listed = [&[2], &version.to_be_bytes()[..]].concat();
        let said = ask_once(to, &Hello::of_1_2(b"shop.test").set((43, listed))).await;
        assert_eq!(said, VERSION, "{version:#06x}");
    }
}

#[tokio::test]
async fn what_is_no_hello_is_refused_in_few_words() {
    let shop = Shop::start().await;
    let to = shop.edge.address;
    let good = Hello::of_1_2(b"shop.test");
    let mut squeezed = good.clone();
    squeezed.compressions = vec![1];
    assert!(matches!(ask_once(to, &squeezed).await, ILLEGAL | DECODE | HANDSHAKE_FAILURE));
    // With none among others it is never used.
    squeezed.compressions = vec![1, 0];
    assert_eq!(ask_once(to, &squeezed).await, Said::Hello(0xc02b));
    // A message that says it is 16 MiB long: nobody waits for that, or keeps it.
    let large = record(HANDSHAKE, &[1, 255, 255, 255, 3, 3]);
    let said = ask(to, &[large]).await;
    assert!(matches!(said, Said::Alert(_) | Said::Nothing), "{said:?}");
    // Other messages first, other records first, and records without anything in them.
    let mut other = good.message();
    for kind in [0, 2, 11, 16, 20, 255] {
        other[0] = kind;
        let said = ask(to, &[record(HANDSHAKE, &other)]).await;
        assert!(matches!(said, UNEXPECTED | DECODE | Said::Nothing), "message {kind}: {said:?}");
    }
    for (kind, bytes) in
        [(CIPHER_CHANGE, &[1][..]), (23, b"GET / HTTP/1.1\r\n\r\n"), (24, &[1, 0, 9]), (200, b"x")]
    {
        let said = ask(to, &vec![record(kind, bytes); 40]).await;
        assert!(matches!(said, Said::Alert(_) | Said::Nothing), "record {kind}: {said:?}");
    }
    let said = ask(to, &vec![record(HANDSHAKE, b""); 100]).await;
    assert!(matches!(said, Said::Alert(_) | Said::Nothing), "{said:?}");
    // Warnings without an end.
    let said = ask(to, &vec![record(ALERT, &[1, 90]); 100]).await;
    assert!(matches!(said, Said::Alert(_) | Said::Nothing), "{said:?}");
    // Each byte of a hello changed: an answer or an alert, and nobody falls over.
    let bytes = good.record();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x55;
        let mut socket = TcpStream::connect(to).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let _ = timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await.expect("an end");
    }
    assert_eq!(shop.connect("shop.test").await.get("shop.test", &[]).await.status, 200);
    assert_eq!(shop.origin.asked(), 1, "nothing else has gone on");
}
