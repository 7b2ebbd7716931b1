//! What is asked and what must come of it: chance in, requests as bytes and the answers to them out.

use fastrand::Rng;

/// Text that only this size has, so that a piece in the wrong place shows.
pub fn text(seed: u64, size: usize) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed ^ size as u64);
    let mut bytes = vec![0; size];
    rng.fill(&mut bytes);
    bytes
}

/// Fowler, Noll and Vo's hash (FNV-1a).
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    Length,
    Chunks,
    /// By the end of the connection; of answers only.
    Close,
}

/// What the origin does.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub size: usize,
    pub framed: Framed,
    /// Interim answers before it.
    pub interim: u8,
    /// It comes before the body of the request is there, and the connection ends.
    pub is_early: bool,
    /// Half of its body comes, and then the connection ends.
    pub is_cut: bool,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Plan {
    pub id: u64,
    pub method: &'static str,
    pub version: &'static str,
    pub host: &'static str,
    pub upload: Option<(Vec<u8>, Framed)>,
    pub answer: Answer,
    /// The client waits to be asked for the body.
    pub expects: bool,
    pub takes_trailers: bool,
    pub closes: bool,
}

impl Plan {
    /// A good one, as the dice fall.
    pub fn roll(rng: &mut Rng, id: u64) -> Plan {
        let methods = ["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
        let method = methods[rng.usize(..methods.len())];
        let size = |rng: &mut Rng| match rng.u8(..20) {
            0..=2 => 0,
            3..=15 => rng.usize(1..2_000),
            16..=18 => rng.usize(2_000..40_000),
            _ => rng.usize(40_000..200_000),
        };
        let has_body = matches!(method, "POST" | "PUT" | "PATCH") || rng.u8(..20) == 0;
        let framed = if rng.bool() { Framed::Length } else { Framed::Chunks };
        let upload = has_body.then(|| (text(id, size(rng)), framed));
        let all = [Framed::Length, Framed::Length, Framed::Chunks, Framed::Chunks, Framed::Close];
        let answer = Answer {
            size: size(rng),
            framed: all[rng.usize(..all.len())],
            interim: if rng.u8(..10) == 0 { rng.u8(1..3) } else { 0 },
            is_early: false,
            is_cut: false,
        };
        let expects = has_body && rng.u8(..8) == 0;
        let takes_trailers = rng.u8(..4) == 0;
        let (version, host, closes) = ("HTTP/1.1", "shop.test", rng.u8(..40) == 0);
        Plan { id, method, version, host, upload, answer, expects, takes_trailers, closes }
    }

    /// Its head, and its body as it is framed.
    pub fn bytes(&self, rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
        let Answer { size, framed, interim, is_early, is_cut } = self.answer;
        let mut head = format!(
            "{} /{}/{size}/{framed:?}/{interim}/{is_early}/{is_cut} {}\r\nHost: {}\r\n",
            self.method, self.id, self.version, self.host
        );
        let mut add = |line: &str| head.push_str(&format!("{line}\r\n"));
        for (is_there, line) in [
            (self.expects, "Expect: 100-continue"),
            (self.takes_trailers, "TE: trailers"),
            (self.closes, "Connection: close"),
        ] {
            if is_there {
                add(line);
            }
        }
        let mut framed = Vec::new();
        match &self.upload {
            None => {}
            Some((body, Framed::Length)) => {
                add(&format!("Content-Length: {}", body.len()));
                framed.extend_from_slice(body);
            }
            Some((body, _)) => {
                add("Transfer-Encoding: chunked");
                in_chunks(body, rng, &mut framed);
                let last: &[u8] =
                    if rng.bool() { b"0\r\n\r\n" } else { b"0;a=b\r\nX-Sum: 1\r\n\r\n" };
                framed.extend_from_slice(last);
            }
        }
        head.push_str("\r\n");
        (head.into_bytes(), framed)
    }
}

/// A body in chunks of any size, without the last one.
pub fn in_chunks(mut body: &[u8], rng: &mut Rng, into: &mut Vec<u8>) {
    while !body.is_empty() {
        let most = if rng.bool() { body.len() } else { body.len().min(300) };
        let (chunk, rest) = body.split_at(rng.usize(1..=most));
        let extension = if rng.u8(..10) == 0 { ";x=\"y\"" } else { "" };
        into.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        into.extend_from_slice(chunk);
        into.extend_from_slice(b"\r\n");
        body = rest;
    }
}
