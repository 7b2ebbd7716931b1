//! Routes: a list of tables in, what leads where and what else it does out.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use http::Method;
use http::header::HeaderName;
use toml::Spanned;
use toml::de::DeValue;

use super::actions::{ANSWER, Actions, FIELDS, REDIRECT, REPLACE, Read, TIMEOUTS, actions};
use super::advice::Together;
use super::auth::{AUTH, AUTH_SHOWN};
use super::key::{Key, Kind, Shape, Table, Without, size_option, table, text_option, texts, word};
use super::opt_in::OVERRIDE;
use super::rate::{RATE_LIMIT, rate_limit};
use super::read::{NamedService, missing};
use super::section::{Found, Section, text_of};
use super::suggestion::nearest;
use super::{Level, Problem, Problems};
use crate::rate::RateSettings;
use crate::route::{HeaderCondition, HostPattern, PathPattern, Route, RouteTable};

pub(super) static ROUTE: Table = Table::new(
    "Routes: of all that match, the most specific wins: host (exact, longest wildcard, any), then path \
     (exact, longest prefix), then methods over none, then more header conditions. Without any route a \
     single service takes everything. docs/routes.md says what a route may do beside.",
    &[
        texts("hosts", &[])
            .example("[\"shop.example.com\", \"*.shop.example.com\"]")
            .about("default: any host")
            .told_apart(),
        text_option("path_prefix", "\"/\"")
            .example("\"/\"")
            .about("whole segments: /api covers /api/v1, not /apis")
            .told_apart(),
        text_option("path", "\"/exact\"").about("instead of path_prefix").told_apart(),
        texts("methods", &[])
            .option("[\"GET\", \"HEAD\"]")
            .about("default: any method")
            .told_apart(),
        Key::of("headers", Kind::Fields)
            .shape(Shape::Conditions)
            .option("{ x-beta = \"1\", x-trial = true }")
            .about("all of these; true: present with any value")
            .told_apart(),
        text_option("service", "\"shop\"")
            .example("\"shop\"")
            .about("or a `redirect` or an `answer`, below")
            .told_apart(),
        texts("allow", &[]).option("[\"10.0.0.0/8\"]").about(
            "addresses or networks of clients, as `trusted_proxies` tell them: nobody else is let in",
        ),
        texts("deny", &[]).option("[\"192.0.2.0/24\"]").about("and these are not, either way"),
        table("auth", &AUTH, Without::Off).lines(AUTH_SHOWN),
        word("encoded", &["refuse", "pass"]).about(
            "of hosts with a route that does not let everybody in: whether a path with %2F, %5C or \\ \
             gets 400; \"pass\" passes paths on as they were spelled",
        ),
        text_option("strip_prefix", "\"/api\"")
            .about("taken off the path before the upstream is asked: /api/v1 becomes /v1"),
        text_option("host", "\"shop.internal\"")
            .about("what the upstream is told in Host; default: what the client asked for")
            .absent("what the client asked for"),
        size_option("body_limit", (0, 1 << 44), "\"10MiB\"")
            .about("of a request; what is longer gets a 413; 0 for any; default: the service's")
            .absent("the service's"),
        table("redirect", &REDIRECT, Without::Off).lines(REDIRECT_SHOWN),
        table("answer", &ANSWER, Without::Off).lines(ANSWER_SHOWN),
        table("replace_prefix", &REPLACE, Without::Off).lines(REPLACE_SHOWN),
        table("request", &FIELDS, Without::Off).lines(REQUEST_SHOWN),
        table("response", &FIELDS, Without::Off).lines(RESPONSE_SHOWN),
        table("timeouts", &TIMEOUTS, Without::Off).lines(TIMEOUTS_SHOWN),
        table("override", &OVERRIDE, Without::Off).lines(OVERRIDE_SHOWN),
        table("rate_limit", &RATE_LIMIT, Without::Off).lines(RATE_LIMIT_SHOWN).told_apart(),
    ],
);

const REDIRECT_SHOWN: &str = "\
# In place of a service: leads elsewhere, with 301, 302, 303, 307 or 308. {scheme}, {host}, {path},
# {rest} (what follows path_prefix) and {1} to {9} (segments of the path) stand for what was asked
# for; the query is kept, unless there is a `?` here: then {query} is it. {host} needs `hosts`.
# redirect = { to = \"https://www.example.com{path}\", status = 308 }
";

