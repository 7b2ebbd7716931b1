//! A corpus of messages that proxies were attacked with, and of those they must pass on: each goes
//! through an edge by raw sockets, and what goes on is the same to every parser there is a model of.

mod entries;
mod models;
mod recorder;
mod requests;
mod responses;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::PATIENCE;
use entries::{Entry, entries};
use models::{MODELS, Seen, Side};

/// What a service is told so that a bad answer is nothing but that.
const PATIENT: &str = "ejection = false\nbreaker = false\nretries.attempts = 0";

fn request_entries() -> Vec<Entry> {
    entries(include_str!("../../data/requests.txt"))
}

fn response_entries() -> Vec<Entry> {
    entries(include_str!("../../data/responses.txt"))
}

/// A client that shows the bytes that it got and how its connection ended.
struct Raw {
    stream: TcpStream,
    got: Vec<u8>,
    methods: Vec<String>,
    has_ended: bool,
    was_reset: bool,
}

impl Raw {
    /// A client whose requests have these methods.
    async fn connect(to: std::net::SocketAddr, methods: Vec<String>) -> Raw {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream, got: Vec::new(), methods, has_ended: false, was_reset: false }
    }

    async fn send(&mut self, bytes: &[u8]) {
        // If the other end takes no more, what it has to say is what counts.
        let _ = self.stream.write_all(bytes).await;
    }

    fn seen(&self) -> Seen {
        let side = Side::Server { methods: &self.methods, has_ended: self.has_ended };
        MODELS[0].read(&self.got, side)
    }

    /// How many answers there are, without interim ones.
    fn answers(&self) -> usize {
        self.seen().messages.iter().filter(|message| !message.first.starts_with('1')).count()
    }

    /// Reads until there are so many answers, or to the end.
    async fn read(&mut self, answers: usize) {
        while !self.has_ended && self.answers() < answers {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.got)).await;
            let read = read.unwrap_or_else(|_| panic!("silent: {}", self.got.escape_ascii()));
            self.was_reset = read.is_err();
            self.has_ended = read.unwrap_or(0) == 0;
        }
    }

    /// Reads to the end.
    async fn read_all(&mut self) {
        self.read(usize::MAX).await;
    }

    fn is_told_to_close(&self) -> bool {
        self.got.to_ascii_lowercase().windows(19).any(|word| word == b"\r\nconnection: close")
    }
}

#[test]
fn each_model_takes_some_message_for_another_than_the_strict_one() {
    let (requests, responses) = (request_entries(), response_entries());
    for model in &MODELS[1..] {
        let differs = |bytes: &[u8], side| {
            model.read(bytes, side).messages != MODELS[0].read(bytes, side).messages
        };
        let get = ["GET".to_string()];
        let side = Side::Server { methods: &get, has_ended: false };
        let fooled = requests.iter().filter(|entry| differs(&entry.bytes, Side::Client)).count()
            + responses.iter().filter(|entry| differs(&entry.bytes, side)).count();
        assert!(fooled > 0, "{}", model.name);
    }
    assert!(requests.len() >= 250 && responses.len() >= 100);
}
