//! The admin port: connections in, the API's answers out; each bounded in time, all in number.
//!
//! The router is shared and never changed, so that a connection that says nothing costs its socket
//! and little more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::listen::PAUSE;
use super::socket::Bound;
use crate::admin::{Shown, Source};
use crate::observe::ListenerTally;
use crate::outgoing::dial::is_exhaustion;
use crate::wire::clients::SharedTerms;
use crate::wire::socket::Socket;
use crate::wire::tls::accept::{Accepted, accept};

/// How long a request's head may take, from when it could come on: so long a connection may be idle.
const HEAD: Duration = Duration::from_secs(10);

/// How long nothing may move where something should: longer than an answer waits for an event. Whoever
/// watches and reads nothing gives its place to another after that long.
const STILL: Duration = Duration::from_secs(60);

/// How much of what comes and goes is held, in bytes.
const BUFFER: usize = 64 * 1024;

/// Serves `router` to whoever connects, by TLS if the terms of the moment have any, as many at once as
/// there are places; more stand in the socket's queue until one of those ends. Once it `leaves`, another
/// process has the socket.
pub async fn serve(
    bound: Arc<Bound>,
    (router, terms): (Router, SharedTerms),
    places: Arc<Semaphore>,
    tally: Arc<ListenerTally>,
    mut leaves: watch::Receiver<bool>,
) {
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            // Also while as many ask as may.
            _ = leaves.wait_for(|leaves| *leaves) => break,
        };
        // They are never closed.
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            accepted = bound.accept() => accepted,
            _ = leaves.wait_for(|leaves| *leaves) => break,
        };
        let (socket, source) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if is_exhaustion(&error) {
                    tally.lacked.fetch_add(1, Ordering::Relaxed);
                    sleep(PAUSE).await;
                }
                continue;
            }
        };
        let (router, terms, handshakes) =
            (router.clone(), terms.load_full(), tally.handshakes.clone());
        tokio::spawn(async move {
            let _place = place;
            match socket {
                Socket::Tcp(stream) => {
                    let source = source.map(|source| Source::Address(source.ip()));
                    let source = source.unwrap_or_default();
                    let Some(tls) = &terms.tls else {
                        return converse(stream, source, Shown(None), router, STILL).await;
                    };
                    match accept(stream, tls, HEAD).await {
                        Ok(Accepted { tls, secured, how }) => {
                            handshakes.note(how);
                            let subject = secured.and_then(|secured| secured.subject.clone());
                            converse(tls, source, Shown(subject), router, STILL).await;
                        }
                        Err(how) => handshakes.note(how),
                    }
                }
                Socket::Unix(stream) => {
                    let source = stream.peer_cred().map(|peer| Source::User(peer.uid()));
                    let source = source.unwrap_or_default();
                    converse(stream, source, Shown(None), router, STILL).await;
                }
                // Nobody accepts one.
                Socket::Tls(_) | Socket::Stream(_) => {}
            }
        });
    }
    bound.hand_on();
    drop((bound, leaves));
    std::future::pending().await
}

/// Serves one connection until it ends, or nothing has moved for `still`.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    source: Source,
    shown: Shown,
    router: Router,
    still: Duration,
) {
    let answer = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(source);
        request.extensions_mut().insert(shown.clone());
        // It shares its routes, and is always ready.
        router.clone().call(request.map(Body::new))
    });
    let stream = TokioIo::new(Moving { stream, still, read: None, write: None });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    // Whoever breaks off has lost nothing but its answer.
    let _ = http.serve_connection(stream, answer).await;
}

/// A stream whose reads and writes fail when nothing has moved for too long.
struct Moving<S> {
    stream: S,
    /// How long that may be.
    still: Duration,
    /// While a read waits; and while a write does.
    read: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
}

/// Passes on what has moved, and the end of the wait for what has not.
fn bounded<T>(
    moved: Poll<io::Result<T>>,
    (wait, still): (&mut Option<Pin<Box<Sleep>>>, Duration),
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    if moved.is_ready() {
        *wait = None;
        return moved;
    }
    let wait = wait.get_or_insert_with(|| Box::pin(sleep(still)));
    wait.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Moving<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        bounded(Pin::new(&mut this.stream).poll_read(cx, buf), (&mut this.read, this.still), cx)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Moving<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = bounded(
            Pin::new(&mut this.stream).poll_write(cx, buf),
            (&mut this.write, this.still),
            cx,
        );
        if matches!(written, Poll::Ready(Ok(_))) {
            // Whoever watches says nothing for hours; that what is written goes shows that it is there.
            this.read = None;
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        bounded(Pin::new(&mut this.stream).poll_flush(cx), (&mut this.write, this.still), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        bounded(Pin::new(&mut this.stream).poll_shutdown(cx), (&mut this.write, this.still), cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;

    use axum::body::HttpBody;
    use axum::routing::get;
    use bytes::Bytes;
    use hyper::body::Frame;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;

    /// Of the clock of a test, which nobody waits for.
    const STALL: Duration = Duration::from_secs(5);

    const KIB: usize = 1024;

    static LINE: [u8; KIB] = [b'x'; KIB];

    /// Lines for as long as somebody takes them; it counts those.
    struct Endless(Arc<AtomicUsize>);

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&LINE)))))
        }
    }

    /// Somebody who has asked to watch, the conversation, and the lines it has taken.
    async fn viewer() -> (DuplexStream, JoinHandle<()>, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = taken.clone();
        let watch = move || {
            let lines = Endless(counted.clone());
            async move { Body::new(lines) }
        };
        let router = Router::new().route("/", get(watch));
        let (mut client, server) = duplex(KIB);
        let talk = converse(server, Source::default(), Shown(None), router, STALL);
        let conversation = tokio::spawn(talk);
        client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        (client, conversation, taken)
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_let_go_with_all_that_was_kept_for_it() {
        let (_client, conversation, taken) = viewer().await;
        conversation.await.unwrap();
        // What a connection holds, and nothing more for as long as nobody read.
        let lines = taken.load(Ordering::Relaxed);
        assert!((1..=2 * BUFFER / KIB).contains(&lines), "{lines}");
        assert_eq!(Arc::strong_count(&taken), 1, "its answer is gone, and its place with it");
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_not_let_go_until_it_reads_no_more() {
        let (mut client, conversation, taken) = viewer().await;
        let mut some = [0; KIB / 2];
        for _ in 0..300 {
            sleep(STALL / 2).await;
            client.read_exact(&mut some).await.unwrap();
        }
        assert!(!conversation.is_finished());
        assert!(taken.load(Ordering::Relaxed) > 2 * BUFFER / KIB, "more than is held came through");
        conversation.await.unwrap();
        assert_eq!(Arc::strong_count(&taken), 1);
    }
}
