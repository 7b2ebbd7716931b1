//! The lane on pingora: its hooks in, calls to the exchange out.
//!
//! Every hook is a few lines that say what happened; what follows from it is decided in
//! `exchange/`. What pingora 0.9.1 leaves open is closed here where only a hook can: pipelined
//! requests dropped, hop-by-hop fields in responses, and the empty last piece of a body that makes
//! it end the chunks twice (#935). Waits without end are closed in `deadline.rs`.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::{HeaderMap, Method};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, HttpProxy, ProxyHttp, Session};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::{ALPN, HttpPeer};
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};

use super::connection::Connection;
use super::heads;
use super::mirror::Mirrors;
use crate::clock::Clock;
use crate::exchange::phases::{Admission, Admitted, Attempt, Delivery, Link, Next, Sent};
use crate::exchange::{Exchange, Upload, Wait};
use crate::http::admission::{self, Head, RequestTarget};
use crate::http::answer::Answer;
use crate::http::failure::{BadRequest, Cause};
use crate::http::fields::Fields;
use crate::http::forwarded::Peer;
use crate::http::old_client;
use crate::http::response;
use crate::http::view::View;
use crate::outgoing::dial;
use crate::record::Reader;
use crate::snapshot::Published;
use crate::upstream::DialAddress;

/// How often pingora may ask for a peer: more often than an exchange ever wants one.
const MOST_ATTEMPTS: usize = 16;

/// The longest body that is taken in for nothing, in bytes, and how long that may take.
const LONGEST_SKIPPED: usize = 64 * 1024;
const SKIP: Duration = Duration::from_secs(1);

/// What there is to serve with.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    /// Threads that move requests; one at least.
    pub workers: usize,
    /// Connections of clients that there is room for.
    pub clients: usize,
    /// Connections to upstreams that may be kept for the next request.
    pub kept: usize,
}

/// pingora's side of the proxy.
pub struct PingoraLane {
    published: Arc<Published>,
    reader: Arc<dyn Reader>,
    clock: Clock,
    mirrors: Mirrors,
}

/// Hears of a failed attempt; answers whether there is to be another.
fn failed(exchange: &mut Exchange, cause: Cause, delivery: Delivery) -> bool {
    if let Some(attempt) = exchange.attempt() {
        return matches!(attempt.failed(cause, delivery), Next::Again(_));
    }
    exchange.relay().into_iter().for_each(|relay| relay.failed(cause));
    false
}

/// A proxy on pingora that serves what is published, moved by so many workers, and keeps so many
/// connections to upstreams. Records and copies go there.
pub fn pingora_lane(
    published: Arc<Published>,
    reader: Arc<dyn Reader>,
    clock: Clock,
    Means { workers, kept, .. }: Means,
    mirrors: Mirrors,
) -> HttpProxy<PingoraLane> {
    let conf = ServerConf {
        threads: workers,
        max_retries: MOST_ATTEMPTS,
        // Of each worker.
        upstream_keepalive_pool_size: kept / workers,
        ..ServerConf::default()
    };
    pingora::proxy::http_proxy(&Arc::new(conf), PingoraLane { published, reader, clock, mirrors })
}

