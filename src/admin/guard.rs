//! Who may ask: a request's credentials and origin in, pass with the caller's name or a problem out.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use tokio::time::timeout;

use super::Admin;
use super::problem::Problem;
use crate::http::claims;

/// Who an order is by that comes without a token and does not say.
const ANONYMOUS: &str = "api";

/// How long a request's body may take.
const BODY: Duration = Duration::from_secs(10);

/// How long it may be, in bytes: a config of thousands of services is shorter.
const LONGEST_BODY: usize = 2 * 1024 * 1024;

/// Who asks: the name of the token that came with the request, if tokens are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller(Option<Arc<str>>);

impl Caller {
    /// Who an order is by that says it is by `claimed`. A token proves its name; what its bearer
    /// claims beside it, such as the user of a command line, is told as a claim.
    pub fn author(&self, claimed: Option<String>) -> String {
        let claimed = claimed.filter(|claimed| !claimed.trim().is_empty());
        match (&self.0, claimed) {
            (None, claimed) => claimed.unwrap_or_else(|| ANONYMOUS.into()),
            (Some(name), Some(claimed)) if claimed != **name => format!("{name} (as {claimed})"),
            (Some(name), _) => name.to_string(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Infallible> {
        Ok(parts.extensions.get::<Caller>().cloned().unwrap_or_default())
    }
}

/// Lets a request through, or says why not.
pub async fn check(State(admin): State<Admin>, mut request: Request, next: Next) -> Response {
    match admit(&admin, request.headers(), request.uri().path()) {
        Err(problem) => {
            let is_unauthorized = problem.status == StatusCode::UNAUTHORIZED.as_u16();
            let mut response = problem.into_response();
            if is_unauthorized {
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        }
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            match whole(request).await {
                Ok(request) => next.run(request).await,
                Err(problem) => problem.into_response(),
            }
        }
    }
}

/// Takes a request's body in, for so long and so much of it. Handlers find it whole.
async fn whole(request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return Ok(Request::from_parts(parts, body));
    }
    match timeout(BODY, to_bytes(body, LONGEST_BODY)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(error)) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => {
            let detail = format!("a body has at most {LONGEST_BODY} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "long-body", detail))
        }
        Ok(Err(error)) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-body",
            format!("the body broke off: {error}"),
        )),
        Err(_) => {
            let detail = format!("the body was not here within {} s", BODY.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "late-body", detail))
        }
    }
}

fn admit(admin: &Admin, headers: &HeaderMap, path: &str) -> Result<Caller, Problem> {
    // Probes come without credentials and learn nothing but yes or no.
    if matches!(path, "/livez" | "/readyz") {
        return Ok(Caller::default());
    }
    // As the file said when it was read last: a reload that is refused leaves them as they were.
    let config = admin.in_force.borrow().config.clone();
    let Some(tokens) = &config.admin.tokens else {
        return refuse_strangers(admin, headers).map(|()| Caller::default());
    };
    match bearer(headers).and_then(|token| tokens.name(token)) {
        Some(name) => Ok(Caller(Some(name.clone()))),
        None => {
            let detail = match headers.contains_key(header::AUTHORIZATION) {
                true => "this is no token of this API",
                false => {
                    "this API needs `Authorization: Bearer TOKEN` (`--token` or POINTSMAN_TOKEN on the command line)"
                }
            };
            Err(Problem::new(StatusCode::UNAUTHORIZED, "no-token", detail))
        }
    }
}

/// Without a token, reaching the loopback address is the credential. A web page in a browser on this
/// machine can reach it too, so what browsers send is refused: names other than this machine's (DNS
/// rebinding) and requests on behalf of other sites. And so can whoever a proxy on this machine passes
/// on, our own public port too if an upstream leads here after all: all that we pass on says so.
fn refuse_strangers(admin: &Admin, headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(field) = trace_of_forwarding(headers) {
        let detail = format!(
            "`{field}` shows that a proxy passed this request on; without a token such requests are \
             refused: give [admin] a `token_file`"
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, "forwarded", detail));
    }
    if is_from_elsewhere(headers) {
        let detail = "requests on behalf of other sites are refused";
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail));
    }
    if admin.is_local && !is_local_host(headers) {
        let detail = "without a token the API answers to localhost and loopback addresses only";
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign-host", detail));
    }
    Ok(())
}

/// A field that only a proxy writes.
fn trace_of_forwarding(headers: &HeaderMap) -> Option<&HeaderName> {
    let is_trace =
        |name: &&HeaderName| **name == header::VIA || claims::is_claim(name.as_str().as_bytes());
    headers.keys().find(is_trace)
}

/// The bearer token that a request brings.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let cross = text(header::HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site != "same-origin" && site != "none");
    let host = text(header::HOST).unwrap_or_default();
    let foreign = text(header::ORIGIN)
        .is_some_and(|origin| origin.split_once("://").is_none_or(|(_, from)| from != host));
    cross || foreign
}

fn is_local_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(authority) = host.to_str().unwrap_or("?").parse::<axum::http::uri::Authority>() else {
        return false;
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    name.eq_ignore_ascii_case("localhost") || is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        let read = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
            bearer(&headers).map(str::to_string)
        };
        assert_eq!(read("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(read("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(read("Bearer ").as_deref(), Some(""));
        assert_eq!((read("abc"), read("Basic abc")), (None, None));
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn a_token_proves_its_name_and_no_other() {
        let (nobody, ci) = (Caller(None), Caller(Some("ci".into())));
        let by = |caller: &Caller, claimed: &str| caller.author(Some(claimed.into()));
        assert_eq!((nobody.author(None), by(&nobody, " ")), ("api".into(), "api".into()));
        assert_eq!(by(&nobody, "ann"), "ann");
        assert_eq!(
            (ci.author(None), by(&ci, ""), by(&ci, "ci")),
            ("ci".into(), "ci".into(), "ci".into())
        );
        assert_eq!(by(&ci, "ann"), "ci (as ann)");
    }

    #[test]
    fn what_a_proxy_passes_on_is_recognised() {
        let of = |name: &'static str| {
            let name = HeaderName::from_static(name);
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("1"))]);
            trace_of_forwarding(&headers).is_some()
        };
        for trace in ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            assert!(of(trace), "{trace}");
        }
        assert!(of("x-pointsman-mirror") && of("cf-connecting-ip"));
        assert!(!of("host") && !of("if-match") && !of("traceparent") && !of("user-agent"));
    }

    #[test]
    fn what_a_foreign_page_sends_is_recognised() {
        let headers = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
            let field = |&(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            fields.iter().map(field).collect()
        };
        let host = ("host", "127.0.0.1:9900");
        assert!(!is_from_elsewhere(&headers(&[host])));
        assert!(!is_from_elsewhere(&headers(&[host, ("origin", "http://127.0.0.1:9900")])));
        assert!(is_from_elsewhere(&headers(&[host, ("origin", "http://evil.test")])));
        assert!(is_from_elsewhere(&headers(&[host, ("origin", "null")])));
        assert!(is_from_elsewhere(&headers(&[host, ("sec-fetch-site", "cross-site")])));
        assert!(
            is_local_host(&headers(&[host])) && is_local_host(&headers(&[("host", "[::1]:1")]))
        );
        assert!(!is_local_host(&headers(&[("host", "evil.test:9900")])));
    }
}
