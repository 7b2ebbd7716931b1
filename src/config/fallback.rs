//! What a service does when it has no upstream to ask: its table in, a [`Fallback`] out.
//!
//! Whether the pool exists is checked where the pools are known, and the file of an answer is read
//! by the rim.

use std::sync::Arc;

use http::header::HeaderName;

use super::key::{Key, Kind, Table, Without, mins, number, size, table, text_option, time};
use super::section::Section;
use super::values::{headers, path};
use super::{Problem, Problems};
use crate::fallback::{Body, Fallback, StaleLimits, StaticAnswer};
use crate::http::response::FALLBACK_MARK;

/// Of responses kept: one may take an eighth, and smaller than this hardly any would fit.
const FEWEST_BYTES: u64 = 64 * 1024;

/// Of responses kept: 64 GiB, beyond which it is a slip of the keyboard.
const MOST_BYTES: u64 = 1 << 36;

/// Fields of an answer that follow from its content and its connection, or that we set.
const OURS: [&str; 8] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "trailer",
    "x-request-id",
];

pub(super) static FALLBACK: Table = Table::new(
    "Who answers when a pool's breaker is open or nobody of it is well, in this order; none by \
     default: then whoever is left is tried, well or not. What fails in a pool and may be repeated is \
     asked of `pool` too. Such an answer says so in x-pointsman-fallback: stale, pool or answer.",
    &[
        text_option("pool", "\"green\"").example("\"green\""),
        table("stale", &STALE, Without::Off)
            .about("the last good response, if HTTP lets it be shared"),
        table("answer", &ANSWER, Without::Off),
    ],
);

static STALE: Table = Table::new(
    "",
    &[
        size("bytes", (FEWEST_BYTES, MOST_BYTES), 16 << 20).about("of responses kept"),
        time("age", mins(10)).about("how old one may be"),
    ],
);

static ANSWER: Table = Table::new(
    "",
    &[
        number("status", (200, 599), 503),
        Key::of("headers", Kind::Fields).example("{ content-type = \"text/html\" }"),
        text_option("body", "\"<p>Back soon.</p>\"").example("\"<p>Back soon.</p>\""),
        text_option("file", "\"sorry.html\"")
            .about("instead of a body; beside this file; its extension tells its type"),
    ],
);

pub(super) fn fallback(mut section: Section<'_>, problems: &mut Problems) -> Fallback {
    let stale = section.table_if_given(problems, "stale").map(|section| stale(section, problems));
    let pool = section.text(problems, "pool", |name| match name.is_empty() {
        true => Err("expected the name of a pool"),
        false => Ok(Arc::<str>::from(name)),
    });
    let answer = section.table_if_given(problems, "answer");
    let answer = answer.map(|section| answer_of(section, problems));
    section.close(problems);
    Fallback { stale, pool: pool.map(|found| found.value), answer }
}

fn stale(mut section: Section<'_>, problems: &mut Problems) -> StaleLimits {
    let bytes = section.number(problems, "bytes");
    let limits = StaleLimits { bytes, age: section.time(problems, "age") };
    section.close(problems);
    limits
}

