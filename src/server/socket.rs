//! Sockets that accept: an address in, connections out.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;

use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::config::ListenAddress;
use crate::control::BindError;
use crate::wire::client_stream::Socket;

/// Connections the kernel may hold for us between two accepts.
const BACKLOG: u32 = 4_096;

/// Bytes that may wait unsent in a socket's buffer before it takes no more.
const UNSENT: u32 = 128 * 1024;

/// A socket that accepts.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix domain socket.
    Unix(UnixListener),
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

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Socket> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
