//! A connection's socket, of a client or of an upstream: bytes in, bytes out.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::HeaderMap;
use socket2::SockRef;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

use super::h2::stream::Stream;
use super::tls::dial;
use super::tls::stream::{self, Tls};
use crate::config::Speaks;
use crate::http::codec::body::BodyReader;
use crate::http::codec::framing::Framing;
use crate::http::forwarded::{Ends, Peer};
use crate::upstream::{DialAddress, ProxiedTarget};

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<Tls>),
    /// One stream of an HTTP/2 connection: the bytes of its bodies.
    Stream(Box<Stream>),
}

/// Waits for the other end's end.
#[derive(Debug)]
pub(super) struct End(Below);

/// The descriptor below a connection, which knows of nothing but bytes.
#[derive(Debug)]
enum Below {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Descriptors of this kind at once: they have no share of their own, so few enough that the reserve bears
/// them (`server/descriptors.rs`).
const MOST_ENDS: usize = 64;
static ENDS: AtomicUsize = AtomicUsize::new(0);

impl Drop for End {
    fn drop(&mut self) {
        ENDS.fetch_sub(1, Ordering::Relaxed);
    }
}

impl End {
    /// Another descriptor, as what is waited for on the socket's own is more bytes. None where there are
    /// many already.
    fn of(socket: impl FnOnce() -> io::Result<Below>) -> io::Result<End> {
        if ENDS.fetch_add(1, Ordering::Relaxed) >= MOST_ENDS {
            ENDS.fetch_sub(1, Ordering::Relaxed);
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        socket().map(End).inspect_err(|_| {
            ENDS.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// Ready when the other end has ended the connection or its side of it, so far as what it sent
    /// before has found room here.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        // What is there is not wanted yet: asked again only when more has come, or the end.
        let unwanted = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        loop {
            let is_over = match &self.0 {
                Below::Tcp(tcp) => {
                    let is_over = ready!(tcp.poll_read_ready(cx)).is_err()
                        || has_ended(tcp.ready(Interest::READABLE), cx);
                    let _ = tcp.try_io(Interest::READABLE, unwanted);
                    is_over
                }
                Below::Unix(unix) => {
                    let is_over = ready!(unix.poll_read_ready(cx)).is_err()
                        || has_ended(unix.ready(Interest::READABLE), cx);
                    let _ = unix.try_io(Interest::READABLE, unwanted);
                    is_over
                }
            };
            if is_over {
                return Poll::Ready(());
            }
        }
    }
}

/// Whether what a socket is ready for is its end.
fn has_ended(ready: impl Future<Output = io::Result<Ready>>, cx: &mut Context<'_>) -> bool {
    match pin!(ready).poll(cx) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed(),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

impl Socket {
    /// A new connection to this address.
    pub(super) async fn connect(to: &DialAddress) -> io::Result<Socket> {
        match to {
            DialAddress::Socket(address) => {
                let stream = TcpStream::connect(address).await?;
                // What is written is whole, and waits for nothing.
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            DialAddress::Unix(path) => UnixStream::connect(&**path).await.map(Socket::Unix),
            DialAddress::Tls(target) => {
                // Rare and large, so that it is no part of what a plain one waits for.
                Box::pin(dial::connect(target)).await.map(|tls| Socket::Tls(Box::new(tls)))
            }
            DialAddress::Proxied(target) => Box::pin(Socket::introduced(target)).await,
        }
    }

    /// A new connection that has said whom it is for.
    async fn introduced(to: &ProxiedTarget) -> io::Result<Socket> {
        match &to.below {
            DialAddress::Socket(address) => {
                let mut tcp = TcpStream::connect(address).await?;
                tcp.set_nodelay(true)?;
                tcp.write_all(&to.header()).await?;
                Ok(Socket::Tcp(tcp))
            }
            DialAddress::Unix(path) => {
                let mut unix = UnixStream::connect(&**path).await?;
                unix.write_all(&to.header()).await?;
                Ok(Socket::Unix(unix))
            }
            // It goes before TLS, and there is one.
            DialAddress::Tls(_) | DialAddress::Proxied(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The address of our end, if it has one and is still there. That is a system call: hardly anybody
    /// needs to know.
    pub(super) fn own_address(&self) -> Option<SocketAddr> {
        let tcp = match self {
            Socket::Tcp(tcp) => tcp,
            Socket::Tls(tls) => tls.get_ref().0,
            Socket::Unix(_) | Socket::Stream(_) => return None,
        };
        tcp.local_addr().ok()
    }

    /// What both sides have agreed to speak, if they have.
    pub(super) fn agreed(&self) -> Option<Speaks> {
        let Socket::Tls(tls) = self else { return None };
        let is_http2 = tls.get_ref().1.alpn_protocol()? == b"h2";
        Some(Speaks { http1: !is_http2, http2: is_http2 })
    }

    /// The other end, which has this address, if any, and is connected since then.
    pub(super) fn peer(&self, source: Option<SocketAddr>, since: Instant) -> Peer {
        match self {
            Socket::Unix(_) => Peer::unix(self.scheme(), since),
            _ => Peer::at(Ends { source, destination: None }, self.scheme(), since),
        }
    }

    /// `http` or `https`, as it is plain or not.
    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Socket::Tls(_) => "https",
            Socket::Tcp(_) | Socket::Unix(_) | Socket::Stream(_) => "http",
        }
    }

    /// Whether nothing is there to be read, not even the end. Asked without a task: one that has had its
    /// turn is told by the runtime to wait, whatever there is.
    pub(super) fn is_silent(&mut self) -> bool {
        let read = match self {
            Socket::Tcp(tcp) => tcp.try_read(&mut [0]),
            Socket::Unix(unix) => unix.try_read(&mut [0]),
            Socket::Tls(tls) => return stream::is_silent(tls),
            Socket::Stream(_) => return false,
        };
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// What tells of the other end's end, whatever has not been read before it.
    pub(super) fn end(&self) -> io::Result<End> {
        let tcp = |tcp: &TcpStream| {
            let twin = tcp.as_fd().try_clone_to_owned()?;
            TcpStream::from_std(twin.into()).map(Below::Tcp)
        };
        End::of(|| match self {
            Socket::Tcp(own) => tcp(own),
            Socket::Tls(tls) => tcp(tls.get_ref().0),
            Socket::Unix(unix) => {
                let twin = unix.as_fd().try_clone_to_owned()?;
                UnixStream::from_std(twin.into()).map(Below::Unix)
            }
            Socket::Stream(_) => Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// Has the end of the connection be a reset, by which the other end sees that something is missing.
    pub(super) fn end_by_reset(&self) {
        let tcp = match self {
            Socket::Tcp(tcp) => tcp,
            Socket::Tls(tls) => tls.get_ref().0,
            Socket::Unix(_) | Socket::Stream(_) => return,
        };
        // Without it the end is one that says less.
        let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    }

    /// Whether something may be there to be read, or the end: what is read next may still be nothing.
    pub(super) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(tcp) => tcp.poll_read_ready(cx),
            Socket::Unix(unix) => unix.poll_read_ready(cx),
            // What has come may be in the session already.
            Socket::Tls(tls) => Pin::new(tls).poll_fill_buf(cx).map_ok(|_| ()),
            Socket::Stream(stream) => stream.poll_come(cx),
        }
    }

    /// Reads into what is free of `into`; 0 at the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(into);
        let polled = match self {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_read(cx, &mut read),
            Socket::Unix(unix) => Pin::new(unix).poll_read(cx, &mut read),
            Socket::Tls(tls) => Pin::new(tls).poll_read(cx, &mut read),
            Socket::Stream(stream) => return stream.poll_read(cx, into),
        };
        polled.map_ok(|()| read.filled().len())
    }

    /// Writes the beginning of these, one behind the other; how much of them was taken, at least one
    /// byte. What was taken may be [held back](Self::holds_back). `is_end`: nothing follows them, which a
    /// stream can say with them.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: [&[u8]; 3],
        is_end: bool,
    ) -> Poll<io::Result<usize>> {
        let written = match parts {
            [only, [], []] | [[], only, []] | [[], [], only] => match self {
                Socket::Tcp(tcp) => Pin::new(tcp).poll_write(cx, only),
                Socket::Unix(unix) => Pin::new(unix).poll_write(cx, only),
                Socket::Tls(tls) => Pin::new(tls).poll_write(cx, only),
                Socket::Stream(stream) => return stream.poll_write(cx, parts, is_end),
            },
            parts => {
                let all = parts.map(IoSlice::new);
                match self {
                    Socket::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, &all),
                    Socket::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, &all),
                    Socket::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, &all),
                    Socket::Stream(stream) => return stream.poll_write(cx, parts, is_end),
                }
            }
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => written,
        }
    }

    /// Whether something of what was written has not left yet, and leaves by [`Self::poll_flush`].
    pub(super) fn holds_back(&self) -> bool {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) | Socket::Stream(_) => false,
            Socket::Tls(tls) => tls.get_ref().1.wants_write(),
        }
    }

    /// Has all leave that was written; `moved` grows by the bytes that have.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        match self {
            // What is given to a stream is moved with its connection.
            Socket::Tcp(_) | Socket::Unix(_) | Socket::Stream(_) => Poll::Ready(Ok(())),
            Socket::Tls(tls) => stream::poll_flush(tls, cx, moved),
        }
    }

