//! A socket as the frames' reader wants one, with what was read of it before.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::lane::buffer::Buffer;
use super::super::socket::Socket;
use super::allowance::Allowance;

/// A socket whose first bytes have been read.
#[derive(Debug)]
pub(super) struct Io {
    socket: Socket,
    before: Buffer,
    /// What the other end may send, if it is a client.
    allowance: Option<Allowance>,
}

impl Io {
    /// An upstream's.
    pub(super) fn new(socket: Socket) -> Io {
        Io { socket, before: Buffer::default(), allowance: None }
    }

    /// A client's, of which these bytes have been read.
    pub(super) fn of_client(before: Buffer, socket: Socket, allowance: Allowance) -> Io {
        Io { socket, before, allowance: Some(allowance) }
    }

    /// So many bytes were taken, or have left; or there was no room.
    fn on_sent<T>(&mut self, polled: &Poll<io::Result<T>>, taken: u64, left: u64) {
        if let Some(allowance) = &mut self.allowance {
            allowance.pay(taken);
            allowance.on_sent(left);
            allowance.set_stuck(polled.is_pending());
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Io { socket, before, allowance } = self.get_mut();
        if allowance.as_ref().is_some_and(Allowance::is_spent) {
            // Who serves it sees this, and ends it.
            return Poll::Pending;
        }
        if !before.is_empty() {
            let length = before.len().min(into.remaining());
            into.put_slice(&before.bytes()[..length]);
            if let Some(allowance) = allowance {
                allowance.charge(&before.bytes()[..length]);
            }
            before.skip(length);
            if before.is_empty() {
                // Its room goes back.
                *before = Buffer::default();
            }
            return Poll::Ready(Ok(()));
        }
        let room = into.initialize_unfilled();
        let length = ready!(socket.poll_read(cx, room))?;
        if let Some(allowance) = allowance {
            allowance.charge(&room[..length]);
        }
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
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let part = |at: usize| parts.get(at).map_or(&[][..], |part| part);
        let io = self.get_mut();
        let polled = io.socket.poll_write(cx, [part(0), part(1), part(2)], false);
        let taken = match &polled {
            Poll::Ready(Ok(taken)) => *taken as u64,
            _ => 0,
        };
        io.on_sent(&polled, taken, 0);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (io, mut left) = (self.get_mut(), 0);
        let polled = io.socket.poll_flush(cx, &mut left);
        io.on_sent(&polled, 0, left);
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket.poll_shutdown(cx)
    }
}
