//! A client that sends bytes as they are given and shows what comes back.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// How a connection ended that owed a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Without a byte of it.
    Closed,
    /// Within it.
    Cut,
    /// It did not end, and nothing more came for longer than anybody waits.
    Silent,
}

impl Response {
    /// The values of a field, in order.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }
}

/// The values of a field in a head, in order.
pub fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect()
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client::of(stream)
    }

    /// The client of a connection that was made.
    pub fn of(stream: TcpStream) -> Client {
        Client { stream, buffer: Vec::new() }
    }

    /// Sends these bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends these bytes; whether the other end still takes them.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next response to a request other than HEAD.
    pub async fn response(&mut self) -> Response {
        self.next_response(false).await.expect("a response before the connection ends")
    }

    /// The next response to a HEAD.
    pub async fn response_to_head(&mut self) -> Response {
        self.next_response(true).await.expect("a response before the connection ends")
    }

    /// The next response, or `None` if the connection ends without one.
    pub async fn next_response(&mut self, to_head: bool) -> Option<Response> {
        match self.outcome(to_head).await {
            Ok(response) => Some(response),
            Err(Ended::Closed) => None,
            Err(Ended::Cut) => panic!("cut: {}", self.buffer.escape_ascii()),
            Err(Ended::Silent) => panic!("no response in time"),
        }
    }

    /// The next response, or how the connection ended before all of it was there.
    pub async fn outcome(&mut self, to_head: bool) -> Result<Response, Ended> {
        let read = async {
            loop {
                if let Some((response, length)) = complete(&self.buffer, to_head) {
                    self.buffer.drain(..length);
                    return Ok(response);
                }
                if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                    let is_empty = self.buffer.is_empty();
                    return Err(if is_empty { Ended::Closed } else { Ended::Cut });
                }
            }
        };
        timeout(PATIENCE, read).await.unwrap_or(Err(Ended::Silent))
    }

    /// Everything up to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut self.buffer)).await;
        // A reset ends a connection too.
        let _ = read.expect("the connection ends in time");
        std::mem::take(&mut self.buffer)
    }

    /// The next bytes, at least one and as many as asked for.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
            assert_ne!(read.expect("bytes in time").unwrap(), 0, "the connection ended");
        }
        self.buffer.drain(..count).collect()
    }
}

/// So many connections, each of which begins with these bytes.
pub async fn connect(address: SocketAddr, count: usize, first: &str) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(address).await;
        client.send(first).await;
        clients.push(client);
    }
    clients
}

/// Sends one GET with these field lines on a connection of its own.
pub async fn get(address: SocketAddr, host: &str, path: &str, fields: &[&str]) -> Response {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
    for field in fields {
        request.push_str(field);
        request.push_str("\r\n");
    }
    let mut client = Client::connect(address).await;
    client.send(request + "\r\n").await;
    client.response().await
}

fn complete(buffer: &[u8], to_head: bool) -> Option<(Response, usize)> {
    let end = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    let rest = &buffer[end..];
    let (body, length) = if to_head || matches!(status, 101 | 204 | 304) {
        (Vec::new(), 0)
    } else if fields(&head, "transfer-encoding").is_empty() {
        let length = fields(&head, "content-length").first()?.parse().ok()?;
        (rest.get(..length)?.to_vec(), length)
    } else {
        chunked(rest)?
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    Some((Response { status, head, body }, end + length))
}

fn chunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..].windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        let start = at + line + 2;
        body.extend_from_slice(bytes.get(start..start + size)?);
        at = start + size + 2;
        bytes.get(..at)?;
        if size == 0 {
            return Some((body, at));
        }
    }
}
