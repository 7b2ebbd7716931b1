//! Who is to be probed: a snapshot in, addresses with the upstreams that share each out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use http::uri::Authority;

use crate::snapshot::Snapshot;
use crate::upstream::{DialAddress, Health, Probe, Upstream};

/// One address to be probed in one way. Upstreams whose subjects are equal share its probes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Where to dial.
    pub target: DialAddress,
    /// By what name to ask for it.
    pub authority: Authority,
    /// How, how often, and what counts.
    pub health: Arc<Health>,
    /// Whether it is asked in HTTP/2.
    pub http2: bool,
}

/// An upstream that lives by a subject's probes.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// Where the results go.
    pub upstream: Arc<Upstream>,
    /// What the upstream's moments are counted from.
    pub origin: Instant,
}

/// What is to be probed, and for whom.
pub type Roster = HashMap<Subject, Vec<Subscriber>>;

/// The roster of a snapshot.
pub fn roster(snapshot: &Snapshot) -> Roster {
    let mut roster = Roster::new();
    for service in &snapshot.services {
        let Some(health) = &service.stability.health else { continue };
        for pool in &service.pools {
            for member in pool.members.list() {
                let Some(target) = &member.target else { continue };
                let authority = authority(&member.upstream, target, &health.probe);
                let (target, health) = (target.clone(), health.clone());
                let subject = Subject { target, authority, health, http2: pool.http2 };
                let (upstream, origin) = (member.upstream.clone(), snapshot.origin());
                roster.entry(subject).or_default().push(Subscriber { upstream, origin });
            }
        }
    }
    roster
}

/// The name to ask for: the probe's own, else the one that the config has, so that an upstream
/// with several sites answers for the right one.
fn authority(upstream: &Upstream, target: &DialAddress, probe: &Probe) -> Authority {
    let own = match probe {
        Probe::Http(http) => http.host.clone(),
        // A connection has no name: the same address is the same subject however it is called.
        Probe::Tcp => Some(Authority::from_static("localhost")),
        Probe::Grpc(_) => None,
    };
    own.unwrap_or_else(|| {
        let configured = upstream.of.as_deref().unwrap_or(&upstream.name);
        let text = match target.below() {
            DialAddress::Unix(_) | DialAddress::Tls(_) | DialAddress::Proxied(_) => {
                "localhost".to_string()
            }
            DialAddress::Socket(socket) => match configured.strip_prefix("srv:") {
                Some(record) => format!("{}:{}", domain_of(record), socket.port()),
                None => configured.to_string(),
            },
        };
        // Addresses are checked when they are read, and all of them are authorities.
        text.parse().unwrap_or_else(|_| Authority::from_static("localhost"))
    })
}

/// `shop.internal` of `_http._tcp.shop.internal`.
fn domain_of(record: &str) -> &str {
    let mut domain = record;
    while let Some((_, parent)) = domain.split_once('.').filter(|_| domain.starts_with('_')) {
        domain = parent;
    }
    domain
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::*;
    use crate::upstream::{Address, GrpcProbe, HttpProbe};

    fn named(address: &str, of: Option<&str>, probe: &Probe) -> String {
        let address: Address = address.parse().unwrap();
        let target = address.target().unwrap();
        let upstream = Upstream::new(address, of.map(Into::into));
        authority(&upstream, &target, probe).to_string()
    }

    #[test]
    fn an_upstream_is_asked_for_by_its_configured_name() {
        let probe = Probe::Http(HttpProbe::get(PathAndQuery::from_static("/")));
        let cases = [
            ("192.0.2.1:80", None, "192.0.2.1:80"),
            ("[2001:db8::1]:80", None, "[2001:db8::1]:80"),
            ("192.0.2.1:80", Some("shop.internal:80"), "shop.internal:80"),
            ("192.0.2.1:81", Some("srv:_http._tcp.shop.internal"), "shop.internal:81"),
            ("unix:/run/shop.sock", None, "localhost"),
        ];
        for (address, of, expected) in cases {
            assert_eq!(named(address, of, &probe), expected);
            assert_eq!(named(address, of, &Probe::Grpc(GrpcProbe::default())), expected);
        }
    }

    #[test]
    fn the_name_in_the_probe_goes_first() {
        let mut probe = HttpProbe::get(PathAndQuery::from_static("/"));
        probe.host = Some(Authority::from_static("shop.test"));
        let named = named("192.0.2.1:80", Some("shop.internal:80"), &Probe::Http(probe));
        assert_eq!(named, "shop.test");
    }
}
