//! Why there is no certificate: what an authority or the way to it says in, clear words and what to do
//! about it out.

use std::io;

use instant_acme::{Error, Problem};

use crate::acme::Refused;
use crate::files::BadCertificate;
use crate::outgoing::client::CallError;

/// What the kinds of errors begin with (RFC 8555 section 6.7).
const KINDS: &str = "urn:ietf:params:acme:error:";

/// What an authority says is told up to here, in characters: it may be a page.
const LONGEST: usize = 400;

/// An order that has come to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(super) struct Failure {
    /// In words of whoever knows.
    pub why: String,
    /// What mends it; empty if nobody knows.
    pub what_to_do: &'static str,
    /// What is wrong.
    pub of: Of,
    /// When it may be tried again.
    pub refused: Refused,
    /// Whether the authority does not know our account (any more).
    pub is_unknown: bool,
    /// Whether nothing more comes of the order. What passes, such as trouble of the authority's, ends none:
    /// it may be signed already.
    pub ends_order: bool,
}

/// What a failure is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Of {
    /// Of one certificate: others may well be had.
    #[default]
    Certificate,
    /// Of that or of the authority: nobody says.
    Either,
    /// Of the authority, the way to it or our account: there are no others either.
    Authority,
}

impl Failure {
    pub fn new(why: impl Into<String>, what_to_do: &'static str) -> Failure {
        Failure { why: why.into(), what_to_do, ..Failure::default() }
    }

    /// Nothing is had of the authority for this.
    pub fn of_authority(self) -> Failure {
        Failure { of: Of::Authority, ..self }
    }

    /// There is no order for this: one of many limits, say, of names, of domains and of accounts.
    pub fn of_order(error: Error) -> Failure {
        let is_trouble = match &error {
            Error::Api(problem) => problem.status.is_some_and(|status| status >= 500),
            // An error of something in front of it.
            Error::Json(_) => true,
            _ => false,
        };
        let failure = Failure::from(error);
        match failure.of {
            Of::Certificate if failure.refused.is_limited || is_trouble => {
                Failure { of: Of::Either, ..failure }
            }
            _ => failure,
        }
    }

    /// By what an authority says.
    pub fn told(problem: &Problem) -> Failure {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        let kind = kind.strip_prefix(KINDS).unwrap_or(kind);
        let details = problem.subproblems.iter().filter_map(|below| below.detail.as_deref());
        let all: Vec<&str> = problem.detail.as_deref().into_iter().chain(details).collect();
        let said: String = all.join("; ").chars().take(LONGEST).collect();
        let shown: String = kind.chars().take(LONGEST).collect();
        let why = match said.is_empty() {
            true => format!("the authority says {shown}"),
            false => format!("the authority says: {said} ({shown})"),
        };
        Failure {
            why,
            what_to_do: what_to_do(kind),
            refused: Refused { is_limited: kind == "rateLimited", after: None },
            of: Of::default(),
            is_unknown: kind == "accountDoesNotExist",
            // It has gone with the account.
            ends_order: kind == "accountDoesNotExist",
        }
    }
}

/// Whether who asked for an order is told that there is none, or none of ours.
pub(super) fn is_gone(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    let kind = problem.r#type.as_deref().and_then(|kind| kind.strip_prefix(KINDS));
    problem.status == Some(404) || matches!(kind, Some("malformed" | "unauthorized"))
}

/// Whether an authority refuses an order for what may be the certificate that it is to replace: somebody
/// has been faster, another account has it, nobody knows it (any more). Authorities say so in many ways.
pub(super) fn is_refused(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    let kind = problem.r#type.as_deref().and_then(|kind| kind.strip_prefix(KINDS));
    !matches!(kind, Some("rateLimited" | "accountDoesNotExist"))
}

/// Whether an authority has taken an order, and nothing of that it is to replace a certificate. It is an
/// error of instant-acme 0.8.5 alone, and known by its words.
pub(super) fn is_ignored(error: &Error) -> bool {
    let Error::Other(other) = error else { return false };
    other.to_string().starts_with("replaces field mismatch")
}

