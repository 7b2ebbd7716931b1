//! Where requests are accepted: the tables of `[[listeners]]` in, [`Listener`]s out.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};

use super::key::{Key, Kind, Table, Without, boolean, number, table, texts};
use super::read::missing;
use super::section::{Found, Section};
use super::tls::{ListenerTls, TLS, TLS_LINES, tls};
use super::{Problem, Problems};
use crate::http::forwarded::TrustedProxies;
use crate::upstream::{Address, DialAddress};

/// A place to accept connections, with all that is set for it. Its address tells it from others; two
/// of one address that differ in anything else are not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it accepts.
    pub address: ListenAddress,
    /// What it speaks.
    pub speaks: Speaks,
    /// How it speaks TLS; none if it does not.
    pub tls: Option<ListenerTls>,
    /// The port where requests are led that are not by HTTPS; none if they are served.
    pub https_port: Option<u16>,
    /// Whether each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

/// Versions of HTTP; one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaks {
    /// HTTP/1.0 and 1.1.
    pub http1: bool,
    /// HTTP/2. Without TLS from clients that begin with it, unasked.
    pub http2: bool,
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
    &[
        Key::of("address", Kind::Text(None))
            .example("\"0.0.0.0:8080\"")
            .about("\"ip:port\", \":port\" or \"unix:/path\"")
            .told_apart(),
        texts("speaks", &["http1"]).about(
            "`http1`, `h2` or both; both with TLS, where the handshake says which. `h2` without TLS is \
             for clients that begin with it, unasked",
        ),
        boolean("proxy_protocol", false).about(
            "each connection begins with a header of the PROXY protocol, 1 or 2; taken from \
             `trusted_proxies`, others are closed",
        ),
        boolean("redirect_to_https", false)
            .about("what comes in the clear is led to https, but for /.well-known/acme-challenge/"),
        number("https_port", (1, 65_535), 443).about("to this port"),
        table("tls", &TLS, Without::Off).lines(TLS_LINES),
    ],
);

/// All listeners, in the file's order, each with the place of its address.
pub(super) fn listeners(
    file: &mut Section<'_>,
    problems: &mut Problems,
    trusted: &TrustedProxies,
) -> Vec<Found<Listener>> {
    let mut seen: Vec<Found<Listener>> = Vec::new();
    let mut by_port: HashMap<Option<u16>, Vec<usize>> = HashMap::new();
    let sections = file.tables(problems, "listeners");
    let list = file.value("listeners").map(|value| value.get_ref().as_array());
    if list.is_none_or(|list| list.is_some_and(|list| list.is_empty())) {
        problems.0.push(missing(
            "no listener: nothing would be accepted",
            "[[listeners]]\naddress = \"0.0.0.0:8080\"",
        ));
    }
    for section in sections {
        let Some(found) = listener(section, problems, trusted) else { continue };
        let address = &found.value.address;
        let alike = by_port.entry(address.port()).or_default();
        let first = alike.iter().find(|at| seen[**at].value.address.meets(address));
        match first.map(|at| &seen[*at]) {
            Some(first) => {
                let other = &first.value.address;
                let (message, help) = match other == address {
                    true => (format!("two listeners on `{address}`"), None),
                    false => (
                        format!("`{address}` and `{other}` take the same connections"),
                        Some("the address of all interfaces is enough"),
                    ),
                };
                let problem = Problem::error(found.span, message).label("the second");
                let problem = problem.other(first.span.clone(), "the first");
                problems.0.push(help.into_iter().fold(problem, Problem::help));
            }
            None => {
                alike.push(seen.len());
                seen.push(found);
            }
        }
    }
    seen
}

