//! Where connections come in: addresses in, one task for each connection out.
//!
//! The accept loops are ours and not pingora's, so that listeners can come and go while others
//! run, port 0 can be asked what it became, connections are counted and bounded, and a panic
//! costs one connection. Connections outlive their listener: taking an address away stops
//! accepting on it and nothing else.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::config::{ListenAddress, Listener};
use crate::observe::ListenerTally;
use crate::wire::client_stream::Socket;

/// Connections the kernel may hold for us between two accepts.
const BACKLOG: u32 = 4_096;

/// Bytes that may wait unsent in a socket's buffer before it takes no more.
const UNSENT: u32 = 128 * 1024;

/// How long to wait when the process is out of file descriptors: closing some takes a moment, and
/// asking again at once would only spin.
const PAUSE_WITHOUT_DESCRIPTORS: Duration = Duration::from_millis(50);

/// A socket that accepts.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix domain socket.
    Unix(UnixListener),
}

/// The address that could not be bound, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct BindError {
    /// The address as configured.
    pub address: ListenAddress,
    /// What the system said.
    pub error: io::Error,
}

impl Bound {
    /// Binds an address. Must run within a runtime.
    pub fn to(address: &ListenAddress) -> Result<Bound, BindError> {
        let bound = match address {
            ListenAddress::Tcp(socket) => bind_tcp(*socket).map(Bound::Tcp),
            ListenAddress::Unix(path) => bind_unix(path).map(Bound::Unix),
        };
        bound.map_err(|error| BindError { address: address.clone(), error })
    }

    /// The address it became: the one asked for, with port 0 replaced.
    pub fn address(&self, asked: &ListenAddress) -> ListenAddress {
        match self {
            Bound::Tcp(tcp) => tcp.local_addr().map_or_else(|_| asked.clone(), ListenAddress::Tcp),
            Bound::Unix(_) => asked.clone(),
        }
    }

    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Bound::Tcp(tcp) => {
                let (stream, _) = tcp.accept().await?;
                stream.set_nodelay(true)?;
                // Without this a socket offers room only once a third of a large buffer is free,
                // and a client that reads slowly but steadily looks like one that reads nothing.
                // A system that does not know the option serves all the same.
                let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
                Ok(Socket::Tcp(stream))
            }
            Bound::Unix(unix) => unix.accept().await.map(|(stream, _)| Socket::Unix(stream)),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        // A socket that nobody answers on was left behind by a process that is gone.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_behind(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}

/// Only a socket: any other file at this path is somebody's.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && StdUnixStream::connect(path).is_err_and(refused)
}

/// What is done with a connection.
pub trait Serve: Send + Sync + 'static {
    /// Serves one connection to its end.
    fn serve(self: Arc<Self>, socket: Socket) -> impl Future<Output = ()> + Send;

    /// The most connections that may be open at once.
    fn most_connections(&self) -> usize;
}

/// All listeners of the process.
pub struct Listeners<S> {
    serve: Arc<S>,
    runtime: Handle,
    open: Arc<AtomicUsize>,
    running: BTreeMap<ListenAddress, Running>,
}

struct Running {
    /// As it was asked for.
    listener: Listener,
    bound: Arc<Bound>,
    address: ListenAddress,
    tally: Arc<ListenerTally>,
    task: JoinHandle<()>,
}

/// Sockets bound for a change that is not made yet.
#[derive(Debug)]
pub struct Prepared {
    wanted: Vec<Listener>,
    fresh: Vec<(Listener, Bound)>,
}

impl<S: Serve> Listeners<S> {
    /// None yet; connections will be served on `runtime`.
    pub fn new(serve: Arc<S>, runtime: Handle) -> Listeners<S> {
        Listeners { serve, runtime, open: Arc::default(), running: BTreeMap::new() }
    }

    /// Binds what is wanted and not there yet. Fails as a whole: then nothing has changed.
    pub fn prepare(&self, wanted: &[Listener]) -> Result<Prepared, BindError> {
        let _runtime = self.runtime.enter();
        let is_bound = |listener: &&Listener| self.running.contains_key(&listener.address);
        let missing = wanted.iter().filter(|listener| !is_bound(listener));
        let bind = |listener: &Listener| Ok((listener.clone(), Bound::to(&listener.address)?));
        let fresh = missing.map(bind).collect::<Result<_, BindError>>()?;
        Ok(Prepared { wanted: wanted.to_vec(), fresh })
    }

    /// Accepts on what was prepared and no longer on what is not wanted. A listener that is the same
    /// is not touched; one that has other settings goes on with its socket, so that nobody is refused.
    pub fn commit(&mut self, prepared: Prepared) {
        let Prepared { wanted, fresh } = prepared;
        let same = |asked: &ListenAddress| wanted.iter().find(|other| other.address == *asked);
        let (stay, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.running).into_iter().partition(|(asked, running)| {
                same(asked).is_some_and(|wanted| *wanted == running.listener)
            });
        self.running = stay;
        for (asked, running) in gone {
            running.task.abort();
            if let Some(wanted) = same(&asked) {
                self.accept(wanted.clone(), running.bound, running.tally, running.address);
            }
        }
        for (listener, bound) in fresh {
            let address = bound.address(&listener.address);
            let tally = Arc::new(ListenerTally::new(address.to_string()));
            tracing::info!(%address, "listening");
            self.accept(listener, Arc::new(bound), tally, address);
        }
    }

