//! What a file holds, in memory: bytes in, a backend that begins with them out.
//!
//! redb's own begins empty: whoever wants to fill it copies everything once more.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// A file's bytes, which nothing but this process sees.
#[derive(Debug)]
pub(super) struct Memory(Mutex<Vec<u8>>);

impl Memory {
    pub fn holding(bytes: Vec<u8>) -> Memory {
        Memory(Mutex::new(bytes))
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From an offset on, so many.
fn range(offset: u64, length: usize) -> Option<std::ops::Range<usize>> {
    let first = usize::try_from(offset).ok()?;
    Some(first..first.checked_add(length)?)
}

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes();
        let from = range(offset, out.len()).and_then(|range| bytes.get(range));
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = self.bytes();
        bytes.truncate(length);
        let more = length - bytes.len();
        bytes.try_reserve(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(length, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, from: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes();
        let to = range(offset, from.len()).and_then(|range| bytes.get_mut(range));
        to.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(from);
        Ok(())
    }
}
