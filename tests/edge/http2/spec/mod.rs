//! The cases of h2spec, the conformance suite of HTTP/2's servers, frame by frame.
//!
//! Each case has the number that h2spec gives it, and is judged as h2spec judges it, but for one thing:
//! where a GOAWAY comes its code counts. h2spec takes any, as long as the connection ends behind it. What is
//! answered otherwise is in `otherwise.rs`, with the reason.

mod frame_kinds;
mod generic;
mod hpack;
mod messages;
mod otherwise;
mod starting;
mod streams;

use std::net::SocketAddr;

use tokio::task::JoinSet;

use super::edge;
use super::frames::{self, ACK, DATA, END, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS};
use super::raw::{Came, Frame, Raw};
use crate::harness::edge::shop;
use crate::harness::{Origin, Reply};

/// One case.
struct Case {
    name: &'static str,
    /// Whether settings are exchanged before its first step.
    begins: bool,
    steps: Vec<Step>,
}

enum Step {
    Send(Vec<u8>),
    Await(Answer),
}

use Answer::*;

/// What is accepted as an answer. What else comes before it does not matter.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// What acknowledges the PING with these bytes.
    Pong([u8; 8]),
    /// That, or the connection's end.
    PongOrEnd([u8; 8]),
    /// Settings that acknowledge nothing.
    TheirSettings,
    /// Settings that acknowledge ours.
    Acknowledged,
    /// A head on the first stream.
    Head,
    /// Bytes of a body; so many at once.
    Bytes(usize),
    /// The end of the first stream.
    Whole,
    /// GOAWAY with one of these codes, or the connection's end.
    Goaway(&'static [u32]),
    /// RST_STREAM or GOAWAY with one of these codes, or the connection's end.
    Refusal(&'static [u32]),
    /// GOAWAY with this code and nothing else.
    GoawayOnly(u32),
    /// RST_STREAM of the first stream with this code and nothing else.
    ResetOnly(u32),
    /// The connection's end.
    TheEnd,
}

impl Answer {
    /// Whether this frame is it; none if something else may be.
    fn is(self, frame: &Frame) -> Option<bool> {
        let pong = |opaque: [u8; 8]| match (frame.kind, frame.flags) {
            (PING, ACK) => Some(frame.payload == opaque),
            _ => None,
        };
        let code = |kind: u8| frame.code().filter(|_| frame.kind == kind);
        let is_here = frame.stream == 1;
        match self {
            Pong(opaque) | PongOrEnd(opaque) => pong(opaque),
            TheirSettings => (frame.kind == SETTINGS).then_some(frame.flags & ACK == 0),
            Acknowledged => (frame.kind == SETTINGS).then_some(frame.flags & ACK != 0),
            Head => (frame.kind == HEADERS).then_some(is_here),
            Bytes(length) => (frame.kind == DATA).then_some(frame.payload.len() == length),
            Whole => (frame.flags & END != 0 && is_here && [DATA, HEADERS].contains(&frame.kind))
                .then_some(true),
            Goaway(codes) => code(GOAWAY).map(|code| codes.contains(&code)),
            Refusal(codes) => frame.code().map(|code| codes.contains(&code)),
            GoawayOnly(wanted) => code(GOAWAY).map(|code| code == wanted),
            ResetOnly(wanted) => code(RST_STREAM).map(|code| is_here && code == wanted),
            TheEnd => None,
        }
    }

    /// Whether the connection's end is it.
    fn is_end(self) -> bool {
        matches!(self, PongOrEnd(_) | Goaway(_) | Refusal(_) | TheEnd)
    }
}

impl Case {
    fn new(name: &'static str) -> Case {
        Case { name, begins: true, steps: Vec::new() }
    }

    /// One that says itself how a connection begins.
    fn unbegun(name: &'static str) -> Case {
        Case { name, begins: false, steps: Vec::new() }
    }

    /// What is sent one after the other arrives together, so that nothing happens between.
    fn send(mut self, bytes: impl Into<Vec<u8>>) -> Case {
        match self.steps.last_mut() {
            Some(Step::Send(before)) => before.extend(bytes.into()),
            _ => self.steps.push(Step::Send(bytes.into())),
        }
        self
    }

    fn then(mut self, answer: Answer) -> Case {
        self.steps.push(Step::Await(answer));
        self
    }

    /// With these answers in the place of the last.
    fn instead(mut self, answers: &[Answer]) -> Case {
        self.steps.pop();
        answers.iter().fold(self, |case, answer| case.then(*answer))
    }

    /// What came instead of an answer.
    async fn play(&self, edge: SocketAddr) -> Result<(), String> {
        let mut raw = match self.begins {
            true => Raw::usual(edge).await,
            false => Raw::connect(edge).await,
        };
        for step in &self.steps {
            match step {
                // Where the other end has left, the next answer tells.
                Step::Send(bytes) => drop(raw.send(bytes).await),
                Step::Await(answer) => came(&mut raw, *answer).await?,
            }
        }
        Ok(())
    }
}

async fn came(raw: &mut Raw, answer: Answer) -> Result<(), String> {
    let mut others = Vec::new();
    loop {
        let came = raw.next().await;
        let is_it = match &came {
            Came::Frame(frame) => answer.is(frame),
            Came::End => Some(answer.is_end()),
            Came::Nothing => Some(false),
        };
        others.push(came);
        match is_it {
            Some(true) => return Ok(()),
            Some(false) => return Err(format!("{answer:?} was due: {others:?}")),
            None => {}
        }
    }
}

/// Fields that make a head so much longer.
fn dummies(length: usize) -> Vec<u8> {
    frames::field("x-dummy", &"x".repeat(length))
}

#[tokio::test]
async fn what_h2spec_asks_of_a_server_holds() {
    let origin = Origin::always(Reply::ok("hello, client")).await;
    let edge = edge(&shop(&[("only", &origin)], "")).await;
    let groups = [
        generic::cases(),
        starting::cases(),
        streams::cases(),
        frame_kinds::cases(),
        messages::cases(),
        hpack::cases(),
    ];
    let mut playing = JoinSet::new();
    let mut others = otherwise::answers();
    for case in groups.into_iter().flatten() {
        let address = edge.address;
        let case = match others.remove(case.name) {
            Some(answers) => case.instead(answers),
            None => case,
        };
        playing.spawn(async move { (case.name, case.play(address).await) });
    }
    assert!(others.is_empty(), "there are no such cases: {others:?}");
    let played = playing.join_all().await;
    let mut names: Vec<_> = played.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    // 146, and one that h2spec has for the strict.
    assert_eq!((played.len(), names.len()), (147, 147));
    let mut wrong = String::new();
    for (name, played) in played {
        if let Err(came) = played {
            wrong.push_str(&format!("{name}: {came}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    // Who asks as one should is still answered.
    assert_eq!(super::peer::Client::connect(edge.address).await.get("/").await.status, 200);
}