/// One listener, with the place of its address.
fn listener(
    mut section: Section<'_>,
    problems: &mut Problems,
    trusted: &TrustedProxies,
) -> Option<Found<Listener>> {
    let address = section.text(problems, "address", str::parse::<ListenAddress>);
    if !section.has("address") {
        let message = "a listener needs an `address`";
        problems.0.push(Problem::error(section.span.clone(), message));
    }
    let says_versions = section.has("speaks");
    let speaks = speaks(&mut section, problems);
    let proxy_protocol = section.boolean(problems, "proxy_protocol");
    if proxy_protocol && trusted.is_nobody() {
        let message = "`proxy_protocol` takes connections from `server.trusted_proxies` only, and that \
                       names nobody";
        let problem = Problem::error(section.place("proxy_protocol"), message).warning();
        let problem = problem.label("every connection is closed");
        let help = "name your proxies: `server.trusted_proxies = [\"10.0.0.0/8\"]`";
        problems.0.push(problem.help(help));
    }
    let redirects = section.boolean(problems, "redirect_to_https");
    let port = section.number(problems, "https_port");
    // Who writes `false` has switched it off and may leave the port where it is.
    if section.has("https_port") && !section.has("redirect_to_https") {
        let message = "`https_port` does nothing without `redirect_to_https`";
        let problem = Problem::error(section.place("https_port"), message).warning();
        let help = "leave it out, or add `redirect_to_https = true` where there is no TLS";
        problems.0.push(problem.label("nobody is led there").help(help));
    }
    let tls_place = section.place("tls");
    let tls = section.table_if_given(problems, "tls").map(|section| tls(section, problems));
    // In a handshake both sides say which they want, so that nobody is surprised by either.
    let speaks = match tls.is_some() && !says_versions {
        true => Speaks { http1: true, http2: true },
        false => speaks,
    };
    if tls.is_some() && redirects {
        let message = "this listener speaks HTTPS: there is nothing to be led to";
        let problem = Problem::error(section.place("redirect_to_https"), message);
        problems.0.push(problem.other(tls_place.clone(), "its TLS"));
    }
    section.close(problems);
    let Found { value: address, span } = address?;
    if let (Some(_), ListenAddress::Unix(_)) = (&tls, &address) {
        let problem = Problem::error(tls_place, "TLS on a unix socket");
        let problem = problem.label("nobody is between the two ends of it");
        problems.0.push(problem.help("leave `tls` out, or listen on an address"));
    }
    let https_port = redirects.then_some(port);
    let listener = Listener { address, speaks, tls, https_port, proxy_protocol };
    Some(Found { value: listener, span })
}

/// Which versions of HTTP it speaks.
fn speaks(section: &mut Section<'_>, problems: &mut Problems) -> Speaks {
    let known = |word: &str| match word {
        "http1" | "h2" => Ok(word.to_string()),
        _ => Err("is none of `http1` and `h2`"),
    };
    let before = problems.0.len();
    let words = section.texts(problems, "speaks", known);
    let has = |word: &str| words.iter().any(|found| found.value == word);
    let speaks = Speaks { http1: has("http1"), http2: has("h2") };
    if !speaks.http1 && !speaks.http2 && problems.0.len() == before {
        let problem = Problem::error(section.place("speaks"), "a listener that speaks nothing");
        problems.0.push(problem.help("for example `speaks = [\"http1\", \"h2\"]`"));
    }
    speaks
}

impl Default for Speaks {
    fn default() -> Speaks {
        Speaks { http1: true, http2: false }
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

impl From<ListenAddress> for Listener {
    fn from(address: ListenAddress) -> Listener {
        Listener {
            address,
            speaks: Speaks::default(),
            tls: None,
            https_port: None,
            proxy_protocol: false,
        }
    }
}

impl ListenAddress {
    /// Whether both would take the same connections, so that one of them cannot be bound. An address of
    /// all interfaces covers its kind, and `[::]` those of IPv4 too.
    pub fn meets(&self, other: &ListenAddress) -> bool {
        let (a, b) = match (self, other) {
            (ListenAddress::Tcp(a), ListenAddress::Tcp(b)) => (a, b),
            (a, b) => return a == b,
        };
        // Port 0 is a fresh port each time.
        if a.port() != b.port() || a.port() == 0 {
            return false;
        }
        let (a, b) = (a.ip().to_canonical(), b.ip().to_canonical());
        let covers = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4());
        a == b || covers(a, b) || covers(b, a)
    }

    /// Whether who dials this reaches it: it may be spelled in another way.
    pub fn takes(&self, target: &DialAddress) -> bool {
        match (self, target.below()) {
            (ListenAddress::Tcp(own), DialAddress::Socket(dialled)) => {
                let (here, there) = (own.ip().to_canonical(), dialled.ip().to_canonical());
                // Who dials no address in particular reaches this machine; who listens at none in
                // particular is reached at each of its own.
                let is_this = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
                let either = here.is_unspecified() || there.is_unspecified();
                let is_same = here == there || (either && is_this(here) && is_this(there));
                is_same && own.port() == dialled.port()
            }
            (ListenAddress::Unix(own), DialAddress::Unix(dialled)) => {
                plain_path(own) == plain_path(Path::new(&**dialled))
            }
            _ => false,
        }
    }

    /// Whether an upstream of this address is it, as far as its name tells.
    pub fn is_at(&self, address: &Address) -> bool {
        match (self, address) {
            (ListenAddress::Tcp(own), Address::Name { host, port }) => {
                let is_here = own.ip().to_canonical().is_loopback() || own.ip().is_unspecified();
                is_here && own.port() == *port && is_localhost(host)
            }
            _ => address.target().is_some_and(|target| self.takes(&target)),
        }
    }

    /// Whether it is this port of each address of this machine.
    pub fn is_everywhere_at(&self, port: u16) -> bool {
        match self {
            ListenAddress::Tcp(own) => own.ip().is_unspecified() && own.port() == port,
            ListenAddress::Unix(_) => false,
        }
    }

    /// None of a Unix socket.
    fn port(&self) -> Option<u16> {
        match self {
            ListenAddress::Tcp(socket) => Some(socket.port()),
            ListenAddress::Unix(_) => None,
        }
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            ListenAddress::Tcp(socket) => socket.ip().to_canonical().is_loopback(),
            ListenAddress::Unix(_) => true,
        }
    }
}

