//! What would become of a request: its head and its peer in, its way and the reasons for it out.
//!
//! The functions that decide are asked, in the order in which [`Exchange::admit`] asks them, and only
//! those that read: nobody's turn is taken, nothing is counted and nothing is tried. So limits on
//! clients' rates are not asked, which would use them up; nor is a password checked, or who is asked by
//! a route. What stands on the shelf of answers for bad times is not looked at either.
//!
//! [`Exchange::admit`]: super::Exchange::admit

use std::net::IpAddr;

use super::acting::{is_read_in_two_ways, target_of};
use super::{Incoming, has_body};
use crate::clock::{Draws, Moment};
use crate::config::Encoded;
use crate::http::admission::{self, Accepted, Head};
use crate::http::failure::{BadRequest, Cause};
use crate::http::forwarded::{self, Client, Peer};
use crate::route::{Found, Led, PathPattern};
use crate::snapshot::{Asks, Choice, Explained, Refusal, Snapshot, Tries, Why};

/// What would become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The host that routes look at.
    pub host: String,
    /// The path that they look at.
    pub path: String,
    /// Its client, after trusted proxies; none if nobody knows one.
    pub client: Option<IpAddr>,
    /// Its route.
    pub found: Option<Found>,
    /// What the upstream would be asked for, if that is something else than it asks for.
    pub target: Option<String>,
    /// What it comes to.
    pub end: End,
}

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is refused before it has a pool.
    Refused(Cause),
    /// Its route leads it elsewhere.
    Led {
        /// The status.
        status: u16,
        /// Where to; empty if that is nothing that a field can hold.
        location: String,
    },
    /// Its route answers it with this status.
    Answered(u16),
    /// Its service decides.
    Decided {
        /// What, and why.
        explained: Explained,
        /// Who is asked instead where its pool cannot be.
        instead: Option<Choice>,
    },
}

/// What would become of a request with this head of this peer, with these draws.
pub fn explain(
    snapshot: &Snapshot,
    head: &Head<'_>,
    peer: &Peer,
    now: Moment,
    draws: &mut Draws,
) -> Explanation {
    let server = &snapshot.config.server;
    let accepted = match admission::examine(head, server.client.head_limits(), None) {
        Ok(accepted) => accepted,
        Err(rule) => {
            return Explanation {
                host: String::new(),
                path: head.target.path.into(),
                client: peer.address,
                found: None,
                target: None,
                end: End::Refused(rule.into()),
            };
        }
    };
    let Accepted { host, path, authority, fields, .. } = accepted;
    let Client { address: client, is_doubtful } =
        forwarded::client(&fields, peer, &server.trusted_proxies);
    let (head, tester) = (*head, None);
    let incoming =
        Incoming { head, peer, host, path, authority, fields, client, is_doubtful, tester };
    let found = snapshot.route(&incoming.facts());
    let (target, end) = way(snapshot, incoming.clone(), found, now, draws);
    let Incoming { host, path, .. } = incoming;
    let (host, path) = (host.into_owned(), path.into_owned());
    Explanation { host, path, client, found, target, end }
}

/// What its route makes of it, and then its service.
fn way(
    snapshot: &Snapshot,
    mut incoming: Incoming<'_>,
    found: Option<Found>,
    now: Moment,
    draws: &mut Draws,
) -> (Option<String>, End) {
    let Some(found) = found else { return (None, End::Refused(Cause::NoRoute)) };
    let actions = snapshot.actions(&found);
    let passes = actions.is_some_and(|actions| actions.encoded == Encoded::Pass);
    let in_one_way = found.is_guarded && !passes;
    if in_one_way && is_read_in_two_ways(snapshot, &incoming, &incoming.facts(), &found) {
        return (None, End::Refused(BadRequest::EncodedPath.into()));
    }
    let known = incoming.client.filter(|_| !incoming.is_doubtful);
    if actions.is_some_and(|actions| !actions.access.admits(known)) {
        return (None, End::Refused(Cause::Denied));
    }
    if let Some(actions) = actions {
        match (&actions.redirect, &actions.answer) {
            (Some(redirect), _) => {
                let route = &snapshot.config.routes[found.place];
                let (PathPattern::Exact(prefix) | PathPattern::Prefix(prefix)) = &route.path;
                let trusted = &snapshot.config.server.trusted_proxies;
                let is_https = forwarded::is_https(&incoming.fields, incoming.peer, trusted);
                let location = redirect.location(&Led {
                    scheme: if is_https { "https" } else { "http" },
                    host: &incoming.host,
                    path_and_query: incoming.head.target.path_and_query,
                    prefix,
                });
                let location = location.as_ref().and_then(|location| location.to_str().ok());
                let location = location.unwrap_or_default().to_string();
                return (None, End::Led { status: redirect.status(), location });
            }
            (None, Some(answer)) => return (None, End::Answered(answer.status)),
            (None, None) => {}
        }
    }
    let is_normal = found.service.is_some_and(|at| snapshot.services[at].has_normal_paths);
    let target = target_of(&incoming, actions, in_one_way || is_normal && !passes);
    incoming.note_route(Some(found), snapshot);
    let is_light = incoming.head.method.is_idempotent() && !has_body(&incoming.fields);
    let asks = Asks {
        tries: if is_light { Tries::Readily } else { Tries::IfNeedBe },
        upload: incoming.head.upload,
        found: Some(found),
        ..Asks::default()
    };
    (target, decided(snapshot, &incoming, asks, now, draws))
}

/// What its service decides, and who is asked where its pool cannot be.
fn decided(
    snapshot: &Snapshot,
    incoming: &Incoming<'_>,
    asks: Asks<'_>,
    now: Moment,
    draws: &mut Draws,
) -> End {
    let (facts, upload) = (incoming.facts(), asks.upload);
    let explained = snapshot.explain(&facts, asks, now, draws);
    let instead = match explained.chosen {
        Err(Refusal { why: Why::NoUpstream | Why::Open, at: Some(at) }) => {
            let shield = snapshot.choose_shield(at, &facts, upload, now, draws);
            let shield = shield.and_then(Result::ok);
            let mut stand_in = || snapshot.choose_stand_in(at, upload, now, draws);
            let elsewhere = shield.or_else(|| stand_in().and_then(Result::ok));
            elsewhere.or_else(|| {
                let is_any = snapshot.services[at.0].stability.fallback.is_any();
                let asks = Asks { doubtful: true, upload, found: asks.found, ..Asks::default() };
                is_any.then(|| snapshot.choose(&facts, asks, now, draws).ok()).flatten()
            })
        }
        _ => None,
    };
    End::Decided { explained, instead }
}

#[cfg(test)]
mod tests;
