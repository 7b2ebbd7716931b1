//! What is done with a client's connection: a socket in, its requests through the lane that it speaks
//! out.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::time::timeout;

use super::h1;
use super::lane::Lane;
use super::limited::{Limit, Limited};
use super::places::{Place, Places};
use super::proxy_header;
use super::socket::Socket;
use super::stop::Bounds;
use super::tls::accept::{self, Accepted};
use super::tls::handshake::Handshakes;
use super::tls::ordered::OrderedCertificates;
use super::tls::termination::{Termination, TerminationError};
use super::tls::tickets::TicketKeys;
use crate::certificate::Certificates;
use crate::clock::Clock;
use crate::config::{Listener, ListenerTls, Speaks};
use crate::http::challenges::Challenges;
use crate::http::entrance::Entrance;
use crate::http::forwarded::{Ends, Peer};
use crate::snapshot::Published;

/// A connection that has come in.
#[derive(Debug)]
pub struct Arrival {
    /// Its socket.
    pub socket: Socket,
    /// Where it comes from, if that has an address.
    pub source: Option<SocketAddr>,
    /// Where it has come in.
    pub listener: Arc<Listener>,
    /// What its listener has for it.
    pub terms: Arc<Terms>,
    /// Where its handshake is counted.
    pub handshakes: Arc<Handshakes>,
}

/// What a listener has for each connection.
#[derive(Debug, Default)]
pub struct Terms {
    /// What it speaks TLS with; none if it does not.
    pub tls: Option<Termination>,
    /// What it has set for requests; none for nothing.
    pub entrance: Option<Arc<Entrance>>,
}

/// What all listeners of a process share.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// By what clients take up their sessions again.
    pub tickets: Arc<TicketKeys>,
    /// Certificates from authorities.
    pub ordered: Arc<OrderedCertificates>,
    /// What those look for by plain HTTP.
    pub challenges: Arc<Challenges>,
}

impl Terms {
    /// Those of this listener, with what was read for it; `is_looked_at` if authorities may come by it.
    pub fn of(
        listener: &Listener,
        certificates: &Certificates,
        common: &Common,
        is_looked_at: bool,
    ) -> Result<Terms, TerminationError> {
        let tls = listener.tls.as_ref();
        let hsts = tls.and_then(|tls| tls.hsts).and_then(|hsts| {
            let below = if hsts.include_subdomains { "; includeSubDomains" } else { "" };
            let value = format!("max-age={}{below}", hsts.max_age.as_secs());
            HeaderValue::from_str(&value).ok()
        });
        let challenges = (tls.is_none() && is_looked_at).then(|| common.challenges.clone());
        let entrance = Entrance { https_port: listener.https_port, hsts, challenges };
        let tls = tls
            .map(|tls| Termination::new(tls, listener.speaks, certificates, common))
            .transpose()?;
        Ok(Terms { tls, entrance: entrance.is_any().then(|| Arc::new(entrance)) })
    }
}

impl Terms {
    /// Those of the admin address.
    pub fn of_admin(
        tls: Option<&ListenerTls>,
        certificates: &Certificates,
        common: &Common,
    ) -> Result<Terms, TerminationError> {
        let speaks = Speaks { http1: true, http2: false };
        let made = |tls| Termination::new(tls, speaks, certificates, common);
        Ok(Terms { tls: tls.map(made).transpose()?, entrance: None })
    }
}

/// Terms that may be others for the next connection, while the listener goes on accepting.
pub type SharedTerms = Arc<ArcSwap<Terms>>;

/// What is done with a connection.
pub trait Serve: Send + Sync + 'static {
    /// Serves one connection to its end.
    fn serve(self: Arc<Self>, arrival: Arrival) -> impl Future<Output = ()> + Send;

    /// The most connections that may be open at once.
    fn most_connections(&self) -> usize;
}

/// Serves client connections with the config in force when each came in.
pub struct Clients {
    published: Arc<Published>,
    lane: Arc<Lane>,
    clock: Clock,
    /// The most connections that there are descriptors for.
    room: usize,
    places: Arc<Places>,
    /// Whether memory is too short for new ones.
    is_short: AtomicBool,
}

impl Clients {
    /// Serves what is published by this lane; there is room for so many connections.
    pub fn new(published: Arc<Published>, lane: Lane, clock: Clock, room: usize) -> Clients {
        let (lane, places) = (Arc::new(lane), Arc::default());
        Clients { published, lane, clock, room, places, is_short: AtomicBool::new(false) }
    }

    /// Has each connection end: with the next answer, or when it has said nothing for as long as
    /// this.
    pub fn wind_down(&self, bounds: Bounds) {
        self.lane.wind_down(bounds);
    }

    /// Memory is short, or is not any more: kept connections may say nothing for `idle` at most, and
    /// new ones are refused or not.
    pub fn squeeze(&self, idle: Option<Duration>, refuses: bool) {
        self.is_short.store(refuses, Ordering::Relaxed);
        self.lane.squeeze(idle);
    }

