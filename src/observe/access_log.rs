//! The access log on its way out: entries in, lines in a file, a socket or the standard output out.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::access_log::{self, Entries, Entry};
use crate::clock::Clock;
use crate::config::{AccessLog, LogPlace};
use crate::snapshot::{Published, Snapshot};

/// How often lines are written, and how often it is looked whether there is a log at all.
const OFTEN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(1);

/// How often it is looked whether the file is still the one at its path.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is said that nothing can be written.
const SAY: Duration = Duration::from_secs(60);

/// Lines that are written at once.
const AT_ONCE: usize = 256;

/// How long the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(2);

/// The thread that writes. Dropping this has it write what is left, and end.
#[derive(Debug)]
pub struct Writer {
    tell: Sender<Tell>,
    ended: Mutex<Receiver<()>>,
}

#[derive(Debug)]
enum Tell {
    OpenAgain,
    End,
}

/// Has the file of the log opened again.
#[derive(Clone, Debug)]
pub struct OpenAgain(Sender<Tell>);

impl OpenAgain {
    /// Whoever has moved the file away may do what he wants with it soon after.
    pub fn open_again(&self) {
        // There is no file to be opened once the process ends.
        let _ = self.0.send(Tell::OpenAgain);
    }
}

impl Writer {
    /// Starts it.
    pub fn start(
        entries: Arc<Entries>,
        published: Arc<Published>,
        clock: Clock,
    ) -> io::Result<Writer> {
        let (tell, told) = channel();
        let (ends, ended) = channel();
        let write = move || {
            let (log, out, is_torn, said) = (None, Out::Closed, false, None);
            Writing { entries, published, clock, log, out, is_torn, said }.run(&told);
            let _ = ends.send(());
        };
        thread::Builder::new().name("access-log".into()).spawn(write)?;
        Ok(Writer { tell, ended: Mutex::new(ended) })
    }

    /// The way to have its file opened again.
    pub fn opener(&self) -> OpenAgain {
        OpenAgain(self.tell.clone())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A disk that hangs keeps the process no longer.
        if self.tell.send(Tell::End).is_ok() {
            let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(LAST);
        }
    }
}

/// What the thread has at hand.
struct Writing {
    entries: Arc<Entries>,
    published: Arc<Published>,
    clock: Clock,
    /// What was said of the log last.
    log: Option<Arc<AccessLog>>,
    out: Out,
    /// Whether the last line is there in part only.
    is_torn: bool,
    /// When it was said last that nothing can be written.
    said: Option<Instant>,
}

/// Where lines go.
enum Out {
    Closed,
    Stdout,
    File(File, Instant),
    Socket(UnixDatagram),
}

impl Writing {
    fn run(&mut self, told: &Receiver<Tell>) {
        let (mut bytes, mut lines) = (Vec::new(), Vec::new());
        loop {
            let is_on = self.published.load().config.server.access_log.is_some();
            let every = if is_on { OFTEN } else { SELDOM };
            let told = told.recv_timeout(every);
            let is_end = matches!(told, Ok(Tell::End) | Err(RecvTimeoutError::Disconnected));
            if matches!(told, Ok(Tell::OpenAgain)) {
                // What has come so far is the old one's.
                self.turn(&mut bytes, &mut lines);
                (self.out, self.is_torn) = (Out::Closed, false);
            }
            self.turn(&mut bytes, &mut lines);
            if is_end {
                return;
            }
        }
    }

    /// Writes what there is.
    fn turn(&mut self, bytes: &mut Vec<u8>, lines: &mut Vec<u8>) {
        let snapshot = self.published.load();
        let log = snapshot.config.server.access_log.clone();
        let mut entries = self.taken(&snapshot, bytes);
        if log != self.log {
            // What was put there before goes where it was meant to go, also what still comes of requests that
            // began while there was a log.
            let is_of_now = |entry: &Entry| log.as_ref().is_some_and(|log| entry.is_for(log));
            let (now, before) = entries.into_iter().partition(is_of_now);
            entries = now;
            if let Some(old) = self.log.clone() {
                self.write(&old, before, lines);
            }
            (self.out, self.is_torn) = (Out::Closed, false);
        }
        if let Some(log) = log {
            self.log = Some(log.clone());
            self.write(&log, entries, lines);
        }
    }

