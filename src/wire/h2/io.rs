//! A socket as the frames' reader wants one, with what was read of it before.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::h1::buffer::Buffer;
use super::super::socket::Socket;

/// A socket whose first bytes have been read.
#[derive(Debug)]
pub(super) struct Io {
    socket: Socket,
    before: Buffer,
}

impl Io {
    /// Of which nothing has been read.
    pub(super) fn new(socket: Socket) -> Io {
        Io::behind(Buffer::default(), socket)
    }

    /// Of which these bytes have.
    pub(super) fn behind(before: Buffer, socket: Socket) -> Io {
        Io { socket, before }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Io { socket, before } = self.get_mut();
        if !before.is_empty() {
            let length = before.len().min(into.remaining());
            into.put_slice(&before.bytes()[..length]);
            before.skip(length);
            if before.is_empty() {
                // Its room goes back.
                *before = Buffer::default();
            }
            return Poll::Ready(Ok(()));
        }
        let length = ready!(socket.poll_read(cx, into.initialize_unfilled()))?;
        into.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().socket.poll_write(cx, [bytes, &[], &[]], false)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let part = |at: usize| parts.get(at).map_or(&[][..], |part| part);
        self.get_mut().socket.poll_write(cx, [part(0), part(1), part(2)], false)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket.poll_flush(cx, &mut 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket.poll_shutdown(cx)
    }
}
