//! One service of the file: its table in, its pools, split and settings out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::compression::{COMPRESSION, compression_of};
use super::fallback::FALLBACK;
use super::health::HEALTH;
use super::judge::JUDGE;
use super::key::{
    Key, Kind, Shape, Table, Without, boolean, free, idle, mins, number, secs, size_option, table,
    time, word, word_option,
};
use super::mirror::{MIRROR, mirror};
use super::opt_in::{OVERRIDE, opt_in_of};
use super::rate::{RATE_LIMIT, rate_limit};
use super::read::Around;
use super::rollout::{ROLLOUT, rollout};
use super::section::{Found, Section, text_of, wrong_kind};
use super::slo::{SLO, slo};
use super::stability::{BALANCE, BREAKER, EJECTION, LIMITS, MAINTENANCE, RETRIES, stability};
use super::sticky::{STICKY, sticky};
use super::suggestion::nearest;
use super::tls::{POOL_KEY, PoolTls, pool_tls};
use super::values::{checked_name, labels, percent};
use super::{Pool, Problem, Problems, Service, Timeouts};
use crate::balance::{DEFAULT_WEIGHT, WEIGHT_RANGE};
use crate::split::{BasisPoints, Split, SplitError};
use crate::upstream::{Address, Labels, ProxyVersion};

pub(super) static SERVICE: Table = Table::new(
    "",
    &[
        Key::of("split", Kind::Free(""))
            .shape(Shape::Shares)
            .example("{ blue = 100, green = 0 }")
            .about("percent with two decimals; not needed for a single pool")
            .told_apart(),
        table("sticky", &STICKY, Without::Defaults).told_apart(),
        table("override", &OVERRIDE, Without::Off).told_apart(),
        boolean("tell_pool", false).about(
            "whether answers say in x-pointsman-pool which pool gave them; who names one by `override` is \
             told anyway",
        ),
        word("paths", &["as-sent", "normal"]).about(
            "how upstreams are asked: for the path as the client sent it, or in the form that routes \
             are found by (needless escapes undone, slashes in a row made one)",
        ),
        table("timeouts", &TIMEOUTS, Without::Defaults),
        table("health", &HEALTH, Without::Off).about("exactly one of http, tcp and grpc"),
        table("ejection", &EJECTION, Without::DefaultsUnlessFalse),
        table("breaker", &BREAKER, Without::DefaultsUnlessFalse),
        table("retries", &RETRIES, Without::Defaults),
        table("balance", &BALANCE, Without::Defaults),
        table("limits", &LIMITS, Without::Defaults),
        table("rate_limit", &RATE_LIMIT, Without::Off),
        table("fallback", &FALLBACK, Without::Off),
        table("compression", &COMPRESSION, Without::Off),
        size_option("body_limit", (0, 1 << 44), "\"10MiB\"")
            .about("of a request; what is longer gets a 413; 0 for any; default: `server.client`'s")
            .absent("that of server.client"),
        Key::of("error_pages", Kind::Free("")).shape(Shape::NamedTexts).option(ERROR_PAGES).about(
            "for people, where we answer ourselves: by status, else by its first digit. Files beside \
             this one, of HTML, in which {{status}}, {{title}}, {{detail}} and {{request_id}} are \
             filled in. Programs get JSON, gRPC or text all the same",
        ),
        table("maintenance", &MAINTENANCE, Without::Defaults),
        table("mirror", &MIRROR, Without::Off),
        table("slo", &SLO, Without::Off),
        table("rollout", &ROLLOUT, Without::Defaults),
        table("judge", &JUDGE, Without::Defaults),
        Key::of("pools", Kind::Named(&POOL)).lines(POOLS).told_apart(),
    ],
);

static TIMEOUTS: Table = Table::new(
    "",
    &[
        time("connect", secs(1)),
        time("response", secs(15))
            .about("from the end of the request to the end of the response's head"),
        idle("idle", mins(1)).about("while nothing moves in either direction; or `never`"),
        idle("stream_idle", mins(15)).about(
            "the same in answers that are streams (`text/event-stream` and the like, gRPC), in calls of \
             gRPC that are open, and in tunnels (WebSockets); or `never`",
        ),
        time("pool_idle", secs(30)).about("for an upstream connection to wait unused"),
    ],
);