    /// Whether its end has to be said before it is closed: without it the other end cannot tell it from
    /// one that somebody else has made.
    pub(super) fn says_its_end(&self) -> bool {
        matches!(self, Socket::Tls(_))
    }

    /// Says that nothing more will be written.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Socket::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Socket::Stream(stream) => {
                stream.end(HeaderMap::new());
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Ends what goes out on a stream, with these behind it if there are any; a connection goes on.
    pub(super) fn end_message(&mut self, trailers: HeaderMap) {
        if let Socket::Stream(stream) = self {
            stream.end(trailers);
        }
    }

    /// What came behind the body on a stream, once.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        match self {
            Socket::Stream(stream) => stream.take_trailers(),
            _ => None,
        }
    }

    /// Whether something may come behind what has come of a message: this is a stream that has not ended.
    pub(super) fn may_have_more(&self) -> bool {
        matches!(self, Socket::Stream(stream) if !stream.has_all())
    }

    /// Waits for the end of a stream whose body is here as a whole.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Stream(stream) => stream.poll_end(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Who reads a body that is framed so from here: on a stream frames take the place of chunks.
    pub(super) fn body(&self, framing: Framing) -> BodyReader {
        match (self, framing) {
            (Socket::Stream(_), Framing::Chunked) => BodyReader::UntilClose,
            (_, framing) => BodyReader::new(framing),
        }
    }

    /// Whether this is a stream.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Socket::Stream(_))
    }
}
