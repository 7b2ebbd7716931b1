//! What a service does when upstreams fail: its tables in, checked settings out.

use std::sync::Arc;

use super::fallback::fallback;
use super::health::{health, statuses};
use super::key::{
    Gone, Instead, Key, Kind, Shape, Table, Without, boolean, free, millis, mins, number,
    number_option, percent, secs, table, text_option, texts, time, time_option, word,
};
use super::pages::error_pages;
use super::section::Section;
use super::server::network;
use super::sticky::{HASH, hash};
use super::suggestion::nearest;
use super::values::warn_if_above;
use super::{Maintenance, Pool, Problem, Problems, Server, Stability};
use crate::balance::{BalanceSettings, LimitSettings, Policy, RetrySettings};
use crate::fallback::Fallback;
use crate::upstream::{BreakerSettings, EjectionSettings, Label, Probe};

pub(super) static EJECTION: Table = Table::new(
    "Failing in a row takes an upstream out for a while: without an answer, or with 502, 503 or 504; \
     a 500 counts for the breaker only. So does failing at all requests of a second, if they are at \
     least three and of two clients. `ejection = false` for never. When its time is over it is tried \
     with one request at a time; what fails there is sent to another.",
    &[
        number("failures", (1, 1_000), 5).about("in a row"),
        time("time", secs(30)).about("times the number of ejections, ± 20 %"),
        time("longest", mins(5)).about("and no longer than this"),
        percent("share", 1, 33)
            .about(
                "percent of a pool at most that is out and might still work; one always may be, the \
                 last never. Who refused its last connection, or failed at all of the last second's \
                 requests, is not asked while another one is well, whatever the share",
            ),
    ],
);

pub(super) static BREAKER: Table = Table {
    about:
    "Circuit breakers of the pools and of each upstream; no answer and any 5xx is a failure. A pool's \
     does not open while one of its upstreams is well. `breaker = false` for only by order.",
    keys: &[
        percent("failures", 1, 50).about("percent of the requests of the last ten seconds"),
        number("requests", (1, 1_000_000), 20).about("of which there must be so many"),
        time("open", secs(5)).about(
            "doubling with each time in a row, jitter 0.5; cut short by a probe that succeeds, and \
             while nobody of the pool is well: then each is tried once a second",
        ),
        time("longest", mins(1)).about("and no longer than this"),
        number("successes", (1, 1_000), 3).about(
            "good answers in a row bring an upstream back, whatever put it out; it is tried with one \
             request at a time",
        ),
        time_option("slow", "\"2s\"").about("an answer whose head takes longer is slow"),
        percent("slow_share", 1, 80).about("percent of slow answers that trips it"),
    ],
    gone: &[Gone {
        name: "trials",
        since: (0, 1),
        instead: Instead::Nothing("an upstream is tried with one request at a time"),
    }],
};

pub(super) static RETRIES: Table = Table {
    about:
    "A failed attempt is made again on another upstream: always if it was never sent, else if its method \
     is idempotent and its body is at most 64 KiB.",
    keys: &[
        number("attempts", (0, 7), 1).about(
            "further ones. What was never sent goes on to others beside them, to at most 16 and for \
             at most `timeouts.connect` and a second; with 0 it does not either",
        ),
        free("statuses", "[]").shape(Shape::Statuses).about("worth another attempt, e.g. [502, \"503-504\"]"),
        time_option("attempt_timeout", "\"5s\"")
            .about("for one attempt up to the response's head; default: timeouts.response"),
        time("total", secs(30)).about(
            "for all but the first: after that nothing is tried again, and a later attempt may take \
             what is left of it",
        ),
        percent("budget", 0, 20).about("percent of the requests of the last ten seconds, and ten a second"),
        time("backoff", millis(25)).about("a pause drawn from zero to this, doubling, at most 1 s"),
        boolean("shield", true).about(
            "what a canary fails at or cannot take goes to the stable pool: that with the largest \
             share in this file, as long as it has any; not what testers send there with `override`",
        ),
    ],
    gone: &[Gone { name: "try", since: (0, 1), instead: Instead::Key("attempt_timeout") }],
};

pub(super) static BALANCE: Table = Table {
    about: "Who is well gets the requests as long as there is one. When nobody is, the fallback answers; \
     without one all are asked that nobody has taken out, until the pool's breaker opens.",
    keys: &[
        word("by", &["latency", "least-requests", "round-robin", "consistent-hash"]).about(
            "of two drawn ones the faster and less loaded; or \"least-requests\", \"round-robin\", \
             \"consistent-hash\"",
        ),
        time("slow_start", secs(30))
            .about("from a tenth of its share, for an upstream that came (back) in"),
        text_option("prefer", "\"zone\"").about(
            "a label: while at least half of the upstreams that share ours (`server.labels`) are \
             well, requests stay with them",
        ),
        table("hash", &HASH, Without::Off)
            .option("")
            .about("for consistent-hash: the first of these that a request carries"),
    ],
    gone: &[Gone {
        name: "panic",
        since: (0, 1),
        instead: Instead::Nothing("who is well gets the requests as long as there is one"),
    }],
};

