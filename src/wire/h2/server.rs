//! A client's connection in HTTP/2: a socket in, one task for each of its requests out.
//!
//! Frames, windows and their bounds are the library's; what a request is, and what becomes of it, is
//! said where it is said for every other.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Version};

use super::super::h1::answering;
use super::super::h1::buffer::Buffer;
use super::super::h1::client::Client;
use super::super::h1::request::{self, Then};
use super::super::h1::timer::Timer;
use super::super::h1::{Lane, cause_of};
use super::super::limited::Limit;
use super::super::socket::Socket;
use super::heads::{self, Unfit};
use super::io::Io;
use super::stream::Stream;
use crate::config::ClientLimits;
use crate::http::codec::request::RequestReader;
use crate::http::codec::response::ResponseReader;
use crate::http::failure::{BadRequest, Cause};
use crate::http::forwarded::Peer;

/// Bytes of bodies that a client may send ahead of those who read: of one request, and of all on a
/// connection.
const WINDOW: u32 = 256 * 1024;
const ALL_WINDOWS: u32 = 1024 * 1024;

/// Bytes of an answer that may wait for room at the client.
const UNSENT: usize = 64 * 1024;

/// Requests at once.
const STREAMS: u32 = 100;

/// How many of a client's own broken requests are remembered, and how many of its frames may be such as no
/// client sends, before its connection ends.
const RESETS: usize = 50;
const BROKEN: usize = 100;

/// How long a client may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves one connection to its end. `before` are bytes of it that have been read.
pub(in crate::wire) async fn serve(lane: &Arc<Lane>, socket: Socket, before: Buffer, peer: Peer) {
    let limits = lane.published.load().config.server.client.clone();
    let mut timer = Timer::new(lane.clock, lane.stop.clone());
    let mut handshake = pin!(options(&limits).handshake::<_, Bytes>(Io::behind(before, socket)));
    let connection = poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Ready(connection) => Poll::Ready(connection.ok()),
        Poll::Pending if timer.poll_late(limits.header_timeout, cx) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let Some(mut connection) = connection.await else { return };
    let peer = Arc::new(peer);
    let (mut within, mut is_ending, mut requests) = (limits.header_timeout, false, 0);
    timer.restart();
    loop {
        match next(&mut connection, &mut timer, within, is_ending).await {
            Next::Request(request, respond) => {
                within = limits.keepalive;
                requests += 1;
                if requests >= limits.requests && !is_ending {
                    lane.limited.count(Limit::Requests);
                    connection.graceful_shutdown();
                    is_ending = true;
                }
                let (lane, peer, limits) = (lane.clone(), peer.clone(), limits.clone());
                tokio::spawn(async move {
                    serve_stream(&lane, *request, respond, &peer, limits).await;
                });
                if is_ending {
                    within = GOODBYE;
                }
            }
            Next::Ending if is_ending => return,
            Next::Ending => {
                if requests > 0 && timer.is_squeezed() {
                    lane.limited.count(Limit::MemoryIdle);
                }
                // Those that are on their way are still served.
                connection.graceful_shutdown();
                (within, is_ending) = (GOODBYE, true);
            }
            Next::Over => return,
        }
    }
}

fn options(limits: &ClientLimits) -> Builder {
    let mut options = Builder::new();
    let head = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
    options
        .initial_window_size(WINDOW)
        .initial_connection_window_size(ALL_WINDOWS)
        .max_concurrent_streams(STREAMS)
        // A field counts for 32 bytes more there (RFC 9113, 6.5.2).
        .max_header_list_size(head.saturating_add(32 * limits.header_fields as u32))
        .max_send_buffer_size(UNSENT)
        .max_concurrent_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(BROKEN))
        .enable_connect_protocol();
    options
}

/// What happens next on a connection.
enum Next {
    /// A request came.
    Request(Box<Request<RecvStream>>, SendResponse<Bytes>),
    /// Nobody needs it any more, or the process stops.
    Ending,
    /// It has ended.
    Over,
}

/// Moves its frames until something happens.
async fn next(
    connection: &mut Connection<Io, Bytes>,
    timer: &mut Timer,
    within: Duration,
    is_ending: bool,
) -> Next {
    poll_fn(|cx| {
        match connection.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, respond)))) => {
                timer.restart();
                return Poll::Ready(Next::Request(Box::new(request), respond));
            }
            Poll::Ready(_) => return Poll::Ready(Next::Over),
            Poll::Pending => {}
        }
        let is_used = connection.has_streams();
        if is_used {
            timer.restart();
        }
        let is_late = timer.poll_idle(within, cx);
        match (is_late && !is_used) || (timer.is_stopping() && !is_ending) {
            true => Poll::Ready(Next::Ending),
            false => Poll::Pending,
        }
    })
    .await
}

/// Serves one request.
async fn serve_stream(
    lane: &Lane,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    peer: &Peer,
    limits: ClientLimits,
) {
    let (parts, body) = request.into_parts();
    let head = heads::request(&parts, body.is_end_stream(), lane.clock.draw);
    let (here, unfit) = match head {
        Ok(head) => (head, None),
        Err(unfit) => (Bytes::new(), Some(unfit)),
    };
    let socket = Socket::Stream(Box::new(Stream::of_client(here, body, respond)));
    let mut client = Client::new(socket, limits, lane.clock, lane.stop.clone());
    let mut requests = RequestReader::default();
    let head = match unfit {
        Some(unfit) => Err(Cause::BadRequest(match unfit {
            Unfit::Host => BadRequest::Host,
            Unfit::Target => BadRequest::Target,
            Unfit::Connect => BadRequest::Connect,
        })),
        None => client.head(&mut requests, false).await.map_err(|none| cause_of(&none)),
    };
    let mut head = match head {
        Ok(head) => head,
        Err(cause) => {
            answering::refuse(lane, &mut client, peer, cause).await;
            return;
        }
    };
    head.version = Version::HTTP_2;
    let bytes = client.inbox.split(head.length);
    let request =
        request::Request::new(lane, &mut client, peer, &head, bytes.bytes(), requests.lines());
    let then = request.serve(&mut ResponseReader::default()).await;
    if let (Then::Break, Socket::Stream(stream)) = (then, &mut client.socket) {
        stream.reset(Reason::INTERNAL_ERROR);
    }
}
