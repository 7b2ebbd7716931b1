//! Where an order comes from: what a connection's other end shows by itself in, words out.

use std::fmt;
use std::net::IpAddr;

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

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Unknown => f.write_str("an unknown address"),
            Source::Address(address) => write!(f, "{}", address.to_canonical()),
            Source::User(user) => write!(f, "uid {user}"),
        }
    }
}
