//! The document of the API: what the handlers say of themselves in, the whole of it out.
//!
//! What holds for many operations is said once, here: who may ask, what can be wrong with a path, a
//! query or a body, and that errors are problem documents.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::{forms, roles};
use crate::config::Role;

/// The type of all errors (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// The whole document as JSON.
pub(super) fn whole(described: &OpenApi) -> Value {
    // Types of text and numbers, which always serialize.
    let mut document = serde_json::to_value(described).unwrap_or_default();
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                complete(path, method, operation);
            }
        }
    }
    forms::complete(&mut document);
    document["components"]["securitySchemes"] =
        json!({"token": {"type": "http", "scheme": "bearer"}});
    document
}

fn complete(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let may_fail = failures(path, method, operation);
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    parameters.into_iter().flatten().for_each(forms::parameter);
    if let Some(role) = needed(path, method) {
        // Without a `token_file` nobody needs one. The names are roles (OpenAPI 3.1, 4.8.30).
        let token = json!({"token": [role.name()]});
        let security = match role {
            Role::Alerts => json!([token]),
            _ => json!([token, {}]),
        };
        operation.insert("security".into(), security);
    }
    if let Some(body) = operation.get_mut("requestBody").and_then(Value::as_object_mut) {
        let is_optional = body.values().any(|content| {
            content.as_object().into_iter().flatten().any(|(kind, content)| {
                kind == "application/toml" || content["schema"]["oneOf"].is_array()
            })
        });
        body.insert("required".into(), Value::Bool(!is_optional));
        for content in body["content"].as_object_mut().into_iter().flatten() {
            plain_schema(content.1);
        }
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for (status, response) in &mut *responses {
        if status.starts_with(['4', '5'])
            && let Some(content) = response.get_mut("content").and_then(Value::as_object_mut)
            && let Some(body) = content.remove("application/json")
        {
            content.insert(PROBLEM.into(), body);
        }
    }
    for (status, why) in may_fail {
        let schema = json!({"$ref": "#/components/schemas/Problem"});
        let response = json!({"description": why, "content": {PROBLEM: {"schema": schema}}});
        responses.entry(status.as_str()).or_insert(response);
    }
}

/// The role that an operation needs; none for probes.
fn needed(path: &str, method: &str) -> Option<Role> {
    let method = method.to_uppercase().parse().unwrap_or_default();
    roles::operation(&method, path).role
}

/// A body that may be left out is not one that may be null.
fn plain_schema(content: &mut Value) {
    let given = content["schema"]["oneOf"].as_array();
    let given = given.and_then(|kinds| kinds.iter().find(|kind| kind.get("$ref").is_some()));
    if let Some(given) = given.cloned() {
        content["schema"] = given;
    }
}

/// What can be wrong with any operation of this kind.
fn failures(
    path: &str,
    method: &str,
    operation: &Map<String, Value>,
) -> Vec<(StatusCode, &'static str)> {
    let parameters = || operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let takes = |place: &str| parameters().any(|parameter| parameter["in"] == place);
    let takes_body = |kind: &str| {
        operation.get("requestBody").is_some_and(|body| body["content"].get(kind).is_some())
    };
    let mut all = Vec::new();
    if needed(path, method).is_some() {
        all.push((StatusCode::UNAUTHORIZED, "No token, or one that is not known"));
        let why = "The token's role, services or networks do not admit it; without one: on behalf of \
                   another site, or to another host name";
        all.push((StatusCode::FORBIDDEN, why));
    }
    if takes("path") || takes("query") {
        all.push((StatusCode::BAD_REQUEST, "The path or a parameter cannot be read"));
    }
    if takes("header") {
        all.push((StatusCode::BAD_REQUEST, "If-Match is no revision"));
        all.push((StatusCode::PRECONDITION_FAILED, "Another change came first"));
    }
    if takes_body("application/json") {
        all.push((StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body's type is not given, or another"));
    }
    // Whether it belongs there or not.
    all.push((StatusCode::BAD_REQUEST, "The body is no JSON, or broke off"));
    all.push((StatusCode::REQUEST_TIMEOUT, "The body was not here in time"));
    all.push((StatusCode::PAYLOAD_TOO_LARGE, "The body is too long"));
    if method != "get" {
        all.push((StatusCode::CONFLICT, "As things stand it cannot be done"));
        all.push((StatusCode::UNPROCESSABLE_ENTITY, "It says what makes no sense"));
        all.push((StatusCode::SERVICE_UNAVAILABLE, "The process stops, or the disk hangs"));
        all.push((StatusCode::INSUFFICIENT_STORAGE, "It cannot be stored; nothing has changed"));
        all.push((StatusCode::INTERNAL_SERVER_ERROR, "A fault of Pointsman's own"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::api;

    #[test]
    fn what_is_refused_for_its_form_is_described() {
        let document = whole(&api().1);
        let flip = &document["paths"]["/v1/services/{service}/flip"]["post"]["parameters"];
        let condition = flip.as_array().unwrap().iter().find(|one| one["name"] == "If-Match");
        let pattern = "^(\\*|\"[0-9]{1,19}\"|[0-9]{1,19})$";
        assert_eq!(condition.unwrap()["schema"]["pattern"], pattern);
        let schemas = &document["components"]["schemas"];
        let most = &schemas["PutMode"]["properties"]["most"];
        assert_eq!((&most["minimum"], &most["maximum"]), (&json!(1), &json!(100_000)), "{most}");
        let weight = &schemas["PostUpstream"]["properties"]["weight"];
        assert_eq!((&weight["minimum"], &weight["maximum"]), (&json!(1), &json!(10_000)));
        let limit = &document["paths"]["/v1/requests"]["get"]["parameters"][0]["schema"];
        assert_eq!(limit["maximum"], json!(u64::MAX), "{limit}");
        let mode = &document["paths"]["/v1/services/{service}/mode"]["put"]["responses"];
        assert!(mode["409"].is_object());
    }
}
