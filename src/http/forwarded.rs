//! Whom a request comes from: the connected peer and the fields in, the client and the
//! `X-Forwarded-*` fields to send on out.
//!
//! What a peer says of others is believed only if the peer is a configured proxy; from anyone
//! else the fields are replaced, and the other fields that carry such a claim are removed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use http::header::{HeaderName, HeaderValue};
use ipnet::IpNet;

use super::admission::KnownHost;
use super::claims;
use super::edits::{Edits, Text};
use super::entrance::Entrance;
use super::fields::{FieldId, Fields, Known};
use super::list;
use super::secured::Secured;
use super::view::{Field, text};

/// Fields that say who the client is or how it came; upstreams may believe them.
const CLAIMS: [FieldId; 4] =
    [FieldId::Forwarded, FieldId::RealIp, FieldId::ForwardedPort, FieldId::ForwardedServer];

/// All that says anything of where a request comes from.
const ORIGIN: Known =
    Known::of(&[FieldId::ForwardedFor, FieldId::ForwardedProto, FieldId::ForwardedHost])
        .with(Known::of(&CLAIMS));

/// Who is believed in what it says of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Peers with these addresses.
    pub networks: Vec<IpNet>,
    /// Whoever comes by a Unix socket.
    pub unix: bool,
    /// Fields that nobody else may say, beside those that are known to be a proxy's.
    pub strip: Vec<HeaderName>,
}

impl TrustedProxies {
    /// Whether nobody is believed.
    pub fn is_nobody(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether an address is one of theirs.
    pub fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether a peer is one of them.
    pub fn has_peer(&self, peer: &Peer) -> bool {
        self.unix && peer.is_unix || peer.address.is_some_and(|address| self.has(address))
    }
}

/// The two ends of a client's connection, so far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The client's; none if it has no address, as at a Unix socket.
    pub source: Option<SocketAddr>,
    /// Ours; none while nobody has asked for it.
    pub destination: Option<SocketAddr>,
}

/// The other end of a client connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address; none if it has none, as at a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether it came by a Unix socket.
    pub is_unix: bool,
    /// The address as a field value, made once a connection.
    pub field: Option<HeaderValue>,
    /// `http` or `https`.
    pub scheme: HeaderValue,
    /// When its connection was accepted.
    pub since: Instant,
    /// Its connection's two ends, as far as they are known.
    pub ends: Arc<Ends>,
    /// The host that its requests ask for.
    pub host: KnownHost,
    /// What its TLS says of its requests, if that is anything.
    pub secured: Option<Arc<Secured>>,
    /// What its listener has set for them, if it has set anything.
    pub entrance: Option<Arc<Entrance>>,
}

impl Peer {
    /// The peer at one end of this connection, which was made then.
    pub fn at(ends: Ends, scheme: &'static str, since: Instant) -> Peer {
        let peer = match ends.source {
            Some(source) => Peer::new(source.ip(), scheme, since),
            None => Peer::without_address(scheme, since),
        };
        Peer { ends: Arc::new(ends), ..peer }
    }

    /// The peer at this address, connected since then.
    pub fn new(address: IpAddr, scheme: &'static str, since: Instant) -> Peer {
        let address = address.to_canonical();
        // An IP address is made of hex digits, dots and colons.
        let field = HeaderValue::from_str(&address.to_string()).ok();
        Peer { address: Some(address), field, ..Peer::without_address(scheme, since) }
    }

    /// A peer at a Unix socket, connected since then.
    pub fn unix(scheme: &'static str, since: Instant) -> Peer {
        Peer { is_unix: true, ..Peer::without_address(scheme, since) }
    }

    /// A peer that was gone before anybody could ask for its address.
    pub fn without_address(scheme: &'static str, since: Instant) -> Peer {
        let scheme = HeaderValue::from_static(scheme);
        Peer {
            address: None,
            is_unix: false,
            field: None,
            scheme,
            since,
            ends: Arc::default(),
            host: KnownHost::default(),
            secured: None,
            entrance: None,
        }
    }

    /// What its browser is told of HTTPS.
    pub fn hsts(&self) -> Option<&HeaderValue> {
        self.entrance.as_ref().and_then(|entrance| entrance.hsts.as_ref())
    }

