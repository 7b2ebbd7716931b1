//! Connections for copies: a target and a request in, an answer's head and body out.
//!
//! They are kept for the next copy as live ones are: a port is taken for a minute after each
//! connection that we close, and a pool that gets thousands of copies a second would run live
//! requests to the same upstream out of ports.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

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
}

/// One connection to a target.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    /// When it was last given back.
    since: Instant,
}

impl Drop for Connection {
    /// Whatever is under way on it is given up.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Those that wait for the next copy.
#[derive(Default)]
pub struct Connections(Mutex<HashMap<DialAddress, Vec<Connection>>>);

impl Connections {
    /// Sends a request, on a kept connection if there is one. One that turns out dead is no failure:
    /// copies are idempotent.
    pub async fn ask(
        &self,
        target: &DialAddress,
        request: &Request<Bytes>,
        now: Instant,
        idle: Duration,
    ) -> Result<(Response<Incoming>, Connection), AskError> {
        while let Some(mut kept) = self.take(target, now, idle) {
            if let Ok(response) = kept.sender.send_request(whole(request)).await {
                return Ok((response, kept));
            }
        }
        let mut fresh = Connection::open(target, now).await?;
        let response = fresh.sender.send_request(whole(request)).await?;
        Ok((response, fresh))
    }

    /// Keeps a connection whose answer has been read to its end.
    pub async fn keep(&self, target: &DialAddress, mut connection: Connection, now: Instant) {
        // Not ready ever again is how one shows that the upstream closes it.
        if connection.sender.ready().await.is_err() {
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
    fn take(&self, target: &DialAddress, now: Instant, idle: Duration) -> Option<Connection> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get_mut(target)?;
        kept.retain(|connection| connection.is_fresh(now, idle));
        kept.pop()
    }
}

impl Connection {
    async fn open(target: &DialAddress, now: Instant) -> Result<Connection, AskError> {
        match Socket::connect(target).await? {
            Socket::Tcp(tcp) => Connection::on(tcp, now).await,
            Socket::Unix(unix) => Connection::on(unix, now).await,
            Socket::Tls(tls) => Connection::on(*tls, now).await,
            Socket::Stream(_) => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        }
    }

    async fn on(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        now: Instant,
    ) -> Result<Connection, AskError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(LONGEST_HEAD);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // How it ends is told to who asks on it.
        let driver = tokio::spawn(async { drop(connection.await) });
        Ok(Connection { sender, driver, since: now })
    }

    fn is_fresh(&self, now: Instant, idle: Duration) -> bool {
        !self.sender.is_closed() && now.saturating_duration_since(self.since) < idle
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

    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    /// A server that answers so many requests on each connection and then closes it without a word;
    /// its address and how many connections it took.
    async fn server(answers: usize) -> (DialAddress, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = DialAddress::Socket(listener.local_addr().unwrap());
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
    async fn ask(connections: &Connections, target: &DialAddress, now: Instant) {
        let request = Request::get("/").body(Bytes::new()).unwrap();
        let (response, connection) = connections.ask(target, &request, now, IDLE).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
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
        let target = DialAddress::Socket(listener.local_addr().unwrap());
        drop(listener);
        let request = Request::get("/").body(Bytes::new()).unwrap();
        let asked = Connections::default().ask(&target, &request, Instant::now(), IDLE).await;
        assert!(matches!(asked, Err(AskError::Connect(_))));
    }
}
