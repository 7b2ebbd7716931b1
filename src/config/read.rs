//! The file as a whole: its text in, a [`Config`] out, with every problem on the way noted.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::acme;
use super::auth::warn_of_plain;
use super::automation::{Beside, RULE, rules};
use super::flags::{FLAG, flags};
use super::gone::take_over;
use super::incidents::{INCIDENTS, incidents};
use super::include::{INCLUDE, Include, together};
use super::key::{Key, Kind, Table, Without, table, text, text_option};
use super::listener::{LISTENER, listeners};
use super::notify::{NOTIFY, notify};
use super::outside::{Expansion, ReadSecret, Taken, expand, explain};
use super::route::{ROUTE, routes};
use super::section::{Found, Section};
use super::server::{SERVER, server};
use super::service::{SERVICE, service};
use super::settings::Settings;
use super::texts::Texts;
use super::tls::{ADMIN_TLS, ADMIN_TLS_LINES, admin_tls};
use super::traces::{TRACES, traces};
use super::values::{path, service_name};
use super::{
    Admin, AdminPlace, Config, ListenAddress, Listener, Problem, Problems, Server, Service,
};

/// The whole file.
pub(super) static FILE: Table = Table::new(
    "",
    &[
        INCLUDE.told_apart(),
        table("server", &SERVER, Without::Defaults),
        Key::of("listeners", Kind::Tables(&LISTENER)).about("at least one"),
        table("admin", &ADMIN, Without::Defaults),
        Key::of("notify", Kind::Tables(&NOTIFY)),
        table("traces", &TRACES, Without::Off),
        table("incidents", &INCIDENTS, Without::Defaults),
        Key::of("routes", Kind::Tables(&ROUTE)).told_apart(),
        Key::of("flags", Kind::Named(&FLAG)).example("new_checkout").told_apart(),
        Key::of("services", Kind::Named(&SERVICE)).example("shop"),
        Key::of("automation", Kind::Named(&RULE)).example("tell"),
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

/// What the root of the file has beside its tables, for those that tell of changes.
pub(super) static TOP: Table = Table::new("", &[INCLUDE]);

/// A config, and where its texts are.
#[derive(Debug)]
pub struct Parsed {
    /// The checked values.
    pub config: Config,
    /// What is odd about it.
    pub odd: Problems,
    /// Where it names files.
    pub files: FilePlaces,
}

/// Where a config names files, by their names.
#[derive(Clone, Debug, Default)]
pub struct FilePlaces(Vec<(String, Range<usize>)>);

pub(super) fn parse(
    texts: &Texts,
    place: &AdminPlace,
    expansion: &Expansion,
    secret: ReadSecret<'_>,
) -> Result<Parsed, Problems> {
    let mut problems = Problems::default();
    let mut root = together(texts, &mut problems);
    if problems.any_error() {
        // What follows a broken line would be blamed for what the line hides.
        return Err(problems);
    }
    take_over(&FILE, root.get_mut(), &mut problems);
    // What tells of changes shows what is written.
    let written = root.get_ref().clone();
    let (taken, unfilled) = expand(root.get_mut(), &texts.run(), expansion, secret);
    let config = read(&root, &written, place, &mut problems);
    let config = config.map(|config| Config { taken: taken.clone(), ..config });
    problems.0.iter_mut().for_each(|problem| taken.conceal(problem));
    explain(unfilled, &mut problems);
    problems.0.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
    match config {
        Some(config) if !problems.any_error() => {
            Ok(Parsed { config, odd: problems, files: FilePlaces::of(root.get_ref()) })
        }
        _ => Err(problems),
    }
}

fn read(
    root: &Spanned<DeTable<'_>>,
    written: &DeTable<'_>,
    place: &AdminPlace,
    problems: &mut Problems,
) -> Option<Config> {
    let mut file = Section::new("", &FILE, Some(root.get_ref()), 0..0);
    file.texts(problems, "include", Include::parse);
    let server = server(file.table(problems, "server"), problems);
    let mut listeners = listeners(&mut file, problems, &server.trusted_proxies);
    let admin = admin(file.table(problems, "admin"), place, problems);
    // The first is where it is now.
    let places: Vec<ListenAddress> = match (place, &admin) {
        (AdminPlace::Instead(here), _) | (AdminPlace::Now(here), None) => vec![here.clone()],
        (AdminPlace::Now(here), Some(admin)) => vec![here.clone(), admin.address.clone()],
        (AdminPlace::File, Some(admin)) => vec![admin.address.clone()],
        (AdminPlace::File, None) => Vec::new(),
    };
    keep_apart(&listeners, &places, problems);
    acme::keep_alike(&listeners, problems);
    let admin =
        admin.zip(places.first()).map(|(admin, now)| Admin { address: now.clone(), ..admin });
    let around = Around { server: &server, admin: &places, listeners: &listeners };
    let services = services(&mut file, problems, around);
    let has_https = listeners.iter().any(|found| found.value.tls.is_some())
        || !server.trusted_proxies.is_nobody();
    let routes = routes(&mut file, problems, &services, has_https);
    acme::give_names(&mut listeners, routes.iter().map(|read| &read.route), problems);
    let passwords = routes.iter().filter_map(|read| read.basic.clone());
    warn_of_plain(&listeners, passwords, problems);
    let notify = notify(&mut file, problems);
    let traces = traces(&mut file, problems);
    let beside = Beside {
        services: &services,
        targets: &notify,
        allows_commands: server.allow_commands,
        has_certificates: listeners
            .iter()
            .any(|found| found.value.tls.as_ref().is_some_and(|tls| !tls.certificates.is_empty())),
    };
    let automation = rules(&mut file, problems, &beside);
    let incidents = incidents(file.table(problems, "incidents"), problems);
    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    let flags = flags(&mut file, problems, &names);
    file.close(problems);
    Some(Config {
        server,
        listeners: listeners.into_iter().map(|found| found.value).collect(),
        admin: admin?,
        routes: routes.iter().map(|read| read.route.clone()).collect(),
        route_limits: routes.iter().map(|read| read.limit.clone()).collect(),
        route_settings: route_settings(written, routes.len()),
        route_actions: routes.into_iter().map(|read| read.actions).collect(),
        services: services.into_iter().map(|found| found.value).collect::<Option<_>>()?,
        notify,
        automation,
        traces,
        incidents,
        keys: Default::default(),
        certificates: Default::default(),
        users: Default::default(),
        flags,
        settings: Settings::of(&FILE, written),
        top: Settings::of(&TOP, written),
        taken: Taken::default(),
    })
}

/// What is said of each route beyond what it matches and where it leads.
fn route_settings(written: &DeTable<'_>, routes: usize) -> Vec<Settings> {
    let list = written.get("routes").and_then(|list| list.get_ref().as_array());
    let said =
        |nth: usize| list?.get(nth)?.get_ref().as_table().map(|said| Settings::of(&ROUTE, said));
    (0..routes).map(|nth| said(nth).unwrap_or_default()).collect()
}

/// What of the rest of the file matters to a service.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub server: &'a Server,
    /// Where the admin API is, and where it will be.
    pub admin: &'a [ListenAddress],
    /// Where requests are accepted.
    pub listeners: &'a [Found<Listener>],
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
        let checked = service_name(problems, &name);
        let read = section.and_then(|section| service(checked?, section, problems, around));
        NamedService { name: name.value.to_string(), span: name.span, value: read }
    };
    let mut services: Vec<_> = named.into_iter().map(one).collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    services
}

