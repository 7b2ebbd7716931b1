//! The file as a whole: its text in, a [`Config`] out, with every problem on the way noted.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use http::Method;
use http::header::HeaderName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::flags::{FLAG, flags};
use super::gone::take_over;
use super::key::{Key, Kind, Table, Without, table, text, text_option, texts};
use super::listener::{LISTENER, listeners};
use super::notify::{NOTIFY, notify};
use super::rate::{RATE_LIMIT, rate_limit};
use super::section::{Found, Section, text_of};
use super::server::{SERVER, server};
use super::service::{SERVICE, service};
use super::settings::Settings;
use super::suggestion::nearest;
use super::syntax::broken;
use super::tls::{ADMIN_TLS, ADMIN_TLS_LINES, admin_tls};
use super::values::{checked_name, path};
use super::{
    Admin, AdminPlace, Config, ListenAddress, Listener, Problem, Problems, Server, Service,
};
use crate::rate::RateSettings;
use crate::route::{HeaderCondition, HostPattern, PathPattern, Route, RouteTable};

/// The whole file.
pub(super) static FILE: Table = Table::new(
    "",
    &[
        table("server", &SERVER, Without::Defaults),
        Key::of("listeners", Kind::Tables(&LISTENER)).about("at least one"),
        table("admin", &ADMIN, Without::Defaults),
        Key::of("notify", Kind::Tables(&NOTIFY)),
        Key::of("routes", Kind::Tables(&ROUTE)).told_apart(),
        Key::of("flags", Kind::Named(&FLAG)).example("new_checkout").told_apart(),
        Key::of("services", Kind::Named(&SERVICE)).example("shop"),
    ],
);

pub(super) static ADMIN: Table = Table::new(
    "",
    &[
        text("address", "127.0.0.1:9900").about("\"ip:port\" or \"unix:/path\"").at_next_start(),
        text_option("token_file", "\"admin.token\"").about(
            "beside this file; required if other machines can reach the address. A line for \
                 each token of at least 16 characters: `name: token`. Changes are recorded as made \
                 by that name. A first line may be a token alone: its name is `admin`. `name \
                 role=deploy services=shop networks=10.0.0.0/8: token` may do less: roles are read, \
                 shift, deploy, alerts and admin",
        ),
        text_option("group", "\"deploy\"")
            .about(
                "who may use a unix address beside the user that Pointsman runs as; the socket's \
                 mode is 0660",
            )
            .absent("the process's own")
            .at_next_start(),
        table("tls", &ADMIN_TLS, Without::Off).lines(ADMIN_TLS_LINES),
    ],
);

static ROUTE: Table = Table::new(
    "Routes: of all that match, the most specific wins: host (exact, longest wildcard, any), then path \
     (exact, longest prefix), then methods over none, then more header conditions. Without any route a \
     single service takes everything.",
    &[
        texts("hosts", &[])
            .example("[\"shop.example.com\", \"*.shop.example.com\"]")
            .about("default: any host"),
        text_option("path_prefix", "\"/\"")
            .example("\"/\"")
            .about("whole segments: /api covers /api/v1, not /apis"),
        text_option("path", "\"/exact\"").about("instead of path_prefix"),
        texts("methods", &[]).option("[\"GET\", \"HEAD\"]").about("default: any method"),
        Key::of("headers", Kind::Fields)
            .option("{ x-beta = \"1\", x-trial = true }")
            .about("all of these; true: present with any value"),
        text_option("service", "\"shop\"").example("\"shop\""),
        table("rate_limit", &RATE_LIMIT, Without::Off).lines(RATE_LIMIT_OF_ROUTE),
    ],
);

/// What the reference shows of a route's limit.
const RATE_LIMIT_OF_ROUTE: &str = "\
# rate_limit = { requests = 10, per = \"1m\" }   # of this route; the keys are those of a service's
";