const ANSWER_SHOWN: &str = "\
# In place of a service: an answer of its own, with a body or a file beside this one.
# answer = { status = 200, headers = { content-type = \"text/plain\" }, body = \"User-agent: *\" }
# answer = { file = \"robots.txt\" }
";

const REPLACE_SHOWN: &str = "\
# replace_prefix = { from = \"/old\", to = \"/new\" }   # another beginning for the upstream's path
";

const REQUEST_SHOWN: &str = "\
# Fields of requests as the upstream gets them, and of answers as the client does (not of those that
# tell of errors). A text may have {client}, {request_id}, {service}, {pool}, {revision}, {host} and
# {scheme}; where nobody knows one, the field is left out.
# request = { set = { x-real-ip = \"{client}\" }, add = { x-via = \"edge\" }, remove = [\"x-debug\"] }
";

const RESPONSE_SHOWN: &str = "\
# response = { set = { x-frame-options = \"DENY\" }, remove = [\"server\"] }   # likewise
";

const TIMEOUTS_SHOWN: &str = "\
# In place of the service's.
# timeouts = { connect = \"2s\", response = \"5m\", idle = \"5m\", stream_idle = \"1h\" }
";

const OVERRIDE_SHOWN: &str = "\
# override = { cookie = \"preview\", from = [\"10.0.0.0/8\"] }   # in place of the service's; the same keys
";

/// What the reference shows of a route's limit.
const RATE_LIMIT_SHOWN: &str = "\
# rate_limit = { requests = 10, per = \"1m\" }   # of this route; the keys are those of a service's
";

/// A route that was read.
pub(super) struct ReadRoute {
    pub route: Route,
    pub limit: Option<Arc<RateSettings>>,
    pub actions: Option<Arc<Actions>>,
    /// Where its file of passwords is named, if it has one.
    pub basic: Option<Range<usize>>,
}

pub(super) fn routes(
    file: &mut Section<'_>,
    problems: &mut Problems,
    services: &[NamedService],
    has_https: bool,
) -> Vec<ReadRoute> {
    let mut routes = Vec::new();
    let mut places = Vec::new();
    let by_name: HashMap<&str, usize> =
        services.iter().enumerate().map(|(place, s)| (s.name.as_str(), place)).collect();
    let sections = file.tables(problems, "routes");
    if sections.is_empty() && !file.has("routes") && services.len() == 1 {
        // One service and nothing said: all goes there.
        return vec![everything_to(0)];
    }
    if sections.is_empty() && services.len() > 1 {
        let example =
            format!("[[routes]]\npath_prefix = \"/\"\nservice = \"{}\"", services[0].name);
        let message = "no route: of several services none would get a request";
        problems.0.push(missing(message, &example));
        return routes;
    }
    let complete = sections.len();
    let mut reached = vec![false; services.len()];
    for mut section in sections {
        let span = section.span.clone();
        let before = problems.0.len();
        // Each of many mistakes would be compared with each of many names.
        let are_many = problems.are_many();
        let service = section.text(problems, "service", |name| match by_name.get(name) {
            Some(&place) => Ok(place),
            None => Err(match nearest(name, by_name.keys().copied().filter(|_| !are_many)) {
                Some(near) => format!("no service is named `{name}`; did you mean `{near}`?"),
                None => format!("no service is named `{name}`"),
            }),
        });
        only_one(&mut section, problems);
        if let Some(place) = &service {
            reached[place.value] = true;
        }
        let route = route(section, problems, service.map(|found| found.value));
        if problems.0[before..].iter().all(|problem| problem.level == Level::Warning) {
            routes.push(route);
            places.push(span);
        }
    }
    let unreached = services.iter().zip(&reached).filter(|(_, reached)| !**reached);
    // A route whose service is mistyped would have led somewhere.
    for (service, _) in unreached.filter(|_| routes.len() == complete) {
        let message = format!("no route leads to service `{}`", service.name);
        problems.0.push(Problem::error(service.span.clone(), message).warning());
    }
    if routes.len() < complete {
        return routes;
    }
    match RouteTable::build(routes.iter().map(|read| &read.route)) {
        Ok(table) => {
            let (routes, places) = (&routes, &places);
            Together { routes, places, table: &table, has_https }.advise(problems);
        }
        Err(ties) => {
            for tie in ties {
                let message = "two routes match the same requests and neither is more specific";
                let problem =
                    Problem::error(places[tie.second].clone(), message).label("the second");
                let problem = problem.other(places[tie.first].clone(), "the first");
                problems
                    .0
                    .push(problem.help("give one another host or path, or more header conditions"));
            }
        }
    }
    routes
}

