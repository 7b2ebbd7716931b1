//! One request: its head in, an answer to the client and a record out.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use http::{Method, Version};

use super::super::socket::Socket;
use super::Lane;
use super::buffer::Buffer;
use super::client::Client;
use super::heads::{self, Going, Out, RequestParts, ResponseParts};
use super::pump::{Broken, Pump};
use crate::exchange::phases::{Admission, Admitted, Attempt, Delivery, Link, Next, Relay, Sent};
use crate::exchange::{Exchange, REPLAYED, Upload, Wait};
use crate::http::admission::{Head, RequestTarget};
use crate::http::answer::Answer;
use crate::http::codec::Limits;
use crate::http::codec::body::{BodyReader, Event};
use crate::http::codec::framing::{self, Framing};
use crate::http::codec::lines::Lines;
use crate::http::codec::request::{Form, RequestHead, RequestReader};
use crate::http::codec::response::{ResponseHead, ResponseReader};
use crate::http::failure::{BadRequest, Cause};
use crate::http::fields::{FieldId, Fields};
use crate::http::forwarded::Peer;
use crate::http::hop_by_hop;
use crate::http::old_client;
use crate::http::response;
use crate::http::view::{Flat, View};
use crate::outgoing::dial::is_exhaustion;

/// The longest body that is taken in for nothing, in bytes, and how long that may take.
const LONGEST_SKIPPED: u64 = 64 * 1024;
const SKIP: Duration = Duration::from_secs(1);

/// How much of an upstream's head is taken.
const HEAD: Limits = Limits { bytes: 1024 * 1024, fields: 1_000 };

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It carries the next request.
    Next,
    /// It ends.
    Close,
    /// It ends, and the client may still be sending.
    Linger,
}

/// A request whose head has been read.
pub(super) struct Request<'c> {
    lane: &'c Lane,
    client: &'c mut Client,
    peer: &'c Peer,
    head: &'c RequestHead,
    flat: Flat<'c>,
    lines: &'c Lines,
    method: Method,
    target: Target<'c>,
}

/// What is asked for.
struct Target<'r> {
    /// As sent.
    bytes: &'r [u8],
    /// As an upstream is asked.
    origin: Cow<'r, [u8]>,
    /// The same as text: bytes that are none are spelled out.
    text: Cow<'r, str>,
    authority: Option<&'r str>,
}

impl<'r> Target<'r> {
    fn read(head: &RequestHead, method: &Method, bytes: &'r [u8]) -> Target<'r> {
        let whole = head.target.of(bytes);
        let (origin, authority) = match head.form {
            Form::Path | Form::Server => (Cow::Borrowed(whole), None),
            Form::Whole { authority, path } => {
                let path = match path.of(bytes) {
                    path @ [b'/', ..] => Cow::Borrowed(path),
                    // RFC 9112, 3.2.4.
                    [] if *method == Method::OPTIONS => Cow::Borrowed(&b"*"[..]),
                    rest => Cow::Owned([b"/", rest].concat()),
                };
                // Another text is no host, and is refused for that.
                (path, Some(std::str::from_utf8(authority.of(bytes)).unwrap_or("?")))
            }
        };
        let text = match &origin {
            Cow::Borrowed(origin) => match std::str::from_utf8(origin) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => Cow::Owned(spelled_out(origin)),
            },
            Cow::Owned(origin) => Cow::Owned(spelled_out(origin)),
        };
        Target { bytes: whole, origin, text, authority }
    }

    fn path(&self) -> &str {
        self.text.split_once('?').map_or(&self.text, |(path, _)| path)
    }
}

