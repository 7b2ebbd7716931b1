//! What a route does with a request beside leading it to a service: the request in; an answer, or what is
//! changed of it on its way to an upstream and of the answer on its way back, out.
//!
//! Decided as soon as the request is known to be one, before limits, lines, copies, kept answers and
//! switches of protocols: who is not let in learns nothing and takes nobody's place. A request whose route
//! does nothing of this costs one look at an option; if no route does, not even its route is looked up here.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::{Exchange, Incoming};
use crate::auth::Rule;
use crate::config::{Actions, Encoded, Timeouts};
use crate::fallback::StaticAnswer;
use crate::http::answer::Answer;
use crate::http::claims;
use crate::http::edits::{Edits, Text};
use crate::http::failure::{BadRequest, Cause};
use crate::http::fields::{FieldId, Fields};
use crate::http::forwarded;
use crate::http::grpc;
use crate::http::path::{hides_slashes, in_one_spelling, without_parameters};
use crate::http::response;
use crate::http::view::text;
use crate::record::Own;
use crate::route::{Facts, FieldChange, FieldRules, Found, Led, PathPattern, Redirect, Variable};
use crate::snapshot::{OptIn, Service, Snapshot};

/// What is done with a request, from its route to its end.
#[derive(Debug, Default)]
pub(super) struct Acting {
    /// None if all that is done is to say its path in one spelling.
    actions: Option<Arc<Actions>>,
    /// What the upstream is asked for instead of what the client did.
    target: Option<Arc<str>>,
    /// What stands for `{host}` and `{scheme}`.
    host: Box<str>,
    scheme: &'static str,
    /// Who may name a pool, if the route says so itself.
    testers: Option<Arc<OptIn>>,
}

impl Acting {
    /// Whether the route does not let everybody in, so that nothing is kept for others.
    pub(super) fn is_guarded(&self) -> bool {
        self.actions.as_ref().is_some_and(|actions| actions.is_guarded())
    }

    /// The bounds of its service, with the route's in their place.
    pub(super) fn timeouts(&self, service: Timeouts) -> Timeouts {
        self.actions.as_ref().map_or(service, |actions| actions.timeouts.over(service))
    }
}

impl Exchange {
    /// Finds the route of a request, if any; its answer if the route's lists do not let it in.
    pub(super) fn act(&mut self, incoming: &Incoming<'_>) -> Result<Option<Found>, Box<Answer>> {
        self.acting = None;
        let snapshot = self.snapshot.clone();
        let facts = incoming.facts();
        let Some(found) = snapshot.route(&facts) else { return Ok(None) };
        let actions = snapshot.actions(&found);
        let is_normal = found.service.is_some_and(|at| snapshot.services[at].has_normal_paths);
        if actions.is_none() && !found.is_guarded && !is_normal {
            return Ok(Some(found));
        }
        (self.own, self.closed) = match (actions, found.service) {
            (_, Some(service)) => (None, Some(service)),
            (Some(actions), None) if actions.redirect.is_some() => (Some(Own::Redirect), None),
            (_, None) => (Some(Own::Answer), None),
        };
        self.noted.route = Some(found.nth);
        let passes = actions.is_some_and(|actions| actions.encoded == Encoded::Pass);
        let in_one_way = found.is_guarded && !passes;
        if in_one_way && is_read_in_two_ways(&snapshot, incoming, &facts, &found) {
            return Err(Box::new(self.answer(BadRequest::EncodedPath.into(), &incoming.fields)));
        }
        // Whom a trusted proxy does not name is nobody that is known.
        let client = incoming.client.filter(|_| !incoming.is_doubtful);
        if actions.is_some_and(|actions| !actions.access.admits(client)) {
            return Err(Box::new(self.answer(Cause::Denied, &incoming.fields)));
        }
        Ok(Some(found))
    }

