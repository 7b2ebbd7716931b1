//! Who may ask for what: a request's credentials, origin and operation in, pass with the caller or a
//! problem out.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{FromRequestParts, MatchedPath, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use ipnet::IpNet;
use tokio::time::timeout;

use super::Admin;
use super::audit::{self, Asked, Refusals};
use super::problem::Problem;
use super::roles::{self, Operation, Scope};
use super::source::{Shown, Source};
use crate::clock::Moment;
use crate::config::{Bearer, Role};
use crate::http::claims;
use crate::upstream::{Address, DialAddress};

/// Who an order is by that comes without a token and does not say.
const ANONYMOUS: &str = "api";

/// How long a request's body may take.
const BODY: Duration = Duration::from_secs(10);

/// How long it may be, in bytes: a config of thousands of services is shorter.
const LONGEST_BODY: usize = 2 * 1024 * 1024;

/// Who asks: whose token came with the request, or which user of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// What is proved by a token or by the kernel; none for whoever can reach a loopback address.
    name: Option<Arc<str>>,
    /// What a token bounds it to; none where no token is asked for.
    bearer: Option<Arc<Bearer>>,
}

impl Caller {
    fn with_token(bearer: Arc<Bearer>) -> Caller {
        Caller { name: Some(bearer.name.clone()), bearer: Some(bearer) }
    }

    fn without(source: Source, shown: &Shown) -> Caller {
        let user = matches!(source, Source::User(_)).then(|| source.to_string().into());
        Caller { name: user.or_else(|| shown.subject().map(Arc::from)), bearer: None }
    }

    /// Who an order is by that says it is by `claimed`. A token proves its name and the kernel a
    /// user's number; what is claimed beside it, such as the user of a command line, is told as a
    /// claim.
    pub fn author(&self, claimed: Option<String>) -> String {
        let claimed = claimed.filter(|claimed| !claimed.trim().is_empty());
        match (&self.name, claimed) {
            (None, claimed) => claimed.unwrap_or_else(|| ANONYMOUS.into()),
            (Some(name), Some(claimed)) if claimed != **name => format!("{name} (as {claimed})"),
            (Some(name), _) => name.to_string(),
        }
    }

    /// What it may ask for.
    pub fn role(&self) -> Role {
        self.bearer.as_ref().map_or(Role::Admin, |bearer| bearer.role)
    }

    /// Whether it is told of this service; what is of none, as `""`, is for who is bound to none.
    pub fn sees(&self, service: &str) -> bool {
        self.bearer.as_ref().is_none_or(|bearer| bearer.is_for(service))
    }

    /// Whether it is bound to services.
    pub fn is_bound(&self) -> bool {
        self.bearer.as_ref().is_some_and(|bearer| bearer.services.is_some())
    }

    /// Where the upstreams must be that it adds and removes; none for anywhere.
    pub fn networks(&self) -> Option<Arc<[IpNet]>> {
        self.bearer.as_ref().and_then(|bearer| bearer.networks.clone())
    }

    /// Refuses to add or remove an upstream outside its networks.
    pub fn must_reach(&self, address: &Address) -> Result<(), Problem> {
        let Some(bearer) = &self.bearer else { return Ok(()) };
        let ip = match address.target() {
            Some(DialAddress::Socket(socket)) => Some(socket.ip()),
            _ => None,
        };
        if bearer.reaches(ip) {
            return Ok(());
        }
        let networks = bearer.networks.iter().flat_map(|networks| networks.iter());
        let networks: Vec<String> = networks.map(|network| format!("`{network}`")).collect();
        let detail = format!(
            "the token `{}` adds and removes upstreams in {} only, and by address: `{address}` is \
             none there",
            bearer.name,
            networks.join(", ")
        );
        Err(Problem::new(StatusCode::FORBIDDEN, "other-network", detail))
    }

