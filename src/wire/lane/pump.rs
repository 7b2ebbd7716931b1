//! One direction of a message's bytes: a body's reader and two sockets in, the same body on the other
//! side out.
//!
//! It reads no more than it can write: what the receiver does not take stays where it is, and at last
//! in the sender.

use std::task::{Context, Poll};

use http::HeaderMap;
use http::header::HeaderName;

use super::super::socket::Socket;
use super::buffer::Buffer;
use super::coder::Coder;
use crate::http::codec::body::{BodyReader, Event};
use crate::http::codec::chunks::{self, CHUNK_END, LAST_CHUNK, LAST_SIZE};
use crate::http::codec::write::HEAD_END;
use crate::http::trailers;
use crate::http::view::{Flat, View};

/// Pieces up to this length are copied behind what is before them, so that they leave in one write; larger
/// ones are written where they lie.
const COPIED: usize = 4 * 1024;

/// How much is gathered before it is written.
const GATHERED: usize = 16 * 1024;

/// How often one direction goes on before the other has its turn.
const PASSES: u32 = 32;

/// How much of a body is coded before others have their turn, and how large a piece of it is, in bytes: coding
/// takes a thread far longer than moving.
const CODED: usize = 64 * 1024;

/// Why a body ended before its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// Nothing more can be read of it: the connection failed, or ended too early.
    Reading,
    /// What was read is no body.
    Malformed,
    /// It is longer than it may be.
    TooLong,
    /// Nothing more can be written.
    Writing,
}

/// Which fields behind a body in chunks go on, of those that may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    Nothing,
    All,
    /// Without these.
    AllBut(Box<[HeaderName]>),
    /// Those on this list.
    Announced(Box<[u8]>),
}

/// Moves one body.
#[derive(Debug)]
pub(super) struct Pump {
    body: BodyReader,
    in_chunks: bool,
    /// What goes out first: a head, sizes of chunks, small pieces.
    pub(super) lead: Vec<u8>,
    written: usize,
    /// Then so many bytes at the front of the buffer that is read into.
    piece: usize,
    /// Then this.
    tail: &'static [u8],
    /// All of these have been written, and the socket holds some of it back.
    is_held: bool,
    is_over: bool,
    passes: Passes,
    /// What came behind the body on a stream.
    trailers: Option<Box<HeaderMap>>,
    /// Bytes that have moved, in or out.
    pub(super) moved: u64,
    /// Bytes of the body that may still come.
    left: u64,
    /// What makes it smaller on the way, if anything does.
    coding: Option<Box<Coding>>,
}

/// A body that goes out in a coding.
#[derive(Debug)]
struct Coding {
    coder: Coder,
    /// Whether what has come goes out before more comes.
    flushes: bool,
    /// Bytes that this turn has taken in.
    taken: usize,
    /// What has come out and is not framed yet.
    made: Vec<u8>,
}

impl Pump {
    /// A body that is read so, and written in chunks or as it is, behind `lead`.
    pub(super) fn new(body: BodyReader, in_chunks: bool, lead: Vec<u8>) -> Pump {
        let (written, piece, moved) = (0, 0, 0);
        let (is_held, is_over, passes, tail) = (false, false, Passes::Nothing, &[][..]);
        Pump {
            body,
            in_chunks,
            lead,
            written,
            piece,
            tail,
            is_held,
            is_over,
            passes,
            trailers: None,
            moved,
            left: u64::MAX,
            coding: None,
        }
    }

    /// It goes out in a coding. Of one that flushes, what has come goes out when nothing more is at hand.
    pub(super) fn coded(self, coder: Coder, flushes: bool) -> Pump {
        let coding = Coding { coder, flushes, taken: 0, made: Vec::new() };
        Pump { coding: Some(Box::new(coding)), ..self }
    }

    /// Whether it goes out in a coding.
    pub(super) fn is_coded(&self) -> bool {
        self.coding.is_some()
    }

