//! What clients of HTTP/2 do to bring a server down: each is bounded by a count of what was sent, takes
//! little memory, and keeps nobody else from being served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::frames::*;
use super::peer::Client;
use super::raw::{Came, Raw};
use crate::harness::edge::shop_at;
use crate::harness::{Process, Running, client, running, until};

/// How many connections do the same at once.
const EACH: usize = 2;

/// Something that is sent over and over.
struct Flood {
    name: &'static str,
    /// What is sent before.
    before: Vec<u8>,
    /// What is sent the n-th time.
    frames: Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>,
    /// So many at once; a PING behind them tells when they have been read.
    at_once: u32,
    /// So many are taken at most, one batch more or less.
    most: u32,
}

fn flood(
    name: &'static str,
    most: u32,
    frames: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) -> Flood {
    Flood { name, before: Vec::new(), frames: Box::new(frames), at_once: 250, most }
}

impl Flood {
    fn behind(self, before: impl Into<Vec<u8>>) -> Flood {
        Flood { before: before.into(), ..self }
    }

    fn by(self, at_once: u32) -> Flood {
        Flood { at_once, ..self }
    }

    /// How many were sent before the connection ended, or one more than there may be.
    async fn play(&self, edge: SocketAddr) -> u32 {
        let mut raw = Raw::with(edge, &[(WINDOW, 0)]).await;
        raw.send(&self.before).await;
        let mut sent = 0;
        while sent <= self.most {
            let batch: Vec<u8> =
                (sent..sent + self.at_once).flat_map(|at| (self.frames)(at)).collect();
            let mark = u64::from(sent).to_be_bytes();
            if !raw.send(&[batch, ping(mark)].concat()).await {
                return sent;
            }
            loop {
                match raw.next().await {
                    Came::Frame(frame) if frame.kind == PING && frame.payload == mark => break,
                    Came::Frame(_) => {}
                    Came::End => return sent,
                    Came::Nothing => return self.most + 1,
                }
            }
            sent += self.at_once;
        }
        sent
    }
}

/// A stream for each.
fn stream(at: u32) -> u32 {
    2 * at + 1
}

/// What takes requests back, or has them taken back.
fn resets() -> Vec<Flood> {
    let both = |a: Vec<u8>, b: Vec<u8>| [a, b].concat();
    let short = || [request("POST"), field("content-length", "1")].concat();
    vec![
        flood("requests taken back at once", 0, move |at| {
            both(get(stream(at)), reset(stream(at), CANCEL))
        }),
        flood("requests taken back few by few", 2_000, move |at| {
            both(get(stream(at)), reset(stream(at), CANCEL))
        })
        .by(20),
        flood("uploads taken back few by few", 2_000, move |at| {
            both(post(stream(at)), reset(stream(at), CANCEL))
        })
        .by(20),
        flood("windows that overflow", 220, move |at| {
            let more = window(stream(at), (1 << 31) - 1);
            [post(stream(at)), more.clone(), more].concat()
        })
        .by(20),
        flood("windows that grow by nothing", 0, move |at| {
            both(post(stream(at)), window(stream(at), 0))
        })
        .by(20),
        flood("bodies behind their end", 0, move |at| {
            both(get(stream(at)), data(stream(at), END, b"x"))
        })
        .by(20),
        flood("bodies longer than they say", 220, move |at| {
            both(headers(stream(at), 0, &short()), data(stream(at), END, b"test"))
        })
        .by(20),
        flood("heads that depend on themselves", 220, |at| {
            let block = [dependency(stream(at), 1), request("GET")].concat();
            headers(stream(at), END | PRIORITISED, &block)
        })
        .by(20),
        flood("heads with a name in upper case", 0, |at| {
            headers(stream(at), END, &[request("GET"), field("X", "1")].concat())
        })
        .by(20),
        flood("trailers that do not end", 220, |at| {
            [post(stream(at)), headers(stream(at), 0, &field("x", "1"))].concat()
        })
        .by(20),
        flood("priorities that depend on themselves", 220, |at| {
            priority(stream(at), stream(at), 1)
        })
        .by(20),
        flood("bodies for what was reset", 9_000, |_| data(1, 0, b"x"))
            .behind(both(post(1), reset(1, CANCEL))),
        flood("resets of what was reset", 2_000, |_| reset(1, CANCEL))
            .behind(both(post(1), reset(1, CANCEL)))
            .by(20),
    ]
}

