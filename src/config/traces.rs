//! Traces: which requests are told of to a collector, and how: their table in, checked settings out.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};

use super::key::{Key, Kind, Table, boolean, number, secs, share, text, texts, time, word};
use super::notify::web_address;
use super::section::{Found, Section};
use super::values::headers;
use super::{Problem, Problems};
use crate::split::BasisPoints;

/// What the file says of traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// Where spans are sent to: the whole address.
    pub endpoint: Uri,
    /// How.
    pub protocol: TracesProtocol,
    /// Fields of each call; their values may be secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What we are called there.
    pub service_name: Arc<str>,
    /// The share of our own traces that is decided for when they begin.
    pub share: BasisPoints,
    /// So many a second may strangers decide for.
    pub from_strangers: u32,
    /// What is told of though it was not decided for.
    pub keep: Vec<Keep>,
    /// No more of those a second.
    pub keep_at_most: u32,
    /// Whether that holds of traces too that a trusted proxy has decided against.
    pub despite_parent: bool,
    /// For one call.
    pub timeout: Duration,
    /// Whether calls are made smaller.
    pub gzip: bool,
    /// Parts of queries whose values are not told.
    pub mask: Arc<[String]>,
}

/// How spans are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TracesProtocol {
    /// OTLP over HTTP, with protobuf.
    #[default]
    Http,
    /// OTLP over gRPC; of builds with the feature `traces-grpc` alone.
    Grpc,
}

/// Whether spans can be sent by gRPC: it brings a library that most do without.
const HAS_GRPC: bool = cfg!(feature = "traces-grpc");

/// Why a request is told of though nobody had decided so when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// It failed through our side's fault.
    Error,
    /// It was asked for more than once.
    Retried,
    /// It was refused because too much is asked.
    Shed,
    /// A pool had it that a stable one stands beside.
    Canary,
    /// It took longer than 99 of 100 of its pool do.
    Slow,
}

impl Keep {
    /// All of them; of several that hold of a request the first is told.
    pub const ALL: [Keep; 5] = [Keep::Error, Keep::Retried, Keep::Shed, Keep::Canary, Keep::Slow];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Keep::Error => "error",
            Keep::Retried => "retried",
            Keep::Shed => "shed",
            Keep::Canary => "canary",
            Keep::Slow => "slow",
        }
    }
}

/// The path of spans at a collector (OpenTelemetry protocol, "OTLP/HTTP request").
const PATH: PathAndQuery = PathAndQuery::from_static("/v1/traces");

/// More than that a second are no samples any more.
const MOST: u64 = 100_000;

/// What a call says of itself, which nobody else may say.
const OURS: [&str; 5] =
    ["content-type", "content-encoding", "content-length", "host", "transfer-encoding"];

pub(super) static TRACES: Table = Table::new(
    "Traces by OTLP; none by default. Spans go out beside the requests' way: what the \
     collector does not take is left out and counted (pointsman_spans_dropped_total). docs/traces.md",
    &[
        Key::of("endpoint", Kind::Web)
            .example("\"http://127.0.0.1:4318\"")
            .about("required; without a path it is /v1/traces"),
        word("protocol", &["http", "grpc"])
            .about("or \"grpc\", if that is built in (feature traces-grpc); its port is mostly 4317"),
        Key::of("headers", Kind::Fields)
            .option("{ authorization = \"Bearer ${file:collector.token}\" }")
            .about("of each call"),
        text("service_name", "pointsman").about("what we are called there"),
        share("share", (0.0, 100.0), 1.0)
            .about("of the requests that nobody before us decided about"),
        number("from_strangers", (0, MOST), 100).about(
            "a second, of which peers say so that are not `server.trusted_proxies`; what those say is \
             followed",
        ),
        texts("keep", &["error", "retried", "shed", "slow"]).about(
            "told of as well once they are over, though their upstreams' spans are missing; or \
             \"canary\"",
        ),
        number("keep_at_most", (0, MOST), 100).about("of these a second"),
        boolean("despite_parent", false)
            .about("whether `keep` holds of what a trusted proxy decided against, too"),
        time("timeout", secs(10)).about("for one call"),
        word("compression", &["none", "gzip"]).about("or \"gzip\""),
        texts(
            "mask",
            &["access_token", "api_key", "code", "password", "secret", "signature", "token"],
        )
        .about("parts of queries whose values are written as ***"),
    ],
);

