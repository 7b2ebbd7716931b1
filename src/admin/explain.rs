//! What would become of a request: one in that nobody sends, its way and the reasons for it out.

use std::net::{IpAddr, Ipv4Addr};

use axum::Json;
use axum::extract::State;
use axum::http::uri::Scheme;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::response::IntoResponse;

use super::answer::{Answer, Body, Object};
use super::guard::Caller;
use super::problem::Problem;
use super::rollouts::bad;
use super::{Admin, wire};
use crate::auth::Rule;
use crate::exchange::explaining::{End, Explanation, explain};
use crate::http::admission::{Head, RequestTarget, Upload};
use crate::http::failure::Cause;
use crate::http::forwarded::Peer;
use crate::snapshot::{By, Choice, Chosen, Explained, Mode, Snapshot};

/// Fields of a request that is explained: more than heads have.
pub(super) const MOST_FIELDS: usize = 200;

/// What would become of a request if it came now, and why: from the functions that decide. Nothing is
/// sent, and no later decision is changed.
#[utoipa::path(post, path = "/v1/explain", tag = "traffic", request_body = wire::Explain,
    responses(
        (status = 200, description = "What would become of it", body = wire::Explanation),
        (status = 404, description = "It would go to a service that the token is not for",
            body = Problem),
        (status = 422, description = "That is no request", body = Problem)))]
pub async fn show(State(admin): State<Admin>, caller: Caller, body: Body<wire::Explain>) -> Answer {
    let Json(Object(asked)) = body?;
    let request = Request::read(&asked)?;
    let snapshot = admin.published.load();
    let now = snapshot.moment(admin.clock.now());
    let head = Head {
        method: &request.method,
        target: RequestTarget::read(request.target.as_bytes(), &request.uri),
        version: Version::HTTP_11,
        view: (&request.fields).into(),
        raw: b"",
        upload: Upload::Done,
    };
    let peer = Peer::new(request.client, request.scheme, admin.clock.now());
    let told = explain(&snapshot, &head, &peer, now, &mut admin.clock.draws());
    let service = told.found.and_then(|found| found.service);
    let name = service.map_or("", |service| &*snapshot.services[service].name);
    if !caller.sees(name) {
        let detail = "it would go to a service that this token is not for, or to none";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-service", detail));
    }
    Ok(Json(in_words(&snapshot, told, now)).into_response())
}

/// A request as it would be read.
struct Request {
    method: Method,
    uri: Uri,
    target: String,
    scheme: &'static str,
    fields: HeaderMap,
    client: IpAddr,
}

impl Request {
    fn read(asked: &wire::Explain) -> Result<Request, Problem> {
        let wire::Explain { url, method, fields, client } = asked;
        let no_url = || bad("url: a whole one, such as `https://shop.example.com/cart`".into());
        let whole: Uri = url.parse().map_err(|_| no_url())?;
        let scheme = match whole.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => "http",
            Some(scheme) if *scheme == Scheme::HTTPS => "https",
            _ => return Err(no_url()),
        };
        let authority = whole.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let target = whole.path_and_query().map_or("/", |target| target.as_str()).to_string();
        let target = if target.starts_with('?') { format!("/{target}") } else { target };
        let uri: Uri = target.parse().map_err(|error| bad(format!("url: {error}")))?;
        let method = method.as_deref().unwrap_or("GET");
        let method = Method::from_bytes(method.as_bytes());
        let method = method.map_err(|error| bad(format!("method: {error}")))?;
        let client = match client {
            None => Ipv4Addr::LOCALHOST.into(),
            Some(client) => client.parse().map_err(|_| bad("client: no IP address".into()))?,
        };
        if fields.len() > MOST_FIELDS {
            return Err(bad(format!("fields: {MOST_FIELDS} at most")));
        }
        let mut map = HeaderMap::new();
        for wire::ExplainField { name, value } in fields {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|error| bad(format!("fields: {error}")))?;
            let value = HeaderValue::from_str(value.trim());
            let value = value.map_err(|error| bad(format!("fields: `{name}`: {error}")))?;
            map.append(name, value);
        }
        if !map.contains_key(header::HOST) {
            let host = HeaderValue::from_str(authority);
            map.insert(header::HOST, host.map_err(|error| bad(format!("url: {error}")))?);
        }
        Ok(Request { method, uri, target, scheme, fields: map, client })
    }
}

