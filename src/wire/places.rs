//! How many connections each client has open: its address in, a place or none out.
//!
//! There are as many entries as clients with a connection that is counted, and so no more than there
//! may be connections. A lock guards a sixteenth of them, is held for one look, and is taken where a
//! connection comes and goes, never where a request does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Parts of the table, so that two connections seldom meet.
const SHARDS: usize = 16;

/// The open connections of each client.
#[derive(Debug, Default)]
pub(super) struct Places {
    shards: [Mutex<HashMap<Network, u32>>; SHARDS],
}

/// What counts as one client: an address, or the network of an IPv6 address, of which the rest is its
/// client's to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4(u32),
    V6(u64),
}

/// One connection's place; given back on drop.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    network: Network,
}

impl Network {
    fn of(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V4(v4) => Network::V4(v4.to_bits()),
            IpAddr::V6(v6) => Network::V6((v6.to_bits() >> 64) as u64),
        }
    }

    /// Networks that are neighbours fall apart: Knuth's multiplicative hash.
    fn shard(self) -> usize {
        let bits = match self {
            Network::V4(bits) => u64::from(bits),
            Network::V6(bits) => bits ^ bits >> 32,
        };
        (bits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60) as usize % SHARDS
    }
}

impl Places {
    /// A place for a connection from this address; none if it has so many already.
    pub(super) fn take(self: &Arc<Places>, address: IpAddr, most: u32) -> Option<Place> {
        let network = Network::of(address);
        let shard = &self.shards[network.shard()];
        let mut open = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let shard = &self.places.shards[self.network.shard()];
        let mut open = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
                // What a burst has grown is given back once it is over.
                if open.is_empty() {
                    open.shrink_to(64);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_places_and_gets_them_back() {
        let places = Arc::new(Places::default());
        let take = |address: &str| places.take(address.parse().unwrap(), 2);
        let (one, two) = (take("192.0.2.1"), take("::ffff:192.0.2.1"));
        assert!(one.is_some() && two.is_some() && take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some(), "another has its own");
        drop(one);
        let again = take("192.0.2.1");
        assert!(again.is_some() && take("192.0.2.1").is_none());
        let network = [take("2001:db8::1"), take("2001:db8::2"), take("2001:db8::3")];
        assert_eq!(network.each_ref().map(Option::is_some), [true, true, false]);
        assert!(take("2001:db8:0:1::1").is_some());
        drop((two, again, network));
        let left: usize = places.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert_eq!(left, 0, "nothing is kept of who has left");
    }
}
