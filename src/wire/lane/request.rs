//! One request: its head in, an answer to the client and a record out.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Instant;

use http::uri::Scheme;
use http::{HeaderMap, Method};

use super::super::h2::heads as http2;
use super::super::limited::Limit;
use super::super::socket::Socket;
use super::super::tls::dial::is_handshakes;
use super::buffer::Buffer;
use super::client::Client;
use super::heads::{self, Going, Out, RequestParts, ResponseParts};
use super::sending::Sending;
use super::target::Target;
use super::{Lane, answering, door};
use crate::exchange::Exchange;
use crate::exchange::phases::{Admission, Admitted, Attempt, Delivery, Link, Next, Relay, Sent};
use crate::http::admission::{Head, RequestTarget, Upload};
use crate::http::answer::Answer;
use crate::http::codec::Limits;
use crate::http::codec::framing::{self, Framing};
use crate::http::codec::lines::Lines;
use crate::http::codec::request::{RequestHead, RequestReader};
use crate::http::codec::response::{ResponseHead, ResponseReader};
use crate::http::codec::write::{self, HEAD_END};
use crate::http::failure::Cause;
use crate::http::fields::{FieldId, Fields};
use crate::http::forwarded::Peer;
use crate::http::old_client;
use crate::http::response;
use crate::http::trailers;
use crate::http::view::{Flat, View};
use crate::outgoing::dial::is_exhaustion;
use crate::upstream::DialAddress;

/// How much of an upstream's head is taken.
const HEAD: Limits = Limits { bytes: 1024 * 1024, fields: 1_000 };

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Then {
    /// It carries the next request.
    Next,
    /// It ends.
    Close,
    /// It ends, and the client may still be sending.
    Linger,
    /// It breaks off: what the client has is not whole.
    Break,
}

/// A request whose head has been read.
pub(in crate::wire) struct Request<'c> {
    pub(super) lane: &'c Lane,
    pub(super) client: &'c mut Client,
    pub(super) peer: &'c Peer,
    pub(super) head: &'c RequestHead,
    pub(super) flat: Flat<'c>,
    pub(super) lines: &'c Lines,
    pub(super) method: Method,
    pub(super) target: Target<'c>,
}

/// A connection to an upstream.
pub(super) struct Upstream {
    pub(super) socket: Socket,
    /// What it has sent and nobody has read.
    pub(super) inbox: Buffer,
    link: Link,
}

impl Upstream {
    /// How far a request had got on it that came to nothing.
    fn gave_up(&self, cause: Cause, can_replay: bool) -> Delivery {
        let was_kept = self.link == Link::Kept;
        let (mut was_stale, mut was_refused) = (was_kept, false);
        if let Socket::Stream(stream) = &self.socket {
            (was_stale, was_refused) = (stream.was_stale(was_kept), stream.was_refused());
            if cause == Cause::ResponseTimeout {
                stream.distrust();
            }
        }
        was_stale &= cause == Cause::Reset && self.inbox.is_empty();
        // What says that it has not looked at a request is as good as not asked.
        Delivery { was_sent: !(was_refused && can_replay), was_stale, can_replay }
    }
}

/// What became of a request that asks for a place.
enum Placed<'e> {
    Forward(Admitted<'e>),
    Answer(Box<Answer>),
    /// Its client has left while it stood in line.
    Left,
}

/// A head of the upstream's, the first in its inbox.
pub(super) struct Heard {
    pub(super) head: ResponseHead,
    pub(super) framing: Framing,
}

impl Heard {
    /// Its bytes and where its fields lie.
    pub(super) fn flat<'r>(
        &self,
        upstream: &'r Upstream,
        responses: &'r ResponseReader,
    ) -> Flat<'r> {
        let bytes = &upstream.inbox.bytes()[..self.head.length];
        Flat::of_lines(bytes, responses.lines())
    }
}