    /// Does what the route of a request that it lets in says: its answer, if it goes to no service.
    pub(super) fn act_on(
        &mut self,
        incoming: &Incoming<'_>,
        found: &Found,
    ) -> Result<(), Box<Answer>> {
        let snapshot = self.snapshot.clone();
        let actions = snapshot.actions(found);
        let is_normal = found.service.is_some_and(|at| snapshot.services[at].has_normal_paths);
        if actions.is_none() && !found.is_guarded && !is_normal {
            return self.bound_body(incoming, None, found);
        }
        if let Some(actions) = actions
            && let Some(answer) = self.answer_by(actions, incoming, found)
        {
            return Err(Box::new(answer));
        }
        self.bound_body(incoming, actions, found)?;
        let passes = actions.is_some_and(|actions| actions.encoded == Encoded::Pass);
        let in_one_way = found.is_guarded && !passes;
        // It goes on to its service, whose pool is what its end is told of.
        self.closed = None;
        let target = target_of(incoming, actions, in_one_way || is_normal && !passes);
        if actions.is_some() || target.is_some() {
            self.acting = Some(Box::new(Acting {
                actions: actions.cloned(),
                target: target.map(Arc::from),
                host: (*incoming.host).into(),
                scheme: self.scheme(incoming),
                testers: snapshot.testers(found).cloned(),
            }));
        }
        Ok(())
    }

    /// Finds how long the body may be; the answer if it says itself that it is longer.
    fn bound_body(
        &mut self,
        incoming: &Incoming<'_>,
        actions: Option<&Arc<Actions>>,
        found: &Found,
    ) -> Result<(), Box<Answer>> {
        let snapshot = self.snapshot.clone();
        self.body_limit = u64::MAX;
        let Some(place) = found.service else { return Ok(()) };
        let service = &snapshot.services[place];
        let of_route = actions.and_then(|actions| actions.body_limit);
        let limit = of_route.or(service.body_limit);
        let limit = limit.unwrap_or(snapshot.config.server.client.body_limit);
        if limit == 0 || self.is_call(incoming, service) {
            return Ok(());
        }
        self.body_limit = limit;
        let length = incoming.fields.first(FieldId::ContentLength).and_then(text);
        // The digits have been looked at: what is no number that fits is too long.
        let is_longer = |length: &str| length.parse::<u64>().map_or(true, |length| length > limit);
        if length.is_some_and(is_longer) {
            self.closed = Some(place);
            return Err(Box::new(self.answer(Cause::BodyTooLarge, &incoming.fields)));
        }
        Ok(())
    }

    /// Whether it is a call of gRPC, whose body is a stream of messages, for somebody who takes such:
    /// anybody may say so, and upstreams of HTTP/1.1 take none.
    fn is_call(&self, incoming: &Incoming<'_>, service: &Service) -> bool {
        let takes_calls = || service.pools.iter().any(|pool| pool.http2);
        incoming.head.version == http::Version::HTTP_2
            && takes_calls()
            && grpc::is_call(&incoming.fields)
    }

    /// What a route answers itself, if it does.
    fn answer_by(
        &mut self,
        actions: &Arc<Actions>,
        incoming: &Incoming<'_>,
        found: &Found,
    ) -> Option<Answer> {
        let mut answer = match (&actions.redirect, &actions.answer) {
            (Some(redirect), _) => self.led(redirect, incoming, found),
            (None, Some(answer)) => fixed(answer, self.request_id()),
            (None, None) => return None,
        };
        let acting = Acting {
            actions: Some(actions.clone()),
            target: None,
            host: (*incoming.host).into(),
            scheme: self.scheme(incoming),
            testers: None,
        };
        answer.edit(self.changed(&acting, &actions.response));
        Some(answer)
    }

