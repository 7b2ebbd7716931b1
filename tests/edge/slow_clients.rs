//! Clients that take their time in every way there is, and others beside them that are served all the same.
//!
//! `SLOW_CLIENTS=10000` has that many come instead of a hundred, and `SLOW_SECONDS=60` has them stay for so
//! long; the memory of the process is told then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use crate::harness::running::{file, free};
use crate::harness::{Client, Installed, alone, until};
use crate::http2::frames::{self, ACK, PREFACE, SETTINGS, WINDOW};
use crate::http2::peer;
use crate::tls::certificates::{Authority, Files};

/// Between two bytes of a slow client.
const GAP: Duration = Duration::from_secs(1);

/// More than all buffers on the way hold together.
const LARGE: usize = 8 * 1024 * 1024;

/// How a client takes its time.
#[derive(Clone, Copy, Debug)]
enum Slow {
    /// A byte of its head in a second.
    Head,
    /// A byte of its body in a second.
    Body,
    /// It asks for much and reads nothing of it.
    Reader,
    /// The same in HTTP/2: there is never room for an answer.
    Window,
    /// A byte of its hello in a second.
    Hello,
    /// A byte of its head in a second, by TLS.
    SecretHead,
    /// It asks for much by TLS and reads nothing of it.
    SecretReader,
}

const KINDS: [Slow; 7] = [
    Slow::Head,
    Slow::Body,
    Slow::Reader,
    Slow::Window,
    Slow::Hello,
    Slow::SecretHead,
    Slow::SecretReader,
];

/// Where they go.
#[derive(Clone)]
struct Doors {
    plain: SocketAddr,
    secret: SocketAddr,
    clients: Arc<ClientConfig>,
}

/// A client's end, whatever is around it.
trait End: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {
    /// Whether the other end has broken it off.
    fn is_broken(&self) -> bool;
}

impl End for tokio::net::TcpStream {
    fn is_broken(&self) -> bool {
        self.take_error().is_ok_and(|error| error.is_some())
    }
}

impl End for tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    fn is_broken(&self) -> bool {
        self.get_ref().0.is_broken()
    }
}

/// What has happened.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    /// Slow clients that are there.
    here: AtomicU64,
    /// Those that were sent away.
    sent_away: AtomicU64,
    /// Answers that good clients got.
    served: AtomicU64,
}

impl Seen {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Answers a little, or a lot if that is asked for.
async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = Vec::new();
                while stream.read_buf(&mut read).await.is_ok_and(|length| length > 0) {
                    while let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
                        let is_large = read.starts_with(b"GET /large");
                        let is_upload = read.starts_with(b"POST");
                        read.drain(..end + 4);
                        // Of an upload all is read and nothing answered.
                        if is_upload {
                            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                            return;
                        }
                        let length = if is_large { LARGE } else { 2 };
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                        let answer = [head.into_bytes(), vec![b'x'; length]].concat();
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

/// One slow client after the other, until it is over.
async fn be_slow(to: Doors, kind: Slow, seen: Arc<Seen>) {
    while !seen.is_over() {
        let socket = TcpSocket::new_v4().unwrap();
        if matches!(kind, Slow::Reader | Slow::Window | Slow::SecretReader) {
            socket.set_recv_buffer_size(4_096).unwrap();
        }
        let is_secret = matches!(kind, Slow::Hello | Slow::SecretHead | Slow::SecretReader);
        let Ok(tcp) = socket.connect(if is_secret { to.secret } else { to.plain }).await else {
            sleep(GAP).await;
            continue;
        };
        let mut stream: Box<dyn End> = match kind {
            Slow::SecretHead | Slow::SecretReader => {
                let connector = TlsConnector::from(to.clients.clone());
                match connector.connect("shop.test".try_into().unwrap(), tcp).await {
                    Ok(tls) => Box::new(tls),
                    Err(_) => continue,
                }
            }
            _ => Box::new(tcp),
        };
        let first = match kind {
            // A record, a hello, and no more of it.
            Slow::Hello => vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3],
            Slow::Head | Slow::SecretHead => {
                b"GET / HTTP/1.1\r\nhost: shop.test\r\nx-slow: ".to_vec()
            }
            Slow::Body => {
                b"POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 100000\r\n\r\n".to_vec()
            }
            Slow::Reader | Slow::SecretReader => {
                b"GET /large HTTP/1.1\r\nhost: shop.test\r\n\r\n".to_vec()
            }
            Slow::Window => [
                PREFACE,
                &frames::settings(&[(WINDOW, 0)]),
                &frames::frame(SETTINGS, ACK, 0, b""),
                &frames::get_of(1, "/large"),
            ]
            .concat(),
        };
        if stream.write_all(&first).await.is_err() || stream.flush().await.is_err() {
            continue;
        }
        seen.here.fetch_add(1, Ordering::Relaxed);
        let was_sent_away = dawdle(&mut *stream, kind, &seen).await;
        seen.here.fetch_sub(1, Ordering::Relaxed);
        seen.sent_away.fetch_add(u64::from(was_sent_away), Ordering::Relaxed);
    }
}

/// Takes its time until it is sent away, or all is over; whether it was sent away.
async fn dawdle(stream: &mut dyn End, kind: Slow, seen: &Seen) -> bool {
    while !seen.is_over() {
        match kind {
            Slow::Head | Slow::Body | Slow::Hello | Slow::SecretHead => {
                // A client that is told to go may not see it in what it reads first.
                let read = timeout(GAP, stream.read(&mut [0; 512])).await;
                let is_over = matches!(read, Ok(Ok(0) | Err(_)));
                if is_over || stream.write_all(b"x").await.is_err() || stream.flush().await.is_err()
                {
                    return true;
                }
            }
            Slow::Reader | Slow::Window | Slow::SecretReader => {
                sleep(GAP).await;
                // It reads nothing, and is told of a reset by nothing else.
                if stream.is_broken() {
                    return true;
                }
            }
        }
    }
    false
}

/// Asks by HTTP/1.1, each tenth time on a new connection.
async fn ask(to: SocketAddr, seen: Arc<Seen>) -> Duration {
    let (mut client, mut longest, mut asked) = (Client::connect(to).await, Duration::ZERO, 0_u32);
    while !seen.is_over() {
        let sent = Instant::now();
        asked += 1;
        if asked.is_multiple_of(10) {
            client = Client::connect(to).await;
        }
        client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        let answer = client.response().await;
        assert_eq!((answer.status, &*answer.body), (200, "xx"));
        longest = longest.max(sent.elapsed());
        seen.served.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(2)).await;
    }
    longest
}

