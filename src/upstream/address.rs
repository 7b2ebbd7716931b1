//! Where an upstream is: text in, an address out that may still need a name looked up.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::{ProxiedTarget, TlsTarget};

/// An upstream's address as people write it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// `192.0.2.1:80` or `[2001:db8::1]:80`.
    Socket(SocketAddr),
    /// `shop.internal:80`: looked up in the background.
    Name {
        /// The host name, in lower case.
        host: String,
        /// The port.
        port: u16,
    },
    /// `srv:_http._tcp.shop.internal`: its SRV records name hosts, ports and weights; looked up in
    /// the background.
    Srv {
        /// The name whose SRV records count, in lower case.
        name: String,
    },
    /// `unix:/run/shop.sock`.
    Unix(PathBuf),
}

/// Whether two lists have the same upstreams with the same weights: in which order they are written says
/// nothing.
pub fn same_upstreams<A: Ord>(list: &[(A, u16)], other: &[(A, u16)]) -> bool {
    fn sorted<A: Ord>(list: &[(A, u16)]) -> Vec<&(A, u16)> {
        let mut sorted: Vec<_> = list.iter().collect();
        sorted.sort_unstable();
        sorted
    }
    list.len() == other.len() && (list == other || sorted(list) == sorted(other))
}

/// A place that can be dialled at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialAddress {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A Unix domain socket.
    Unix(Arc<str>),
    /// One of those, where connections begin with a header of the PROXY protocol.
    Proxied(Arc<ProxiedTarget>),
    /// TLS to one of the others: a header goes before it.
    Tls(Arc<TlsTarget>),
}

/// Two look-ups of each request are by it: an address of IPv4 is one word.
impl Hash for DialAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            DialAddress::Socket(SocketAddr::V4(v4)) => {
                state.write_u64(u64::from(v4.ip().to_bits()) << 16 | u64::from(v4.port()));
            }
            DialAddress::Socket(SocketAddr::V6(v6)) => {
                state.write_u128(v6.ip().to_bits());
                state.write_u16(v6.port());
            }
            DialAddress::Unix(path) => path.hash(state),
            DialAddress::Proxied(proxied) => proxied.hash(state),
            DialAddress::Tls(tls) => tls.hash(state),
        }
    }
}

impl DialAddress {
    /// Where bytes go, whatever is spoken there.
    pub fn below(&self) -> &DialAddress {
        match self {
            DialAddress::Tls(tls) => tls.below.below(),
            DialAddress::Proxied(proxied) => proxied.below.below(),
            plain => plain,
        }
    }
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No port after the host.
    #[error("expected `host:port`, `ip:port`, `srv:name` or `unix:/path`")]
    NoPort,
    /// A web address.
    #[error("an upstream is an address without `{scheme}` and without a path{}", instead(.bare))]
    Url {
        /// `http://` and the like.
        scheme: String,
        /// What is left without that and without a path.
        bare: String,
    },
    /// A path after the port.
    #[error("an upstream is an address without a path: requests bring theirs{}", instead(.bare))]
    WithPath {
        /// What is left without it.
        bare: String,
    },
    /// The port is not 1 to 65535.
    #[error("`{0}` is not a port; ports go from 1 to 65535")]
    Port(String),
    /// The host is no name and no address.
    #[error("`{0}` is not a host name or an IP address")]
    Host(String),
    /// The name cannot have SRV records.
    #[error("`{0}` is not a name of SRV records, such as `srv:_http._tcp.shop.internal`")]
    Srv(String),
    /// A Unix socket path that cannot be used.
    #[error("a unix socket needs an absolute path of at most 107 bytes")]
    Path,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            // 108 bytes with the closing NUL is what sockaddr_un holds on Linux.
            let usable = path.starts_with('/') && path.len() <= 107 && !path.contains('\0');
            return usable.then(|| Address::Unix(path.into())).ok_or(AddressError::Path);
        }
        // `srv:8080` is port 8080 of a host called `srv`.
        if let Some(name) = text.strip_prefix("srv:")
            && !name.bytes().all(|b| b.is_ascii_digit())
        {
            let usable = name.contains('.') && is_host_name(name);
            let address = Address::Srv { name: name.to_ascii_lowercase() };
            return usable.then_some(address).ok_or_else(|| AddressError::Srv(name.to_string()));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let bare = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let (scheme, bare) = (format!("{scheme}://"), bare.to_string());
            return Err(AddressError::Url { scheme, bare });
        }
        if let Some((bare, _)) = text.split_once('/') {
            return Err(AddressError::WithPath { bare: bare.into() });
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        // `+80` would be a number as well.
        let digits = port.bytes().all(|b| b.is_ascii_digit()).then_some(port);
        let number = digits.and_then(|digits| digits.parse::<u16>().ok());
        let number = number.ok_or_else(|| AddressError::Port(port.to_string()))?;
        if number == 0 {
            return Err(AddressError::Port(port.to_string()));
        }
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Ok(Address::Socket(socket));
        }
        if !is_host_name(host) {
            return Err(AddressError::Host(host.to_string()));
        }
        Ok(Address::Name { host: host.to_ascii_lowercase(), port: number })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(socket) => socket.fmt(f),
            Address::Name { host, port } => write!(f, "{host}:{port}"),
            Address::Srv { name } => write!(f, "srv:{name}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// The address of a target.
    pub fn of(target: &DialAddress) -> Address {
        match target {
            DialAddress::Socket(socket) => Address::Socket(*socket),
            DialAddress::Unix(path) => Address::Unix(PathBuf::from(&**path)),
            DialAddress::Tls(tls) => Address::of(&tls.below),
            DialAddress::Proxied(proxied) => Address::of(&proxied.below),
        }
    }

    /// Whether it has to be looked up before anybody can dial.
    pub fn is_name(&self) -> bool {
        matches!(self, Address::Name { .. } | Address::Srv { .. })
    }

    /// The place to dial, if no name has to be looked up first.
    pub fn target(&self) -> Option<DialAddress> {
        match self {
            Address::Socket(socket) => Some(DialAddress::Socket(*socket)),
            Address::Name { .. } | Address::Srv { .. } => None,
            Address::Unix(path) => Some(DialAddress::Unix(path.to_string_lossy().as_ref().into())),
        }
    }
}

