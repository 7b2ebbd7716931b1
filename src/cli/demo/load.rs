//! Clients of the shop: an address and a rate in, what they saw out.
//!
//! Bounded: a fixed number of connections, each sending its next request only after the answer to
//! the last, at its share of the rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::shop::VERSION;
use crate::server::clock;

/// Connections at the most; fewer at rates below it.
const CONNECTIONS: u32 = 16;

/// How long a client waits before it tries again to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// The clients, while they run.
pub struct Load {
    totals: Arc<Totals>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct Totals {
    blue: AtomicU64,
    green: AtomicU64,
    errors: AtomicU64,
    nanos: AtomicU64,
    is_over: AtomicBool,
}

/// What clients have seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Answers from blue.
    pub blue: u64,
    /// Answers from green.
    pub green: u64,
    /// Anything but a good answer.
    pub errors: u64,
    /// Time spent waiting for good answers, in nanoseconds.
    pub nanos: u64,
}

impl Seen {
    /// Good answers.
    pub fn total(&self) -> u64 {
        self.blue + self.green
    }

    /// What came since an earlier look.
    pub fn since(&self, before: &Seen) -> Seen {
        Seen {
            blue: self.blue - before.blue,
            green: self.green - before.green,
            errors: self.errors - before.errors,
            nanos: self.nanos - before.nanos,
        }
    }
}

impl Load {
    /// Starts sending this many requests a second.
    pub fn start(address: SocketAddr, rps: u32) -> Load {
        let totals = Arc::new(Totals::default());
        let connections = CONNECTIONS.min(rps);
        let gap = Duration::from_secs(1) * connections / rps;
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            clients.spawn(client(address, gap, totals.clone()));
        }
        Load { totals, clients }
    }

    /// What clients have seen so far.
    pub fn seen(&self) -> Seen {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let Totals { blue, green, errors, nanos, .. } = &*self.totals;
        Seen { blue: read(blue), green: read(green), errors: read(errors), nanos: read(nanos) }
    }

    /// Lets each client have the answer it waits for, then ends.
    pub async fn stop(mut self) -> Seen {
        self.totals.is_over.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        self.seen()
    }
}

async fn client(address: SocketAddr, gap: Duration, totals: Arc<Totals>) {
    let clock = clock::system();
    let mut ticks = interval(gap);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    while !totals.is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let begun = clock.now();
        match ask(&mut connection, address).await {
            Ok(response) if response.status().is_success() => {
                let is_blue = response.headers().get(VERSION).is_some_and(|v| v == "blue");
                let version = if is_blue { &totals.blue } else { &totals.green };
                version.fetch_add(1, Ordering::Relaxed);
                totals.nanos.fetch_add(
                    clock.now().duration_since(begun).as_nanos() as u64,
                    Ordering::Relaxed,
                );
            }
            Ok(_) => drop(totals.errors.fetch_add(1, Ordering::Relaxed)),
            Err(_) => {
                totals.errors.fetch_add(1, Ordering::Relaxed);
                connection = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn ask(
    connection: &mut Option<SendRequest<Empty<Bytes>>>,
    address: SocketAddr,
) -> anyhow::Result<Response<()>> {
    if connection.as_ref().is_none_or(|connection| connection.is_closed()) {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        *connection = Some(sender);
    }
    let Some(sender) = connection else { anyhow::bail!("not connected") };
    sender.ready().await?;
    let request = Request::get("/").header(HOST, "shop.test").body(Empty::new())?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    body.collect().await?;
    Ok(Response::from_parts(head, ()))
}
