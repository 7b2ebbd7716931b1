//! Which requests lead elsewhere: two lists of routes in, a line for each route that differs out.
//!
//! Where the requests of a route went before, or go now that it is gone, is found as a request finds
//! it: one such as the route asks for is looked up in the other table.

use crate::config::Config;
use crate::config::route::ROUTE;
use crate::config::sample::Sample;
use crate::config::settings::Difference;
use crate::route::{Route, RouteTable};

/// A subject and what becomes of it, for each route that differs; those gone first.
pub(super) fn changed_routes(old: &Config, new: &Config) -> Vec<(String, String)> {
    // A checked config has no ties.
    let table = |config: &Config| RouteTable::build(&config.routes).unwrap_or_default();
    let (before, after) = (table(old), table(new));
    let same = |a: &Route, b: &Route| {
        (&a.hosts, &a.path, &a.methods, &a.headers) == (&b.hosts, &b.path, &b.methods, &b.headers)
    };
    let twin =
        |list: &[Route], route: &Route| list.iter().find(|other| same(other, route)).cloned();
    let limit = |config: &Config, route: &Route| {
        let place = config.routes.iter().position(|other| same(other, route));
        place.and_then(|place| config.route_limits.get(place).cloned().flatten())
    };
    let mut lines = Vec::new();
    for route in old.routes.iter().filter(|route| twin(&new.routes, route).is_none()) {
        let now = match led(route, &after, new) {
            targets if targets.is_empty() => "no route takes its requests now".to_string(),
            targets => format!("its requests go to {} now", targets.join(" and ")),
        };
        lines.push((describe(old, route), format!("removed; {now}")));
    }
    let settings = |config: &Config, route: &Route| {
        let place = config.routes.iter().position(|other| same(other, route));
        place.and_then(|place| config.route_settings.get(place).cloned()).unwrap_or_default()
    };
    let target = |config: &Config, route: &Route| {
        let place = config.routes.iter().position(|other| same(other, route));
        place.map_or_else(String::new, |place| target(config, place))
    };
    for route in &new.routes {
        let to = target(new, route);
        match twin(&old.routes, route) {
            None => {
                let so_far = match led(route, &before, old) {
                    targets if targets.is_empty() => "no route took its requests so far".into(),
                    targets => format!("its requests went to {} so far", targets.join(" and ")),
                };
                lines.push((describe(new, route), format!("added, leads to {to}; {so_far}")));
            }
            Some(twin) if target(old, &twin) != to => {
                let from = target(old, &twin);
                lines.push((describe(new, route), format!("leads to {to} instead of {from}")));
            }
            Some(_) if limit(old, route) != limit(new, route) => {
                let words = |config: &Config| match limit(config, route) {
                    None => "none".to_string(),
                    Some(limit) => config.taken.within(limit),
                };
                let (was, is) = (words(old), words(new));
                lines.push((describe(new, route), format!("rate limit {was} → {is}")));
            }
            Some(_) => {
                let differences = settings(old, route).differences(&settings(new, route), &ROUTE);
                let line = |what: Difference| (describe(new, route), what.to_string());
                lines.extend(differences.into_iter().map(line));
            }
        }
    }
    lines
}

/// Where a route leads, in words.
fn target(config: &Config, place: usize) -> String {
    let actions = config.route_actions.get(place).and_then(Option::as_ref);
    match config.routes[place].service {
        Some(service) => config.services[service].name.to_string(),
        None if actions.is_some_and(|actions| actions.redirect.is_some()) => "a redirect".into(),
        None => "an answer of its own".into(),
    }
}

/// What requests such as this route asks for are led to by a table.
fn led(route: &Route, table: &RouteTable, config: &Config) -> Vec<String> {
    let mut targets: Vec<String> = Vec::new();
    for found in Sample::all_of(route).iter().filter_map(|sample| sample.find(table)) {
        let target = target(config, found.place);
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets
}

fn describe(config: &Config, route: &Route) -> String {
    let hosts: Vec<String> = route.hosts.iter().map(ToString::to_string).collect();
    let hosts = if hosts.is_empty() { "any host".to_string() } else { hosts.join(",") };
    let mut text = format!("route {hosts} {}", route.path);
    for method in &route.methods {
        text.push_str(&format!(" {method}"));
    }
    for condition in &route.headers {
        let value = condition.value.as_deref().unwrap_or("*");
        text.push_str(&format!(" {}={value}", condition.name));
    }
    config.taken.within(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(routes: &[(&str, &str)]) -> Config {
        let route = |(matches, service): &(&str, &str)| {
            format!("[[routes]]\n{matches}\nservice = \"{service}\"\n")
        };
        let service =
            |name: &str| format!("[services.{name}.pools.only]\nupstreams = [\"{name}:1\"]\n");
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n{}{}{}",
            routes.iter().map(route).collect::<String>(),
            service("shop"),
            service("mail"),
        );
        Config::parse(&text).unwrap().0
    }

    #[test]
    fn a_route_says_where_its_requests_go_and_went() {
        let all = ("path_prefix = \"/\"", "shop");
        let api = "hosts = [\"*.test\"]\npath_prefix = \"/api\"";
        let lines = |old: &[(&str, &str)], new: &[(&str, &str)]| {
            changed_routes(&config(old), &config(new))
                .into_iter()
                .map(|(subject, what)| format!("{subject}: {what}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            lines(&[all], &[all, (api, "mail")]),
            ["route *.test /api/*: added, leads to mail; its requests went to shop so far"]
        );
        assert_eq!(
            lines(&[all, (api, "mail")], &[all, (api, "shop")]),
            ["route *.test /api/*: leads to shop instead of mail"]
        );
        assert_eq!(
            lines(&[all, (api, "mail")], &[all]),
            ["route *.test /api/*: removed; its requests go to shop now"]
        );
        let posts = "methods = [\"POST\"]\nheaders = { x-a = \"1\" }";
        assert_eq!(
            lines(&[(api, "mail")], &[(posts, "shop")]),
            [
                "route *.test /api/*: removed; no route takes its requests now",
                "route any host /* POST x-a=1: added, leads to shop; no route took its requests \
                 so far",
            ]
        );
        assert_eq!(lines(&[all, (api, "mail")], &[(api, "mail"), all]), [""; 0]);
    }
}
