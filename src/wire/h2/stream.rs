//! One stream of an HTTP/2 connection as a socket: frames in, the bytes of HTTP/1.1 out, and the other way
//! round.
//!
//! What comes begins with the other end's head as HTTP/1.1 writes it, so that the one codec reads it that
//! reads every other head, and nothing gets past that it would refuse. The body follows as it is: its end is
//! the stream's. What goes out is a head as a map, the body's bytes, and an end or trailers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};

use super::heads;
use super::upstreams::Use;

/// One stream.
#[derive(Debug)]
pub struct Stream {
    coming: Coming,
    /// What has come and was not read: a head, or a piece of the body.
    here: Bytes,
    /// Whether that is of the body, for which the other end waits to be told that there is room again.
    is_body: bool,
    /// What came behind the body.
    trailers: Option<HeaderMap>,
    going: Going,
    /// The upstream's connection, while this uses it.
    used: Option<Use>,
    /// What the upstream's end of it says of the request.
    untaken: Untaken,
}

/// Whether an upstream that has not answered may have done something with the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Untaken {
    /// It may have.
    #[default]
    No,
    /// It says that it has not (RFC 9113, 8.7).
    Refused,
    /// Its connection is gone: it may have been when the request was sent.
    Lost,
}

/// What comes next.
#[derive(Debug)]
enum Coming {
    /// Nothing before a request has gone out.
    Nothing,
    /// Heads of an upstream's.
    Heads(ResponseFuture),
    /// A body.
    Body(RecvStream),
    /// No more.
    Over,
}

/// What goes next.
enum Going {
    /// A request.
    Request(SendRequest<Bytes>),
    /// The head of an answer.
    Answer(SendResponse<Bytes>),
    /// A body.
    Body(SendStream<Bytes>),
    /// No more; what tells that the other end has no use for the rest.
    Over(SendStream<Bytes>),
    /// Nothing goes any more.
    Lost,
}

impl std::fmt::Debug for Going {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Going::Request(_) => "Request",
            Going::Answer(_) => "Answer",
            Going::Body(_) => "Body",
            Going::Over(_) => "Over",
            Going::Lost => "Lost",
        })
    }
}

impl Stream {
    /// A request of a client's, which begins with its head.
    pub(super) fn of_client(head: Bytes, body: RecvStream, respond: SendResponse<Bytes>) -> Stream {
        Stream {
            coming: Coming::Body(body),
            here: head,
            is_body: false,
            trailers: None,
            going: Going::Answer(respond),
            used: None,
            untaken: Untaken::No,
        }
    }

    /// A request to an upstream, on a connection that takes one more.
    pub(super) fn to_upstream(send: SendRequest<Bytes>, used: Use) -> Stream {
        Stream {
            coming: Coming::Nothing,
            here: Bytes::new(),
            is_body: false,
            trailers: None,
            going: Going::Request(send),
            used: Some(used),
            untaken: Untaken::No,
        }
    }

    /// Whether nothing more comes than what is here.
    pub(in crate::wire) fn has_all(&self) -> bool {
        match &self.coming {
            Coming::Body(body) => body.is_end_stream(),
            Coming::Over => true,
            Coming::Nothing | Coming::Heads(_) => false,
        }
    }

    /// Waits until there is something to read, or the end.
    pub(in crate::wire) fn poll_come(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.here.is_empty() {
            match &mut self.coming {
                Coming::Heads(response) => {
                    if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
                        let interim = interim.map_err(|error| self.untaken.note(error))?;
                        self.here = heads::response(&interim.into_parts().0);
                        continue;
                    }
                    let answer = ready!(Pin::new(response).poll(cx));
                    let answer = answer.map_err(|error| self.untaken.note(error))?;
                    let (parts, body) = answer.into_parts();
                    self.here = heads::response(&parts);
                    self.coming = Coming::Body(body);
                }
                Coming::Body(body) => match ready!(body.poll_data(cx)) {
                    Some(piece) => (self.here, self.is_body) = (piece.map_err(broken)?, true),
                    None => {
                        self.trailers = ready!(body.poll_trailers(cx)).map_err(broken)?;
                        self.coming = Coming::Over;
                    }
                },
                Coming::Over => return Poll::Ready(Ok(())),
                Coming::Nothing => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for its end; more of a body is an error.
    pub(in crate::wire) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_come(cx))?;
        Poll::Ready(if self.here.is_empty() { Ok(()) } else { Err(lost()) })
    }

