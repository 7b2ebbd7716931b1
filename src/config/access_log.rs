//! The log of requests: its table in, checked settings out.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use super::key::{Table, share, text_option, texts, word};
use super::section::Section;
use super::values::{header_name, path};
use super::{Problem, Problems};
use crate::split::BasisPoints;

/// What the file says of the access log.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Where lines go.
    pub to: LogPlace,
    /// What a line looks like.
    pub format: LogFormat,
    /// The share of good requests that get a line; all others always do.
    pub sample: BasisPoints,
    /// Fields of the request that are in a line.
    pub request_fields: Vec<HeaderName>,
    /// Fields of the upstream's answer that are.
    pub response_fields: Vec<HeaderName>,
    /// Parts of queries whose values are not told.
    pub mask: Arc<[String]>,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// To the process's standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
    /// To this Unix datagram socket, one line each.
    Socket(PathBuf),
}

impl fmt::Display for LogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogPlace::Stdout => f.write_str("stdout"),
            LogPlace::File(path) => path.display().fmt(f),
            LogPlace::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// An object of JSON.
    #[default]
    Json,
    /// As Apache's and nginx's `combined`.
    Combined,
}

/// What nobody wants to find in a file.
const SECRET: [&str; 5] =
    ["authorization", "cookie", "proxy-authorization", "set-cookie", "x-amz-security-token"];

pub(super) static ACCESS_LOG: Table = Table::new(
    "A line for each request; none by default. Lines are written beside the requests' way: what there is \
     no time for is left out and counted (pointsman_access_log_dropped_total). A file that was moved away \
     is opened again within a second, and at once by SIGUSR1.",
    &[
        text_option("to", "\"stdout\"")
            .example("\"/var/log/pointsman/access.log\"")
            .about("required; \"stdout\", the path of a file, or \"unix:/path\" for a datagram socket"),
        word("format", &["json", "combined"]).about("or \"combined\", as nginx and Apache write it"),
        share("sample", (0.0, 100.0), 100.0).about(
            "of the good answers; those of 400 and above, and whatever was retried, waited, or got a \
             fallback, are always logged",
        ),
        texts("request_fields", &["referer", "user-agent"]).about("of the request, in each line"),
        texts("response_fields", &[]).about("of the upstream's answer"),
        texts(
            "mask",
            &["access_token", "api_key", "code", "password", "secret", "signature", "token"],
        )
        .about("parts of queries whose values are written as ***"),
    ],
);

/// Reads the table, if there is one.
pub(super) fn access_log(
    server: &mut Section<'_>,
    problems: &mut Problems,
) -> Option<Arc<AccessLog>> {
    let mut section = server.table_if_given(problems, "access_log")?;
    let to = section.text(problems, "to", place);
    if to.is_none() && section.value("to").is_none() {
        let problem = Problem::error(section.span.clone(), "the access log needs a place");
        problems.0.push(problem.help("for example `to = \"stdout\"`"));
    }
    let mut fields = |key| -> Vec<HeaderName> {
        let found = section.texts(problems, key, told);
        found.into_iter().map(|found| found.value).collect()
    };
    let (request_fields, response_fields) = (fields("request_fields"), fields("response_fields"));
    let mask = section.texts(problems, "mask", |part| Ok::<_, &str>(part.to_string()));
    let format = section.word(problems, "format", |word| match word {
        "json" => Some(LogFormat::Json),
        "combined" => Some(LogFormat::Combined),
        _ => None,
    });
    let sample = section.share(problems, "sample");
    section.close(problems);
    Some(Arc::new(AccessLog {
        to: to?.value,
        format: format.unwrap_or_default(),
        sample,
        request_fields,
        response_fields,
        mask: mask.into_iter().map(|found| found.value).collect(),
    }))
}

fn place(text: &str) -> Result<LogPlace, &'static str> {
    const WANTED: &str = "expected \"stdout\", an absolute path or \"unix:/path\"";
    let absolute = |path: PathBuf| if path.is_absolute() { Ok(path) } else { Err(WANTED) };
    match text {
        "stdout" => Ok(LogPlace::Stdout),
        _ => match text.strip_prefix("unix:") {
            Some(socket) => path(socket).and_then(absolute).map(LogPlace::Socket),
            None => path(text).and_then(absolute).map(LogPlace::File),
        },
    }
}

fn told(text: &str) -> Result<HeaderName, &'static str> {
    match header_name(text)? {
        name if SECRET.contains(&name.as_str()) => Err("holds secrets, which belong in no log"),
        name => Ok(name),
    }
}
