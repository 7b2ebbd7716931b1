//! What handlers share: who asks for what, of which service, and what is answered.

use std::fmt;
use std::marker::PhantomData;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};
use crate::control::Granted;
use crate::orders::{By, Made, Order, Refused, TrafficOrder};
use crate::snapshot::{Service, Snapshot};

pub(super) type Answer = Result<Response, Problem>;
pub(super) type Body<T> = Result<Json<Object<T>>, JsonRejection>;
/// Of a request that needs none.
pub(super) type OptionalBody<T> = Result<Option<Json<Object<T>>>, JsonRejection>;

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
    let order = Order::Shift { service: name.into(), to };
    let granted = give(admin, name, order, by).await?;
    let (revision, unchanged) = match granted.answer {
        Made::Revision(revision) => (revision, false),
        Made::Already(revision) => (revision, true),
        _ => return Err(strange()),
    };
    let (made, storing) = (wire::Revision::from(&*revision), wire::Storing::of(granted.stored));
    let body = wire::Revision { storing, unchanged, ..made };
    Ok((etag(revision.number), Json(body)).into_response())
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
    let author = caller.author(author);
    Ok(By { author, reason, expected: if_match(headers)?, force })
}

/// The revision an `If-Match` names; none for no condition or `*`.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(given) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = given.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    text.trim_matches('"').parse().map(Some).map_err(|_| {
        let detail = "If-Match takes one ETag, such as \"7\", or *";
        Problem::new(StatusCode::BAD_REQUEST, "bad-if-match", detail)
    })
}

pub(super) fn etag(revision: u64) -> [(header::HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"{revision}\""));
    [(header::ETAG, value.expect("digits in quotes are a valid field value"))]
}

pub(super) fn find<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s Service, Problem> {
    let missing = || Problem::of(Refused::NoService(name.to_string()), name, snapshot);
    snapshot.service(name).ok_or_else(missing)
}

/// What a body says; what is meant without one says nothing.
pub(super) fn given<T: Default>(body: OptionalBody<T>) -> Result<T, Problem> {
    Ok(body?.map(|Json(Object(body))| body).unwrap_or_default())
}
