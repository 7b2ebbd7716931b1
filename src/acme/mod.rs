//! Certificates that are ordered from authorities (ACME, RFC 8555): a config in, which are wanted and when
//! each is to be ordered out.
//!
//! What is said to an authority, and what is kept on a disk, is the rim's: `acme_client/`.

mod patience;
mod renewal;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::certificate::Names;
use crate::config::{AcmeAuthority, AcmeName, Challenge, Config, ListenAddress, Listener};

pub use patience::{Attempts, Refused};
pub use renewal::{Window, due};

/// The profile that authorities give addresses certificates by.
pub const SHORT_LIVED: &str = "shortlived";

/// A certificate that is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// From whom.
    pub authority: Arc<AcmeAuthority>,
    /// For whom.
    pub holder: Holder,
    /// How it may be looked at whose the names are: at least one way, the likeliest first.
    pub ways: Vec<Challenge>,
}

/// Whom a certificate names: one host, so that a host which fails keeps no other from having one; or all
/// addresses, since who connects to one asks for no name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// In lower case.
    Host(Arc<str>),
    /// In order; at least one.
    Addresses(Vec<IpAddr>),
}

impl Holder {
    /// The names that the certificate has to have, as certificates have them.
    pub fn names(&self) -> Vec<String> {
        match self {
            Holder::Host(host) => vec![host.to_string()],
            Holder::Addresses(all) => all.iter().map(ToString::to_string).collect(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

/// The certificates that a config wants, each once: whatever a listener orders that has none of its own in
/// files.
pub fn wanted(config: &Config) -> Vec<Wanted> {
    let mut found: Vec<Wanted> = Vec::new();
    let mut addresses: BTreeMap<&str, usize> = BTreeMap::new();
    for listener in &config.listeners {
        let Some(tls) = &listener.tls else { continue };
        let Some(acme) = &tls.acme else { continue };
        let own = own_names(config, listener);
        let ways = ways(config, listener, acme.authority.challenge);
        let of = |holder| Wanted { authority: acme.authority.clone(), holder, ways: ways.clone() };
        let directory = &*acme.authority.directory;
        for name in acme.names.iter().filter(|name| own.find(&name.to_string()).is_none()) {
            match name {
                AcmeName::Host(host) => {
                    let holder = Holder::Host(host.clone());
                    let is_same = |known: &Wanted| {
                        *known.authority.directory == *directory && known.holder == holder
                    };
                    if !found.iter().any(is_same) {
                        found.push(of(holder));
                    }
                }
                AcmeName::Address(address) => {
                    let place = *addresses.entry(directory).or_insert_with(|| {
                        found.push(of(Holder::Addresses(Vec::new())));
                        found.len() - 1
                    });
                    let Holder::Addresses(all) = &mut found[place].holder else { continue };
                    if let Err(place) = all.binary_search(address) {
                        all.insert(place, *address);
                    }
                }
            }
        }
    }
    found
}

/// The names of the certificates that a listener has in files.
fn own_names(config: &Config, listener: &Listener) -> Names<()> {
    let mut names = Names::default();
    for files in listener.tls.iter().flat_map(|tls| &tls.certificates) {
        let pair = config.certificates.pair(&files.certificate, &files.key);
        pair.iter().flat_map(|pair| &pair.about.names).for_each(|name| {
            names.entry(name, || ());
        });
    }
    names
}

/// How an authority may look at this listener, the likeliest way first: ports that it asks at itself say
/// more than others, which something before us may lead there.
fn ways(config: &Config, listener: &Listener, asked: Option<Challenge>) -> Vec<Challenge> {
    let port = |listener: &Listener| match &listener.address {
        ListenAddress::Tcp(address) => Some(address.port()),
        ListenAddress::Unix(_) => None,
    };
    let is_plain = |listener: &&Listener| listener.tls.is_none() && listener.speaks.http1;
    let mut plain = config.listeners.iter().filter(is_plain);
    let at_80 = plain.clone().any(|listener| port(listener) == Some(80));
    match asked {
        Some(one) => vec![one],
        None if plain.next().is_none() => vec![Challenge::TlsAlpn],
        None if !at_80 && port(listener) == Some(443) => vec![Challenge::TlsAlpn, Challenge::Http],
        None => vec![Challenge::Http, Challenge::TlsAlpn],
    }
}

#[cfg(test)]
mod tests;
