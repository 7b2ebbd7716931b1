//! What routes do together that nobody can have meant: all of them in, warnings out.
//!
//! The most specific route wins, so that none can hide another altogether: two that could are refused as a
//! tie. But one may be asked for less than its reader thinks, and redirects may lead to each other.

use std::collections::HashSet;
use std::ops::Range;

use http::Method;

use super::actions::Encoded;
use super::route::ReadRoute;
use super::sample::{Sample, such_as};
use super::{Problem, Problems};
use crate::http::path::{hides_slashes, normal};
use crate::route::{HostPattern, Led, PathPattern, RouteTable};

/// Redirects that are followed from one request; browsers give up at about as many.
const MOST_STEPS: usize = 12;

/// Methods that a route without any is asked about.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// All routes, with the places where they stand.
pub(super) struct Together<'r> {
    pub routes: &'r [ReadRoute],
    pub places: &'r [Range<usize>],
    pub table: &'r RouteTable,
    /// Whether requests come by HTTPS, to us or to a proxy that says so.
    pub has_https: bool,
}

impl Together<'_> {
    /// Says what is odd about them.
    pub fn advise(&self, problems: &mut Problems) {
        let hosts: HashSet<&HostPattern> =
            self.routes.iter().flat_map(|read| &read.route.hosts).collect();
        for (place, read) in self.routes.iter().enumerate() {
            let mut warn = |message: String, help: &str| {
                let problem = Problem::error(self.places[place].clone(), message).warning();
                problems.0.push(problem.help(help));
            };
            if self.is_never_asked(read) {
                let message = format!("no request comes by route `{}`", read.route);
                warn(
                    message,
                    "dot segments, TRACE and CONNECT are refused before any route is looked for",
                );
                continue;
            }
            let (methods, samples) = (self.methods_taken(place), Sample::all_of(&read.route));
            if !methods.is_empty() {
                let methods = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                let message = format!("{methods} of route `{}` go by another one", read.route);
                warn(
                    message,
                    "methods go before header conditions: name both in one of the routes",
                );
            }
            if let Some(host) = self.host_without_list(place, &hosts) {
                let what = if has_auth(read) { "`auth`" } else { "list" };
                let path = &read.route.path;
                let message = format!("on `{host}` requests for `{path}` get past this {what}");
                warn(
                    message,
                    "hosts go before paths: name this host in the `hosts` of this route too",
                );
            }
            let is_guarded = samples
                .iter()
                .any(|sample| sample.find(self.table).is_some_and(|found| found.is_guarded));
            let passes =
                read.actions.as_ref().is_some_and(|actions| actions.encoded == Encoded::Pass);
            if passes && is_guarded {
                let message = format!("paths of route `{}` go on as they are spelled", read.route);
                warn(
                    message,
                    "an upstream that takes %2F for a slash may be led past a list or `auth` of this host",
                );
            }
            if let Some(way) = samples.iter().find_map(|sample| self.loops(place, sample)) {
                let message = format!("this redirect leads back to itself: {}", way.join(" → "));
                warn(
                    message,
                    "what is led from http to https on the same host is `redirect_to_https` of a listener",
                );
            }
        }
    }

    fn is_never_asked(&self, read: &ReadRoute) -> bool {
        let (PathPattern::Exact(path) | PathPattern::Prefix(path)) = &read.route.path;
        let has_dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
        let refused = [Method::TRACE, Method::CONNECT];
        let methods = &read.route.methods;
        let is_refused = !methods.is_empty() && methods.iter().all(|one| refused.contains(one));
        let is_hidden = || {
            let samples = Sample::all_of(&read.route);
            let found = samples.iter().filter_map(|sample| sample.find(self.table));
            let passes =
                read.actions.as_ref().is_some_and(|actions| actions.encoded == Encoded::Pass);
            !passes && found.into_iter().all(|found| found.is_guarded)
        };
        has_dots || is_refused || hides_slashes(path) && is_hidden()
    }

    /// Methods of requests with the fields that a route wants which go by a route that names methods.
    fn methods_taken(&self, place: usize) -> Vec<Method> {
        let route = &self.routes[place].route;
        if !route.methods.is_empty() || route.headers.is_empty() {
            return Vec::new();
        }
        let is_taken = |method: &Method| {
            Sample::all_of(route).into_iter().any(|sample| {
                let sample = Sample { method: method.clone(), ..sample };
                let found = sample.find(self.table);
                found.is_some_and(|found| {
                    found.place != place && !self.routes[found.place].route.methods.is_empty()
                })
            })
        };
        METHODS.into_iter().filter(is_taken).collect()
    }

    /// A host on which requests that a route's list or `auth` is about go by another one without.
    fn host_without_list(&self, place: usize, hosts: &HashSet<&HostPattern>) -> Option<String> {
        let route = &self.routes[place].route;
        let is_narrow = |host: &&HostPattern| matches!(host, HostPattern::Exact(_));
        if !route.is_guarded
            || !route.hosts.is_empty() && route.hosts.iter().all(|host| is_narrow(&host))
        {
            return None;
        }
        let sample = Sample::all_of(route).into_iter().next()?;
        let takes = |host: &str| {
            route.hosts.is_empty()
                || route.hosts.iter().any(|pattern| match pattern {
                    HostPattern::Exact(name) => name == host,
                    HostPattern::Below(name) => {
                        host.strip_suffix(&**name).is_some_and(|label| label.ends_with('.'))
                    }
                })
        };
        let mut names: Vec<String> =
            hosts.iter().map(|host| such_as(host)).filter(|host| takes(host)).collect();
        names.sort();
        names.into_iter().find(|host| {
            let found = Sample { host: host.clone(), ..sample.clone() }.find(self.table);
            found.is_some_and(|found| {
                let (own, other) = (&self.routes[place], &self.routes[found.place]);
                let lacks_auth = has_auth(own) && !has_auth(other);
                found.place != place && (lacks_auth || !other.route.is_guarded)
            })
        })
    }

    /// The places that a request is led to, if it is led there again and again.
    fn loops(&self, place: usize, sample: &Sample) -> Option<Vec<String>> {
        self.routes[place].actions.as_ref()?.redirect.as_ref()?;
        let (mut scheme, mut at) = ("http".to_string(), sample.clone());
        let mut way = vec![format!("{scheme}://{}{}", at.host, at.path)];
        while way.len() <= MOST_STEPS {
            let found = at.find(self.table)?;
            let read = &self.routes[found.place];
            let redirect = read.actions.as_ref()?.redirect.as_ref()?;
            let (PathPattern::Exact(prefix) | PathPattern::Prefix(prefix)) = &read.route.path;
            let led = redirect.place(&Led {
                scheme: &scheme,
                host: &at.host,
                path_and_query: &at.path,
                prefix,
            });
            let rest = match led.split_once("://") {
                Some((to, rest)) => {
                    if to == "https" && !self.has_https {
                        return None;
                    }
                    scheme = to.to_string();
                    let (host, path) =
                        rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                    let host = host.to_ascii_lowercase();
                    let usual = if to == "https" { ":443" } else { ":80" };
                    at.host = host.strip_suffix(usual).unwrap_or(&host).to_string();
                    if at.host.rsplit_once(':').is_some_and(|(name, _)| !name.contains(':')) {
                        // Another port is somebody else, as far as anybody knows.
                        return None;
                    }
                    path
                }
                None => &led,
            };
            let path = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
            at.path = if path.is_empty() { "/".into() } else { normal(path).into_owned() };
            let now = format!("{scheme}://{}{}", at.host, at.path);
            let is_again = way.contains(&now);
            way.push(now);
            if is_again {
                return Some(way);
            }
        }
        way.truncate(4);
        way.push("…".into());
        Some(way)
    }
}

