//! Clients as they come: good ones, whose answers must be right, and others.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use fastrand::Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::plan::{Framed, Plan, digest, text};
use super::stream::{Broken, Stream};
use crate::harness::client::fields;

/// How often each pool of each service has answered with which kind of status.
pub type Counts = BTreeMap<(&'static str, String, &'static str), u64>;

/// One client.
pub struct Client {
    pub to: SocketAddr,
    pub rng: Rng,
    pub counts: Counts,
    /// Requests whose end a client did not wait for.
    pub left: u64,
    pub next_id: u64,
    kept: Option<Stream>,
}

impl Client {
    pub fn new(to: SocketAddr, seed: u64, nth: u64) -> Client {
        let rng = Rng::with_seed(seed.wrapping_add(nth));
        Client { to, rng, counts: Counts::new(), left: 0, next_id: nth << 32, kept: None }
    }

    fn plan(&mut self) -> Plan {
        self.next_id += 1;
        Plan::roll(&mut self.rng, self.next_id)
    }

    async fn connect(&self) -> Stream {
        Stream::of(TcpStream::connect(self.to).await.unwrap())
    }

    async fn connection(&mut self) -> Stream {
        match self.kept.take() {
            Some(stream) => stream,
            None => self.connect().await,
        }
    }

    fn count(&mut self, service: &'static str, pool: &str, code: &'static str) {
        *self.counts.entry((service, pool.into(), code)).or_default() += 1;
    }

    /// Does one thing.
    pub async fn act(&mut self) {
        match self.rng.u8(..100) {
            0..60 => self.ask_one().await,
            60..75 => self.pipeline().await,
            75..80 => self.speak_old().await,
            80..84 => self.switch().await,
            84..88 => self.is_answered_early().await,
            88..91 => self.is_cut_off().await,
            91..94 => self.talk_nonsense().await,
            _ => self.leave().await,
        }
    }

    /// One request, and its answer.
    async fn ask_one(&mut self) {
        let plan = self.plan();
        let mut stream = self.connection().await;
        let (head, body) = plan.bytes(&mut self.rng);
        if plan.expects {
            assert!(stream.write(&head, &mut self.rng).await);
            let asked = stream.head().await.unwrap_or_else(|e| panic!("{plan:?}: {e:?}"));
            assert!(asked.starts_with("HTTP/1.1 100 "), "{asked}");
            assert!(stream.write(&body, &mut self.rng).await);
        } else {
            assert!(stream.write(&[head, body].concat(), &mut self.rng).await, "{plan:?}");
        }
        if self.hears(&mut stream, &plan).await {
            self.kept = Some(stream);
        }
    }

