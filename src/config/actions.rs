//! What a route does beside leading to a service: keys of its table in, checked [`Actions`] out.
//!
//! All of it is taken apart here, so that a request finds templates and prefixes, and a route that does
//! none of it has no [`Actions`] at all.

use std::ops::Range;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::uri::Authority;

use super::auth::auth;
use super::fallback::answer_of;
use super::key::{Key, Kind, Table, idle_option, number, text_option, texts, time_option};
use super::opt_in::opt_in_of;
use super::section::{Section, text_of};
use super::server::network;
use super::values::header_name;
use super::{OptIn, Problem, Problems, Timeouts};
use crate::auth::Rule;
use crate::fallback::StaticAnswer;
use crate::http::path::write_encoded;
use crate::route::{
    Access, FieldRule, FieldRules, PathPattern, Redirect, Rewrite, Template, Variable,
};

/// What a route does beside leading to a service, or in place of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actions {
    /// Where it leads its requests instead of to a service.
    pub redirect: Option<Redirect>,
    /// What it answers itself.
    pub answer: Option<StaticAnswer>,
    /// Who is let in.
    pub access: Access,
    /// Who of those, if not all of them.
    pub auth: Option<Rule>,
    /// What becomes of paths that can be read in two ways, where that matters.
    pub encoded: Encoded,
    /// What upstreams are asked for, in this order.
    pub rewrites: Vec<Rewrite>,
    /// What upstreams are told in `Host`; none for what the client asked for.
    pub host: Option<HeaderValue>,
    /// What becomes of the fields of requests.
    pub request: FieldRules,
    /// What becomes of the fields of answers.
    pub response: FieldRules,
    /// Bounds in place of the service's.
    pub timeouts: RouteTimeouts,
    /// Bytes of a request's body, 0 for any number; none for what the service says.
    pub body_limit: Option<u64>,
    /// By what testers name a pool, in place of what the service says.
    pub opt_in: Option<OptIn>,
}

/// What becomes of a path with an encoded slash or a backslash, under a host with a route that does not
/// let everybody in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoded {
    /// The request is refused.
    #[default]
    Refuse,
    /// The path goes on as it was spelled.
    Pass,
}

/// Bounds of a route's own, in place of its service's [`Timeouts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// To accept a connection.
    pub connect: Option<Duration>,
    /// From the end of the request to the end of the response's header section.
    pub response: Option<Duration>,
    /// Between two reads or writes; [`Duration::MAX`] for any time.
    pub idle: Option<Duration>,
    /// The same in an answer that is a stream.
    pub stream_idle: Option<Duration>,
}

impl RouteTimeouts {
    /// The bounds of a service with these in their place.
    pub fn over(&self, service: Timeouts) -> Timeouts {
        Timeouts {
            connect: self.connect.unwrap_or(service.connect),
            response: self.response.unwrap_or(service.response),
            idle: self.idle.unwrap_or(service.idle),
            stream_idle: self.stream_idle.unwrap_or(service.stream_idle),
            pool_idle: service.pool_idle,
        }
    }
}

impl Actions {
    /// Whether its answer is in a file that has yet to be read.
    pub fn is_filed(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.body.text().is_none())
    }

    /// Whether it does not let everybody in.
    pub fn is_guarded(&self) -> bool {
        !self.access.is_open() || self.auth.is_some()
    }
}

pub(super) static REDIRECT: Table =
    Table::new("", &[Key::of("to", Kind::Text(None)), number("status", (301, 308), 308)]);

pub(super) static ANSWER: Table = Table::new(
    "",
    &[
        number("status", (200, 599), 200),
        Key::of("headers", Kind::Fields),
        text_option("body", "\"hello\""),
        text_option("file", "\"robots.txt\""),
    ],
);

pub(super) static REPLACE: Table =
    Table::new("", &[text_option("from", "\"/old\""), text_option("to", "\"/new\"")]);

pub(super) static FIELDS: Table = Table::new(
    "",
    &[Key::of("set", Kind::Fields), Key::of("add", Kind::Fields), texts("remove", &[])],
);

pub(super) static TIMEOUTS: Table = Table::new(
    "",
    &[
        time_option("connect", "\"2s\"").absent("the service's"),
        time_option("response", "\"5m\"").absent("the service's"),
        idle_option("idle", "\"5m\"").absent("the service's"),
        idle_option("stream_idle", "\"1h\"").absent("the service's"),
    ],
);

/// What may stand in a field's value.
const VARIABLES: [Variable; 7] = [
    Variable::Client,
    Variable::RequestId,
    Variable::Service,
    Variable::Pool,
    Variable::Revision,
    Variable::Host,
    Variable::Scheme,
];

