//! An origin that keeps the bytes it gets and answers what is a request to a strict reader.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::models::{MODELS, Side};
use crate::harness::until;

/// What came on one connection.
#[derive(Clone, Default)]
pub struct Connection {
    pub bytes: Vec<u8>,
    has_ended: bool,
}

/// The origin.
pub struct Recorder {
    pub address: SocketAddr,
    connections: Arc<Mutex<Vec<Connection>>>,
}

impl Recorder {
    pub async fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<Vec<Connection>>>::default();
        let all = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let nth = {
                    let mut all = all.lock().unwrap();
                    all.push(Connection::default());
                    all.len() - 1
                };
                let all = all.clone();
                tokio::spawn(async move {
                    serve(stream, &all, nth).await;
                    all.lock().unwrap()[nth].has_ended = true;
                });
            }
        });
        Recorder { address, connections }
    }

    /// What came so far, connection by connection.
    pub fn lengths(&self) -> Vec<usize> {
        self.connections.lock().unwrap().iter().map(|one| one.bytes.len()).collect()
    }

    /// Waits until what has been written to it has been read: whoever comes later is heard later.
    async fn catch_up(&self) {
        for _ in 0..2 {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(HELLO).await.unwrap();
            stream.read_exact(&mut [0; HELLO.len()]).await.unwrap();
        }
    }

    /// What came behind this, once nothing is under way.
    pub async fn settled_behind(&self, lengths: &[usize]) -> Vec<Vec<u8>> {
        self.catch_up().await;
        let behind = || -> Vec<Connection> {
            let all = self.connections.lock().unwrap();
            let from = |nth: usize| lengths.get(nth).copied().unwrap_or_default();
            let cut = |(nth, one): (usize, &Connection)| {
                let bytes = one.bytes[from(nth)..].to_vec();
                Connection { bytes, has_ended: one.has_ended }
            };
            all.iter().enumerate().map(cut).filter(|one| !one.bytes.is_empty()).collect()
        };
        let is_done =
            |one: &Connection| one.has_ended || MODELS[0].read(&one.bytes, Side::Client).rest == 0;
        until("all connections rest", async || behind().iter().all(is_done)).await;
        behind().into_iter().map(|one| one.bytes).collect()
    }
}

/// What a test says to it, and hears back.
const HELLO: &[u8] = b"HELLO";

async fn serve(mut stream: TcpStream, all: &Mutex<Vec<Connection>>, nth: usize) {
    let (mut pending, mut is_early) = (Vec::new(), false);
    loop {
        let before = pending.len();
        if stream.read_buf(&mut pending).await.unwrap_or(0) == 0 {
            return;
        }
        if pending.starts_with(HELLO) {
            let _ = stream.write_all(HELLO).await;
            return;
        }
        all.lock().unwrap()[nth].bytes.extend_from_slice(&pending[before..]);
        let mut answers = Vec::new();
        let seen = MODELS[0].read(&pending, Side::Client);
        let rest = pending.split_off(pending.len() - seen.rest);
        pending = rest;
        for message in seen.messages {
            let body = if message.first.starts_with("HEAD ") { "" } else { "ok" };
            answers.extend(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}").bytes());
        }
        // The head is whole, the body is not.
        let has_head = pending.windows(4).any(|word| word == b"\r\n\r\n");
        if !is_early && has_head && pending.starts_with(b"POST /early ") {
            is_early = true;
            answers.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        if stream.write_all(&answers).await.is_err() {
            return;
        }
    }
}