    /// Some requests at once, and their answers in order.
    async fn pipeline(&mut self) {
        let mut stream = self.connection().await;
        let (mut plans, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..self.rng.u8(2..6) {
            let mut plan = self.plan();
            plan.expects = false;
            let (head, body) = plan.bytes(&mut self.rng);
            let closes = plan.closes;
            // So much at most that both sides can be written at the same time without a reader.
            if bytes.len() + body.len() > 20_000 {
                break;
            }
            bytes.extend([head, body].concat());
            plans.push(plan);
            if closes {
                break;
            }
        }
        assert!(stream.write(&bytes, &mut self.rng).await);
        let mut goes_on = true;
        for plan in plans {
            assert!(goes_on, "{plan:?}");
            goes_on = self.hears(&mut stream, &plan).await;
        }
        if goes_on {
            self.kept = Some(stream);
        }
    }

    /// A request of HTTP/1.0.
    async fn speak_old(&mut self) {
        let mut plan = self.plan();
        (plan.version, plan.expects) = ("HTTP/1.0", false);
        if let Some((_, framed)) = &mut plan.upload {
            *framed = Framed::Length;
        }
        let (head, body) = plan.bytes(&mut self.rng);
        let mut stream = self.connect().await;
        assert!(stream.write(&[head, body].concat(), &mut self.rng).await);
        assert!(!self.hears(&mut stream, &plan).await, "it ends: {plan:?}");
    }

    /// Reads an answer and compares it with what it must be; whether the connection goes on.
    async fn hears(&mut self, stream: &mut Stream, plan: &Plan) -> bool {
        let is_old = plan.version == "HTTP/1.0";
        let head = loop {
            let head = stream.head().await.unwrap_or_else(|e| panic!("{plan:?}: {e:?}"));
            let is_interim = head.starts_with("HTTP/1.1 103 ");
            if !is_interim {
                break head;
            }
            assert!(!is_old && plan.answer.interim > 0, "{plan:?}: {head}");
        };
        assert!(head.starts_with("HTTP/1.1 200 "), "{plan:?}: {head}");
        let wanted = match (&plan.upload, plan.answer.is_early) {
            (_, true) => 0,
            (upload, _) => digest(upload.as_ref().map_or(&[], |(body, _)| body)),
        };
        assert_eq!(fields(&head, "x-digest"), [format!("{wanted:016x}")], "{plan:?}");
        let (body, trailers) = match plan.method {
            "HEAD" => (Vec::new(), String::new()),
            _ => match stream.body(&head, is_old).await {
                Ok(body) => body,
                Err(Broken::Ended) => panic!("{plan:?}: cut: {head}"),
                Err(Broken::Malformed(what)) => panic!("{plan:?}: {what}"),
            },
        };
        if plan.method != "HEAD" {
            let wanted = text(!plan.id, plan.answer.size);
            assert!(body == wanted, "{plan:?}: {} of {} bytes", body.len(), wanted.len());
            let has_them = plan.takes_trailers && !is_old && plan.answer.framed == Framed::Chunks;
            assert_eq!(trailers, if has_them { "x-sum: 1" } else { "" }, "{plan:?}");
        }
        let pool = fields(&head, "x-pool").concat();
        self.count("shop", &pool, "2xx");
        let is_told = fields(&head, "connection") == ["close"];
        assert!(!plan.closes || is_told, "{plan:?}: {head}");
        !is_told
    }

    /// A WebSocket, or what looks like one.
    async fn switch(&mut self) {
        let mut stream = self.connect().await;
        let ask = b"GET /switch HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(stream.write(ask, &mut self.rng).await);
        let head = stream.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        self.count("shop", &fields(&head, "x-pool").concat(), "1xx");
        for _ in 0..self.rng.u8(1..4) {
            self.next_id += 1;
            let said = text(self.next_id, self.rng.usize(1..5_000));
            assert!(stream.write(&said, &mut self.rng).await);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", said.len());
            let heard = stream.body(&head, false).await.unwrap();
            assert!(heard.0 == said, "what goes through a tunnel stays the same");
        }
        stream.socket.shutdown().await.unwrap();
        assert!(matches!(stream.more().await, Err(Broken::Ended)), "the other side ends, too");
    }

    /// The answer comes before the request is whole.
    async fn is_answered_early(&mut self) {
        let mut plan = self.plan();
        plan.method = "POST";
        (plan.expects, plan.answer.is_early, plan.closes) = (false, true, false);
        self.next_id += 1;
        let size = self.rng.usize(1..400_000);
        let framed = if self.rng.bool() { Framed::Length } else { Framed::Chunks };
        plan.upload = Some((text(self.next_id, size), framed));
        let (head, body) = plan.bytes(&mut self.rng);
        let mut stream = self.connect().await;
        let sent = if self.rng.bool() { body.len() } else { self.rng.usize(..body.len()) };
        // Nobody may be there any more to take the rest.
        stream.write(&[&head, &body[..sent]].concat(), &mut self.rng).await;
        self.hears(&mut stream, &plan).await;
    }

    /// The origin fails within its answer: the client must see that something is missing.
    async fn is_cut_off(&mut self) {
        let mut plan = self.plan();
        (plan.method, plan.upload, plan.host) = ("GET", None, "frail.test");
        (plan.expects, plan.closes, plan.answer.is_cut) = (false, false, true);
        plan.answer.size = plan.answer.size.max(10);
        if plan.answer.framed == Framed::Close {
            plan.answer.framed = Framed::Chunks;
        }
        plan.version = if self.rng.bool() { "HTTP/1.1" } else { "HTTP/1.0" };
        let (head, _) = plan.bytes(&mut self.rng);
        let mut stream = self.connect().await;
        assert!(stream.write(&head, &mut self.rng).await);
        let head = loop {
            match stream.head().await {
                Ok(head) if head.starts_with("HTTP/1.1 103 ") => {}
                other => break other.unwrap_or_default(),
            }
        };
        if head.starts_with("HTTP/1.1 200 ") {
            let body = stream.body(&head, true).await;
            assert!(matches!(body, Err(Broken::Ended)), "{plan:?}: {head}");
        } else {
            assert_eq!(head, "", "{plan:?}");
        }
        *self.counts.entry(("frail", String::new(), "any")).or_default() += 1;
    }

    /// Something that is no request.
    async fn talk_nonsense(&mut self) {
        const NONSENSE: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"\x16\x03\x01\x02\x00",
            b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
            b"GET /../a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ];
        let mut stream = self.connect().await;
        let nonsense = NONSENSE[self.rng.usize(..NONSENSE.len())];
        stream.write(nonsense, &mut self.rng).await;
        let head = stream.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        self.count("_unmatched", "", "4xx");
        stream.body(&head, false).await.unwrap();
        assert!(matches!(stream.more().await, Err(Broken::Ended)));
    }

    /// Leaves in the middle of something, with or without a reset.
    async fn leave(&mut self) {
        let mut stream = self.connect().await;
        let mut plan = self.plan();
        plan.host = "rude.test";
        self.next_id += 1;
        let (head, body) = plan.bytes(&mut self.rng);
        let mut bytes = [head, body].concat();
        let kind = self.rng.u8(..5);
        match kind {
            // Within the head, or the body.
            0 | 1 => bytes.truncate(self.rng.usize(..bytes.len())),
            2 => bytes = bytes.repeat(2),
            _ => {}
        }
        self.left += 2;
        stream.write(&bytes, &mut self.rng).await;
        if kind == 3 {
            // Within the answer.
            let _ = stream.more().await;
        }
        if self.rng.bool() {
            stream.reset();
        }
    }
}
