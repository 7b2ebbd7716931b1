//! What is done with a client's connection: a socket in, its requests through the lane out.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::h1::Lane;
use super::limited::{Limit, Limited};
use super::places::{Place, Places};
use super::socket::Socket;
use super::stop::Bounds;
use crate::config::Listener;
use crate::snapshot::Published;

/// What is done with a connection.
pub trait Serve: Send + Sync + 'static {
    /// Serves one connection to its end, as its listener wants it.
    fn serve(
        self: Arc<Self>,
        socket: Socket,
        listener: Arc<Listener>,
    ) -> impl Future<Output = ()> + Send;

    /// The most connections that may be open at once.
    fn most_connections(&self) -> usize;
}

/// Serves client connections with the config in force when each came in.
pub struct Clients {
    published: Arc<Published>,
    lane: Arc<Lane>,
    /// The most connections that there are descriptors for.
    room: usize,
    places: Arc<Places>,
    /// Whether memory is too short for new ones.
    is_short: AtomicBool,
}

impl Clients {
    /// Serves what is published by this lane; there is room for so many connections.
    pub fn new(published: Arc<Published>, lane: Lane, room: usize) -> Clients {
        let lane = Arc::new(lane);
        Clients { published, lane, room, places: Arc::default(), is_short: AtomicBool::new(false) }
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
    fn admit(&self, socket: &Socket) -> Result<Option<Place>, Limit> {
        if self.is_short.load(Ordering::Relaxed) {
            return Err(Limit::Memory);
        }
        let snapshot = self.published.load();
        let server = &snapshot.config.server;
        let Some(most) = server.client.connections_per_client else { return Ok(None) };
        // Who is not told apart from others, as at a Unix socket, is not counted; nor is a proxy of ours.
        let Some(address) = socket.address().filter(|ip| !server.trusted_proxies.has(*ip)) else {
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

    /// Closes connections to upstreams that nobody needs, for ever.
    pub async fn sweep(self: Arc<Self>) {
        self.lane.sweep().await;
    }
}

impl Serve for Clients {
    async fn serve(self: Arc<Self>, socket: Socket, listener: Arc<Listener>) {
        match self.admit(&socket) {
            Ok(_place) => self.lane.serve(socket, listener.speaks).await,
            Err(limit) => self.limited().count(limit),
        }
    }

    fn most_connections(&self) -> usize {
        self.published.load().config.server.client.connections.min(self.room)
    }
}