pub(super) static LIMITS: Table = Table::new(
    "",
    &[
        number_option("in_flight", (1, 1_000_000), "1000")
            .about("requests of the service at once; default: any number"),
        number_option("upstream_in_flight", (1, 1_000_000), "100").about("of each upstream"),
        number_option("uploads", (1, 1_000_000), "100").about(
            "uploads at once: requests of the service whose body is still coming in. One counts for \
             the other limits when it has come, or when the answer begins; default: as many as each \
             of the other limits, at least 100",
        ),
        number("queue", (0, 100_000), 0).about(
            "requests that wait for a place of the service (in_flight, uploads), and as many for each \
             pool (the other limits), at most half of them with bodies yet to come; more get 503 at once",
        ),
        time("queue_timeout", secs(1)).about("for how long, wherever they wait"),
        boolean("adaptive", false).about("limit each pool's requests by its latency (Gradient2)"),
        boolean("throttle", true).about("spare a pool that answers 429 or 503 to more than half"),
    ],
);

pub(super) static MAINTENANCE: Table = Table::new(
    "Who passes during `pointsman maintenance`; testers pass too if their `override` has `from` or `secret_file`.",
    &[
        texts("allow", &[]).about("clients' addresses or networks"),
        Key::of("paths", Kind::Free(""))
            .shape(Shape::Texts)
            .example("[\"/healthz\"]")
            .about("whole paths; default: the path of health.http")
            .absent("the path of health.http"),
    ],
);

/// Reads all of a service's tables on failures; `pools` if they could be read.
pub(super) fn stability(
    service: &mut Section<'_>,
    problems: &mut Problems,
    pools: Option<&[Pool]>,
    server: &Server,
) -> Stability {
    let checks = service.table_if_given(problems, "health");
    let health = checks.and_then(|section| health(section, problems));
    let mut maintenance = maintenance(service.table(problems, "maintenance"), problems);
    if maintenance.paths.is_empty()
        && let Some(Probe::Http(probe)) = health.as_ref().map(|health| &health.probe)
    {
        // Whoever asks for health asks for it during maintenance too.
        maintenance.paths.push(probe.path.path().to_string());
    }
    let ejected = service.table_unless_false(problems, "ejection");
    let broken = service.table_unless_false(problems, "breaker");
    Stability {
        health: health.map(Arc::new),
        ejection: ejected.map(|section| ejection(section, problems)),
        breaker: broken.map(|section| breaker(section, problems)),
        retries: retries(service.table(problems, "retries"), problems),
        balance: balance(service.table(problems, "balance"), problems, server),
        limits: limits(service.table(problems, "limits"), problems),
        fallback: fallback_of(service, problems, pools),
        error_pages: error_pages(service, problems),
        maintenance,
    }
}

fn ejection(mut section: Section<'_>, problems: &mut Problems) -> EjectionSettings {
    let settings = EjectionSettings {
        failures: section.number(problems, "failures"),
        time: section.time(problems, "time"),
        longest: section.time(problems, "longest"),
        share: section.number(problems, "share"),
    };
    warn_if_above(&section, problems, ("time", settings.time), ("longest", settings.longest));
    section.close(problems);
    settings
}

fn breaker(mut section: Section<'_>, problems: &mut Problems) -> BreakerSettings {
    let settings = BreakerSettings {
        failures: section.number(problems, "failures"),
        requests: section.number(problems, "requests"),
        open: section.time(problems, "open"),
        longest: section.time(problems, "longest"),
        successes: section.number(problems, "successes"),
        slow: section.time_if_given(problems, "slow"),
        slow_share: section.number(problems, "slow_share"),
    };
    warn_if_above(&section, problems, ("open", settings.open), ("longest", settings.longest));
    section.close(problems);
    settings
}

fn retries(mut section: Section<'_>, problems: &mut Problems) -> RetrySettings {
    let settings = RetrySettings {
        attempts: section.number(problems, "attempts"),
        statuses: retry_statuses(&mut section, problems),
        per_try: section.time_if_given(problems, "attempt_timeout"),
        total: section.time(problems, "total"),
        budget: section.number(problems, "budget"),
        backoff: section.time(problems, "backoff"),
        shield: section.boolean(problems, "shield"),
    };
    if settings.per_try.is_some_and(|per_try| per_try > settings.total) {
        let problem = Problem::error(
            section.place("attempt_timeout"),
            "`attempt_timeout` is longer than `total`",
        )
        .warning();
        let problem = problem.label("only a first attempt may take so long");
        problems
            .0
            .push(problem.help("make `total` at least as long as the attempts that it is for"));
    }
    section.close(problems);
    settings
}

