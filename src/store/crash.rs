//! A disk in memory that fails when a test says so: operations in, what survives of them out.

#![allow(clippy::unwrap_used, reason = "a test, which fuzzing has too")]

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::clock::Draws;

/// A disk in memory; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrailDisk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// As a process sees it.
    bytes: Vec<u8>,
    /// As it was when it last said that everything is safe.
    safe: Vec<u8>,
    /// What was done since.
    since: Vec<Operation>,
    taken: u64,
    fails_at: Option<(u64, Failure)>,
    is_dead: bool,
    is_hanging: bool,
}

#[derive(Clone, Debug)]
enum Operation {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The process is killed in the middle of the operation, and does nothing more.
    Killed,
    /// The operation is refused, as by a full disk; the next is not.
    Once,
    /// The operation does not end until the disk is let go. What waits for it is told so by an
    /// error, which stands for no answer at all, and asks again then.
    Hangs,
}

/// What a dead process leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Everything it had written, and half of what it was writing: the system lives on.
    EveryWrite,
    /// What was safe, and of what came after it some, whole or torn, as the seed has it: the
    /// power failed.
    SomeWrites(u64),
}

impl FrailDisk {
    /// One that holds this.
    pub fn holding(bytes: Vec<u8>) -> FrailDisk {
        let platter = Platter { safe: bytes.clone(), bytes, ..Platter::default() };
        FrailDisk(Arc::new(Mutex::new(platter)))
    }

    /// Fails once it has taken this many more operations (writes, changes of length, syncs).
    pub fn fail_after(&self, operations: u64, failure: Failure) {
        let mut platter = self.platter();
        platter.fails_at = Some((platter.taken + operations, failure));
    }

    /// Whether it has failed for good.
    pub fn is_dead(&self) -> bool {
        self.platter().is_dead
    }

    /// Whether it does not answer.
    pub fn is_hanging(&self) -> bool {
        self.platter().is_hanging
    }

    /// It answers again.
    pub fn let_go(&self) {
        self.platter().is_hanging = false;
    }

    /// How many operations it has taken.
    pub fn taken(&self) -> u64 {
        self.platter().taken
    }

    /// What it holds.
    pub fn bytes(&self) -> Vec<u8> {
        self.platter().bytes.clone()
    }

    /// The disk that the next process finds.
    pub fn survivor(&self, leaves: Leaves) -> FrailDisk {
        let platter = self.platter();
        let Leaves::SomeWrites(seed) = leaves else {
            return FrailDisk::holding(platter.bytes.clone());
        };
        let mut draws = Draws::seeded(seed);
        let mut bytes = platter.safe.clone();
        for operation in &platter.since {
            match draws.below(3) {
                0 => {}
                1 => operation.half().perform(&mut bytes),
                _ => operation.perform(&mut bytes),
            }
        }
        FrailDisk::holding(bytes)
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platter {
    /// None for a sync.
    fn take(&mut self, operation: Option<Operation>) -> io::Result<()> {
        self.check()?;
        if self.is_hanging {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let failure = self.fails_at.filter(|(at, _)| *at == self.taken).map(|(_, how)| how);
        self.taken += 1;
        match (failure, operation) {
            (None, Some(operation)) => self.perform(operation),
            (None, None) => {
                let since = std::mem::take(&mut self.since);
                since.iter().for_each(|operation| operation.perform(&mut self.safe));
            }
            (Some(Failure::Once), _) => return Err(io::ErrorKind::StorageFull.into()),
            (Some(Failure::Hangs), _) => {
                self.is_hanging = true;
                return Err(io::ErrorKind::TimedOut.into());
            }
            (Some(Failure::Killed), operation) => {
                if let Some(operation) = operation {
                    self.perform(operation.half());
                }
                self.is_dead = true;
                return self.check();
            }
        }
        Ok(())
    }

    fn perform(&mut self, operation: Operation) {
        operation.perform(&mut self.bytes);
        self.since.push(operation);
    }

    fn check(&self) -> io::Result<()> {
        if self.is_dead { Err(io::Error::other("the process was killed")) } else { Ok(()) }
    }
}

impl Operation {
    /// As far as it came when it was torn.
    fn half(&self) -> Operation {
        match self {
            Operation::Write(offset, bytes) => {
                Operation::Write(*offset, bytes[..bytes.len() / 2].to_vec())
            }
            whole => whole.clone(),
        }
    }

    fn perform(&self, on: &mut Vec<u8>) {
        match self {
            Operation::Length(length) => lengthen(on, *length as usize),
            Operation::Write(offset, bytes) => {
                let end = *offset as usize + bytes.len();
                // The change of length before it may be what the power failure took.
                if on.len() < end {
                    lengthen(on, end);
                }
                on[*offset as usize..end].copy_from_slice(bytes);
            }
        }
    }
}

/// As `Vec::resize`, which unoptimised goes byte by byte.
fn lengthen(bytes: &mut Vec<u8>, length: usize) {
    bytes.truncate(length);
    bytes.extend_from_slice(&vec![0; length - bytes.len()]);
}

impl StorageBackend for FrailDisk {
    fn len(&self) -> io::Result<u64> {
        let platter = self.platter();
        platter.check().map(|()| platter.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter();
        platter.check()?;
        let from = platter.bytes.get(offset as usize..).unwrap_or_default();
        let from = from.get(..out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.platter().take(Some(Operation::Length(length)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.platter().take(None)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.platter().take(Some(Operation::Write(offset, bytes.to_vec())))
    }
}