#[async_trait]
impl ProxyHttp for PingoraLane {
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(Exchange::open(self.clock, self.published.clone(), self.reader.clone()))
    }

    /// None: pingora's default module only compresses, and we pass bodies on as they are.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        let connection = connection(session)?;
        connection.begin_exchange();
        prepare(session, ctx);
        let raw = session.as_downstream().as_http1().map(|h1| h1.get_headers_raw_bytes());
        let request = session.req_header();
        let head = Head {
            method: &request.method,
            target: RequestTarget::read(request.raw_path(), &request.uri),
            version: request.version,
            view: View::Map(&request.headers),
            raw: raw.as_deref().unwrap_or_default(),
        };
        match admit(ctx, &head, &connection.peer).await {
            Ok(admitted) => {
                if admitted.has_waited() && has_left(session, &connection).await {
                    return Err(Error::new(ErrorType::ConnectionClosed).into_down());
                }
                let request = session.req_header_mut();
                if let Some(path) = admission::origin_form(request.raw_path(), &request.method) {
                    let path = path.into_owned();
                    request.set_raw_path(&path)?;
                }
                let host = request.headers.get(HOST).cloned();
                let held = heads::Held { peer: &connection.peer, host };
                heads::edit_request(request, admitted.edits(), &held)?;
                Ok(false)
            }
            Err(answer) => {
                self.write(session, *answer).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        let attempt = ctx.attempt().ok_or_else(out_of_step)?;
        if !attempt.pause().is_zero() {
            tokio::time::sleep(attempt.pause()).await;
        }
        peer(&attempt, session.as_mut().is_body_empty())
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        is_reused: bool,
        _: &HttpPeer,
        _: RawFd,
        _: Option<&Digest>,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let link = if is_reused { Link::Kept } else { Link::New };
        ctx.attempt().into_iter().for_each(|mut attempt| attempt.connected(link));
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        // pingora has removed what the client's `Connection` names by now, and that could be a
        // field of ours.
        let connection = connection(session)?;
        if ctx.nominates() {
            let host = session.req_header().headers.get(HOST).cloned();
            let held = heads::Held { peer: &connection.peer, host };
            heads::edit_request(request, ctx.edits(), &held)?;
        }
        let mut attempt = ctx.attempt().ok_or_else(out_of_step)?;
        if old_client::wants_host(session.req_header().version, View::Map(&request.headers)) {
            request.insert_header(HOST, attempt.host())?;
        }
        // pingora bounds the client's part of an upload by `body_timeout`.
        let is_here = session.as_mut().is_body_done();
        attempt.request_head(&sent(request), if is_here { Upload::Done } else { Upload::ToCome });
        connection.follow(ctx.wait());
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if let Some(mut attempt) = ctx.attempt() {
            attempt.request_body(body.as_ref(), end_of_stream);
        } else if let Some(mut relay) = ctx.relay() {
            relay.request_body(body.as_ref(), end_of_stream);
        }
        if end_of_stream {
            drop_empty_end(body);
            connection(session)?.follow(ctx.wait());
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let (status, view) = (response.status.as_u16(), View::Map(&response.headers));
        let can_replay = can_replay(session);
        let delivery = Delivery { was_sent: true, was_stale: false, can_replay };
        let attempt = ctx.attempt().ok_or_else(out_of_step)?;
        let decided = match attempt.head(status, view, delivery) {
            Next::Interim(_) => return Ok(()),
            Next::Forward(_) => None,
            Next::Again(_) => Some((Cause::Retried, AGAIN)),
            Next::Answer(cause) => Some((cause, GIVEN_UP)),
        };
        if let Some((cause, mark)) = decided {
            let mut error = error(cause, ErrorSource::Upstream);
            error.set_context(mark);
            return Err(error);
        }
        if status == 101 {
            // From here on the client's silence is the tunnel's, bounded by `idle`.
            session.set_read_timeout(None);
        }
        connection(session)?.follow(ctx.wait());
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let (status, client) = (response.status.as_u16(), session.req_header().version);
        let (id, mark, cookie) = (ctx.request_id(), ctx.mark(), ctx.set_cookie(status));
        let add = response::Additions { id, mark, cookie };
        let edits = response::edits(View::Map(&response.headers), status, client, &add);
        let ends_connection = edits.ends_connection || self.published.winds_down();
        heads::edit_response(response, edits)?;
        if ends_connection {
            session.set_keepalive(None);
        }
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        ctx.relay().into_iter().for_each(|mut relay| relay.body(body.as_ref(), end_of_stream));
        Ok(None)
    }

    /// pingora 0.9.1 throws an HTTP/1.1 upstream's trailers away before anybody sees them, so only
    /// HTTP/2 will come here.
    fn upstream_response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        ctx.relay().into_iter().for_each(|mut relay| relay.trailers(View::Map(trailers)));
        Ok(())
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        ctx: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let cause = match error.etype() {
            ErrorType::ConnectTimedout => Cause::ConnectTimeout,
            _ if is_exhaustion(&error) => Cause::Exhausted,
            _ => Cause::Connect,
        };
        let can_replay = can_replay(session);
        let delivery = Delivery { was_sent: false, was_stale: false, can_replay };
        error.set_retry(failed(ctx, cause, delivery));
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Self::CTX,
        is_reused: bool,
    ) -> Box<Error> {
        // What was decided when the answer's head came stands.
        let was_stale = is_reused && error.retry == RetryType::ReusedOnly;
        let delivery = Delivery { was_sent: true, was_stale, can_replay: can_replay(session) };
        let retry = match error.context.as_ref().map(|context| context.as_str()) {
            Some(AGAIN) => true,
            Some(GIVEN_UP) => false,
            _ => failed(ctx, cause_of(&error, session), delivery),
        };
        if retry && let Ok(connection) = connection(session) {
            // A wait that was overdue is over; the next one has a bound of its own.
            connection.begin_exchange();
        }
        // An undecided retry panics when pingora asks for it.
        error.set_retry(retry);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Self::CTX,
    ) -> FailToProxy {
        let cause = ctx.cause().unwrap_or_else(|| cause_of(error, session));
        let answer = ctx.answer(cause, &Fields::new(&session.req_header().headers));
        let error_code = answer.status;
        if cause != Cause::ClientGone && answered(session).is_none() {
            // If the client is gone after all there is nobody to tell.
            let _ = self.write(session, answer).await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut Self::CTX) {
        if let Some(copied) = ctx.end(answered(session), &sent(session.req_header())) {
            self.mirrors.offer(copied);
        }
        if let Ok(connection) = connection(session) {
            connection.end_exchange();
        }
    }

    /// pingora writes a log line for each failure from its own point of view; ours are the
    /// metrics and the request's record.
    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        true
    }
}

