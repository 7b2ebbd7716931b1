//! What two processes say to each other: a word and what belongs to it in, a line out, and back.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The longest line, in bytes: how a hundred thousand upstreams stand.
const LONGEST: u64 = 64 * 1024 * 1024;

// What is not known is passed over.

/// The new one has the sockets, and its config is good.
pub(super) const PREPARED: &str = "prepared";
/// Why it will not.
pub(super) const REFUSED: &str = "refused";
/// The store is free; how all stands.
pub(super) const YOURS: &str = "yours";
/// All that is needed is there.
pub(super) const READY: &str = "ready";
/// It may accept.
pub(super) const SERVE: &str = "serve";
/// It does: the old one goes.
pub(super) const SERVING: &str = "serving";
/// What was decided since.
pub(super) const STANDS: &str = "stands";
/// What the old one has still served.
pub(super) const COUNTED: &str = "counted";

/// One end of the way between them.
#[derive(Debug)]
pub(super) struct Way {
    pub hears: Ears,
    pub says: Mouth,
}

/// What comes.
#[derive(Debug)]
pub(super) struct Ears(BufReader<OwnedReadHalf>);

/// What goes.
#[derive(Debug)]
pub(super) struct Mouth(OwnedWriteHalf);

impl Way {
    /// Must run within a runtime.
    pub fn over(stream: StdUnixStream) -> io::Result<Way> {
        stream.set_nonblocking(true)?;
        let (read, write) = UnixStream::from_std(stream)?.into_split();
        Ok(Way { hears: Ears(BufReader::new(read)), says: Mouth(write) })
    }
}

impl Ears {
    /// The next word and what belongs to it; none once the other end is gone.
    pub async fn hear(&mut self) -> Option<(String, String)> {
        let mut line = String::new();
        let read = (&mut self.0).take(LONGEST).read_line(&mut line).await;
        // Half a word is none: who says it is gone, or no Pointsman.
        read.ok().filter(|_| line.ends_with('\n'))?;
        let line = line.trim_end();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some((word.to_string(), rest.to_string()))
    }
}

impl Mouth {
    /// Says a word; an error says that nobody hears it.
    pub async fn say(&mut self, word: &str, rest: &str) -> io::Result<()> {
        // Within one line, whatever is in it.
        let rest = rest.replace(['\n', '\r'], " ");
        self.0.write_all(format!("{word} {rest}\n").as_bytes()).await
    }
}