    /// Who it has shown to be.
    fn subject(&self) -> Option<&HeaderValue> {
        self.secured.as_ref().and_then(|secured| secured.subject.as_ref())
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its own address: the peer's, or what trusted proxies say of it; none if nobody knows one.
    pub address: Option<IpAddr>,
    /// Whether a trusted proxy has written something in place of an address, so that all who come
    /// through it look like one.
    pub is_doubtful: bool,
}

/// The client's own address: the peer's, or what trusted proxies say of it.
pub fn client(fields: &Fields<'_>, peer: &Peer, trusted: &TrustedProxies) -> Client {
    if !fields.may_have(ORIGIN) || !trusted.has_peer(peer) {
        return Client { address: peer.address, is_doubtful: false };
    }
    let lines = fields.all(FieldId::ForwardedFor).map(|line| text(line).unwrap_or("?"));
    let lines: Vec<&str> = lines.collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    let mut client = peer.address;
    for hop in hops {
        // What cannot be read was not written by a proxy of ours: stop at the last one known.
        let Some(address) = hop_address(hop) else {
            return Client { address: client, is_doubtful: true };
        };
        let address = address.to_canonical();
        client = Some(address);
        if !trusted.has(address) {
            break;
        }
    }
    Client { address: client, is_doubtful: false }
}

/// The address of one entry, in each form that proxies write: bare, with a port, in brackets, in
/// quotes.
fn hop_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let entry = entry.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(entry);
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_whole = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().ok().filter(|_| is_whole).map(IpAddr::V6);
    }
    if let Some((address, port)) = entry.split_once(':')
        && is_port(port)
        && let Ok(address) = address.parse::<Ipv4Addr>()
    {
        return Some(IpAddr::V4(address));
    }
    entry.parse().ok()
}

fn is_port(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
}

/// Whether the client came by TLS: to us, or to a trusted proxy as that says.
pub fn is_https(fields: &Fields<'_>, peer: &Peer, trusted: &TrustedProxies) -> bool {
    let told = fields.first(FieldId::ForwardedProto);
    let told = told.filter(|_| trusted.has_peer(peer));
    let schemes = told.unwrap_or(peer.scheme.as_bytes());
    // Of several hops the first is the client's. Some say of a WebSocket what its own URI would.
    let is_secure = |scheme: &[u8]| {
        scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss")
    };
    list::tokens(schemes).next().is_some_and(is_secure)
}

/// Adds the fields that tell the upstream where the request comes from, and which `host` it asked for.
pub fn edit(
    fields: &Fields<'_>,
    peer: &Peer,
    trusted: &TrustedProxies,
    host: Option<Text>,
    edits: &mut Edits,
) {
    let carries = fields.may_have(ORIGIN);
    let believed = carries && trusted.has_peer(peer);
    let kept = |id| believed && fields.has(id);
    match (&peer.field, kept(FieldId::ForwardedFor)) {
        (Some(own), true) => edits.set(FieldId::ForwardedFor, appended(fields, own)),
        (Some(_), false) => edits.set(FieldId::ForwardedFor, Text::Peer),
        // Who has no address adds none to what is believed.
        (None, true) => {}
        (None, false) => {
            if carries && fields.has(FieldId::ForwardedFor) {
                edits.remove(FieldId::ForwardedFor);
            }
        }
    }
    if !kept(FieldId::ForwardedProto) {
        edits.set(FieldId::ForwardedProto, Text::Scheme);
    }
    match host {
        _ if kept(FieldId::ForwardedHost) => {}
        Some(host) => edits.set(FieldId::ForwardedHost, host),
        // A request of HTTP/1.0 need not name one.
        None if carries && fields.has(FieldId::ForwardedHost) => {
            edits.remove(FieldId::ForwardedHost);
        }
        None => {}
    }
    if let Some(subject) = peer.subject() {
        edits.set(FieldId::ClientSubject, Text::Own(subject.clone()));
    } else if fields.has(FieldId::ClientSubject) {
        edits.remove(FieldId::ClientSubject);
    }
    if carries && !believed {
        CLAIMS.into_iter().filter(|id| fields.has(*id)).for_each(|id| edits.remove(id));
    }
    let may_claim = fields.may_have(Known::CLAIMS);
    if may_claim || !trusted.strip.is_empty() {
        drop_claims(fields, may_claim, trusted, peer, edits);
    }
}

/// Takes out what only a proxy may say, and `strip`, of a stranger; of anybody what only we may say. A
/// name counts in whichever spelling.
fn drop_claims(
    fields: &Fields<'_>,
    may_claim: bool,
    trusted: &TrustedProxies,
    peer: &Peer,
    edits: &mut Edits,
) {
    let is_stranger = !trusted.has_peer(peer);
    let is_stripped = |name: &[u8]| {
        trusted.strip.iter().any(|stripped| claims::is_same(name, stripped.as_str().as_bytes()))
    };
    let goes = |field: &Field<'_>| {
        let is_claim = match is_stranger {
            true => claims::is_claim,
            false => claims::is_ours,
        };
        may_claim && field.id.is_none() && is_claim(field.name)
            || is_stranger && is_stripped(field.name)
    };
    for field in fields.view.lines().filter(goes) {
        // A name that was read is one that can be written.
        if let Ok(name) = HeaderName::from_bytes(field.name) {
            edits.remove_named(name);
        }
    }
}

/// All hops so far, then the peer.
fn appended(fields: &Fields<'_>, peer: &HeaderValue) -> Text {
    let mut hops: Vec<u8> = Vec::new();
    for line in fields.all(FieldId::ForwardedFor) {
        hops.extend_from_slice(line);
        hops.extend_from_slice(b", ");
    }
    hops.extend_from_slice(peer.as_bytes());
    HeaderValue::from_bytes(&hops).map_or(Text::Peer, Text::Own)
}

#[cfg(test)]
mod tests;