/// Fields that say how a message is framed or how its connection goes on, in either direction.
pub(super) const FRAMING: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// Fields of requests that Pointsman writes itself.
pub(super) const OURS: [&str; 8] = [
    "traceparent",
    "tracestate",
    "x-client-cert-subject",
    "x-feature-flags",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "proxy-authorization",
];

/// Keys that say something of what is asked of a service.
const OF_SERVICES: [&str; 8] = [
    "strip_prefix",
    "replace_prefix",
    "host",
    "request",
    "timeouts",
    "body_limit",
    "override",
    "rate_limit",
];

/// What a route does, as it was read.
pub(super) struct Read {
    /// None if that is nothing.
    pub actions: Option<Actions>,
    /// Where its file of passwords is named, if it has one.
    pub basic: Option<Range<usize>>,
}

/// What a route does, which names its hosts or does not.
pub(super) fn actions(
    section: &mut Section<'_>,
    problems: &mut Problems,
    names_hosts: bool,
) -> Read {
    let redirect = section.table_if_given(problems, "redirect");
    let redirect = redirect.and_then(|section| redirect_of(section, problems, names_hosts));
    let answer = section.table_if_given(problems, "answer");
    let answer = answer.map(|section| with_type(answer_of(section, problems)));
    let mut networks = |key, problems: &mut Problems| {
        let found = section.texts(problems, key, network);
        section.no_empty_list(problems, key, "it says nothing", "leave it out");
        found.into_iter().map(|found| found.value).collect()
    };
    let access = Access { allow: networks("allow", problems), deny: networks("deny", problems) };
    let read = section.table_if_given(problems, "auth");
    let read = read.and_then(|section| auth(section, problems));
    let (rule, basic) = read.map_or((None, None), |read| (Some(read.rule), read.basic));
    let encoded = section.word(problems, "encoded", |word| match word {
        "refuse" => Some(Encoded::Refuse),
        _ => Some(Encoded::Pass),
    });
    let host = section.text(problems, "host", host).map(|found| found.value);
    let opt_in = section.table_if_given(problems, "override");
    let opt_in = opt_in.and_then(|section| opt_in_of(section, problems));
    let actions = Actions {
        redirect,
        answer,
        access,
        auth: rule,
        encoded: encoded.unwrap_or_default(),
        rewrites: rewrites(section, problems),
        host,
        request: fields(section, problems, "request"),
        response: fields(section, problems, "response"),
        timeouts: timeouts(section, problems),
        body_limit: section.number_if_given(problems, "body_limit"),
        opt_in,
    };
    if let Some(Rule::Ask(ask)) = &actions.auth {
        let is_ruled = |name: &&HeaderName| actions.request.is_about(name);
        for name in ask.copy.iter().filter(is_ruled) {
            let message = format!("`{name}` is in `copy` and in `request`");
            problems.0.push(Problem::error(section.place("auth"), message));
        }
    }
    if section.has("redirect") || section.has("answer") {
        for key in OF_SERVICES.into_iter().filter(|key| section.has(key)) {
            let message = format!("`{key}` is for a `service`, and this route has none");
            problems.0.push(Problem::error(section.place(key), message));
        }
    }
    let actions = (actions != Actions::default()).then_some(actions);
    Read { actions, basic }
}

fn redirect_of(
    mut section: Section<'_>,
    problems: &mut Problems,
    names_hosts: bool,
) -> Option<Redirect> {
    let status: u16 = section.number(problems, "status");
    if matches!(status, 304..=306) {
        let problem = Problem::error(section.place("status"), "no status of a redirect");
        problems.0.push(problem.label("301, 302, 303, 307 or 308"));
    }
    if !section.has("to") {
        let problem = Problem::error(section.span.clone(), "a redirect needs a `to`");
        problems.0.push(problem.help("for example `to = \"https://www.example.com{path}\"`"));
    }
    let to = section.text(problems, "to", |to| Redirect::new(to, status, names_hosts));
    section.close(problems);
    to.map(|found| found.value)
}

/// A text says that it is one, if nobody says otherwise.
fn with_type(mut answer: StaticAnswer) -> StaticAnswer {
    let has_type = answer.headers.iter().any(|(name, _)| name == CONTENT_TYPE);
    if answer.body.text().is_some_and(|text| !text.is_empty()) && !has_type {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers.push((CONTENT_TYPE, plain));
        answer.headers.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    }
    answer
}