/// The same by HTTP/2.
async fn ask_by_http2(to: SocketAddr, seen: Arc<Seen>) -> Duration {
    let (mut client, mut longest, mut asked) =
        (peer::Client::connect(to).await, Duration::ZERO, 0_u32);
    while !seen.is_over() {
        let sent = Instant::now();
        asked += 1;
        if asked.is_multiple_of(10) {
            client = peer::Client::connect(to).await;
        }
        let got = client.get("/").await;
        assert_eq!((got.status, &got.body[..]), (200, &b"xx"[..]));
        longest = longest.max(sent.elapsed());
        seen.served.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(2)).await;
    }
    longest
}

/// Memory that a process holds, in KiB.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_his_time_keeps_nobody_from_being_served() {
    let _alone = alone().await;
    let (clients, stay) = (number("SLOW_CLIENTS").unwrap_or(100), number("SLOW_SECONDS"));
    let upstream = origin().await;
    let (files, authority, secret) = (Files::new(), Authority::new("ours"), free());
    let shop = files.issue("shop", &authority, &["shop.test"]);
    let services = format!(
        "[services.shop.pools.only]\nupstreams = [\"{upstream}\"]\n\
         [[listeners]]\naddress = \"{secret}\"\ntls.certificates = [{{ {shop} }}]\n"
    );
    let (text, listen, admin) = file("", &services);
    let address = format!("address = \"{listen}\"\n");
    let speaks = format!("{address}speaks = [\"http1\", \"h2\"]\n");
    let installed = Installed::start(&text.replacen(&address, &speaks, 1), admin).await;
    let doors = Doors { plain: listen, secret, clients: Arc::new(authority.clients()) };
    let (seen, mut slow) = (Arc::<Seen>::default(), JoinSet::new());
    let before = resident(installed.last());
    for (_, kind) in (0..clients).zip(KINDS.into_iter().cycle()) {
        slow.spawn(be_slow(doors.clone(), kind, seen.clone()));
        // As they would come: not all in one moment.
        sleep(Duration::from_micros(500)).await;
    }
    until("all of them are there", async || seen.here.load(Ordering::Relaxed) >= clients * 19 / 20)
        .await;
    let mut good = JoinSet::new();
    for _ in 0..2 {
        good.spawn(ask(listen, seen.clone()));
        good.spawn(ask_by_http2(listen, seen.clone()));
    }
    let mut most = resident(installed.last());
    let begun = Instant::now();
    let goes_on = || match stay {
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
        None => seen.served.load(Ordering::Relaxed) < 400,
    };
    while goes_on() && good.len() == 4 {
        sleep(Duration::from_millis(20)).await;
        most = most.max(resident(installed.last()));
        // One that fails ends it at once.
        if let Some(ended) = good.try_join_next() {
            panic!("{ended:?}");
        }
    }
    let here = seen.here.load(Ordering::Relaxed);
    seen.over.store(true, Ordering::Relaxed);
    let longest = good.join_all().await.into_iter().max().unwrap();
    let (served, sent_away) =
        (seen.served.load(Ordering::Relaxed), seen.sent_away.load(Ordering::Relaxed));
    println!(
        "{clients} slow clients, {here} of them there at the end, {sent_away} sent away: {served} good \
         requests served, the longest in {longest:?}; {before} KiB of memory before, {most} at most, \
         {} for each slow client",
        most.saturating_sub(before) / clients.max(1)
    );
    assert!(served >= 100, "{served}");
    slow.abort_all();
}
