//! What an operator can do about a cause: its name in, what it means and where to look out.

use crate::http::failure::{BadRequest, Cause};

/// A cause as people read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// What it means.
    pub detail: &'static str,
    /// What to do.
    pub to_do: &'static str,
}

/// What is told of the cause of this name; none if there is none of that name here, as a newer proxy
/// may have.
pub(super) fn told(name: &str) -> Option<Told> {
    if name == BAD_REQUEST {
        let detail = "the request breaks a rule of HTTP or of the proxy's";
        let to_do = "see its client; `pointsman_refused_total` counts the rules";
        return Some(Told { detail, to_do });
    }
    let row = CAUSES.iter().find(|(cause, _)| cause.row().name == name);
    let Some((cause, to_do)) = row else {
        let rule = BadRequest::ALL.into_iter().find(|rule| rule.name() == name)?;
        let detail = Cause::BadRequest(rule).row().detail;
        return Some(Told { detail, to_do: "see its client: the request breaks this rule" });
    };
    Some(Told { detail: cause.row().detail, to_do })
}

/// The name that all breaches of rules share in logs, and had in what older proxies remember.
const BAD_REQUEST: &str = "bad_request";

const CAUSES: [(Cause, &str); 30] = [
    (
        Cause::NoRoute,
        "compare its host and path with `[[routes]]`; a route without `host` takes every host",
    ),
    (Cause::Denied, "compare its client with `allow` and `deny` of its route"),
    (Cause::Unauthorized, "it needs what `auth` of its route asks for"),
    (Cause::NotLetIn, "ask the service that `auth.ask` of its route names"),
    (Cause::LockedOut, "wait: its client sent too many wrong passwords, under any name"),
    (Cause::AuthBusy, "look for a flood of passwords, or take a cheaper hash"),
    (
        Cause::AuthFailed,
        "see that what `auth` of its route names is there: the service, or the file",
    ),
    (Cause::NoPool, "compare the pool that it named with `pointsman status SERVICE`"),
    (Cause::NoUpstream, "`pointsman status SERVICE` says of each upstream why it takes nothing"),
    (
        Cause::Open,
        "see why its pool failed (`pointsman events --service SERVICE`); runbooks/circuit-breaker.md",
    ),
    (Cause::Throttled, "its pool refuses so much that it is spared: see what overloads it"),
    (
        Cause::RateLimited,
        "compare what its client sends with `rate_limit` of its service and route",
    ),
    (
        Cause::Full,
        "compare `limits` of its service with what it can carry, and see what is slow behind it",
    ),
    (Cause::Held, "`pointsman hold SERVICE --release` ends the hold"),
    (Cause::Maintenance, "`pointsman maintenance SERVICE --end` ends it"),
    (Cause::Retried, "nothing: it was tried again; see the upstream if that is often so"),
    (Cause::Connect, "see that something listens at the upstream's address, and what is between"),
    (
        Cause::UpstreamTls,
        "compare the upstream's certificate with what the pool's `tls` table trusts, and its dates",
    ),
    (
        Cause::ConnectTimeout,
        "see the upstream's backlog and the way there, or raise `timeouts.connect`",
    ),
    (
        Cause::ResponseTimeout,
        "see why the upstream is slow, or raise `timeouts` of its service or route",
    ),
    (
        Cause::Quiet,
        "see why the upstream stopped within its answer, or raise `timeouts` (`idle`, `stream_idle`)",
    ),
    (Cause::CallOver, "the client set the time for this call (`grpc-timeout`)"),
    (Cause::Exhausted, "see descriptors, ports and memory of the proxy: docs/limits.md"),
    (
        Cause::Reset,
        "see the upstream's log: it closed before it was done, as when it crashes or restarts",
    ),
    (Cause::BadResponse, "see what the upstream sent: it is not valid HTTP"),
    (Cause::OneClient, "see what this client asks for: only its requests fail, on every upstream"),
    (Cause::BodyTooLarge, "raise `body_limit` of its route or service if such bodies are wanted"),
    (Cause::ClientTimeout, "see its client's network, or raise `server.client` bounds on bodies"),
    (Cause::ClientGone, "see if clients wait less than the answer takes"),
    (Cause::Internal, "a fault of the proxy's: report it with its log"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_that_a_request_is_remembered_with_says_what_to_do() {
        assert_eq!(Cause::BadRequest(BadRequest::Host).row().name, BAD_REQUEST);
        assert!(told(BAD_REQUEST).is_some());
        for name in &Cause::REASONS {
            assert!(told(name).is_some_and(|told| !told.to_do.is_empty()), "{name}");
        }
        let names: std::collections::BTreeSet<_> =
            CAUSES.iter().map(|(cause, _)| cause.row().name).collect();
        assert_eq!(names.len(), CAUSES.len());
        assert_eq!(told("of_another_version"), None);
    }
}