    /// What the client speaks, to us or to a proxy before us.
    fn scheme(&self, incoming: &Incoming<'_>) -> &'static str {
        let trusted = &self.snapshot.config.server.trusted_proxies;
        match forwarded::is_https(&incoming.fields, incoming.peer, trusted) {
            true => "https",
            false => "http",
        }
    }

    fn led(&self, redirect: &Redirect, incoming: &Incoming<'_>, found: &Found) -> Answer {
        let route = &self.snapshot.config.routes[found.place];
        let (PathPattern::Exact(prefix) | PathPattern::Prefix(prefix)) = &route.path;
        let location = redirect.location(&Led {
            scheme: self.scheme(incoming),
            host: &incoming.host,
            path_and_query: incoming.head.target.path_and_query,
            prefix,
        });
        Answer::led(redirect.status(), location, self.request_id())
    }

    /// A field in which testers show a secret to the route goes no further.
    pub(super) fn hide_by_route(&mut self, fields: &Fields<'_>) {
        let Some(testers) = self.acting.as_ref().and_then(|acting| acting.testers.clone()) else {
            return;
        };
        if let Some(hidden) = testers.hidden().filter(|hidden| fields.view.has(hidden)) {
            self.edits.remove_named(hidden.clone());
        }
    }

    /// What the upstream is asked for instead of what the client did, if that is something else.
    pub(super) fn target(&self) -> Option<Arc<str>> {
        self.acting.as_ref()?.target.clone()
    }

    /// Whether the upstream is told of another host than the client asked for.
    pub(super) fn names_own_host(&self) -> bool {
        self.route_actions().is_some_and(|actions| actions.host.is_some())
    }

    /// Whether the file says of single fields that an upstream is not to have them from a client.
    pub(super) fn has_own_rules(&self) -> bool {
        let service = self.decision.map(|decision| &self.snapshot.services[decision.service]);
        let testers = self.acting.as_ref().and_then(|acting| acting.testers.as_ref());
        let rules = |actions: &Actions| !actions.request.is_empty() || actions.auth.is_some();
        self.route_actions().is_some_and(rules)
            || !self.snapshot.config.server.trusted_proxies.strip.is_empty()
            || service.is_some_and(|service| service.hidden_field().is_some())
            || testers.is_some_and(|testers| testers.hidden().is_some())
    }

    fn route_actions(&self) -> Option<&Actions> {
        self.acting.as_ref()?.actions.as_deref()
    }

    /// What the route makes of the request's fields.
    pub(super) fn edit_by_route(&self, incoming: &Incoming<'_>, edits: &mut Edits) {
        let Some(actions) = self.route_actions() else { return };
        if let Some(host) = &actions.host {
            edits.set_instead(FieldId::Host, Text::Own(host.clone()));
        }
        // What tells of who it is comes from who was asked alone, whether that has told it or not.
        let of_door: &[HeaderName] = match &actions.auth {
            Some(Rule::Ask(ask)) => &ask.copy,
            Some(Rule::Basic { passes_on: false, .. }) => &[AUTHORIZATION],
            Some(Rule::Basic { passes_on: true, .. }) | None => &[],
        };
        for rule in actions.request.names().chain(of_door) {
            // In every spelling: to many servers `x_user` is `X-User`.
            let named = incoming.fields.view.lines();
            let named = named.filter(|line| claims::is_same(line.name, rule.as_str().as_bytes()));
            for line in named {
                if let Ok(name) = HeaderName::from_bytes(line.name) {
                    edits.remove_named(name);
                }
            }
        }
        self.add_by_route(edits);
    }

    /// The lines that the route adds to the request, which may tell of the pool that is asked.
    fn add_by_route(&self, edits: &mut Edits) {
        let Some((acting, actions)) = self.acting.as_ref().zip(self.route_actions()) else {
            return;
        };
        edits.forget_added();
        for (name, value) in self.entered.iter().flat_map(|entered| &entered.copied) {
            edits.add(name.clone(), value.clone());
        }
        for change in actions.request.changes(|variable, into| self.say(acting, variable, into)) {
            match change {
                FieldChange::Set(name, value) | FieldChange::Add(name, value) => {
                    edits.add(name.clone(), value);
                }
                FieldChange::Remove(_) => {}
            }
        }
    }

    /// Another pool is asked.
    pub(super) fn edit_again(&mut self) {
        if self.route_actions().is_some_and(|actions| !actions.request.is_empty()) {
            let mut edits = std::mem::take(&mut self.edits);
            self.add_by_route(&mut edits);
            self.edits = edits;
        }
    }

    /// What the route makes of the fields of an answer with this status.
    pub(super) fn response_edits(&self, status: u16) -> Vec<response::Edit<'static>> {
        match (&self.acting, self.route_actions()) {
            // Interim heads are of the connection.
            (Some(acting), Some(actions)) if status >= 200 && !actions.response.is_empty() => {
                self.changed(acting, &actions.response)
            }
            _ => Vec::new(),
        }
    }

