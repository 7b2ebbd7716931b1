//! Answers of ours, and whether the client's connection goes on behind one.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::super::limited::Limit;
use super::super::socket::Socket;
use super::Lane;
use super::client::Client;
use super::heads::{self, Going};
use super::request::{Request, Then};
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::http::answer::Answer;
use crate::http::codec::body::{BodyReader, Event};
use crate::http::codec::framing::Framing;
use crate::http::codec::write::{self, HEAD_END};
use crate::http::failure::Cause;
use crate::http::fields::{FieldId, Fields};
use crate::http::forwarded::Peer;
use crate::http::hop_by_hop;
use crate::http::view::{Flat, View};

/// The longest body that is taken in for nothing, in bytes, and how long that may take.
const LONGEST_SKIPPED: u64 = 64 * 1024;
const SKIP: Duration = Duration::from_secs(1);

/// Tells a client what is wrong with what is no request, and makes its record.
pub(in crate::wire) async fn refuse(lane: &Lane, client: &mut Client, peer: &Peer, cause: Cause) {
    let mut exchange = Exchange::open(lane.clock, lane.published.clone(), lane.reader.clone());
    let fields = Fields::new(View::Flat(Flat::NONE));
    let version = match client.socket.is_stream() {
        true => Version::HTTP_2,
        false => Version::HTTP_11,
    };
    let answer = exchange.refuse(cause, (version, &fields), peer);
    let is_told = say(client, (&answer, peer.hsts()), false, Going::Over, lane.clock).await.is_ok();
    exchange.end_unread(is_told.then_some(answer.status));
    if is_told {
        client.linger().await;
    }
}

/// Says it to the client, as a whole, with what its browser is told of HTTPS.
async fn say(
    client: &mut Client,
    (answer, hsts): (&Answer, Option<&HeaderValue>),
    is_to_head: bool,
    going: Going,
    clock: Clock,
) -> io::Result<()> {
    let (status, body) = (status(answer.status), heads::body(answer, is_to_head));
    if let Socket::Stream(stream) = &mut client.socket {
        let mut fields = HeaderMap::new();
        heads::answer((answer, hsts), Going::Silently, clock, &mut fields);
        stream.send_answer(status, fields, body.is_empty())?;
        client.write(body).await?;
        client.socket.end_message(HeaderMap::new());
        return Ok(());
    }
    let mut out = Vec::with_capacity(body.len() + 512);
    let reason = status.canonical_reason().unwrap_or_default();
    write::status_line(answer.status, reason.as_bytes(), &mut out);
    heads::answer((answer, hsts), going, clock, &mut out);
    out.extend_from_slice(HEAD_END);
    out.extend_from_slice(body);
    client.write(&out).await
}

/// A status that somebody has checked.
pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Request<'_> {
    /// Whether the client wants to send another request on its connection.
    pub(super) fn goes_on(&self) -> bool {
        let says = |token| {
            let has_any = self.lines.known().has(FieldId::Connection);
            has_any && hop_by_hop::says(View::Flat(self.flat), token)
        };
        match self.head.version == Version::HTTP_10 {
            false => !says(b"close"),
            true => says(b"keep-alive"),
        }
    }

    /// How its connection goes on behind an answer that allows it to, or does not.
    pub(super) fn going(&self, may_go_on: bool) -> Going {
        if self.head.version == Version::HTTP_2 {
            // Its connection goes on whatever becomes of one request.
            return Going::Silently;
        }
        let mut goes_on = may_go_on && self.goes_on() && !self.lane.published.winds_down();
        if goes_on && self.client.requests >= self.client.limits.requests {
            self.lane.limited.count(Limit::Requests);
            goes_on = false;
        }
        match (goes_on, self.head.version == Version::HTTP_10) {
            (false, _) => Going::Over,
            (true, true) => Going::Told,
            (true, false) => Going::Silently,
        }
    }

    /// Writes an answer of ours. `left` is what is left of the request, if its end can be known.
    pub(super) async fn tell(&mut self, answer: &Answer, left: Option<Framing>) -> Then {
        let asks_to_send = self.lines.known().has(FieldId::Expect);
        let can_skip = match left {
            Some(Framing::Empty) => true,
            // Not if the client waits to be asked for it.
            Some(Framing::Length(length)) => length <= LONGEST_SKIPPED && !asks_to_send,
            _ => false,
        };
        let going = self.going(answer.keeps_connection && can_skip);
        let is_to_head = self.method == Method::HEAD;
        let hsts = self.peer.hsts().filter(|_| answer.tells_of_https);
        if say(self.client, (answer, hsts), is_to_head, going, self.lane.clock).await.is_err() {
            return Then::Break;
        }
        let then = match left {
            // What is left of a stream is nobody's.
            _ if self.client.socket.is_stream() => Then::Next,
            _ if going == Going::Over => Then::Linger,
            Some(Framing::Empty) => Then::Next,
            Some(Framing::Length(length)) if self.skip(length).await => Then::Next,
            _ => Then::Linger,
        };
        self.client.timer.restart();
        then
    }

    /// Takes in a short body that nobody wants, so that the connection stays in step; whether it came
    /// in time.
    async fn skip(&mut self, length: u64) -> bool {
        let client = &mut *self.client;
        let mut body = BodyReader::Length(length);
        client.timer.restart();
        poll_fn(|cx| {
            loop {
                match body.read(client.inbox.bytes()) {
                    Ok(read) if read.event == Event::End => return Poll::Ready(true),
                    Ok(read) => client.inbox.skip(read.used),
                    Err(_) => return Poll::Ready(false),
                }
                if matches!(body, BodyReader::Length(0)) {
                    continue;
                }
                match client.inbox.poll_fill(&mut client.socket, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending if client.timer.poll_late(SKIP, cx) => {
                        return Poll::Ready(false);
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }
}