impl<'c> Request<'c> {
    pub(in crate::wire) fn new(
        lane: &'c Lane,
        client: &'c mut Client,
        peer: &'c Peer,
        head: &'c RequestHead,
        bytes: &'c [u8],
        lines: &'c Lines,
    ) -> Request<'c> {
        let flat = Flat::of_lines(bytes, lines);
        // The codec has checked that it is a token.
        let method = Method::from_bytes(head.method.of(bytes)).unwrap_or_default();
        let target = Target::read(head, &method, bytes);
        Request { lane, client, peer, head, flat, lines, method, target }
    }

    /// Serves it.
    pub(in crate::wire) async fn serve(mut self, responses: &mut ResponseReader) -> Then {
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
                let answer =
                    exchange.refuse(cause, (self.head.version, &Fields::new(view)), self.peer);
                let then = self.tell(&answer, None).await;
                exchange.end(Some(answer.status), &sent);
                return then;
            }
        };
        let body = self.client.socket.body(framing);
        let mut sending = Sending::new(framing, body, self.announces(framing));
        let attempt = match self.place(&mut exchange, framing).await {
            Placed::Forward(admitted) => {
                let attempt = admitted.next();
                sending.bound(attempt.body_limit());
                attempt
            }
            Placed::Answer(answer) => {
                let then = self.tell(&answer, Some(framing)).await;
                self.offer(exchange.end(Some(answer.status), &sent));
                return then;
            }
            Placed::Left => {
                exchange.left();
                self.offer(exchange.end(None, &sent));
                return Then::Break;
            }
        };
        let (told, then) = match self.ask(attempt, &mut sending, responses).await {
            Ok((relay, upstream, heard)) => {
                let status = heard.head.status;
                let then = self.relay(relay, &mut sending, upstream, heard, responses).await;
                (Some(status), then)
            }
            Err(Cause::ClientGone) => (None, Then::Break),
            Err(cause) => {
                let answer = exchange.give_up(cause, &Fields::new(view));
                let left = sending.is_read().then_some(Framing::Empty);
                let then = self.tell(&answer, left).await;
                (Some(answer.status), then)
            }
        };
        self.offer(exchange.end(told, &sent));
        then
    }

    /// The names of trailers that it says will follow its body, and that may go on.
    fn announces(&self, framing: Framing) -> Option<Box<[u8]>> {
        let may = framing == Framing::Chunked && self.lines.known().has(FieldId::Trailer);
        may.then(|| trailers::announced(&Fields::new(View::Flat(self.flat)))).flatten()
    }

    fn offer(&self, copied: Option<crate::mirror::Copied>) {
        copied.into_iter().for_each(|copied| self.lane.mirrors.offer(copied));
    }

    /// Has it admitted, and listens to the client while it stands in line.
    async fn place<'e>(&mut self, exchange: &'e mut Exchange, framing: Framing) -> Placed<'e> {
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
            upload: Sending::to_come(framing, self.client.inbox.len()),
        };
        let mut upload = head.upload;
        let client = &mut *self.client;
        let mut admission = exchange.admit(&head, self.peer);
        loop {
            let mut line = match admission {
                Admission::Forward(admitted) => return Placed::Forward(admitted),
                Admission::Answer(answer) => return Placed::Answer(answer),
                Admission::Wait(line) => line,
                Admission::Door(door) => {
                    let to_come = |client: &Client| Sending::to_come(framing, client.inbox.len());
                    // Rare and large, as below.
                    let found = Box::pin(door::find_out(self.lane, client, door, to_come)).await;
                    let Some(found) = found else { return Placed::Left };
                    upload = Sending::to_come(framing, client.inbox.len());
                    admission = found;
                    continue;
                }
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
                    let now = Sending::to_come(framing, client.inbox.len());
                    if std::mem::replace(&mut upload, now) != now {
                        // It has all of its body now, and other chances.
                        return Poll::Ready(Some(true));
                    }
                    match client.timer.poll_late(within, cx) {
                        true => Poll::Ready(Some(false)),
                        false => Poll::Pending,
                    }
                })
                .await
            };
            if upload == Upload::Done {
                line.has_all();
            }
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
        sending: &mut Sending,
        responses: &mut ResponseReader,
    ) -> Result<(Relay<'e>, Upstream, Heard), Cause> {
        let mut connected: Option<Upstream> = None;
        loop {
            let begun = match connected.take() {
                Some(upstream) => Ok(upstream),
                None => self.begin(&mut attempt, sending).await,
            };
            let mut upstream = match begun {
                Ok(upstream) => upstream,
                Err(cause) => {
                    let can_replay = sending.can_replay();
                    let delivery = Delivery { was_sent: false, was_stale: false, can_replay };
                    attempt = attempt.failed(cause, delivery)?;
                    continue;
                }
            };
            responses.begin();
            let heard = match self.hear(&mut attempt, sending, &mut upstream, responses).await {
                Ok(heard) => heard,
                Err(cause) => {
                    let delivery = upstream.gave_up(cause, sending.can_replay());
                    attempt = attempt.failed(cause, delivery)?;
                    continue;
                }
            };
            let delivery =
                Delivery { was_sent: true, was_stale: false, can_replay: sending.can_replay() };
            let view = View::Flat(heard.flat(&upstream, responses));
            attempt = match attempt.head(heard.head.status, view, delivery) {
                Next::Forward(relay) => return Ok((relay, upstream, heard)),
                Next::Answer(cause) => return Err(cause),
                Next::Again(again) => again,
                Next::Interim(same) => {
                    let passed = self.pass_interim(&same, &upstream, &heard, responses).await;
                    if passed.is_err() {
                        // Nobody else is asked for it.
                        drop(same.failed(Cause::ClientGone, delivery));
                        return Err(Cause::ClientGone);
                    }
                    upstream.inbox.skip(heard.head.length);
                    // It has answered: not one that was dead already.
                    upstream.link = Link::New;
                    connected = Some(upstream);
                    same
                }
            };
        }
    }

    /// Begins an attempt: a connection, and the request's head on its way.
    async fn begin(
        &mut self,
        attempt: &mut Attempt<'_>,
        sending: &mut Sending,
    ) -> Result<Upstream, Cause> {
        if !attempt.pause().is_zero() && self.client.pause(attempt.pause()).await {
            return Err(Cause::ClientGone);
        }
        let (mut upstream, now) = self.connect(attempt).await?;
        attempt.connected(upstream.link, now);
        if attempt.withholds_trailers() {
            sending.withhold_trailers();
        }
        let parts = RequestParts {
            peer: self.peer,
            id: attempt.request_id(),
            nominates: attempt.nominates(),
            switches: attempt.switches(),
            host: attempt.host(),
            trailers: sending.announced(),
        };
        let mut lead = Vec::new();
        let instead = attempt.path_and_query();
        let text = instead.as_deref().unwrap_or(&self.target.text);
        let mut sent =
            Sent { method: &self.method, path_and_query: text, view: View::Flat(self.flat) };
        if let Socket::Stream(stream) = &mut upstream.socket {
            let mut fields = HeaderMap::with_capacity(self.flat.lines.len() + 8);
            heads::request(self.flat, attempt.edits(), &parts, &mut fields);
            sent.view = View::Map(&fields);
            attempt.request_head(&sent, sending.upload());
            let (method, target) = (&self.method, text);
            let scheme = match attempt.target() {
                DialAddress::Tls(_) => Scheme::HTTPS,
                DialAddress::Socket(_) | DialAddress::Unix(_) | DialAddress::Proxied(_) => {
                    Scheme::HTTP
                }
            };
            let request = http2::to_upstream(method, target, scheme, fields);
            let is_sent = request
                .is_some_and(|request| stream.send_request(request, sending.is_empty()).is_ok());
            if !is_sent {
                return Err(Cause::Reset);
            }
        } else {
            lead = Vec::with_capacity(self.flat.bytes.len() + 512);
            let target = instead.as_deref().map_or(&*self.target.origin, str::as_bytes);
            write::request_line(self.method.as_str().as_bytes(), target, &mut lead);
            heads::request(self.flat, attempt.edits(), &parts, &mut lead);
            lead.extend_from_slice(HEAD_END);
            if attempt.is_copied() {
                self.copy_head(attempt, text, &lead, sending.upload());
            } else {
                attempt.request_head(&sent, sending.upload());
            }
        }
        let in_frames = upstream.socket.is_stream();
        sending.begin(lead, in_frames, (&mut *self.client, now), |piece, is_end| {
            attempt.request_body(piece, is_end);
        });
        Ok(upstream)
    }

    /// Tells the exchange of a head that is copied, as it is sent.
    fn copy_head(&self, attempt: &mut Attempt<'_>, target: &str, lead: &[u8], upload: Upload) {
        let mut reader = RequestReader::default();
        let limits = Limits { bytes: lead.len(), fields: usize::MAX };
        // What we have written can be read.
        let Ok(Some(_)) = reader.read(lead, limits) else { return };
        let view = View::Flat(Flat::of_lines(lead, reader.lines()));
        let sent = Sent { method: &self.method, path_and_query: target, view };
        attempt.request_head(&sent, upload);
    }

    /// A kept connection to the upstream, or a new one, and since when.
    async fn connect(&mut self, attempt: &mut Attempt<'_>) -> Result<(Upstream, Instant), Cause> {
        attempt.speak_for_client(self.peer, || self.client.own_address());
        let to = attempt.target();
        if attempt.is_http2() {
            let upstream = self.connect_http2(attempt).await?;
            return Ok((upstream, self.lane.clock.now()));
        }
        let now = self.lane.clock.now();
        if let Some(socket) = self.lane.kept.take(to, now) {
            return Ok((Upstream { socket, inbox: Buffer::default(), link: Link::Kept }, now));
        }
        let within = attempt.timeouts().connect;
        let dialled = self.client.unless_left(within, Socket::connect(to)).await?;
        let socket = dialled.map_err(|error| dial_cause(&error))?;
        let upstream = Upstream { socket, inbox: Buffer::default(), link: Link::New };
        Ok((upstream, self.lane.clock.now()))
    }

    /// The same in HTTP/2: a stream on a connection that there is, or on a new one.
    async fn connect_http2(&mut self, attempt: &Attempt<'_>) -> Result<Upstream, Cause> {
        let (to, timeouts) = (attempt.target(), attempt.timeouts());
        let upstreams = &self.lane.upstreams;
        let until = (self.lane.clock.now(), timeouts.pool_idle);
        let at = upstreams.own();
        let taken = poll_fn(|cx| Poll::Ready(upstreams.take(at, to, until, cx))).await;
        if let Some(stream) = taken {
            let socket = Socket::Stream(Box::new(stream));
            return Ok(Upstream { socket, inbox: Buffer::default(), link: Link::Kept });
        }
        let opened = async {
            let socket = Socket::connect(to).await?;
            upstreams.open(at, to, socket, until).await
        };
        let stream = self.client.unless_left(timeouts.connect, opened).await?;
        let stream = stream.map_err(|error| dial_cause(&error))?;
        let socket = Socket::Stream(Box::new(stream));
        Ok(Upstream { socket, inbox: Buffer::default(), link: Link::New })
    }

    /// Sends the request, and reads the next head of the upstream's.
    async fn hear(
        &mut self,
        attempt: &mut Attempt<'_>,
        sending: &mut Sending,
        upstream: &mut Upstream,
        responses: &mut ResponseReader,
    ) -> Result<Heard, Cause> {
        let (is_to_head, ends) = (self.method == Method::HEAD, attempt.ends());
        let (client, limited) = (&mut *self.client, &self.lane.limited);
        let mut was_asked = false;
        let head = poll_fn(|cx| {
            // First, for a fast upload goes on for as long as it may.
            loop {
                let come = upstream.inbox.bytes();
                let read = if come.is_empty() { Ok(None) } else { responses.read(come, HEAD) };
                match read {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(Cause::BadResponse)),
                }
                let read = match std::mem::replace(&mut was_asked, true) {
                    false => upstream.inbox.poll_fill(&mut upstream.socket, cx),
                    true => upstream.inbox.poll_fill_woken(&mut upstream.socket, cx),
                };
                match read {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(Err(Cause::Reset)),
                    Poll::Pending => break,
                }
            }
            let sent = sending.poll(client, &mut upstream.socket, cx, |piece, is_end| {
                attempt.request_body(piece, is_end);
            });
            if let Err(cause) = sent {
                return Poll::Ready(Err(cause));
            }
            if !sending.is_under_way() && client.poll_left(cx).is_ready() {
                return Poll::Ready(Err(Cause::ClientGone));
            }
            if ends.is_some_and(|ends| client.timer.poll_over(ends, cx)) {
                // Its client has chosen the time, which says nothing of who is asked.
                return Poll::Ready(Err(Cause::CallOver));
            }
            let (within, cause) = sending.due(attempt.wait(), &client.limits);
            if !client.timer.poll_late(within, cx) {
                return Poll::Pending;
            }
            if sending.is_too_slow() {
                limited.count(Limit::BodyRate);
            }
            Poll::Ready(Err(cause))
        });
        let head = head.await?;
        if head.status == 101 && !sending.is_done() {
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
        heard: &Heard,
        responses: &ResponseReader,
    ) -> io::Result<()> {
        if !old_client::knows_interim(self.head.version) {
            return Ok(());
        }
        let flat = heard.flat(upstream, responses);
        let status = heard.head.status;
        let edits = response::edits(View::Flat(flat), status, attempt.additions(status, self.peer));
        let (framed, going, clock) = (Out::AsSaid, Going::Silently, self.lane.clock);
        let has_other_length = false;
        let parts =
            ResponseParts { status, edits: &edits, out: framed, going, has_other_length, clock };
        if let Socket::Stream(stream) = &mut self.client.socket {
            let mut fields = HeaderMap::new();
            heads::response(flat, parts, &mut fields);
            return stream.send_interim(answering::status(status), fields);
        }
        let mut out = Vec::with_capacity(flat.bytes.len() + 128);
        write::status_line(status, heard.head.reason.of(flat.bytes), &mut out);
        heads::response(flat, parts, &mut out);
        out.extend_from_slice(HEAD_END);
        // An answer is due when it is due, whatever comes before it.
        let begun = self.client.timer.begun();
        self.client.write(&out).await?;
        self.client.timer.resume(begun);
        Ok(())
    }
}

/// Why there is no connection to an upstream.
fn dial_cause(error: &io::Error) -> Cause {
    match error.kind() {
        _ if is_exhaustion(error) => Cause::Exhausted,
        _ if is_handshakes(error) => Cause::UpstreamTls,
        io::ErrorKind::TimedOut => Cause::ConnectTimeout,
        _ => Cause::Connect,
    }
}
