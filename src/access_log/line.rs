//! A line of the access log: an entry in, text out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::Entry;
use crate::clock::{WallTime, in_millis};
use crate::config::LogFormat;
use crate::snapshot::By;

/// What stands in the place of a value that is not told.
const MASKED: &str = "***";

/// Writes the line of an entry, with its end; values of these parts of the query are not told.
pub fn write(entry: &Entry, format: LogFormat, mask: &[String], into: &mut Vec<u8>) {
    let target = masked(&entry.target, mask);
    match format {
        LogFormat::Json => json(entry, &target, mask, into),
        LogFormat::Combined => combined(entry, &target, mask, into),
    }
    into.push(b'\n');
}

/// One request, in the words of the admin API.
#[derive(Serialize)]
struct Line<'e> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    method: &'e str,
    host: &'e str,
    target: Cow<'e, str>,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "str::is_empty")]
    cause: &'e str,
    took_ms: f64,
    #[serde(skip_serializing_if = "is_zero")]
    waited_ms: f64,
    request_bytes: u64,
    response_bytes: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    service: &'e str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pool: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    upstream: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_ms: Option<f64>,
    attempts: usize,
    request_id: &'e str,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_id: &'e str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    request: BTreeMap<&'e str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    response: BTreeMap<&'e str, String>,
}

fn json(entry: &Entry, target: &[u8], mask: &[String], into: &mut Vec<u8>) {
    let kept = &entry.kept;
    let last = kept.attempts.last();
    let line = Line {
        time: time(kept.at),
        client: kept.client.map(|client| client.to_string()),
        method: &kept.method,
        host: &kept.host,
        target: String::from_utf8_lossy(target),
        version: format!("{:?}", kept.version),
        status: kept.status,
        cause: &kept.cause,
        took_ms: in_millis(kept.duration),
        waited_ms: in_millis(kept.waited),
        request_bytes: kept.from_client,
        response_bytes: kept.to_client,
        service: &kept.service,
        pool: &kept.pool,
        by: kept.by.map(By::name),
        upstream: last.map_or("", |attempt| &attempt.upstream),
        upstream_ms: last.map(|attempt| in_millis(attempt.done.saturating_sub(attempt.began))),
        attempts: kept.attempts.len(),
        request_id: &kept.request_id,
        trace_id: &kept.trace.0,
        request: fields(&entry.request, mask),
        response: fields(&entry.response, mask),
    };
    // Plain data with text keys always is JSON.
    let _ = serde_json::to_writer(into, &line);
}

/// Values may hold whole URIs, as `Referer` and `Location` do.
fn fields<'e>(all: &'e [(String, Vec<u8>)], mask: &[String]) -> BTreeMap<&'e str, String> {
    let told = |value| String::from_utf8_lossy(&masked(value, mask)).into_owned();
    all.iter().map(|(name, value)| (&**name, told(value))).collect()
}

/// As nginx writes it: `address - - [time] "request" status bytes "referer" "user-agent"`.
fn combined(entry: &Entry, target: &[u8], mask: &[String], into: &mut Vec<u8>) {
    let kept = &entry.kept;
    let client = kept.client.map_or_else(|| "-".to_string(), |client| client.to_string());
    let at = i64::try_from(kept.at.millis() / 1_000).ok();
    let at = at.and_then(|at| Timestamp::from_second(at).ok()).unwrap_or_default();
    let at = at.strftime("%d/%b/%Y:%H:%M:%S +0000");
    let mut line = format!("{client} - - [{at}] \"");
    escape(kept.method.as_bytes(), &mut line);
    line.push(' ');
    escape(target, &mut line);
    // 000, as nginx has for who was told nothing, is 499 there: the client has left.
    let status = kept.status.unwrap_or(499);
    let _ = write!(line, " {:?}\" {status} {} \"", kept.version, kept.to_client);
    for (nth, name) in ["referer", "user-agent"].into_iter().enumerate() {
        if nth > 0 {
            line.push_str(" \"");
        }
        match entry.requested(name) {
            Some(value) => escape(&masked(value, mask), &mut line),
            None => line.push('-'),
        }
        line.push('"');
    }
    into.extend_from_slice(line.as_bytes());
}

/// Quotes, backslashes, controls and bytes over 0x7e as `\xHH`, as nginx does.
fn escape(text: &[u8], into: &mut String) {
    for &byte in text {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => drop(write!(into, "\\x{byte:02X}")),
            _ => into.push(char::from(byte)),
        }
    }
}

/// A target without the values of these parts of its query, or of its fragment.
/// A target in whose query values of these parts are not told.
pub fn masked<'t>(target: &'t [u8], mask: &[String]) -> Cow<'t, [u8]> {
    let Some(query) = target.iter().position(|&byte| matches!(byte, b'?' | b'#')) else {
        return Cow::Borrowed(target);
    };
    let (path, query) = target.split_at(query + 1);
    let is_masked = |name: &[u8]| {
        let name: Vec<u8> = name.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
        let name: Vec<u8> = percent_encoding::percent_decode(&name).collect();
        mask.iter().any(|masked| masked.as_bytes().eq_ignore_ascii_case(&name))
    };
    let mut told = path.to_vec();
    // To some a semicolon separates as well.
    for part in query.split_inclusive(|&byte| matches!(byte, b'&' | b';' | b'?' | b'#')) {
        let (part, end) = match part {
            [part @ .., end @ (b'&' | b';' | b'?' | b'#')] => (part, Some(*end)),
            part => (part, None),
        };
        match part.iter().position(|&byte| byte == b'=') {
            Some(equals) if is_masked(&part[..equals]) => {
                told.extend_from_slice(&part[..=equals]);
                told.extend_from_slice(MASKED.as_bytes());
            }
            _ => told.extend_from_slice(part),
        }
        told.extend(end);
    }
    Cow::Owned(told)
}

fn time(at: WallTime) -> String {
    let at = i64::try_from(at.millis()).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map(|at| format!("{at:.3}")).unwrap_or_default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}
