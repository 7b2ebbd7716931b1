//! For whom we speak to an upstream: a client's connection and address in, the header of the PROXY
//! protocol that begins a connection to the upstream out.
//!
//! Who is spoken for is part of where is dialled, as [`TLS`](super::TlsTarget) is: so a connection
//! that says one client's address is never taken for another's request, in whatever pool of
//! connections it waits. (The PROXY protocol, versions 1 and 2, 2020-03-05, sections 2.1 and 2.2.)

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};

use super::DialAddress;
use crate::http::forwarded::Ends;

/// How version 2 begins.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The form of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Bytes.
    V2,
}

/// An upstream whose connections begin with a header.
#[derive(Clone, Debug)]
pub struct ProxiedTarget {
    /// Where it is: a socket.
    pub below: DialAddress,
    /// The header's form.
    pub version: ProxyVersion,
    /// For whom we speak; none for ourselves, as a probe does.
    client: Option<Client>,
}

#[derive(Clone, Debug)]
struct Client {
    source: SocketAddr,
    destination: SocketAddr,
    /// Its connection, for as long as there is one.
    connection: Weak<Ends>,
}

impl ProxiedTarget {
    /// One to whom we speak for ourselves.
    pub fn new(below: DialAddress, version: ProxyVersion) -> ProxiedTarget {
        ProxiedTarget { below, version, client: None }
    }

    /// The same, to whom we speak for the client of this address on this connection, of which `own_end`
    /// says our end where it does not itself.
    fn speaking_for(
        &self,
        client: Option<IpAddr>,
        connection: &Arc<Ends>,
        own_end: impl FnOnce() -> Option<SocketAddr>,
    ) -> ProxiedTarget {
        let client = client.map(|address| Client {
            // Who came through a proxy has a port there that nobody has told us.
            source: connection
                .source
                .filter(|source| source.ip().to_canonical() == address)
                .unwrap_or(SocketAddr::new(address, 0)),
            destination: connection
                .destination
                .or_else(own_end)
                .unwrap_or(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)),
            connection: Arc::downgrade(connection),
        });
        ProxiedTarget { below: self.below.clone(), version: self.version, client }
    }

    /// The header that a connection to it begins with.
    pub fn header(&self) -> Vec<u8> {
        let ends = self.client.as_ref().map(|client| alike(client.source, client.destination));
        match self.version {
            ProxyVersion::V1 => version_1(ends).into_bytes(),
            ProxyVersion::V2 => version_2(ends),
        }
    }
}

impl DialAddress {
    /// The same to whom we speak for a client, if connections to it say for whom; none for who has no
    /// need of that. Without an address of the client's we speak for ourselves. `own_end` is asked for our
    /// end of the connection where that does not say it.
    pub fn speaking_for(
        &self,
        client: Option<IpAddr>,
        connection: &Arc<Ends>,
        own_end: impl FnOnce() -> Option<SocketAddr>,
    ) -> Option<DialAddress> {
        match self {
            DialAddress::Socket(_) | DialAddress::Unix(_) => None,
            DialAddress::Proxied(proxied) => {
                let spoken = proxied.speaking_for(client, connection, own_end);
                Some(DialAddress::Proxied(Arc::new(spoken)))
            }
            DialAddress::Tls(tls) => {
                let below = tls.below.speaking_for(client, connection, own_end)?;
                Some(DialAddress::Tls(Arc::new(tls.with_below(below))))
            }
        }
    }

    /// The same to whom we speak for nobody but ourselves, as a snapshot has it; none if it is that.
    pub fn speaking_for_nobody(&self) -> Option<DialAddress> {
        match self {
            DialAddress::Socket(_) | DialAddress::Unix(_) => None,
            DialAddress::Proxied(proxied) => {
                proxied.client.as_ref()?;
                let own = ProxiedTarget::new(proxied.below.clone(), proxied.version);
                Some(DialAddress::Proxied(Arc::new(own)))
            }
            DialAddress::Tls(tls) => {
                let below = tls.below.speaking_for_nobody()?;
                Some(DialAddress::Tls(Arc::new(tls.with_below(below))))
            }
        }
    }

    /// Whether a connection to it says one client's address.
    pub fn is_for_a_client(&self) -> bool {
        self.client().is_some()
    }

    /// Whether it is a client's whose own connection has ended, so that nobody needs it any more.
    pub fn is_forsaken(&self) -> bool {
        self.client().is_some_and(|client| client.connection.strong_count() == 0)
    }

