//! A client's connection in HTTP/1.1: a socket in, its requests to the lane one after the other out.
//!
//! One task a connection and none a request.

use std::sync::Arc;

use super::h2::server as http2;
use super::lane::client::{Client, NoHead};
use super::lane::request::{Request, Then};
use super::lane::{Lane, answering, cause_of};
use super::limited::Limit;
use super::socket::Socket;
use crate::config::Speaks;
use crate::http::codec::Malformed;
use crate::http::codec::request::RequestReader;
use crate::http::codec::response::ResponseReader;
use crate::http::failure::{BadRequest, Cause};
use crate::http::forwarded::Peer;

/// How a client's connection goes on behind its requests.
enum Behind {
    /// It is quiet.
    Waits,
    /// It has ended, or is to.
    Over,
    /// It goes on in HTTP/2: nothing but the beginning of that has come.
    Http2,
}

/// Serves one connection to its end.
pub(super) async fn serve(lane: &Arc<Lane>, socket: Socket, peer: Peer, speaks: Speaks) {
    let limits = lane.published.load().config.server.client.clone();
    let mut client = Client::new(socket, limits, lane.clock, lane.stop.clone());
    let (mut requests, mut responses) = (RequestReader::default(), ResponseReader::default());
    let mut is_first = true;
    while client.has_request(is_first).await {
        // All that is needed while requests follow each other and not while there are none: most of a
        // future's size.
        let readers = (&mut requests, &mut responses);
        let how = (speaks, !is_first);
        match Box::pin(serve_requests(lane, &mut client, &peer, readers, how)).await {
            Behind::Waits => is_first = false,
            Behind::Over => return,
            Behind::Http2 => {
                let Client { socket, inbox, .. } = client;
                return Box::pin(http2::serve(lane, socket, inbox, peer)).await;
            }
        }
    }
    if client.was_squeezed {
        lane.limited.count(Limit::MemoryIdle);
    }
    client.close().await;
}

/// Serves requests as long as they follow each other; how the connection goes on then.
async fn serve_requests(
    lane: &Lane,
    client: &mut Client,
    peer: &Peer,
    (requests, responses): (&mut RequestReader, &mut ResponseReader),
    (speaks, is_next): (Speaks, bool),
) -> Behind {
    let mut is_next = is_next;
    loop {
        let head = match client.head(requests, is_next).await {
            Ok(head) if speaks.http1 => head,
            Ok(_) => {
                let cause = Cause::BadRequest(BadRequest::Http1);
                answering::refuse(lane, client, peer, cause).await;
                return Behind::Over;
            }
            Err(NoHead::Gone) => return Behind::Over,
            // It begins a connection, and nothing else.
            Err(NoHead::Malformed(Malformed::Http2)) if speaks.http2 && !is_next => {
                return Behind::Http2;
            }
            Err(none) => {
                answering::refuse(lane, client, peer, cause_of(&none)).await;
                return Behind::Over;
            }
        };
        is_next = true;
        client.requests += 1;
        let bytes = client.inbox.split(head.length);
        let request = Request::new(lane, client, peer, &head, bytes.bytes(), requests.lines());
        let then = request.serve(responses).await;
        client.forget_end();
        match then {
            Then::Next if client.has_another().await => {}
            Then::Next => return Behind::Waits,
            Then::Close => {
                client.close().await;
                return Behind::Over;
            }
            Then::Break => return Behind::Over,
            Then::Linger => {
                client.linger().await;
                return Behind::Over;
            }
        }
    }
}
