//! Random requests: dice in, a request out, as it is asked about and as it is sent.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::Dice;
use crate::admin::wire;
use crate::http::admission::{RequestTarget, Upload};

const METHODS: [Method; 8] = [
    Method::GET,
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::POST,
    Method::PUT,
    Method::OPTIONS,
    Method::TRACE,
];

const HOSTS: [&str; 7] =
    ["a.test", "a.test", "b.test", "c.b.test", "d.c.b.test", "A.Test:8080", "other.test"];

const PATHS: [&str; 15] = [
    "/", "/", "/x", "/x", "/x/y", "/x/y/z", "/z", "/z", "/z/", "/%78", "//x", "/x%2fy", "/x;a/y",
    "/x/../y", "/%7A",
];

const QUERIES: [&str; 6] =
    ["", "", "?a=1", "?preview=green", "?preview=blue&a=1", "?a=1&preview=violet"];

const CLIENTS: [&str; 8] = [
    "192.0.2.1",
    "192.0.2.7",
    "192.0.2.8",
    "198.51.100.1",
    "10.0.0.1",
    "10.0.0.2",
    "10.9.0.1",
    "2001:db8::1",
];

/// Fields that a request may have beside its id, of each name one at most.
const FIELDS: [(usize, &str, &[&str]); 12] = [
    (2, "x-user", &["ann", "bob", "cid", "dan", "eve"]),
    (4, "x-pool", &["blue", "green", "black", "violet", ""]),
    (4, "x-beta", &["1", "2"]),
    (
        3,
        "cookie",
        &["session=1", "session=2; preview=blue", "preview=green", "preview=violet; session=1"],
    ),
    (6, "x-forwarded-for", &["10.0.0.7", "192.0.2.33, 10.9.0.4", "unknown", "198.51.100.9"]),
    (8, "x-forwarded-proto", &["https", "http"]),
    (20, "max-forwards", &["0", "1"]),
    (40, "expect", &["100-continue", "200-ok"]),
    (40, "x_odd", &["1"]),
    (60, "host", &["a b", "a.test:x", "A.TEST", ""]),
    (20, "x-feature-flags", &["dark"]),
    (20, "content-length", &["0", "70", "x", "5,5"]),
];

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The method.
    pub method: Method,
    is_https: bool,
    host: &'static str,
    /// What it asks for.
    pub target: String,
    /// Its id is the first of them.
    fields: Vec<(&'static str, String)>,
    /// Where it comes from.
    pub client: &'static str,
    /// Whether its body has yet to come.
    pub upload: Upload,
}

impl Asked {
    /// One with this id, by which nothing is decided.
    pub fn any(dice: &mut Dice, id: String) -> Asked {
        let method = METHODS[dice.below(METHODS.len())].clone();
        // What may not be passed on is told from the rest soon: it is to be seldom.
        let method = if method == Method::TRACE && !dice.one_in(4) { Method::GET } else { method };
        let target = format!("{}{}", dice.of(&PATHS), dice.of(&QUERIES));
        let mut fields = vec![("x-request-id", id)];
        for (one_in, name, values) in FIELDS {
            if dice.one_in(one_in) {
                fields.push((name, dice.of(values).to_string()));
            }
        }
        let mut upload = Upload::Done;
        if matches!(method, Method::POST | Method::PUT) {
            fields.retain(|(name, _)| *name != "content-length");
            match dice.below(4) {
                // It comes with its head.
                0 => fields.push(("content-length", dice.of(&["5", "70", "110", "150"]).into())),
                1 => {
                    fields.push(("transfer-encoding", "chunked".into()));
                    upload = Upload::ToCome;
                }
                _ => {}
            }
        }
        let (is_https, host) = (dice.one_in(4), dice.of(&HOSTS));
        Asked { method, is_https, host, target, fields, client: dice.of(&CLIENTS), upload }
    }

    /// The same once more, with this id.
    pub fn again(&self, id: String) -> Asked {
        let mut again = self.clone();
        again.fields[0].1 = id;
        again
    }

    /// The scheme of its connection.
    pub fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// As the admin API is asked about it.
    pub fn question(&self) -> wire::Explain {
        let field = |(name, value): &(&str, String)| wire::ExplainField {
            name: name.to_string(),
            value: value.clone(),
        };
        wire::Explain {
            url: format!("{}://{}{}", self.scheme(), self.host, self.target),
            method: Some(self.method.to_string()),
            fields: self.fields.iter().map(field).collect(),
            client: Some(self.client.into()),
            at: None,
        }
    }

    /// Its fields, as a lane reads them.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !self.fields.iter().any(|(name, _)| *name == "host") {
            headers.append("host", HeaderValue::from_static(self.host));
        }
        for (name, value) in &self.fields {
            let value = HeaderValue::from_str(value).expect("they are written here");
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    /// What it asks for, as a lane reads it.
    pub fn uri(&self) -> Uri {
        self.target.parse().expect("they are written here")
    }

    /// The same with its parts.
    pub fn read<'r>(&'r self, uri: &'r Uri) -> RequestTarget<'r> {
        RequestTarget::read(self.target.as_bytes(), uri)
    }
}
