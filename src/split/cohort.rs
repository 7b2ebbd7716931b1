//! Who a client is for the split: request facts in, a stable number in 0..10,000 out.
//!
//! The hash is keyed (SipHash-1-3 with a secret), so that clients cannot choose their cohort, and
//! salted with the service, so that the first one per cent of one service is not that of another.

use std::hash::Hasher;
use std::net::IpAddr;

use http::header::{COOKIE, HeaderName};
use siphasher::sip::SipHasher13;

use super::WHOLE;
use crate::route::Facts;

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

/// The 128-bit key of the cohort hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a service recognises its clients by; nothing means each request is drawn by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sticky {
    /// Tried in this order; the first one the request carries is the key.
    pub keys: Vec<StickyKey>,
}

/// One thing a client can be recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StickyKey {
    /// The value of a request header.
    Header(HeaderName),
    /// The value of a cookie that the service's own application sets.
    Cookie(String),
    /// The client's address: IPv4 as it is, IPv6 by its /64 network.
    ClientIp,
}

impl Sticky {
    /// The client's cohort in the service that `salt` names; none if the request carries no key.
    pub fn cohort(&self, facts: &Facts<'_>, secret: Secret, salt: &str) -> Option<Cohort> {
        self.hash(facts, secret, salt).map(Cohort::from_bits)
    }

    /// The 64 bits that a client hashes to under this salt; none if the request carries no key.
    pub fn hash(&self, facts: &Facts<'_>, secret: Secret, salt: &str) -> Option<u64> {
        self.keys.iter().find_map(|key| {
            let mut hasher = SipHasher13::new_with_key(&secret.0);
            hasher.write(salt.as_bytes());
            key.write(facts, &mut hasher).then(|| hasher.finish())
        })
    }
}

impl StickyKey {
    /// Feeds kind and value to the hasher; false if the request carries none.
    fn write(&self, facts: &Facts<'_>, hasher: &mut SipHasher13) -> bool {
        match self {
            StickyKey::Header(name) => {
                let Some(value) = facts.headers.get(name) else { return false };
                hasher.write(b"\0header\0");
                hasher.write(value.as_bytes());
            }
            StickyKey::Cookie(name) => {
                let Some(value) = cookie(facts, name) else { return false };
                hasher.write(b"\0cookie\0");
                hasher.write(value);
            }
            StickyKey::ClientIp => {
                hasher.write(b"\0ip\0");
                match facts.client.to_canonical() {
                    IpAddr::V4(v4) => hasher.write(&v4.octets()),
                    IpAddr::V6(v6) => hasher.write(&v6.octets()[..8]),
                }
            }
        }
        true
    }
}

/// The value of the first cookie of this name (RFC 6265 section 4.2.1).
fn cookie<'r>(facts: &Facts<'r>, name: &str) -> Option<&'r [u8]> {
    let lines = facts.headers.get_all(COOKIE).into_iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|&b| b == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        (!value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, Method};

    const SECRET: Secret = Secret([7; 16]);

    fn cohort_of(keys: &[StickyKey], headers: &HeaderMap, client: &str) -> Option<Cohort> {
        let facts = Facts {
            method: &Method::GET,
            host: "shop.test",
            path: "/",
            headers,
            client: client.parse().unwrap(),
        };
        Sticky { keys: keys.to_vec() }.cohort(&facts, SECRET, "shop")
    }

    #[test]
    fn the_first_key_present_decides() {
        let keys = [
            StickyKey::Header(HeaderName::from_static("x-user-id")),
            StickyKey::Cookie("sid".into()),
            StickyKey::ClientIp,
        ];
        let mut headers = HeaderMap::new();
        let by_ip = cohort_of(&keys, &headers, "192.0.2.1");
        headers.insert(COOKIE, "theme=dark; sid=abc".parse().unwrap());
        let by_cookie = cohort_of(&keys, &headers, "192.0.2.1");
        assert_eq!(by_cookie, cohort_of(&keys, &headers, "192.0.2.99"));
        headers.insert("x-user-id", "42".parse().unwrap());
        let by_header = cohort_of(&keys, &headers, "192.0.2.1");
        assert!(by_ip != by_cookie && by_cookie != by_header, "three keys, three cohorts");
    }

    #[test]
    fn nothing_to_go_by_is_no_cohort() {
        let keys = [StickyKey::Cookie("sid".into())];
        assert_eq!(cohort_of(&keys, &HeaderMap::new(), "192.0.2.1"), None);
    }

    #[test]
    fn an_ipv6_client_keeps_its_cohort_within_its_network() {
        let keys = [StickyKey::ClientIp];
        let none = HeaderMap::new();
        let one = cohort_of(&keys, &none, "2001:db8:1:2::1");
        assert_eq!(one, cohort_of(&keys, &none, "2001:db8:1:2:ffff::9"));
        assert_eq!(
            cohort_of(&keys, &none, "192.0.2.1"),
            cohort_of(&keys, &none, "::ffff:192.0.2.1")
        );
    }

    #[test]
    fn cohorts_spread_evenly() {
        let mut held = [0u32; 10];
        for user in 0..20_000 {
            let mut headers = HeaderMap::new();
            headers.insert("x-user-id", user.to_string().parse().unwrap());
            let keys = [StickyKey::Header(HeaderName::from_static("x-user-id"))];
            let cohort = cohort_of(&keys, &headers, "192.0.2.1").unwrap();
            held[usize::from(cohort.get()) / 1_000] += 1;
        }
        // Chi-square with 9 degrees of freedom: 27.9 is its 99.9 % point.
        let chi: f64 = held.iter().map(|&n| (f64::from(n) - 2_000.0).powi(2) / 2_000.0).sum();
        assert!(chi < 27.9, "{chi} {held:?}");
    }
}
