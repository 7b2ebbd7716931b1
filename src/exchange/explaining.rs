//! What would become of a request: its head and its peer in, its way and the reasons for it out.
//!
//! The functions that decide are asked, in the order in which [`Exchange::admit`] asks them, and only
//! those that read: nobody's turn is taken, nothing is counted and nothing is tried. So limits on
//! clients' rates are not asked, which would use them up; nor is a password checked, or who is asked by
//! a route. What stands on the shelf of answers for bad times is not looked at either.
//!
//! [`Exchange::admit`]: super::Exchange::admit

use std::net::IpAddr;

use super::line::may_wait;
use super::way::{Way, location, says_longer};
use super::{Incoming, tries_of};
use crate::clock::{Draws, Moment};
use crate::http::admission::{self, Accepted, Head};
use crate::http::failure::Cause;
use crate::http::forwarded::{self, Client, Peer};
use crate::http::forwards::Forwards;
use crate::route::Found;
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
    /// Its route answers it with this status; without a route we do, as it is to be passed on no further.
    Answered(u16),
    /// Its service decides.
    Decided {
        /// What, and why.
        explained: Box<Explained>,
        /// Whether it waits for what refuses it to pass.
        waits: bool,
        /// What it gets instead where its pool cannot be asked.
        instead: Option<Instead>,
    },
}

/// What a request gets whose pool cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// Somebody else is asked, or one who is not well.
    Asked(Choice),
    /// The service's own answer for such times, with this status.
    Answered(u16),
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
    let mut incoming =
        Incoming { head, peer, host, path, authority, fields, client, is_doubtful, tester };
    let goes_on = Forwards::asked(head.method, &fields) != Forwards::None;
    let found = snapshot.route(&incoming.facts()).filter(|_| goes_on);
    let (target, end) = match found {
        None if goes_on => (None, End::Refused(Cause::NoRoute)),
        None => (None, End::Answered(GOES_NO_FURTHER)),
        Some(found) => by_route(snapshot, &mut incoming, found, now, draws),
    };
    let Incoming { host, path, .. } = incoming;
    let (host, path) = (host.into_owned(), path.into_owned());
    Explanation { host, path, client, found, target, end }
}

/// What its route makes of it, and then its service; and what the upstream is asked for instead.
fn by_route(
    snapshot: &Snapshot,
    incoming: &mut Incoming<'_>,
    found: Found,
    now: Moment,
    draws: &mut Draws,
) -> (Option<String>, End) {
    let way = Way::of(snapshot, &found);
    if let Some(cause) = way.bar(snapshot, incoming, &found) {
        return (None, End::Refused(cause));
    }
    if let Some(redirect) = way.actions.and_then(|actions| actions.redirect.as_ref()) {
        let location = location(snapshot, incoming, redirect, &found);
        let location = location.as_ref().and_then(|location| location.to_str().ok());
        let location = location.unwrap_or_default().to_string();
        return (None, End::Led { status: redirect.status(), location });
    }
    if let Some(answer) = way.actions.and_then(|actions| actions.answer.as_ref()) {
        return (None, End::Answered(answer.status));
    }
    if says_longer(incoming, way.body_limit(snapshot, incoming, &found)) {
        return (None, End::Refused(Cause::BodyTooLarge));
    }
    let target = way.target(incoming);
    incoming.note_route(Some(found), snapshot);
    (target, by_service(snapshot, incoming, found, now, draws))
}

/// What its service decides, and what it gets where its pool cannot be asked.
fn by_service(
    snapshot: &Snapshot,
    incoming: &Incoming<'_>,
    found: Found,
    now: Moment,
    draws: &mut Draws,
) -> End {
    let asks = Asks {
        tries: tries_of(incoming.head.method, &incoming.fields),
        upload: incoming.head.upload,
        found: Some(found),
        ..Asks::default()
    };
    let before = draws.clone();
    let explained = snapshot.explain(&incoming.facts(), asks, now, draws);
    let (waits, instead) = match explained.chosen {
        Ok(_) => (false, None),
        Err(refusal) => (
            may_wait(snapshot, &refusal, asks.upload, now),
            instead_of(snapshot, incoming, refusal, asks, now, (draws, before)),
        ),
    };
    End::Decided { explained: Box::new(explained), waits, instead }
}

/// What a refused request gets, in the order of `fall_back.rs`: the stable pool for a canary's, the pool
/// that stands in, the service's own answer, and only then somebody who is not well. Its pool was decided
/// by the draws of `before`.
fn instead_of(
    snapshot: &Snapshot,
    incoming: &Incoming<'_>,
    refusal: Refusal,
    asks: Asks<'_>,
    now: Moment,
    (draws, mut before): (&mut Draws, Draws),
) -> Option<Instead> {
    let is_out = matches!(refusal.why, Why::NoUpstream | Why::Open);
    let from = refusal.unmade(incoming.head.method, asks.upload).filter(|_| is_out)?;
    let (facts, service) = (incoming.facts(), &snapshot.services[from.service]);
    if let Some(Ok(choice)) = snapshot.choose_shield(from, &facts, now, draws) {
        return Some(Instead::Asked(choice));
    }
    if let Some(Ok(choice)) = snapshot.choose_stand_in(from, now, draws) {
        return Some(Instead::Asked(choice));
    }
    let fallback = &service.stability.fallback;
    if let Some(answer) = &fallback.answer {
        return Some(Instead::Answered(answer.status));
    }
    if !fallback.is_any() {
        return None;
    }
    let asks = Asks { doubtful: true, tries: Tries::default(), ..asks };
    snapshot.choose(&facts, asks, now, &mut before).ok().map(Instead::Asked)
}

/// The status of an answer to who asks that we pass nothing on.
const GOES_NO_FURTHER: u16 = 204;

#[cfg(test)]
mod tests;
