//! Why something is not remembered: where, what, and the way out.

use std::io;

/// Why the store cannot be used, or a change is not in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system does not let us at the file.
    #[error("cannot open the store {path}: {error}")]
    Open {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// Somebody else has it.
    #[error(
        "the store {path} is in use by another pointsman; stop that one, or give this one a \
         `state_dir` of its own"
    )]
    InUse {
        /// The file.
        path: String,
    },
    /// It is not as it was written. Nothing was changed in it.
    #[error(
        "the store {path} is damaged ({what}); move the file away to begin anew, with the splits \
         of the config, or bring back an export with `pointsman store import --replace`"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// It was written by a newer version. Nothing was changed in it.
    #[error(
        "{path} was written by a newer pointsman (format {found}, this one reads up to {reads}); \
         run the newer one, or import an export made before it"
    )]
    Newer {
        /// The file.
        path: String,
        /// The format it has.
        found: u32,
        /// The newest this version reads.
        reads: u32,
    },
    /// It could not be read.
    #[error("cannot read the store {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// It could not be written, and nothing of the change has happened.
    #[error(
        "cannot write the store {path}: {what}; nothing was changed. Make room or mend the disk, \
         and ask again"
    )]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        what: String,
    },
    /// The file is not the one that was opened, and nothing of the change has happened.
    #[error(
        "cannot write the store {path}: {what}; nothing was changed. Bring the file back, or start \
         pointsman again"
    )]
    Moved {
        /// The file.
        path: String,
        /// What became of it.
        what: String,
    },
    /// It could not be written, and what is on the disk cannot be looked at either.
    #[error(
        "the store {path} failed in the middle of a change ({what}); whether the change is in it \
         is known once the disk answers again, or after a restart"
    )]
    Lost {
        /// The file.
        path: String,
        /// What the system said.
        what: String,
    },
    /// There is a store where one was to be imported.
    #[error("there is a store in {path} already; `--replace` puts the import in its place")]
    Exists {
        /// The file.
        path: String,
    },
    /// An export says something that a store cannot hold.
    #[error("this is not an export of a store: {what}")]
    NotAnExport {
        /// What is wrong with it.
        what: String,
    },
    /// No secret could be made.
    #[error("cannot make the secret of cohorts: {0}")]
    Secret(io::Error),
}

impl StoreError {
    /// Whether it is there and this version cannot read what it says.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, StoreError::Damaged { .. } | StoreError::Newer { .. })
    }
}

/// What went wrong below, before it is known what it was for.
#[derive(Debug)]
pub(super) enum Trouble {
    Redb(redb::Error),
    Damaged(String),
    Newer {
        found: u32,
        /// The newest that this version reads.
        reads: u32,
    },
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Opening,
    Reading,
}

impl Trouble {
    /// As people are told.
    pub fn while_(self, doing: Doing, path: &str) -> StoreError {
        let path = path.to_string();
        let damaged = |what: String| StoreError::Damaged { path: path.clone(), what };
        match self {
            Trouble::Newer { found, reads } => StoreError::Newer { path, found, reads },
            Trouble::Damaged(what) => damaged(what),
            Trouble::Redb(redb::Error::DatabaseAlreadyOpen) => StoreError::InUse { path },
            Trouble::Redb(redb::Error::Io(error)) => match (error.kind(), doing) {
                // The whole file was read before; it has become shorter since.
                (io::ErrorKind::UnexpectedEof, _) => damaged("it was cut short".into()),
                (_, Doing::Opening) => StoreError::Open { path, error },
                (_, Doing::Reading) => StoreError::Read { path, error },
            },
            Trouble::Redb(error) => damaged(error.to_string()),
        }
    }

    /// What the system said.
    pub fn what(&self) -> String {
        match self {
            Trouble::Redb(redb::Error::Io(error)) => match error.kind() {
                io::ErrorKind::InvalidData => "it is no store at all".into(),
                _ => error.to_string(),
            },
            Trouble::Redb(error) => error.to_string(),
            Trouble::Damaged(what) => what.clone(),
            Trouble::Newer { found, .. } => format!("it has format {found}"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Redb(redb::Error::Io(error))
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for Trouble {
            fn from(error: redb::$error) -> Trouble {
                Trouble::Redb(error.into())
            }
        }
    )*};
}
from_redb!(DatabaseError, TransactionError, TableError, StorageError, CommitError);
