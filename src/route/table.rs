//! All routes, laid out for one look-up per request: facts in, a service's place and which of its
//! routes leads there out.
//!
//! Hosts are hashed; below each host lies a tree of path segments, walked from the root and left
//! at the first segment that no route names. The walk therefore costs as much as the deepest
//! route, however long a path a client sends. Keys come from the config only, so a fast unkeyed
//! hash is safe here: clients can look up, never insert.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use http::Method;
use smallvec::SmallVec;

use super::{Facts, HeaderCondition, HostPattern, PathPattern, Route};

/// All routes of a config.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: HashMap<Box<str>, Tree, FixedState>,
    below: HashMap<Box<str>, Tree, FixedState>,
    any: Tree,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The place of the service in the config's list; none if the route answers itself.
    pub service: Option<usize>,
    /// Which of the routes to this service, counted from 0 in the file's order.
    pub nth: usize,
    /// The route's place in the config's list.
    pub place: usize,
    /// Whether some route that a request for this host may meet does not let everybody in.
    pub is_guarded: bool,
}

/// Two routes, by their place in the list, that one request could match with equal right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// The one that came first.
    pub first: usize,
    /// The one that came later.
    pub second: usize,
}

/// The segments below one host. Node 0 is the root.
#[derive(Debug)]
struct Tree {
    nodes: Vec<Node>,
    /// Whether one of its routes, or of those that are looked for when none of its matches, does not let
    /// everybody in.
    is_guarded: bool,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, u32, FixedState>,
    prefix: Vec<Candidate>,
    exact: Vec<Candidate>,
}

/// A route as it stands at one node, the most specific first.
#[derive(Debug)]
struct Candidate {
    route: usize,
    found: Found,
    methods: Vec<Method>,
    headers: Vec<HeaderCondition>,
}

impl RouteTable {
    /// Lays the routes out. All ties are reported, each pair once.
    pub fn build<'r>(routes: impl IntoIterator<Item = &'r Route>) -> Result<RouteTable, Vec<Tie>> {
        let mut table = RouteTable::default();
        let mut ties = Vec::new();
        let mut counts: HashMap<Option<usize>, usize> = HashMap::new();
        for (place, route) in routes.into_iter().enumerate() {
            let nth = counts.entry(route.service).or_default();
            let found = Found { service: route.service, nth: *nth, place, is_guarded: false };
            *nth += 1;
            let mut insert = |tree: &mut Tree| ties.extend(tree.insert(place, route, found));
            if route.hosts.is_empty() {
                insert(&mut table.any);
            }
            for host in &route.hosts {
                match host {
                    HostPattern::Exact(name) => {
                        insert(table.exact.entry(name.as_str().into()).or_default())
                    }
                    HostPattern::Below(name) => {
                        insert(table.below.entry(name.as_str().into()).or_default())
                    }
                }
            }
        }
        table.guard();
        ties.sort_by_key(|tie| (tie.second, tie.first));
        ties.dedup();
        if ties.is_empty() { Ok(table) } else { Err(ties) }
    }

    /// Tells the trees of hosts what those guard that are looked at after them.
    fn guard(&mut self) {
        let below: Vec<Box<str>> = self
            .below
            .iter()
            .filter(|(_, tree)| tree.is_guarded)
            .map(|(name, _)| name.clone())
            .collect();
        let any = self.any.is_guarded;
        let is_below = |host: &str| {
            let parents = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
            any || parents.into_iter().any(|parent| below.iter().any(|name| **name == *parent))
        };
        for (host, tree) in self.exact.iter_mut().chain(&mut self.below) {
            tree.is_guarded |= is_below(host);
        }
    }

    /// Where the most specific matching route leads.
    pub fn find(&self, facts: &Facts<'_>) -> Option<Found> {
        let mut is_guarded = false;
        let mut within = |tree: &Tree| {
            is_guarded |= tree.is_guarded;
            Some(Found { is_guarded, ..tree.find(facts)? })
        };
        if let Some(found) = self.exact.get(facts.host).and_then(&mut within) {
            return Some(found);
        }
        if !self.below.is_empty() {
            let mut rest = facts.host;
            while let Some((_, parent)) = rest.split_once('.') {
                if let Some(found) = self.below.get(parent).and_then(&mut within) {
                    return Some(found);
                }
                rest = parent;
            }
        }
        within(&self.any)
    }
}

impl Default for Tree {
    fn default() -> Self {
        Tree { nodes: vec![Node::default()], is_guarded: false }
    }
}