impl PingoraLane {
    /// Writes an answer of ours.
    async fn write(&self, session: &mut Session, answer: Answer) -> Result<()> {
        if answer.keeps_connection && !session.as_mut().is_body_done() {
            skip_body(session).await;
        }
        if !answer.keeps_connection || self.published.winds_down() {
            session.set_keepalive(None);
        }
        let mut head = ResponseHeader::build(answer.status, Some(answer.fields.len() + 3))?;
        for (name, value) in answer.fields {
            head.append_header(name, value)?;
        }
        if answer.status != 204 {
            head.insert_header(CONTENT_LENGTH, answer.body.len())?;
        }
        let has_body = session.req_header().method != Method::HEAD;
        session.write_response_header(Box::new(head), !has_body).await?;
        let body = has_body.then_some(answer.body);
        session.write_response_body(body, true).await
    }
}

/// Sets what pingora forgets from one request of a connection to the next.
fn prepare(session: &mut Session, exchange: &Exchange) {
    let limits = &exchange.snapshot().config.server.client;
    session.set_read_timeout(Some(limits.body_timeout));
    session.set_pipelining_enabled(true);
    let knows_interim = old_client::knows_interim(session.req_header().version);
    session.set_ignore_info_resp(!knows_interim);
}

/// Has a request admitted, and keeps the time while it stands in line.
async fn admit<'e, 'r>(
    exchange: &'e mut Exchange,
    head: &Head<'r>,
    peer: &'r Peer,
) -> Result<Admitted<'e>, Box<Answer>> {
    let mut admission = exchange.admit(head, peer);
    loop {
        let mut line = match admission {
            Admission::Forward(admitted) => return Ok(admitted),
            Admission::Answer(answer) => return Err(answer),
            Admission::Wait(line) => line,
        };
        // Rare and large, so that it is no part of the usual way's future.
        let turn = Box::pin(tokio::time::timeout(line.within(), line.turn()));
        let is_late = turn.await.is_err();
        admission = if is_late { line.gave_up() } else { line.called() };
    }
}

/// A request as pingora sends it on.
fn sent(request: &RequestHeader) -> Sent<'_> {
    Sent {
        method: &request.method,
        path_and_query: RequestTarget::read(request.raw_path(), &request.uri).path_and_query,
        view: View::Map(&request.headers),
    }
}

/// A hook was called when nothing of the kind is under way.
fn out_of_step() -> Box<Error> {
    error(Cause::Internal, ErrorSource::Internal)
}

/// What is known of the client's connection.
fn connection(session: &Session) -> Result<Arc<Connection>> {
    let digest = session.as_downstream().digest();
    let carried = digest.and_then(carried);
    carried.ok_or_else(|| Error::explain(ErrorType::InternalError, "a stream that is not ours"))
}

fn carried(digest: &Digest) -> Option<Arc<Connection>> {
    let data = digest.proxy_digest.as_ref()?.user_data.as_ref()?;
    data.downcast_ref::<Arc<Connection>>().cloned()
}

/// pingora 0.9.1 ends a chunked body once for an empty piece and once more for the end of the
/// stream (#935); the upstream would read the second as the head of somebody else's request.
fn drop_empty_end(body: &mut Option<Bytes>) {
    if body.as_ref().is_some_and(Bytes::is_empty) {
        *body = None;
    }
}