    /// Fields that go no further from behind a body: the route's rules say so of those before it.
    pub(super) fn withheld(&self) -> Vec<HeaderName> {
        self.route_actions()
            .map_or_else(Vec::new, |actions| actions.response.names().cloned().collect())
    }

    /// The same for an answer that we had kept or that stands in.
    pub(super) fn dress(&self, mut answer: Answer) -> Answer {
        answer.edit(self.response_edits(answer.status));
        answer
    }

    fn changed(&self, acting: &Acting, rules: &FieldRules) -> Vec<response::Edit<'static>> {
        let changes = rules.changes(|variable, into| self.say(acting, variable, into));
        let edit = |change| match change {
            FieldChange::Remove(name) => response::Edit::Remove(name.clone()),
            FieldChange::Set(name, value) => response::Edit::Set(name.clone(), Cow::Owned(value)),
            FieldChange::Add(name, value) => response::Edit::Add(name.clone(), Cow::Owned(value)),
        };
        changes.map(edit).collect()
    }

    /// Writes what a variable stands for; no if nobody knows.
    fn say(&self, acting: &Acting, variable: Variable, into: &mut String) -> bool {
        use std::fmt::Write as _;
        let service = self.pool.map(|(service, pool)| (&self.snapshot.services[service], pool));
        let asked = self.decision.as_ref().map(|decision| decision.pool);
        let known = match variable {
            Variable::Client => {
                let client = self.noted.client.filter(|_| !self.noted.is_client_doubtful);
                client.map(|client| write!(into, "{client}"))
            }
            Variable::RequestId => Some(write!(into, "{}", self.request_id.text())),
            Variable::Service => service.map(|(service, _)| write!(into, "{}", service.name)),
            Variable::Revision => service.map(|(service, _)| write!(into, "{}", service.revision)),
            Variable::Pool => service.map(|(service, pool)| {
                write!(into, "{}", service.pools[asked.unwrap_or(pool)].name)
            }),
            Variable::Host => Some(&acting.host).filter(|host| !host.is_empty()).map(|host| {
                into.push_str(host);
                Ok(())
            }),
            Variable::Scheme => Some(write!(into, "{}", acting.scheme)),
            _ => None,
        };
        matches!(known, Some(Ok(())))
    }
}

/// What an upstream is asked for instead of what the client did.
pub(super) fn target_of(
    incoming: &Incoming<'_>,
    actions: Option<&Arc<Actions>>,
    in_one_way: bool,
) -> Option<String> {
    let asked = incoming.head.target.path_and_query;
    let (path, query) = match asked.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (asked, None),
    };
    let mut new = if in_one_way { in_one_spelling(path) } else { path.into() };
    for rewrite in actions.iter().flat_map(|actions| &actions.rewrites) {
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

/// Whether who looks at the path in another way would say that another route is meant, or, where a
/// service is asked, another place: within one route that may say yes to one and no to the other.
pub(super) fn is_read_in_two_ways(
    snapshot: &Snapshot,
    incoming: &Incoming<'_>,
    facts: &Facts<'_>,
    found: &Found,
) -> bool {
    if hides_slashes(incoming.head.target.path) {
        return true;
    }
    let path = without_parameters(facts.path);
    let other = Facts { path: &path, ..*facts };
    let actions = snapshot.actions(found);
    let is_asked = actions.is_some_and(|actions| matches!(actions.auth, Some(Rule::Ask(_))));
    let leads_elsewhere = || snapshot.route(&other).is_none_or(|other| other != *found);
    path != facts.path && (is_asked || leads_elsewhere())
}

/// What a route answers.
fn fixed(answer: &StaticAnswer, request_id: &HeaderValue) -> Answer {
    let id = (FieldId::RequestId.name().clone(), request_id.clone());
    let fields = answer.headers.iter().cloned().chain([id]).collect();
    // The rim has read the file.
    let body = answer.body.text().cloned().unwrap_or_default();
    Answer { status: answer.status, fields, body, ..Answer::nothing(request_id) }
}