pub(super) fn parse(text: &str, place: &AdminPlace) -> Result<(Config, Problems), Problems> {
    let (mut root, errors) = DeTable::parse_recoverable(text);
    let mut problems = Problems(broken(text, &errors));
    if problems.any_error() {
        // What follows a broken line would be blamed for what the line hides.
        return Err(problems);
    }
    take_over(&FILE, root.get_mut(), &mut problems);
    let config = read(&root, place, &mut problems);
    problems.0.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
    match config {
        Some(config) if !problems.any_error() => Ok((config, problems)),
        _ => Err(problems),
    }
}

fn read(
    root: &Spanned<DeTable<'_>>,
    place: &AdminPlace,
    problems: &mut Problems,
) -> Option<Config> {
    let mut file = Section::new("", &FILE, Some(root.get_ref()), 0..0);
    let server = server(file.table(problems, "server"), problems);
    let listeners = listeners(&mut file, problems, &server.trusted_proxies);
    let admin = admin(file.table(problems, "admin"), place, problems);
    // The first is where it is now.
    let places: Vec<ListenAddress> = match (place, &admin) {
        (AdminPlace::Instead(here), _) | (AdminPlace::Now(here), None) => vec![here.clone()],
        (AdminPlace::Now(here), Some(admin)) => vec![here.clone(), admin.address.clone()],
        (AdminPlace::File, Some(admin)) => vec![admin.address.clone()],
        (AdminPlace::File, None) => Vec::new(),
    };
    keep_apart(&listeners, &places, problems);
    let admin =
        admin.zip(places.first()).map(|(admin, now)| Admin { address: now.clone(), ..admin });
    let around = Around { server: &server, admin: &places };
    let services = services(&mut file, problems, around);
    let (routes, route_limits) = routes(&mut file, problems, &services).into_iter().unzip();
    let notify = notify(&mut file, problems);
    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    let flags = flags(&mut file, problems, &names);
    file.close(problems);
    Some(Config {
        server,
        listeners: listeners.into_iter().map(|found| found.value).collect(),
        admin: admin?,
        routes,
        route_limits,
        services: services.into_iter().map(|found| found.value).collect::<Option<_>>()?,
        notify,
        keys: Default::default(),
        certificates: Default::default(),
        flags,
        settings: Settings::of(&FILE, root.get_ref()),
    })
}

/// What of the rest of the file matters to a service.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub server: &'a Server,
    /// Where the admin API is, and where it will be.
    pub admin: &'a [ListenAddress],
}

/// The admin API's address is not one where requests are accepted.
fn keep_apart(listeners: &[Found<Listener>], admin: &[ListenAddress], problems: &mut Problems) {
    for found in listeners {
        let taken = admin.iter().find(|admin| found.value.address.meets(admin));
        let Some(admin) = taken else { continue };
        let message = format!("the admin API is on `{admin}`, which this listener would take");
        let problem = Problem::error(found.span.clone(), message).label("taken");
        problems
            .0
            .push(problem.help("give one of them another port; the admin API's is in `[admin]`"));
    }
}

fn admin(mut section: Section<'_>, place: &AdminPlace, problems: &mut Problems) -> Option<Admin> {
    let address = section.text(problems, "address", str::parse::<ListenAddress>);
    let token_file = section.text(problems, "token_file", path);
    if let Some(found) = &address
        && !matches!(place, AdminPlace::Instead(_))
        && !found.value.is_local()
        && !section.has("token_file")
    {
        let problem = Problem::error(
            found.span.clone(),
            "this admin address can be reached from other machines",
        );
        problems.0.push(problem.label("needs a `token_file`").help(
            "add `token_file = \"admin.token\"`, or bind 127.0.0.1 or `unix:/run/pointsman.sock`",
        ));
    }
    let group = section.text(problems, "group", |text| match text.is_empty() {
        true => Err("expected the name of a group"),
        false => Ok(text.to_string()),
    });
    let tls_place = section.place("tls");
    let tls = section.table_if_given(problems, "tls");
    let tls = tls.map(|section| admin_tls(section, problems));
    if let (Some(_), Some(ListenAddress::Unix(_))) =
        (&tls, address.as_ref().map(|found| &found.value))
    {
        let problem = Problem::error(tls_place, "TLS on a unix socket");
        let problem = problem.label("nobody is between the two ends of it");
        problems.0.push(problem.help("leave `tls` out, or name an address"));
    }
    section.close(problems);
    let token_file = token_file.map(|found| found.value);
    let group = group.map(|found| found.value);
    Some(Admin { address: address?.value, token_file, group, tokens: None, tls })
}

