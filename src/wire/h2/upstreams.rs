//! Connections to upstreams that speak HTTP/2: an address in, one on which another request can go out, out.
//!
//! As with those of HTTP/1.1 each thread has its own, so that two hardly ever want the same; nobody
//! waits for one: whoever finds them taken looks at another thread's. Requests share a connection up to
//! as many as its upstream allows.
//!
//! A new connection goes where it was missed: while it is made another thread may take the request over,
//! and among that one's connections the next who misses it would not find it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};

use super::super::socket::Socket;
use super::io::Io;
use super::stream::Stream;
use crate::record::{free_from, lock, place_of_thread};
use crate::upstream::DialAddress;

/// Bytes of a body that may wait for room at the upstream, for each request.
const UNSENT: usize = 64 * 1024;

/// Bytes that an upstream may send ahead of those who read: of one answer, and of all on a connection.
const WINDOW: u32 = 256 * 1024;
const ALL_WINDOWS: u32 = 4 * 1024 * 1024;

/// Bytes of an answer's head.
const HEAD: u32 = 1024 * 1024;

/// How many requests go on a connection before its upstream has said how many may.
const BEFORE_SETTINGS: usize = 100;

/// All connections.
#[derive(Debug)]
pub(in crate::wire) struct Upstreams {
    shelves: Vec<Mutex<Shelf>>,
}

/// Those of one thread.
type Shelf = HashMap<DialAddress, Vec<Connection>, foldhash::fast::RandomState>;

struct Connection {
    send: SendRequest<Bytes>,
    usage: Arc<Usage>,
    /// When nobody has needed it for as long as its service lets it wait.
    until: Instant,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.usage.fmt(f)
    }
}

/// What is known of a connection.
#[derive(Debug, Default)]
struct Usage {
    requests: AtomicUsize,
    is_distrusted: AtomicBool,
}

/// One request's use of a connection.
#[derive(Debug)]
pub struct Use(Arc<Usage>);

impl Use {
    /// It does not answer: nobody else gets it.
    pub(super) fn distrust(&self) {
        self.0.is_distrusted.store(true, Ordering::Relaxed);
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// A stream for one request, if it takes one now.
    fn stream(&mut self, until: Instant, cx: &mut Context<'_>) -> Option<Stream> {
        if self.usage.is_distrusted.load(Ordering::Relaxed) {
            return None;
        }
        // The library would take it, and keep it until another has ended.
        if self.usage.requests.load(Ordering::Relaxed) >= self.send.current_max_send_streams() {
            return None;
        }
        if !matches!(self.send.poll_ready(cx), Poll::Ready(Ok(()))) {
            self.usage.is_distrusted.store(true, Ordering::Relaxed);
            return None;
        }
        self.until = until;
        self.usage.requests.fetch_add(1, Ordering::Relaxed);
        Some(Stream::to_upstream(self.send.clone(), Use(self.usage.clone())))
    }

    fn is_good(&self, now: Instant) -> bool {
        let is_used = self.usage.requests.load(Ordering::Relaxed) > 0;
        !self.usage.is_distrusted.load(Ordering::Relaxed) && (is_used || now < self.until)
    }
}

impl Upstreams {
    /// For so many threads.
    pub(in crate::wire) fn new(threads: usize) -> Upstreams {
        Upstreams { shelves: (0..threads.max(1)).map(|_| Mutex::default()).collect() }
    }

    /// Where the thread that this runs on has its connections.
    pub(in crate::wire) fn own(&self) -> usize {
        place_of_thread(self.shelves.len())
    }

    /// A stream on a connection that there is at this place.
    pub(in crate::wire) fn take(
        &self,
        at: usize,
        to: &DialAddress,
        (now, within): (Instant, Duration),
        cx: &mut Context<'_>,
    ) -> Option<Stream> {
        let until = now.checked_add(within)?;
        let mut shelf = free_from(&self.shelves, at)?;
        shelf.get_mut(to)?.iter_mut().find_map(|connection| connection.stream(until, cx))
    }

