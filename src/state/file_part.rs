//! What a config file gives a name to, as a key: so that it is known again when it comes back.

use std::fmt;
use std::sync::Arc;

/// A part of the file that orders can be about. Written as people read it, which is also how it is
/// stored: names hold neither spaces nor slashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilePart {
    /// `service shop`.
    Service(Arc<str>),
    /// `pool shop/blue`.
    Pool {
        /// Its service.
        service: Arc<str>,
        /// The pool.
        pool: Arc<str>,
    },
    /// `flag beta`.
    Flag(Arc<str>),
}

impl FilePart {
    /// A key as the store keeps it; none if it is no key.
    pub fn read(text: &str) -> Option<FilePart> {
        let (kind, name) = text.split_once(' ')?;
        match kind {
            "service" => Some(FilePart::Service(name.into())),
            "flag" => Some(FilePart::Flag(name.into())),
            "pool" => {
                let (service, pool) = name.split_once('/')?;
                Some(FilePart::Pool { service: service.into(), pool: pool.into() })
            }
            _ => None,
        }
    }

    /// The service that it is or that it is of; none of a flag.
    pub fn service(&self) -> Option<&Arc<str>> {
        match self {
            FilePart::Service(service) | FilePart::Pool { service, .. } => Some(service),
            FilePart::Flag(_) => None,
        }
    }
}

impl fmt::Display for FilePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilePart::Service(name) => write!(f, "service {name}"),
            FilePart::Pool { service, pool } => write!(f, "pool {service}/{pool}"),
            FilePart::Flag(name) => write!(f, "flag {name}"),
        }
    }
}