    /// Refuses what its role or its services do not admit.
    fn must_be_admitted(
        &self,
        operation: &Operation,
        what: &str,
        service: Option<&str>,
    ) -> Result<(), Problem> {
        let (Some(bearer), Some(needed)) = (&self.bearer, operation.role) else { return Ok(()) };
        let refused = |kind, detail| Err(Problem::new(StatusCode::FORBIDDEN, kind, detail));
        let (name, role) = (&bearer.name, bearer.role);
        if operation.scope != Scope::None && !role.admits(needed) {
            let detail =
                format!("`{what}` needs the role `{needed}`; the token `{name}` has `{role}`");
            let problem = Problem::new(StatusCode::FORBIDDEN, "role", detail);
            return Err(problem.of_roles(needed, role));
        }
        let Some(services) = &bearer.services else { return Ok(()) };
        let services: Vec<String> = services.iter().map(|name| format!("`{name}`")).collect();
        let services = services.join(", ");
        match (operation.scope, service) {
            (Scope::Whole, _) => refused(
                "other-service",
                format!(
                    "`{what}` is of the whole process; the token `{name}` is bound to {services}"
                ),
            ),
            (Scope::Service, service) if !bearer.is_for(service.unwrap_or_default()) => refused(
                "other-service",
                format!(
                    "the token `{name}` is bound to {services}; service `{}` is none of them",
                    service.unwrap_or_default()
                ),
            ),
            _ => Ok(()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Infallible> {
        Ok(parts.extensions.get::<Caller>().cloned().unwrap_or_default())
    }
}

/// The guard of one API: what it reads, and the refusals that it has told of.
#[derive(Clone)]
pub(super) struct Guard {
    pub admin: Admin,
    pub refusals: Arc<Refusals>,
}

/// Lets a request through, or says why not.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let Guard { admin, refusals } = guard;
    let (mut parts, body) = request.into_parts();
    let source = parts.extensions.get::<Source>().copied().unwrap_or_default();
    let shown = parts.extensions.get::<Shown>().cloned().unwrap_or_default();
    // A path that there is not is nobody's secret, but for who has no token.
    let matched = parts.extensions.get::<MatchedPath>().cloned();
    let operation = matched.as_ref().map(|path| roles::operation(&parts.method, path.as_str()));
    let what = audit::what(&parts.method, parts.uri.path());
    let service = service(&mut parts).await;
    let caller = match identify(&admin, &parts.headers, operation, (source, &shown)) {
        Err(problem) => {
            refusals.tell(&admin.events, moment(&admin), what, source, None, &problem);
            return unauthorized(problem);
        }
        Ok(caller) => caller,
    };
    if let Some(operation) = operation
        && let Err(problem) = caller.must_be_admitted(operation, &what, service.as_deref())
    {
        refusals.tell(&admin.events, moment(&admin), what, source, Some(&caller), &problem);
        return problem.into_response();
    }
    let is_recorded = operation.is_some_and(|operation| operation.is_recorded);
    let asked = is_recorded
        .then(|| Asked::new(admin.events.clone(), what, service, source, caller.clone()));
    parts.extensions.insert(caller);
    let response = match whole(Request::from_parts(parts, body)).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(asked) = asked {
        asked.answered(response.status());
    }
    response
}

/// The service that a path names, read as handlers read it.
async fn service(parts: &mut Parts) -> Option<String> {
    let found = Path::<HashMap<String, String>>::from_request_parts(parts, &()).await;
    found.ok()?.0.remove("service")
}

fn moment(admin: &Admin) -> Moment {
    admin.published.load().moment(admin.clock.now())
}

fn unauthorized(problem: Problem) -> Response {
    let is_unauthorized = problem.status == StatusCode::UNAUTHORIZED.as_u16();
    let mut response = problem.into_response();
    if is_unauthorized {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
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

fn identify(
    admin: &Admin,
    headers: &HeaderMap,
    operation: Option<&Operation>,
    (source, shown): (Source, &Shown),
) -> Result<Caller, Problem> {
    // Probes come without credentials and learn nothing but yes or no.
    if operation.is_some_and(|operation| operation.role.is_none()) {
        return Ok(Caller::default());
    }
    // As the file said when it was read last: a reload that is refused leaves them as they were.
    let config = admin.in_force.borrow().config.clone();
    let Some(tokens) = &config.admin.tokens else {
        return refuse_strangers(admin, headers).map(|()| Caller::without(source, shown));
    };
    let found = match bearer(headers) {
        Some(token) => tokens.bearer(token),
        // Who brings a token is who that says.
        None => shown.subject().and_then(|subject| tokens.shown(subject)),
    };
    match found {
        // A browser shows its certificate for whichever site asks through it.
        Some(_) if bearer(headers).is_none() && is_from_elsewhere(headers) => Err(foreign_origin()),
        Some(bearer) => Ok(Caller::with_token(bearer.clone())),
        None => {
            let detail = match headers.contains_key(header::AUTHORIZATION) {
                true => {
                    "this is no token of this API; those it knows are in the `token_file` of [admin], \
                     as it was when the config was last read"
                }
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
        return Err(foreign_origin());
    }
    if admin.is_local && !is_local_host(headers) {
        let detail = "without a token the API answers to localhost and loopback addresses only";
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign-host", detail));
    }
    Ok(())
}

fn foreign_origin() -> Problem {
    let detail = "requests on behalf of other sites are refused";
    Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail)
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
        let ci = |name: &str| Caller { name: Some(name.into()), bearer: None };
        let (nobody, ci, root) =
            (Caller::default(), ci("ci"), Caller::without(Source::User(0), &Shown::default()));
        let by = |caller: &Caller, claimed: &str| caller.author(Some(claimed.into()));
        assert_eq!((nobody.author(None), by(&nobody, " ")), ("api".into(), "api".into()));
        assert_eq!(by(&nobody, "ann"), "ann");
        assert_eq!(
            (ci.author(None), by(&ci, ""), by(&ci, "ci")),
            ("ci".into(), "ci".into(), "ci".into())
        );
        assert_eq!(by(&ci, "ann"), "ci (as ann)");
        assert_eq!(
            (root.author(None), by(&root, "ann")),
            ("uid 0".into(), "uid 0 (as ann)".into())
        );
        let by_address = Source::Address([127, 0, 0, 1].into());
        assert_eq!(Caller::without(by_address, &Shown::default()), nobody);
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
