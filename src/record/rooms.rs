//! Rooms where requests leave bytes as they end: bytes in on their threads, all that came out to who does
//! the work with them.
//!
//! Each thread that moves requests has two rooms, so that one is free while the other is being emptied:
//! nobody waits, and what there is no room for is left out.

use std::sync::Mutex;

use super::{free, lock, place_of_thread};

/// The rooms of all threads.
#[derive(Debug)]
pub struct Rooms {
    /// Two for each thread.
    rooms: Box<[[Mutex<Vec<u8>>; 2]]>,
    /// Nothing is put into one that has as many bytes.
    most: usize,
}

impl Rooms {
    /// Rooms of so many bytes for so many threads.
    pub fn new(threads: usize, most: usize) -> Rooms {
        Rooms { rooms: (0..threads.max(1)).map(|_| Default::default()).collect(), most }
    }

    /// Has something written behind what is there; no if there is no room.
    pub fn put(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        for room in &self.rooms[place_of_thread(self.rooms.len())] {
            let Some(mut room) = free(room) else { continue };
            if room.len() < self.most {
                write(&mut room);
                return true;
            }
        }
        false
    }

    /// Takes what has come; `spare` is lent to whoever puts something meanwhile.
    pub fn take(&self, spare: &mut Vec<u8>, mut see: impl FnMut(&[u8])) {
        for room in self.rooms.iter().flatten() {
            spare.clear();
            std::mem::swap(&mut *lock(room), spare);
            see(spare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_taken_once_and_what_has_no_room_is_not_put() {
        let (rooms, mut spare) = (Rooms::new(1, 3), Vec::new());
        let put = |byte| rooms.put(|room| room.extend([byte; 2]));
        assert_eq!([1, 2, 3, 4, 5].map(put), [true, true, true, true, false]);
        let mut taken = Vec::new();
        rooms.take(&mut spare, |bytes| taken.extend_from_slice(bytes));
        assert_eq!(taken, [1, 1, 2, 2, 3, 3, 4, 4]);
        assert!(put(6));
        let mut left = Vec::new();
        rooms.take(&mut spare, |bytes| left.extend_from_slice(bytes));
        assert_eq!(left, [6, 6]);
    }
}