/// An explanation with names in the place of places.
fn in_words(
    snapshot: &Snapshot,
    told: Explanation,
    now: crate::clock::Moment,
) -> wire::Explanation {
    let Explanation { host, path, client, found, target, end } = told;
    let service = found.and_then(|found| found.service).map(|at| &snapshot.services[at]);
    let actions = found.as_ref().and_then(|found| snapshot.actions(found));
    let asks = actions.and_then(|actions| actions.auth.as_ref()).map(|rule| match rule {
        Rule::Basic { .. } => "password".to_string(),
        Rule::Ask(_) => "service".to_string(),
    });
    let is_limited = service.zip(found).is_some_and(|(service, found)| {
        let mut of_routes = service.limits.routes.iter();
        service.limits.service.is_some() || of_routes.any(|(nth, ..)| *nth == found.nth)
    });
    let mut words = wire::Explanation {
        host,
        path,
        client: client.map(|client| client.to_string()),
        route: found.map(|found| snapshot.config.routes[found.place].to_string()),
        route_number: found.map(|found| found.place as u64 + 1),
        asks,
        status: None,
        cause: None,
        location: None,
        target,
        service: service.map(|service| service.name.to_string()),
        revision: service.map(|service| service.revision),
        mode: service.map(|service| match service.mode.at(now) {
            Mode::Serve => wire::Mode::Serve,
            Mode::Hold { .. } => wire::Mode::Hold,
            Mode::Maintenance { .. } => wire::Mode::Maintenance,
        }),
        is_rate_limited: is_limited,
        pool: None,
        by: None,
        cohort: None,
        sets_cookie: false,
        breaker: None,
        upstream: None,
        not_taken: Vec::new(),
        instead: None,
    };
    match end {
        End::Refused(cause) => refuse(&mut words, cause),
        End::Led { status, location } => {
            (words.status, words.location) = (Some(status), Some(location));
        }
        End::Answered(status) => words.status = Some(status),
        End::Decided { explained, instead } => {
            decide(&mut words, snapshot, explained, now);
            words.instead = instead.map(|choice| wire::Instead {
                pool: pool_of(snapshot, (choice.service, choice.pool)).name.to_string(),
                upstream: upstream_of(snapshot, &choice),
                by: choice.by.name().into(),
            });
        }
    }
    words
}

fn refuse(words: &mut wire::Explanation, cause: Cause) {
    words.status = Some(cause.row().status);
    words.cause = Some(cause.reason().into());
}

fn decide(
    words: &mut wire::Explanation,
    snapshot: &Snapshot,
    Explained { chosen, not_taken }: Explained,
    now: crate::clock::Moment,
) {
    let at = place_of(&chosen);
    match &chosen {
        Ok(choice) => {
            words.by = Some(choice.by.name().into());
            words.cohort = match choice.by {
                By::Cohort(cohort) => Some(cohort.get()),
                _ => None,
            };
            words.sets_cookie = choice.made.is_some();
            words.upstream = Some(upstream_of(snapshot, choice));
        }
        Err(refusal) => refuse(words, refusal.why.into()),
    }
    let Some(at) = at else { return };
    let pool = pool_of(snapshot, at);
    words.pool = Some(pool.name.to_string());
    words.breaker = Some(wire::Breaker::of(&pool.state.breaker, now));
    let one = |(member, why): (usize, crate::balance::NotTaken)| wire::NotTaken {
        pool: pool.name.to_string(),
        upstream: pool.members.list()[member].upstream.name.to_string(),
        why: why.name().into(),
    };
    words.not_taken = not_taken.into_iter().map(one).collect();
}

/// The service and the pool that it belongs to.
fn place_of(chosen: &Chosen) -> Option<(usize, usize)> {
    match chosen {
        Ok(choice) => Some((choice.service, choice.pool)),
        Err(refusal) => refusal.at,
    }
}

fn pool_of(snapshot: &Snapshot, (service, pool): (usize, usize)) -> &crate::snapshot::Pool {
    &snapshot.services[service].pools[pool]
}

fn upstream_of(snapshot: &Snapshot, choice: &Choice) -> String {
    let pool = pool_of(snapshot, (choice.service, choice.pool));
    pool.members.list()[choice.member].upstream.name.to_string()
}
