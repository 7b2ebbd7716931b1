//! What is done with a client's connection: a socket in, its requests through the lane out.

use std::future::Future;
use std::sync::Arc;

use super::h1::Lane;
use super::socket::Socket;
use super::stop::Bounds;
use crate::snapshot::Published;

/// What is done with a connection.
pub trait Serve: Send + Sync + 'static {
    /// Serves one connection to its end.
    fn serve(self: Arc<Self>, socket: Socket) -> impl Future<Output = ()> + Send;

    /// The most connections that may be open at once.
    fn most_connections(&self) -> usize;
}

/// Serves client connections with the config in force when each came in.
pub struct Clients {
    published: Arc<Published>,
    lane: Lane,
    /// The most connections that there are descriptors for.
    room: usize,
}

impl Clients {
    /// Serves what is published by this lane; there is room for so many connections.
    pub fn new(published: Arc<Published>, lane: Lane, room: usize) -> Clients {
        Clients { published, lane, room }
    }

    /// Has each connection end: with the next answer, or when it has said nothing for as long as
    /// this.
    pub fn wind_down(&self, bounds: Bounds) {
        self.lane.wind_down(bounds);
    }

    /// Closes connections to upstreams that nobody needs, for ever.
    pub async fn sweep(self: Arc<Self>) {
        self.lane.sweep().await;
    }
}

impl Serve for Clients {
    async fn serve(self: Arc<Self>, socket: Socket) {
        self.lane.serve(socket).await;
    }

    fn most_connections(&self) -> usize {
        self.published.load().config.server.client.connections.min(self.room)
    }
}
