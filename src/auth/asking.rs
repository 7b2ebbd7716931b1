//! A service that says who may come in: how it is asked as settings, one question as bytes, and what
//! follows from its answer.
//!
//! 2xx is in, and the fields named in `copy` go on to the upstream; 401, 403 and what leads elsewhere are the
//! client's to hear; whatever else is said, or nothing, lets nobody in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};

use crate::http::fields::FieldId;
use crate::http::hop_by_hop;
use crate::http::view::View;
use crate::upstream::{Address, DialAddress};

/// The longest answer that is taken, and the longest head of one, in bytes.
pub const LONGEST_ANSWER: usize = 64 * 1024;

/// How a service is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Where it is.
    pub address: Address,
    /// Whether by TLS.
    pub is_https: bool,
    /// What it is asked for in `Host`.
    pub authority: HeaderValue,
    /// Path and query.
    pub target: Box<str>,
    /// Fields of its answer that go on with the request.
    pub copy: Vec<HeaderName>,
    /// Fields of the request that it gets.
    pub send: Vec<HeaderName>,
    /// For all of it.
    pub timeout: Duration,
}

/// The same with where it is dialled now.
#[derive(Debug)]
pub struct Asked {
    /// How.
    pub ask: Arc<Ask>,
    /// Where; none while its name stands for nothing.
    pub targets: Arc<[DialAddress]>,
}

/// One question.
#[derive(Debug)]
pub struct Question {
    /// The head of the request; it has no body.
    pub head: Vec<u8>,
    /// Who is asked, the first that can be.
    pub targets: Arc<[DialAddress]>,
    /// Where to begin among them.
    pub from: usize,
    /// How long it may take.
    pub within: Duration,
}

/// What a service has said.
#[derive(Debug)]
pub struct Said {
    /// The status code.
    pub status: u16,
    /// All fields.
    pub fields: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

/// What follows from it.
#[derive(Debug)]
pub enum Word {
    /// It may come in, with these fields.
    In(Vec<(HeaderName, HeaderValue)>),
    /// It may not, and is told this.
    Out(Said),
    /// Nothing that could be understood.
    Nothing,
}

impl Ask {
    /// What follows from an answer.
    pub fn judge(&self, said: Said) -> Word {
        match said.status {
            200..=299 => {
                let of = |name: &HeaderName| {
                    let values: Vec<_> = said.fields.get_all(name).iter().cloned().collect();
                    values.into_iter().map(|value| (name.clone(), value)).collect::<Vec<_>>()
                };
                Word::In(self.copy.iter().flat_map(of).collect())
            }
            // The other 3xx speak of the page that was asked for: a 304 has a client show what it had kept.
            301 | 302 | 303 | 307 | 308 | 401 | 403 => Word::Out(self.for_clients(said)),
            _ => Word::Nothing,
        }
    }

    /// An answer as a client gets it: without what is of its connection, what is meant for the upstream and
    /// what only we say. One that does not say for how long it holds holds once.
    fn for_clients(&self, mut said: Said) -> Said {
        let view = View::Map(&said.fields);
        let gone = hop_by_hop::of_response(view, view.known(), false);
        let framing = [CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];
        let ours = [FieldId::Connection, FieldId::RequestId].map(|id| id.name().clone());
        for name in gone.into_iter().chain(framing).chain(ours).chain(self.copy.iter().cloned()) {
            said.fields.remove(name);
        }
        let of_ours = said.fields.keys().filter(|name| name.as_str().starts_with("x-pointsman-"));
        let of_ours: Vec<HeaderName> = of_ours.cloned().collect();
        of_ours.into_iter().for_each(|name| drop(said.fields.remove(name)));
        let once = HeaderValue::from_static("no-store");
        said.fields.entry(CACHE_CONTROL).or_insert(once);
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask() -> Ask {
        Ask {
            address: "127.0.0.1:4180".parse().unwrap(),
            is_https: false,
            authority: HeaderValue::from_static("127.0.0.1:4180"),
            target: "/auth".into(),
            copy: vec![HeaderName::from_static("x-user"), HeaderName::from_static("x-groups")],
            send: Vec::new(),
            timeout: Duration::from_secs(1),
        }
    }

    fn said(status: u16, fields: &[(&'static str, &'static str)]) -> Said {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        Said { status, fields: map, body: Bytes::from_static(b"body") }
    }

    #[test]
    fn who_is_in_goes_on_with_what_was_named_and_nothing_else() {
        let fields = [("x-user", "ann"), ("x-groups", "a"), ("x-groups", "b"), ("x-other", "c")];
        for status in [200, 202, 204, 299] {
            let Word::In(copied) = ask().judge(said(status, &fields)) else { panic!("{status}") };
            let shown: Vec<_> =
                copied.iter().map(|(n, v)| format!("{n}={}", v.to_str().unwrap())).collect();
            assert_eq!(shown, ["x-user=ann", "x-groups=a", "x-groups=b"]);
        }
        let Word::In(copied) = ask().judge(said(200, &[])) else { panic!() };
        assert!(copied.is_empty());
    }

    #[test]
    fn who_is_not_is_told_why_and_anything_else_is_no_word() {
        for status in [301, 302, 303, 307, 308, 401, 403] {
            let all = [
                ("location", "/login"),
                ("set-cookie", "a=b"),
                ("set-cookie", "c=d"),
                ("www-authenticate", "Bearer"),
                ("x-user", "ann"),
                ("x-pointsman-pool", "green"),
                ("x-request-id", "its"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("keep-alive", "5"),
                ("content-length", "4"),
                ("content-type", "text/html"),
            ];
            let Word::Out(told) = ask().judge(said(status, &all)) else { panic!("{status}") };
            let mut names: Vec<_> = told.fields.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            let wanted = [
                "cache-control",
                "content-type",
                "location",
                "set-cookie",
                "set-cookie",
                "www-authenticate",
            ];
            assert_eq!((told.status, names), (status, wanted.to_vec()));
            assert_eq!(
                (&*told.body, told.fields[CACHE_CONTROL].as_bytes()),
                (&b"body"[..], &b"no-store"[..])
            );
        }
        let Word::Out(told) = ask().judge(said(302, &[("cache-control", "private")])) else {
            panic!()
        };
        assert_eq!(told.fields[CACHE_CONTROL], "private");
        let others_of_3xx = [300, 304, 305, 306, 309, 399];
        let others = [100, 101, 199, 400, 402, 404, 429, 500, 502, 503, 600, 999];
        for status in others_of_3xx.into_iter().chain(others) {
            let word = ask().judge(said(status, &[("x-user", "ann")]));
            assert!(matches!(word, Word::Nothing), "{status}");
        }
    }
}