    /// Connections that a limit has refused or ended.
    pub fn limited(&self) -> &Arc<Limited> {
        self.lane.limited()
    }

    /// Whether a connection is let in, with the place that it then has if its client's are counted.
    fn admit(&self, source: Option<SocketAddr>) -> Result<Option<Place>, Limit> {
        if self.is_short.load(Ordering::Relaxed) {
            return Err(Limit::Memory);
        }
        self.place(source)
    }

    /// The place of a connection from here, if it is counted and there is one.
    fn place(&self, source: Option<SocketAddr>) -> Result<Option<Place>, Limit> {
        let snapshot = self.published.load();
        let server = &snapshot.config.server;
        let Some(most) = server.client.connections_per_client else { return Ok(None) };
        // Who is not told apart from others, as at a Unix socket, is not counted; nor is a proxy of ours.
        let address = source.map(|source| source.ip().to_canonical());
        let Some(address) = address.filter(|ip: &IpAddr| !server.trusted_proxies.has(*ip)) else {
            return Ok(None);
        };
        self.places.take(address, most).map(Some).ok_or(Limit::PerClient)
    }

    /// The same, while another process goes on: who is held is held.
    pub fn leave(&self, bounds: Bounds) {
        self.lane.leave(bounds);
    }

    /// How many tunnels there are.
    pub fn tunnels(&self) -> usize {
        self.lane.tunnels()
    }

    /// The connection with its handshake made, if there is one to make, and who is at its other end; with
    /// the place of whom a proxy speaks for.
    async fn welcome(&self, arrival: Arrival) -> Option<(Socket, Peer, Option<Place>)> {
        let Arrival { mut socket, source, listener, terms, handshakes } = arrival;
        let since = self.clock.now();
        let said = match listener.proxy_protocol {
            true => self.said_by_proxy((&mut socket, source), since).await?,
            false => None,
        };
        let place = match said {
            // Who comes for himself has been looked at when he was let in.
            None => Ok(None),
            Some(ends) => self.place(ends.source),
        };
        let place = match place {
            Ok(place) => place,
            Err(limit) => {
                self.limited().count(limit);
                return None;
            }
        };
        let (socket, secured) = match (socket, &terms.tls) {
            (Socket::Tcp(tcp), Some(tls)) => {
                let within = self.published.load().config.server.client.header_timeout;
                // Large, and no part of what waits for requests.
                match Box::pin(accept::accept(tcp, tls, within)).await {
                    Ok(Accepted { tls, secured, how }) => {
                        handshakes.note(how);
                        (Socket::Tls(tls), secured)
                    }
                    Err(failed) => {
                        handshakes.note(failed);
                        return None;
                    }
                }
            }
            (socket, _) => (socket, None),
        };
        let peer = match said {
            Some(ends) => Peer::at(ends, socket.scheme(), since),
            None => socket.peer(source, since),
        };
        let peer = Peer { secured, entrance: terms.entrance.clone(), ..peer };
        Some((socket, peer, place))
    }

    /// Whom a proxy speaks for; none if for itself. Nothing for who is no proxy of ours, or says something
    /// else: it is closed.
    async fn said_by_proxy(
        &self,
        (socket, source): (&mut Socket, Option<SocketAddr>),
        since: Instant,
    ) -> Option<Option<Ends>> {
        // How long it may take, if it is believed at all.
        let within = {
            let snapshot = self.published.load();
            let server = &snapshot.config.server;
            let is_ours = server.trusted_proxies.has_peer(&socket.peer(source, since));
            is_ours.then_some(server.client.header_timeout)
        };
        let read = match (within, socket) {
            (Some(within), Socket::Tcp(tcp)) => timeout(within, proxy_header::read(tcp)).await,
            (Some(within), Socket::Unix(unix)) => timeout(within, proxy_header::read(unix)).await,
            _ => Ok(Err(io::ErrorKind::PermissionDenied.into())),
        };
        match read {
            Ok(Ok(client)) => Some(client),
            Ok(Err(_)) | Err(_) => {
                self.limited().count(Limit::ProxyHeader);
                None
            }
        }
    }

    /// Closes connections to upstreams that nobody needs, for ever.
    pub async fn sweep(self: Arc<Self>) {
        self.lane.sweep().await;
    }
}

impl Serve for Clients {
    async fn serve(self: Arc<Self>, arrival: Arrival) {
        // Before its handshake, which is work.
        let _place = match self.admit(arrival.source) {
            Ok(place) => place,
            Err(limit) => return self.limited().count(limit),
        };
        let speaks = arrival.listener.speaks;
        let Some((socket, peer, _place_of_client)) = self.welcome(arrival).await else { return };
        let speaks = socket.agreed().unwrap_or(speaks);
        h1::serve(&self.lane, socket, peer, speaks).await;
    }

    fn most_connections(&self) -> usize {
        self.published.load().config.server.client.connections.min(self.room)
    }
}
