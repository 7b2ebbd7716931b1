//! Sockets that were there before the process: descriptors in, as systemd passes them, sockets that accept
//! out.
//!
//! There is one form for all who pass any (`LISTEN_FDS`, `LISTEN_FDNAMES`; systemd's sd_listen_fds(3)): a
//! service manager, which holds its sockets for as long as it likes, and a predecessor, whose sockets become
//! ours and are told by their name (the manager passes those too, if the predecessor has crashed). What the manager holds and no listener wants is kept for the reload that
//! adds one: nobody could bind the address beside it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use listenfd::ListenFd;
use nix::libc::{AF_UNIX, SOCK_STREAM};
use socket2::SockRef;

use super::fd_store;
use super::socket::{Bound, Held};
use crate::config::{ListenAddress, Listener};
use crate::control::BindError;

/// The name of a predecessor's own sockets, also of one that has crashed.
pub(super) const OWN: &str = "pointsman-own";

/// The name of the way to a predecessor.
pub(super) const WAY: &str = "pointsman-predecessor";

/// The number of the first descriptor that is passed.
pub(super) const FIRST: usize = 3;

/// The sockets that were passed to the process.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Few, and asked for at a start and a reload only.
    passed: Mutex<Vec<Passed>>,
    /// Whether the predecessor goes on with its sockets.
    shared: Held,
    way: Mutex<Option<UnixStream>>,
    /// What was bound before it was wanted.
    secured: Mutex<Vec<(ListenAddress, Bound)>>,
    /// What cannot be listened on, and why: said once there is a log.
    useless: Vec<String>,
}

#[derive(Debug)]
struct Passed {
    name: String,
    address: ListenAddress,
    socket: Listening,
    is_wanted: bool,
}