/// A path without detours. Links are not followed: whoever may make one beside the socket may connect to
/// it.
fn plain_path(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Whether a name is one of those that stand for this machine everywhere (RFC 6761 section 6.3, and what
/// distributions write into their hosts files).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    last == "localhost"
        || matches!(
            &*host,
            "localhost.localdomain"
                | "localhost4"
                | "localhost4.localdomain4"
                | "localhost6"
                | "localhost6.localdomain6"
                | "ip6-localhost"
                | "ip6-loopback"
        )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_a_listener_cannot_do_as_it_is_written_is_warned_of_where_it_stands() {
        let told = |server: &str, lines: &str| {
            let text = format!(
                "[server]\n{server}\n[[listeners]]\naddress = \":80\"\n{lines}\n\
                 [services.a.pools.b]\nupstreams = [\"a:1\"]\n"
            );
            let (config, warnings) = Config::parse(&text).map_err(|p| p.lines(&text, "t")).unwrap();
            (config.listeners[0].clone(), warnings.lines(&text, "t"))
        };
        let nobody = "t:5:18: `proxy_protocol` takes connections from `server.trusted_proxies` only, \
                      and that names nobody";
        let (listener, warnings) = told("", "proxy_protocol = true");
        assert!(listener.proxy_protocol, "a warning alone");
        assert_eq!(warnings, [nobody]);
        for somebody in ["\"10.0.0.0/8\"", "\"unix\""] {
            let server = format!("trusted_proxies = [{somebody}]");
            assert_eq!(told(&server, "proxy_protocol = true").1, [""; 0]);
        }
        assert_eq!(told("", "proxy_protocol = false").1, [""; 0]);
        let (listener, warnings) = told("", "https_port = 8443");
        assert_eq!(listener.https_port, None);
        assert_eq!(warnings, ["t:5:14: `https_port` does nothing without `redirect_to_https`"]);
        assert_eq!(told("", "https_port = 8443\nredirect_to_https = false").1, [""; 0]);
        let (listener, warnings) = told("", "https_port = 8443\nredirect_to_https = true");
        assert_eq!((listener.https_port, warnings), (Some(8443), vec![]));
    }

    #[test]
    fn one_that_is_dialled_is_known_however_it_is_spelled() {
        let cases = [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("127.0.0.1:80", "[::ffff:0.0.0.0]:80", true),
            ("127.0.0.1:80", "localhost:80", true),
            ("127.0.0.1:80", "LOCALHOST.:80", true),
            ("127.0.0.1:80", "a.localhost:80", true),
            ("127.0.0.1:80", "localhost.example.com:80", false),
            ("127.0.0.1:80", "ip6-localhost:80", true),
            ("127.0.0.1:80", "localhost:81", false),
            ("127.0.0.1:80", "192.0.2.1:80", false),
            ("[::1]:80", "[::1]:80", true),
            ("[::1]:80", "[::]:80", true),
            (":80", "127.0.0.9:80", true),
            (":80", "[::1]:80", true),
            (":80", "localhost:80", true),
            ("192.0.2.1:80", "192.0.2.1:80", true),
            ("192.0.2.1:80", "[::ffff:192.0.2.1]:80", true),
            ("192.0.2.1:80", "localhost:80", false),
            ("unix:/run/p.sock", "unix:/run/p.sock", true),
            ("unix:/run/p.sock", "unix:/run//./x/../p.sock", true),
            ("unix:/run/p.sock", "unix:/run/q.sock", false),
            ("unix:/run/p.sock", "127.0.0.1:80", false),
        ];
        for (own, dialled, is_it) in cases {
            let own = own.parse::<ListenAddress>().unwrap();
            assert_eq!(own.is_at(&dialled.parse().unwrap()), is_it, "{own} {dialled}");
        }
    }

    #[test]
    fn addresses_that_take_the_same_connections_meet() {
        let address = |text: &str| text.parse::<ListenAddress>().unwrap();
        let cases = [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", ":80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::1]:80", ":80", false),
            ("[::1]:80", "127.0.0.1:80", false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            (":80", "[::]:80", true),
            (":0", ":0", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", ":80", false),
        ];
        for (a, b, meet) in cases {
            assert_eq!(address(a).meets(&address(b)), meet, "{a} {b}");
            assert_eq!(address(b).meets(&address(a)), meet, "{b} {a}");
        }
    }
}