/// Whether a route asks its clients for more than an address.
fn has_auth(read: &ReadRoute) -> bool {
    read.actions.as_ref().is_some_and(|actions| actions.auth.is_some())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// What is said of these routes before a service.
    fn said(before: &str, routes: &[&str]) -> Vec<String> {
        let route = |route: &&str| {
            let leads = ["redirect", "answer"].iter().any(|key| route.contains(key));
            let service = if leads { "" } else { "service = \"shop\"" };
            format!("[[routes]]\n{route}\n{service}\n")
        };
        let text = format!(
            "{before}\n[[listeners]]\naddress = \"127.0.0.1:0\"\n{}[[routes]]\nservice = \"shop\"\n\
             [services.shop.pools.only]\nupstreams = [\"a:1\"]\n",
            routes.iter().map(route).collect::<String>()
        );
        let (_, warnings) = Config::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
        warnings.0.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn nothing_is_said_of_what_is_as_it_looks() {
        let none: [&str; 0] = [];
        assert_eq!(
            said(
                "",
                &[
                    "hosts = [\"a.test\"]\nredirect = { to = \"https://b.test{path}\" }",
                    "hosts = [\"b.test\"]",
                    "hosts = [\"b.test\"]\npath_prefix = \"/admin\"\nallow = [\"10.0.0.0/8\"]",
                    "hosts = [\"b.test\"]\npath_prefix = \"/old\"\nredirect = { to = \"/new{rest}\" }",
                    "path_prefix = \"/x\"\nmethods = [\"GET\"]\nheaders = { x-a = \"1\" }",
                    "path_prefix = \"/x\"\nmethods = [\"GET\"]",
                    "path_prefix = \"/y%2Fz\"\nencoded = \"pass\"",
                    // Nobody says that HTTPS comes here, too.
                    "hosts = [\"c.test\"]\nredirect = { to = \"https://{host}{path}\" }",
                    "hosts = [\"d.test\"]\nredirect = { to = \"http://{host}:8080{path}\" }",
                ]
            ),
            none
        );
    }

    #[test]
    fn routes_that_are_asked_for_less_than_they_say_are_told() {
        for (routes, wanted) in [
            (&["path = \"/a/../b\""][..], &["no request comes by route `/a/../b`"][..]),
            (&["methods = [\"TRACE\"]"], &["no request comes by route `/*`"]),
            (
                &["path_prefix = \"/a%2fb\"", "path_prefix = \"/c\"\ndeny = [\"10.0.0.1\"]"],
                &["no request comes by route `/a%2Fb/*`"],
            ),
            (
                &["headers = { x-beta = \"1\" }", "methods = [\"GET\", \"PUT\"]"],
                &["GET, PUT of route `/*` go by another one"],
            ),
            (
                &["path_prefix = \"/admin\"\nallow = [\"10.0.0.0/8\"]", "hosts = [\"a.test\"]"],
                &["on `a.test` requests for `/admin/*` get past this list"],
            ),
            (
                &[
                    "path_prefix = \"/admin\"\nauth = { ask = \"http://127.0.0.1:1/\" }",
                    "hosts = [\"a.test\"]\ndeny = [\"10.0.0.1\"]",
                ],
                &["on `a.test` requests for `/admin/*` get past this `auth`"],
            ),
            (
                &[
                    "hosts = [\"*.test\"]\npath_prefix = \"/admin\"\nallow = [\"10.0.0.0/8\"]",
                    "hosts = [\"a.test\", \"b.other\"]",
                ],
                &["on `a.test` requests for `/admin/*` get past this list"],
            ),
            (
                &[
                    "encoded = \"pass\"\nhosts = [\"a.test\"]",
                    "deny = [\"10.0.0.1\"]\npath = \"/x\"",
                ],
                &[
                    "paths of route `a.test/*` go on as they are spelled",
                    "on `a.test` requests for `/x` get past this list",
                ],
            ),
        ] {
            assert_eq!(said("", routes), wanted, "{routes:?}");
        }
    }

    #[test]
    fn redirects_that_lead_to_themselves_are_told_with_their_way() {
        let trusts = "[server]\ntrusted_proxies = [\"10.0.0.0/8\"]";
        let said = |before: &str, routes: &[&str]| {
            let said = super::tests::said(before, routes);
            let lead = "this redirect leads back to itself: ";
            let ways = said.iter().map(|one| one.strip_prefix(lead).unwrap().to_string());
            ways.collect::<Vec<_>>()
        };
        let itself = ["hosts = [\"a.test\"]\nredirect = { to = \"http://a.test:80/\" }"];
        assert_eq!(said("", &itself), ["http://a.test/ → http://a.test/"]);
        let https = ["hosts = [\"a.test\"]\nredirect = { to = \"https://{host}{path}\" }"];
        let way = "http://a.test/ → https://a.test/ → https://a.test/";
        assert_eq!(said(trusts, &https), [way]);
        let two = [
            "path_prefix = \"/x\"\nredirect = { to = \"/y{rest}\" }",
            "path_prefix = \"/y\"\nredirect = { to = \"/x{rest}\" }",
        ];
        let at = "unnamed.invalid";
        let round = |a: &str, b: &str| {
            format!("http://{at}{a} → http://{at}{b}/ → http://{at}{a}/ → http://{at}{b}/")
        };
        assert_eq!(said("", &two), [round("/x", "/y"), round("/y", "/x")]);
        let grows = ["path_prefix = \"/a\"\nredirect = { to = \"/a/a{rest}\" }"];
        let said = said("", &grows);
        assert!(said[0].starts_with(&format!("http://{at}/a → http://{at}/a/a/ → ")), "{said:?}");
        assert!(said[0].ends_with(" → …"), "{said:?}");
    }
}
