//! What a client is recognised by: a service's settings and request facts in, the key that its
//! cohort and its flags are hashed from out.

use std::net::IpAddr;

use http::header::HeaderName;

use super::{CookieId, Signer};
use crate::http::cookies;
use crate::http::fields::FieldId;
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
    /// The value of a cookie of this name that we set ourselves.
    OwnCookie(String),
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
    /// The id in our own cookie.
    OwnCookie(CookieId),
    /// Its address.
    Address(IpAddr),
    /// A draw, for a request that carries no key: nobody is recognised by it again.
    Draw(u64),
}

/// Whether a client is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised<'r> {
    /// By this.
    By(ClientKey<'r>),
    /// It is not, and is to be given a cookie.
    New,
    /// It is not.
    Not,
}

impl Sticky {
    /// What the client is recognised by.
    pub fn recognise<'r>(&self, facts: &Facts<'r>, signer: &Signer) -> Recognised<'r> {
        for key in &self.keys {
            let found = match key {
                StickyKey::Header(name) => facts.fields.view.first(name).map(ClientKey::Header),
                // Many requests have none, which costs less to see than to look for one.
                StickyKey::Cookie(_) if !facts.fields.has(FieldId::Cookie) => None,
                StickyKey::Cookie(name) => {
                    cookies::named(&facts.fields, name).next().map(ClientKey::Cookie)
                }
                StickyKey::OwnCookie(name) => {
                    // A forged one beside ours must not hide it.
                    match cookies::named(&facts.fields, name).find_map(|value| signer.read(value)) {
                        Some(id) => Some(ClientKey::OwnCookie(id)),
                        None => return Recognised::New,
                    }
                }
                StickyKey::ClientIp => facts.client.map(ClientKey::Address),
            };
            if let Some(client) = found {
                return Recognised::By(client);
            }
        }
        Recognised::Not
    }

    /// The name of the cookie that we set, if we do.
    pub fn own_cookie(&self) -> Option<&str> {
        self.keys.iter().find_map(|key| match key {
            StickyKey::OwnCookie(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

impl<'r> Recognised<'r> {
    /// What it is recognised by.
    pub fn client(self) -> Option<ClientKey<'r>> {
        match self {
            Recognised::By(client) => Some(client),
            Recognised::New | Recognised::Not => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fields::Fields;
    use crate::split::{ClientHash, Cohort, Secret};
    use http::header::COOKIE;
    use http::{HeaderMap, Method};

    const SECRET: Secret = Secret([7; 16]);

    fn cohort_of(keys: &[StickyKey], headers: &HeaderMap, client: &str) -> Option<Cohort> {
        let facts = Facts {
            path_and_query: "",
            tester: None,
            is_doubtful: false,
            method: &Method::GET,
            host: "shop.test",
            path: "/",
            fields: Fields::new(headers),
            client: client.parse().ok(),
        };
        let signer = Signer::of(SECRET);
        let client = Sticky { keys: keys.to_vec() }.recognise(&facts, &signer).client()?;
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
    fn our_own_cookie_is_found_among_forged_ones_and_its_lack_makes_a_newcomer() {
        let signer = Signer::of(SECRET);
        let id = CookieId::draw(&mut crate::clock::Draws::seeded(1));
        let ours = signer.set_cookie("own", &id, false).unwrap();
        let ours = ours.to_str().unwrap().split(';').next().unwrap();
        let keys = [StickyKey::Cookie("sid".into()), StickyKey::OwnCookie("own".into())];
        let sticky = Sticky { keys: [&keys[..], &[StickyKey::ClientIp]].concat() };
        let recognised = |cookie: &str| {
            let headers = HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())]);
            let client = Some([192, 0, 2, 1].into());
            let facts = Facts {
                path_and_query: "",
                tester: None,
                is_doubtful: false,
                method: &Method::GET,
                host: "",
                path: "/",
                fields: Fields::new(&headers),
                client,
            };
            match sticky.recognise(&facts, &signer) {
                Recognised::By(ClientKey::Cookie(_)) => "by the application's",
                Recognised::By(ClientKey::OwnCookie(found)) if found == id => "by ours",
                Recognised::New => "new",
                _ => "otherwise",
            }
        };
        assert_eq!(recognised("a=b"), "new");
        assert_eq!(recognised("own=forged"), "new");
        assert_eq!(recognised(&format!("own=forged; {ours}")), "by ours");
        assert_eq!(recognised(&format!("{ours}; sid=1")), "by the application's");
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
