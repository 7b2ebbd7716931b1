//! A connection's bytes as messages; strict, as what an edge writes must be.

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::harness::client::fields;

/// One connection.
pub struct Stream {
    pub socket: TcpStream,
    buffer: Vec<u8>,
}

/// What came instead of what was waited for.
#[derive(Debug)]
pub enum Broken {
    /// The end, or a reset, before it was whole.
    Ended,
    /// Something that is no message.
    Malformed(String),
}

/// A body, and what came behind it.
pub type Body = (Vec<u8>, String);

impl Stream {
    pub fn of(socket: TcpStream) -> Stream {
        socket.set_nodelay(true).unwrap();
        Stream { socket, buffer: Vec::new() }
    }

    pub async fn more(&mut self) -> Result<(), Broken> {
        match self.socket.read_buf(&mut self.buffer).await {
            Ok(1..) => Ok(()),
            _ => Err(Broken::Ended),
        }
    }

    /// Whether nothing has come that was not read.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next head.
    pub async fn head(&mut self) -> Result<String, Broken> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|word| word == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..at + 4).collect();
                return String::from_utf8(head)
                    .map_err(|error| Broken::Malformed(error.to_string()));
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>, Broken> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn line(&mut self) -> Result<String, Broken> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|word| word == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).take(at).collect();
                return String::from_utf8(line)
                    .map_err(|error| Broken::Malformed(error.to_string()));
            }
            self.more().await?;
        }
    }

    /// The body behind this head. Without framing there is none, or all that comes.
    pub async fn body(&mut self, head: &str, until_end: bool) -> Result<Body, Broken> {
        let no = |what: &str| Broken::Malformed(format!("{what}: {head}"));
        let none = String::new();
        match (&fields(head, "content-length")[..], &fields(head, "transfer-encoding")[..]) {
            ([length], []) => {
                let length = length.parse().map_err(|_| no("length"))?;
                Ok((self.take(length).await?, none))
            }
            ([], ["chunked"]) => {
                let (mut body, mut trailers) = (Vec::new(), String::new());
                loop {
                    let line = self.line().await?;
                    let size = line.split(';').next().unwrap_or_default();
                    let size = usize::from_str_radix(size, 16).map_err(|_| no(&line))?;
                    if size == 0 {
                        break;
                    }
                    body.extend(self.take(size).await?);
                    if self.take(2).await? != b"\r\n" {
                        return Err(no("the end of a chunk"));
                    }
                }
                loop {
                    let line = self.line().await?;
                    if line.is_empty() {
                        return Ok((body, trailers));
                    }
                    trailers.push_str(&line);
                }
            }
            ([], []) if until_end => {
                let mut body = std::mem::take(&mut self.buffer);
                self.socket.read_to_end(&mut body).await.map_err(|_| Broken::Ended)?;
                Ok((body, none))
            }
            ([], []) => Ok((Vec::new(), none)),
            _ => Err(no("two framings")),
        }
    }

    /// Writes it, in as many pieces as the dice say; whether all of it was taken.
    pub async fn write(&mut self, mut bytes: &[u8], rng: &mut Rng) -> bool {
        let mut pieces = if rng.u8(..4) == 0 { rng.u8(1..5) } else { 0 };
        while !bytes.is_empty() {
            let length = match pieces {
                0 => bytes.len(),
                _ => rng.usize(1..=bytes.len()),
            };
            pieces = pieces.saturating_sub(1);
            if self.socket.write_all(&bytes[..length]).await.is_err() {
                return false;
            }
            bytes = &bytes[length..];
            match rng.u8(..8) {
                0 if !bytes.is_empty() => {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                _ => tokio::task::yield_now().await,
            }
        }
        true
    }

    /// Ends it by a reset.
    pub fn reset(self) {
        let _ = self.socket.set_zero_linger();
    }
}
