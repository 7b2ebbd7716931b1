//! Session tickets: what a client needs to take up its session again, sealed with a key of ours, so that
//! it is good after a restart and in whichever process.
//!
//! A ticket is the name of a key, a number that was used once, and what is sealed. It is bound to whose
//! certificates were asked for when it was made; that it is good for the name it was made under alone
//! rustls sees to (RFC 6066 section 3).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::server::ProducesTickets;

use crate::crypto::{self, NONCE, Seal};

/// How long a key makes tickets.
pub const ROTATION: Duration = Duration::from_secs(12 * 60 * 60);

/// Keys that make none any more, and still open theirs.
const OLD: usize = 2;

const NAME: usize = 16;
const SECRET: usize = 32;

/// What a file of keys begins with.
const MAGIC: &[u8] = b"pointsman ticket keys 1\n";
/// A key in it: its name, when it was made, its secret.
const LENGTH: usize = NAME + 8 + SECRET;

/// A key.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    name: [u8; NAME],
    secret: [u8; SECRET],
    /// In seconds since the epoch.
    made: u64,
}

/// Keys, the youngest first: that one makes tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// The keys in use, ready to seal and to open.
#[derive(Debug, Default)]
pub struct TicketKeys(ArcSwap<Vec<([u8; NAME], Seal)>>);

/// What makes and opens tickets that are bound to a scope.
pub(super) struct Tickets {
    keys: Arc<TicketKeys>,
    scope: [u8; 32],
}

impl Keys {
    /// Those that are written here, but for any that are too old by now.
    pub fn read(bytes: &[u8], now: u64) -> Option<Keys> {
        let (keys, []) = bytes.strip_prefix(MAGIC)?.as_chunks::<LENGTH>() else { return None };
        let read = |key: &[u8; LENGTH]| {
            let (name, rest) = key.split_first_chunk::<NAME>()?;
            let (made, secret) = rest.split_first_chunk::<8>()?;
            let made = u64::from_be_bytes(*made);
            Some(Key { name: *name, made, secret: secret.try_into().ok()? })
        };
        let mut keys = Keys(keys.iter().map(read).collect::<Option<_>>()?);
        keys.0.retain(|key| key.made.saturating_add(most_seconds()) > now);
        keys.0.truncate(1 + OLD);
        Some(keys)
    }

    /// As they are kept.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for key in &self.0 {
            bytes.extend_from_slice(&key.name);
            bytes.extend_from_slice(&key.made.to_be_bytes());
            bytes.extend_from_slice(&key.secret);
        }
        bytes
    }

    /// How long until the youngest is to be followed by another; nothing if there is none. A clock that
    /// was set back makes no key live longer than it should.
    pub fn due(&self, now: u64) -> Duration {
        let Some(key) = self.0.first() else { return Duration::ZERO };
        let age = Duration::from_secs(now.checked_sub(key.made).unwrap_or(u64::MAX));
        ROTATION.saturating_sub(age)
    }

    /// With another key before them; none if there is no chance to be had.
    pub fn followed(&self, now: u64) -> Option<Keys> {
        let key = Key { name: crypto::random().ok()?, secret: crypto::random().ok()?, made: now };
        let old = self.0.iter().take(OLD).cloned();
        Some(Keys(std::iter::once(key).chain(old).collect()))
    }
}

/// After which a key opens nothing any more.
fn most_seconds() -> u64 {
    (1 + OLD as u64) * ROTATION.as_secs()
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(made {})", self.made)
    }
}

impl TicketKeys {
    /// Has these make and open tickets from now on.
    pub fn set(&self, keys: &Keys) {
        let ready = |key: &Key| Some((key.name, Seal::new(&key.secret)?));
        self.0.store(Arc::new(keys.0.iter().filter_map(ready).collect()));
    }
}

impl Tickets {
    pub fn bound_to(scope: [u8; 32], keys: Arc<TicketKeys>) -> Tickets {
        Tickets { keys, scope }
    }

    /// What a ticket of this key is bound to.
    fn bond(&self, name: &[u8; NAME]) -> [u8; NAME + 32] {
        let mut bond = [0; NAME + 32];
        bond[..NAME].copy_from_slice(name);
        bond[NAME..].copy_from_slice(&self.scope);
        bond
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets(…)")
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // As long as each key is there at least, once it makes no more.
        ROTATION.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.0.load();
        let (name, seal) = keys.first()?;
        let nonce: [u8; NONCE] = crypto::random().ok()?;
        let sealed = seal.seal(nonce, &self.bond(name), plain.to_vec())?;
        Some([&name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let keys = self.keys.0.load();
        let (name, seal) = keys.iter().find(|(known, _)| known == name)?;
        seal.open(*nonce, &self.bond(name), sealed.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 60 * 60;

    fn tickets(scope: u8, keys: &Keys) -> Tickets {
        let ready = Arc::new(TicketKeys::default());
        ready.set(keys);
        Tickets::bound_to([scope; 32], ready)
    }

    #[test]
    fn a_ticket_outlives_two_rotations_and_a_restart_and_no_third() {
        let first = Keys::default().followed(0).unwrap();
        let ticket = tickets(1, &first).encrypt(b"session").unwrap();
        let mut keys = first;
        for turn in 1..=2 {
            keys = keys.followed(turn * 12 * HOUR).unwrap();
            let read = Keys::read(&keys.bytes(), turn * 12 * HOUR).unwrap();
            assert_eq!(read, keys, "another process has the same");
            assert_eq!(tickets(1, &read).decrypt(&ticket).unwrap(), b"session", "{turn}");
        }
        keys = keys.followed(36 * HOUR).unwrap();
        assert_eq!(tickets(1, &keys).decrypt(&ticket), None);
        assert_eq!(keys.0.len(), 3);
    }

    #[test]
    fn a_ticket_is_good_under_its_own_scope_alone_and_as_it_was_made() {
        let keys = Keys::default().followed(0).unwrap();
        let ticket = tickets(1, &keys).encrypt(b"session").unwrap();
        assert_ne!(tickets(1, &keys).encrypt(b"session").unwrap(), ticket, "no two are alike");
        assert_eq!(tickets(2, &keys).decrypt(&ticket), None);
        for at in 0..ticket.len() {
            let mut other = ticket.clone();
            other[at] ^= 1;
            assert_eq!(tickets(1, &keys).decrypt(&other), None, "{at}");
            assert_eq!(tickets(1, &keys).decrypt(&ticket[..at]), None, "{at}");
        }
        assert!(tickets(1, &Keys::default()).encrypt(b"session").is_none());
    }

    #[test]
    fn keys_are_due_by_their_age_and_gone_when_they_open_nothing() {
        let keys = Keys::default().followed(100).unwrap();
        assert_eq!(Keys::default().due(0), Duration::ZERO);
        assert_eq!(keys.due(100 + HOUR), Duration::from_secs(11 * HOUR));
        assert_eq!(keys.due(100 + 13 * HOUR), Duration::ZERO);
        assert_eq!(keys.due(99), Duration::ZERO, "made in what is the future now");
        let read = |now| Keys::read(&keys.bytes(), now).unwrap().0.len();
        assert_eq!((read(99 + 36 * HOUR), read(100 + 36 * HOUR)), (1, 0));
        assert_eq!(Keys::read(b"something else", 0), None);
        assert_eq!(Keys::read(&keys.bytes()[..60], 0), None);
        assert!(!format!("{keys:?}").contains(&format!("{:?}", keys.0[0].secret[0..3].to_vec())));
    }
}
