//! A client's connection to which frames are given as bytes, and which shows those that come back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frames::{self, ACK, GOAWAY, PREFACE, RST_STREAM, SETTINGS, WINDOW};
use crate::harness::PATIENCE;

/// One connection.
pub struct Raw {
    tcp: TcpStream,
    read: Vec<u8>,
}

/// A frame that came.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What came next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    Frame(Frame),
    /// The connection's end.
    End,
    /// Nothing for longer than anybody waits.
    Nothing,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Frame { kind, flags, stream, payload } = self;
        let head = &payload[..payload.len().min(16)];
        write!(f, "frame({kind}, {flags:#x}, {stream}, {} bytes: {head:x?})", payload.len())
    }
}

impl Frame {
    /// The code of an error, of a frame that has one.
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }
}

impl Raw {
    /// A connection of which nothing has been said.
    pub async fn connect(address: SocketAddr) -> Raw {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Raw { tcp, read: Vec::new() }
    }

    /// A connection on which both have said and acknowledged their settings; the client's are these.
    pub async fn with(address: SocketAddr, settings: &[(u16, u32)]) -> Raw {
        let mut raw = Raw::connect(address).await;
        let hello = [PREFACE, &frames::settings(settings), &frames::frame(SETTINGS, ACK, 0, b"")];
        assert!(raw.send(&hello.concat()).await);
        let is_ack = |came: &Came| matches!(came, Came::Frame(frame) if frame.kind == SETTINGS && frame.flags == ACK);
        loop {
            match raw.next().await.or_silence("the settings") {
                Came::End => panic!("the connection has ended before the settings came"),
                came if is_ack(&came) => break,
                _ => {}
            }
        }
        raw
    }

    /// One with the windows that are so without being said.
    pub async fn usual(address: SocketAddr) -> Raw {
        Raw::with(address, &[(WINDOW, 65_535)]).await
    }

    /// Sends these bytes; whether the other end took them.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(PATIENCE, self.tcp.write_all(bytes)).await, Ok(Ok(())))
    }

    /// What comes next.
    pub async fn next(&mut self) -> Came {
        self.next_within(PATIENCE).await
    }

    /// What comes next, unless it takes longer.
    pub async fn next_within(&mut self, patience: Duration) -> Came {
        loop {
            if let Some(frame) = self.take() {
                return Came::Frame(frame);
            }
            match timeout(patience, self.tcp.read_buf(&mut self.read)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Came::End,
                Err(_) => return Came::Nothing,
            }
        }
    }

    /// The first frame of what was read.
    fn take(&mut self) -> Option<Frame> {
        let head = self.read.first_chunk::<9>()?;
        let end = 9 + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = self.read.get(9..end)?.to_vec();
        self.read.drain(..end);
        Some(Frame { kind, flags, stream, payload })
    }
}

impl Came {
    /// Something, which was waited for.
    pub fn or_silence(self, what: &str) -> Came {
        assert!(self != Came::Nothing, "{what} did not come");
        self
    }
}
