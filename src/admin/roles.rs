//! Which role each operation needs: the one table by which requests are let through and from which
//! the API's document is made.
//!
//! An operation that is not in it is for `admin` alone, and a test finds it.

use std::fmt;

use axum::http::Method;

use crate::config::Role;

/// What it takes to ask for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    method: &'static str,
    path: &'static str,
    /// None for probes, which come without credentials and learn nothing but yes or no.
    pub role: Option<Role>,
    pub scope: Scope,
    /// Whether something changes, or what is secret is given out: then it is told with its source.
    pub is_recorded: bool,
}

/// What an operation is about, which decides for tokens that are bound to services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The service in its path.
    Service,
    /// All services, of which a bound token is told its own.
    Each,
    /// Nothing that is of any service.
    None,
    /// The process as a whole: for no bound token.
    Whole,
}

/// What it takes to ask for what is not in the table.
const UNKNOWN: Operation = Operation {
    method: "",
    path: "",
    role: Some(Role::Admin),
    scope: Scope::Whole,
    is_recorded: true,
};

/// Where alerts of others come in: by machines, which bring a token on this machine too.
pub(super) const ALERTS: &str = "/v1/alerts";

/// The page's own files.
pub(super) const PAGE: [&str; 2] = ["/", "/page/{file}"];

impl Operation {
    /// Whether a token is needed where other operations need none.
    pub fn always_needs_token(&self) -> bool {
        self.role == Some(Role::Alerts)
    }

    /// The longest body that it takes, in bytes.
    pub fn longest_body(&self) -> usize {
        // A config of thousands of services is shorter than that.
        if self.always_needs_token() { 1024 * 1024 } else { 2 * 1024 * 1024 }
    }

    /// Whether it is the page, which is everybody's.
    pub fn is_page(&self) -> bool {
        PAGE.contains(&self.path)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// All that a role may ask for, bound to services or not.
pub(super) fn all_for(role: Role, is_bound: bool) -> impl Iterator<Item = &'static Operation> {
    TABLE.iter().filter(move |operation| {
        let admits = operation.role.is_some_and(|needed| role.admits(needed));
        (admits || operation.scope == Scope::None) && !(is_bound && operation.scope == Scope::Whole)
    })
}

/// What it takes to ask for this path, as routes name it, by this method.
pub(super) fn operation(method: &Method, path: &str) -> &'static Operation {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let found = TABLE.iter().find(|known| known.method == method && known.path == path);
    found.unwrap_or(&UNKNOWN)
}

/// Whether a request with this method and path asks only: whoever gets no answer to it has changed
/// nothing. What is not in the table may be an order of another version.
pub(crate) fn is_question(method: &Method, path: &str) -> bool {
    // Those that are asked with a body have nobody's name in their paths.
    let is_asked = |known: &Operation| known.path == path && !known.is_recorded;
    matches!(*method, Method::GET | Method::HEAD)
        || *method == Method::POST
            && TABLE.iter().any(|known| known.method == "POST" && is_asked(known))
}

const fn look(path: &'static str, scope: Scope) -> Operation {
    Operation { method: "GET", path, role: Some(Role::Read), scope, is_recorded: false }
}

/// What takes more words to ask for than a path has, and changes nothing.
const fn asks(path: &'static str, scope: Scope) -> Operation {
    Operation { method: "POST", path, role: Some(Role::Read), scope, is_recorded: false }
}

const fn of_service(method: &'static str, path: &'static str, role: Role) -> Operation {
    Operation { method, path, role: Some(role), scope: Scope::Service, is_recorded: true }
}

/// What is of the services that its body or what it is about names.
const fn of_each(method: &'static str, path: &'static str, role: Role) -> Operation {
    Operation { method, path, role: Some(role), scope: Scope::Each, is_recorded: true }
}

const fn whole(
    method: &'static str,
    path: &'static str,
    role: Role,
    is_recorded: bool,
) -> Operation {
    Operation { method, path, role: Some(role), scope: Scope::Whole, is_recorded }
}

const fn probe(path: &'static str) -> Operation {
    Operation { method: "GET", path, role: None, scope: Scope::None, is_recorded: false }
}

