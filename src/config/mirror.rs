//! What a service copies to another pool: its table in, checked settings out.

use std::sync::Arc;

use http::Method;

use super::key::{
    Table, Without, boolean, number, secs, share, size, table, text_option, texts, time,
};
use super::section::Section;
use super::suggestion::nearest;
use super::values::header_name;
use super::{Pool, Problem, Problems};
use crate::mirror::{CompareSettings, MirrorSettings};

/// The longest body that may be copied, in bytes: each is held from the request's first byte until
/// its copy is sent.
const MOST_BODY: u64 = 16 << 20;

/// How much of an answer may be looked at, in bytes.
const MOST_COMPARED: u64 = 1 << 30;

pub(super) static MIRROR: Table = Table::new(
    "Copies of live requests for another pool: real requests for a version that nobody sees yet, \
     before its first percent. A copy carries x-pointsman-mirror: 1 and is sent after the client has \
     its answer; what the copy is answered with reaches nobody and counts for nothing. None by \
     default. `pointsman mirror shop` shows what came of it.",
    &[
        text_option("to", "\"green\"")
            .example("\"green\"")
            .about("required; requests that go there anyway are not copied"),
        share("percent", (0.0, 100.0), 10.0).about("of the requests that may be copied"),
        texts("methods", &["GET", "HEAD"]).about("idempotent ones only"),
        size("body_limit", (0, MOST_BODY), 64 << 10)
            .about("requests with longer bodies are not copied"),
        number("queue", (1, 10_000), 100).about("copies that wait to be sent; more are dropped"),
        number("concurrent", (1, 1_000), 16).about("copies under way at once"),
        time("timeout", secs(5)).about("for the whole of a copy"),
        table("compare", &COMPARE, Without::Off),
    ],
);

static COMPARE: Table = Table::new(
    "What is compared with the live answer; none by default. The keys below are the defaults of an \
     empty table.",
    &[
        boolean("status", true),
        texts("headers", &["content-type"]),
        boolean("body", true).about("by hash"),
        size("body_limit", (1, MOST_COMPARED), 1 << 20).about("as much of a body is looked at"),
    ],
);

/// Reads a service's table on mirroring; `pools` if they could be read.
pub(super) fn mirror(
    service: &mut Section<'_>,
    problems: &mut Problems,
    pools: Option<&[Pool]>,
) -> Option<Arc<MirrorSettings>> {
    let mut section = service.table_if_given(problems, "mirror")?;
    let to = to(&mut section, problems, pools);
    let methods = section.texts(problems, "methods", method);
    let help = "leave it out for GET and HEAD, or the whole table for no copies";
    section.no_empty_list(problems, "methods", "nothing would be copied", help);
    let compare = section.table_if_given(problems, "compare");
    let settings = MirrorSettings {
        percent: section.share(problems, "percent"),
        methods: methods.into_iter().map(|found| found.value).collect(),
        body_limit: section.number(problems, "body_limit"),
        queue: section.number(problems, "queue"),
        concurrent: section.number(problems, "concurrent"),
        timeout: section.time(problems, "timeout"),
        compare: compare.map(|section| compare_of(section, problems)),
        to: to.clone().unwrap_or_default(),
    };
    section.close(problems);
    to.map(|_| Arc::new(settings))
}

/// The pool that gets the copies.
fn to(
    section: &mut Section<'_>,
    problems: &mut Problems,
    pools: Option<&[Pool]>,
) -> Option<Arc<str>> {
    let name = section.text(problems, "to", |name| Ok::<_, &str>(Arc::<str>::from(name)));
    let Some(name) = name else {
        if section.value("to").is_none() {
            let problem = Problem::error(section.span.clone(), "a mirror needs a pool");
            problems.0.push(problem.help("for example `to = \"green\"`"));
        }
        return None;
    };
    if let Some(pools) = pools
        && !pools.iter().any(|pool| pool.name == name.value)
    {
        let message = format!("no pool is named `{}`", name.value);
        let problem = Problem::error(name.span, message);
        problems.0.push(match nearest(&name.value, pools.iter().map(|pool| &*pool.name)) {
            Some(near) => problem.label(format!("did you mean `{near}`?")),
            None => problem.label("unknown pool"),
        });
        return None;
    }
    Some(name.value)
}