/// What mends each kind of error.
fn what_to_do(kind: &str) -> &'static str {
    match kind {
        "connection" | "timeout" => {
            "it comes to port 80 of the name (http-01) or to port 443 (tls-alpn-01): one of them has to \
             lead here from outside"
        }
        "dns" => "the name needs an A or AAAA record that leads here",
        "unauthorized" | "incorrectResponse" | "tls" => {
            "somebody else answers under the name: all its A and AAAA records have to lead here"
        }
        "caa" => "a CAA record of the domain does not allow this authority",
        "rateLimited" => {
            "it is tried again when the authority allows it; to try things out use the authority's \
             staging directory"
        }
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            "the authority gives no certificate for this name: leave it out of `tls.acme.names`, or ask \
             another one"
        }
        "externalAccountRequired" => {
            "the authority wants an account of its own: set `tls.acme.external_account`"
        }
        "invalidContact" | "unsupportedContact" => "the authority does not take `tls.acme.email`",
        "invalidProfile" => "the authority does not know `tls.acme.profile`",
        "userActionRequired" => "the authority has new terms: look there, and agree to them",
        "serverInternal" => "the authority has trouble of its own: it is tried again",
        _ => "",
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Api(problem) => Failure::told(&problem),
            Error::Timeout(_) => Failure::new("the authority has not come to an end in time", ""),
            Error::Json(_) | Error::Str(_) | Error::Unsupported(_) => Failure::new(
                format!("the authority does not speak as one: {error}"),
                "`tls.acme.directory` has to be an authority's directory of ACME",
            ),
            Error::Other(other) => match other.downcast_ref::<CallError>() {
                Some(error) => Failure::new(
                    format!("cannot reach the authority: {error}"),
                    "this machine has to reach `tls.acme.directory`; `tls.acme.ca` says whom to trust \
                     there",
                )
                .of_authority(),
                None => Failure::new(other.to_string(), ""),
            },
            other => Failure::new(other.to_string(), ""),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(
            format!("the state folder cannot be used: {error}"),
            "nothing is ordered that could not be kept",
        )
    }
}

impl From<rcgen::Error> for Failure {
    fn from(error: rcgen::Error) -> Failure {
        Failure::new(format!("no key or no request can be made: {error}"), "")
    }
}

impl From<BadCertificate> for Failure {
    fn from(error: BadCertificate) -> Failure {
        let why = format!("what the authority gave is of no use: {error}");
        Failure { ends_order: true, ..Failure::new(why, "") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> Failure {
        Failure::told(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_an_authority_says_is_told_with_what_mends_it() {
        let said = problem(
            r#"{"type":"urn:ietf:params:acme:error:dns","detail":"no such host","subproblems":
                [{"type":"x","detail":"a.test has no record"}]}"#,
        );
        assert_eq!(said.why, "the authority says: no such host; a.test has no record (dns)");
        assert!(said.what_to_do.contains("A or AAAA record"));
        let limited = problem(r#"{"type":"urn:ietf:params:acme:error:rateLimited"}"#);
        assert_eq!(limited.why, "the authority says rateLimited");
        assert!(limited.refused.is_limited && limited.what_to_do.contains("staging"));
        let unknown = problem(r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist"}"#);
        assert!(unknown.is_unknown && unknown.ends_order && !unknown.refused.is_limited);
        let passing = ["serverInternal", "badNonce", "rateLimited"];
        for kind in passing {
            let said = problem(&format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}"}}"#));
            assert!(!said.ends_order, "{kind}");
        }
        let long = problem(&format!(r#"{{"type":"x","detail":"{}"}}"#, "long ".repeat(1000)));
        assert!(long.why.len() < 2 * LONGEST, "{}", long.why.len());
        let reached =
            Error::Other(Box::new(CallError::TimedOut(std::time::Duration::from_secs(30))));
        let told = Failure::from(reached);
        assert_eq!(told.of, Of::Authority);
        assert_eq!(told.why, "cannot reach the authority: timed out after 30s");
        assert!(told.what_to_do.contains("tls.acme.ca"));
    }

    #[test]
    fn what_an_order_is_to_replace_may_be_why_it_is_refused() {
        let api = |kind: &str| {
            let json = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}"}}"#);
            Error::Api(serde_json::from_str(&json).unwrap())
        };
        for kind in ["alreadyReplaced", "malformed", "unauthorized", "serverInternal"] {
            assert!(is_refused(&api(kind)), "{kind}");
        }
        assert!(!is_refused(&api("rateLimited")) && !is_refused(&api("accountDoesNotExist")));
        assert!(!is_refused(&Error::Timeout(None)));
        assert!(!is_ignored(&api("malformed")));
        assert!(!is_ignored(&Error::Other("something else".into())));
    }

    #[test]
    fn an_order_is_gone_if_its_authority_says_so() {
        let is_gone = |json| is_gone(&Error::Api(serde_json::from_str(json).unwrap()));
        assert!(is_gone(r#"{"type":"urn:ietf:params:acme:error:malformed","status":400}"#));
        assert!(is_gone(r#"{"type":"urn:ietf:params:acme:error:unauthorized","status":403}"#));
        assert!(is_gone(r#"{"type":"about:blank","status":404}"#));
        assert!(!is_gone(r#"{"type":"urn:ietf:params:acme:error:serverInternal","status":500}"#));
        assert!(!is_gone(r#"{"type":"urn:ietf:params:acme:error:rateLimited","status":429}"#));
        assert!(!super::is_gone(&Error::Timeout(None)));
    }
}
