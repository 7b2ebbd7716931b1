//! Where requests are accepted: the tables of `[[listeners]]` in, [`Listener`]s out.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::key::{Key, Kind, Table};
use super::read::missing;
use super::section::{Found, Section};
use super::{Problem, Problems};

/// A place to accept connections, with all that is set for it. Its address tells it from others; two
/// of one address that differ in anything else are not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it accepts.
    pub address: ListenAddress,
}

/// An address to accept on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenAddress {
    /// An IP address and port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix domain socket.
    Unix(PathBuf),
}

pub(super) static LISTENER: Table = Table::new(
    "",
    &[Key::of("address", Kind::Text(None))
        .example("\"0.0.0.0:8080\"")
        .about("\"ip:port\", \":port\" or \"unix:/path\"")
        .told_apart()],
);

/// All listeners, in the file's order.
pub(super) fn listeners(file: &mut Section<'_>, problems: &mut Problems) -> Vec<Listener> {
    let mut seen: Vec<Found<Listener>> = Vec::new();
    let sections = file.tables(problems, "listeners");
    let list = file.value("listeners").map(|value| value.get_ref().as_array());
    if list.is_none_or(|list| list.is_some_and(|list| list.is_empty())) {
        problems.0.push(missing(
            "no listener: nothing would be accepted",
            "[[listeners]]\naddress = \"0.0.0.0:8080\"",
        ));
    }
    for section in sections {
        let Some(found) = listener(section, problems) else { continue };
        let address = &found.value.address;
        match seen.iter().find(|other| other.value.address == *address) {
            // Port 0 is a fresh port each time.
            Some(first) if !matches!(address, ListenAddress::Tcp(s) if s.port() == 0) => {
                let message = format!("two listeners on `{address}`");
                let problem = Problem::error(found.span, message).label("the second");
                problems.0.push(problem.other(first.span.clone(), "the first"));
            }
            _ => seen.push(found),
        }
    }
    seen.into_iter().map(|found| found.value).collect()
}

/// One listener, with the place of its address.
fn listener(mut section: Section<'_>, problems: &mut Problems) -> Option<Found<Listener>> {
    let address = section.text(problems, "address", str::parse::<ListenAddress>);
    if !section.has("address") {
        let message = "a listener needs an `address`";
        problems.0.push(Problem::error(section.span.clone(), message));
    }
    section.close(problems);
    let Found { value: address, span } = address?;
    Some(Found { value: Listener { address }, span })
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

impl From<ListenAddress> for Listener {
    fn from(address: ListenAddress) -> Listener {
        Listener { address }
    }
}

impl ListenAddress {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            ListenAddress::Tcp(socket) => socket.ip().to_canonical().is_loopback(),
            ListenAddress::Unix(_) => true,
        }
    }
}

impl std::str::FromStr for ListenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<ListenAddress, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            let usable = path.starts_with('/') && path.len() <= 107;
            return usable
                .then(|| ListenAddress::Unix(path.into()))
                .ok_or("a unix socket needs an absolute path of at most 107 bytes");
        }
        let wildcard = text.strip_prefix(':').map(|port| format!("0.0.0.0:{port}"));
        let socket = wildcard.as_deref().unwrap_or(text).parse();
        socket.map(ListenAddress::Tcp).map_err(|_| "expected `ip:port` or `unix:/path`")
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenAddress::Tcp(socket) => socket.fmt(f),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
