//! By what testers name a pool: the `override` table of a service or a route in, an [`OptIn`] out.

use std::fmt;
use std::path::PathBuf;

use http::header::HeaderName;
use ipnet::IpNet;

use super::key::{Table, text_option, texts};
use super::section::Section;
use super::server::network;
use super::values::{header_name, path};
use super::{Problem, Problems};

/// By what testers name a pool. Tied to nothing, it is anybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptIn {
    /// A request field whose value names the pool.
    pub header: Option<HeaderName>,
    /// A cookie that does.
    pub cookie: Option<String>,
    /// A parameter of the query that does.
    pub query: Option<String>,
    /// Where they come from; empty for anywhere.
    pub from: Vec<IpNet>,
    /// A file with the secret that follows the name of the pool; none if none has to.
    pub secret_file: Option<PathBuf>,
}

impl OptIn {
    /// Whether it is tied to anything.
    pub fn is_tied(&self) -> bool {
        !self.from.is_empty() || self.secret_file.is_some()
    }
}

impl fmt::Display for OptIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header.as_ref().map(ToString::to_string);
        let cookie = self.cookie.as_ref().map(|name| format!("cookie {name}"));
        let query = self.query.as_ref().map(|name| format!("?{name}="));
        let by: Vec<String> = header.into_iter().chain(query).chain(cookie).collect();
        write!(f, "{}", by.join(" or "))?;
        for (nth, network) in self.from.iter().enumerate() {
            write!(f, "{}{network}", if nth == 0 { " from " } else { ", " })?;
        }
        match &self.secret_file {
            Some(file) => write!(f, " with the secret of {}", file.display()),
            None => Ok(()),
        }
    }
}

pub(super) static OVERRIDE: Table = Table::new(
    "For testers, who name the pool that they want; the name of a pool that there is not gets 404. Whoever is let in by `from` or `secret_file` passes during maintenance too. With \
     neither, anybody may name a pool, even one at 0 %, but does not pass during maintenance.",
    &[
        text_option("header", "\"x-pointsman-pool\"")
            .example("\"x-pointsman-pool\"")
            .about("a request may name its pool in this field; default: none"),
        text_option("query", "\"preview\"").about("or in this parameter of the query"),
        text_option("cookie", "\"preview\"").about("or in this cookie"),
        texts("from", &[])
            .example("[\"127.0.0.0/8\", \"10.0.0.0/8\"]")
            .about("clients' addresses or networks that may; default: any"),
        text_option("secret_file", "\"testers.key\"").about(
            "who may knows what is in this file, beside this one: the field is then \
             `green:SECRET` and goes no further; not with `query` or `cookie`, which upstreams see. With \
             `from` too, both are asked for",
        ),
    ],
);

pub(super) fn opt_in_of(mut section: Section<'_>, problems: &mut Problems) -> Option<OptIn> {
    let header = section.text(problems, "header", header_name);
    let token = |text: &str| {
        let is_token = header_name(text).is_ok();
        is_token.then(|| text.to_string()).ok_or("expected a name without spaces, `=` and `;`")
    };
    let query = section.text(problems, "query", token);
    let cookie = section.text(problems, "cookie", token);
    let from = section.texts(problems, "from", network);
    section.no_empty_list(problems, "from", "nobody could", "leave out the whole table for nobody");
    let secret_file = section.text(problems, "secret_file", path);
    let said = section.has("from") || section.has("secret_file");
    let ways = [
        header.as_ref().map(|found| found.span.clone()),
        query.as_ref().map(|found| found.span.clone()),
        cookie.as_ref().map(|found| found.span.clone()),
    ];
    let is_named = ["header", "query", "cookie"].into_iter().any(|key| section.has(key));
    if said && !is_named {
        let problem = Problem::error(section.span.clone(), "an `override` needs a `header`");
        problems.0.push(
            problem.help("or a `query` or a `cookie`; for example `header = \"x-pointsman-pool\"`"),
        );
    }
    if let Some(seen) = ["query", "cookie"].into_iter().find(|key| section.has(key))
        && section.has("secret_file")
    {
        let message = format!("a secret in a {seen} would go on to upstreams");
        let problem = Problem::error(section.place(seen), message);
        problems.0.push(problem.help("name pools in a `header`, or testers by `from`"));
    }
    if let (Some(place), false) = (ways.into_iter().flatten().next(), said) {
        let message = "anybody who knows this name reaches pools at 0 %";
        let help = "name testers' networks (`from = [\"10.0.0.0/8\"]`) or a `secret_file`; \
                    `from = [\"0.0.0.0/0\", \"::/0\"]` means everybody";
        problems.0.push(Problem::error(place, message).warning().help(help));
    }
    section.close(problems);
    if !is_named {
        return None;
    }
    Some(OptIn {
        header: header.map(|found| found.value),
        query: query.map(|found| found.value),
        cookie: cookie.map(|found| found.value),
        from: from.into_iter().map(|found| found.value).collect(),
        secret_file: secret_file.map(|found| found.value),
    })
}