/// The operations of the API that take a query. Of all others one is refused; what asks for probes and
/// metrics may add one of its own.
const WITH_QUERY: [(&str, &str); 5] = [
    ("GET", "/v1/events"),
    ("GET", "/v1/live"),
    ("GET", "/v1/requests"),
    ("POST", "/v1/config/reload"),
    ("DELETE", "/v1/services/{service}/pools/{pool}/upstreams/{address}"),
];

impl Operation {
    /// Whether it takes a query, or passes over one.
    pub fn takes_query(&self) -> bool {
        !self.path.starts_with("/v1/") || WITH_QUERY.contains(&(self.method, self.path))
    }
}

#[rustfmt::skip]
static TABLE: [Operation; 70] = [
    probe("/livez"),
    probe("/readyz"),
    probe("/"),
    probe("/page/{file}"),
    look("/openapi.json", Scope::None),
    look("/v1/me", Scope::None),
    look("/v1/live", Scope::Each),
    look("/metrics", Scope::Whole),
    look("/v1/status", Scope::Each),
    look("/v1/services", Scope::Each),
    look("/v1/events", Scope::Each),
    look("/v1/requests", Scope::Each),
    look("/v1/requests/{id}", Scope::Each),
    asks("/v1/explain", Scope::Each),
    look("/v1/incidents", Scope::Each),
    look("/v1/incidents/{id}", Scope::Each),
    look("/v1/incidents/{id}/suggestions", Scope::Each),
    look("/v1/incidents/{id}/report", Scope::Each),
    look("/v1/alerts", Scope::Each),
    of_each("POST", "/v1/incidents", Role::Shift),
    of_each("POST", "/v1/incidents/{id}/notes", Role::Shift),
    of_each("POST", "/v1/incidents/{id}/update", Role::Shift),
    of_each("POST", "/v1/incidents/{id}/mitigate", Role::Shift),
    of_each("POST", "/v1/incidents/{id}/close", Role::Shift),
    // Sent again and again: what turns is told by itself.
    whole("POST", ALERTS, Role::Alerts, false),
    look("/v1/flags", Scope::Whole),
    look("/v1/flags/{flag}", Scope::Whole),
    look("/v1/services/{service}", Scope::Service),
    look("/v1/services/{service}/split", Scope::Service),
    look("/v1/services/{service}/revisions", Scope::Service),
    look("/v1/services/{service}/pools", Scope::Service),
    look("/v1/services/{service}/pools/{pool}", Scope::Service),
    look("/v1/services/{service}/mirror", Scope::Service),
    look("/v1/services/{service}/rollout", Scope::Service),
    look("/v1/services/{service}/rollouts", Scope::Service),
    look("/v1/services/{service}/rollouts/{id}", Scope::Service),
    look("/v1/services/{service}/rollouts/{id}/report", Scope::Service),
    look("/v1/services/{service}/recording", Scope::Service),
    look("/v1/services/{service}/slo", Scope::Service),
    look("/v1/services/{service}/capacity", Scope::Service),
    of_service("PUT", "/v1/services/{service}/split", Role::Shift),
    of_service("POST", "/v1/services/{service}/flip", Role::Shift),
    of_service("POST", "/v1/services/{service}/rollback", Role::Shift),
    of_service("POST", "/v1/services/{service}/rollout", Role::Shift),
    of_service("POST", "/v1/services/{service}/rollout/{verb}", Role::Shift),
    of_service("PUT", "/v1/services/{service}/freeze", Role::Shift),
    of_service("DELETE", "/v1/services/{service}/freeze", Role::Shift),
    of_service("PUT", "/v1/services/{service}/mode", Role::Shift),
    of_service("PUT", "/v1/services/{service}/labelled/state", Role::Shift),
    of_service("PUT", "/v1/services/{service}/pools/{pool}/breaker", Role::Shift),
    of_service("PUT", "/v1/services/{service}/pools/{pool}/upstreams/{address}/breaker", Role::Shift),
    of_service("PUT", "/v1/services/{service}/pools/{pool}/upstreams/{address}/state", Role::Shift),
    of_service("POST", "/v1/services/{service}/deploy", Role::Deploy),
    of_service("POST", "/v1/services/{service}/pools/{pool}/upstreams", Role::Deploy),
    of_service("DELETE", "/v1/services/{service}/pools/{pool}/upstreams/{address}", Role::Deploy),
    whole("PUT", "/v1/flags/{flag}", Role::Shift, true),
    // It has the secret of cohorts.
    whole("GET", "/v1/store", Role::Admin, true),
    // The text of a config may have secrets, such as the paths that notices are sent to.
    whole("GET", "/v1/config", Role::Admin, true),
    whole("POST", "/v1/config/check", Role::Admin, false),
    whole("POST", "/v1/config/diff", Role::Admin, false),
    whole("POST", "/v1/config/explain", Role::Admin, false),
    whole("POST", "/v1/config/reload", Role::Admin, true),
    whole("POST", "/v1/upgrade", Role::Admin, true),
    // It rings whoever is on call.
    whole("POST", "/v1/notify/test", Role::Shift, true),
    look("/v1/logs", Scope::Whole),
    look("/v1/doctor", Scope::Whole),
    look("/v1/automation", Scope::Whole),
    whole("POST", "/v1/automation/stop", Role::Shift, true),
    whole("POST", "/v1/automation/start", Role::Shift, true),
    whole("PUT", "/v1/logs", Role::Admin, true),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::admin::{api, description};

    #[test]
    fn those_that_take_a_query_are_those_that_are_described_with_one() {
        let document = description::whole(&api().1);
        for known in &TABLE {
            let described =
                &document["paths"][known.path][known.method.to_lowercase()]["parameters"];
            let mut parameters = described.as_array().into_iter().flatten();
            let has_query = parameters.any(|parameter| parameter["in"] == "query");
            let is_of_api = known.path.starts_with("/v1/");
            assert!(
                !is_of_api || known.takes_query() == has_query,
                "{} {}",
                known.method,
                known.path
            );
        }
    }

    #[test]
    fn each_operation_has_a_role_and_each_role_of_the_table_an_operation() {
        let document = description::whole(&api().1);
        let undescribed = PAGE.into_iter().chain(["/openapi.json"]);
        let mut described: BTreeSet<_> =
            undescribed.map(|path| ("GET".to_string(), path.to_string())).collect();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let method = method.to_uppercase();
                let found = operation_named(&method, path);
                let role = found.role.map(|role| match found.always_needs_token() {
                    true => serde_json::json!([{"token": [role.name()]}]),
                    false => serde_json::json!([{"token": [role.name()]}, {}]),
                });
                assert_eq!(operation.get("security"), role.as_ref(), "{method} {path}");
                described.insert((method, path.clone()));
            }
        }
        let rows = TABLE.iter().map(|row| (row.method.to_string(), row.path.to_string()));
        assert_eq!(rows.collect::<BTreeSet<_>>(), described);
    }

    fn operation_named(method: &str, path: &str) -> &'static Operation {
        operation(&method.parse().unwrap(), path)
    }

    #[test]
    fn what_is_of_a_service_has_it_in_its_path_and_what_changes_is_no_get() {
        for row in &TABLE {
            let named = row.path.contains("{service}");
            assert_eq!(row.scope == Scope::Service, named, "{}", row.path);
            let is_secret = row.role == Some(Role::Admin);
            assert!(!row.is_recorded || row.method != "GET" || is_secret, "{}", row.path);
            let is_for_readers = row.method == "GET" || row.path == "/v1/explain";
            assert!(row.role != Some(Role::Read) || is_for_readers, "{}", row.path);
            // By its path alone a question is known, and what is not on the record is one.
            let asks = row.method == "GET" || !row.is_recorded;
            assert!(!asks || row.method == "GET" || !row.path.contains('{'), "{}", row.path);
            let method: Method = row.method.parse().unwrap();
            assert_eq!(is_question(&method, row.path), asks, "{row}");
        }
        assert!(!is_question(&Method::POST, "/v1/what/is/not/known"));
        assert_eq!(operation(&Method::HEAD, "/metrics"), operation(&Method::GET, "/metrics"));
        assert_eq!(operation(&Method::PATCH, "/v1/services").role, Some(Role::Admin));
    }
}
