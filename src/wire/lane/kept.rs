//! Connections to upstreams between two requests: kept by who has used one, taken by who needs one.
//!
//! A shelf for each thread that moves requests, so that two hardly ever want the same; nobody waits
//! for one: whoever finds it taken looks at the others, and opens a connection, or closes the one that it
//! has, if those are of no use either.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::super::socket::Socket;
use crate::record::{free, free_from, lock, place_of_thread};
use crate::snapshot::Snapshot;
use crate::upstream::DialAddress;

/// All that are kept.
#[derive(Debug)]
pub(super) struct Kept {
    shelves: Vec<Mutex<Shelf>>,
    /// The most on one shelf.
    most: usize,
}

/// Those of one thread.
#[derive(Debug, Default)]
struct Shelf {
    /// By upstream, the one used last at the end: it is the likeliest to live.
    sockets: HashMap<DialAddress, Vec<Waiting>, foldhash::fast::RandomState>,
    count: usize,
}

#[derive(Debug)]
struct Waiting {
    socket: Socket,
    /// When nobody has needed it for as long as its service lets it wait.
    until: Instant,
}

impl Kept {
    /// Room for so many, for so many threads.
    pub(super) fn new(threads: usize, most: usize) -> Kept {
        let shelves = (0..threads.max(1)).map(|_| Mutex::default()).collect();
        Kept { shelves, most: most / threads.max(1) }
    }

    /// One that lives, to this address.
    pub(super) fn take(&self, to: &DialAddress, now: Instant) -> Option<Socket> {
        let own = place_of_thread(self.shelves.len());
        // A request may be moved by another thread than its connection's last one.
        let others = (0..self.shelves.len()).filter(|at| *at != own);
        let all = std::iter::once(own).chain(others);
        all.filter_map(|at| free(&self.shelves[at])).find_map(|mut shelf| shelf.take(to, now))
    }

    /// Keeps one whose last answer has been read to its end.
    pub(super) fn keep(&self, to: &DialAddress, socket: Socket, now: Instant, within: Duration) {
        let Some(until) = now.checked_add(within) else { return };
        // Its own, or if somebody is at it the next that is free.
        let own = place_of_thread(self.shelves.len());
        let Some(mut shelf) = free_from(&self.shelves, own) else { return };
        // Those that one client alone can use leave room for those that anybody can.
        let most = if to.is_for_a_client() { self.most / 2 } else { self.most };
        if shelf.count < most {
            shelf.count += 1;
            let waiting = Waiting { socket, until };
            match shelf.sockets.get_mut(to) {
                Some(others) => others.push(waiting),
                None => drop(shelf.sockets.insert(to.clone(), vec![waiting])),
            }
        }
    }

    /// Whether none is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.shelves.iter().all(|shelf| lock(shelf).sockets.values().all(Vec::is_empty))
    }

    /// Closes those that have waited too long, that the other end has closed, or whose upstream is
    /// gone.
    pub(super) fn sweep(&self, now: Instant, is_known: impl Fn(&DialAddress) -> bool) {
        for shelf in &self.shelves {
            let mut shelf = lock(shelf);
            let (mut count, mut gone) = (0, Vec::new());
            shelf.sockets.retain(|to, waiting| {
                let is_known = is_known(to);
                gone.extend(waiting.extract_if(.., |one| !is_known || !one.is_good(now)));
                count += waiting.len();
                !waiting.is_empty()
            });
            shelf.count = count;
            // Who asks meanwhile need not wait for their ends.
            drop(shelf);
        }
    }
}

impl Shelf {
    fn take(&mut self, to: &DialAddress, now: Instant) -> Option<Socket> {
        let waiting = self.sockets.get_mut(to)?;
        while let Some(mut one) = waiting.pop() {
            self.count -= 1;
            if one.is_good(now) {
                return Some(one.socket);
            }
        }
        None
    }
}

impl Waiting {
    /// Whether it may wait on, and nothing has come on it, not even its end: nobody has asked for
    /// anything. Readiness alone does not tell, for after a read that was exactly filled the runtime
    /// takes a socket for ready; so it is read, which is no system call where the runtime knows better.
    fn is_good(&mut self, now: Instant) -> bool {
        now < self.until && self.socket.is_silent()
    }
}

/// Where all upstreams are dialled, and who is asked whom to let in.
pub(super) fn targets(snapshot: &Snapshot) -> HashSet<&DialAddress> {
    let pools = snapshot.services.iter().flat_map(|service| &service.pools);
    let members = pools.flat_map(|pool| pool.members.list());
    let upstreams = members.filter_map(|member| member.target.as_ref());
    upstreams.chain(snapshot.doors.dialled()).collect()
}