impl Tree {
    /// Adds a route; answers with the routes already there that tie with it.
    fn insert(&mut self, place: usize, route: &Route, found: Found) -> Vec<Tie> {
        let (path, is_exact) = match &route.path {
            PathPattern::Exact(path) => (path, true),
            PathPattern::Prefix(path) => (path, false),
        };
        self.is_guarded |= route.is_guarded;
        let mut at = 0;
        for segment in path.split('/').skip(1) {
            at = match self.nodes[at].children.get(segment) {
                Some(&child) => child as usize,
                None => {
                    let child = self.nodes.len();
                    self.nodes[at].children.insert(segment.into(), child as u32);
                    self.nodes.push(Node::default());
                    child
                }
            };
        }
        let node = &mut self.nodes[at];
        let here = if is_exact { &mut node.exact } else { &mut node.prefix };
        let candidate = Candidate {
            route: place,
            found,
            methods: route.methods.clone(),
            headers: route.headers.clone(),
        };
        let tied = here.iter().filter(|other| other.route != place && other.ties(&candidate));
        let ties = tied.map(|other| Tie { first: other.route, second: place }).collect();
        let after = here.partition_point(|other| other.rank() >= candidate.rank());
        here.insert(after, candidate);
        ties
    }

    fn find(&self, facts: &Facts<'_>) -> Option<Found> {
        let mut visited: SmallVec<[&Node; 8]> = SmallVec::new();
        let mut node = &self.nodes[0];
        let admitting = |here: &[Candidate]| {
            here.iter().find(|candidate| candidate.admits(facts)).map(|candidate| candidate.found)
        };
        // All that the host has is for any path: then no path is taken apart.
        if node.children.is_empty() && facts.path.starts_with('/') {
            return admitting(&node.prefix);
        }
        visited.push(node);
        let mut segments = facts.path.split('/').skip(1);
        let whole_path_named = loop {
            let Some(segment) = segments.next() else { break true };
            if segment.is_empty() && segments.clone().next().is_some() {
                // Slashes in a row are one. The one at the end of a path is a segment.
                continue;
            }
            let Some(&child) = node.children.get(segment) else { break false };
            node = &self.nodes[child as usize];
            visited.push(node);
        };
        if whole_path_named && let Some(found) = admitting(&node.exact) {
            return Some(found);
        }
        visited.iter().rev().find_map(|node| admitting(&node.prefix))
    }
}

impl Candidate {
    /// What is more specific at one node compares greater.
    fn rank(&self) -> (bool, usize) {
        (!self.methods.is_empty(), self.headers.len())
    }

    fn admits(&self, facts: &Facts<'_>) -> bool {
        (self.methods.is_empty() || self.methods.contains(facts.method))
            && self.headers.iter().all(|condition| condition.admits(&facts.fields))
    }

