//! What a route does with a request beside leading it to a service: the request in; an answer, or what is
//! changed of it on its way to an upstream and of the answer on its way back, out.
//!
//! Decided as soon as the request is known to be one, before limits, lines, copies, kept answers and
//! switches of protocols: who is not let in learns nothing and takes nobody's place. A request whose route
//! does nothing of this costs one look at an option; if no route does, not even its route is looked up here.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::way::{Way, location, says_longer};
use super::{Exchange, Incoming};
use crate::auth::Rule;
use crate::config::{Actions, Timeouts};
use crate::fallback::StaticAnswer;
use crate::http::answer::Answer;
use crate::http::claims;
use crate::http::edits::{Edits, Text};
use crate::http::failure::Cause;
use crate::http::fields::{FieldId, Fields};
use crate::http::response;
use crate::record::Own;
use crate::route::{FieldChange, FieldRules, Found, Variable};
use crate::snapshot::OptIn;

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
        let Some(found) = snapshot.route(&incoming.facts()) else { return Ok(None) };
        let way = Way::of(&snapshot, &found);
        self.noted.came_by(&found);
        if way.is_plain() {
            return Ok(Some(found));
        }
        (self.own, self.closed) = match (way.actions, found.service) {
            (_, Some(service)) => (None, Some(service)),
            (Some(actions), None) if actions.redirect.is_some() => (Some(Own::Redirect), None),
            (_, None) => (Some(Own::Answer), None),
        };
        match way.bar(&snapshot, incoming, &found) {
            Some(cause) => Err(Box::new(self.answer(cause, &incoming.fields))),
            None => Ok(Some(found)),
        }
    }

    /// Does what the route of a request that it lets in says: its answer, if it goes to no service.
    pub(super) fn act_on(
        &mut self,
        incoming: &Incoming<'_>,
        found: &Found,
    ) -> Result<(), Box<Answer>> {
        let snapshot = self.snapshot.clone();
        let way = Way::of(&snapshot, found);
        if way.is_plain() {
            return self.bound_body(incoming, &way, found);
        }
        if let Some(actions) = way.actions
            && let Some(answer) = self.answer_by(actions, incoming, found)
        {
            return Err(Box::new(answer));
        }
        self.bound_body(incoming, &way, found)?;
        // It goes on to its service, whose pool is what its end is told of.
        self.closed = None;
        let target = way.target(incoming);
        if way.actions.is_some() || target.is_some() {
            self.acting = Some(Box::new(Acting {
                actions: way.actions.cloned(),
                target: target.map(Arc::from),
                host: (*incoming.host).into(),
                scheme: incoming.scheme(&snapshot),
                testers: snapshot.testers(found).cloned(),
            }));
        }
        Ok(())
    }

    /// Finds how long the body may be; the answer if it says itself that it is longer.
    fn bound_body(
        &mut self,
        incoming: &Incoming<'_>,
        way: &Way<'_>,
        found: &Found,
    ) -> Result<(), Box<Answer>> {
        self.body_limit = way.body_limit(&self.snapshot, incoming, found);
        if says_longer(incoming, self.body_limit) {
            self.closed = found.service;
            return Err(Box::new(self.answer(Cause::BodyTooLarge, &incoming.fields)));
        }
        Ok(())
    }

    /// What a route answers itself, if it does.
    fn answer_by(
        &mut self,
        actions: &Arc<Actions>,
        incoming: &Incoming<'_>,
        found: &Found,
    ) -> Option<Answer> {
        let mut answer = match (&actions.redirect, &actions.answer) {
            (Some(redirect), _) => {
                let location = location(&self.snapshot, incoming, redirect, found);
                Answer::led(redirect.status(), location, self.request_id())
            }
            (None, Some(answer)) => fixed(answer, self.request_id()),
            (None, None) => return None,
        };
        let acting = Acting {
            actions: Some(actions.clone()),
            target: None,
            host: (*incoming.host).into(),
            scheme: incoming.scheme(&self.snapshot),
            testers: None,
        };
        answer.edit(self.changed(&acting, &actions.response));
        Some(answer)
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

/// What a route answers.
fn fixed(answer: &StaticAnswer, request_id: &HeaderValue) -> Answer {
    let id = (FieldId::RequestId.name().clone(), request_id.clone());
    let fields = answer.headers.iter().cloned().chain([id]).collect();
    // The rim has read the file.
    let body = answer.body.text().cloned().unwrap_or_default();
    Answer { status: answer.status, fields, body, ..Answer::nothing(request_id) }
}
