//! The answer of an upstream on its way to the client, with what is left of the request beside it; and
//! tunnels.

use std::future::poll_fn;
use std::task::Poll;

use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, Method, Version};
use smallvec::SmallVec;

use super::super::h2::heads as http2;
use super::super::limited::Limit;
use super::super::socket::Socket;
use super::answering;
use super::heads::{self, Going, Out, ResponseParts};
use super::pump::{Broken, Passes, Pump};
use super::request::{Heard, Request, Then, Upstream};
use super::sending::Sending;
use super::timer::TunnelOver;
use crate::exchange::Wait;
use crate::exchange::phases::Relay;
use crate::http::codec::body::BodyReader;
use crate::http::codec::framing::Framing;
use crate::http::codec::response::ResponseReader;
use crate::http::codec::write::{self, HEAD_END};
use crate::http::compression::{self, Choice};
use crate::http::failure::Cause;
use crate::http::fields::{FieldId, Fields};
use crate::http::hop_by_hop;
use crate::http::old_client;
use crate::http::response::{self, Leaving};
use crate::http::trailers;
use crate::http::view::View;

/// Room for what we add to a head, and for the small body that follows it, in bytes.
const ADDED: usize = 256;
const GATHERED: usize = 4 * 1024;

/// The length that an answer without a body says it would have.
fn length_said(answer: View<'_>) -> Option<u64> {
    std::str::from_utf8(answer.first_of(FieldId::ContentLength)?).ok()?.trim().parse().ok()
}

