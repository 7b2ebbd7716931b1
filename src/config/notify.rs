//! Who is told of what happens: the tables of `[[notify]]` in, [`NotifyTarget`]s out.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize};

use super::key::{Key, Kind, Table, secs, text_option, time, word};
use super::section::{Found, Section};
use super::values::path;
use super::{Problem, Problems};

/// Who is told, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyTarget {
    /// What it is called in metrics and logs: its address may be a secret.
    pub name: Arc<str>,
    /// `http` or `https`, with a host.
    pub url: Uri,
    /// How it is told.
    pub form: Form,
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
        word("form", &["json", "slack"])
            .about("or \"slack\": a text with attachments, for all that take Slack's form"),
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
    let form = section.word(problems, "form", |word| match word {
        "json" => Some(Form::Json),
        "slack" => Some(Form::Slack),
        _ => None,
    });
    let severity = section.word(problems, "severity", |word| word.parse::<Severity>().ok());
    let secret_file = section.text(problems, "secret_file", path);
    let timeout = section.time(problems, "timeout");
    section.close(problems);
    let url = url?;
    let (name, span) = match name {
        Some(name) => (name.value, name.span),
        None => (url.value.host().unwrap_or_default().into(), url.span),
    };
    let value = NotifyTarget {
        name,
        url: url.value,
        form: form.unwrap_or_default(),
        severity: severity.unwrap_or_default(),
        secret_file: secret_file.map(|found| found.value),
        timeout,
    };
    Some(Found { value, span })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Live, diff};
    use super::*;

    const REST: &str =
        "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";

    fn parse(notify: &str) -> Result<Config, Vec<String>> {
        let text = format!("{notify}\n{REST}");
        Config::parse(&text).map(|(config, _)| config).map_err(|p| p.lines(&text, "t"))
    }

    #[test]
    fn a_target_needs_an_address_and_has_defaults_for_the_rest() {
        let config = parse("[[notify]]\nurl = \"https://alerts.example.com/in?x=1\"").unwrap();
        let expected = NotifyTarget {
            name: "alerts.example.com".into(),
            url: Uri::from_static("https://alerts.example.com/in?x=1"),
            form: Form::Json,
            severity: Severity::Medium,
            secret_file: None,
            timeout: Duration::from_secs(5),
        };
        assert_eq!(config.notify, [expected]);
        assert_eq!(parse("").unwrap().notify, []);
    }

    #[test]
    fn every_key_is_read() {
        let text = "[[notify]]\nurl = \"http://[::1]:8065/hooks/x\"\nname = \"chat\"\nform = \"slack\"\n\
                    severity = \"critical\"\nsecret_file = \"k\"\ntimeout = \"1s\"";
        let expected = NotifyTarget {
            name: "chat".into(),
            url: Uri::from_static("http://[::1]:8065/hooks/x"),
            form: Form::Slack,
            severity: Severity::Critical,
            secret_file: Some("k".into()),
            timeout: Duration::from_secs(1),
        };
        assert_eq!(parse(text).unwrap().notify, [expected]);
    }

    #[test]
    fn the_reference_is_a_config() {
        let text = include_str!("../../conf/reference.toml");
        let (config, _) = Config::parse(text).map_err(|p| p.render(text, "t", false)).unwrap();
        assert_eq!(config.notify.len(), 1);
        assert_eq!(config.notify[0].severity, Severity::default());
    }

    #[test]
    fn each_mistake_has_its_place() {
        let cases = [
            ("name = \"x\"", "t:1:1: a target of notifications needs a `url`"),
            ("url = \"alerts.example.com\"", "t:2:7: bad value for `url`"),
            ("url = \"ftp://alerts.example.com\"", "t:2:7: bad value for `url`"),
            ("url = \"https://me:secret@example.com/\"", "t:2:7: bad value for `url`"),
            ("url = \"https://example.com:99999/\"", "t:2:7: bad value for `url`"),
            ("url = \"https://example.com:0/\"", "t:2:7: bad value for `url`"),
            ("url = \"https://example.com:/\"", "t:2:7: bad value for `url`"),
            ("url = \"https:///x\"", "t:2:7: bad value for `url`"),
            ("url = \"https://example.com/#a\"", "t:2:7: bad value for `url`"),
            ("url = \"http://a/\"\nform = \"xml\"", "t:3:8: bad value for `form`"),
            ("url = \"http://a/\"\nseverity = \"bad\"", "t:3:12: bad value for `severity`"),
            ("url = \"http://a/\"\nsecret_file = \"\"", "t:3:15: bad value for `secret_file`"),
            ("url = \"http://a/\"\nname = \" \"", "t:3:8: bad value for `name`"),
            ("url = \"http://a/\"\nretries = 5", "t:3:1: unknown key `retries` in `notify`"),
            (
                "url = \"http://a/\"\n[[notify]]\nurl = \"http://a/b\"",
                "t:4:7: two targets of notifications named `a`",
            ),
        ];
        for (lines, expected) in cases {
            let found = parse(&format!("[[notify]]\n{lines}"));
            assert_eq!(found, Err(vec![expected.to_string()]), "{lines}");
        }
    }

    #[test]
    fn a_reload_names_the_targets_that_change() {
        let old =
            "[[notify]]\nurl = \"http://a/\"\n[[notify]]\nurl = \"http://b/\"\ntimeout = \"9s\"";
        let new = "[[notify]]\nurl = \"http://b/x\"\n[[notify]]\nurl = \"http://c/\"";
        let changes = diff(&parse(old).unwrap(), &parse(new).unwrap(), &Live::default());
        let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let wanted = [
            "notify a: removed",
            // What comes after the host may be a secret.
            "notify b: url is another address at http://b",
            "notify b: timeout 9s → 5s",
            "notify c: added",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn severities_are_ordered_and_read_as_they_are_written() {
        let all = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        assert!(all.is_sorted());
        for severity in all {
            assert_eq!(severity.to_string().parse(), Ok(severity));
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        }
        assert_eq!("Critical".parse::<Severity>(), Err(SeverityError));
    }
}