static POOL: Table = Table::new(
    "",
    &[
        Key::of("upstreams", Kind::Free("")).shape(Shape::TextsOrTables(&UPSTREAM)),
        boolean("http2", false),
        word_option("proxy_protocol", &["v1", "v2"], "\"v2\""),
        POOL_KEY,
    ],
);

static UPSTREAM: Table = Table::new(
    "",
    &[
        Key::of("address", Kind::Text(None)),
        number("weight", (WEIGHT_RANGE.0 as u64, WEIGHT_RANGE.1 as u64), DEFAULT_WEIGHT as u64),
        free("labels", "").shape(Shape::NamedTexts),
    ],
);

/// What the reference shows of pages.
const ERROR_PAGES: &str = "{ 503 = \"busy.html\", 5xx = \"sorry.html\" }";

/// What the reference shows of pools.
const POOLS: &str = r#"[services.shop.pools.blue]
upstreams = ["10.0.0.11:9000", { address = "shop.internal:9000", weight = 200 }]   # weight: 100

# TLS to upstreams, with the names that they have here. `true` trusts whom the system trusts; a table
# may have `ca`, `server_name`, `certificate` with `key` to show them, `verify = false`.
# tls = { ca = "upstreams.pem", server_name = "shop.internal" }

# Each connection begins with a header of the PROXY protocol, "v1" or "v2", before TLS, and is one
# client's: it is kept for that client's connection alone, and closed with it.
# proxy_protocol = "v2"

[services.shop.pools.green]
upstreams = ["unix:/run/shop-green.sock", { address = "10.0.0.21:9000", labels = { zone = "a" } }]

# Names are looked up in the background, again when the TTL of their answer is over (1 s to 5 min).
# While they cannot be, the last good answer stays. SRV records bring ports and weights along; of
# their priorities the lowest counts that has a host with an address.
[services.shop.pools.black]
upstreams = ["srv:_http._tcp.shop.internal"]

# They are asked in HTTP/2 and in nothing else, as gRPC wants it.
[services.shop.pools.white]
http2 = true   # false
upstreams = ["10.0.0.31:9000"]
"#;

pub(super) fn service(
    name: Arc<str>,
    mut section: Section<'_>,
    problems: &mut Problems,
    around: Around<'_>,
) -> Option<Service> {
    let server = around.server;
    let (pools, empty) = pools(&mut section, problems, around);
    let split = split(&mut section, problems, pools.as_deref(), &empty);
    let sticky = sticky(section.table(problems, "sticky"), problems);
    let opt_in = section.table_if_given(problems, "override");
    let opt_in = opt_in.and_then(|section| opt_in_of(section, problems));
    let paths = section.word(problems, "paths", |word| Some(word == "normal"));
    let timeouts = timeouts(section.table(problems, "timeouts"), problems);
    let stability = stability(&mut section, problems, pools.as_deref(), server);
    let limit = section.table_if_given(problems, "rate_limit");
    let rate_limit = limit.and_then(|section| rate_limit(section, problems));
    let mirror = mirror(&mut section, problems, pools.as_deref());
    let has_rollouts = section.has("rollout");
    let rollout = rollout(&mut section, problems, server.allow_commands);
    let slo = section.table_if_given(problems, "slo").map(|section| slo(section, problems));
    let compression = section.table_if_given(problems, "compression");
    let compression = compression.map(|section| Arc::new(compression_of(section, problems)));
    let tells_pool = section.boolean(problems, "tell_pool");
    let body_limit = section.number_if_given(problems, "body_limit");
    section.close(problems);
    Some(Service {
        name,
        pools: pools?,
        split: split?,
        sticky,
        opt_in,
        tells_pool,
        compression,
        body_limit,
        has_normal_paths: paths.unwrap_or(false),
        timeouts,
        stability: Arc::new(stability),
        rate_limit,
        mirror,
        rollout: Arc::new(rollout),
        has_rollouts,
        slo: slo.map(Arc::new),
    })
}

