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
use crate::orders::{Order, Refused, Target};
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

pub(super) async fn change(admin: &Admin, service: &str, to: Target, order: Order) -> Answer {
    let shifted = admin.control.shift(service, to, order).await;
    let revision = shifted.map_err(|refused| admin.problem(refused, service))?;
    Ok((etag(revision.number), Json(wire::Revision::from(revision))).into_response())
}

pub(super) fn order(
    headers: &HeaderMap,
    caller: &Caller,
    author: Option<String>,
    reason: Option<String>,
    force: bool,
) -> Result<Order, Problem> {
    let author = caller.author(author);
    Ok(Order { author, reason, expected: if_match(headers)?, force })
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
