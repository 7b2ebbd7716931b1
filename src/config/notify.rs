//! Who is told of what happens: the tables of `[[notify]]` in, [`NotifyTarget`]s out.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize};

use super::key::{Key, Kind, Table, secs, text_option, time, word};
use super::section::{Found, Section};
use super::values::{headers, path};
use super::{Problem, Problems};

/// Who is told, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyTarget {
    /// What it is called in metrics and logs: its address may be a secret.
    pub name: Arc<str>,
    /// `http` or `https`, with a host: the whole address.
    pub url: Uri,
    /// How it is told.
    pub form: Form,
    /// What tells PagerDuty whose the alerts are; of that form alone.
    pub routing_key: Option<RoutingKey>,
    /// Fields of each call; their values may be secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// It is told of this and of what is worse.
    pub severity: Severity,
    /// A file that holds the key of the signature; none for no signature.
    pub secret_file: Option<PathBuf>,
    /// For one call.
    pub timeout: Duration,
}

/// How a target is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Every field by itself, for programs.
    #[default]
    Json,
    /// A text with attachments, for Slack and whoever takes its form.
    Slack,
    /// Alerts that are posted to Alertmanager (its API, version 2).
    Alertmanager,
    /// What Alertmanager posts to its receivers (version 4 of its webhook), for those.
    AlertmanagerWebhook,
    /// Events as PagerDuty takes them (Events API, version 2).
    PagerDuty,
}

impl Form {
    /// All of them, the default first.
    pub const ALL: [Form; 5] =
        [Form::Json, Form::Slack, Form::Alertmanager, Form::AlertmanagerWebhook, Form::PagerDuty];

    /// Their words.
    const NAMES: [&str; 5] = ["json", "slack", "alertmanager", "alertmanager-webhook", "pagerduty"];

    /// Its word.
    pub const fn name(self) -> &'static str {
        Form::NAMES[self as usize]
    }

    /// Whether it has alerts that stay open until they are closed.
    pub const fn has_alerts(self) -> bool {
        matches!(self, Form::Alertmanager | Form::AlertmanagerWebhook | Form::PagerDuty)
    }

    /// The path of an address without one.
    const fn path(self) -> Option<PathAndQuery> {
        match self {
            Form::Alertmanager => Some(PathAndQuery::from_static("/api/v2/alerts")),
            Form::PagerDuty => Some(PathAndQuery::from_static("/v2/enqueue")),
            Form::Json | Form::Slack | Form::AlertmanagerWebhook => None,
        }
    }
}

/// A secret that is sent and not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct RoutingKey(Arc<str>);

impl RoutingKey {
    /// This one.
    pub fn of(text: &str) -> Result<RoutingKey, &'static str> {
        match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(RoutingKey(text.into())),
            false => Err("expected the integration key of a service of PagerDuty"),
        }
    }

    /// What is sent.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for RoutingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RoutingKey(…)")
    }
}

/// How much something matters to people.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Goes as planned.
    Low,
    /// Somebody should look today.
    #[default]
    Medium,
    /// Somebody should look now.
    High,
    /// Users are hurt.
    Critical,
}

/// A text that names no severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `low`, `medium`, `high` or `critical`")]
pub struct SeverityError;

impl Severity {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Severity {
    type Err = SeverityError;

    fn from_str(text: &str) -> Result<Severity, SeverityError> {
        let all = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        all.into_iter().find(|severity| severity.name() == text).ok_or(SeverityError)
    }
}

/// An address that can be called: `http` or `https`, a host, and no password in it, which would
/// end up wherever the address is shown.
pub fn web_address(text: &str) -> Result<Uri, &'static str> {
    let url = text.parse::<Uri>().ok().filter(|_| !text.contains('#'));
    let url = url.ok_or("expected an address such as `https://alerts.example.com/pointsman`")?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err("expected an address that begins with `https://` or `http://`");
    }
    let authority = url.authority().filter(|authority| !authority.host().is_empty());
    let authority = authority.ok_or("the address lacks a host")?;
    if authority.as_str().contains('@') {
        return Err("no name or password in an address; sign with `secret_file` instead");
    }
    // `Authority` passes over a port that is none.
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port != 0);
    match port.strip_prefix(':') {
        Some(port) if !is_port(port) => Err("ports go from 1 to 65535"),
        _ => Ok(url),
    }
}