    fn accept(
        &mut self,
        listener: Listener,
        bound: Arc<Bound>,
        tally: Arc<ListenerTally>,
        address: ListenAddress,
    ) {
        let accept = accept(bound.clone(), self.serve.clone(), tally.clone(), self.open.clone());
        let task = self.runtime.spawn(accept);
        let running = Running { listener, bound, address, tally, task };
        self.running.insert(running.listener.address.clone(), running);
    }

    /// Stops accepting everywhere.
    pub fn stop(&mut self) {
        self.running.values().for_each(|running| running.task.abort());
        self.running.clear();
    }

    /// The addresses in use, port 0 replaced.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.running.values().map(|running| running.address.clone()).collect()
    }

    /// The totals of each.
    pub fn tallies(&self) -> Vec<Arc<ListenerTally>> {
        self.running.values().map(|running| running.tally.clone()).collect()
    }

    /// Connections open now, on all listeners and on those that are gone.
    pub fn open(&self) -> Arc<AtomicUsize> {
        self.open.clone()
    }
}

async fn accept<S: Serve>(
    bound: Arc<Bound>,
    serve: Arc<S>,
    tally: Arc<ListenerTally>,
    open: Arc<AtomicUsize>,
) {
    loop {
        let socket = match bound.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                tally.refused.fetch_add(1, Ordering::Relaxed);
                // EMFILE and ENFILE; anything else concerns the one connection that failed.
                if matches!(error.raw_os_error(), Some(23 | 24)) {
                    tracing::error!(%error, "cannot accept: out of file descriptors");
                    tokio::time::sleep(PAUSE_WITHOUT_DESCRIPTORS).await;
                }
                continue;
            }
        };
        let place = Place::take(&open, &tally);
        if open.load(Ordering::Relaxed) > serve.most_connections() {
            tally.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        tally.accepted.fetch_add(1, Ordering::Relaxed);
        let serve = serve.clone();
        tokio::spawn(async move {
            let _place = place;
            serve.serve(socket).await;
        });
    }
}

/// One open connection; given back on drop, also by a panic.
struct Place {
    open: Arc<AtomicUsize>,
    tally: Arc<ListenerTally>,
}

impl Place {
    fn take(open: &Arc<AtomicUsize>, tally: &Arc<ListenerTally>) -> Place {
        open.fetch_add(1, Ordering::Relaxed);
        tally.open.fetch_add(1, Ordering::Relaxed);
        Place { open: open.clone(), tally: tally.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.tally.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Panics for a client that says `!`, greets any other.
    struct Fragile;

    impl Serve for Fragile {
        async fn serve(self: Arc<Self>, socket: Socket) {
            let Socket::Tcp(mut tcp) = socket else { unreachable!("only TCP is bound here") };
            assert_ne!(tcp.read_u8().await.unwrap(), b'!', "as a bug would");
            tcp.write_all(b"hello").await.unwrap();
        }

        fn most_connections(&self) -> usize {
            2
        }
    }

    async fn say(address: &ListenAddress, byte: u8) -> Vec<u8> {
        let ListenAddress::Tcp(socket) = address else { unreachable!("only TCP is bound here") };
        let mut tcp = TcpStream::connect(socket).await.unwrap();
        let mut answer = Vec::new();
        // A refused connection may be gone before the byte is written.
        let _ = tcp.write_all(&[byte]).await;
        let _ = tcp.read_to_end(&mut answer).await;
        answer
    }

    fn listeners() -> Listeners<Fragile> {
        let mut listeners = Listeners::new(Arc::new(Fragile), Handle::current());
        let any_port = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let prepared = listeners.prepare(&[any_port.into()]).unwrap();
        listeners.commit(prepared);
        listeners
    }

    #[tokio::test]
    async fn a_panic_costs_one_connection_and_not_the_process() {
        let listeners = listeners();
        let address = &listeners.addresses()[0];
        assert_eq!(say(address, b'!').await, b"");
        assert_eq!(say(address, b'?').await, b"hello");
        let open = listeners.open();
        while open.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(listeners.tallies()[0].accepted.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_are_closed_at_once() {
        let listeners = listeners();
        let ListenAddress::Tcp(socket) = listeners.addresses()[0] else { unreachable!() };
        let _one = TcpStream::connect(socket).await.unwrap();
        let _two = TcpStream::connect(socket).await.unwrap();
        assert_eq!(say(&listeners.addresses()[0], b'?').await, b"");
        assert_eq!(listeners.tallies()[0].refused.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_file_at_a_unix_address_is_left_alone_and_a_dead_socket_replaced() {
        let folder = tempfile::TempDir::new().unwrap();
        let precious = folder.path().join("precious.txt");
        std::fs::write(&precious, "mine").unwrap();
        assert!(Bound::to(&ListenAddress::Unix(precious.clone())).is_err());
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine");
        let socket = ListenAddress::Unix(folder.path().join("dead.sock"));
        drop(Bound::to(&socket).unwrap());
        assert!(Bound::to(&socket).is_ok());
    }

    #[tokio::test]
    async fn an_address_in_use_changes_nothing() {
        let listeners = listeners();
        let taken = listeners.addresses()[0].clone();
        let free = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let error = listeners.prepare(&[free.into(), taken.clone().into()]).unwrap_err();
        assert_eq!(error.address, taken);
        assert_eq!(say(&taken, b'?').await, b"hello");
    }
}
