//! Whether what `why` says of a request is what `explain` said before: both in, the first difference out.
//!
//! What explanations do not look at by what the docs say (limits on rates, doors, what is kept for bad
//! times) has to be named by them where they can know of it, and agrees up to there.

use std::fmt::Debug;

use super::super::wire;
use crate::config::{ANSWERED, Config, REDIRECTED};

/// What came of a request when it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Came {
    /// Whether it stood in line.
    pub waited: bool,
    /// Whether its route asked for more than an address.
    pub was_at_door: bool,
    /// Then.
    pub end: End,
}

/// How the way of a request to an upstream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was let in.
    Forwarded {
        /// What the upstream is asked for instead of what it asks for.
        target: Option<String>,
        /// Whether its client is given a cookie of ours.
        sets_cookie: bool,
    },
    /// It was answered by us.
    Answered {
        /// The status.
        status: u16,
        /// Where it is led.
        location: Option<String>,
        /// Which fallback that is, if it is one.
        fallback: Option<String>,
    },
}

/// Causes that a door has.
const DOOR: [&str; 5] = ["unauthorized", "not_let_in", "locked_out", "auth_busy", "auth_failed"];

fn same<T: PartialEq + Debug>(what: &str, told: &T, why: &T) -> Result<(), String> {
    match told == why {
        true => Ok(()),
        false => Err(format!("{what}: explain says {told:?}, and why {why:?}")),
    }
}

/// The first difference there is.
pub(super) fn check(
    config: &Config,
    told: &wire::Explanation,
    came: &Came,
    why: &wire::Request,
) -> Result<(), String> {
    same("client", &told.client, &why.client)?;
    same("service", &service(config, told), &why.service.as_deref())?;
    same("route", &route(config, told), &why.route)?;
    same("revision", &told.revision, &why.revision)?;
    let cause = why.cause.as_deref();
    if cause == Some("rate_limited") {
        return same("a limit on rates", &told.is_rate_limited, &true);
    }
    if came.was_at_door {
        same("a door", &told.asks.as_deref(), &Some("service"))?;
        // To ask takes draws, which then fall in another way.
        let is_drawn = told.by.as_deref() == Some("draw") || makes_cookies(config, told);
        let is_out = cause.is_some_and(|cause| DOOR.contains(&cause));
        return if is_out || is_drawn { Ok(()) } else { belongs(told, why) };
    }
    same("a wait", &told.waits, &came.waited)?;
    if came.waited {
        // Meanwhile the world was another.
        return belongs(told, why);
    }
    match &came.end {
        End::Forwarded { target, sets_cookie } => {
            same("target", &told.target, target)?;
            same("cookie", &told.sets_cookie, sets_cookie)?;
            forwarded(told, why)
        }
        End::Answered { fallback: Some(fallback), .. } if fallback == "stale" => {
            let is_out = told.cause.as_deref();
            let is_out =
                is_out.is_some_and(|cause| ["no_upstream", "breaker_open"].contains(&cause));
            same("that nobody can be asked", &is_out, &true)?;
            belongs(told, why)
        }
        End::Answered { status, location, fallback } => {
            let nobody = &None;
            same("upstream", &told.upstream, nobody)?;
            same("instead", &told.instead.as_ref().map(|instead| &*instead.upstream), &None)?;
            same("status", &told.fallback_status.or(told.status), &Some(*status))?;
            same("status", &told.fallback_status.or(told.status), &why.status)?;
            same("cause", &told.cause, &why.cause)?;
            same("location", &told.location, location)?;
            same("fallback", &told.fallback_status.is_some(), &fallback.is_some())?;
            if ["no_upstream", "breaker_open"].map(Some).contains(&cause) {
                let names = |not_taken: &[wire::NotTaken]| format!("{not_taken:?}");
                same("not taken", &names(&told.not_taken), &names(&why.not_taken))?;
            }
            belongs(told, why)
        }
    }
}

