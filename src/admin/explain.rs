//! What would become of a request: one in that nobody sends, its way and the reasons for it out.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

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
use crate::clock::{Clock, Moment};
use crate::exchange::explaining::{End, Explanation, Instead, explain};
use crate::http::admission::{Head, RequestTarget, Upload};
use crate::http::failure::Cause;
use crate::http::forwarded::Peer;
use crate::orders::{Now, Supposed};
use crate::snapshot::{Choice, Explained, Service, Snapshot};
use crate::split::{BasisPoints, Cohort};

/// Fields of a request that is explained: more than heads have.
pub(super) const MOST_FIELDS: usize = 200;

/// The longest method and the longest name of a field of it, in bytes.
pub(super) const LONGEST_TOKEN: usize = 256;

/// The longest body that is taken for one that comes with its head, in bytes: about a packet.
const WITH_HEAD: u64 = 1024;

/// What would become of a request if it came now, and why: from the functions that decide. Nothing is
/// sent, and no later decision is changed.
#[utoipa::path(post, path = "/v1/explain", tag = "traffic", request_body = wire::Explain,
    responses(
        (status = 200, description = "What would become of it", body = wire::Explanation),
        (status = 404, description = "It would go to a service that the token is not for, or that has no \
            such revision", body = Problem),
        (status = 409, description = "The revision sends traffic to a pool that there is no more",
            body = Problem),
        (status = 422, description = "That is no request", body = Problem)))]
pub async fn show(State(admin): State<Admin>, caller: Caller, body: Body<wire::Explain>) -> Answer {
    let Json(Object(asked)) = body?;
    let request = Request::read(&asked).map_err(problem)?;
    let snapshot = admin.published.load();
    let told = request.explain(&snapshot, &admin.clock);
    let service = told.found.and_then(|found| found.service).map(|at| &snapshot.services[at]);
    if !caller.sees(service.map_or("", |service| &service.name)) {
        let detail = "it would go to a service that this token is not for, or to none";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-service", detail));
    }
    let words = match asked.at.zip(service) {
        None => in_words(&snapshot, told, &admin.clock),
        Some((at, service)) => {
            let supposed = then(&admin, &snapshot, service, at)?;
            in_words(&supposed, request.explain(&supposed, &admin.clock), &admin.clock)
        }
    };
    Ok(Json(words).into_response())
}

/// The same with a config that is not in force, as if it were: upstreams stand as they do now, and those that
/// are not known are well. Files that it names have to lie beside the config's own.
#[utoipa::path(post, path = "/v1/config/explain", tag = "config", request_body = wire::ExplainWith,
    responses(
        (status = 200, description = "What would become of it", body = wire::Explanation),
        (status = 422, description = "That is no config, or no request", body = Problem)))]
pub async fn show_with(State(admin): State<Admin>, body: Body<wire::ExplainWith>) -> Answer {
    let Json(Object(wire::ExplainWith { config, request })) = body?;
    if request.at.is_some() {
        return Err(bad("at: revisions are of the config in force".into()));
    }
    let request = Request::read(&request).map_err(problem)?;
    let (_, read) = super::config::examine(&admin, config).await?;
    let (config, _) = read?;
    let (seen, state) = (admin.published.load(), admin.state.borrow().clone());
    let supposed = Supposed { state: (*state).clone(), config, seen: Some(&*seen), at: None };
    let supposed = supposed.snapshot(now(&admin.clock));
    let told = request.explain(&supposed, &admin.clock);
    Ok(Json(in_words(&supposed, told, &admin.clock)).into_response())
}

/// What would become of a request with this snapshot.
pub fn explained(
    asked: &wire::Explain,
    snapshot: &Snapshot,
    clock: &Clock,
) -> Result<wire::Explanation, NoRequest> {
    let request = Request::read(asked)?;
    Ok(in_words(snapshot, request.explain(snapshot, clock), clock))
}

/// What would be with the split of a revision and all else as it is.
fn then(admin: &Admin, seen: &Snapshot, service: &Service, at: u64) -> Result<Snapshot, Problem> {
    let state = admin.state.borrow().clone();
    let name = &service.name;
    let revision = state.revision(name, at).ok_or_else(|| {
        let detail = format!("service `{name}` has no revision {at} any more, or never had");
        Problem::new(StatusCode::NOT_FOUND, "no-revision", detail)
    })?;
    let is_gone =
        |part: &&(Arc<str>, BasisPoints)| part.1.get() > 0 && service.pool(&part.0).is_none();
    if let Some((pool, _)) = revision.split.parts().iter().find(is_gone) {
        let detail = format!(
            "revision {at} of service `{name}` sends traffic to pool `{pool}`, which it has no more"
        );
        return Err(Problem::new(StatusCode::CONFLICT, "no-pool", detail));
    }
    let at = Some((name, &**revision));
    let (config, seen) = (seen.config.clone(), Some(seen));
    let supposed = Supposed { state: (*state).clone(), config, seen, at };
    Ok(supposed.snapshot(now(&admin.clock)))
}

fn now(clock: &Clock) -> Now {
    Now { instant: clock.now(), wall: clock.wall_time() }
}

/// What is no request, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoRequest(String);

fn problem(NoRequest(why): NoRequest) -> Problem {
    bad(why)
}

