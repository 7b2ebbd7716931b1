//! Which service a request belongs to: request facts in, the place of a service out; and what else a
//! route does with a request: `template.rs`, `redirect.rs`, `rewrite.rs`, `access.rs`, `fields.rs`.
//!
//! Of all routes that match a request, the most specific wins, compared in this order: the host
//! (exact, then the longest wildcard, then none), the path (exact, then the longest prefix), a
//! list of methods over none, more header conditions over fewer. Two routes that could both match
//! one request and are equally specific tie, and a table with a tie is never built.

mod host;
mod path;
mod table;
mod template;
mod redirect;
mod rewrite;
mod access;
mod fields;

use std::net::IpAddr;

use http::Method;
use http::header::HeaderName;

use crate::http::fields::Fields;

pub use access::Access;
pub use fields::{FieldChange, FieldRule, FieldRules};
pub use host::{HostError, HostPattern};
pub use path::{PathError, PathPattern};
pub use redirect::{Led, Redirect, RedirectError};
pub use rewrite::Rewrite;
pub use table::{Found, RouteTable, Tie};
pub use template::{Template, TemplateError, Variable};

/// What routing and splitting look at in a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'r> {
    /// The method.
    pub method: &'r Method,
    /// The host asked for, in lower case, without a port; empty if an HTTP/1.0 client sent none.
    pub host: &'r str,
    /// The path without the query, in its normal form but for slashes in a row; begins with `/`, or is
    /// `*`.
    pub path: &'r str,
    /// All fields.
    pub fields: Fields<'r>,
    /// The client's own address, looked up through trusted proxies; none if nobody knows one.
    pub client: Option<IpAddr>,
    /// Whether that is only the last address that is known on the way, as a trusted proxy has written
    /// something else in place of the client's.
    pub is_doubtful: bool,
    /// What was asked for, with the query, as it was spelled.
    pub path_and_query: &'r str,
    /// Which pool it asks for, where its route says who may do that.
    pub tester: Option<Tester<'r>>,
}

/// What is known of who may name a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tester<'r> {
    /// The name of a pool that the request asks for and may ask for.
    pub pool: Option<&'r [u8]>,
    /// Whether not everybody may, so that it is known who does.
    pub is_known: bool,
}

/// A match that leads to one service, or to an answer of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Any of these hosts; none means any host.
    pub hosts: Vec<HostPattern>,
    /// The path or what it begins with.
    pub path: PathPattern,
    /// Any of these methods; none means any method.
    pub methods: Vec<Method>,
    /// All of these conditions.
    pub headers: Vec<HeaderCondition>,
    /// The place of the service in the config's list; none if the route answers itself.
    pub service: Option<usize>,
    /// Whether it does not let everybody in, so that of its hosts no path may be read in two ways.
    pub is_guarded: bool,
}

impl std::fmt::Display for Route {
    /// As people know it: its first host and its path.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(host) = self.hosts.first() {
            write!(f, "{host}")?;
        }
        self.path.fmt(f)
    }
}

/// A header field a request must carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderCondition {
    /// The field.
    pub name: HeaderName,
    /// The value one of its lines must have, compared byte by byte; none means any value.
    pub value: Option<String>,
}

impl HeaderCondition {
    fn admits(&self, fields: &Fields<'_>) -> bool {
        match &self.value {
            None => fields.view.has(&self.name),
            Some(value) => fields.view.all(&self.name).any(|line| line == value.as_bytes()),
        }
    }
}
