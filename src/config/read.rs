//! The file as a whole: its text in, a [`Config`] out, with every problem on the way noted.

use std::collections::HashMap;
use std::ops::Range;

use http::Method;
use http::header::HeaderName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::flags::flags;
use super::notify::notify;
use super::section::{Found, Section, nearest, section_of, text_of};
use super::server::server;
use super::service::service;
use super::values::checked_name;
use super::{Admin, Config, ListenAddress, Problem, Problems, Service};
use crate::route::{HeaderCondition, HostPattern, PathPattern, Route, RouteTable};

pub(super) fn parse(text: &str) -> Result<(Config, Problems), Problems> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut problems = Problems::default();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        problems.0.push(Problem::error(span, error.message()));
    }
    if problems.any_error() {
        // What follows a broken line would be blamed for what the line hides.
        return Err(problems);
    }
    let config = read(&root, &mut problems);
    problems.0.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
    match config {
        Some(config) if !problems.any_error() => Ok((config, problems)),
        _ => Err(problems),
    }
}

fn read(root: &Spanned<DeTable<'_>>, problems: &mut Problems) -> Option<Config> {
    let mut file = Section::new("", root.get_ref(), 0..0);
    let server = file.section(problems, "server").map(|section| server(section, problems));
    let listeners = listeners(&mut file, problems);
    let admin = file.section(problems, "admin").map(|section| admin(section, problems));
    let allows_commands = server.as_ref().is_some_and(|server| server.allow_commands);
    let services = services(&mut file, problems, allows_commands);
    let routes = routes(&mut file, problems, &services);
    let notify = notify(&mut file, problems);
    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    let flags = flags(&mut file, problems, &names);
    file.close(problems);
    Some(Config {
        server: server.unwrap_or_default(),
        listeners,
        admin: admin.unwrap_or_default(),
        routes,
        services: services.into_iter().map(|found| found.value).collect::<Option<_>>()?,
        notify,
        flags,
    })
}

fn listeners(file: &mut Section<'_>, problems: &mut Problems) -> Vec<ListenAddress> {
    let mut seen: Vec<Found<ListenAddress>> = Vec::new();
    let sections = file.sections(problems, "listeners");
    let is_empty = file
        .value("listeners")
        .is_none_or(|value| value.get_ref().as_array().is_some_and(|list| list.is_empty()));
    if is_empty {
        problems.0.push(missing(
            "no listener: nothing would be accepted",
            "[[listeners]]\naddress = \"0.0.0.0:8080\"",
        ));
    }
    for mut section in sections {
        match section.text(problems, "address", str::parse::<ListenAddress>) {
            None if section.value("address").is_none() => {
                let message = "a listener needs an `address`";
                problems.0.push(Problem::error(section.span.clone(), message));
            }
            None => {}
            Some(found) => match seen.iter().find(|other| other.value == found.value) {
                // Port 0 is a fresh port each time.
                Some(first) if !matches!(&found.value, ListenAddress::Tcp(s) if s.port() == 0) => {
                    let message = format!("two listeners on `{}`", found.value);
                    let problem = Problem::error(found.span, message).label("the second");
                    problems.0.push(problem.other(first.span.clone(), "the first"));
                }
                _ => seen.push(found),
            },
        }
        section.close(problems);
    }
    seen.into_iter().map(|found| found.value).collect()
}

fn admin(mut section: Section<'_>, problems: &mut Problems) -> Admin {
    let default = Admin::default();
    let address = section.text(problems, "address", str::parse::<ListenAddress>);
    let token_file = section.text(problems, "token_file", |text| match text.is_empty() {
        true => Err("expected a path"),
        false => Ok(std::path::PathBuf::from(text)),
    });
    if let Some(found) = &address
        && !found.value.is_local()
        && section.value("token_file").is_none()
    {
        let problem = Problem::error(
            found.span.clone(),
            "this admin address can be reached from other machines",
        );
        problems.0.push(problem.label("needs a `token_file`").help(
            "add `token_file = \"admin.token\"`, or bind 127.0.0.1 or `unix:/run/pointsman.sock`",
        ));
    }
    section.close(problems);
    Admin {
        address: address.map_or(default.address, |found| found.value),
        token_file: token_file.map(|found| found.value),
    }
}

