//! The stable number of a client: what it is recognised by in, a number in 0..10,000 out.
//!
//! The hash is keyed (SipHash-1-3 with a secret), so that clients cannot choose their cohort, and
//! salted with its use, so that the first one per cent of one service, of one rollout or of one
//! flag is not that of another.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use super::{ClientKey, WHOLE};

/// The stable number in 0..10,000 that a client hashes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cohort(u16);

impl Cohort {
    /// A cohort; numbers past the range wrap around.
    pub fn new(number: u16) -> Cohort {
        Cohort(number % WHOLE)
    }

    /// Spreads 64 even bits over the range.
    pub fn from_bits(bits: u64) -> Cohort {
        // The product's top 64 bits are below 10,000.
        Cohort(((u128::from(bits) * u128::from(WHOLE)) >> 64) as u16)
    }

    /// The number, 0 to 9,999.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// The 128-bit key of all hashes of clients.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A hash of clients for one use: secret and salt are taken in already, and a clone takes in the
/// client.
#[derive(Clone, Copy)]
pub struct ClientHash(SipHasher13);

impl ClientHash {
    /// For the cohorts of a service under this salt.
    pub fn of_cohorts(secret: Secret, service: &str, salt: u64) -> ClientHash {
        ClientHash::salted(secret, &[service.as_bytes(), b"\0", &salt.to_le_bytes()])
    }

    /// For consistent hashing over upstreams, so that the upstream says nothing of the cohort.
    pub fn of_balance(secret: Secret) -> ClientHash {
        // No service has a colon in its name.
        ClientHash::salted(secret, &[b"balance:\0"])
    }

    /// For a feature flag: whatever the split, the rollout and the service, it is on for the same
    /// clients.
    pub fn of_flag(secret: Secret, flag: &str) -> ClientHash {
        ClientHash::salted(secret, &[b"flag:", flag.as_bytes(), b"\0"])
    }

    fn salted(secret: Secret, salt: &[&[u8]]) -> ClientHash {
        let mut hasher = SipHasher13::new_with_key(&secret.0);
        salt.iter().for_each(|part| hasher.write(part));
        ClientHash(hasher)
    }

    /// The 64 bits that a client hashes to.
    pub fn of(&self, client: &ClientKey<'_>) -> u64 {
        let mut hasher = self.0;
        match client {
            ClientKey::Header(value) => {
                hasher.write(b"header\0");
                hasher.write(value);
            }
            ClientKey::Cookie(value) => {
                hasher.write(b"cookie\0");
                hasher.write(value);
            }
            ClientKey::OwnCookie(id) => {
                hasher.write(b"own cookie\0");
                hasher.write(id.as_bytes());
            }
            ClientKey::Draw(bits) => {
                hasher.write(b"draw\0");
                hasher.write(&bits.to_le_bytes());
            }
            // In one go, which costs half: parts one behind the other are hashed as all of them at once.
            ClientKey::Address(address) => {
                match address.to_canonical() {
                    IpAddr::V4(v4) => {
                        let [a, b, c, d] = v4.octets();
                        hasher.write(&[b'i', b'p', 0, a, b, c, d]);
                    }
                    // The rest of the address is the client's to choose.
                    IpAddr::V6(v6) => {
                        hasher.write(b"ip\0");
                        hasher.write(&v6.octets()[..8]);
                    }
                }
            }
        }
        hasher.finish()
    }

    /// The cohort of a client.
    pub fn cohort(&self, client: &ClientKey<'_>) -> Cohort {
        Cohort::from_bits(self.of(client))
    }
}

impl fmt::Debug for ClientHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientHash(…)")
    }
}

#[cfg(test)]
mod tests;