    fn client(&self) -> Option<&Client> {
        match self {
            DialAddress::Socket(_) | DialAddress::Unix(_) => None,
            DialAddress::Proxied(proxied) => proxied.client.as_ref(),
            DialAddress::Tls(tls) => tls.below.client(),
        }
    }
}

/// Both of one family: an address of IPv4 beside one of IPv6 is written as one of IPv6.
fn alike(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let bare = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let (source, destination) = (bare(source), bare(destination));
    // Nobody's is of either.
    if source.is_ipv4() && destination.ip().is_unspecified() {
        return (source, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), destination.port()));
    }
    let wide = |end: SocketAddr| match end.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => end,
    };
    match source.is_ipv4() == destination.is_ipv4() {
        true => (source, destination),
        false => (wide(source), wide(destination)),
    }
}

fn version_1(ends: Option<(SocketAddr, SocketAddr)>) -> String {
    let Some((source, destination)) = ends else { return "PROXY UNKNOWN\r\n".into() };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.port(), destination.port());
    format!("PROXY {family} {} {} {from} {to}\r\n", source.ip(), destination.ip())
}

fn version_2(ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut addresses = Vec::with_capacity(36);
    let (command, family) = match ends {
        // We speak for ourselves.
        None => (0, 0x00),
        Some((source, destination)) => {
            for end in [source, destination] {
                match end.ip() {
                    IpAddr::V4(v4) => addresses.extend(v4.octets()),
                    IpAddr::V6(v6) => addresses.extend(v6.octets()),
                }
            }
            addresses.extend(source.port().to_be_bytes());
            addresses.extend(destination.port().to_be_bytes());
            (1, if source.is_ipv4() { 0x11 } else { 0x21 })
        }
    };
    // Thirty-six bytes at most.
    let length = (addresses.len() as u16).to_be_bytes();
    [&SIGNATURE[..], &[0x20 | command, family], &length, &addresses].concat()
}

impl PartialEq for Client {
    fn eq(&self, other: &Client) -> bool {
        // What is said is the same, whichever connection it is said for.
        (self.source, self.destination) == (other.source, other.destination)
    }
}

impl Eq for Client {}

impl PartialEq for ProxiedTarget {
    fn eq(&self, other: &ProxiedTarget) -> bool {
        self.below == other.below && self.version == other.version && self.client == other.client
    }
}

impl Eq for ProxiedTarget {}

impl Hash for ProxiedTarget {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.below.hash(state);
        self.client.as_ref().map(|client| client.source).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{TlsTarget, TlsTerms, Trust};

    fn target(version: ProxyVersion) -> DialAddress {
        let below = DialAddress::Socket(([127, 0, 0, 1], 9000).into());
        DialAddress::Proxied(Arc::new(ProxiedTarget::new(below, version)))
    }

    fn by_tls(below: DialAddress) -> DialAddress {
        let terms = Arc::new(TlsTerms::new(Trust::Anybody, None));
        DialAddress::Tls(Arc::new(TlsTarget { below, name: "a.test".into(), http2: false, terms }))
    }

    fn ends(source: &str, destination: &str) -> Arc<Ends> {
        let parsed = |text: &str| text.parse().ok();
        Arc::new(Ends { source: parsed(source), destination: parsed(destination) })
    }