/// Every service with the place of its name; none where it could not be read.
fn services(
    file: &mut Section<'_>,
    problems: &mut Problems,
    around: Around<'_>,
) -> Vec<NamedService> {
    let Some(named) = file.named(problems, "services") else {
        if !file.has("services") {
            let example = "[services.shop.pools.blue]\nupstreams = [\"127.0.0.1:9001\"]";
            problems.0.push(missing("no service: there is nowhere to send requests", example));
        }
        return Vec::new();
    };
    let one = |(name, section): (Found<&str>, Option<Section<'_>>)| {
        let checked = checked_name(problems, &name, "service");
        let read = section.and_then(|section| service(checked?, section, problems, around));
        NamedService { name: name.value.to_string(), span: name.span, value: read }
    };
    let mut services: Vec<_> = named.into_iter().map(one).collect();
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
) -> Vec<(Route, RouteLimit)> {
    let mut routes = Vec::new();
    let mut places = Vec::new();
    let by_name: HashMap<&str, usize> =
        services.iter().enumerate().map(|(place, s)| (s.name.as_str(), place)).collect();
    let sections = file.tables(problems, "routes");
    if sections.is_empty() && !file.has("routes") && services.len() == 1 {
        // One service and nothing said: all goes there.
        return vec![(everything_to(0), None)];
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
        && let Err(ties) = RouteTable::build(routes.iter().map(|(route, _)| route))
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

/// The rate limit of a route, if it has one.
type RouteLimit = Option<Arc<RateSettings>>;

fn route(mut section: Section<'_>, problems: &mut Problems, service: usize) -> (Route, RouteLimit) {
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
    section.close(problems);
    let path = exact.or(prefix).map_or_else(PathPattern::any, |found| found.value);
    let route = Route {
        hosts: hosts.into_iter().map(|found| found.value).collect(),
        path,
        methods: methods.into_iter().map(|found| found.value).collect(),
        headers,
        service,
    };
    (route, limit)
}

/// The route that takes every request.
fn everything_to(service: usize) -> Route {
    let path = PathPattern::any();
    Route { hosts: vec![], path, methods: vec![], headers: vec![], service }
}

pub(super) fn missing(message: &str, example: &str) -> Problem {
    let help = format!("add, for example:\n{example}");
    Problem::general(message).help(help)
}

/// Where a file is named in a config: the value of a key that names one, with this text.
pub fn place_of_file(text: &str, name: &str) -> Option<Range<usize>> {
    fn within(value: &Spanned<DeValue<'_>>, is_file: bool, name: &str) -> Option<Range<usize>> {
        match value.get_ref() {
            DeValue::String(text) if is_file && text == name => Some(value.span()),
            DeValue::Table(table) => in_table(table, name),
            DeValue::Array(values) => values.iter().find_map(|value| within(value, false, name)),
            _ => None,
        }
    }
    fn in_table(table: &DeTable<'_>, name: &str) -> Option<Range<usize>> {
        const KEYS: [&str; 6] = ["token_file", "secret_file", "file", "certificate", "key", "ca"];
        let is_file = |key: &str| KEYS.contains(&key);
        table.iter().find_map(|(key, value)| match (key.get_ref().as_ref(), value.get_ref()) {
            // By status.
            ("error_pages", DeValue::Table(pages)) => {
                pages.iter().find_map(|(_, page)| within(page, true, name))
            }
            (key, _) => within(value, is_file(key), name),
        })
    }
    in_table(DeTable::parse(text).ok()?.get_ref(), name)
}
