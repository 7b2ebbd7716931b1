//! Connections for copies, in either version: a target and a request in, an answer's head and body out.
//!
//! They are kept for the next copy as live ones are: a port is taken for a minute after each
//! connection that we close, and a pool that gets thousands of copies a second would run live
//! requests to the same upstream out of ports. A connection carries one copy at a time, in HTTP/2 too: how
//! many are under way is the mirror's to say.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::super::h2::heads;
use super::super::socket::Socket;
use crate::upstream::DialAddress;

/// Connections kept to one target.
const MOST_KEPT: usize = 64;

/// The longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// Why a copy has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody accepts.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// What comes back is no HTTP, or nothing does.
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    /// The same in HTTP/2.
    #[error("no answer: {0}")]
    Http2(#[from] h2::Error),
    /// It cannot be said in HTTP/2.
    #[error("no request of HTTP/2")]
    Unspeakable,
}

/// Whom to ask, and whether in HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub address: DialAddress,
    pub http2: bool,
}

/// The body of an answer.
pub enum Body {
    Http1(Incoming),
    Http2(RecvStream),
}

impl Body {
    /// The next piece; none at the end.
    pub async fn piece(&mut self) -> Option<Result<Bytes, AskError>> {
        match self {
            Body::Http1(body) => loop {
                match body.frame().await? {
                    Ok(frame) => match frame.into_data() {
                        Ok(piece) => return Some(Ok(piece)),
                        // Trailers.
                        Err(_) => continue,
                    },
                    Err(error) => return Some(Err(error.into())),
                }
            },
            Body::Http2(body) => {
                let piece = body.data().await?;
                if let Ok(piece) = &piece {
                    // Fails where nobody counts any more.
                    let _ = body.flow_control().release_capacity(piece.len());
                }
                Some(piece.map_err(AskError::from))
            }
        }
    }
}

/// One connection to a target.
pub struct Connection {
    sender: Sender,
    driver: JoinHandle<()>,
    /// When it was last given back.
    since: Instant,
}

enum Sender {
    Http1(SendRequest<Full<Bytes>>),
    Http2(h2::client::SendRequest<Bytes>),
}

impl Drop for Connection {
    /// Whatever is under way on it is given up.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Those that wait for the next copy.
#[derive(Default)]
pub struct Connections(Mutex<HashMap<Target, Vec<Connection>>>);

impl Connections {
    /// Sends a request, on a kept connection if there is one. One that turns out dead is no failure:
    /// copies are idempotent.
    pub async fn ask(
        &self,
        target: &Target,
        request: &Request<Bytes>,
        now: Instant,
        idle: Duration,
    ) -> Result<(Response<Body>, Connection), AskError> {
        while let Some(mut kept) = self.take(target, now, idle) {
            if let Ok(response) = kept.send(&target.address, request).await {
                return Ok((response, kept));
            }
        }
        let mut fresh = Connection::open(target, now).await?;
        let response = fresh.send(&target.address, request).await?;
        Ok((response, fresh))
    }

    /// Keeps a connection whose answer has been read to its end.
    pub async fn keep(&self, target: &Target, mut connection: Connection, now: Instant) {
        // Not ready ever again is how one shows that the upstream closes it.
        let is_ready = match &mut connection.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.clone().ready().await.is_ok(),
        };
        if !is_ready {
            return;
        }
        connection.since = now;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.entry(target.clone()).or_default();
        if kept.len() < MOST_KEPT {
            kept.push(connection);
        }
    }

    /// Closes those that nobody needed for so long.
    pub fn close_idle(&self, now: Instant, idle: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, kept| {
            kept.retain(|connection| connection.is_fresh(now, idle));
            !kept.is_empty()
        });
    }

    /// The one used last, as it is the likeliest to live.
    fn take(&self, target: &Target, now: Instant, idle: Duration) -> Option<Connection> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get_mut(target)?;
        kept.retain(|connection| connection.is_fresh(now, idle));
        kept.pop()
    }
}

impl Connection {
    async fn open(target: &Target, now: Instant) -> Result<Connection, AskError> {
        let http2 = target.http2;
        match Socket::connect(&target.address).await? {
            Socket::Tcp(tcp) => Connection::on(tcp, http2, now).await,
            Socket::Unix(unix) => Connection::on(unix, http2, now).await,
            Socket::Tls(tls) => Connection::on(*tls, http2, now).await,
            Socket::Stream(_) => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        }
    }

