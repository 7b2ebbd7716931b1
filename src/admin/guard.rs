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
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use ipnet::IpNet;
use tokio::time::timeout;

use super::audit::{self, Asked, Refusals};
use super::problem::Problem;
use super::roles::{self, Operation, Scope};
use super::source::{Shown, Source};
use super::strangers::{
    foreign_host, foreign_origin, is_from_elsewhere, is_local_host, refuse_strangers,
};
use super::{Admin, wire};
use crate::clock::Moment;
use crate::config::{Bearer, Role};
use crate::upstream::{Address, DialAddress};

/// Who an order is by that comes without a token and does not say.
const ANONYMOUS: &str = "api";

/// How long a request's body may take.
const BODY: Duration = Duration::from_secs(10);

/// How long it may be, in bytes, where nothing takes it.
const LONGEST_BODY: usize = 64 * 1024;

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

    /// Refuses to tell of a service that it is not told of.
    pub(super) fn must_see(&self, service: &str) -> Result<(), Problem> {
        let (false, Some(bearer)) = (self.sees(service), &self.bearer) else { return Ok(()) };
        Err(other_service(bearer, service))
    }

    /// Whether what it has shown still counts. Once tokens were read anew, whoever wants to be told more
    /// asks again: by who it was then nobody can be known who has another secret or another role by now.
    pub(super) fn still_holds(&self, admin: &Admin) -> bool {
        let config = admin.in_force.borrow().config.clone();
        match (&config.admin.tokens, &self.bearer) {
            (None, None) => true,
            (Some(tokens), Some(bearer)) => tokens.has(bearer),
            _ => false,
        }
    }

    /// Who it is, and what it may ask for.
    pub(super) fn described(&self) -> wire::Me {
        let (role, is_bound) = (self.role(), self.is_bound());
        let services = self.bearer.as_ref().and_then(|bearer| bearer.services.as_ref());
        wire::Me {
            name: self.name.as_ref().map(ToString::to_string),
            role: role.name().into(),
            services: services.map(|all| all.iter().map(ToString::to_string).collect()),
            may: roles::all_for(role, is_bound).map(ToString::to_string).collect(),
        }
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
        let (name, role) = (&bearer.name, bearer.role);
        if operation.scope != Scope::None && !role.admits(needed) {
            let detail =
                format!("`{what}` needs the role `{needed}`; the token `{name}` has `{role}`");
            let problem = Problem::new(StatusCode::FORBIDDEN, "role", detail);
            return Err(problem.of_roles(needed, role));
        }
        if bearer.services.is_none() {
            return Ok(());
        }
        let service = service.unwrap_or_default();
        match operation.scope {
            Scope::Whole => {
                let services = bound_to(bearer);
                let detail = format!(
                    "`{what}` is of the whole process; the token `{name}` is bound to {services}"
                );
                Err(Problem::new(StatusCode::FORBIDDEN, OTHER_SERVICE, detail))
            }
            Scope::Service if !bearer.is_for(service) => Err(other_service(bearer, service)),
            _ => Ok(()),
        }
    }
}

const OTHER_SERVICE: &str = "other-service";

/// The services of a token that is bound, in words.
fn bound_to(bearer: &Bearer) -> String {
    let services = bearer.services.iter().flat_map(|all| all.iter());
    let services: Vec<String> = services.map(|name| format!("`{name}`")).collect();
    services.join(", ")
}

fn other_service(bearer: &Bearer, service: &str) -> Problem {
    let (name, services) = (&bearer.name, bound_to(bearer));
    let detail =
        format!("the token `{name}` is bound to {services}; service `{service}` is none of them");
    Problem::new(StatusCode::FORBIDDEN, OTHER_SERVICE, detail)
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
    let takes_query = operation.is_none_or(|operation| operation.takes_query());
    if let (Some(query), false) = (parts.uri.query().filter(|query| !query.is_empty()), takes_query)
    {
        return Problem::unknown_query(query).into_response();
    }
    let is_recorded = operation.is_some_and(|operation| operation.is_recorded);
    let asked = is_recorded
        .then(|| Asked::new(admin.events.clone(), what, service, source, caller.clone()));
    parts.extensions.insert(caller);
    let longest = operation.map_or(LONGEST_BODY, Operation::longest_body);
    let response = match whole(Request::from_parts(parts, body), longest).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(asked) = asked {
        asked.answered(response.status(), &refusals, moment(&admin));
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
async fn whole(request: Request, longest: usize) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return Ok(Request::from_parts(parts, body));
    }
    match timeout(BODY, to_bytes(body, longest)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(error)) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => {
            let detail = format!("a body has at most {longest} bytes");
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
    if operation.is_some_and(|operation| operation.role.is_none() && !operation.is_page()) {
        return Ok(Caller::default());
    }
    // As the file said when it was read last: a reload that is refused leaves them as they were.
    let config = admin.in_force.borrow().config.clone();
    // The page is everybody's, and asks for a token itself. Other sites may lead to it, but no name that
    // is not ours: what it is shown by would be theirs.
    if operation.is_some_and(Operation::is_page) {
        let is_ours = config.admin.tokens.is_some() || !admin.is_local || is_local_host(headers);
        return if is_ours { Ok(Caller::default()) } else { Err(foreign_host()) };
    }
    let Some(tokens) = &config.admin.tokens else {
        if operation.is_some_and(Operation::always_needs_token) {
            let detail = "this needs a token of the role `alerts`, on this machine too: name a \
                          `token_file` in [admin], with a line such as `alertmanager role=alerts: TOKEN`";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "no-token", detail));
        }
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

/// The bearer token that a request brings.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
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
}