/// What a route does with its requests is one thing.
fn only_one(section: &mut Section<'_>, problems: &mut Problems) {
    const KEYS: [&str; 3] = ["service", "redirect", "answer"];
    let given: Vec<&str> = KEYS.into_iter().filter(|key| section.has(key)).collect();
    match given[..] {
        [_] => {}
        [] => {
            let problem = Problem::error(section.span.clone(), "a route needs a `service`");
            problems.0.push(problem.help("or a `redirect`, or an `answer` of its own"));
        }
        [first, second, ..] => {
            let message = format!("a route has either a `{first}` or a `{second}`");
            let problem = Problem::error(section.place(second), message).label("the second");
            problems.0.push(problem.other(section.place(first), "the first"));
        }
    }
}

fn route(mut section: Section<'_>, problems: &mut Problems, service: Option<usize>) -> ReadRoute {
    let hosts = section.texts(problems, "hosts", HostPattern::parse);
    let exact = section.text(problems, "path", PathPattern::exact);
    let prefix = section.text(problems, "path_prefix", PathPattern::prefix);
    if let (Some(_), Some(prefix)) = (&exact, &prefix) {
        let message = "a route has either a `path` or a `path_prefix`";
        problems.0.push(Problem::error(prefix.span.clone(), message));
    }
    let methods = section.texts(problems, "methods", |text| match text.parse::<Method>() {
        Ok(method) if method.as_str() == text.to_ascii_uppercase() => Ok(method),
        _ => Err("not a method; methods are written in capitals, such as `GET`"),
    });
    for key in ["hosts", "methods"] {
        section.no_empty_list(problems, key, "no request would match", "leave it out for any");
    }
    let headers = section.table_if_given(problems, "headers").map_or_else(Vec::new, |section| {
        let condition = |(name, value): (Found<&str>, &Spanned<DeValue<'_>>)| {
            let Ok(field) = name.value.parse::<HeaderName>() else {
                problems.0.push(Problem::error(name.span, "not a header field name"));
                return None;
            };
            // `x = true` asks for the field, whatever its value.
            let wanted = match value.get_ref().as_bool() {
                Some(true) => None,
                _ => Some(
                    text_of(problems, name.value, value, |v| Ok::<_, &str>(v.to_string()))?.value,
                ),
            };
            Some(HeaderCondition { name: field, value: wanted })
        };
        section.entries().filter_map(condition).collect()
    });
    let limit = section.table_if_given(problems, "rate_limit");
    let limit = limit.and_then(|section| rate_limit(section, problems));
    let path = exact.or(prefix).map_or_else(PathPattern::any, |found| found.value);
    let names_hosts = !hosts.is_empty();
    let Read { actions, basic } = actions(&mut section, problems, names_hosts);
    section.close(problems);
    let is_guarded = actions.as_ref().is_some_and(|actions| actions.is_guarded());
    let route = Route {
        hosts: hosts.into_iter().map(|found| found.value).collect(),
        path,
        methods: methods.into_iter().map(|found| found.value).collect(),
        headers,
        service,
        is_guarded,
    };
    ReadRoute { route, limit, actions: actions.map(Arc::new), basic }
}

/// The route that takes every request.
fn everything_to(service: usize) -> ReadRoute {
    let (path, service) = (PathPattern::any(), Some(service));
    let (hosts, methods, headers, is_guarded) = Default::default();
    let route = Route { hosts, path, methods, headers, service, is_guarded };
    ReadRoute { route, limit: None, actions: None, basic: None }
}