/// What a text that is no URL for us should be.
fn instead_of(url: &str) -> &'static str {
    if !url.is_ascii() {
        return "ASCII only: a host of other letters as `xn--…`, other characters as `%…`";
    }
    match url.split_once("://") {
        Some((scheme, _))
            if !["http", "https"].iter().any(|it| it.eq_ignore_ascii_case(scheme)) =>
        {
            "`http` or `https` only"
        }
        _ => "a whole one, such as `https://shop.example.com/cart`",
    }
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
    fn read(asked: &wire::Explain) -> Result<Request, NoRequest> {
        let bad = NoRequest;
        let wire::Explain { url, method, fields, client, at: _ } = asked;
        let no_url = || bad(format!("url: {}", instead_of(url)));
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
        let is_long = |text: &str| text.len() > LONGEST_TOKEN;
        if is_long(method) || fields.iter().any(|field| is_long(&field.name)) {
            return Err(bad(format!("methods and names of fields: {LONGEST_TOKEN} bytes at most")));
        }
        let method = Method::from_bytes(method.as_bytes());
        let method = method.map_err(|error| bad(format!("method: {error}")))?;
        let client = match client {
            None => Ipv4Addr::LOCALHOST.into(),
            Some(client) => client.parse().map_err(|_| {
                bad(format!(
                    "client: expected an IP address, such as 192.0.2.7; this is `{client}`"
                ))
            })?,
        };
        if fields.len() > MOST_FIELDS {
            return Err(bad(format!("fields: {MOST_FIELDS} at most")));
        }
        let mut map = HeaderMap::new();
        for wire::ExplainField { name, value } in fields {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|error| bad(format!("fields: {error}")))?;
            // White space around a value is none of it (RFC 9110 section 5.5).
            let value = HeaderValue::from_str(value.trim_matches([' ', '\t']));
            let value = value.map_err(|error| bad(format!("fields: `{name}`: {error}")))?;
            map.append(name, value);
        }
        if !map.contains_key(header::HOST) {
            let host = HeaderValue::from_str(authority);
            map.insert(header::HOST, host.map_err(|error| bad(format!("url: {error}")))?);
        }
        Ok(Request { method, uri, target, scheme, fields: map, client })
    }

    /// Whether its body comes with its head: it may where its end is known, and small ones do.
    fn upload(&self) -> Upload {
        let is_chunked = self.fields.contains_key(header::TRANSFER_ENCODING);
        let length =
            self.fields.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let length: u64 = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        if is_chunked || length > WITH_HEAD { Upload::ToCome } else { Upload::Done }
    }

    fn explain(&self, snapshot: &Snapshot, clock: &Clock) -> Explanation {
        let head = Head {
            method: &self.method,
            target: RequestTarget::read(self.target.as_bytes(), &self.uri),
            version: Version::HTTP_11,
            view: (&self.fields).into(),
            raw: b"",
            upload: self.upload(),
        };
        let (now, peer) = (clock.now(), Peer::new(self.client, self.scheme, clock.now()));
        explain(snapshot, &head, &peer, snapshot.moment(now), &mut clock.draws())
    }
}

/// An explanation with names in the place of places.
fn in_words(snapshot: &Snapshot, told: Explanation, clock: &Clock) -> wire::Explanation {
    let now = snapshot.moment(clock.now());
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
        health: wire::Health::Running,
        host,
        path,
        client: client.map(|client| client.to_string()),
        route: found.map(|found| snapshot.config.routes[found.place].to_string()),
        route_number: found.map(|found| found.place as u64 + 1),
        asks,
        status: None,
        cause: None,
        waits: false,
        location: None,
        target,
        service: service.map(|service| service.name.to_string()),
        revision: service.map(|service| service.revision),
        mode: service.map(|service| wire::Mode::of(service, now)),
        is_rate_limited: is_limited,
        pool: None,
        by: None,
        cohort: None,
        sets_cookie: false,
        breaker: None,
        upstream: None,
        not_taken: Vec::new(),
        instead: None,
        fallback_status: None,
    };
    match end {
        End::Refused(cause) => refuse(&mut words, cause),
        End::Led { status, location } => {
            (words.status, words.location) = (Some(status), Some(location));
        }
        End::Answered(status) => words.status = Some(status),
        End::Decided { explained, waits, instead } => {
            decide(&mut words, snapshot, *explained, now);
            if waits {
                (words.waits, words.status) = (true, None);
            }
            match instead {
                None => {}
                Some(Instead::Answered(status)) => words.fallback_status = Some(status),
                Some(Instead::Asked(choice)) => {
                    words.sets_cookie = choice.made.is_some();
                    words.instead = Some(wire::Instead {
                        pool: pool_of(snapshot, (choice.service, choice.pool)).name.to_string(),
                        upstream: upstream_of(snapshot, &choice),
                        by: choice.by.name().into(),
                    });
                }
            }
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
    now: Moment,
) {
    let (at, by) = match &chosen {
        Ok(choice) => {
            words.sets_cookie = choice.made.is_some();
            words.upstream = Some(upstream_of(snapshot, choice));
            (Some((choice.service, choice.pool)), Some(choice.by))
        }
        Err(refusal) => {
            refuse(words, refusal.why.into());
            (refusal.at, refusal.by)
        }
    };
    // Who names a pool that there is not has come to none.
    let (Some(at), Some(by)) = (at, by) else { return };
    words.by = Some(by.name().into());
    words.cohort = by.cohort().map(Cohort::get);
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

fn pool_of(snapshot: &Snapshot, (service, pool): (usize, usize)) -> &crate::snapshot::Pool {
    &snapshot.services[service].pools[pool]
}

fn upstream_of(snapshot: &Snapshot, choice: &Choice) -> String {
    let pool = pool_of(snapshot, (choice.service, choice.pool));
    pool.members.list()[choice.member].upstream.name.to_string()
}

#[cfg(test)]
mod tests;