/// A peer for this attempt. Waits are bounded by the client's stream; only an upstream that does not
/// take a request's body is out of its sight and has a bound of its own.
fn peer(attempt: &Attempt<'_>, is_body_empty: bool) -> Result<Box<HttpPeer>> {
    let mut peer = match attempt.target() {
        DialAddress::Socket(address) => HttpPeer::new(address, false, String::new()),
        DialAddress::Unix(path) => HttpPeer::new_uds(path, false, String::new())?,
    };
    let timeouts = attempt.timeouts();
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect);
    let idle = Some(timeouts.idle).filter(|idle| *idle != Duration::MAX);
    peer.options.write_timeout = idle.filter(|_| !is_body_empty);
    peer.options.idle_timeout = Some(timeouts.pool_idle);
    peer.options.alpn = ALPN::H1;
    debug_assert!(!peer.is_tls(), "an empty SNI would switch verification off");
    Ok(Box::new(peer))
}

/// Whether the client of a request without a body has gone away. Looked at once, after a wait in
/// which nobody listened to it.
async fn has_left(session: &mut Session, connection: &Connection) -> bool {
    if !session.as_mut().is_body_empty() {
        return false;
    }
    // In this phase the stream keeps what is sent ahead, and is ready only at its end.
    connection.follow(Wait::Answer(Duration::MAX));
    let left = tokio::select! {
        biased;
        _ = session.as_mut().read_body_or_idle(true) => true,
        () = std::future::ready(()) => false,
    };
    connection.begin_exchange();
    left
}

/// Takes in a short body that nobody wants, so that the connection stays in step: pingora closes it
/// otherwise. Not if the client waits to be asked for it.
async fn skip_body(session: &mut Session) {
    let headers = &session.req_header().headers;
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let is_short = length.is_some_and(|length: usize| length <= LONGEST_SKIPPED);
    if is_short && !headers.contains_key(EXPECT) {
        // What does not come in time ends with the connection.
        let _ = tokio::time::timeout(SKIP, session.as_mut().drain_request_body()).await;
    }
}

/// Marks the error by which an answer is given up for another attempt.
const AGAIN: &str = "again";

/// Marks the error by which an answer is given up, and the client told of it.
const GIVEN_UP: &str = "given up";

fn error(cause: Cause, source: ErrorSource) -> Box<Error> {
    let mut error = Error::new(ErrorType::HTTPStatus(cause.row().status));
    error.esource = source;
    error
}

/// The status that the client was told. pingora takes note of interim responses too, but after them
/// it still owes one.
fn answered(session: &Session) -> Option<u16> {
    let status = session.response_written()?.status;
    (status == 101 || !status.is_informational()).then(|| status.as_u16())
}

/// Whether the request's body, if any, can be sent again: pingora keeps the first 64 KiB of it.
fn can_replay(session: &Session) -> bool {
    !session.as_ref().retry_buffer_truncated()
}

/// Whether no connection could be made for lack of what is ours: descriptors, memory, ports.
fn is_exhaustion(error: &Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error.root_cause());
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return dial::is_exhaustion(error);
        }
        source = error.source();
    }
    false
}

/// pingora's errors in our words.
fn cause_of(error: &Error, session: &Session) -> Cause {
    if connection(session).is_ok_and(|connection| connection.is_overdue()) {
        // A tunnel that both sides left idle is nobody's failure.
        return if session.was_upgraded() { Cause::ClientGone } else { Cause::ResponseTimeout };
    }
    use ErrorType::*;
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ReadTimedout) => Cause::ClientTimeout,
        (ErrorSource::Downstream, ReadError | WriteError | WriteTimedout | ConnectionClosed) => {
            Cause::ClientGone
        }
        // Bodies that are cut off or break the rules of chunks are among these.
        (ErrorSource::Downstream, Custom("PrematureBodyEnd")) => Cause::ClientGone,
        (ErrorSource::Downstream, _) => Cause::BadRequest(BadRequest::Malformed),
        (ErrorSource::Upstream, ReadTimedout | WriteTimedout) => Cause::ResponseTimeout,
        (ErrorSource::Upstream, ReadError | WriteError | ConnectionClosed) => Cause::Reset,
        (ErrorSource::Upstream, _) => Cause::BadResponse,
        _ => Cause::Internal,
    }
}