fn retry_statuses(section: &mut Section<'_>, problems: &mut Problems) -> Vec<u16> {
    let ranges = statuses(section, problems);
    if ranges.iter().any(|range| *range.start() < 400) {
        let problem = Problem::error(section.place("statuses"), "`statuses` names a success");
        problems.0.push(problem.label("only 4xx and 5xx can be tried again"));
    }
    ranges.into_iter().flatten().collect()
}

/// The label by which upstreams are near: one that we have ourselves.
fn prefer(section: &mut Section<'_>, problems: &mut Problems, server: &Server) -> Option<Label> {
    let found =
        section.text(problems, "prefer", |name| Label::new(name, "any").map(|label| label.name))?;
    match server.labels.get(&found.value) {
        Some(text) => Some(Label { name: found.value, text: text.into() }),
        None => {
            let message =
                format!("`prefer` is not used: nobody says which {} is ours", found.value);
            let help = format!("add `labels = {{ {} = \"…\" }}` to [server]", found.value);
            problems.0.push(Problem::error(found.span, message).warning().help(help));
            None
        }
    }
}

fn balance(mut section: Section<'_>, problems: &mut Problems, server: &Server) -> BalanceSettings {
    let by = section.word(problems, "by", |word| match word {
        "latency" => Some(Policy::Latency),
        "least-requests" => Some(Policy::LeastRequests),
        "round-robin" => Some(Policy::RoundRobin),
        "consistent-hash" => Some(Policy::ConsistentHash),
        _ => None,
    });
    let by = by.unwrap_or_default();
    let has_hash = section.has("hash");
    let hash = section.table_if_given(problems, "hash").map(|section| hash(section, problems));
    match (by, has_hash) {
        (Policy::ConsistentHash, false) => {
            let problem = Problem::error(section.place("by"), "`consistent-hash` needs a `hash`");
            problems.0.push(problem.help("for example `hash = { client_ip = true }`"));
        }
        (Policy::ConsistentHash, true) | (_, false) => {}
        (_, true) => {
            let problem = Problem::error(section.place("hash"), "`hash` is not used").warning();
            problems.0.push(problem.label("only `by = \"consistent-hash\"` hashes"));
        }
    }
    let settings = BalanceSettings {
        by,
        hash: hash.unwrap_or_default(),
        slow_start: section.time(problems, "slow_start"),
        prefer: prefer(&mut section, problems, server),
    };
    section.close(problems);
    settings
}

fn limits(mut section: Section<'_>, problems: &mut Problems) -> LimitSettings {
    let settings = LimitSettings {
        in_flight: section.number_if_given(problems, "in_flight"),
        upstream_in_flight: section.number_if_given(problems, "upstream_in_flight"),
        uploads: section.number_if_given(problems, "uploads"),
        queue: section.number(problems, "queue"),
        queue_timeout: section.time(problems, "queue_timeout"),
        adaptive: section.boolean(problems, "adaptive"),
        throttle: section.boolean(problems, "throttle"),
    };
    if settings.queue > 0 && !settings.are_any() {
        let problem =
            Problem::error(section.place("queue"), "nothing ever waits in this queue").warning();
        problems
            .0
            .push(problem.help("set `in_flight`, `upstream_in_flight`, `uploads` or `adaptive`"));
    }
    section.close(problems);
    settings
}

fn maintenance(mut section: Section<'_>, problems: &mut Problems) -> Maintenance {
    let allow = section.texts(problems, "allow", network);
    let paths = section.texts(problems, "paths", |text| match text.starts_with('/') {
        true => Ok(text.to_string()),
        false => Err("a path begins with `/`"),
    });
    section.close(problems);
    Maintenance {
        allow: allow.into_iter().map(|found| found.value).collect(),
        paths: paths.into_iter().map(|found| found.value).collect(),
    }
}

fn fallback_of(
    service: &mut Section<'_>,
    problems: &mut Problems,
    pools: Option<&[Pool]>,
) -> Fallback {
    let Some(section) = service.table_if_given(problems, "fallback") else {
        return Fallback::default();
    };
    let (place, table, before) = (section.place("pool"), section.span.clone(), problems.0.len());
    let read = fallback(section, problems);
    if !read.is_any() && problems.0.len() == before {
        let problem = Problem::error(table, "an empty `fallback` does nothing").warning();
        problems.0.push(problem.help("set `stale`, `pool` or `answer`"));
    }
    if let (Some(wanted), Some(pools)) = (&read.pool, pools)
        && !pools.iter().any(|pool| pool.name == *wanted)
    {
        let problem = Problem::error(place, format!("no pool is named `{wanted}`"));
        problems.0.push(match nearest(wanted, pools.iter().map(|pool| &*pool.name)) {
            Some(near) => problem.label(format!("did you mean `{near}`?")),
            None => problem.label("unknown pool"),
        });
    }
    read
}

#[cfg(test)]
mod tests;