    /// A stream on a new connection, which is kept at this place for others.
    pub(in crate::wire) async fn open(
        &self,
        at: usize,
        to: &DialAddress,
        socket: Socket,
        (now, within): (Instant, Duration),
    ) -> io::Result<Stream> {
        let (send, connection) = Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(ALL_WINDOWS)
            .max_header_list_size(HEAD)
            .initial_max_send_streams(BEFORE_SETTINGS)
            .max_send_buffer_size(UNSENT)
            .enable_push(false)
            .handshake(Io::new(socket))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(async move {
            // Those who use it are told of its end.
            let _ = connection.await;
        });
        let until = now.checked_add(within).unwrap_or(now);
        let mut connection = Connection { send, usage: Arc::default(), until };
        let stream = poll_fn(|cx| Poll::Ready(connection.stream(until, cx))).await;
        if let Some(mut shelf) = free_from(&self.shelves, at) {
            match shelf.get_mut(to) {
                Some(others) => others.push(connection),
                None => drop(shelf.insert(to.clone(), vec![connection])),
            }
        }
        stream.ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    /// Whether there is none.
    pub(in crate::wire) fn is_empty(&self) -> bool {
        self.shelves.iter().all(|shelf| lock(shelf).values().all(Vec::is_empty))
    }

    /// Closes those that nobody has needed for long, that do not answer, or whose upstream is gone.
    pub(in crate::wire) fn sweep(&self, now: Instant, is_known: impl Fn(&DialAddress) -> bool) {
        for shelf in &self.shelves {
            let mut gone = Vec::new();
            let mut shelf = lock(shelf);
            shelf.retain(|to, connections| {
                let is_known = is_known(to);
                gone.extend(connections.extract_if(.., |one| !is_known || !one.is_good(now)));
                !connections.is_empty()
            });
            // Who asks meanwhile need not wait for their ends.
            drop(shelf);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(3_600);

    async fn take(upstreams: &Upstreams, at: usize, to: &DialAddress) -> Option<Stream> {
        let until = (Instant::now(), WITHIN);
        poll_fn(|cx| Poll::Ready(upstreams.take(at, to, until, cx))).await
    }

    /// An upstream, and the connections of so many threads, of which the one at this place has a
    /// connection to it.
    async fn with_one_at(at: usize, threads: usize) -> (Upstreams, DialAddress) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = DialAddress::Socket(listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut served = h2::server::handshake(tcp).await.unwrap();
            while let Some(Ok(_)) = served.accept().await {}
        });
        let upstreams = Upstreams::new(threads);
        let socket = Socket::connect(&to).await.unwrap();
        drop(upstreams.open(at, &to, socket, (Instant::now(), WITHIN)).await.unwrap());
        (upstreams, to)
    }

    #[tokio::test]
    async fn a_new_connection_is_found_where_it_was_missed() {
        for at in 0..3 {
            // Whichever thread has opened it.
            let (upstreams, to) = with_one_at(at, 3).await;
            for other in 0..3 {
                let is_there = take(&upstreams, other, &to).await.is_some();
                assert_eq!(is_there, other == at, "missed at {at}, looked for at {other}");
            }
        }
    }

    #[tokio::test]
    async fn who_finds_somebody_at_its_own_looks_at_the_next_and_waits_for_nobody() {
        let (upstreams, to) = with_one_at(1, 2).await;
        let own = upstreams.shelves[0].lock().unwrap();
        assert!(free_from(&upstreams.shelves, 0).unwrap().contains_key(&to));
        let next = upstreams.shelves[1].lock().unwrap();
        assert!(free_from(&upstreams.shelves, 0).is_none());
        drop(own);
        assert!(free_from(&upstreams.shelves, 1).unwrap().is_empty());
        drop(next);
    }

    #[tokio::test]
    async fn what_nobody_needs_or_knows_is_swept() {
        let (upstreams, to) = with_one_at(0, 1).await;
        let now = Instant::now();
        upstreams.sweep(now, |_| true);
        assert!(take(&upstreams, 0, &to).await.is_some());
        upstreams.sweep(now + 2 * WITHIN, |_| true);
        assert!(take(&upstreams, 0, &to).await.is_none());
        let (upstreams, to) = with_one_at(0, 1).await;
        upstreams.sweep(now, |known| *known != to);
        assert!(take(&upstreams, 0, &to).await.is_none());
    }
}
