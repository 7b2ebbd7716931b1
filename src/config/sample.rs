//! Requests such as a route asks for: a route in, requests that it is made for out.
//!
//! Who wants to know where a file leads asks its table with these, as a request would.

use http::{HeaderMap, HeaderValue, Method};

use crate::http::fields::Fields;
use crate::route::{Facts, Found, HostPattern, PathPattern, Route, RouteTable};

/// A host that no route names, and a label below any.
const UNNAMED: &str = "unnamed.invalid";
const LABEL: &str = "unnamed";

/// A request that a route is made for.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub method: Method,
    pub host: String,
    pub path: String,
    pub headers: HeaderMap,
}

impl Sample {
    /// One for each of a route's hosts.
    pub fn all_of(route: &Route) -> Vec<Sample> {
        let field = |condition: &crate::route::HeaderCondition| {
            let value = condition.value.as_deref().unwrap_or("x");
            Some((condition.name.clone(), HeaderValue::from_str(value).ok()?))
        };
        let sample = |host: String| Sample {
            method: route.methods.first().unwrap_or(&Method::GET).clone(),
            host,
            path: match &route.path {
                PathPattern::Prefix(path) if path.is_empty() => "/".into(),
                PathPattern::Exact(path) | PathPattern::Prefix(path) => path.clone(),
            },
            headers: route.headers.iter().filter_map(field).collect(),
        };
        match route.hosts.is_empty() {
            true => vec![sample(UNNAMED.into())],
            false => route.hosts.iter().map(such_as).map(sample).collect(),
        }
    }

    /// The route that it goes by.
    pub fn find(&self, table: &RouteTable) -> Option<Found> {
        table.find(&Facts {
            method: &self.method,
            host: &self.host,
            path: &self.path,
            fields: Fields::new(&self.headers),
            client: None,
            path_and_query: &self.path,
            tester: None,
            is_doubtful: false,
        })
    }
}

/// A host that a pattern takes.
pub(super) fn such_as(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Below(name) => format!("{LABEL}.{name}"),
    }
}
