//! The config and the files that it names: paths in, checked values out, and a reload whenever a
//! file's content changes.

mod error;
mod key;
mod named;
mod read;
mod source;
mod watch;

use std::sync::Arc;

use crate::config::Config;
use crate::snapshot::Changed;

pub use error::{FileError, Rejected};
pub use key::{KeyError, read_key};
pub use read::{read, read_text};
pub use source::{Source, Text};
pub use watch::watch;

/// What is served, and the text it was read from.
#[derive(Debug)]
pub struct InForce {
    /// The checked values.
    pub config: Arc<Config>,
    /// The text.
    pub text: Text,
    /// Pools whose upstreams were changed at run time.
    pub changed: Changed,
}
