//! What is done with a client's connection: a socket in, its requests through the lane out.

use std::future::Future;
use std::sync::Arc;

use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::proxy::HttpProxy;
use tokio::sync::watch;

use super::client_stream::{ClientStream, Socket};
use super::connection::Connection;
use super::deadline::Watch;
use super::mirror::Mirrors;
use super::pingora_lane::{Means, PingoraLane, pingora_lane};
use super::stop::{Bounds, Stop};
use crate::clock::Clock;
use crate::record::Reader;
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
    clock: Clock,
    proxy: Arc<HttpProxy<PingoraLane>>,
    /// The most connections that there are descriptors for.
    room: usize,
    stop: Arc<Stop>,
    /// What pingora would end its connections by: at once, with the next request on its way. So it
    /// is never told; while the sender lives it goes on waiting.
    never: (watch::Sender<bool>, watch::Receiver<bool>),
}

impl Clients {
    /// Serves what is published, with these means. The reader gets the records of requests,
    /// `mirrors` the copies of some.
    pub fn new(
        published: Arc<Published>,
        reader: Arc<dyn Reader>,
        clock: Clock,
        means: Means,
        mirrors: Mirrors,
    ) -> Clients {
        let proxy = Arc::new(pingora_lane(published.clone(), reader, clock, means, mirrors));
        let never = watch::channel(false);
        Clients { published, clock, proxy, room: means.clients, stop: Arc::default(), never }
    }

    /// Has each connection end: with the next answer, or when it has said nothing for as long as
    /// this.
    pub fn wind_down(&self, bounds: Bounds) {
        self.published.wind_down();
        self.stop.call(bounds);
    }
}

impl Serve for Clients {
    async fn serve(self: Arc<Self>, socket: Socket) {
        let peer = socket.peer(self.clock.now());
        let limits = self.published.load().config.server.client.clone();
        let connection = Connection::new(peer, limits, self.clock, self.stop.clone());
        let connection = Arc::new(connection);
        let stream: Stream = Box::new(ClientStream::new(socket, connection.clone()));
        // HTTP/1.1 only so far: pingora gives back nothing to go on with.
        let served = self.proxy.process_new(stream, &self.never.1);
        Watch::new(served, connection).await;
    }

    fn most_connections(&self) -> usize {
        self.published.load().config.server.client.connections.min(self.room)
    }
}