#[derive(Debug)]
enum Listening {
    Tcp(std::net::TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Inherited {
    /// Takes what the environment tells of, and its variables away. To be called before there is a second
    /// thread.
    pub fn from_environment() -> Inherited {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut descriptors = ListenFd::from_env();
        let (mut passed, mut way, mut useless) = (Vec::new(), None, Vec::new());
        let mut has_own = false;
        for nth in 0..descriptors.len() {
            let name = names.next().unwrap_or_default();
            if name == WAY {
                let stream = descriptors.take_custom(nth, AF_UNIX, SOCK_STREAM, "unix socket");
                way = stream.ok().flatten();
                continue;
            }
            has_own |= name == OWN;
            match listening(&mut descriptors, nth) {
                Ok((address, socket)) => {
                    passed.push(Passed { name: name.into(), address, socket, is_wanted: false });
                }
                Err(why) => {
                    useless.push(format!("descriptor {} (`{name}`): {why}", FIRST + nth));
                    if let Ok(Some(number)) = descriptors.take_raw_fd(nth) {
                        // One that was told of and is not there is closed already.
                        let _ = nix::unistd::close(number);
                    }
                }
            }
        }
        if way.is_none() && has_own {
            // They are those of a process that has crashed. A file with other addresses may not be able to
            // bind beside them, and the next attempt would be given them again, also what is of no use.
            fd_store::forget();
        }
        let shared = Arc::new(AtomicBool::new(way.is_some()));
        let (passed, way) = (Mutex::new(passed), Mutex::new(way));
        Inherited { passed, shared, way, secured: Mutex::default(), useless }
    }

    /// The socket at this address, if one was passed. Must run within a runtime.
    pub fn take(&self, address: &ListenAddress) -> Option<Result<Bound, BindError>> {
        let mut secured = self.secured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = secured.iter().position(|(secured, _)| secured == address) {
            return Some(Ok(secured.swap_remove(at).1));
        }
        let mut passed = self.passed();
        let at = passed.iter().position(|passed| passed.is_at(address))?;
        let bound = match passed[at].name == OWN {
            true => passed.swap_remove(at).socket.bound(self.shared.clone()),
            false => passed[at].accept_beside(),
        };
        Some(bound.map_err(|error| BindError { address: address.clone(), error }))
    }

    /// Says which are wanted by nobody, and lets go of those that nobody else holds.
    pub fn tell_unwanted(&self) {
        for what in &self.useless {
            tracing::warn!("closed, for it is no socket that accepts: {what}");
        }
        let mut passed = self.passed();
        for Passed { address, name, .. } in passed.iter().filter(|passed| !passed.is_wanted) {
            let what = match name == OWN {
                true => {
                    "closed: the process before this one listened there, and no listener does now"
                }
                false => "no listener has this address: whoever connects to it waits for one",
            };
            tracing::warn!(%address, name, "{what}");
        }
        passed.retain(|passed| passed.name != OWN);
    }

    /// Binds these where nobody has passed a socket, so that each is there when it is wanted. Must run within
    /// a runtime.
    pub fn secure(&self, listeners: &[Listener]) -> Result<(), BindError> {
        for Listener { address, .. } in listeners {
            // Port 0 is another one each time.
            let is_any = matches!(address, ListenAddress::Tcp(socket) if socket.port() == 0);
            let is_passed = || self.passed().iter().any(|passed| passed.is_at(address));
            if !is_any && !is_passed() {
                let bound = Bound::to(address)?;
                let mut secured = self.secured.lock().unwrap_or_else(PoisonError::into_inner);
                secured.push((address.clone(), bound));
            }
        }
        Ok(())
    }

    /// What somebody else than a process before us holds, by name, once more.
    pub fn held(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let passed = self.passed();
        let held = passed.iter().filter(|passed| passed.name != OWN);
        let again = held.map(|Passed { name, socket, .. }| {
            let socket = match socket {
                Listening::Tcp(tcp) => tcp.as_fd().try_clone_to_owned(),
                Listening::Unix(unix, _) => unix.as_fd().try_clone_to_owned(),
            };
            socket.map(|socket| (name.clone(), socket))
        });
        again.collect()
    }

    fn passed(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to the predecessor, if there is one; asked for once.
    pub fn take_way(&self) -> Option<UnixStream> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The predecessor has let go of its sockets.
    pub fn claim(&self) {
        self.shared.store(false, Ordering::Relaxed);
    }
}

impl Passed {
    fn is_at(&self, asked: &ListenAddress) -> bool {
        match (&self.address, asked) {
            (ListenAddress::Unix(own), ListenAddress::Unix(asked)) => {
                own == asked || std::path::absolute(asked).is_ok_and(|asked| *own == asked)
            }
            (own, asked) => own == asked,
        }
    }

    /// It stays open here too: a reload may take its listener away and another bring it back.
    fn accept_beside(&mut self) -> io::Result<Bound> {
        let again = match &self.socket {
            Listening::Tcp(tcp) => Listening::Tcp(tcp.try_clone()?),
            Listening::Unix(unix, path) => Listening::Unix(unix.try_clone()?, path.clone()),
        };
        self.is_wanted = true;
        again.bound(Arc::new(AtomicBool::new(true)))
    }
}

impl Listening {
    fn bound(self, held: Held) -> io::Result<Bound> {
        match self {
            Listening::Tcp(tcp) => Bound::inherited_tcp(tcp, held),
            Listening::Unix(unix, path) => Bound::inherited_unix(unix, &path, held),
        }
    }
}

/// The listening socket that a descriptor is, and where it listens.
fn listening(passed: &mut ListenFd, nth: usize) -> Result<(ListenAddress, Listening), String> {
    let nothing = || "it was taken".to_string();
    let (address, socket, is_listening) = match passed.take_tcp_listener(nth) {
        Ok(tcp) => {
            let tcp = tcp.ok_or_else(nothing)?;
            let address = tcp.local_addr().map_err(|error| error.to_string())?;
            let is_listening = SockRef::from(&tcp).is_listener();
            (ListenAddress::Tcp(address), Listening::Tcp(tcp), is_listening)
        }
        Err(_) => {
            let unix = passed.take_unix_listener(nth);
            let unix = unix.map_err(|_| "it is no TCP and no unix stream socket")?;
            let unix = unix.ok_or_else(nothing)?;
            let address = unix.local_addr().map_err(|error| error.to_string())?;
            let path = address.as_pathname().ok_or("a unix socket without a file")?.to_path_buf();
            let is_listening = SockRef::from(&unix).is_listener();
            (ListenAddress::Unix(path.clone()), Listening::Unix(unix, path), is_listening)
        }
    };
    match is_listening {
        Ok(true) => Ok((address, socket)),
        _ => Err("it does not listen".into()),
    }
}
