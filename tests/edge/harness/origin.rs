//! An origin that does as it is told and remembers what it was sent, byte for byte.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What to do with a request.
#[derive(Clone)]
pub enum Reply {
    /// Send these bytes and keep the connection.
    Bytes(Vec<u8>),
    /// Send these bytes after this many milliseconds and keep the connection.
    Late(Vec<u8>, u64),
    /// Send these bytes once the gate is open and keep the connection.
    Behind(Gate, Vec<u8>),
    /// Send these bytes and close.
    BytesThenClose(Vec<u8>),
    /// Send these bytes one by one, this many milliseconds apart, for ever.
    Drip(Vec<u8>, u64),
    /// Send these bytes, then every byte that comes back as it comes.
    Echo(Vec<u8>),
    /// Send nothing and keep the connection.
    Nothing,
    /// Close without a byte.
    Close,
    /// Send these bytes, then reset the connection.
    BytesThenReset(Vec<u8>),
}

impl Reply {
    /// 200 with this body.
    pub fn ok(body: &str) -> Reply {
        Reply::head("200 OK", &[], body)
    }

    /// The same bytes, this many milliseconds later.
    pub fn late(self, wait: u64) -> Reply {
        match self {
            Reply::Bytes(bytes) => Reply::Late(bytes, wait),
            other => other,
        }
    }

    /// The same bytes, once the gate is open.
    pub fn behind(self, gate: &Gate) -> Reply {
        match self {
            Reply::Bytes(bytes) => Reply::Behind(gate.clone(), bytes),
            other => other,
        }
    }

    /// A response with these field lines and a body of its own length.
    pub fn head(status: &str, fields: &[&str], body: &str) -> Reply {
        let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
        for field in fields {
            text.push_str(field);
            text.push_str("\r\n");
        }
        Reply::Bytes(format!("{text}\r\n{body}").into_bytes())
    }
}

/// Keeps answers back until the test opens it; then all go, and all later ones.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A gate that is closed.
    pub fn closed() -> Gate {
        Gate(Arc::new(Semaphore::new(0)))
    }

    /// Lets everybody through.
    pub fn open(&self) {
        // Whoever waits for a place in it is told that none will come.
        self.0.close();
    }

    /// Waits until it opens.
    pub async fn pass(&self) {
        let _ = self.0.acquire().await;
    }
}

/// One request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Request line and fields.
    pub head: String,
    /// Everything after the blank line that belonged to it, with its framing.
    pub body: Vec<u8>,
}

impl Received {
    /// The values of a field, in order.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        super::client::fields(&self.head, name)
    }
}

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The origin; ends with the test.
pub struct Origin {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    asked: Arc<AtomicU64>,
}

impl Origin {
    /// An origin that answers every request alike.
    pub async fn always(reply: Reply) -> Origin {
        Origin::with(move |_| reply.clone()).await
    }

    /// An origin that answers 200 with its name.
    pub async fn named(name: &str) -> Origin {
        Origin::always(Reply::ok(name)).await
    }

    /// An origin that accepts and never reads.
    pub async fn unread() -> Origin {
        Origin::unread_after(b"").await
    }

    /// An origin that sends these bytes after a first read and never reads again.
    pub async fn unread_after(bytes: &'static [u8]) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                if !bytes.is_empty() && stream.read(&mut [0; 4096]).await.is_ok() {
                    stream.write_all(bytes).await.unwrap();
                }
                held.push(stream);
            }
        });
        Origin { address, received: Arc::default(), asked: Arc::default() }
    }

    /// An origin that answers 200 with its name and remembers nothing, for long loads.
    pub async fn fast(name: &str) -> Origin {
        Origin::tireless(Reply::ok(name)).await
    }

    /// An origin that answers every request alike and remembers nothing but their number.
    pub async fn tireless(reply: Reply) -> Origin {
        Origin::at(ANYWHERE, move |_| reply.clone()).await
    }

    /// An origin whose answer depends on the request.
    pub async fn with(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Origin {
        Origin::start(ANYWHERE, script, true).await
    }

    /// An origin at this address that remembers nothing but the number of requests.
    pub async fn at(
        address: SocketAddr,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Origin {
        Origin::start(address, script, false).await
    }

    async fn start(
        address: SocketAddr,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
        remembers: bool,
    ) -> Origin {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let asked = Arc::<AtomicU64>::default();
        let script = Arc::new(script);
        let log = remembers.then(|| received.clone());
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (script, log, count) = (script.clone(), log.clone(), count.clone());
                tokio::spawn(async move {
                    let script = |request: &Received| {
                        count.fetch_add(1, Ordering::Relaxed);
                        script(request)
                    };
                    serve(stream, &script, log.as_deref()).await;
                });
            }
        });
        Origin { address, received, asked }
    }

    /// How many requests came so far.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The only request so far.
    pub fn only(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "{received:?}");
        received[0].clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    script: &(dyn Fn(&Received) -> Reply + Send + Sync),
    log: Option<&Mutex<Vec<Received>>>,
) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        log.iter().for_each(|log| log.lock().unwrap().push(request.clone()));
        let done = match script(&request) {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await.is_err(),
            Reply::Late(bytes, wait) => {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                stream.write_all(&bytes).await.is_err()
            }
            Reply::Behind(gate, bytes) => {
                gate.pass().await;
                stream.write_all(&bytes).await.is_err()
            }
            Reply::BytesThenClose(bytes) => {
                let _ = stream.write_all(&bytes).await;
                true
            }
            Reply::Drip(bytes, gap) => {
                for byte in bytes.iter().cycle() {
                    tokio::time::sleep(Duration::from_millis(gap)).await;
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
                true
            }
            Reply::Echo(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                true
            }
            Reply::Nothing => {
                let _ = stream.read(&mut [0; 1]).await;
                true
            }
            Reply::Close => true,
            Reply::BytesThenReset(bytes) => {
                let _ = stream.write_all(&bytes).await;
                // What has arrived may be thrown away with a reset that comes at its heels.
                tokio::time::sleep(Duration::from_millis(5)).await;
                let _ = stream.set_zero_linger();
                true
            }
        };
        if done {
            return;
        }
    }
    if let Some(log) = log.filter(|_| !buffer.is_empty()) {
        // What is left over when the connection ends was no request: let tests see it.
        let head = format!("LEFT OVER {}", buffer.escape_ascii());
        log.lock().unwrap().push(Received { head, body: Vec::new() });
    }
}

/// One request with its body; `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    loop {
        if let Some((request, length)) = complete(buffer) {
            buffer.drain(..length);
            return Some(request);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn complete(buffer: &[u8]) -> Option<(Received, usize)> {
    let end = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let rest = &buffer[end..];
    let length = match super::client::fields(&head, "transfer-encoding").is_empty() {
        true => {
            let length = super::client::fields(&head, "content-length").first().map_or("0", |v| v);
            length.parse().ok().filter(|n| rest.len() >= *n)?
        }
        // The last chunk, what may come behind it, and an empty line.
        false => {
            let last = match rest.starts_with(b"0\r\n") {
                true => 0,
                false => rest.windows(5).position(|w| w == b"\r\n0\r\n")? + 2,
            };
            last + rest[last..].windows(4).position(|w| w == b"\r\n\r\n")? + 4
        }
    };
    Some((Received { head, body: rest[..length].to_vec() }, end + length))
}