    /// Reads into `into`; 0 at the end.
    pub(in crate::wire) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_come(cx))?;
        let length = self.here.len().min(into.len());
        self.here.copy_to_slice(&mut into[..length]);
        if let Coming::Body(body) = &mut self.coming
            && self.is_body
        {
            // Fails where nobody counts any more.
            let _ = body.flow_control().release_capacity(length);
        }
        Poll::Ready(Ok(length))
    }

    /// What came behind the body, once.
    pub(in crate::wire) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// Sends a request's head to the upstream.
    pub(in crate::wire) fn send_request(
        &mut self,
        request: Request<()>,
        is_end: bool,
    ) -> io::Result<()> {
        let Going::Request(send) = &mut self.going else { return Err(lost()) };
        let (response, body) = send.send_request(request, is_end).map_err(broken)?;
        self.coming = Coming::Heads(response);
        self.going = if is_end { Going::Over(body) } else { Going::Body(body) };
        Ok(())
    }

    /// Sends an interim head to the client.
    pub(in crate::wire) fn send_interim(
        &mut self,
        status: StatusCode,
        fields: HeaderMap,
    ) -> io::Result<()> {
        let Going::Answer(respond) = &mut self.going else { return Err(lost()) };
        respond.send_informational(head(status, fields)).map_err(broken)
    }

    /// Sends the head of the answer to the client.
    pub(in crate::wire) fn send_answer(
        &mut self,
        status: StatusCode,
        fields: HeaderMap,
        is_end: bool,
    ) -> io::Result<()> {
        let Going::Answer(respond) = &mut self.going else { return Err(lost()) };
        let body = respond.send_response(head(status, fields), is_end).map_err(broken)?;
        self.going = if is_end { Going::Over(body) } else { Going::Body(body) };
        Ok(())
    }

    /// Writes the beginning of these, as much as the other end has room for. `is_end`: nothing follows
    /// them.
    pub(in crate::wire) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: [&[u8]; 3],
        is_end: bool,
    ) -> Poll<io::Result<usize>> {
        let Going::Body(body) = &mut self.going else { return Poll::Ready(Err(lost())) };
        let wanted = parts.iter().map(|part| part.len()).sum();
        body.reserve_capacity(wanted);
        while body.capacity() == 0 {
            match ready!(body.poll_capacity(cx)) {
                Some(room) => drop(room.map_err(broken)?),
                None => return Poll::Ready(Err(lost())),
            }
        }
        let taken = wanted.min(body.capacity());
        let mut piece = BytesMut::with_capacity(taken);
        for part in parts {
            piece.extend_from_slice(&part[..part.len().min(taken - piece.len())]);
        }
        let is_end = is_end && taken == wanted;
        body.send_data(piece.freeze(), is_end).map_err(broken)?;
        if is_end {
            self.end_going();
        }
        Poll::Ready(Ok(taken))
    }

    /// Ends what goes out, with these behind it if there are any.
    pub(in crate::wire) fn end(&mut self, trailers: HeaderMap) {
        if let Going::Body(body) = &mut self.going {
            // Where it fails the other end has left.
            let _ = match trailers.is_empty() {
                true => body.send_data(Bytes::new(), true),
                false => body.send_trailers(trailers),
            };
            self.end_going();
        }
    }

    fn end_going(&mut self) {
        if let Going::Body(body) = std::mem::replace(&mut self.going, Going::Lost) {
            self.going = Going::Over(body);
        }
    }

    /// Breaks it off where it has not ended: the other end is to see that something is missing.
    pub(in crate::wire) fn reset(&mut self, reason: Reason) {
        match &mut self.going {
            Going::Answer(respond) => respond.send_reset(reason),
            Going::Body(body) => body.send_reset(reason),
            Going::Request(_) | Going::Over(_) | Going::Lost => {}
        }
    }

    /// Ready when the other end has broken it off.
    pub(in crate::wire) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.going {
            Going::Answer(respond) => respond.poll_reset(cx).map(drop),
            Going::Body(body) | Going::Over(body) => body.poll_reset(cx).map(drop),
            Going::Request(_) => Poll::Pending,
            Going::Lost => Poll::Ready(()),
        }
    }

    /// Whether that the upstream has not answered is nobody's failure. `was_kept`: on a connection that
    /// there was before.
    pub(in crate::wire) fn was_stale(&self, was_kept: bool) -> bool {
        self.was_refused() || self.untaken == Untaken::Lost && was_kept
    }

    /// Whether the upstream says that it has done nothing with the request, so that it may be sent again
    /// whatever it asks for.
    pub(in crate::wire) fn was_refused(&self) -> bool {
        self.untaken == Untaken::Refused
    }

    /// The upstream does not answer on this connection: others need not try it.
    pub(in crate::wire) fn distrust(&self) {
        self.used.iter().for_each(Use::distrust);
    }
}

impl Untaken {
    /// Hears why there is no answer.
    fn note(&mut self, error: h2::Error) -> io::Error {
        let is_refused = error.reason() == Some(Reason::REFUSED_STREAM);
        *self = match () {
            // What a goodbye ends was not begun: what was is answered.
            () if is_refused || error.is_go_away() => Untaken::Refused,
            () if error.is_io() => Untaken::Lost,
            () => Untaken::No,
        };
        broken(error)
    }
}

fn head(status: StatusCode, fields: HeaderMap) -> Response<()> {
    let mut head = Response::new(());
    (*head.status_mut(), *head.headers_mut()) = (status, fields);
    head
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(lost);
    }
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

fn lost() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