    /// Whether some request could match both with equal right. A header may be sent several
    /// times, so two conditions on one field never rule each other out.
    fn ties(&self, other: &Candidate) -> bool {
        self.rank() == other.rank()
            && (self.methods.is_empty() || self.methods.iter().any(|m| other.methods.contains(m)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fields::Fields;
    use http::HeaderMap;
    use http::header::HeaderName;
    use proptest::prelude::*;

    fn route(hosts: &[&str], path: PathPattern, service: usize) -> Route {
        let hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
        let (methods, headers, is_guarded) = (vec![], vec![], false);
        Route { hosts, path, methods, headers, service: Some(service), is_guarded }
    }

    fn prefix(path: &str) -> PathPattern {
        PathPattern::prefix(path).unwrap()
    }

    fn find(routes: &[Route], host: &str, path: &str) -> Option<usize> {
        let headers = HeaderMap::new();
        let client = Some([192, 0, 2, 1].into());
        let facts = Facts {
            path_and_query: "",
            tester: None,
            is_doubtful: false,
            method: &Method::GET,
            host,
            path,
            fields: Fields::new(&headers),
            client,
        };
        RouteTable::build(routes).unwrap().find(&facts).and_then(|found| found.service)
    }

    #[test]
    fn the_most_specific_host_wins() {
        let routes = [
            route(&[], prefix("/"), 0),
            route(&["*.test"], prefix("/"), 1),
            route(&["*.shop.test"], prefix("/"), 2),
            route(&["eu.shop.test"], prefix("/"), 3),
        ];
        assert_eq!(find(&routes, "eu.shop.test", "/"), Some(3));
        assert_eq!(find(&routes, "a.b.shop.test", "/"), Some(2));
        assert_eq!(find(&routes, "shop.test", "/"), Some(1));
        assert_eq!(find(&routes, "test", "/"), Some(0));
    }

    #[test]
    fn a_host_whose_paths_do_not_match_falls_back_to_the_next_best() {
        let routes = [route(&["shop.test"], prefix("/api"), 0), route(&["*.test"], prefix("/"), 1)];
        assert_eq!(find(&routes, "shop.test", "/api/v1"), Some(0));
        assert_eq!(find(&routes, "shop.test", "/other"), Some(1));
        assert_eq!(find(&routes, "else.example", "/"), None);
    }

    #[test]
    fn prefixes_end_at_segments_and_exact_paths_beat_them() {
        let routes = [
            route(&[], prefix("/"), 0),
            route(&[], prefix("/api/"), 1),
            route(&[], PathPattern::exact("/api/v1").unwrap(), 2),
        ];
        assert_eq!(find(&routes, "", "/apis"), Some(0));
        assert_eq!(find(&routes, "", "/api"), Some(1));
        assert_eq!(find(&routes, "", "/api/"), Some(1));
        assert_eq!(find(&routes, "", "/api/v1"), Some(2));
        assert_eq!(find(&routes, "", "/api/v1/"), Some(1));
    }

    #[test]
    fn routes_are_counted_within_their_service() {
        let routes = [("/a", 0), ("/b", 1), ("/c", 0)]
            .map(|(path, service)| route(&[], prefix(path), service));
        let table = RouteTable::build(&routes).unwrap();
        let headers = HeaderMap::new();
        let nth = |path| {
            let client = Some([192, 0, 2, 1].into());
            table.find(&Facts {
                path_and_query: "",
                tester: None,
                is_doubtful: false,
                method: &Method::GET,
                host: "",
                path,
                fields: Fields::new(&headers),
                client,
            })
        };
        let found = |service, nth, place| {
            Some(Found { service: Some(service), nth, place, is_guarded: false })
        };
        assert_eq!(nth("/b"), found(1, 0, 1));
        assert_eq!(nth("/c"), found(0, 1, 2));
    }

    #[test]
    fn methods_and_headers_narrow_a_path() {
        let mut post = route(&[], prefix("/"), 1);
        post.methods = vec![Method::POST];
        let mut beta = route(&[], prefix("/"), 2);
        let name = HeaderName::from_static("x-beta");
        beta.headers = vec![HeaderCondition { name: name.clone(), value: Some("1".into()) }];
        let table = RouteTable::build(&[route(&[], prefix("/"), 0), post, beta]).unwrap();
        let found = |method: Method, beta: &str| {
            let headers = HeaderMap::from_iter([(name.clone(), beta.parse().unwrap())]);
            let client = Some([192, 0, 2, 1].into());
            let facts = Facts {
                path_and_query: "",
                tester: None,
                is_doubtful: false,
                method: &method,
                host: "",
                path: "/",
                fields: Fields::new(&headers),
                client,
            };
            table.find(&facts).and_then(|found| found.service)
        };
        assert_eq!(found(Method::GET, "0"), Some(0));
        assert_eq!(found(Method::GET, "1"), Some(2));
        assert_eq!(found(Method::POST, "1"), Some(1));
    }

    #[test]
    fn equal_claims_tie() {
        let two = [route(&["a.test"], prefix("/x"), 0), route(&["a.test"], prefix("/x/"), 1)];
        assert_eq!(RouteTable::build(&two).unwrap_err(), [Tie { first: 0, second: 1 }]);
        let mut post = two.clone();
        post[0].methods = vec![Method::POST];
        post[1].methods = vec![Method::GET, Method::PUT];
        assert!(RouteTable::build(&post).is_ok(), "no request has both methods");
        post[1].methods.push(Method::POST);
        assert_eq!(RouteTable::build(&post).unwrap_err(), [Tie { first: 0, second: 1 }]);
    }

    #[test]
    fn slashes_in_a_row_are_one_and_the_last_is_a_segment() {
        let exact = |path| PathPattern::exact(path).unwrap();
        let routes = [
            route(&[], prefix("/"), 0),
            route(&[], prefix("/api"), 1),
            route(&[], exact("/api/x/"), 2),
        ];
        for (path, service) in [
            ("//", 0),
            ("//api", 1),
            ("/api//x", 1),
            ("/api//x//", 2),
            ("//api/x/", 2),
            ("/api/x//y", 1),
        ] {
            assert_eq!(find(&routes, "", path), Some(service), "{path}");
        }
    }

    #[test]
    fn a_host_is_guarded_if_any_route_that_it_may_meet_is() {
        let guarded = |hosts: &[&str]| {
            let lists = Route { is_guarded: true, ..route(hosts, prefix("/admin"), 1) };
            let plain =
                ["a.b.test", "*.b.test", "c.test"].map(|host| route(&[host], prefix("/"), 0));
            let table = RouteTable::build(plain.iter().chain([&lists])).unwrap();
            ["a.b.test", "x.b.test", "c.test"].map(|host| {
                let headers = HeaderMap::new();
                let fields = Fields::new(&headers);
                let facts = Facts {
                    path_and_query: "",
                    tester: None,
                    is_doubtful: false,
                    method: &Method::GET,
                    host,
                    path: "/",
                    fields,
                    client: None,
                };
                table.find(&facts).unwrap().is_guarded
            })
        };
        assert_eq!(guarded(&["c.test"]), [false, false, true]);
        assert_eq!(guarded(&["*.b.test"]), [true, true, false]);
        assert_eq!(guarded(&["a.b.test"]), [true, false, false]);
        assert_eq!(guarded(&["*.test"]), [true, true, true]);
        assert_eq!(guarded(&[]), [true, true, true]);
    }

    /// The definition, word by word: of all that match, the most specific.
    fn by_definition(routes: &[Route], facts: &Facts<'_>) -> Option<usize> {
        let mut matching = Vec::new();
        for route in routes {
            let any_host = [None];
            let named: Vec<_> = route.hosts.iter().map(Some).collect();
            for host in if named.is_empty() { &any_host[..] } else { &named[..] } {
                let host_rank = match host {
                    None => (0, 0),
                    Some(HostPattern::Exact(name)) if name == facts.host => (2, name.len()),
                    Some(HostPattern::Below(name)) if facts.host.ends_with(&format!(".{name}")) => {
                        (1, name.len())
                    }
                    Some(_) => continue,
                };
                let path_rank = match &route.path {
                    PathPattern::Exact(path) if path == facts.path => (1, path.len()),
                    PathPattern::Prefix(path)
                        if facts.path == path || facts.path.starts_with(&format!("{path}/")) =>
                    {
                        (0, path.len())
                    }
                    _ => continue,
                };
                if !route.methods.is_empty() && !route.methods.contains(facts.method) {
                    continue;
                }
                matching.push((host_rank, path_rank, !route.methods.is_empty(), route.service));
            }
        }
        matching.into_iter().max().and_then(|(.., service)| service)
    }

    fn any_route() -> impl Strategy<Value = Route> {
        let hosts = ["a.test", "b.a.test", "*.test", "*.a.test"];
        let paths = ["/", "/x", "/x/y", "/x/y/z", "/x/"];
        let host = proptest::sample::subsequence(hosts.to_vec(), 0..3);
        let methods = proptest::sample::subsequence(vec![Method::GET, Method::POST], 0..2);
        (host, proptest::sample::select(paths.to_vec()), any::<bool>(), methods).prop_map(
            |(hosts, path, exact, methods)| {
                let make = if exact { PathPattern::exact } else { PathPattern::prefix };
                Route { methods, ..route(&hosts, make(path).unwrap(), 0) }
            },
        )
    }

    proptest! {
           #[test]
           fn the_table_finds_what_the_definition_says(
               mut routes in proptest::collection::vec(any_route(), 1..12),
               host in proptest::sample::select(vec!["a.test", "b.a.test", "c.b.a.test", "test", ""]),
               path in proptest::sample::select(vec!["/", "/x", "/x/", "/x/y", "/x/y/q", "/xy", "*"]),
               method in proptest::sample::select(vec![Method::GET, Method::POST]),
           ) {
               for (place, route) in routes.iter_mut().enumerate() {
                   route.service = Some(place);
               }
               // Drop what ties: the definition has no answer there.
               while let Err(ties) = RouteTable::build(&routes) {
                   routes.remove(ties[0].second);
                   for (place, route) in routes.iter_mut().enumerate() {
                       route.service = Some(place);
                   }
               }
               let headers = HeaderMap::new();
               let client = Some([192, 0, 2, 1].into());
               let facts = Facts { path_and_query: "", tester: None,
    is_doubtful: false, method: &method, host, path, fields: Fields::new(&headers), client };
               let table = RouteTable::build(&routes).unwrap();
               // `*` is no path: only the routes that take everything see it.
               if path != "*" {
                   let found = table.find(&facts).and_then(|found| found.service);
                   prop_assert_eq!(found, by_definition(&routes, &facts));
               }
           }
       }
}