fn rewrites(section: &mut Section<'_>, problems: &mut Problems) -> Vec<Rewrite> {
    let prefix = |text: &str| {
        let is_path = PathPattern::prefix(text).map_err(|error| error.to_string())?;
        match is_path {
            PathPattern::Prefix(prefix) | PathPattern::Exact(prefix) => {
                Ok::<Box<str>, String>(prefix.into())
            }
        }
    };
    let stripped = section.text(problems, "strip_prefix", prefix);
    let mut all: Vec<Rewrite> =
        stripped.map(|from| Rewrite { from: from.value, to: "".into() }).into_iter().collect();
    if let Some(mut replace) = section.table_if_given(problems, "replace_prefix") {
        let from = replace.text(problems, "from", prefix);
        let to = replace.text(problems, "to", |text| {
            prefix(text)?;
            let mut encoded = String::new();
            write_encoded(text.trim_end_matches('/'), &mut encoded);
            Ok::<Box<str>, String>(encoded.into())
        });
        for key in ["from", "to"].into_iter().filter(|key| !replace.has(key)) {
            let message = format!("`replace_prefix` needs a `{key}`");
            problems.0.push(Problem::error(replace.span.clone(), message));
        }
        if section.has("strip_prefix") {
            let message = "a route has either a `strip_prefix` or a `replace_prefix`";
            problems.0.push(Problem::error(replace.span.clone(), message));
        }
        replace.close(problems);
        let rewrite = from.zip(to).map(|(from, to)| Rewrite { from: from.value, to: to.value });
        all.extend(rewrite);
    }
    all
}

/// A host, perhaps with a port.
fn host(text: &str) -> Result<HeaderValue, &'static str> {
    let is_host = !text.contains('@') && text.parse::<Authority>().is_ok();
    let value = HeaderValue::from_str(text).ok().filter(|_| is_host);
    value.ok_or("expected a host such as `shop.internal` or `shop.internal:8080`")
}

fn fields(section: &mut Section<'_>, problems: &mut Problems, key: &'static str) -> FieldRules {
    let Some(mut given) = section.table_if_given(problems, key) else {
        return FieldRules::default();
    };
    let is_request = key == "request";
    let name = |text: &str| {
        let name = header_name(text).map_err(str::to_string)?;
        let is_ours = FRAMING.contains(&name.as_str())
            || name.as_str().starts_with("x-pointsman-")
            || is_request && OURS.contains(&name.as_str())
            || !is_request && name == "date";
        match name.as_str() {
            "host" if is_request => Err("a route's `host` says this".to_string()),
            _ if is_ours => Err(format!("`{name}` is Pointsman's to write")),
            _ => Ok(name),
        }
    };
    let removed = given.texts(problems, "remove", name);
    let mut rules: Vec<FieldRule> =
        removed.into_iter().map(|found| FieldRule::Remove(found.value)).collect();
    type Make = fn(HeaderName, Template) -> FieldRule;
    let made: [(&'static str, Make); 2] = [("set", FieldRule::Set), ("add", FieldRule::Add)];
    for (key, make) in made {
        let entries = given.table_if_given(problems, key);
        let mut named: Vec<(HeaderName, Template)> = Vec::new();
        for (written, value) in entries.iter().flat_map(Section::entries) {
            let name = match name(written.value) {
                Ok(name) if named.iter().any(|(other, _)| *other == name) => {
                    let message = format!("`{name}` is given twice");
                    problems.0.push(Problem::error(written.span, message));
                    continue;
                }
                Ok(name) => name,
                Err(error) => {
                    let message = format!("`{}` cannot be named here", written.value);
                    problems.0.push(Problem::error(written.span, message).label(error));
                    continue;
                }
            };
            let read = |text: &str| {
                if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                    return Err("expected visible ASCII characters and spaces".to_string());
                }
                Template::parse(text, &VARIABLES).map_err(|error| error.to_string())
            };
            let value = text_of(problems, written.value, value, read);
            named.extend(value.map(|value| (name, value.value)));
        }
        named.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        rules.extend(named.into_iter().map(|(name, value)| make(name, value)));
    }
    given.close(problems);
    FieldRules(rules)
}

fn timeouts(section: &mut Section<'_>, problems: &mut Problems) -> RouteTimeouts {
    let Some(mut given) = section.table_if_given(problems, "timeouts") else {
        return RouteTimeouts::default();
    };
    let timeouts = RouteTimeouts {
        connect: given.time_if_given(problems, "connect"),
        response: given.time_if_given(problems, "response"),
        idle: given.time_if_given(problems, "idle"),
        stream_idle: given.time_if_given(problems, "stream_idle"),
    };
    given.close(problems);
    timeouts
}
