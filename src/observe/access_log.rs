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
            Writing { entries, published, clock, log: None, out: Out::Closed, said: None }
                .run(&told);
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
            let every = if self.log.is_some() { OFTEN } else { SELDOM };
            let told = told.recv_timeout(every);
            let is_end = matches!(told, Ok(Tell::End) | Err(RecvTimeoutError::Disconnected));
            if matches!(told, Ok(Tell::OpenAgain)) {
                // What has come so far is the old one's.
                self.turn(&mut bytes, &mut lines);
                self.out = Out::Closed;
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
        let is_elsewhere = |log: &AccessLog| self.log.as_ref().is_none_or(|old| old.to != log.to);
        if log.as_deref().is_none_or(is_elsewhere) && !matches!(self.out, Out::Closed) {
            // What was put there before goes where it was meant to go.
            self.empty(&snapshot, bytes, lines);
            self.out = Out::Closed;
        }
        // Of a log that is there no more the last entries may still come.
        self.log = log.or(self.log.take());
        self.empty(&snapshot, bytes, lines);
        if snapshot.config.server.access_log.is_none() {
            (self.log, self.out) = (None, Out::Closed);
        }
    }

    fn empty(&mut self, snapshot: &Snapshot, bytes: &mut Vec<u8>, lines: &mut Vec<u8>) {
        let Some(log) = self.log.clone() else { return };
        let now = (snapshot.moment(self.clock.now()), self.clock.wall_time());
        let mut entries = Vec::new();
        self.entries.take(bytes, |mut bytes| {
            entries.extend(std::iter::from_fn(|| Entry::decode(&mut bytes, now)));
        });
        // Each thread has put its own one behind the other.
        entries.sort_by_key(|entry: &Entry| entry.kept.at);
        let each_alone = matches!(log.to, LogPlace::Socket(_));
        for some in entries.chunks(if each_alone { 1 } else { AT_ONCE }) {
            lines.clear();
            for entry in some {
                access_log::write(entry, log.format, &log.mask, lines);
            }
            self.put(&log, lines, some.len() as u64);
        }
    }

    /// Writes so many lines, or counts them as dropped.
    fn put(&mut self, log: &AccessLog, lines: &[u8], count: u64) {
        match self.opened(&log.to).and_then(|()| self.out.write(lines)) {
            Ok(()) => self.entries.note_written(count),
            Err(error) => {
                self.entries.note_dropped(count);
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
                self.out = Out::Closed;
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

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Out::Closed => Err(io::ErrorKind::NotConnected.into()),
            Out::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Out::File(file, _) => file.write_all(lines),
            Out::Socket(socket) => socket.send(lines.trim_ascii_end()).map(drop),
        }
    }
}

/// Whether this is the file at this path.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |file: io::Result<std::fs::Metadata>| file.ok().map(|of| (of.dev(), of.ino()));
    let own = identity(file.metadata());
    own.is_some() && own == identity(std::fs::metadata(path))
}