pub(super) fn answer_of(mut section: Section<'_>, problems: &mut Problems) -> StaticAnswer {
    let status = section.number(problems, "status");
    let ours = |name: &HeaderName| OURS.contains(&name.as_str()) || *name == FALLBACK_MARK;
    let headers =
        section.table_if_given(problems, "headers").map(|section| headers(section, problems, ours));
    let text = section.text(problems, "body", |text| Ok::<_, &str>(text.to_string()));
    let file = section.text(problems, "file", path);
    if let (Some(text), Some(file)) = (&text, &file) {
        let problem =
            Problem::error(file.span.clone(), "an answer has either a `body` or a `file`");
        problems.0.push(problem.label("the second").other(text.span.clone(), "the first"));
    }
    let given = [text.as_ref().map(|text| &text.span), file.as_ref().map(|file| &file.span)];
    // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5.
    if let Some(span) = given.into_iter().flatten().next()
        && [204, 205, 304].contains(&status)
    {
        let message = format!("an answer of status {status} has no content");
        let problem = Problem::error(span.clone(), message);
        let status = section.place("status");
        problems.0.push(problem.label("what to do with this?").other(status, "the status"));
    }
    section.close(problems);
    let body = match file {
        Some(file) => Body::File(file.value),
        None => Body::Text(text.map(|text| text.value).unwrap_or_default().into()),
    };
    StaticAnswer { status, headers: headers.unwrap_or_default(), body }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    const BEFORE: &str = "[[listeners]]\naddress = \":80\"\n[services.a.pools]\nb.upstreams = []\n\
                          c.upstreams = [\"a:1\"]\n[services.a.split]\nc = 100\n";

    /// The settings of a file whose line 8 is the first of these; or what is wrong.
    fn parse(lines: &str) -> Result<Fallback, Vec<String>> {
        let text = format!("{BEFORE}{lines}");
        match Config::parse(&text) {
            Ok((config, warnings)) => {
                assert_eq!(warnings, Problems::default());
                Ok(config.services[0].stability.fallback.clone())
            }
            Err(problems) => Err(problems.lines(&text, "t")),
        }
    }

    #[test]
    fn without_the_table_there_is_no_fallback() {
        assert_eq!(parse(""), Ok(Fallback::default()));
    }

    #[test]
    fn each_step_becomes_a_value() {
        let lines = r#"[services.a.fallback]
stale = { bytes = 1_000_000, age = "5m" }
pool = "b"
answer = { status = 200, headers = { X-b = "1", content-type = "text/html" }, body = "hi" }
"#;
        let fields = [("content-type", "text/html"), ("x-b", "1")];
        let fields = fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        assert_eq!(
            parse(lines),
            Ok(Fallback {
                stale: Some(StaleLimits { bytes: 1_000_000, age: Duration::from_secs(300) }),
                pool: Some("b".into()),
                answer: Some(StaticAnswer {
                    status: 200,
                    headers: fields.to_vec(),
                    body: Body::Text("hi".into()),
                }),
            })
        );
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let lines = "[services.a.fallback]\nstale = {}\nanswer = { file = \"sorry.html\" }\n";
        let answer =
            StaticAnswer { status: 503, headers: vec![], body: Body::File("sorry.html".into()) };
        let stale = StaleLimits { bytes: 16_777_216, age: Duration::from_secs(600) };
        let wanted = Fallback { stale: Some(stale), pool: None, answer: Some(answer.clone()) };
        assert_eq!(parse(lines), Ok(wanted));
        let empty = parse("[services.a.fallback.answer]\n").unwrap().answer.unwrap();
        assert_eq!(empty, StaticAnswer { body: Body::Text(Default::default()), ..answer });
    }

    #[test]
    fn every_mistake_is_placed() {
        let cases = [
            ("pol = \"b\"", "t:9:1: unknown key `pol` in `services.a.fallback`"),
            ("pool = 5", "t:9:8: `pool` must be a text in quotes"),
            ("pool = \"\"", "t:9:8: bad value for `pool`"),
            ("stale = true", "t:9:9: `stale` must be a table"),
            ("stale.bytes = 1_000", "t:9:15: `bytes` is out of range"),
            ("stale.age = \"25h\"", "t:9:13: bad value for `age`"),
            ("stale.ages = \"1h\"", "t:9:7: unknown key `ages` in `services.a.fallback.stale`"),
            ("answer = \"x\"", "t:9:10: `answer` must be a table"),
            ("answer.status = 199", "t:9:17: `status` is out of range"),
            ("answer.status = 600", "t:9:17: `status` is out of range"),
            (
                "answer = { body = \"x\", file = \"y\" }",
                "t:9:31: an answer has either a `body` or a `file`",
            ),
            (
                "answer = { status = 204, body = \"x\" }",
                "t:9:33: an answer of status 204 has no content",
            ),
            (
                "answer = { status = 304, file = \"x\" }",
                "t:9:33: an answer of status 304 has no content",
            ),
            ("answer.file = \"\"", "t:9:15: bad value for `file`"),
            ("answer.headers = { \"a b\" = \"x\" }", "t:9:20: not a header field name"),
            ("answer.headers = { a = \"x\\ny\" }", "t:9:24: bad value for `a`"),
            ("answer.headers = { a = \"ü\" }", "t:9:24: bad value for `a`"),
            ("answer.headers = { a = 5 }", "t:9:24: `a` must be a text in quotes"),
            ("answer.headers = { a = \"x\", A = \"y\" }", "t:9:20: `a` is given twice"),
            (
                "answer.headers = { Content-Length = \"5\" }",
                "t:9:20: `content-length` cannot be set: Pointsman writes it itself",
            ),
            (
                "answer.headers = { x-pointsman-fallback = \"no\" }",
                "t:9:20: `x-pointsman-fallback` cannot be set: Pointsman writes it itself",
            ),
        ];
        for (line, wanted) in cases {
            let found = parse(&format!("[services.a.fallback]\n{line}\n"));
            assert_eq!(found, Err(vec![wanted.to_string()]), "{line}");
        }
    }
}
