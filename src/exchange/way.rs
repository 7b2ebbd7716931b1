//! What a route makes of a request before anything is done with it: its route and its facts in; whether it
//! is let in, where it is led, what its upstream is asked for and how long its body may be, out.
//!
//! All of it only reads, so that a request and whoever asks what would become of one (`explaining.rs`) are
//! told by the same functions.

use std::sync::Arc;

use http::HeaderValue;

use super::Incoming;
use crate::auth::Rule;
use crate::config::{Actions, Encoded};
use crate::http::failure::{BadRequest, Cause};
use crate::http::fields::FieldId;
use crate::http::forwarded;
use crate::http::grpc;
use crate::http::path::{hides_slashes, in_one_spelling, without_parameters};
use crate::http::view::text;
use crate::route::{Facts, Found, Led, PathPattern, Redirect};
use crate::snapshot::{Service, Snapshot};

/// A route as requests that come by it are treated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'s> {
    /// What it does beside leading to a service.
    pub actions: Option<&'s Arc<Actions>>,
    /// Whether a path that can be read in two ways is refused.
    in_one_way: bool,
    /// Whether the upstream is asked for the path in one spelling.
    is_normal: bool,
}

impl<'s> Way<'s> {
    /// Of this route.
    pub fn of(snapshot: &'s Snapshot, found: &Found) -> Way<'s> {
        let actions = snapshot.actions(found);
        let passes = actions.is_some_and(|actions| actions.encoded == Encoded::Pass);
        let in_one_way = found.is_guarded && !passes;
        let of_service = found.service.is_some_and(|at| snapshot.services[at].has_normal_paths);
        Way { actions, in_one_way, is_normal: in_one_way || of_service && !passes }
    }

    /// Whether it only leads to a service.
    pub fn is_plain(&self) -> bool {
        self.actions.is_none() && !self.is_normal
    }

    /// Why it does not let this request in, if it does not.
    pub fn bar(
        &self,
        snapshot: &Snapshot,
        incoming: &Incoming<'_>,
        found: &Found,
    ) -> Option<Cause> {
        if self.in_one_way && self.is_read_in_two_ways(snapshot, incoming, found) {
            return Some(BadRequest::EncodedPath.into());
        }
        // Whom a trusted proxy does not name is nobody that is known.
        let client = incoming.client.filter(|_| !incoming.is_doubtful);
        let is_denied = self.actions.is_some_and(|actions| !actions.access.admits(client));
        is_denied.then_some(Cause::Denied)
    }

    /// Whether who looks at the path in another way would say that another route is meant, or, where a
    /// service is asked, another place: within one route that may say yes to one and no to the other.
    fn is_read_in_two_ways(
        &self,
        snapshot: &Snapshot,
        incoming: &Incoming<'_>,
        found: &Found,
    ) -> bool {
        if hides_slashes(incoming.head.target.path) {
            return true;
        }
        let facts = incoming.facts();
        let path = without_parameters(facts.path);
        let other = Facts { path: &path, ..facts };
        let is_asked =
            self.actions.is_some_and(|actions| matches!(actions.auth, Some(Rule::Ask(_))));
        let leads_elsewhere = || snapshot.route(&other).is_none_or(|other| other != *found);
        path != facts.path && (is_asked || leads_elsewhere())
    }

    /// What an upstream is asked for instead of what the client did, if that is something else.
    pub fn target(&self, incoming: &Incoming<'_>) -> Option<String> {
        let asked = incoming.head.target.path_and_query;
        let (path, query) = match asked.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (asked, None),
        };
        let mut new = if self.is_normal { in_one_spelling(path) } else { path.into() };
        for rewrite in self.actions.iter().flat_map(|actions| &actions.rewrites) {
            if let Some(rewritten) = rewrite.of(&new) {
                new = rewritten.into_owned().into();
            }
        }
        if new == path {
            return None;
        }
        Some(match query {
            Some(query) => format!("{new}?{query}"),
            None => new.into_owned(),
        })
    }

    /// How many bytes the body may have: any number for `u64::MAX`.
    pub fn body_limit(&self, snapshot: &Snapshot, incoming: &Incoming<'_>, found: &Found) -> u64 {
        let Some(place) = found.service else { return u64::MAX };
        let service = &snapshot.services[place];
        let of_route = self.actions.and_then(|actions| actions.body_limit);
        let limit = of_route.or(service.body_limit);
        let limit = limit.unwrap_or(snapshot.config.server.client.body_limit);
        if limit == 0 || is_call(incoming, service) { u64::MAX } else { limit }
    }
}

/// Whether it is a call of gRPC, whose body is a stream of messages, for somebody who takes such:
/// anybody may say so, and upstreams of HTTP/1.1 take none.
fn is_call(incoming: &Incoming<'_>, service: &Service) -> bool {
    let takes_calls = || service.pools.iter().any(|pool| pool.http2);
    incoming.head.version == http::Version::HTTP_2
        && takes_calls()
        && grpc::is_call(&incoming.fields)
}

/// Whether a request says itself that its body is longer than so many bytes.
pub(super) fn says_longer(incoming: &Incoming<'_>, limit: u64) -> bool {
    if limit == u64::MAX {
        return false;
    }
    let length = incoming.fields.first(FieldId::ContentLength).and_then(text);
    // The digits have been looked at: what is no number that fits is too long.
    length.is_some_and(|length| length.parse::<u64>().map_or(true, |length| length > limit))
}

/// Where a route leads a request; none if that is nothing that a field can hold.
pub(super) fn location(
    snapshot: &Snapshot,
    incoming: &Incoming<'_>,
    redirect: &Redirect,
    found: &Found,
) -> Option<HeaderValue> {
    let route = &snapshot.config.routes[found.place];
    let (PathPattern::Exact(prefix) | PathPattern::Prefix(prefix)) = &route.path;
    redirect.location(&Led {
        scheme: incoming.scheme(snapshot),
        host: &incoming.host,
        path_and_query: incoming.head.target.path_and_query,
        prefix,
    })
}

impl Incoming<'_> {
    /// What the client speaks, to us or to a proxy before us.
    pub(super) fn scheme(&self, snapshot: &Snapshot) -> &'static str {
        let trusted = &snapshot.config.server.trusted_proxies;
        if forwarded::is_https(&self.fields, self.peer, trusted) { "https" } else { "http" }
    }
}