/// Where it went first, and to which pool it belonged.
fn forwarded(told: &wire::Explanation, why: &wire::Request) -> Result<(), String> {
    let (pool, upstream, by) = match &told.instead {
        None => (told.pool.as_deref(), told.upstream.as_deref(), told.by.as_deref()),
        Some(wire::Instead { pool, upstream, by }) => {
            (Some(&**pool), Some(&**upstream), Some(&**by))
        }
    };
    if told.instead.is_some() && !matches!(by, Some("shield" | "stand-in")) {
        same("pool of one who is not well", &told.pool.as_deref(), &pool)?;
    }
    let first = why.attempts.first();
    let first = (first.map(|attempt| &*attempt.pool), first.map(|attempt| &*attempt.upstream));
    same("upstream", &(pool, upstream), &first)?;
    if why.by.as_deref() == Some("stand-in") && by != Some("stand-in") {
        // What failed in its own pool was asked of another.
        let last = why.attempts.last().map(|attempt| &*attempt.pool);
        return same("stand-in", &why.pool.as_deref(), &last);
    }
    same("by", &by, &why.by.as_deref())?;
    // A shield answers for the pool, and the others are asked in its place.
    let of = if by == Some("shield") { told.pool.as_deref() } else { pool };
    same("pool", &of, &why.pool.as_deref())?;
    if by == Some("cohort") { same("cohort", &told.cohort, &why.cohort) } else { Ok(()) }
}

/// Which pool it belonged to, if it came to one.
fn belongs(told: &wire::Explanation, why: &wire::Request) -> Result<(), String> {
    let is_elsewhere = matches!(why.by.as_deref(), Some("stand-in" | "shield"));
    if why.pool.is_none() || is_elsewhere {
        return Ok(());
    }
    same("pool", &told.pool, &why.pool)?;
    same("by", &told.by, &why.by)?;
    same("cohort", &told.cohort, &why.cohort)
}

/// Whether its service gives clients that nothing tells from others a cookie, by a draw.
fn makes_cookies(config: &Config, told: &wire::Explanation) -> bool {
    let name = told.service.as_deref().unwrap_or_default();
    let service = config.services.iter().find(|service| &*service.name == name);
    service.is_some_and(|service| service.sticky.own_cookie().is_some())
}

/// Its service, or what stands in the place of one.
fn service<'t>(config: &Config, told: &'t wire::Explanation) -> Option<&'t str> {
    let place = told.route_number? as usize - 1;
    let leads = config.route_actions[place].as_ref();
    let leads = leads.is_some_and(|actions| actions.redirect.is_some());
    told.service.as_deref().or(Some(if leads { REDIRECTED } else { ANSWERED }))
}

/// Which of the routes to its service that is, counted from 1.
fn route(config: &Config, told: &wire::Explanation) -> Option<u16> {
    let place = told.route_number? as usize;
    let routes = &config.routes[..place];
    let to = routes[place - 1].service;
    Some(routes.iter().filter(|route| route.service == to).count() as u16)
}

/// Names of what a request has shown.
pub(super) fn names(told: &wire::Explanation, came: &Came, why: &wire::Request) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = |is_so: bool, what: &str| {
        if is_so {
            names.push(what.to_string());
        }
    };
    name(came.waited, "waits");
    name(came.was_at_door && why.pool.is_some(), "let in");
    name(told.location.is_some() && why.status == told.status, "led");
    name(why.service.as_deref() == Some(ANSWERED) && why.cause.is_none(), "answered");
    name(told.route.is_none() && told.cause.is_none(), "goes no further");
    name(why.attempts.len() > 1, "tried again");
    match &came.end {
        End::Forwarded { target, sets_cookie } => {
            name(true, "forward");
            name(target.is_some(), "rewritten");
            name(*sets_cookie, "sets a cookie");
            if let Some(instead) = told.instead.as_ref().filter(|_| !came.waited) {
                name(true, &format!("instead {}", instead.by));
            }
            name(true, &format!("by {}", why.by.as_deref().unwrap_or_default()));
        }
        End::Answered { fallback, .. } => {
            name(fallback.as_deref() == Some("stale"), "stale");
            name(fallback.as_deref() == Some("answer"), "fallback answer");
            name(why.cause.is_some(), why.cause.as_deref().unwrap_or_default());
        }
    }
    names
}