/// The pools, if all could be read, and the names of those that are empty on purpose: one whose
/// upstreams are mistyped is not.
fn pools(
    service: &mut Section<'_>,
    problems: &mut Problems,
    around: Around<'_>,
) -> (Option<Vec<Pool>>, Vec<String>) {
    let span = service.place("pools");
    let Some(named) = service.named(problems, "pools") else {
        if !service.has("pools") {
            let problem = Problem::error(service.span.clone(), "a service needs at least one pool");
            problems
                .0
                .push(problem.help("for example `pools.blue.upstreams = [\"127.0.0.1:9001\"]`"));
        }
        return (None, Vec::new());
    };
    let (mut pools, mut empty) = (Vec::new(), Vec::new());
    for (name, section) in named {
        let checked = checked_name(problems, &name, "pool");
        let Some(mut section) = section else { continue };
        if section.value("upstreams").is_none() {
            let problem = Problem::error(
                name.span.clone(),
                format!("pool `{}` has no `upstreams`", name.value),
            );
            problems.0.push(
                problem.help(
                    "an empty list, `upstreams = []`, is fine for a pool that is yet to come",
                ),
            );
        }
        let before = problems.0.len();
        let (upstreams, labels) = upstreams(&mut section, problems, around);
        if upstreams.is_empty() && problems.0.len() == before {
            empty.push(name.value.to_string());
        }
        let http2 = section.boolean(problems, "http2");
        let proxy_protocol = section.word(problems, "proxy_protocol", |word| match word {
            "v1" => Some(ProxyVersion::V1),
            "v2" => Some(ProxyVersion::V2),
            _ => None,
        });
        let tls = pool_tls(&mut section, problems);
        no_unix(&upstreams, tls.as_ref(), &section, problems);
        section.close(problems);
        pools.push((checked, upstreams, labels, (http2, proxy_protocol, tls)));
    }
    if pools.is_empty() {
        problems.0.push(Problem::error(span, "a service needs at least one pool"));
        return (None, empty);
    }
    let whole = |(name, upstreams, labels, (http2, proxy_protocol, tls)): (Option<_>, _, _, _)| {
        Some(Pool { name: name?, upstreams, labels, http2, proxy_protocol, tls })
    };
    let mut pools: Option<Vec<_>> = pools.into_iter().map(whole).collect();
    pools.iter_mut().for_each(|pools| pools.sort_by(|a, b| a.name.cmp(&b.name)));
    (pools, empty)
}

/// TLS is spoken to addresses: nobody is between the two ends of a socket of this machine.
fn no_unix(
    upstreams: &[(Address, u16)],
    tls: Option<&PoolTls>,
    pool: &Section<'_>,
    problems: &mut Problems,
) {
    let is_unix = upstreams.iter().any(|(address, _)| matches!(address, Address::Unix(_)));
    if tls.is_some() && is_unix {
        let problem = Problem::error(pool.place("tls"), "TLS to a unix socket");
        let problem = problem.label("nobody is between the two ends of it");
        problems.0.push(problem.help("leave `tls` out, or name addresses"));
    }
}

/// The upstreams of a pool with their weights, and the labels of those that have any.
type Listed = (Vec<(Address, u16)>, HashMap<Address, Labels>);

fn upstreams(section: &mut Section<'_>, problems: &mut Problems, around: Around<'_>) -> Listed {
    let Some(value) = section.value("upstreams") else { return Listed::default() };
    let Some(list) = value.get_ref().as_array() else {
        problems.0.push(wrong_kind("upstreams", value, "a list"));
        return Listed::default();
    };
    let (mut upstreams, mut labelled) = (Vec::new(), HashMap::new());
    let mut seen: HashMap<Address, Range<usize>> = HashMap::new();
    for item in list.iter() {
        let Some((Found { value: address, span }, weight, labels)) = upstream(item, problems)
        else {
            continue;
        };
        if let Some(problem) = is_ours(&address, &span, around) {
            problems.0.push(problem);
            continue;
        }
        match seen.entry(address) {
            Entry::Occupied(first) => {
                let message = format!("upstream `{}` is listed twice in its pool", first.key());
                let problem = Problem::error(span, message).label("the second");
                problems.0.push(problem.other(first.get().clone(), "the first"));
            }
            Entry::Vacant(new) => {
                upstreams.push((new.key().clone(), weight));
                if !labels.is_empty() {
                    labelled.insert(new.key().clone(), labels);
                }
                new.insert(span);
            }
        }
    }
    (upstreams, labelled)
}