    /// Whether so much has been coded that others have their turn.
    fn has_had_its_turn(&self) -> bool {
        self.coding.as_ref().is_some_and(|coding| coding.taken >= CODED)
    }

    /// No more than so many bytes of the body may come.
    pub(super) fn bound(&mut self, most: u64) {
        self.left = most;
    }

    /// What comes behind the body goes on, too, so far as it may.
    pub(super) fn passing(self, passes: Passes) -> Pump {
        Pump { passes, ..self }
    }

    /// The list of names that may come behind it, if there is one.
    pub(super) fn announced(&self) -> Option<&[u8]> {
        match &self.passes {
            Passes::Announced(names) => Some(names),
            Passes::Nothing | Passes::All | Passes::AllBut(_) => None,
        }
    }

    /// Nothing goes on behind the body.
    pub(super) fn withhold_trailers(&mut self) {
        self.passes = Passes::Nothing;
    }

    /// Whether it waits for the receiver.
    pub(super) fn is_writing(&self) -> bool {
        self.has_more() || self.is_held
    }

    /// Whether the socket has yet to take something.
    fn has_more(&self) -> bool {
        self.written < self.lead.len() || self.piece > 0 || !self.tail.is_empty()
    }

    /// Whether the end of the body has been read.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Who reads the body.
    pub(super) fn body(&self) -> &BodyReader {
        &self.body
    }