impl Request<'_> {
    /// Passes the answer on, and what is left of the request; what becomes of the client's connection.
    pub(super) async fn relay(
        &mut self,
        mut relay: Relay<'_>,
        sending: &mut Sending,
        mut upstream: Upstream,
        heard: Heard,
        responses: &ResponseReader,
    ) -> Then {
        let Heard { head, framing } = heard;
        let flat = heard.flat(&upstream, responses);
        let (status, view) = (head.status, View::Flat(flat));
        let mut edits = response::edits(view, status, relay.additions(status, self.peer));
        // Or its end came with its head, without a word of a length.
        let is_over = matches!(&upstream.socket, Socket::Stream(other) if other.has_all());
        let (mut coder, mut has_other_length) = (None, false);
        if let Some(compression) = relay.compression() {
            let length = match framing {
                _ if self.method == Method::HEAD => length_said(view),
                Framing::Empty => Some(0),
                Framing::Length(length) => Some(length),
                Framing::Chunked | Framing::UntilClose => is_over.then_some(0),
            };
            let knows_chunks = old_client::knows_chunks(self.head.version);
            let asked = View::Flat(self.flat);
            let accepted = || asked.all(&ACCEPT_ENCODING).filter(move |_| knows_chunks);
            let leaving = Leaving { came: view, edits: &edits };
            let mut choice = compression.choose(status, &leaving, length, asked, accepted);
            // The answer to a `HEAD` says what one to a `GET` would, and has no body.
            if let Some(coding) = choice.coding().filter(|_| framing != Framing::Empty) {
                match self.lane.coders.make(coding) {
                    Ok(made) => coder = Some(made),
                    // There is no room for it.
                    Err(_) => choice = Choice::ForOthers,
                }
            }
            let mut changes = SmallVec::<[_; 4]>::new();
            choice.edit(&leaving, &mut changes);
            edits.extend(changes);
            has_other_length = choice.coding().is_some();
        }
        let out = match coder {
            Some(_) => Out::coded(framing, self.head.version),
            None => Out::of(framing, self.head.version),
        };
        let going = match status {
            101 => Going::Switched,
            _ => self.going(out != Out::UntilClose),
        };
        let keeps_upstream = head.version == Version::HTTP_11
            && !upstream.socket.is_stream()
            && framing != Framing::UntilClose
            && !hop_by_hop::says(view, b"close");
        // As little as is likely to be needed: the allocator has little rooms at hand.
        let small = match framing {
            Framing::Empty => 0,
            Framing::Length(length) => usize::try_from(length).unwrap_or(GATHERED).min(GATHERED),
            Framing::Chunked | Framing::UntilClose => GATHERED,
        };
        let clock = self.lane.clock;
        let parts = ResponseParts { status, edits: &edits, out, going, has_other_length, clock };
        let mut lead = Vec::new();
        if let Socket::Stream(stream) = &mut self.client.socket {
            let mut fields = HeaderMap::with_capacity(flat.lines.len() + 4);
            heads::response(flat, parts, &mut fields);
            drop(edits);
            let told = match going {
                Going::Switched => http2::switched(&mut fields),
                _ => answering::status(status),
            };
            let is_end = (framing == Framing::Empty || is_over) && going != Going::Switched;
            if stream.send_answer(told, fields, is_end).is_err() {
                relay.failed(Cause::ClientGone);
                return Then::Break;
            }
        } else {
            lead = Vec::with_capacity(flat.bytes.len() + ADDED + small);
            write::status_line(status, head.reason.of(flat.bytes), &mut lead);
            heads::response(flat, parts, &mut lead);
            drop(edits);
            lead.extend_from_slice(HEAD_END);
        }
        upstream.inbox.skip(head.length);
        sending.forget();
        self.client.timer.restart();
        if going == Going::Switched {
            self.tunnel(relay, upstream, lead).await;
            return Then::Linger;
        }
        let body = upstream.socket.body(framing).of_response();
        let mut down = Pump::new(body, out.is_chunked(), lead);
        if let Some(coder) = coder {
            // One whose length was said is on its way as a whole; another may wait for what it tells next.
            down = down.coded(coder, !matches!(framing, Framing::Length(_)));
        }
        let takes_trailers = self.takes_trailers();
        let mut withheld = match takes_trailers || self.client.socket.is_stream() {
            true => relay.withheld(),
            false => Vec::new(),
        };
        if down.is_coded() {
            withheld.extend(compression::withheld());
        }
        if takes_trailers {
            down = down.passing(match withheld[..] {
                [] => Passes::All,
                _ => Passes::AllBut(withheld.clone().into()),
            });
        }
        if let Err(cause) = self.move_bodies(&mut relay, sending, &mut down, &mut upstream).await {
            relay.failed(cause);
            if out == Out::UntilClose {
                // Its end would look like the answer's.
                self.client.socket.end_by_reset();
            }
            return Then::Break;
        }
        relay.trailers(down.trailers());
        if self.client.socket.is_stream() {
            let mut passed = HeaderMap::new();
            trailers::write_but(down.trailers(), &withheld, &mut passed);
            self.client.socket.end_message(passed);
        }
        let now = self.lane.clock.now();
        relay.told(now);
        self.client.timer.restart_at(now);
        if keeps_upstream && sending.is_done() && upstream.inbox.is_empty() {
            let within = relay.pool_idle();
            self.lane.kept.keep(relay.target(), upstream.socket, now, within);
        }
        match going {
            _ if !sending.is_done() => Then::Linger,
            // Who did not expect it may have sent the next request already.
            Going::Over if self.goes_on() => Then::Linger,
            Going::Over => Then::Close,
            _ => Then::Next,
        }
    }

    /// Whether the client has said that it takes trailers, in a version that has them.
    fn takes_trailers(&self) -> bool {
        old_client::knows_chunks(self.head.version)
            && self.lines.known().has(FieldId::Te)
            && trailers::are_taken(&Fields::new(View::Flat(self.flat)))
    }

    /// Moves bytes both ways until the client has all of the answer.
    async fn move_bodies(
        &mut self,
        relay: &mut Relay<'_>,
        sending: &mut Sending,
        down: &mut Pump,
        upstream: &mut Upstream,
    ) -> Result<(), Cause> {
        let (client, limited) = (&mut *self.client, &self.lane.limited);
        let ends = relay.ends();
        poll_fn(|cx| {
            let before = down.moved;
            let from = (&mut upstream.socket, &mut upstream.inbox);
            let passed = down.poll(from, &mut client.socket, cx, |piece, is_end| {
                relay.body(piece, is_end);
            });
            match passed {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(Broken::Writing)) => return Poll::Ready(Err(Cause::ClientGone)),
                Poll::Ready(Err(Broken::Reading)) => return Poll::Ready(Err(Cause::Reset)),
                Poll::Ready(Err(Broken::Malformed | Broken::TooLong)) => {
                    return Poll::Ready(Err(Cause::BadResponse));
                }
                Poll::Pending => {}
            }
            if down.moved != before {
                client.timer.restart();
            }
            let sent = sending.poll(client, &mut upstream.socket, cx, |piece, is_end| {
                relay.request_body(piece, is_end);
            });
            if let Err(cause) = sent {
                return Poll::Ready(Err(cause));
            }
            if !sending.is_under_way() && client.poll_left(cx).is_ready() {
                return Poll::Ready(Err(Cause::ClientGone));
            }
            if ends.is_some_and(|ends| client.timer.poll_over(ends, cx)) {
                // Its client has chosen the time, which says nothing of who answers.
                return Poll::Ready(Err(Cause::CallOver));
            }
            let (within, cause) = match down.is_writing() {
                true => (client.limits.send_timeout, Cause::ClientGone),
                false => sending.due(relay.wait(), &client.limits),
            };
            if !client.timer.poll_late(within, cx) {
                return Poll::Pending;
            }
            if !down.is_writing() && sending.is_too_slow() {
                limited.count(Limit::BodyRate);
            }
            Poll::Ready(Err(cause))
        })
        .await
    }

    /// Passes on whatever comes, both ways, until both sides have ended or nothing moves.
    async fn tunnel(&mut self, mut relay: Relay<'_>, mut upstream: Upstream, lead: Vec<u8>) {
        let _counted = self.lane.stop.tunnel();
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
            let Wait::Tunnel(quiet, stuck) = relay.wait() else { return Poll::Ready(Ok(())) };
            let is_stuck = up.is_writing() || down.is_writing();
            // That both sides leave it idle is nobody's failure.
            match client.timer.poll_tunnel(if is_stuck { stuck } else { quiet }, cx) {
                Some(TunnelOver::Quiet) if !is_stuck => Poll::Ready(Err(Cause::Quiet)),
                Some(_) => Poll::Ready(Err(Cause::ClientGone)),
                None => Poll::Pending,
            }
        });
        if let Err(cause) = ended.await {
            relay.failed(cause);
        }
    }
}