/// What is wrong with an upstream that is this very process.
fn is_ours(address: &Address, span: &Range<usize>, around: Around<'_>) -> Option<Problem> {
    if let Some(admin) = around.admin.iter().find(|admin| admin.is_at(address)) {
        let problem = Problem::error(span.clone(), format!("the admin API is at `{admin}`"));
        let problem = problem.label("it would be open to whoever sends requests");
        return Some(problem.help("the admin API is no upstream, however it is spelled"));
    }
    let own = around.listeners.iter().find(|found| found.value.address.is_at(address))?;
    let message = format!("this file accepts requests at `{}`", own.value.address);
    let problem = Problem::error(span.clone(), message).other(own.span.clone(), "by this listener");
    let problem = problem.label("each request would come back here, again and again");
    Some(problem.help("name the address of the application, on a port of its own"))
}

/// `"10.0.0.1:9000"` or `{ address = "10.0.0.1:9000", weight = 200, labels = { zone = "a" } }`.
fn upstream(
    value: &Spanned<DeValue<'_>>,
    problems: &mut Problems,
) -> Option<(Found<Address>, u16, Labels)> {
    let Some(table) = value.get_ref().as_table() else {
        let found = text_of(problems, "upstreams", value, str::parse::<Address>)?;
        return Some((found, DEFAULT_WEIGHT, Labels::default()));
    };
    let mut section = Section::new("upstreams", &UPSTREAM, Some(table), value.span());
    let address = section.text(problems, "address", str::parse::<Address>);
    if section.value("address").is_none() {
        problems.0.push(Problem::error(value.span(), "an upstream needs an `address`"));
    }
    let weight = section.number(problems, "weight");
    let labels = labels(&mut section, problems);
    section.close(problems);
    Some((address?, weight, labels))
}

fn split(
    service: &mut Section<'_>,
    problems: &mut Problems,
    pools: Option<&[Pool]>,
    empty: &[String],
) -> Option<Split> {
    let given = service.has("split");
    let Some(section) = service.table_if_given(problems, "split") else {
        return match pools? {
            _ if given => None,
            [only] => Some(Split::all_to(only.name.clone())),
            pools => {
                let names = pools.iter().map(|p| format!("{} = 0", p.name)).collect::<Vec<_>>();
                let all = names.join(", ").replacen("= 0", "= 100", 1);
                let message = "a service with several pools needs a `split`";
                let problem = Problem::error(service.span.clone(), message);
                problems.0.push(problem.help(format!("for example `split = {{ {all} }}`")));
                None
            }
        };
    };
    let mut weights = Vec::new();
    let mut whole = true;
    for (name, value) in section.entries() {
        let known = |pool: &&Pool| &*pool.name == name.value;
        match pools.map(|pools| pools.iter().find(known)) {
            Some(None) => {
                whole = false;
                let names = pools.unwrap_or_default().iter().map(|pool| &*pool.name);
                let problem =
                    Problem::error(name.span, format!("no pool is named `{}`", name.value));
                problems.0.push(match nearest(name.value, names) {
                    Some(near) => problem.label(format!("did you mean `{near}`?")),
                    None => problem.label("unknown pool"),
                });
                continue;
            }
            _ if empty.iter().any(|empty| empty == name.value) && !is_zero(value) => {
                let message = format!("pool `{}` gets traffic but has no upstreams", name.value);
                problems.0.push(Problem::error(value.span(), message));
            }
            _ => {}
        }
        match percent(value) {
            Ok(weight) => weights.push((Arc::from(name.value), weight)),
            Err(error) => {
                whole = false;
                let message = format!("bad share for pool `{}`", name.value);
                problems.0.push(Problem::error(value.span(), message).label(error));
            }
        }
    }
    match Split::new(weights) {
        _ if !whole => None,
        Ok(split) => Some(split),
        Err(error) => {
            let problem = Problem::error(section.span, "the split does not add up");
            let help = matches!(error, SplitError::Sum { .. }).then_some("shares are percentages");
            let problem = problem.label(error.to_string());
            problems.0.push(match help {
                Some(help) => problem.help(help),
                None => problem,
            });
            None
        }
    }
}

fn is_zero(value: &Spanned<DeValue<'_>>) -> bool {
    percent(value) == Ok(BasisPoints::NONE)
}

fn timeouts(mut section: Section<'_>, problems: &mut Problems) -> Timeouts {
    let timeouts = Timeouts {
        connect: section.time(problems, "connect"),
        response: section.time(problems, "response"),
        idle: section.time(problems, "idle"),
        stream_idle: section.time(problems, "stream_idle"),
        pool_idle: section.time(problems, "pool_idle"),
    };
    section.close(problems);
    timeouts
}