/// A service, with the place of its name.
pub(super) struct NamedService {
    pub name: String,
    pub span: Range<usize>,
    pub value: Option<Service>,
}

pub(super) fn missing(message: &str, example: &str) -> Problem {
    let help = format!("add, for example:\n{example}");
    Problem::general(message).help(help)
}

impl FilePlaces {
    /// Where a file of this name is named first.
    pub fn find(&self, name: &str) -> Option<Range<usize>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, place)| place.clone())
    }

    fn of(root: &DeTable<'_>) -> FilePlaces {
        let mut places = FilePlaces::default();
        places.table(root);
        places
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, is_file: bool) {
        match value.get_ref() {
            DeValue::String(text) if is_file => self.0.push((text.to_string(), value.span())),
            DeValue::Table(table) => self.table(table),
            DeValue::Array(values) => values.iter().for_each(|value| self.value(value, false)),
            _ => {}
        }
    }

    fn table(&mut self, table: &DeTable<'_>) {
        const KEYS: [&str; 7] =
            ["token_file", "secret_file", "file", "certificate", "key", "ca", "basic"];
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                // By status.
                ("error_pages", DeValue::Table(pages)) => {
                    pages.iter().for_each(|(_, page)| self.value(page, true));
                }
                (key, _) => self.value(value, KEYS.contains(&key)),
            }
        }
    }
}
