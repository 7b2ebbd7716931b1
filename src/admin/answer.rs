//! What handlers share: who asks for what, of which service, and what is answered.

use std::fmt;
use std::marker::PhantomData;

use axum::Json;
use axum::body::Body as RawBody;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::forms::LONGEST_WORDS;
use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};
use crate::control::Granted;
use crate::orders::{By, Made, Order, Refused, TrafficOrder};
use crate::snapshot::{Service, Snapshot};
use crate::split::WHOLE;
use crate::state::State;

pub(super) type Answer = Result<Response, Problem>;
pub(super) type Body<T> = Result<Json<Object<T>>, JsonRejection>;
/// Of a request that needs none.
pub(super) type OptionalBody<T> = Result<Optional<T>, Problem>;

/// How many digits a revision has at most: so many fit into what revisions are counted with.
const MOST_DIGITS: usize = 19;

/// The parts of a path, as axum has them, with refusals of ours.
pub(super) struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Problem> {
        let axum::extract::Path(found) =
            axum::extract::Path::<T>::from_request_parts(parts, state).await?;
        Ok(Path(found))
    }
}

/// A JSON object that may be left out: what is meant without one says nothing. One that comes
/// without its type is refused and not overlooked.
pub(super) struct Optional<T>(T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for Optional<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Optional<T>, Problem> {
        let (parts, body) = request.into_parts();
        let body = Bytes::from_request(Request::new(body), state).await?;
        if body.is_empty() {
            return Ok(Optional(T::default()));
        }
        let request = Request::from_parts(parts, RawBody::from(body));
        let Json(Object(given)) = Json::<Object<T>>::from_request(request, state).await?;
        Ok(Optional(given))
    }
}

/// A JSON object. serde would take an array for one, with its fields in order.
#[derive(Debug, Default)]
pub(super) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// Gives an order about a service, and waits until it is in force.
pub(super) async fn give(
    admin: &Admin,
    service: &str,
    order: Order,
    by: By,
) -> Result<Granted, Problem> {
    let granted = admin.control.order(order, by).await;
    granted.map_err(|refused| admin.problem(refused, service))
}

pub(super) async fn change(admin: &Admin, name: &str, to: TrafficOrder, by: By) -> Answer {
    let order = Order::Shift { service: name.into(), to: to.clone() };
    let granted = admin.control.order(order, by.clone()).await.map_err(|refused| {
        let is_late = matches!(refused, Refused::LostRace(_));
        let problem = admin.problem(refused, name);
        match is_late {
            true => problem.with_made(made_already(&admin.state.borrow(), name, &to, &by)),
            false => problem,
        }
    })?;
    let (revision, unchanged) = match granted.answer {
        Made::Revision(revision) => (revision, false),
        Made::Already(revision) => (revision, true),
        _ => return Err(strange()),
    };
    let (made, storing) = (wire::Revision::from(&*revision), wire::Storing::of(granted.stored));
    let warnings = wire::warnings(&granted.warnings);
    let body = wire::Revision { storing, unchanged, warnings, ..made };
    Ok((etag(revision.number), Json(body)).into_response())
}

/// Whether the newest revision is what this order would have made, by the same author and for the
/// same reason, right after the one that it expects; none where that cannot be told.
fn made_already(state: &State, service: &str, to: &TrafficOrder, by: &By) -> Option<bool> {
    let newest = state.history(service).next()?;
    let is_same = match to {
        TrafficOrder::Weights(weights) => {
            let wanted = weights.iter().filter(|(_, share)| share.get() > 0);
            let wanted: Vec<_> = wanted.map(|(pool, share)| (&**pool, *share)).collect();
            let parts = newest.split.parts().iter().filter(|(_, share)| share.get() > 0);
            let mut parts: Vec<_> = parts.map(|(pool, share)| (&**pool, *share)).collect();
            parts.sort_unstable();
            parts == wanted
        }
        TrafficOrder::Flip { pool } => newest.split.weight(pool).get() == WHOLE,
        TrafficOrder::Back { to } => newest.split == state.revision(service, (*to)?)?.split,
    };
    let follows = by.expected.map(|expected| expected + 1) == Some(newest.number);
    Some(is_same && follows && newest.author == by.author && newest.reason == by.reason)
}

/// An order is answered with what it makes; this is what none is.
pub(super) fn strange() -> Problem {
    let detail = "the order was answered with something else than it makes";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "strange-answer", detail)
}

pub(super) fn by(
    headers: &HeaderMap,
    caller: &Caller,
    author: Option<String>,
    reason: Option<String>,
    force: bool,
) -> Result<By, Problem> {
    for (field, text) in [("author", author.as_ref()), ("reason", reason.as_ref())] {
        if text.is_some_and(|text| text.chars().count() > LONGEST_WORDS) {
            let detail = format!("{field}: at most {LONGEST_WORDS} characters");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-value", detail));
        }
    }
    Ok(By { author: caller.author(author), reason, expected: if_match(headers)?, force })
}

/// The revision an `If-Match` names, with or without the quotes; none for no condition or `*`. The
/// document of the API gives the same as a pattern.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut all = headers.get_all(header::IF_MATCH).into_iter();
    let (Some(given), None) = (all.next(), all.next()) else {
        return if headers.contains_key(header::IF_MATCH) { Err(bad_if_match()) } else { Ok(None) };
    };
    let text = given.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_number = bare.len() <= MOST_DIGITS && bare.bytes().all(|b| b.is_ascii_digit());
    let number = is_number.then(|| bare.parse().ok()).flatten();
    number.map(Some).ok_or_else(bad_if_match)
}

fn bad_if_match() -> Problem {
    let detail = "If-Match takes one ETag, such as \"7\", or *";
    Problem::new(StatusCode::BAD_REQUEST, "bad-if-match", detail)
}

pub(super) fn etag(revision: u64) -> [(header::HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"{revision}\""));
    [(header::ETAG, value.expect("digits in quotes are a valid field value"))]
}

pub(super) fn find<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s Service, Problem> {
    let missing = || Problem::of(Refused::NoService(name.to_string()), name, snapshot);
    snapshot.service(name).ok_or_else(missing)
}

/// What a body says that may be left out.
pub(super) fn given<T>(body: OptionalBody<T>) -> Result<T, Problem> {
    body.map(|Optional(given)| given)
}
