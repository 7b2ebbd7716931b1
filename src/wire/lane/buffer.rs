//! Room for bytes that have come and are not done with, lent by the thread: a connection that waits
//! for its next request holds none.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use super::super::socket::Socket;

/// Bytes of the rooms that there are: for heads and small bodies, for bodies that are larger, and for
/// those that have filled one of these twice.
const SIZES: [usize; 3] = [16 * 1024, 64 * 1024, 256 * 1024];

/// How many of each size a thread keeps for the next who needs one.
const KEPT: [usize; 3] = [64, 16, 4];

thread_local! {
    static ROOMS: RefCell<[Vec<Vec<u8>>; 3]> = const { RefCell::new([const { Vec::new() }; 3]) };
}

/// Bytes of one connection, in order.
#[derive(Debug, Default)]
pub(in crate::wire) struct Buffer {
    /// Written once and then only overwritten, so that nothing is cleared for each read. Empty while
    /// none is lent.
    room: Vec<u8>,
    from: usize,
    to: usize,
    /// How often it was filled to its end since it has this size.
    filled: u8,
}

impl Buffer {
    /// What has come and is not done with.
    pub(in crate::wire) fn bytes(&self) -> &[u8] {
        &self.room[self.from..self.to]
    }

    pub(in crate::wire) fn len(&self) -> usize {
        self.to - self.from
    }

    pub(in crate::wire) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// So many bytes are done with.
    pub(in crate::wire) fn skip(&mut self, length: usize) {
        debug_assert!(length <= self.len());
        self.from += length;
        if self.is_empty() {
            (self.from, self.to) = (0, 0);
        }
    }

    /// So many bytes leave it, to be kept whole while others come; what is behind them stays.
    pub(in crate::wire) fn split(&mut self, length: usize) -> Buffer {
        let mut rest = Buffer::default();
        let behind = &self.bytes()[length..];
        if !behind.is_empty() {
            rest.lend(size_for(behind.len()));
            rest.room[..behind.len()].copy_from_slice(behind);
            rest.to = behind.len();
        }
        let mut front = std::mem::replace(self, rest);
        front.to = front.from + length;
        front
    }

    /// Reads what there is, once; 0 at the end of the stream. Room that is not needed while nothing
    /// comes goes back.
    pub(in crate::wire) fn poll_fill(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.room.is_empty() {
            // Most often nothing has come: then no room is lent to see that.
            ready!(socket.poll_read_ready(cx))?;
        }
        self.poll_fill_woken(socket, cx)
    }

    /// The same for who has been woken, so that something is likely to have come: it is not asked first
    /// whether it has.
    pub(in crate::wire) fn poll_fill_woken(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let read = socket.poll_read(cx, &mut self.room[self.to..]);
        if self.is_empty() && !matches!(read, Poll::Ready(Ok(1..))) {
            self.give_back();
        }
        let length = ready!(read)?;
        self.to += length;
        if self.to == self.room.len() {
            self.filled = self.filled.saturating_add(1);
        }
        Poll::Ready(Ok(length))
    }

    /// Of a body that fills its room the next piece may be larger, up to so many bytes.
    pub(in crate::wire) fn widen(&mut self, most: usize) {
        let size = match (self.room.len(), self.filled) {
            (0, _) | (_, 0) => return,
            (room, _) if room < SIZES[1] => SIZES[1],
            (room, 2..) if room < SIZES[2] => SIZES[2],
            _ => return,
        };
        if self.is_empty() && size <= most {
            self.give_back();
            self.lend(size);
        }
    }

    fn make_room(&mut self) {
        if self.room.is_empty() {
            self.lend(SIZES[0]);
        } else if self.to == self.room.len() {
            match self.from {
                // Only a head can be that long: bodies leave room before more of them is read.
                0 => self.room.resize(2 * self.to, 0),
                from => {
                    self.room.copy_within(from.., 0);
                    (self.from, self.to) = (0, self.to - from);
                }
            }
        }
    }

    fn lend(&mut self, size: usize) {
        let place = SIZES.iter().position(|known| *known == size);
        let kept = |place: usize| ROOMS.with_borrow_mut(|rooms| rooms[place].pop());
        self.room = place.and_then(kept).unwrap_or_else(|| vec![0; size]);
        self.filled = 0;
    }

    fn give_back(&mut self) {
        let room = std::mem::take(&mut self.room);
        (self.from, self.to, self.filled) = (0, 0, 0);
        if let Some(place) = SIZES.iter().position(|size| *size == room.len()) {
            // The thread may be about to end; then the room ends with it.
            let _ = ROOMS.try_with(|rooms| {
                let kept = &mut rooms.borrow_mut()[place];
                if kept.len() < KEPT[place] {
                    kept.push(room);
                }
            });
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The smallest room with so many bytes and some more.
fn size_for(length: usize) -> usize {
    SIZES.into_iter().find(|size| *size > length).unwrap_or(2 * length)
}