/// Reads the table, if there is one.
pub(super) fn traces(file: &mut Section<'_>, problems: &mut Problems) -> Option<Arc<Traces>> {
    let mut section = file.table_if_given(problems, "traces")?;
    let protocol = section.word(problems, "protocol", |word| match word {
        "http" => Some(TracesProtocol::Http),
        "grpc" => Some(TracesProtocol::Grpc),
        _ => None,
    });
    let protocol = protocol.unwrap_or_default();
    if let Some(said) =
        section.value("protocol").filter(|_| !HAS_GRPC && protocol == TracesProtocol::Grpc)
    {
        let problem = Problem::error(said.span(), "this build sends no traces by gRPC");
        let help = "say \"http\", with the collector's port for that (mostly 4318), or build with `--features \
                    traces-grpc`";
        problems.0.push(problem.label("not built in").help(help));
    }
    let endpoint = section.text(problems, "endpoint", |text| endpoint(text, protocol));
    if section.value("endpoint").is_none() {
        let problem = Problem::error(section.span.clone(), "traces need an `endpoint`");
        problems.0.push(problem.help("for example `endpoint = \"http://127.0.0.1:4318\"`"));
    }
    let fields = section.table_if_given(problems, "headers");
    let ours = |name: &HeaderName| OURS.contains(&name.as_str());
    let headers = fields.map(|fields| headers(fields, problems, ours));
    let mut headers = headers.unwrap_or_default();
    headers.iter_mut().for_each(|(_, value)| value.set_sensitive(true));
    let named = |text: &str| match text.trim().is_empty() || text.contains(char::is_control) {
        true => Err("expected a name"),
        false => Ok(Arc::<str>::from(text)),
    };
    let service_name = section.text(problems, "service_name", named);
    let keep = section.texts(problems, "keep", kept);
    let mask = section.texts(problems, "mask", |part| Ok::<_, &str>(part.to_string()));
    let gzip = section.word(problems, "compression", |word| match word {
        "none" => Some(false),
        "gzip" => Some(true),
        _ => None,
    });
    let settings = Traces {
        endpoint: Uri::default(),
        protocol,
        headers,
        service_name: service_name.map_or_else(|| "pointsman".into(), |found| found.value),
        share: section.share(problems, "share"),
        from_strangers: section.number(problems, "from_strangers"),
        keep: keep.into_iter().map(|found: Found<Keep>| found.value).collect(),
        keep_at_most: section.number(problems, "keep_at_most"),
        despite_parent: section.boolean(problems, "despite_parent"),
        timeout: section.time(problems, "timeout"),
        gzip: gzip.unwrap_or_default(),
        mask: mask.into_iter().map(|found| found.value).collect(),
    };
    section.close(problems);
    Some(Arc::new(Traces { endpoint: endpoint?.value, ..settings }))
}

/// An address that can be called, with the path of spans if it has none and one is needed.
fn endpoint(text: &str, protocol: TracesProtocol) -> Result<Uri, &'static str> {
    let url = web_address(text).map_err(|error| match text.contains('@') {
        true => "no name or password in an address; say it in `headers`",
        false => error,
    })?;
    let is_bare = url.path_and_query().is_none_or(|path| path == "/");
    if protocol == TracesProtocol::Grpc {
        return if is_bare { Ok(url) } else { Err("by gRPC an address has no path") };
    }
    let mut parts = url.into_parts();
    if is_bare {
        parts.path_and_query = Some(PATH);
    }
    Uri::from_parts(parts).map_err(|_| "expected an address such as `http://127.0.0.1:4318`")
}

