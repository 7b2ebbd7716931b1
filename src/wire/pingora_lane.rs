//! The lane on pingora: its hooks in, calls to the exchange out.
//!
//! Every hook is a few lines that say what happened; what follows from it is decided in
//! `exchange.rs`. What pingora 0.9.1 leaves open is closed here where only a hook can: pipelined
//! requests dropped, hop-by-hop fields in responses, and the empty last piece of a body that makes
//! it end the chunks twice (#935). Waits without end are closed in `watch.rs`.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{Method, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, HttpProxy, ProxyHttp, Session};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::{ALPN, HttpPeer};
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};

use super::connection::Connection;
use super::failure_log::FailureLog;
use super::heads;
use super::mirror::Mirrors;
use crate::clock::Clock;
use crate::exchange::{Admitted, Exchange, Try, Wire};
use crate::http::admission::{Head, RequestTarget};
use crate::http::answer::Answer;
use crate::http::failure::{BadRequest, Cause};
use crate::http::fields::Fields;
use crate::http::hop_by_hop;
use crate::http::view::View;
use crate::snapshot::Published;
use crate::upstream::Target;

/// How often pingora may ask for a peer: more often than an exchange ever tries.
const MOST_TRIES: usize = 16;

/// Kept connections to upstreams, for each worker.
const KEPT_PER_WORKER: usize = 512;

/// The longest body that is taken in for nothing, in bytes, and how long that may take.
const LONGEST_SKIPPED: usize = 64 * 1024;
const SKIP: Duration = Duration::from_secs(1);

/// pingora's side of the proxy.
pub struct PingoraLane {
    published: Arc<Published>,
    clock: Clock,
    failures: FailureLog,
    mirrors: Mirrors,
}

impl PingoraLane {
    /// Hears of a failed attempt; answers whether there is to be another.
    fn attempt_failed(&self, exchange: &mut Exchange, cause: Cause, wire: Wire) -> bool {
        let now = self.clock.unix_seconds() as u64;
        if !wire.was_stale {
            self.failures.note(exchange, cause, now);
        }
        let is_retried = exchange.on_attempt_failed(cause, wire);
        if wire.was_stale && !is_retried {
            // It was not only a dead connection: the client hears of it.
            self.failures.note(exchange, cause, now);
        }
        is_retried
    }
}

/// A proxy on pingora that serves what is published, moved by this many workers. Copies go there.
pub fn pingora_lane(
    published: Arc<Published>,
    clock: Clock,
    workers: usize,
    mirrors: Mirrors,
) -> HttpProxy<PingoraLane> {
    let conf = ServerConf {
        threads: workers,
        max_retries: MOST_TRIES,
        upstream_keepalive_pool_size: KEPT_PER_WORKER,
        ..ServerConf::default()
    };
    pingora::proxy::http_proxy(
        &Arc::new(conf),
        PingoraLane { published, clock, failures: FailureLog::default(), mirrors },
    )
}