/// What to write instead, where that would be an address.
fn instead(bare: &str) -> String {
    match bare.parse::<Address>() {
        Ok(_) => format!(": `{bare}`"),
        Err(_) => String::new(),
    }
}

/// Whether a text can be looked up, with or without a dot at its end.
fn is_host_name(text: &str) -> bool {
    let label = |l: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&l.len()) && l.bytes().all(fits)
    };
    let bare = text.strip_suffix('.').unwrap_or(text);
    // An all-digit last label would be a mistyped IPv4 address (RFC 3696 section 2).
    let last_is_a_number =
        bare.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    bare.len() <= 253 && !last_is_a_number && bare.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_write_alike() {
        for text in [
            "192.0.2.1:80",
            "[2001:db8::1]:80",
            "shop.internal:80",
            "srv:_http._tcp.shop.internal",
            "srv:80",
            "unix:/run/s.sock",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let upper = "Shop.Internal:80".parse();
        assert_eq!(upper, Ok(Address::Name { host: "shop.internal".into(), port: 80 }));
        let srv = "srv:_HTTP._tcp.Shop.".parse();
        assert_eq!(srv, Ok(Address::Srv { name: "_http._tcp.shop.".into() }));
    }

    #[test]
    fn bad_addresses_say_why() {
        let url = |scheme: &str, bare: &str| AddressError::Url {
            scheme: scheme.into(),
            bare: bare.into(),
        };
        let cases = [
            ("shop", AddressError::NoPort),
            ("shop:http", AddressError::Port("http".into())),
            ("shop:+80", AddressError::Port("+80".into())),
            ("shop:0", AddressError::Port("0".into())),
            ("shop:65536", AddressError::Port("65536".into())),
            ("192.0.2.256:80", AddressError::Host("192.0.2.256".into())),
            ("http://shop:80", url("http://", "shop:80")),
            ("http://shop:80/app?x", url("http://", "shop:80")),
            ("https://shop/", url("https://", "shop")),
            ("shop:80/app", AddressError::WithPath { bare: "shop:80".into() }),
            ("srv:http", AddressError::Srv("http".into())),
            ("srv:", AddressError::Port(String::new())),
            ("srv:_http._tcp.shop:80", AddressError::Srv("_http._tcp.shop:80".into())),
            ("srv:a..b", AddressError::Srv("a..b".into())),
            ("unix:shop.sock", AddressError::Path),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
        let said = "http://shop:80/app".parse::<Address>().unwrap_err().to_string();
        let wanted = "an upstream is an address without `http://` and without a path: `shop:80`";
        assert_eq!(said, wanted);
    }
}
