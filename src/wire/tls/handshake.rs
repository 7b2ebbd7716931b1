//! How handshakes have ended, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a handshake has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Well, from the beginning.
    Full,
    /// Well, taking up an earlier session.
    Resumed,
    /// Well, and for an authority alone, which looks whether a name is ours.
    Challenge,
    /// Not in time.
    Timeout,
    /// The client left before it was done.
    Closed,
    /// The client speaks plain HTTP.
    Plain,
    /// It asked for a name that no certificate here has.
    UnknownName,
    /// It knows no version that is spoken here.
    Version,
    /// It knows none of the suites, groups or signatures.
    Incompatible,
    /// It speaks none of the protocols that are spoken inside.
    Protocol,
    /// It has shown no certificate that is good here.
    ClientCertificate,
    /// It says that something is wrong: most often it does not trust our certificate.
    Alert,
    /// What it sent is no TLS.
    Malformed,
}

impl Handshake {
    /// All of them.
    pub const ALL: [Handshake; 13] = [
        Handshake::Full,
        Handshake::Resumed,
        Handshake::Challenge,
        Handshake::Timeout,
        Handshake::Closed,
        Handshake::Plain,
        Handshake::UnknownName,
        Handshake::Version,
        Handshake::Incompatible,
        Handshake::Protocol,
        Handshake::ClientCertificate,
        Handshake::Alert,
        Handshake::Malformed,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Handshake::Full => "full",
            Handshake::Resumed => "resumed",
            Handshake::Challenge => "challenge",
            Handshake::Timeout => "timeout",
            Handshake::Closed => "closed",
            Handshake::Plain => "plain_http",
            Handshake::UnknownName => "unknown_name",
            Handshake::Version => "version",
            Handshake::Incompatible => "incompatible",
            Handshake::Protocol => "protocol",
            Handshake::ClientCertificate => "client_certificate",
            Handshake::Alert => "alert",
            Handshake::Malformed => "malformed",
        }
    }
}

/// Handshakes of one listener, by how each has ended.
#[derive(Debug, Default)]
pub struct Handshakes([AtomicU64; Handshake::ALL.len()]);

impl Handshakes {
    /// Counts one.
    pub fn note(&self, how: Handshake) {
        self.0[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many have ended so.
    pub fn count(&self, how: Handshake) -> u64 {
        self.0[how as usize].load(Ordering::Relaxed)
    }
}