pub(super) static NOTIFY: Table = Table::new(
    "Who is told of what happens; nobody by default. Each message has cause, state and the next \
     command.",
    &[
        Key::of("url", Kind::Web)
            .example("\"https://alerts.example.com/pointsman\"")
            .about("http or https; redirects are not followed"),
        text_option("name", "\"alerts\"")
            .about("for metrics and logs; default: the host of the url")
            .absent("the host of the url")
            .told_apart(),
        word("form", &Form::NAMES).about(
            "or \"slack\" (a text with attachments, for all that take Slack's form), \"alertmanager\", \
             \"alertmanager-webhook\", \"pagerduty\"; docs/oncall.md",
        ),
        Key::of("routing_key", Kind::Secret)
            .option("\"${file:pagerduty.key}\"")
            .about("for \"pagerduty\": the integration key of a service"),
        Key::of("headers", Kind::Fields)
            .option("{ authorization = \"Bearer ${file:alerts.token}\" }")
            .about("of each call"),
        word("severity", &["medium", "low", "high", "critical"])
            .about("this and worse: \"low\", \"medium\", \"high\" or \"critical\""),
        time("timeout", secs(5)).about("for one call"),
        text_option("secret_file", "\"alerts.key\"").about(
            "signs each call as Standard Webhooks do (webhook-signature: v1,…); the file's text is \
             the key, or whsec_ with the key in base64; beside this file",
        ),
    ],
);

/// All targets, in the file's order.
pub(super) fn notify(file: &mut Section<'_>, problems: &mut Problems) -> Vec<NotifyTarget> {
    let mut targets: Vec<Found<NotifyTarget>> = Vec::new();
    for section in file.tables(problems, "notify") {
        let Some(found) = target(section, problems) else { continue };
        match targets.iter().find(|other| other.value.name == found.value.name) {
            Some(first) => {
                let message = format!("two targets of notifications named `{}`", found.value.name);
                let problem = Problem::error(found.span, message).label("the second");
                let problem = problem.other(first.span.clone(), "the first");
                problems.0.push(problem.help("give one a `name` of its own"));
            }
            None => targets.push(found),
        }
    }
    targets.into_iter().map(|found| found.value).collect()
}

/// One target, with the place that gives it its name.
fn target(mut section: Section<'_>, problems: &mut Problems) -> Option<Found<NotifyTarget>> {
    let url = section.text(problems, "url", web_address);
    if section.value("url").is_none() {
        let problem =
            Problem::error(section.span.clone(), "a target of notifications needs a `url`");
        problems.0.push(problem.help("add, for example: url = \"https://alerts.example.com/\""));
    }
    let name = section.text(problems, "name", |text| match text.trim().is_empty() {
        true => Err("expected a name"),
        false => Ok(Arc::<str>::from(text)),
    });
    let form = section
        .word(problems, "form", |word| Form::ALL.into_iter().find(|form| form.name() == word));
    let routing_key = section.text(problems, "routing_key", RoutingKey::of);
    let fields = section.table_if_given(problems, "headers");
    let ours = |name: &HeaderName| OURS.contains(&name.as_str());
    let headers = fields.map(|fields| headers(fields, problems, ours));
    let mut headers = headers.unwrap_or_default();
    headers.iter_mut().for_each(|(_, value)| value.set_sensitive(true));
    let severity = section.word(problems, "severity", |word| word.parse::<Severity>().ok());
    let secret_file = section.text(problems, "secret_file", path);
    let timeout = section.time(problems, "timeout");
    let form = form.unwrap_or_default();
    match (form, section.value("routing_key")) {
        (Form::PagerDuty, None) => {
            let said = "`form = \"pagerduty\"` needs a `routing_key`";
            let problem = Problem::error(section.span.clone(), said);
            let help = "add, for example: routing_key = \"${file:pagerduty.key}\"";
            problems.0.push(problem.help(help));
        }
        (Form::PagerDuty, Some(_)) | (_, None) => {}
        (_, Some(key)) => {
            let said = "a `routing_key` is for `form = \"pagerduty\"` alone";
            problems.0.push(Problem::error(key.span(), said).warning());
        }
    }
    section.close(problems);
    let url = url?;
    let (name, span) = match name {
        Some(name) => (name.value, name.span),
        None => (url.value.host().unwrap_or_default().into(), url.span),
    };
    let value = NotifyTarget {
        name,
        url: whole(url.value, form),
        form,
        routing_key: routing_key.map(|found| found.value),
        headers,
        severity: severity.unwrap_or_default(),
        secret_file: secret_file.map(|found| found.value),
        timeout,
    };
    Some(Found { value, span })
}

/// The address with the path of its form, if it has none.
fn whole(url: Uri, form: Form) -> Uri {
    let is_bare = url.path_and_query().is_none_or(|path| path == "/");
    let Some(path) = form.path().filter(|_| is_bare) else { return url };
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).unwrap_or(url)
}

/// What a call says of itself, which nobody else may say.
const OURS: [&str; 8] = [
    "content-type",
    "content-encoding",
    "content-length",
    "host",
    "transfer-encoding",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

#[cfg(test)]
mod tests;
