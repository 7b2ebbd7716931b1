//! The process's supervisor, systemd or whoever hears as it does (sd_notify(3)): what becomes of the process
//! in, told out. Without one, nothing is said.
//!
//! Its watchdog hears that all is well only from who has just been served: an accept loop that has ended, a
//! worker that hangs and a socket that somebody has shut all look well from within.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::config::{ListenAddress, Listener};
use crate::observe::Process;
use crate::snapshot::Published;

/// What is asked: it goes no further than us (RFC 9110 section 7.6.2).
const ASK: &[u8] = b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: pointsman-watchdog\r\n\
                     Max-Forwards: 0\r\nConnection: close\r\n\r\n";

/// Tells that requests are served.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// Tells that the file is read again; [`ready`] tells that it was.
pub fn reloading() {
    // Of a moment that nobody knows nothing can be told.
    let Ok(moment) = NotifyState::monotonic_usec_now() else { return };
    tell(&[NotifyState::Reloading, moment, NotifyState::Status("reading the file again")]);
}

/// Tells that this process is the one to look after.
pub(super) fn main_is(id: u32) {
    tell(&[NotifyState::MainPid(id)]);
}

/// Tells that the process stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping: who has connected is answered")]);
}

/// Keeps the watchdog quiet as long as each listener answers; for ever.
pub(super) async fn keep_watched(
    process: Arc<Process>,
    published: Arc<Published>,
    is_stopping: Arc<AtomicBool>,
    clock: Clock,
) {
    let Some(within) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    // Twice as often as need be: a look may take one of the two.
    let quarter = within / 4;
    // Who stops answers nobody any more, and is not watched.
    while !is_stopping.load(Ordering::Relaxed) {
        match look(&process, &published, quarter, clock).await {
            Ok(status) => tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]),
            Err(silent) => {
                tracing::error!("{silent}; the watchdog is not told that all is well");
                tell(&[NotifyState::Status(&silent)]);
            }
        }
        sleep(quarter).await;
    }
    std::future::pending().await
}

/// How things stand, or what does not answer in time.
async fn look(
    process: &Process,
    published: &Published,
    within: Duration,
    clock: Clock,
) -> Result<String, String> {
    let (listeners, config) = (process.listeners(), published.load().config.clone());
    // Before our own are among them.
    let open = listeners.iter().map(|listener| listener.open.load(Ordering::Relaxed));
    let open: usize = open.sum();
    for listener in &listeners {
        let Ok(address) = listener.address.parse() else { continue };
        let known = config.listeners.iter().find(|known| known.address == address);
        let ask = known.map_or(b"".as_slice(), asked);
        if !timeout(within, answers(&address, ask)).await.is_ok_and(|answers| answers) {
            return Err(format!("{} does not answer", listener.address));
        }
    }
    let lag = process.lag().map(|lag| lag.read(clock.now()).largest);
    if let Some(lag) = lag.filter(|lag| *lag >= within) {
        return Err(format!("requests wait {lag:?} for a thread"));
    }
    let reload = match process.gauges().last_reload_successful {
        true => "",
        false => "; the last reload was refused",
    };
    Ok(format!("serving: {} listeners, {open} connections{reload}", listeners.len()))
}

/// What a listener is asked: one that speaks something else than HTTP/1.1 in the clear is only to take the
/// connection, and to see that it ends.
fn asked(listener: &Listener) -> &'static [u8] {
    match listener.tls.is_none() && listener.speaks.http1 {
        true => ASK,
        false => b"",
    }
}

/// Whether anybody takes a connection there, and answers or ends it.
async fn answers(address: &ListenAddress, ask: &[u8]) -> bool {
    match address {
        ListenAddress::Tcp(socket) => match TcpStream::connect(reached(*socket)).await {
            Ok(stream) => is_served(stream, ask).await,
            Err(_) => false,
        },
        ListenAddress::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => is_served(stream, ask).await,
            Err(_) => false,
        },
    }
}

async fn is_served(mut stream: impl AsyncRead + AsyncWrite + Unpin, ask: &[u8]) -> bool {
    // Who ends the connection at once has taken it, too.
    let _ = stream.write_all(ask).await;
    if ask.is_empty() {
        let _ = stream.shutdown().await;
    }
    let _ = stream.read(&mut [0; 16]).await;
    true
}

/// Where this machine reaches what listens there.
fn reached(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listens.port())
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "the supervisor cannot be told how things stand");
    }
}