/// Whatever is asked for twice must be as if it were asked for once.
fn method(text: &str) -> Result<Method, &'static str> {
    match text.parse::<Method>() {
        Ok(method) if method.is_idempotent() => Ok(method),
        Ok(Method::POST | Method::PATCH | Method::CONNECT) => {
            Err("not idempotent: a copy would do it twice; use GET, HEAD, OPTIONS, PUT or DELETE")
        }
        _ => Err("not an idempotent method, such as `GET`"),
    }
}

fn compare_of(mut section: Section<'_>, problems: &mut Problems) -> CompareSettings {
    let headers = section.texts(problems, "headers", header_name);
    let compare = CompareSettings {
        status: section.boolean(problems, "status"),
        headers: headers.into_iter().map(|found| found.value).collect(),
        body: section.boolean(problems, "body"),
        body_limit: section.number(problems, "body_limit"),
    };
    section.close(problems);
    compare
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::split::BasisPoints;

    const BEFORE: &str = "[[listeners]]\naddress = \":80\"\n[services.a.pools]\n\
                          blue.upstreams = [\"a:1\"]\ngreen.upstreams = []\n[services.a.split]\n\
                          blue = 100\n";

    /// The settings of a file whose line 8 is the first of these; or what is wrong.
    fn parse(lines: &str) -> Result<Option<MirrorSettings>, Vec<String>> {
        let text = format!("{BEFORE}{lines}");
        match Config::parse(&text) {
            Ok((config, warnings)) => {
                assert_eq!(warnings, Problems::default());
                Ok(config.services[0].mirror.as_deref().cloned())
            }
            Err(problems) => Err(problems.lines(&text, "t")),
        }
    }

    #[test]
    fn without_the_table_nothing_is_mirrored_and_a_pool_is_enough() {
        assert_eq!(parse(""), Ok(None));
        let wanted = MirrorSettings::to("green".into());
        assert_eq!(parse("[services.a.mirror]\nto = \"green\"\n"), Ok(Some(wanted)));
    }

    #[test]
    fn each_key_becomes_a_value() {
        let lines = r#"[services.a.mirror]
to = "green"
percent = 12.5
methods = ["GET", "PUT"]
body_limit = "1MiB"
queue = 7
concurrent = 3
timeout = "2s"
compare = { status = false, headers = ["etag"], body = false, body_limit = 4096 }
"#;
        let wanted = MirrorSettings {
            to: "green".into(),
            percent: BasisPoints::new(1_250).unwrap(),
            methods: vec![Method::GET, Method::PUT],
            body_limit: 1 << 20,
            queue: 7,
            concurrent: 3,
            timeout: Duration::from_secs(2),
            compare: Some(CompareSettings {
                status: false,
                headers: vec![http::header::ETAG],
                body: false,
                body_limit: 4096,
            }),
        };
        assert_eq!(parse(lines), Ok(Some(wanted)));
        let compared = parse("[services.a.mirror]\nto = \"green\"\ncompare = {}\n");
        assert_eq!(compared.unwrap().unwrap().compare, Some(CompareSettings::default()));
    }

    #[test]
    fn every_mistake_is_placed() {
        let cases = [
            ("to = \"gren\"", "t:9:6: no pool is named `gren`"),
            ("percent = 1", "t:8:1: a mirror needs a pool"),
            ("to = \"green\"\npercent = 101", "t:10:11: bad value for `percent`"),
            ("to = \"green\"\nmethods = [\"POST\"]", "t:10:12: bad value for `methods`"),
            ("to = \"green\"\nmethods = [\"get\"]", "t:10:12: bad value for `methods`"),
            ("to = \"green\"\nbody_limit = \"64KB\"", "t:10:14: bad value for `body_limit`"),
            ("to = \"green\"\nbody_limit = \"1GiB\"", "t:10:14: `body_limit` is out of range"),
            ("to = \"green\"\nbody_limit = true", "t:10:14: `body_limit` must be a size"),
            ("to = \"green\"\nqueue = 0", "t:10:9: `queue` is out of range"),
            (
                "to = \"green\"\ncompare.statuss = true",
                "t:10:9: unknown key `statuss` in `services.a.mirror.compare`",
            ),
        ];
        for (lines, wanted) in cases {
            let found = parse(&format!("[services.a.mirror]\n{lines}\n"));
            assert_eq!(found, Err(vec![wanted.to_string()]), "{lines}");
        }
    }
}
