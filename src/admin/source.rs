//! Where an order comes from: what a connection's other end shows by itself in, words out.

use std::fmt;
use std::net::IpAddr;

use axum::http::HeaderValue;

/// The other end of a connection to the admin port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// It could not be told: the connection was gone.
    #[default]
    Unknown,
    /// An address.
    Address(IpAddr),
    /// A user of this machine, by a Unix socket: the kernel vouches for the number.
    User(u32),
}

/// The subject of the certificate that the other end has shown, which was checked; none if it has shown
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown(pub Option<HeaderValue>);

impl Shown {
    /// As text.
    pub fn subject(&self) -> Option<&str> {
        self.0.as_ref().and_then(|subject| subject.to_str().ok())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Unknown => f.write_str("an unknown address"),
            Source::Address(address) => write!(f, "{}", address.to_canonical()),
            Source::User(user) => write!(f, "uid {user}"),
        }
    }
}