    /// All that has come.
    fn taken(&self, snapshot: &Snapshot, bytes: &mut Vec<u8>) -> Vec<Entry> {
        let now = (snapshot.moment(self.clock.now()), self.clock.wall_time());
        let mut entries = Vec::new();
        self.entries.take(bytes, |mut bytes| {
            entries.extend(std::iter::from_fn(|| Entry::decode(&mut bytes, now)));
        });
        entries
    }

    fn write(&mut self, log: &AccessLog, mut entries: Vec<Entry>, lines: &mut Vec<u8>) {
        // Each thread has put its own one behind the other.
        entries.sort_by_key(|entry| entry.kept.at);
        let each_alone = matches!(log.to, LogPlace::Socket(_));
        for some in entries.chunks(if each_alone { 1 } else { AT_ONCE }) {
            lines.clear();
            for entry in some {
                access_log::write(entry, log.format, &log.mask, lines);
            }
            self.put(log, lines, some.len() as u64);
        }
    }

    /// Writes so many lines, or counts those as dropped that are not there as a whole.
    fn put(&mut self, log: &AccessLog, lines: &[u8], count: u64) {
        let opened = self.opened(&log.to).map_err(|error| (0, error));
        let is_torn = std::mem::take(&mut self.is_torn);
        let begun = opened.and_then(|()| match is_torn {
            true => self.out.write(b"\n").map_err(|(_, error)| (0, error)),
            false => Ok(()),
        });
        match begun.and_then(|()| self.out.write(lines)) {
            Ok(()) => self.entries.note_written(count),
            Err((written, error)) => {
                let written = &lines[..written];
                let whole = written.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.is_torn = match written.last() {
                    Some(last) => *last != b'\n',
                    None => is_torn,
                };
                self.entries.note_written(whole);
                self.entries.note_dropped(count - whole);
                self.out = Out::Closed;
                let now = self.clock.now();
                let is_new = self.said.is_none_or(|at| now.duration_since(at) >= SAY);
                if is_new {
                    self.said = Some(now);
                    tracing::error!(%error, to = %log.to, "the access log cannot be written");
                }
            }
        }
    }

    fn opened(&mut self, to: &LogPlace) -> io::Result<()> {
        let now = self.clock.now();
        if let (Out::File(file, looked), LogPlace::File(path)) = (&mut self.out, to)
            && now.duration_since(*looked) >= LOOK
        {
            *looked = now;
            if !is_at(file, path) {
                (self.out, self.is_torn) = (Out::Closed, false);
            }
        }
        if matches!(self.out, Out::Closed) {
            self.out = Out::open(to, now)?;
        }
        Ok(())
    }
}

impl Out {
    fn open(to: &LogPlace, now: Instant) -> io::Result<Out> {
        Ok(match to {
            LogPlace::Stdout => Out::Stdout,
            LogPlace::File(path) => {
                let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
                Out::File(file, now)
            }
            LogPlace::Socket(path) => {
                let socket = UnixDatagram::unbound()?;
                // Who reads too slowly loses lines, and nobody waits for him.
                socket.set_nonblocking(true)?;
                socket.connect(path)?;
                Out::Socket(socket)
            }
        })
    }

    /// Writes all of it, or says how much of it was written, and why no more.
    fn write(&mut self, lines: &[u8]) -> Result<(), (usize, io::Error)> {
        match self {
            Out::Closed => Err((0, io::ErrorKind::NotConnected.into())),
            Out::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines).and_then(|()| stdout.flush()).map_err(|error| (0, error))
            }
            Out::File(file, _) => write_all(file, lines),
            Out::Socket(socket) => {
                socket.send(lines.trim_ascii_end()).map(drop).map_err(|error| (0, error))
            }
        }
    }
}

fn write_all(mut to: impl io::Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match to.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// Whether this is the file at this path.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |file: io::Result<std::fs::Metadata>| file.ok().map(|of| (of.dev(), of.ino()));
    let own = identity(file.metadata());
    own.is_some() && own == identity(std::fs::metadata(path))
}