    async fn on(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        http2: bool,
        now: Instant,
    ) -> Result<Connection, AskError> {
        if http2 {
            let mut builder = h2::client::Builder::new();
            builder.enable_push(false).max_header_list_size(LONGEST_HEAD as u32);
            let (sender, connection) = builder.handshake(stream).await?;
            let driver = tokio::spawn(async { drop(connection.await) });
            return Ok(Connection { sender: Sender::Http2(sender), driver, since: now });
        }
        let mut builder = http1::Builder::new();
        builder.max_buf_size(LONGEST_HEAD);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // How it ends is told to who asks on it.
        let driver = tokio::spawn(async { drop(connection.await) });
        Ok(Connection { sender: Sender::Http1(sender), driver, since: now })
    }

    async fn send(
        &mut self,
        to: &DialAddress,
        request: &Request<Bytes>,
    ) -> Result<Response<Body>, AskError> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                Ok(sender.send_request(whole(request)).await?.map(Body::Http1))
            }
            Sender::Http2(sender) => {
                let scheme = match to {
                    DialAddress::Tls(_) => Scheme::HTTPS,
                    _ => Scheme::HTTP,
                };
                let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
                let (method, fields) = (request.method(), request.headers().clone());
                let head = heads::to_upstream(method, target, scheme, fields);
                let head = head.ok_or(AskError::Unspeakable)?;
                let body = request.body().clone();
                let mut ready = sender.clone().ready().await?;
                let (response, stream) = ready.send_request(head, body.is_empty())?;
                if !body.is_empty() {
                    // Who answers early need not take all of it.
                    let _ = send_all(stream, body).await;
                }
                Ok(response.await?.map(Body::Http2))
            }
        }
    }

    fn is_fresh(&self, now: Instant, idle: Duration) -> bool {
        let is_closed = match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(_) => self.driver.is_finished(),
        };
        !is_closed && now.saturating_duration_since(self.since) < idle
    }
}

/// Sends a body as there is room for it.
async fn send_all(mut stream: SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    loop {
        stream.reserve_capacity(body.len());
        let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return Ok(()) };
        let piece = body.split_to(room?.min(body.len()));
        let is_last = body.is_empty();
        stream.send_data(piece, is_last)?;
        if is_last {
            return Ok(());
        }
    }
}

/// The same request, to be sent once more; its body is shared.
fn whole(request: &Request<Bytes>) -> Request<Full<Bytes>> {
    request.clone().map(Full::new)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    fn of(address: DialAddress) -> Target {
        Target { address, http2: false }
    }

    /// A server that answers so many requests on each connection and then closes it without a word;
    /// its address and how many connections it took.
    async fn server(answers: usize) -> (Target, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = of(DialAddress::Socket(listener.local_addr().unwrap()));
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    // Requests here are far smaller than one read.
                    for _ in 0..answers {
                        if stream.read(&mut [0; 4096]).await.unwrap_or(0) == 0 {
                            return;
                        }
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        stream.write_all(answer).await.unwrap();
                    }
                    let _ = stream.read(&mut [0; 4096]).await;
                });
            }
        });
        (target, taken)
    }

    /// Asks and keeps the connection, as one copy does.
    async fn ask(connections: &Connections, target: &Target, now: Instant) {
        let request = Request::get("/").body(Bytes::new()).unwrap();
        let (response, connection) = connections.ask(target, &request, now, IDLE).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(body.piece().await.unwrap().unwrap(), "ok");
        assert!(body.piece().await.is_none());
        connections.keep(target, connection, now).await;
    }

    #[tokio::test]
    async fn a_connection_serves_one_copy_after_the_other_until_it_idles_too_long() {
        let (target, taken) = server(100).await;
        let (connections, now) = (Connections::default(), Instant::now());
        for _ in 0..5 {
            ask(&connections, &target, now).await;
        }
        assert_eq!(taken.load(Ordering::Relaxed), 1);
        connections.close_idle(now + IDLE / 2, IDLE);
        ask(&connections, &target, now + IDLE / 2).await;
        assert_eq!(taken.load(Ordering::Relaxed), 1);
        connections.close_idle(now + 2 * IDLE, IDLE);
        assert!(connections.0.lock().unwrap().is_empty());
        ask(&connections, &target, now + 2 * IDLE).await;
        assert_eq!(taken.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_kept_connection_that_turns_out_dead_is_no_failure() {
        // The second request of each connection is read and never answered: the server closes.
        let (target, taken) = server(1).await;
        let (connections, now) = (Connections::default(), Instant::now());
        for _ in 0..3 {
            ask(&connections, &target, now).await;
        }
        assert_eq!(taken.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn nobody_there_is_said_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = of(DialAddress::Socket(listener.local_addr().unwrap()));
        drop(listener);
        let request = Request::get("/").body(Bytes::new()).unwrap();
        let asked = Connections::default().ask(&target, &request, Instant::now(), IDLE).await;
        assert!(matches!(asked, Err(AskError::Connect(_))));
    }
}