/// With the bytes that are no ASCII as percent signs and digits.
fn spelled_out(target: &[u8]) -> String {
    let mut text = String::with_capacity(target.len() + 16);
    for &byte in target {
        match byte.is_ascii() {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// A connection to an upstream.
struct Upstream {
    socket: Socket,
    inbox: Buffer,
    link: Link,
}

/// How far the request is on its way to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// More of it is to be sent.
    UnderWay,
    /// All of it has been written.
    Done,
    /// The upstream takes no more of it; it may have answered all the same.
    Refused,
}

/// What was read of the request's body, as it is sent again; none once it is too long.
struct Replay(Option<Vec<u8>>);

impl Replay {
    fn hear(&mut self, piece: Option<&[u8]>) {
        let (Some(kept), Some(piece)) = (&mut self.0, piece) else { return };
        match kept.len() + piece.len() <= REPLAYED {
            true => kept.extend_from_slice(piece),
            false => self.0 = None,
        }
    }
}

/// What became of a request that asks for a place.
enum Placed<'e> {
    Forward(Admitted<'e>),
    Answer(Box<Answer>),
    /// Its client has left while it stood in line.
    Left,
}

/// The body of a request on its way.
struct Up {
    pump: Pump,
    sending: Sending,
    replay: Replay,
}

/// A head of the upstream's.
struct Heard {
    head: ResponseHead,
    framing: Framing,
}

/// Tells a client what is wrong with what is no request, and makes its record.
pub(super) async fn refuse(lane: &Lane, client: &mut Client, peer: &Peer, cause: Cause) {
    let mut exchange = Exchange::open(lane.clock, lane.published.clone(), lane.reader.clone());
    let none = View::Flat(Flat { bytes: &[], lines: &[] });
    let answer = exchange.refuse(cause, &Fields::new(none), peer);
    let mut bytes = Vec::new();
    heads::answer(&answer, false, Going::Over, lane.clock.wall_time(), &mut bytes);
    let is_told = client.write(&bytes).await.is_ok();
    exchange.end_unread(is_told.then_some(answer.status));
    if is_told {
        client.linger().await;
    }
}

impl<'c> Request<'c> {
    pub(super) fn new(
        lane: &'c Lane,
        client: &'c mut Client,
        peer: &'c Peer,
        head: &'c RequestHead,
        bytes: &'c [u8],
        lines: &'c Lines,
    ) -> Request<'c> {
        let flat = Flat { bytes, lines: lines.list() };
        // The codec has checked that it is a token.
        let method = Method::from_bytes(head.method.of(bytes)).unwrap_or_default();
        let target = Target::read(head, &method, bytes);
        Request { lane, client, peer, head, flat, lines, method, target }
    }

    /// Serves it.
    pub(super) async fn serve(mut self, responses: &mut ResponseReader) -> Then {
        let lane = self.lane;
        let mut exchange = Exchange::open(lane.clock, lane.published.clone(), lane.reader.clone());
        let view = View::Flat(self.flat);
        let method = self.method.clone();
        let text = self.target.text.clone();
        let sent = Sent { method: &method, path_and_query: &text, view };
        let framing = match framing::of_request(self.lines, self.flat.bytes, self.head.version) {
            Ok(framing) => framing,
            Err(malformed) => {
                let cause = Cause::BadRequest(super::rule(malformed));
                let answer = exchange.refuse(cause, &Fields::new(view), self.peer);
                let then = self.tell(&answer, None).await;
                exchange.end(Some(answer.status), &sent);
                return then;
            }
        };
        let body = BodyReader::new(framing);
        let mut up = Up {
            pump: Pump::new(body, framing == Framing::Chunked, Vec::new()),
            sending: Sending::UnderWay,
            replay: Replay(Some(Vec::new())),
        };
        let attempt = match self.place(&mut exchange).await {
            Placed::Forward(admitted) => admitted.next(),
            Placed::Answer(answer) => {
                let then = self.tell(&answer, Some(framing)).await;
                self.offer(exchange.end(Some(answer.status), &sent));
                return then;
            }
            Placed::Left => {
                exchange.left();
                self.offer(exchange.end(None, &sent));
                return Then::Close;
            }
        };
        let (told, then) = match self.ask(attempt, &mut up, responses).await {
            Ok((relay, upstream, heard)) => {
                let status = heard.head.status;
                match self.relay(relay, &mut up, upstream, heard, responses).await {
                    Ok(then) => (Some(status), then),
                    // The client is to see that it is not whole.
                    Err(()) => (Some(status), Then::Close),
                }
            }
            Err(Cause::ClientGone) => (None, Then::Close),
            Err(cause) => {
                let answer = exchange.answer(cause, &Fields::new(view));
                let is_whole = up.pump.is_over() || framing == Framing::Empty;
                let then = self.tell(&answer, is_whole.then_some(Framing::Empty)).await;
                (Some(answer.status), then)
            }
        };
        self.offer(exchange.end(told, &sent));
        then
    }

    fn offer(&self, copied: Option<crate::mirror::Copied>) {
        copied.into_iter().for_each(|copied| self.lane.mirrors.offer(copied));
    }

    /// Has it admitted, and listens to the client while it stands in line.
    async fn place<'e>(&mut self, exchange: &'e mut Exchange) -> Placed<'e> {
        let head = Head {
            method: &self.method,
            target: RequestTarget {
                bytes: self.target.bytes,
                path: self.target.path(),
                path_and_query: &self.target.text,
                authority: self.target.authority,
            },
            version: self.head.version,
            view: View::Flat(self.flat),
            raw: self.flat.bytes,
        };
        let client = &mut *self.client;
        let mut admission = exchange.admit(&head, self.peer);
        loop {
            let mut line = match admission {
                Admission::Forward(admitted) => return Placed::Forward(admitted),
                Admission::Answer(answer) => return Placed::Answer(answer),
                Admission::Wait(line) => line,
            };
            let within = line.within();
            client.timer.restart();
            let called = {
                // Rare and large, so that it is no part of the usual way's future.
                let mut turn = Box::pin(line.turn());
                poll_fn(|cx| {
                    if turn.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Some(true));
                    }
                    if client.poll_left(cx).is_ready() {
                        return Poll::Ready(None);
                    }
                    match client.timer.poll_late(within, cx) {
                        true => Poll::Ready(Some(false)),
                        false => Poll::Pending,
                    }
                })
                .await
            };
            admission = match called {
                Some(true) => line.called(),
                Some(false) => line.gave_up(),
                None => return Placed::Left,
            };
        }
    }

    /// Asks one upstream after the other, until one has answered or nobody is asked any more.
    async fn ask<'e>(
        &mut self,
        mut attempt: Attempt<'e>,
        up: &mut Up,
        responses: &mut ResponseReader,
    ) -> Result<(Relay<'e>, Upstream, Heard), Cause> {
        let mut connected: Option<Upstream> = None;
        loop {
            let asked = match connected.take() {
                Some(upstream) => Ok(upstream),
                None => self.begin(&mut attempt, up).await,
            };
            let can_replay = up.replay.0.is_some();
            let mut upstream = match asked {
                Ok(upstream) => upstream,
                Err(cause) => {
                    let delivery = Delivery { was_sent: false, was_stale: false, can_replay };
                    match attempt.failed(cause, delivery) {
                        Next::Again(again) => attempt = again,
                        Next::Interim(_) | Next::Forward(_) => return Err(Cause::Internal),
                        Next::Answer(cause) => return Err(cause),
                    }
                    continue;
                }
            };
            responses.begin();
            let heard = self.hear(&mut attempt, up, &mut upstream, responses).await;
            let can_replay = up.replay.0.is_some();
            let next = match &heard {
                Ok(Heard { head, .. }) => {
                    let bytes = &upstream.inbox.bytes()[..head.length];
                    let view = View::Flat(Flat { bytes, lines: responses.lines().list() });
                    let delivery = Delivery { was_sent: true, was_stale: false, can_replay };
                    attempt.head(head.status, view, delivery)
                }
                Err(cause) => {
                    let was_stale = *cause == Cause::Reset
                        && upstream.link == Link::Kept
                        && upstream.inbox.is_empty();
                    attempt.failed(*cause, Delivery { was_sent: true, was_stale, can_replay })
                }
            };
            match (next, heard) {
                (Next::Interim(same), Ok(heard)) => {
                    attempt = same;
                    let length = heard.head.length;
                    if self.pass_interim(&attempt, &upstream, heard, responses).await.is_err() {
                        match attempt.failed(Cause::ClientGone, GONE) {
                            Next::Answer(cause) => return Err(cause),
                            _ => return Err(Cause::ClientGone),
                        }
                    }
                    upstream.inbox.skip(length);
                    // It has answered: not one that was dead already.
                    upstream.link = Link::New;
                    connected = Some(upstream);
                }
                (Next::Forward(relay), Ok(heard)) => return Ok((relay, upstream, heard)),
                (Next::Again(again), _) => attempt = again,
                (Next::Answer(cause), _) => return Err(cause),
                (Next::Interim(_) | Next::Forward(_), Err(_)) => return Err(Cause::Internal),
            }
        }
    }

    /// Begins an attempt: a connection, and the request's head on its way.
    async fn begin(&mut self, attempt: &mut Attempt<'_>, up: &mut Up) -> Result<Upstream, Cause> {
        if !attempt.pause().is_zero() && self.client.pause(attempt.pause()).await {
            return Err(Cause::ClientGone);
        }
        let upstream = self.connect(attempt).await?;
        attempt.connected(upstream.link);
        let version = self.head.version;
        // A whole URI has given it one already.
        let wants_host = self.target.authority.is_none()
            && old_client::wants_host(version, View::Flat(self.flat));
        let parts = RequestParts {
            method: self.method.as_str().as_bytes(),
            target: &self.target.origin,
            peer: self.peer,
            nominates: attempt.nominates(),
            switches: attempt.switches(),
            host: wants_host.then(|| attempt.host()),
        };
        let mut lead = Vec::with_capacity(self.flat.bytes.len() + 512);
        heads::request(self.flat, attempt.edits(), &parts, &mut lead);
        if attempt.is_copied() {
            self.copy_head(attempt, &lead);
        } else {
            let view = View::Flat(self.flat);
            let sent = Sent { method: &self.method, path_and_query: &self.target.text, view };
            attempt.request_head(&sent, upload(up));
        }
        if let Some(replayed) = up.replay.0.as_ref().filter(|replayed| !replayed.is_empty()) {
            // A copy and a record are made of what this upstream is sent.
            attempt.request_body(Some(replayed), false);
            up.pump.frame(replayed, &mut lead);
        }
        if up.pump.is_over() {
            attempt.request_body(None, true);
        }
        up.pump.restart(lead, &mut self.client.inbox);
        up.sending = Sending::UnderWay;
        self.client.timer.restart();
        Ok(upstream)
    }

    /// Tells the exchange of a head that is copied, as it is sent.
    fn copy_head(&self, attempt: &mut Attempt<'_>, lead: &[u8]) {
        let mut reader = RequestReader::default();
        let limits = Limits { bytes: lead.len(), fields: usize::MAX };
        // What we have written can be read.
        let Ok(Some(_)) = reader.read(lead, limits) else { return };
        let view = View::Flat(Flat { bytes: lead, lines: reader.lines().list() });
        let sent = Sent { method: &self.method, path_and_query: &self.target.text, view };
        let is_empty = !self.lines.known().has(FieldId::ContentLength)
            && !self.lines.known().has(FieldId::TransferEncoding);
        attempt.request_head(&sent, if is_empty { Upload::Done } else { Upload::ToCome });
    }

    /// A kept connection to the upstream, or a new one.
    async fn connect(&mut self, attempt: &Attempt<'_>) -> Result<Upstream, Cause> {
        let (to, within) = (attempt.target(), attempt.timeouts().connect);
        if let Some(socket) = self.lane.kept.take(to, self.lane.clock.now()) {
            return Ok(Upstream { socket, inbox: Buffer::default(), link: Link::Kept });
        }
        let client = &mut *self.client;
        client.timer.restart();
        let mut dialling = Box::pin(Socket::connect(to));
        poll_fn(|cx| {
            if let Poll::Ready(dialled) = dialling.as_mut().poll(cx) {
                let upstream =
                    |socket| Upstream { socket, inbox: Buffer::default(), link: Link::New };
                return Poll::Ready(dialled.map(upstream).map_err(|error| dial_cause(&error)));
            }
            if client.poll_left(cx).is_ready() {
                return Poll::Ready(Err(Cause::ClientGone));
            }
            match client.timer.poll_late(within, cx) {
                true => Poll::Ready(Err(Cause::ConnectTimeout)),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Sends the request, and reads the next head of the upstream's.
    async fn hear(
        &mut self,
        attempt: &mut Attempt<'_>,
        up: &mut Up,
        upstream: &mut Upstream,
        responses: &mut ResponseReader,
    ) -> Result<Heard, Cause> {
        let is_to_head = self.method == Method::HEAD;
        let client = &mut *self.client;
        let head = poll_fn(|cx| {
            // First, for a fast upload goes on for as long as it may.
            loop {
                match responses.read(upstream.inbox.bytes(), HEAD) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(Cause::BadResponse)),
                }
                match upstream.inbox.poll_fill(&mut upstream.socket, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(Err(Cause::Reset)),
                    Poll::Pending => break,
                }
            }
            if up.sending == Sending::UnderWay {
                let before = up.pump.moved;
                let replay = &mut up.replay;
                let sent = up.pump.poll(
                    (&mut client.socket, &mut client.inbox),
                    &mut upstream.socket,
                    cx,
                    |piece, is_end| {
                        replay.hear(piece);
                        attempt.request_body(piece, is_end);
                    },
                );
                if up.pump.moved != before {
                    client.timer.restart();
                }
                if let Poll::Ready(sent) = sent {
                    match after_sending(sent) {
                        Ok(sending) => up.sending = sending,
                        Err(cause) => return Poll::Ready(Err(cause)),
                    }
                    client.timer.restart();
                }
            }
            if up.sending != Sending::UnderWay && client.poll_left(cx).is_ready() {
                return Poll::Ready(Err(Cause::ClientGone));
            }
            let (within, cause) = match attempt.wait() {
                Wait::Nothing => (Duration::MAX, Cause::Internal),
                Wait::Request(_) if !up.pump.is_writing() && up.sending == Sending::UnderWay => {
                    (client.limits.body_timeout, Cause::ClientTimeout)
                }
                Wait::Request(within)
                | Wait::Answer(within)
                | Wait::Rest(within)
                | Wait::Tunnel(within) => (within, Cause::ResponseTimeout),
            };
            match client.timer.poll_late(within, cx) {
                true => Poll::Ready(Err(cause)),
                false => Poll::Pending,
            }
        });
        let head = head.await?;
        if head.status == 101 && up.sending != Sending::Done {
            // The rest of the request would be taken for what is said in the tunnel.
            return Err(Cause::BadResponse);
        }
        let bytes = &upstream.inbox.bytes()[..head.length];
        let framing =
            framing::of_response(responses.lines(), bytes, head.version, head.status, is_to_head);
        framing.map(|framing| Heard { head, framing }).map_err(|_| Cause::BadResponse)
    }

    /// Passes an interim head on, to a client that knows of such.
    async fn pass_interim(
        &mut self,
        attempt: &Attempt<'_>,
        upstream: &Upstream,
        heard: Heard,
        responses: &ResponseReader,
    ) -> io::Result<()> {
        if !old_client::knows_interim(self.head.version) {
            return Ok(());
        }
        let head = heard.head;
        let bytes = &upstream.inbox.bytes()[..head.length];
        let flat = Flat { bytes, lines: responses.lines().list() };
        let additions = attempt.additions(head.status);
        let edits = response::edits(View::Flat(flat), head.status, self.head.version, &additions);
        let mut out = Vec::with_capacity(bytes.len() + 128);
        let parts = ResponseParts {
            status: head.status,
            reason: head.reason.of(bytes),
            edits,
            out: Out::AsSaid,
            going: Going::Interim,
            date: self.lane.clock.wall_time(),
        };
        heads::response(flat, parts, &mut out);
        // An answer is due when it is due, whatever comes before it.
        let begun = self.client.timer.begun();
        self.client.write(&out).await?;
        self.client.timer.resume(begun);
        Ok(())
    }

    /// Passes the answer on, and what is left of the request; what becomes of the client's connection.
    async fn relay(
        &mut self,
        mut relay: Relay<'_>,
        up: &mut Up,
        mut upstream: Upstream,
        heard: Heard,
        responses: &ResponseReader,
    ) -> Result<Then, ()> {
        let Heard { head, framing } = heard;
        let version = self.head.version;
        let out = Out::of(framing, version);
        let (mut lead, going, keeps_upstream);
        {
            let bytes = &upstream.inbox.bytes()[..head.length];
            let flat = Flat { bytes, lines: responses.lines().list() };
            let view = View::Flat(flat);
            let edits = response::edits(view, head.status, version, &relay.additions(head.status));
            going = match () {
                () if head.status == 101 => Going::Switched,
                () if edits.ends_connection
                    || out == Out::UntilClose
                    || !self.goes_on()
                    || self.lane.published.winds_down() =>
                {
                    Going::Over
                }
                () if version == Version::HTTP_10 => Going::Told,
                () => Going::Silently,
            };
            keeps_upstream = head.version == Version::HTTP_11
                && framing != Framing::UntilClose
                && !says(view, b"close");
            lead = Vec::with_capacity(bytes.len() + 4 * 1024);
            let date = self.lane.clock.wall_time();
            let reason = head.reason.of(bytes);
            let parts = ResponseParts { status: head.status, reason, edits, out, going, date };
            heads::response(flat, parts, &mut lead);
        }
        upstream.inbox.skip(head.length);
        up.replay.0 = None;
        self.client.timer.restart();
        if going == Going::Switched {
            self.tunnel(relay, upstream, lead).await;
            return Ok(Then::Linger);
        }
        let mut down = Pump::new(BodyReader::new(framing), out.is_chunked(), lead);
        let ended = self.move_bodies(&mut relay, up, &mut down, &mut upstream).await;
        if let Err(cause) = ended {
            relay.failed(cause);
            if out == Out::UntilClose {
                self.client.socket.end_by_reset();
            }
            return Err(());
        }
        let none = (&Lines::default(), &[][..]);
        let (lines, bytes) = down.body().trailers().unwrap_or(none);
        relay.trailers(View::Flat(Flat { bytes, lines: lines.list() }));
        let is_sent = up.sending == Sending::Done;
        if keeps_upstream && is_sent && upstream.inbox.is_empty() {
            let attempt_timeouts = relay.timeouts();
            let now = self.lane.clock.now();
            let to = relay.target();
            self.lane.kept.keep(to, upstream.socket, now, attempt_timeouts.pool_idle);
        }
        Ok(match (is_sent && up.pump.is_over(), going) {
            (false, _) => Then::Linger,
            // Who did not expect it may have sent the next request already.
            (true, Going::Over) if self.goes_on() => Then::Linger,
            (true, Going::Over) => Then::Close,
            (true, _) => Then::Next,
        })
    }

    /// Moves bytes both ways until the client has all of the answer.
    async fn move_bodies(
        &mut self,
        relay: &mut Relay<'_>,
        up: &mut Up,
        down: &mut Pump,
        upstream: &mut Upstream,
    ) -> Result<(), Cause> {
        let client = &mut *self.client;
        poll_fn(|cx| {
            let before = up.pump.moved + down.moved;
            let from = (&mut upstream.socket, &mut upstream.inbox);
            let passed = down.poll(from, &mut client.socket, cx, |piece, is_end| {
                relay.body(piece, is_end);
            });
            match passed {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(Broken::Writing)) => return Poll::Ready(Err(Cause::ClientGone)),
                Poll::Ready(Err(Broken::Reading)) => return Poll::Ready(Err(Cause::Reset)),
                Poll::Ready(Err(Broken::Malformed)) => {
                    return Poll::Ready(Err(Cause::BadResponse));
                }
                Poll::Pending => {}
            }
            if up.sending == Sending::UnderWay {
                let sent = up.pump.poll(
                    (&mut client.socket, &mut client.inbox),
                    &mut upstream.socket,
                    cx,
                    |piece, is_end| relay.request_body(piece, is_end),
                );
                if let Poll::Ready(sent) = sent {
                    match after_sending(sent) {
                        Ok(sending) => up.sending = sending,
                        Err(cause) => return Poll::Ready(Err(cause)),
                    }
                    client.timer.restart();
                }
            }
            if up.pump.moved + down.moved != before {
                client.timer.restart();
            }
            if up.sending != Sending::UnderWay && client.poll_left(cx).is_ready() {
                return Poll::Ready(Err(Cause::ClientGone));
            }
            let (within, cause) = match relay.wait() {
                _ if down.is_writing() => (client.limits.send_timeout, Cause::ClientGone),
                Wait::Nothing => (Duration::MAX, Cause::Internal),
                Wait::Request(_) if !up.pump.is_writing() && up.sending == Sending::UnderWay => {
                    (client.limits.body_timeout, Cause::ClientTimeout)
                }
                Wait::Request(within)
                | Wait::Answer(within)
                | Wait::Rest(within)
                | Wait::Tunnel(within) => (within, Cause::ResponseTimeout),
            };
            match client.timer.poll_late(within, cx) {
                true => Poll::Ready(Err(cause)),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Passes on whatever comes, both ways, until both sides have ended or nothing moves.
    async fn tunnel(&mut self, mut relay: Relay<'_>, mut upstream: Upstream, lead: Vec<u8>) {
        let client = &mut *self.client;
        let mut up = Pump::new(BodyReader::UntilClose, false, Vec::new());
        let mut down = Pump::new(BodyReader::UntilClose, false, lead);
        let (mut is_up_over, mut was_refused, mut is_down_over) = (false, false, false);
        client.timer.restart();
        let ended = poll_fn(|cx| {
            let before = up.moved + down.moved;
            if !is_down_over {
                let from = (&mut upstream.socket, &mut upstream.inbox);
                let passed = down.poll(from, &mut client.socket, cx, |piece, _| {
                    relay.body(piece, false);
                });
                match passed {
                    Poll::Ready(Ok(())) if client.socket.poll_shutdown(cx).is_ready() => {
                        is_down_over = true;
                    }
                    Poll::Ready(Err(Broken::Reading)) if was_refused => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(Broken::Reading)) => return Poll::Ready(Err(Cause::Reset)),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Cause::ClientGone)),
                    _ => {}
                }
            }
            if !is_up_over {
                let from = (&mut client.socket, &mut client.inbox);
                let sent = up.poll(from, &mut upstream.socket, cx, |piece, _| {
                    relay.request_body(piece, false);
                });
                match sent {
                    Poll::Ready(Ok(())) if upstream.socket.poll_shutdown(cx).is_ready() => {
                        is_up_over = true;
                    }
                    Poll::Ready(Err(Broken::Reading)) => {
                        return Poll::Ready(Err(Cause::ClientGone));
                    }
                    // It takes no more, and may have more to say.
                    Poll::Ready(Err(_)) => (is_up_over, was_refused) = (true, true),
                    _ => {}
                }
            }
            if is_up_over && is_down_over {
                return Poll::Ready(Ok(()));
            }
            if up.moved + down.moved != before {
                client.timer.restart();
            }
            let Wait::Tunnel(within) = relay.wait() else { return Poll::Ready(Ok(())) };
            // That both sides leave it idle is nobody's failure.
            match client.timer.poll_tunnel(within, cx) {
                true => Poll::Ready(Err(Cause::ClientGone)),
                false => Poll::Pending,
            }
        });
        if let Err(cause) = ended.await {
            relay.failed(cause);
        }
    }

    /// Whether the client wants to send another request on its connection.
    fn goes_on(&self) -> bool {
        let known = self.lines.known();
        match self.head.version == Version::HTTP_10 {
            false => !known.has(FieldId::Connection) || !says(View::Flat(self.flat), b"close"),
            true => known.has(FieldId::Connection) && says(View::Flat(self.flat), b"keep-alive"),
        }
    }

    /// Writes an answer of ours. `left` is what is left of the request, if its end can be known.
    async fn tell(&mut self, answer: &Answer, left: Option<Framing>) -> Then {
        let asks_to_send = self.lines.known().has(FieldId::Expect);
        let can_skip = match left {
            Some(Framing::Empty) => true,
            // Not if the client waits to be asked for it.
            Some(Framing::Length(length)) => length <= LONGEST_SKIPPED && !asks_to_send,
            _ => false,
        };
        let goes_on = answer.keeps_connection
            && can_skip
            && self.goes_on()
            && !self.lane.published.winds_down();
        let going = match (goes_on, self.head.version == Version::HTTP_10) {
            (false, _) => Going::Over,
            (true, true) => Going::Told,
            (true, false) => Going::Silently,
        };
        let mut out = Vec::with_capacity(answer.body.len() + 512);
        let date = self.lane.clock.wall_time();
        heads::answer(answer, self.method == Method::HEAD, going, date, &mut out);
        if self.client.write(&out).await.is_err() {
            return Then::Close;
        }
        match left {
            Some(Framing::Empty) if goes_on => Then::Next,
            Some(Framing::Length(length)) if goes_on && self.skip(length).await => Then::Next,
            _ => Then::Linger,
        }
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

/// A client that has left while it was written to.
const GONE: Delivery = Delivery { was_sent: true, was_stale: false, can_replay: false };

/// Whether the body of a request has yet to come.
fn upload(up: &Up) -> Upload {
    match up.pump.body() {
        BodyReader::Length(0) => Upload::Done,
        _ if up.pump.is_over() => Upload::Done,
        _ => Upload::ToCome,
    }
}

/// What follows from the end of an upload.
fn after_sending(sent: Result<(), Broken>) -> Result<Sending, Cause> {
    match sent {
        Ok(()) => Ok(Sending::Done),
        Err(Broken::Writing) => Ok(Sending::Refused),
        Err(Broken::Reading) => Err(Cause::ClientGone),
        Err(Broken::Malformed) => Err(Cause::BadRequest(BadRequest::Malformed)),
    }
}

/// Whether `Connection` says this.
fn says(view: View<'_>, token: &[u8]) -> bool {
    let mut tokens = hop_by_hop::tokens(view.all_of(FieldId::Connection));
    tokens.any(|said| said.eq_ignore_ascii_case(token))
}

/// Why there is no connection to an upstream.
fn dial_cause(error: &io::Error) -> Cause {
    match error.kind() {
        _ if is_exhaustion(error) => Cause::Exhausted,
        io::ErrorKind::TimedOut => Cause::ConnectTimeout,
        _ => Cause::Connect,
    }
}
