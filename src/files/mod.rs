//! The config and the files that it names: paths in, checked values out, and a reload whenever a
//! file's content changes.
//!
//! Everything is read by [`Files`], beside the runtime and within a time: the start, a reload, who
//! compares and who watches. What was read last is noted, so that a watch finds whatever changes after
//! that, and whatever was changed back.

mod beside;
mod certificates;
mod error;
mod including;
mod key;
mod loading;
mod named;
mod prints;
mod read;
mod resting;
mod source;
mod stirs;
mod watch;
mod write;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch as channel;

use crate::certificate::Certificates;
use crate::clock::Clock;
use crate::config::{AdminPlace, Config, Expansion, Problem, Problems, Text, Texts, includes};
use crate::snapshot::Changed;

pub use beside::Hangs;
pub use certificates::{BadCertificate, pair_in};
pub use error::{FileError, Rejected};
pub use key::{KeyError, read_key};
pub use source::{LARGEST, Source, Written, text_of};
pub use watch::{Taken, watch};
pub use write::{replace_private, write_over, write_private};

use beside::Beside;
use loading::{Reader, Who, files_of, read_config};
use prints::Prints;

/// What is served, and the text it was read from.
#[derive(Debug)]
pub struct InForce {
    /// The checked values.
    pub config: Arc<Config>,
    /// As it is written.
    pub texts: Texts,
    /// Pools whose upstreams were changed at run time.
    pub changed: Changed,
    /// How often somebody has asked for a reload, and not merely saved the file.
    pub asked: u64,
}

/// A config that was read with all that it names.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked values.
    pub config: Arc<Config>,
    /// As it is written.
    pub texts: Texts,
}

/// A text that was looked at, and what came of it.
pub type Examined = (Texts, Result<(Arc<Config>, Problems), FileError>);

/// The config's file and those that it names.
#[derive(Debug)]
pub struct Files {
    source: Source,
    clock: Clock,
    /// The certificates that were read last to be put in force; none before the first time.
    certificates: Arc<Mutex<Option<Certificates>>>,
    /// Where the admin API is.
    admin: Mutex<AdminPlace>,
    beside: Beside,
    /// What was read last to be put in force, whether it was or not.
    tried: channel::Sender<Arc<Prints>>,
}

impl Files {
    /// Those of this source. Nothing is read yet.
    pub fn of(source: Source, clock: Clock) -> Files {
        Files {
            source,
            clock,
            certificates: Arc::default(),
            admin: Mutex::default(),
            beside: Beside::default(),
            tried: channel::Sender::default(),
        }
    }

    /// Says where the admin API is: what is read from now on is checked against that.
    pub fn set_admin(&self, place: AdminPlace) {
        *self.admin.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    fn admin(&self) -> AdminPlace {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the config comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The config's file, if there is one.
    pub fn path(&self) -> Option<&Path> {
        self.source.path()
    }

    /// Reads the config with all that it names, to put it in force. What is odd about it is logged.
    pub async fn load(&self) -> Result<Loaded, FileError> {
        let (source, admin, reader) = (self.source.clone(), self.admin(), self.process());
        let known = self.certificates.clone();
        let read = self.beside.run(move || {
            let mut prints = Prints::default();
            let written = source.read_noting(&mut prints);
            let read = written.and_then(|written| {
                let (config, odd) = read_config(&written, &admin, &reader, &mut prints)?;
                written.log(&odd);
                let certificates = Some(config.certificates.clone());
                *known.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
                Ok(Loaded { config, texts: written.texts })
            });
            (read, prints)
        });
        let (read, prints) = match read.await {
            Ok(read) => read,
            Err(hangs) => {
                let mut prints = (**self.tried.borrow()).clone();
                self.path().into_iter().for_each(|path| prints.forget(path, LARGEST));
                (Err(FileError::Hangs { path: self.source.name(), hangs }), prints)
            }
        };
        self.tried.send_replace(Arc::new(prints));
        read
    }

    /// Looks at the file as it is now, without putting it in force.
    pub async fn examine(&self) -> Result<Examined, FileError> {
        let (source, admin, reader) = (self.source.clone(), self.admin(), self.process());
        self.look(move || {
            let written = source.read()?;
            let read = read_config(&written, &admin, &reader, &mut Prints::default());
            Ok((written.texts, read))
        })
        .await
    }

    /// Looks at a text that somebody sends, with what it includes if that comes too. Files that it names
    /// are looked for where the process's own file is, and only there, but for those that the config in
    /// force names; nothing in it is filled in.
    pub async fn examine_sent(
        &self,
        bytes: Vec<u8>,
        included: Option<Vec<Text>>,
        in_force: Arc<Config>,
    ) -> Result<Examined, FileError> {
        let path = self.path().map(|path| path.with_file_name("(request)"));
        let path = path.map_or("(request)".into(), |path| path.display().to_string());
        let (admin, now) = (self.admin(), self.now());
        self.look(move || {
            let main = text_of(path, bytes)?;
            let wanted = if included.is_some() { Vec::new() } else { includes(&main) };
            let texts = Texts { main, included: included.unwrap_or_default() };
            let written = Written::of(texts, Expansion::Refused);
            let lacks = |(_, place)| {
                let problem = Problem::error(place, "what it includes has not come with it");
                problem.help("`pointsman diff FILE` sends both; in JSON it is `included`")
            };
            let lacking = Problems(wanted.into_iter().map(lacks).collect());
            if lacking.any_error() {
                let refused = Err(written.rejected(lacking));
                return Ok((written.texts, refused));
            }
            let reader = Reader { who: Who::Stranger(files_of(&in_force)), now };
            let read = read_config(&written, &admin, &reader, &mut Prints::default());
            Ok((written.texts, read))
        })
        .await
    }

    /// Who serves by what is read.
    fn process(&self) -> Reader {
        let known = self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Reader { who: Who::Process(known), now: self.now() }
    }

    fn now(&self) -> Option<u64> {
        Some(self.clock.unix_seconds() as u64)
    }

    async fn look(
        &self,
        work: impl FnOnce() -> Result<Examined, FileError> + Send + 'static,
    ) -> Result<Examined, FileError> {
        let hangs = |hangs| FileError::Hangs { path: self.source.name(), hangs };
        self.beside.run(work).await.map_err(hangs)?
    }
}
