//! Sockets that accept: an address in, connections out.
//!
//! One that somebody else goes on with, a service manager or a successor, is only let go of: whoever waits
//! in its queue is the other's, and so is its file.

use std::fs::{Permissions, symlink_metadata};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::Group;
use socket2::{Domain, SockAddr, SockFilter, SockRef, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::ListenAddress;
use crate::control::BindError;
use crate::wire::socket::Socket;

/// Connections the kernel may hold for us between two accepts.
const BACKLOG: i32 = 4_096;

/// Bytes that may wait unsent in a socket's buffer before it takes no more.
const UNSENT: u32 = 128 * 1024;

/// A program for the kernel that drops what opens a TCP connection: a packet with SYN among its flags
/// (RFC 9293 3.1: the 14th byte of the header). For connections that there are it changes nothing.
const NO_NEW: [SockFilter; 4] = [
    SockFilter::new(0x30, 0, 0, 13),          // load this byte
    SockFilter::new(0x45, 0, 1, 0x02),        // is SYN set?
    SockFilter::new(0x06, 0, 0, 0),           // then keep nothing of it
    SockFilter::new(0x06, 0, 0, 0xffff_ffff), // else all
];

/// A socket that accepts.
#[derive(Debug)]
pub struct Bound {
    socket: Accepting,
    held: Held,
}

/// Whether somebody else goes on with a socket when we let go of it.
pub(super) type Held = Arc<AtomicBool>;

#[derive(Debug)]
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix domain socket, which goes with this if it is still the same and nobody else's.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode; none if it was gone before it could be looked at.
    identity: Option<(u64, u64)>,
    held: Held,
}

impl Bound {
    /// Binds an address. Must run within a runtime.
    pub fn to(address: &ListenAddress) -> Result<Bound, BindError> {
        let bound = match address {
            ListenAddress::Tcp(socket) => bind_tcp(*socket).map(Bound::of_tcp),
            ListenAddress::Unix(path) => bind_unix(path, |_| Ok(())),
        };
        bound.map_err(|error| BindError { address: address.clone(), error })
    }

    /// Binds an address at which orders are given: of a Unix socket only for the user that the
    /// process runs as and a group, which is its own if none is named. Must run within a runtime.
    pub fn to_private(address: &ListenAddress, group: Option<&str>) -> Result<Bound, BindError> {
        let ListenAddress::Unix(path) = address else { return Bound::to(address) };
        bind_unix(path, |path| make_private(path, group))
            .map_err(|error| BindError { address: address.clone(), error })
    }

    fn of_tcp(tcp: TcpListener) -> Bound {
        prepare(&tcp);
        Bound { socket: Accepting::Tcp(tcp), held: Held::default() }
    }

    /// One that listened before we were there. Must run within a runtime.
    pub(super) fn inherited_tcp(tcp: std::net::TcpListener, held: Held) -> io::Result<Bound> {
        tcp.set_nonblocking(true)?;
        let tcp = TcpListener::from_std(tcp)?;
        prepare(&tcp);
        Ok(Bound { socket: Accepting::Tcp(tcp), held })
    }

    /// One that listened before we were there, at this path. Must run within a runtime.
    pub(super) fn inherited_unix(
        unix: std::os::unix::net::UnixListener,
        path: &Path,
        held: Held,
    ) -> io::Result<Bound> {
        unix.set_nonblocking(true)?;
        let file = SocketFile::at(path, held.clone());
        Ok(Bound { socket: Accepting::Unix(UnixListener::from_std(unix)?, file), held })
    }