    /// What is said for the client of this address on this connection.
    fn said(version: ProxyVersion, client: Option<&str>, ends: &Arc<Ends>) -> Vec<u8> {
        let client = client.map(|client| client.parse().unwrap());
        match target(version).speaking_for(client, ends, || None) {
            Some(DialAddress::Proxied(proxied)) => proxied.header(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_says_both_ends_of_the_clients_connection() {
        let line = |client, source, destination| {
            let header = said(ProxyVersion::V1, client, &ends(source, destination));
            String::from_utf8(header).unwrap()
        };
        let v4 = "192.0.2.1:5";
        assert_eq!(
            line(Some("192.0.2.1"), v4, "192.0.2.9:80"),
            "PROXY TCP4 192.0.2.1 192.0.2.9 5 80\r\n"
        );
        assert_eq!(
            line(Some("2001:db8::1"), "[2001:db8::1]:5", "[2001:db8::9]:80"),
            "PROXY TCP6 2001:db8::1 2001:db8::9 5 80\r\n"
        );
        // A socket of both families says an address of IPv4 as one of IPv6.
        assert_eq!(
            line(Some("192.0.2.1"), "[::ffff:192.0.2.1]:5", "[::ffff:192.0.2.9]:80"),
            "PROXY TCP4 192.0.2.1 192.0.2.9 5 80\r\n"
        );
        // Who came through a proxy of ours.
        assert_eq!(
            line(Some("198.51.100.7"), v4, "192.0.2.9:80"),
            "PROXY TCP4 198.51.100.7 192.0.2.9 0 80\r\n"
        );
        assert_eq!(
            line(Some("2001:db8::7"), v4, "192.0.2.9:80"),
            "PROXY TCP6 2001:db8::7 ::ffff:192.0.2.9 0 80\r\n"
        );
        assert_eq!(line(Some("198.51.100.7"), "", ""), "PROXY TCP4 198.51.100.7 0.0.0.0 0 0\r\n");
        assert_eq!(line(None, "", ""), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn our_end_is_asked_for_where_nobody_has_said_it() {
        let client = Some([192, 0, 2, 1].into());
        let line = |ends: &Arc<Ends>, own_end: &dyn Fn() -> Option<SocketAddr>| match target(
            ProxyVersion::V1,
        )
        .speaking_for(client, ends, own_end)
        {
            Some(DialAddress::Proxied(spoken)) => String::from_utf8(spoken.header()).unwrap(),
            other => panic!("{other:?}"),
        };
        let own_end = || "192.0.2.8:443".parse().ok();
        let unsaid = ends("192.0.2.1:5", "");
        assert_eq!(line(&unsaid, &own_end), "PROXY TCP4 192.0.2.1 192.0.2.8 5 443\r\n");
        assert_eq!(line(&unsaid, &|| None), "PROXY TCP4 192.0.2.1 0.0.0.0 5 0\r\n");
        let said = ends("192.0.2.1:5", "192.0.2.9:80");
        let nobody = || panic!("it is said");
        assert_eq!(line(&said, &nobody), "PROXY TCP4 192.0.2.1 192.0.2.9 5 80\r\n");
    }

    #[test]
    fn so_do_bytes() {
        let header = |client, source, destination| {
            let header = said(ProxyVersion::V2, client, &ends(source, destination));
            assert_eq!(header[..12], SIGNATURE);
            header[12..].to_vec()
        };
        assert_eq!(
            header(Some("192.0.2.1"), "192.0.2.1:5", "192.0.2.9:80"),
            [0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 9, 0, 5, 0, 80]
        );
        let v6 = header(Some("2001:db8::1"), "[2001:db8::1]:5", "[2001:db8::9]:80");
        assert_eq!(v6[..8], [0x21, 0x21, 0, 36, 0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!((v6.len(), &v6[36..]), (40, &[0, 5, 0, 80][..]));
        assert_eq!(header(None, "", ""), [0x20, 0, 0, 0]);
    }

    #[test]
    fn where_one_client_is_spoken_for_is_not_where_another_is() {
        let one = ends("192.0.2.1:5", "192.0.2.9:80");
        let client = Some([192, 0, 2, 1].into());
        for own in [target(ProxyVersion::V2), by_tls(target(ProxyVersion::V2))] {
            let spoken = own.speaking_for(client, &one, || None).unwrap();
            assert!(spoken.is_for_a_client() && !own.is_for_a_client());
            assert_eq!(own.speaking_for(client, &one, || None), Some(spoken.clone()));
            for other in [
                own.speaking_for(client, &ends("192.0.2.1:6", "192.0.2.9:80"), || None),
                own.speaking_for(client, &ends("192.0.2.1:5", "192.0.2.9:443"), || None),
                own.speaking_for(Some([192, 0, 2, 2].into()), &one, || None),
                own.speaking_for(None, &one, || None),
                target(ProxyVersion::V1).speaking_for(client, &one, || None),
            ] {
                assert_ne!(Some(&spoken), other.as_ref());
            }
            assert_eq!(spoken.speaking_for_nobody(), Some(own.clone()));
            assert_eq!(own.speaking_for_nobody(), None);
        }
        let plain = DialAddress::Socket(([127, 0, 0, 1], 9000).into());
        assert_eq!(plain.speaking_for(client, &one, || None), None);
        assert_eq!(by_tls(plain).speaking_for(client, &one, || None), None);
    }

    #[test]
    fn nobody_needs_a_connection_for_a_client_who_has_left() {
        let connection = ends("192.0.2.1:5", "192.0.2.9:80");
        let own = by_tls(target(ProxyVersion::V2));
        let spoken = own.speaking_for(Some([192, 0, 2, 1].into()), &connection, || None).unwrap();
        assert!(!spoken.is_forsaken());
        drop(connection);
        assert!(spoken.is_forsaken() && !own.is_forsaken());
    }
}