/// Every service with the place of its name; none where it could not be read.
fn services(
    file: &mut Section<'_>,
    problems: &mut Problems,
    allows_commands: bool,
) -> Vec<NamedService> {
    let Some(section) = file.section(problems, "services") else {
        if file.value("services").is_none() {
            let example = "[services.shop.pools.blue]\nupstreams = [\"127.0.0.1:9001\"]";
            problems.0.push(missing("no service: there is nowhere to send requests", example));
        }
        return Vec::new();
    };
    let mut services: Vec<_> = section
        .entries()
        .map(|(name, value)| {
            let full = format!("services.{}", name.value);
            let checked = checked_name(problems, &name, "service");
            let read = section_of(problems, name.value, full, value)
                .and_then(|section| service(checked?, section, problems, allows_commands));
            NamedService { name: name.value.to_string(), span: name.span, value: read }
        })
        .collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    services
}

struct NamedService {
    name: String,
    span: Range<usize>,
    value: Option<Service>,
}

fn routes(
    file: &mut Section<'_>,
    problems: &mut Problems,
    services: &[NamedService],
) -> Vec<Route> {
    let mut routes = Vec::new();
    let mut places = Vec::new();
    let by_name: HashMap<&str, usize> =
        services.iter().enumerate().map(|(place, s)| (s.name.as_str(), place)).collect();
    let sections = file.sections(problems, "routes");
    if sections.is_empty() && file.value("routes").is_none() && services.len() == 1 {
        // One service and nothing said: all goes there.
        return vec![everything_to(0)];
    }
    let complete = sections.len();
    let mut reached = vec![false; services.len()];
    for mut section in sections {
        let span = section.span.clone();
        let before = problems.0.len();
        let service = section.text(problems, "service", |name| match by_name.get(name) {
            Some(&place) => Ok(place),
            None => Err(match nearest(name, by_name.keys().copied()) {
                Some(near) => format!("no service is named `{name}`; did you mean `{near}`?"),
                None => format!("no service is named `{name}`"),
            }),
        });
        if section.value("service").is_none() {
            problems.0.push(Problem::error(span.clone(), "a route needs a `service`"));
        }
        if let Some(place) = &service {
            reached[place.value] = true;
        }
        let route = route(section, problems, service.map_or(0, |found| found.value));
        if problems.0.len() == before {
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
    if routes.len() == complete
        && let Err(ties) = RouteTable::build(&routes)
    {
        for tie in ties {
            let message = "two routes match the same requests and neither is more specific";
            let problem = Problem::error(places[tie.second].clone(), message).label("the second");
            let problem = problem.other(places[tie.first].clone(), "the first");
            problems
                .0
                .push(problem.help("give one another host or path, or more header conditions"));
        }
    }
    routes
}

fn route(mut section: Section<'_>, problems: &mut Problems, service: usize) -> Route {
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
    let headers = section.section(problems, "headers").map_or_else(Vec::new, |section| {
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
    section.close(problems);
    let path = exact.or(prefix).map_or_else(PathPattern::any, |found| found.value);
    Route {
        hosts: hosts.into_iter().map(|found| found.value).collect(),
        path,
        methods: methods.into_iter().map(|found| found.value).collect(),
        headers,
        service,
    }
}

/// The route that takes every request.
fn everything_to(service: usize) -> Route {
    let path = PathPattern::any();
    Route { hosts: vec![], path, methods: vec![], headers: vec![], service }
}

fn missing(message: &str, example: &str) -> Problem {
    let help = format!("add, for example:\n{example}");
    Problem::general(message).help(help)
}
