//! Why a reload changed nothing.

use super::BindError;
use crate::files::FileError;

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The process was started without a file.
    #[error("there is no file to reload: the process was started without one")]
    NoFile,
    /// The file cannot be read, or is not a config.
    #[error(transparent)]
    File(#[from] FileError),
    /// A new listener's address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store did not take what the file changes.
    #[error("{0}")]
    Store(String),
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

impl ReloadError {
    /// What has to be mended: a file, an address, the store.
    pub(super) fn at_fault(&self) -> String {
        match self {
            ReloadError::File(FileError::Read { path, .. }) => path.clone(),
            ReloadError::File(FileError::Problems(rejected)) => rejected.path.clone(),
            ReloadError::Bind(error) => error.address.to_string(),
            ReloadError::Store(_) => "store".into(),
            ReloadError::NoFile | ReloadError::Stopping => String::new(),
        }
    }
}