fn kept(text: &str) -> Result<Keep, &'static str> {
    let known = Keep::ALL.into_iter().find(|keep| keep.name() == text);
    known.ok_or("expected `error`, `retried`, `shed`, `canary` or `slow`")
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Live, diff};
    use super::*;

    const REST: &str =
        "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";

    fn parse(traces: &str) -> Result<Config, Vec<String>> {
        let text = format!("{traces}\n{REST}");
        Config::parse(&text).map(|(config, _)| config).map_err(|p| p.lines(&text, "t"))
    }

    fn of(lines: &str) -> Arc<Traces> {
        parse(&format!("[traces]\n{lines}")).unwrap().traces.unwrap()
    }

    #[test]
    fn an_endpoint_is_enough_and_all_else_has_its_default() {
        assert_eq!(parse("").unwrap().traces, None);
        let traces = of("endpoint = \"http://127.0.0.1:4318\"");
        assert_eq!(traces.endpoint, "http://127.0.0.1:4318/v1/traces");
        assert_eq!(
            (traces.share.get(), traces.from_strangers, traces.keep_at_most),
            (100, 100, 100)
        );
        assert_eq!(traces.keep, [Keep::Error, Keep::Retried, Keep::Shed, Keep::Slow]);
        assert_eq!((traces.despite_parent, traces.gzip), (false, false));
        assert_eq!(traces.timeout, Duration::from_secs(10));
    }

    #[test]
    fn a_path_is_used_as_it_is() {
        for (written, meant) in [
            ("https://otlp.example.com/", "https://otlp.example.com/v1/traces"),
            ("https://otlp.example.com/v1/traces", "https://otlp.example.com/v1/traces"),
            ("https://otlp.example.com/in?key=1", "https://otlp.example.com/in?key=1"),
        ] {
            assert_eq!(of(&format!("endpoint = \"{written}\"")).endpoint, meant, "{written}");
        }
    }

    #[test]
    fn no_debug_output_shows_a_header() {
        let traces = of("endpoint = \"http://a/\"\nheaders = { authorization = \"hush\" }");
        assert_eq!(traces.headers[0].1, "hush");
        assert!(!format!("{traces:?}").contains("hush"));
    }

    #[test]
    fn each_mistake_has_its_place() {
        let with = |line: &str| format!("endpoint = \"http://a/\"\n{line}");
        for (lines, expected) in [
            ("share = 1".to_string(), "t:1:1: traces need an `endpoint`"),
            ("endpoint = \"localhost:4318\"".into(), "t:2:12: bad value for `endpoint`"),
            ("endpoint = \"http://me:hush@a/\"".into(), "t:2:12: bad value for `endpoint`"),
            (with("keep = [\"errors\"]"), "t:3:9: bad value for `keep`"),
            (with("share = 101"), "t:3:9: bad value for `share`"),
            (with("from_strangers = -1"), "t:3:18: `from_strangers` is out of range"),
            (with("compression = \"zip\""), "t:3:15: bad value for `compression`"),
            (
                with("headers = { host = \"b\" }"),
                "t:3:13: `host` cannot be set: Pointsman writes it itself",
            ),
            (with("headers = { a = \"\\n\" }"), "t:3:17: bad value for `a`"),
            (with("headers = { a = \"b\", A = \"c\" }"), "t:3:13: `a` is given twice"),
            (with("samples = 1"), "t:3:1: unknown key `samples` in `traces`"),
        ] {
            let found = parse(&format!("[traces]\n{lines}"));
            assert_eq!(found, Err(vec![expected.to_string()]), "{lines}");
        }
    }

    #[test]
    fn a_reload_names_what_changes_and_shows_no_secret() {
        let old = "[traces]\nendpoint = \"http://a/\"\nheaders = { authorization = \"one\" }";
        let new =
            "[traces]\nendpoint = \"http://b/\"\nshare = 5\nheaders = { authorization = \"two\" }";
        let changes = diff(&parse(old).unwrap(), &parse(new).unwrap(), &Live::default());
        let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let wanted = [
            "traces: endpoint http://a → http://b",
            "traces: headers.authorization has another value",
            "traces: share 1 % → 5 %",
        ];
        assert_eq!(lines, wanted);
    }
}
