//! What a client is recognised by: a service's settings and request facts in, the key that its
//! cohort and its flags are hashed from out.

use std::net::IpAddr;

use http::header::{COOKIE, HeaderName};

use crate::route::Facts;

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

/// What one client is recognised by in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKey<'r> {
    /// The value of a request header.
    Header(&'r [u8]),
    /// The value of a cookie of the application's.
    Cookie(&'r [u8]),
    /// Its address.
    Address(IpAddr),
    /// A draw, for a request that carries no key: nobody is recognised by it again.
    Draw(u64),
}

impl Sticky {
    /// What the client is recognised by; none if the request carries no key.
    pub fn client<'r>(&self, facts: &Facts<'r>) -> Option<ClientKey<'r>> {
        self.keys.iter().find_map(|key| match key {
            StickyKey::Header(name) => {
                facts.headers.get(name).map(|value| ClientKey::Header(value.as_bytes()))
            }
            StickyKey::Cookie(name) => cookies(facts, name).next().map(ClientKey::Cookie),
            StickyKey::ClientIp => Some(ClientKey::Address(facts.client)),
        })
    }
}

/// The values of the cookies of this name that are not empty (RFC 6265 section 4.2.1).
fn cookies<'r>(facts: &Facts<'r>, name: &str) -> impl Iterator<Item = &'r [u8]> {
    let lines = facts.headers.get_all(COOKIE).into_iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|&b| b == b';'));
    pairs.filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        (!value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::{ClientHash, Cohort, Secret};
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
        let client = Sticky { keys: keys.to_vec() }.client(&facts)?;
        Some(ClientHash::of_cohorts(SECRET, "shop", 1).cohort(&client))
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
}