#[async_trait]
impl ProxyHttp for PingoraLane {
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(Exchange::open(self.clock, self.published.clone()))
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
        match ctx.admit(&head, &connection.peer).await {
            Admitted::Forward => {
                if ctx.has_waited() && has_left(session, &connection).await {
                    return Err(Error::new(ErrorType::ConnectionClosed).into_down());
                }
                let request = session.req_header_mut();
                let host = request.headers.get(HOST).cloned();
                let held = heads::Held { peer: &connection.peer, host };
                heads::edit_request(request, ctx.edits(), &held)?;
                Ok(false)
            }
            Admitted::Answer(answer) => {
                write(session, *answer).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        let next = ctx.attempt().map_err(|cause| error(cause, ErrorSource::Internal))?;
        if !next.pause.is_zero() {
            tokio::time::sleep(next.pause).await;
        }
        peer(&next, session.as_mut().is_body_empty())
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
        ctx.on_connected(is_reused);
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
        let client = &session.req_header().headers;
        if hop_by_hop::nominates(View::Map(client)) {
            let host = client.get(HOST).cloned();
            let held = heads::Held { peer: &connection.peer, host };
            heads::edit_request(request, ctx.edits(), &held)?;
        }
        if session.req_header().version == Version::HTTP_10 && !request.headers.contains_key(HOST) {
            // It goes on as HTTP/1.1, which needs one.
            request.insert_header(HOST, ctx.host_for_upstream())?;
        }
        let target = RequestTarget::read(request.raw_path(), &request.uri);
        let view = View::Map(&request.headers);
        ctx.on_request_head(&request.method, target.path_and_query, view);
        match session.as_mut().is_body_done() {
            true => connection.expect_answer(ctx.timeouts().response),
            false => {
                ctx.on_upload();
                // pingora bounds the client's part of this by `body_timeout`; this is for the other.
                connection.expect_request(upload_pause(ctx));
            }
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        ctx.on_request_body(body.as_ref(), end_of_stream);
        if end_of_stream {
            drop_empty_end(body);
            ctx.on_request_end();
            // An upstream that has begun to answer early is bounded by `idle` from then on.
            let (timeouts, connection) = (ctx.timeouts(), connection(session)?);
            match ctx.has_answer() {
                true => connection.expect_rest(timeouts.idle),
                false => connection.expect_answer(timeouts.response),
            }
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let status = response.status.as_u16();
        let heard = ctx.on_response_head(status, View::Map(&response.headers), can_replay(session));
        heard.map_err(|cause| error(cause, ErrorSource::Upstream))?;
        let connection = connection(session)?;
        match status {
            101 => {
                // From here on the client's silence is the tunnel's, bounded by `idle`.
                session.set_read_timeout(None);
                connection.expect_request(ctx.timeouts().idle);
            }
            100..=199 => {}
            _ if session.as_mut().is_body_done() => connection.expect_rest(ctx.timeouts().idle),
            _ => connection.expect_request(upload_pause(ctx)),
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let remove = hop_by_hop::to_remove(View::Map(&response.headers), response.status == 101);
        let cookie = ctx.set_cookie(response.status.as_u16());
        let add = heads::Additions { id: ctx.request_id(), mark: ctx.mark(), cookie };
        heads::edit_response(response, &remove, add)?;
        if session.req_header().version == Version::HTTP_10 {
            // It knows no chunks: what has no length ends with the connection.
            if response.remove_header(&TRANSFER_ENCODING).is_some() {
                session.set_keepalive(None);
            }
        }
        if session.is_process_shutting_down() {
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
        ctx.on_response_body(body.as_ref(), end_of_stream);
        Ok(None)
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
            _ => Cause::Connect,
        };
        let wire = Wire { was_sent: false, was_stale: false, can_replay: can_replay(session) };
        error.set_retry(self.attempt_failed(ctx, cause, wire));
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
        let is_decided = error.context.as_ref().is_some_and(|context| context.as_str() == RETRIED);
        let was_stale = is_reused && error.retry == RetryType::ReusedOnly;
        let wire = Wire { was_sent: true, was_stale, can_replay: can_replay(session) };
        let retry = is_decided || self.attempt_failed(ctx, cause_of(&error, session), wire);
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
            let _ = write(session, answer).await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut Self::CTX) {
        ctx.finish(answered(session));
        let head = session.req_header();
        let target = RequestTarget::read(head.raw_path(), &head.uri);
        ctx.describe(&head.method, target.path_and_query, View::Map(&head.headers));
        if let Some(copied) = ctx.take_copy() {
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

/// Sets what pingora forgets from one request of a connection to the next.
fn prepare(session: &mut Session, exchange: &Exchange) {
    let limits = &exchange.snapshot().config.server.client;
    session.set_read_timeout(Some(limits.body_timeout));
    session.set_pipelining_enabled(true);
    // HTTP/1.0 knows no interim responses (RFC 9110 section 15.2).
    let knows_interim = session.req_header().version != Version::HTTP_10;
    session.set_ignore_info_resp(!knows_interim);
}

/// How long nothing may move while a request's body comes in. Longer than the client's own bound,
/// so that a client that is late is told so.
fn upload_pause(exchange: &Exchange) -> Duration {
    let body = exchange.snapshot().config.server.client.body_timeout;
    exchange.timeouts().idle.max(body + Duration::from_secs(1))
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

/// A peer for this try. Waits are bounded by the client's stream; only an upstream that does not
/// take a request's body is out of its sight and has a bound of its own.
fn peer(next: &Try, is_body_empty: bool) -> Result<Box<HttpPeer>> {
    let mut peer = match &next.target {
        Target::Socket(address) => HttpPeer::new(address, false, String::new()),
        Target::Unix(path) => HttpPeer::new_uds(path, false, String::new())?,
    };
    let timeouts = &next.timeouts;
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect);
    peer.options.write_timeout = (!is_body_empty).then_some(timeouts.idle);
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
    connection.expect_answer(Duration::MAX);
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

async fn write(session: &mut Session, answer: Answer) -> Result<()> {
    if !answer.keeps_connection {
        session.set_keepalive(None);
    } else if !session.as_mut().is_body_done() {
        skip_body(session).await;
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

/// Marks the error by which an answer is given up for another attempt.
const RETRIED: &str = "retried";

fn error(cause: Cause, source: ErrorSource) -> Box<Error> {
    let mut error = Error::new(ErrorType::HTTPStatus(cause.row().status));
    error.esource = source;
    if cause == Cause::Retried {
        error.set_context(RETRIED);
    }
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
