//! How upstreams are probed: the `health` table of a service in, a checked probe out.

use std::ops::RangeInclusive;

use http::uri::{Authority, PathAndQuery};
use toml::de::DeValue;

use super::key::{
    Key, Kind, Shape, Table, Without, boolean, free, number, secs, table, text, text_option, time,
};
use super::section::Section;
use super::values::{headers, warn_if_above};
use super::{Problem, Problems};
use crate::upstream::{GrpcProbe, Health, HttpProbe, Probe};

pub(super) static HEALTH: Table = Table::new(
    "What follows, down to the pools, is what a service does when upstreams fail or too much is asked \
     of them. All of it has defaults that work; the tables marked \"none\" do nothing unless \
     given.\n\
     Active health checks; none by default: then upstreams count as proven. A new upstream takes \
     requests after its first success. An address is probed once, however many pools of these \
     settings share it.",
    &[
        boolean("tcp", false)
            .option("true")
            .about("a connection that is accepted is enough"),
        time("interval", secs(5)).about(
            "± 20 %; 1 s while the state changes; up to twice as long while 2xx and 3xx answers prove health",
        ),
        time("timeout", secs(2)).about("the whole probe"),
        number("rise", (1, 100), 2).about("successes in a row"),
        number("fall", (1, 100), 3).about("failures in a row"),
        boolean("agent", false).about(
            "whether X-Pointsman-Weight: 0..100 and X-Pointsman-Drain: 1 in the probe's answer are \
             followed",
        ),
        table("http", &HTTP, Without::Off),
        table("grpc", &GRPC, Without::Off).option("").about("grpc.health.v1"),
    ],
);

static HTTP: Table = Table::new(
    "",
    &[
        text("path", "/").example("\"/healthz\""),
        text("method", "GET"),
        boolean("tls", false),
        free("statuses", "[\"200-399\"]")
            .shape(Shape::Statuses)
            .about("an answer of these is a success"),
        text_option("host", "\"shop.test\"")
            .about("default: the upstream's address")
            .absent("the upstream's address"),
        Key::of("headers", Kind::Fields).option("{ x-probe = \"1\" }"),
        text_option("body", "\"ready\"").about("a text that the answer's body holds"),
    ],
);

static GRPC: Table = Table::new("", &[text("service", ""), boolean("tls", false)]);

/// What is said of health checks; none if it says none that can be made.
pub(super) fn health(mut section: Section<'_>, problems: &mut Problems) -> Option<Health> {
    let http = section.table_if_given(problems, "http").map(|section| http(section, problems));
    let tcp = section.boolean(problems, "tcp");
    let grpc = section.table_if_given(problems, "grpc").map(|section| grpc(section, problems));
    let kinds = [http.map(Probe::Http), tcp.then_some(Probe::Tcp), grpc.map(Probe::Grpc)];
    let mut kinds = kinds.into_iter().flatten();
    let (probe, another) = (kinds.next(), kinds.next());
    let mistake = match (&probe, &another) {
        (None, _) => Some("a health check needs one of `http`, `tcp` or `grpc`"),
        (_, Some(_)) => Some("a health check is one of `http`, `tcp` or `grpc`"),
        _ => None,
    };
    if let Some(mistake) = mistake {
        let problem = Problem::error(section.span.clone(), mistake);
        problems.0.push(problem.help("for example `health.http = { path = \"/healthz\" }`"));
    }
    let health = Health {
        interval: section.time(problems, "interval"),
        timeout: section.time(problems, "timeout"),
        rise: section.number(problems, "rise"),
        fall: section.number(problems, "fall"),
        agent: section.boolean(problems, "agent"),
        ..Health::new(probe.clone().unwrap_or(Probe::Tcp))
    };
    warn_if_above(&section, problems, ("timeout", health.timeout), ("interval", health.interval));
    if health.agent && probe == Some(Probe::Tcp) {
        let problem = Problem::error(section.place("agent"), "`agent` does nothing with `tcp`");
        let help = "only the answer to an `http` or `grpc` probe can set a weight or ask to drain";
        problems.0.push(problem.warning().help(help));
    }
    section.close(problems);
    probe.map(|_| health)
}

fn http(mut section: Section<'_>, problems: &mut Problems) -> HttpProbe {
    let path = section.text(problems, "path", |text| match text.starts_with('/') {
        true => text.parse::<PathAndQuery>().map_err(|error| error.to_string()),
        false => Err("a path begins with `/`".to_string()),
    });
    let method = section.text(problems, "method", |text| text.parse().map_err(|_| "not a method"));
    let host = section.text(problems, "host", |text| text.parse::<Authority>());
    let body = section.text(problems, "body", |text| Ok::<_, &str>(text.to_string()));
    let statuses = statuses(&mut section, problems);
    let help = "leave it out for 200-399";
    section.no_empty_list(problems, "statuses", "no answer would be a success", help);
    let headers = section
        .table_if_given(problems, "headers")
        .map(|section| headers(section, problems, |_| false));
    let default = HttpProbe::get(path.map_or(PathAndQuery::from_static("/"), |found| found.value));
    let probe = HttpProbe {
        tls: section.boolean(problems, "tls"),
        path: default.path,
        method: method.map_or(default.method, |found| found.value),
        host: host.map(|found| found.value),
        headers: headers.unwrap_or_default(),
        statuses: if statuses.is_empty() { default.statuses } else { statuses },
        body: body.map(|found| found.value),
    };
    section.close(problems);
    probe
}

fn grpc(mut section: Section<'_>, problems: &mut Problems) -> GrpcProbe {
    let service = section.text(problems, "service", |text| Ok::<_, &str>(text.to_string()));
    let tls = section.boolean(problems, "tls");
    section.close(problems);
    GrpcProbe { service: service.map(|found| found.value).unwrap_or_default(), tls }
}

/// Numbers such as `204` or texts such as `"200-399"`.
pub(super) fn statuses(
    section: &mut Section<'_>,
    problems: &mut Problems,
) -> Vec<RangeInclusive<u16>> {
    let Some(value) = section.value("statuses") else { return Vec::new() };
    let list = match value.get_ref().as_array() {
        Some(list) => list.iter().collect(),
        None => vec![value],
    };
    let mut ranges = Vec::new();
    for item in list {
        let text = match item.get_ref() {
            DeValue::Integer(number) => number.as_str(),
            DeValue::String(text) => text,
            _ => "",
        };
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (from.trim().parse::<u16>(), to.trim().parse::<u16>()) {
            (Ok(from), Ok(to)) if (100..=599).contains(&from) && (from..=599).contains(&to) => {
                ranges.push(from..=to);
            }
            _ => {
                let problem = Problem::error(item.span(), "bad value for `statuses`");
                problems.0.push(
                    problem.label("expected a status such as 204, or a range such as \"200-399\""),
                );
            }
        }
    }
    ranges
}
