//! `why`: a request's id in, what happened to it out, in sentences and a table.

mod causes;

use std::collections::BTreeSet;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::api::{Api, Call, segment};
use super::events::moment;
use super::table::{fitted, table};
use super::terminal::size;
use super::{Ending, Reach, print};
use crate::admin::wire;
use crate::config::{ANSWERED, REDIRECTED};

/// Tell what happened to a request: its route, pool, attempts, waits and answer, and why.
///
/// The id is in the answer's `x-request-id`, in the access log and on error pages. The last requests
/// are remembered, failed ones for longer; `server.remember` says in how much memory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman why 01kb8m3v9q7x\n  \
                        pointsman why 01kb8m3v9q7x --json | jq '.attempts[].cause'\n\n\
                        Exit codes: 0 told, 1 it is not remembered, 69 nobody there.")]
pub struct Why {
    /// The request's id.
    #[arg(value_name = "REQUEST_ID", value_parser = NonEmptyStringValueParser::new())]
    request_id: String,
    #[command(flatten)]
    reach: Reach,
}

impl Why {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let path = format!("/v1/requests/{}", segment(&self.request_id));
        let request: wire::Request = Api(&self.reach).ask(Call::get(&path)).await?;
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&request)?,
            false => picture(&request, size().map(|(columns, _)| columns)),
        });
        Ok(Ending::Done)
    }
}

/// All that is known of a request, in at most so many columns of its tables.
fn picture(request: &wire::Request, columns: Option<usize>) -> String {
    let mut lines = vec![headline(request), String::new()];
    lines.extend(way(request));
    if request.waited_ms > 0.0 {
        lines.push(format!("It waited in line for {}.", millis(request.waited_ms)));
    }
    lines.extend(answer(request));
    if let Some(trace) = &request.trace_id {
        lines.push(format!("Its trace is {trace}."));
    }
    lines.push(String::new());
    match request.attempts.len() {
        0 => lines.push("No upstream was asked.".into()),
        1 => lines.push("One upstream was asked:".into()),
        many => lines.push(format!("It was tried {many} times:")),
    }
    if !request.attempts.is_empty() {
        lines.push(attempts(&request.attempts, columns));
        let causes: BTreeSet<&str> =
            request.attempts.iter().filter_map(|attempt| attempt.cause.as_deref()).collect();
        let new = causes.into_iter().filter(|cause| request.cause.as_deref() != Some(cause));
        lines.extend(new.filter_map(|cause| {
            causes::told(cause).map(|told| format!("{cause}: {}; {}.", told.detail, told.to_do))
        }));
    }
    lines.extend(not_taken("Not taken at the end:", &request.not_taken));
    lines.join("\n")
}

/// A table of upstreams that were not taken, under this heading; nothing if there are none.
pub(super) fn not_taken(heading: &str, not_taken: &[wire::NotTaken]) -> Vec<String> {
    if not_taken.is_empty() {
        return Vec::new();
    }
    let row =
        |not: &wire::NotTaken| vec![format!("{}/{}", not.pool, not.upstream), not.why.clone()];
    let table = table(&["UPSTREAM", "WHY"], not_taken.iter().map(row));
    vec![String::new(), heading.into(), table]
}

/// What came of a request, the cause of that, and what can be done about it.
pub(super) fn refused(what: &str, cause: &str) -> Vec<String> {
    match causes::told(cause) {
        Some(known) => vec![
            format!("{what}: {cause}, {}.", known.detail),
            format!("What to do: {}.", known.to_do),
        ],
        None => vec![format!("{what}: {cause}.")],
    }
}

/// When, what and who.
fn headline(request: &wire::Request) -> String {
    let wire::Request { at, method, host, path, version, client, .. } = request;
    let from = client.as_ref().map_or(String::new(), |client| format!(" from {client}"));
    // Its connection may have been gone before its record was made.
    let what = match method.is_empty() {
        true => "a request whose head is not remembered".to_string(),
        false => format!("{method} {host}{path} {version}"),
    };
    format!("{}  {what}{from}", moment(*at))
}

/// By which route it came to which service and pool, and what chose that.
fn way(request: &wire::Request) -> Vec<String> {
    match request.service.as_deref() {
        None => return vec!["It came to no service.".into()],
        Some(REDIRECTED) => return vec!["Its route leads elsewhere by itself.".into()],
        Some(ANSWERED) => return vec!["Its route answers by itself.".into()],
        Some(_) => {}
    }
    let service = request.service.as_deref().unwrap_or_default();
    let revision =
        request.revision.map_or(String::new(), |revision| format!(" at revision {revision}"));
    let mut lines = vec![match request.route {
        Some(nth) => format!("It came by route {nth} of service {service}{revision}."),
        None => format!("It came to service {service}{revision}."),
    }];
    let Some(pool) = &request.pool else {
        lines.push("It came to no pool.".into());
        return lines;
    };
    let by = match (request.by.as_deref(), request.cohort) {
        (Some("cohort"), Some(cohort)) => format!(", by its client's cohort, {cohort} of 10,000"),
        (Some("draw"), _) => ", by a draw: nothing in it was to recognise its client by".into(),
        (Some("override"), _) => ", which it named itself".into(),
        (Some("stand-in"), _) => ", which stands in for its own".into(),
        (Some("shield"), _) => "; the stable pool, which shields it, was asked in its place".into(),
        (Some(other), _) => format!(", by {other}"),
        (None, _) => String::new(),
    };
    lines.push(format!("It belonged to pool {pool}{by}."));
    lines
}

/// What the client was told, why, and what can be done.
fn answer(request: &wire::Request) -> Vec<String> {
    let took = millis(request.took_ms);
    let told = match request.status {
        Some(status) => format!("It was answered with {status} after {took}"),
        None => format!("It got no answer, and was over after {took}"),
    };
    match request.cause.as_deref() {
        Some(cause) => refused(&told, cause),
        None => vec![format!("{told}.")],
    }
}

fn attempts(attempts: &[wire::RequestAttempt], columns: Option<usize>) -> String {
    let headings = [
        ">#",
        "UPSTREAM",
        "??>CHOSEN",
        "?>BEGAN",
        "?>CONNECTED",
        "??>SENT",
        ">HEAD",
        ">DONE",
        ">STATUS",
        "OUTCOME",
    ];
    let at = |at: Option<f64>| at.map_or("-".into(), millis);
    let row = |(nth, attempt): (usize, &wire::RequestAttempt)| {
        let connected = match attempt.is_reused {
            true => "kept".into(),
            false => at(attempt.connected_ms),
        };
        vec![
            (nth + 1).to_string(),
            format!("{}/{}", attempt.pool, attempt.upstream),
            millis(attempt.chosen_ms),
            millis(attempt.began_ms),
            connected,
            at(attempt.sent_ms),
            at(attempt.head_ms),
            millis(attempt.done_ms),
            attempt.status.map_or("-".into(), |status| status.to_string()),
            attempt.cause.clone().unwrap_or_else(|| "well".into()),
        ]
    };
    fitted(&headings, attempts.iter().enumerate().map(row).collect(), columns)
}

/// Milliseconds with as many decimals as say something.
fn millis(millis: f64) -> String {
    match millis {
        short if short < 10.0 => format!("{short:.2} ms"),
        middle if middle < 1_000.0 => format!("{middle:.0} ms"),
        long => format!("{:.2} s", long / 1e3),
    }
}

#[cfg(test)]
mod tests;