/// Frames that say nothing, or the same again.
fn empty() -> Vec<Flood> {
    const FEW: u32 = 20_000;
    let hundred: Vec<u8> = (0..100).flat_map(|at| get(stream(at))).collect();
    vec![
        flood("PING", FEW, |at| ping(u64::from(at).to_le_bytes())),
        flood("PING that acknowledges nothing", FEW, |_| frame(PING, ACK, 0, &[7; 8])),
        flood("SETTINGS", FEW, |_| settings(&[])),
        flood("SETTINGS of many values", FEW, |at| settings(&[(TABLE_SIZE, at % 4_096); 20])),
        flood("SETTINGS of windows", FEW, |at| settings(&[(WINDOW, at % 2)])),
        flood("SETTINGS that acknowledge nothing", 0, |_| frame(SETTINGS, ACK, 0, b"")),
        flood("WINDOW_UPDATE", FEW, |_| window(0, 1)),
        flood("WINDOW_UPDATE of a stream", FEW, |_| window(1, 1)).behind(post(1)),
        flood("PRIORITY", FEW, |at| priority(stream(at), 0, 1)),
        flood("PRIORITY of one stream", FEW, |at| priority(3, at % 2 * 5, 1)),
        flood("PRIORITY_UPDATE", FEW, |_| frame(0x10, 0, 0, b"\0\0\0\x01u=1")),
        flood("unknown frames", FEW, |_| frame(0x42, 0xff, 7, b"")),
        flood("unknown frames that are large", FEW, |_| frame(0x42, 0, 0, &[0; 1_024])),
        flood("GOAWAY", FEW, |_| goaway(NO_ERROR)),
        flood("GOAWAY with words", FEW, |_| frame(GOAWAY, 0, 0, &[0; 1_024])),
        flood("empty DATA", 200, |_| data(1, 0, b"")).behind(post(1)).by(20),
        flood("DATA of padding", 200, |_| data(1, PADDED, &padded(b"", 1))).behind(post(1)).by(20),
        flood("more requests than at once", 220, |at| get(stream(at + 100))).behind(hundred).by(20),
        flood("PUSH_PROMISE", 0, |at| {
            let promise = [&(at + 2).to_be_bytes()[..], &request("GET")].concat();
            frame(PUSH_PROMISE, WHOLE, 1, &promise)
        })
        .behind(post(1)),
    ]
}

/// Heads that never end, or become many times as long.
fn heads() -> Vec<Flood> {
    let open = || frame(HEADERS, END, 1, &request("GET"));
    // An entry of the table, and a reference to it: one octet is 4 kB.
    let entry = [&[0x40][..], &field("x", &"v".repeat(3_900))[1..]].concat();
    let bomb = [request("GET"), entry, vec![0xbe; 12_000]].concat();
    let crumb = [&[0x40][..], &field("cookie", "a=b")[1..]].concat();
    let crumbs = move || [request("GET"), crumb.clone(), vec![0xbe; 12_000]].concat();
    vec![
        flood("CONTINUATION", 0, |_| continuation(1, 0, &field("x", "1"))).behind(open()),
        flood("empty CONTINUATION", 0, |_| continuation(1, 0, b"")).behind(open()),
        flood("CONTINUATION of one octet", 0, |_| continuation(1, 0, b"\x82")).behind(open()),
        flood("CONTINUATION within a string that never ends", 0, |_| {
            continuation(1, 0, &[b'x'; 16_384])
        })
        .behind(frame(
            HEADERS,
            END,
            1,
            &[&request("GET")[..], b"\0\x01x\x7f\xff\xff\xff\x07"].concat(),
        )),
        flood("references to a large entry", 0, move |at| headers(stream(at), END, &bomb)).by(5),
        flood("crumbs of cookies", 0, move |at| headers(stream(at), END, &crumbs())).by(5),
        flood("a frame of 16 MB", 0, |_| {
            [&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1][..], &[0; 60_000]].concat()
        })
        .behind(post(1)),
    ]
}

/// Bytes of memory that a process has.
pub fn memory(process: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// One who asks as one should, for ever; `served` counts how often it was answered.
async fn ask_well(edge: SocketAddr, served: Arc<AtomicUsize>) {
    let client = Client::connect(edge).await;
    loop {
        let got = client.get("/").await;
        assert_eq!((got.status, &got.body[..]), (200, &b"fine"[..]));
        served.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn no_client_of_http2_takes_much_or_keeps_others_from_being_served() {
    // A process of its own, so that it is quick while all of these are played here.
    let origin = Process::start("fine").await;
    let listen = running::free();
    let services = format!(
        "[[listeners]]\naddress = \"{listen}\"\nspeaks = [\"h2\"]\n{}",
        shop_at(&[("only", &[origin.address])], "timeouts.connect = \"30s\"")
    );
    let edge = Running::start("workers = 2", &services).await;
    let served = Arc::new(AtomicUsize::new(0));
    let asking = tokio::spawn(ask_well(listen, served.clone()));
    let more_served = async || {
        let before = served.load(Ordering::Relaxed);
        until("others are served", async || {
            assert!(!asking.is_finished(), "one was not");
            served.load(Ordering::Relaxed) > before + 10
        })
        .await;
    };
    more_served().await;
    let before = memory(edge.id());
    let (wrong, mut playing) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for flood in resets().into_iter().chain(empty()).chain(heads()).map(Arc::new) {
        for _ in 0..EACH {
            let (flood, wrong) = (flood.clone(), wrong.clone());
            playing.spawn(async move {
                let sent = flood.play(listen).await;
                if sent > flood.most {
                    eprintln!("{}: {sent} were taken", flood.name);
                    wrong.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
    playing.join_all().await;
    let grown = memory(edge.id()).saturating_sub(before);
    more_served().await;
    assert_eq!(wrong.load(Ordering::Relaxed), 0, "see above");
    assert!(grown < 64 << 20, "{grown} bytes more");
    let metrics = client::get(edge.admin, "localhost", "/metrics", &[]).await.body;
    for reason in ["resets", "frames"] {
        let name = format!("pointsman_connections_limited_total{{reason=\"{reason}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
        assert!(count.parse::<usize>().unwrap() >= EACH, "{reason}: {count}");
    }
}