    /// The same socket once more, for another process.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        match &self.socket {
            Accepting::Tcp(tcp) => tcp.as_fd().try_clone_to_owned(),
            Accepting::Unix(unix, _) => unix.as_fd().try_clone_to_owned(),
        }
    }

    /// Whether somebody else goes on with it.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// From now on somebody else goes on with it.
    pub fn hand_on(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// The address it became: the one asked for, with port 0 replaced.
    pub fn address(&self, asked: &ListenAddress) -> ListenAddress {
        match &self.socket {
            Accepting::Tcp(tcp) => {
                tcp.local_addr().map_or_else(|_| asked.clone(), ListenAddress::Tcp)
            }
            Accepting::Unix(..) => asked.clone(),
        }
    }

    /// The next connection, and the address that it comes from if it has one.
    pub async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match &self.socket {
            Accepting::Tcp(tcp) => {
                tcp.accept().await.map(|(stream, source)| (Socket::Tcp(stream), Some(source)))
            }
            Accepting::Unix(unix, _) => {
                unix.accept().await.map(|(stream, _)| (Socket::Unix(stream), None))
            }
        }
    }

    /// The same, if there is one already. Must run within a runtime.
    pub fn accept_now(&self) -> io::Result<Option<(Socket, Option<SocketAddr>)>> {
        let accepted = match &self.socket {
            Accepting::Tcp(tcp) => SockRef::from(tcp).accept(),
            Accepting::Unix(unix, _) => SockRef::from(unix).accept(),
        };
        let (socket, source) = match accepted {
            Ok((socket, source)) => (socket, source.as_socket()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        let socket = match self.socket {
            Accepting::Tcp(_) => Socket::Tcp(TcpStream::from_std(socket.into())?),
            Accepting::Unix(..) => Socket::Unix(UnixStream::from_std(socket.into())?),
        };
        Ok(Some((socket, source)))
    }

    /// Lets nobody connect any more, while who has connected can still be accepted: to close a
    /// socket resets whoever waits in its queue, and they would go on coming while it is emptied.
    /// Whoever tries now tries again within a second, and finds it closed. Of a socket that somebody else
    /// goes on with it does nothing: what is done to it is done to both.
    pub fn refuse_new(&self) {
        match &self.socket {
            _ if self.is_held() => {}
            Accepting::Tcp(tcp) => {
                // Without it those are reset that come between the last accept and the end.
                if let Err(error) = SockRef::from(tcp).attach_filter(&NO_NEW) {
                    tracing::debug!(%error, "clients that connect at this moment may be reset");
                }
            }
            Accepting::Unix(_, file) => file.remove(),
        }
    }
}

impl SocketFile {
    fn at(path: &Path, held: Held) -> SocketFile {
        SocketFile { path: path.into(), identity: identity(path), held }
    }

    /// Another file at this path is somebody else's.
    fn remove(&self) {
        let is_held = self.held.load(Ordering::Relaxed);
        if !is_held && self.identity.is_some() && identity(&self.path) == self.identity {
            // What cannot be removed is replaced by whoever binds the address next.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Sets what each connection takes over from the socket that it is accepted from, so that it need not be
/// told. A system that does not know an option serves all the same.
fn prepare(tcp: &TcpListener) {
    let socket = SockRef::from(tcp);
    let _ = socket.set_tcp_nodelay(true);
    // Without this a socket offers room only once a third of a large buffer is free, and a client that
    // reads slowly but steadily looks like one that reads nothing.
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
}

/// A socket whose address takes connections that others still accept, such as `0.0.0.0:80` beside
/// `127.0.0.1:80`. It listens once they give way.
#[derive(Debug)]
pub struct Waiting {
    socket: socket2::Socket,
    others: Vec<Arc<Bound>>,
}

impl Waiting {
    /// Binds an address beside these, which are ours. Nobody else can: the system lets only sockets
    /// share that have both said so, and they say so for this moment.
    pub fn beside(address: &ListenAddress, others: Vec<Arc<Bound>>) -> Result<Waiting, BindError> {
        let bound = |socket: SocketAddr| {
            let _shared = Shared::all(&others)?;
            bind(socket, true)
        };
        let socket = match address {
            ListenAddress::Tcp(socket) => bound(*socket),
            // The same file is the same listener.
            ListenAddress::Unix(_) => Err(io::ErrorKind::AddrInUse.into()),
        };
        match socket {
            Ok(socket) => Ok(Waiting { socket, others }),
            Err(error) => Err(BindError { address: address.clone(), error }),
        }
    }

    /// Listens. Must run within a runtime.
    pub fn listen(self) -> io::Result<Bound> {
        let _shared = Shared::all(&self.others)?;
        let listening = listen(&self.socket);
        self.socket.set_reuse_port(false)?;
        listening?;
        TcpListener::from_std(self.socket.into()).map(Bound::of_tcp)
    }
}

/// Sockets that share their addresses, as long as this lives.
struct Shared<'a>(&'a [Arc<Bound>]);

impl Shared<'_> {
    fn all(sockets: &[Arc<Bound>]) -> io::Result<Shared<'_>> {
        let shared = Shared(sockets);
        shared.set(true)?;
        Ok(shared)
    }

    fn set(&self, is_shared: bool) -> io::Result<()> {
        self.0.iter().try_for_each(|bound| match &bound.socket {
            Accepting::Tcp(tcp) => SockRef::from(tcp).set_reuse_port(is_shared),
            Accepting::Unix(..) => Ok(()),
        })
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        // What could be set can be taken back.
        let _ = self.set(false);
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address, false)?;
    listen(&socket)?;
    TcpListener::from_std(socket.into())
}

fn bind(address: SocketAddr, is_shared: bool) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if is_shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]` takes IPv4 too, however the system is set: the config's check counts on it.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(socket: &socket2::Socket) -> io::Result<()> {
    socket.listen(BACKLOG)
}

/// Binds a Unix socket, and does something to its file before anybody can connect to it.
fn bind_unix(path: &Path, prepare: impl Fn(&Path) -> io::Result<()>) -> io::Result<Bound> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = socket2::Socket::new(Domain::UNIX, kind, None)?;
    let address = SockAddr::unix(path)?;
    match socket.bind(&address) {
        // A socket that nobody answers on was left behind by a process that is gone.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_behind(path) => {
            std::fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let file = SocketFile::at(path, Held::default());
    prepare(path)?;
    listen(&socket)?;
    let held = file.held.clone();
    Ok(Bound { socket: Accepting::Unix(UnixListener::from_std(socket.into())?, file), held })
}

fn make_private(path: &Path, group: Option<&str>) -> io::Result<()> {
    if let Some(name) = group {
        let found = Group::from_name(name)?;
        let no_such =
            || io::Error::other(format!("no group is named `{name}` (`group` of [admin])"));
        std::os::unix::fs::chown(path, None, Some(found.ok_or_else(no_such)?.gid.as_raw()))?;
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o660))
}

/// Only a socket: any other file at this path is somebody's.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && StdUnixStream::connect(path).is_err_and(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_has_the_options_of_its_listener() {
        let fresh = Bound::to(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into())).unwrap();
        let earlier = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let inherited = Bound::inherited_tcp(earlier, Held::default()).unwrap();
        for bound in [fresh, inherited] {
            let asked = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
            let ListenAddress::Tcp(address) = bound.address(&asked) else { unreachable!() };
            let _client = TcpStream::connect(address).await.unwrap();
            let (Socket::Tcp(accepted), _) = bound.accept().await.unwrap() else { unreachable!() };
            assert!(accepted.nodelay().unwrap());
            assert_eq!(SockRef::from(&accepted).tcp_notsent_lowat().unwrap(), UNSENT);
        }
    }

    #[tokio::test]
    async fn a_file_at_a_unix_address_is_left_alone_and_a_dead_socket_replaced() {
        let folder = tempfile::TempDir::new().unwrap();
        let precious = folder.path().join("precious.txt");
        std::fs::write(&precious, "mine").unwrap();
        assert!(Bound::to(&ListenAddress::Unix(precious.clone())).is_err());
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine");
        let dead = folder.path().join("dead.sock");
        drop(UnixListener::bind(&dead).unwrap());
        assert!(dead.exists() && Bound::to(&ListenAddress::Unix(dead)).is_ok());
    }

    #[tokio::test]
    async fn the_file_of_a_unix_socket_goes_with_it_unless_it_is_anothers() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.sock");
        let bound = || Bound::to(&ListenAddress::Unix(path.clone())).unwrap();
        drop(bound());
        assert!(!path.exists());
        let first = bound();
        std::fs::remove_file(&path).unwrap();
        let successor = bound();
        drop(first);
        assert!(path.exists(), "it is the successor's");
        drop(successor);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_private_socket_is_for_a_user_and_a_group() {
        let folder = tempfile::TempDir::new().unwrap();
        let address = ListenAddress::Unix(folder.path().join("admin.sock"));
        let own = std::fs::metadata(folder.path()).unwrap().gid();
        let own = Group::from_gid(own.into()).unwrap().unwrap().name;
        let _bound = Bound::to_private(&address, Some(&own)).unwrap();
        let file = std::fs::metadata(folder.path().join("admin.sock")).unwrap();
        assert_eq!(file.mode() & 0o7777, 0o660);
        let other = ListenAddress::Unix(folder.path().join("other.sock"));
        let error = Bound::to_private(&other, Some("no such group")).unwrap_err();
        assert!(error.to_string().contains("no group is named `no such group`"), "{error}");
        assert!(!folder.path().join("other.sock").exists());
    }

    #[tokio::test]
    async fn who_has_connected_is_accepted_and_nobody_else() {
        let address = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let bound = Bound::to(&address).unwrap();
        let ListenAddress::Tcp(socket) = bound.address(&address) else { unreachable!() };
        let _early = TcpStream::connect(socket).await.unwrap();
        bound.refuse_new();
        let late = tokio::spawn(TcpStream::connect(socket));
        let accepted = bound.accept_now().unwrap();
        assert!(matches!(accepted, Some((Socket::Tcp(_), Some(_)))));
        drop(bound);
        // Its first packet was dropped, so that it comes again; and then nobody is there.
        assert!(late.await.unwrap().is_err());
    }
}