    /// What came behind the body.
    pub(super) fn trailers(&self) -> View<'_> {
        match (&self.trailers, self.body.trailers()) {
            (Some(map), _) => View::Map(map),
            (None, Some((lines, bytes))) => View::Flat(Flat::of_lines(bytes, lines)),
            (None, None) => View::Flat(Flat::NONE),
        }
    }

    /// For another receiver it begins anew, in chunks or as it is.
    pub(super) fn frame_anew(&mut self, in_chunks: bool) {
        self.in_chunks = in_chunks;
    }

    /// How it goes on where it begins anew for another receiver: what was read of it so far is in
    /// `lead`.
    pub(super) fn restart(&mut self, lead: Vec<u8>, buffer: &mut Buffer) {
        buffer.skip(std::mem::take(&mut self.piece));
        (self.lead, self.written, self.tail, self.is_held) = (lead, 0, &[], false);
        if self.is_over && self.in_chunks {
            self.write_last_chunk();
        }
    }

    /// A piece as it is written.
    pub(super) fn frame(&self, piece: &[u8], into: &mut Vec<u8>) {
        if self.in_chunks {
            chunks::write_size(piece.len(), into);
        }
        into.extend_from_slice(piece);
        if self.in_chunks {
            into.extend_from_slice(CHUNK_END);
        }
    }

    /// Moves what can be moved; ready when all of it has been written. `hear` is told of each piece,
    /// and of the end.
    pub(super) fn poll(
        &mut self,
        (from, buffer): (&mut Socket, &mut Buffer),
        to: &mut Socket,
        cx: &mut Context<'_>,
        mut hear: impl FnMut(Option<&[u8]>, bool),
    ) -> Poll<Result<(), Broken>> {
        if let Some(coding) = &mut self.coding {
            coding.taken = 0;
        }
        let most = if self.is_coded() { CODED } else { usize::MAX };
        for _ in 0..PASSES {
            // A body whose length was said may have something behind it where both ends have a place for
            // that.
            let waits = to.is_stream() && from.may_have_more();
            if self.piece == 0
                && self.tail.is_empty()
                && let Err(broken) = self.take((&mut *from, &mut *buffer), waits, &mut hear)
            {
                // What came before it is good.
                let _ = self.poll_write(buffer, to, cx);
                return Poll::Ready(Err(broken));
            }
            match self.poll_write(buffer, to, cx) {
                Poll::Ready(Ok(())) if self.is_over => return Poll::Ready(Ok(())),
                // Nothing more will come for it, so nothing must be waited for.
                Poll::Ready(Ok(())) if self.body.is_complete() => {
                    if waits {
                        match from.poll_end(cx) {
                            Poll::Ready(Ok(())) => {}
                            Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Reading)),
                            Poll::Pending => return Poll::Pending,
                        }
                    }
                    if let Err(broken) = self.end(from, &mut hear) {
                        return Poll::Ready(Err(broken));
                    }
                    continue;
                }
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            if self.has_had_its_turn() {
                break;
            }
            if !buffer.is_empty() {
                continue;
            }
            buffer.widen(most);
            match buffer.poll_fill(from, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Reading)),
                Poll::Ready(Ok(0)) => match self.body.close() {
                    Ok(()) => {
                        if let Err(broken) = self.end(from, &mut hear) {
                            return Poll::Ready(Err(broken));
                        }
                    }
                    Err(_) => return Poll::Ready(Err(Broken::Reading)),
                },
                Poll::Ready(Ok(length)) => self.moved += length as u64,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is to be written, until it has left.
    fn poll_write(
        &mut self,
        buffer: &mut Buffer,
        to: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        while self.has_more() {
            let lead = &self.lead[self.written..];
            let before = lead.len();
            let parts = [lead, &buffer.bytes()[..self.piece], self.tail];
            let is_end = self.is_over && self.trailers().is_empty();
            let taken = match to.poll_write(cx, parts, is_end) {
                Poll::Ready(Ok(taken)) => taken,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Writing)),
                Poll::Pending => return Poll::Pending,
            };
            self.moved += taken as u64;
            let of_lead = taken.min(before);
            let of_piece = (taken - of_lead).min(self.piece);
            self.written += of_lead;
            buffer.skip(of_piece);
            self.piece -= of_piece;
            self.tail = &self.tail[taken - of_lead - of_piece..];
            self.is_held = to.holds_back();
        }
        if self.is_held {
            match to.poll_flush(cx, &mut self.moved) {
                Poll::Ready(Ok(())) => self.is_held = false,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Writing)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.lead.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Takes in what has been read; its end not, if that is waited for.
    fn take(
        &mut self,
        (from, buffer): (&mut Socket, &mut Buffer),
        waits: bool,
        hear: &mut impl FnMut(Option<&[u8]>, bool),
    ) -> Result<(), Broken> {
        while !self.is_over && self.lead.len() < GATHERED && !self.has_had_its_turn() {
            let read = self.body.read(buffer.bytes()).map_err(|_| Broken::Malformed)?;
            match read.event {
                Event::Wanting => {
                    buffer.skip(read.used);
                    return self.code(|coding| match coding.flushes {
                        true => coding.coder.flush(&mut coding.made),
                        false => Ok(()),
                    });
                }
                Event::End => {
                    buffer.skip(read.used);
                    if waits {
                        return Ok(());
                    }
                    self.end(from, hear)?;
                }
                Event::Piece(range) => {
                    let length = range.len();
                    // Before anybody gets any of it: an upstream is not to take it for whole.
                    self.left = self.left.checked_sub(length as u64).ok_or(Broken::TooLong)?;
                    hear(Some(&buffer.bytes()[range.clone()]), false);
                    if self.coding.is_some() {
                        let piece = &buffer.bytes()[range];
                        self.code(|coding| {
                            coding.taken += length;
                            coding.coder.take(piece, &mut coding.made)
                        })?;
                        buffer.skip(read.used);
                        continue;
                    }
                    if length <= COPIED {
                        let mut lead = std::mem::take(&mut self.lead);
                        self.frame(&buffer.bytes()[range], &mut lead);
                        self.lead = lead;
                        buffer.skip(read.used);
                        continue;
                    }
                    if self.in_chunks {
                        chunks::write_size(length, &mut self.lead);
                        self.tail = CHUNK_END;
                    }
                    buffer.skip(range.start);
                    self.piece = length;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Has the coder do something, if there is one, and frames what comes out of it.
    fn code(
        &mut self,
        work: impl FnOnce(&mut Coding) -> std::io::Result<()>,
    ) -> Result<(), Broken> {
        let Some(mut coding) = self.coding.take() else { return Ok(()) };
        // It writes to memory, and what it makes is read by nobody if it fails all the same.
        let done = work(&mut coding).map_err(|_| Broken::Malformed);
        // A chunk of nothing would be the last.
        if !coding.made.is_empty() {
            let mut lead = std::mem::take(&mut self.lead);
            self.frame(&coding.made, &mut lead);
            self.lead = lead;
            coding.made.clear();
        }
        self.coding = Some(coding);
        done
    }

    fn end(
        &mut self,
        from: &mut Socket,
        hear: &mut impl FnMut(Option<&[u8]>, bool),
    ) -> Result<(), Broken> {
        self.code(|coding| coding.coder.end(&mut coding.made))?;
        self.is_over = true;
        self.trailers = from.take_trailers().map(Box::new);
        if self.in_chunks {
            self.write_last_chunk();
        }
        hear(None, true);
        Ok(())
    }

    /// With what goes on behind it.
    fn write_last_chunk(&mut self) {
        if self.passes == Passes::Nothing {
            self.lead.extend_from_slice(LAST_CHUNK);
            return;
        }
        let mut lead = std::mem::take(&mut self.lead);
        lead.extend_from_slice(LAST_SIZE);
        match &self.passes {
            Passes::Nothing => {}
            Passes::All => trailers::write(self.trailers(), &mut lead),
            Passes::AllBut(withheld) => trailers::write_but(self.trailers(), withheld, &mut lead),
            Passes::Announced(names) => {
                trailers::write_announced(self.trailers(), names, &mut lead);
            }
        }
        lead.extend_from_slice(HEAD_END);
        self.lead = lead;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::coder::Coders;
    use crate::http::compression::Coding;

    /// Both ends of a connection.
    async fn connected() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Socket::Tcp(listener.accept().await.unwrap().0), there)
    }

    #[tokio::test]
    async fn a_body_that_is_coded_leaves_its_thread_to_others_between_its_pieces() {
        const LENGTH: usize = 2 * 1024 * 1024;
        let ((mut from, mut upstream), (mut to, mut client)) =
            (connected().await, connected().await);
        let sends = tokio::spawn(async move {
            upstream.write_all(&vec![b'x'; LENGTH]).await.unwrap();
            upstream
        });
        let reads = tokio::spawn(async move {
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            got
        });
        let coder = Coders::default().make(Coding::Gzip).unwrap();
        let body = BodyReader::Length(LENGTH as u64);
        let mut pump = Pump::new(body, false, Vec::new()).coded(coder, false);
        let (mut buffer, mut turns, mut taken) = (Buffer::default(), 0, 0);
        let moved = poll_fn(|cx| {
            let (mut of_turn, mut largest) = (0, 0);
            let hear = |piece: Option<&[u8]>, _| {
                let length = piece.map_or(0, <[u8]>::len);
                (of_turn, largest) = (of_turn + length, largest.max(length));
            };
            let moved = pump.poll((&mut from, &mut buffer), &mut to, cx, hear);
            assert!(of_turn < 2 * CODED && largest <= CODED, "{of_turn} {largest}");
            (turns, taken) = (turns + 1, taken + of_turn);
            moved
        });
        moved.await.unwrap();
        assert_eq!(taken, LENGTH);
        assert!(turns >= LENGTH / (2 * CODED), "{turns}");
        drop((to, sends.await.unwrap()));
        let got = reads.await.unwrap();
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&got[..]), &mut text).unwrap();
        assert!(text == vec![b'x'; LENGTH]);
    }
}
