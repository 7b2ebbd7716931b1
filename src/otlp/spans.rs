//! What a request looks like as spans: what was put aside of it in; a server span, and a client span for each
//! attempt, out.
//!
//! Names and attributes are those of OpenTelemetry's semantic conventions for HTTP, as far as these are
//! stable; what they have no name for begins with `pointsman.`.

use std::time::{Duration, SystemTime};

use http::Version;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use opentelemetry_semantic_conventions::attribute as name;

use crate::access_log::masked;
use crate::clock::Moment;
use crate::config::Traces;
use crate::record::{Decided, KeptAttempt};
use crate::snapshot::By;
use crate::traces::{Entry, EntryAttempt};
use crate::upstream::BreakerState;

/// Methods that may be in names; others are told as `_OTHER`.
const METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Who makes them.
pub(super) fn scope() -> InstrumentationScope {
    let version = env!("CARGO_PKG_VERSION");
    InstrumentationScope::builder("pointsman").with_version(version).build()
}

/// Who we are: which Pointsman, and what it is part of; empty if nobody has said that.
pub(super) fn resource(traces: &Traces, instance: &str, environment: &str) -> Resource {
    let version = env!("CARGO_PKG_VERSION");
    let mut attributes = vec![
        KeyValue::new(name::SERVICE_NAME, traces.service_name.to_string()),
        KeyValue::new(name::SERVICE_VERSION, version),
        KeyValue::new(name::SERVICE_INSTANCE_ID, instance.to_string()),
    ];
    if !environment.is_empty() {
        attributes.push(KeyValue::new("deployment.environment.name", environment.to_string()));
    }
    Resource::builder_empty().with_attributes(attributes).build()
}

/// The spans of a request. `now` is the same time twice: as the process counts it, and as people do.
pub(super) fn spans(
    entry: &Entry,
    traces: &Traces,
    scope: &InstrumentationScope,
    now: (Moment, SystemTime),
) -> Vec<SpanData> {
    let began = now.1 - now.0.elapsed_since(entry.at);
    let (trace, server) = (&entry.kept.trace.0, &entry.kept.trace.1);
    let (Ok(trace), Ok(server)) = (TraceId::from_hex(trace), SpanId::from_hex(server)) else {
        return Vec::new();
    };
    let of = Of { entry, traces, scope, began, trace, server };
    let attempts = entry.kept.attempts.iter().zip(&entry.attempts).enumerate();
    let attempts = attempts.filter(|(_, (_, more))| more.span != 0);
    let clients = attempts.map(|(nth, (kept, more))| of.client(nth, kept, more));
    std::iter::once(of.server()).chain(clients).collect()
}

/// One request.
struct Of<'e> {
    entry: &'e Entry,
    traces: &'e Traces,
    scope: &'e InstrumentationScope,
    began: SystemTime,
    trace: TraceId,
    server: SpanId,
}

impl Of<'_> {
    fn server(&self) -> SpanData {
        let Entry { kept, .. } = self.entry;
        let parent = SpanId::from_hex(&self.entry.parent).unwrap_or(SpanId::INVALID);
        let last = kept.attempts.iter().map(|attempt| attempt.done).max().unwrap_or_default();
        let whole = (kept.duration + kept.waited).max(last);
        let route = &self.entry.route;
        let method = known_method(&kept.method).unwrap_or("HTTP");
        let called = match route.is_empty() {
            true => method.to_string(),
            false => format!("{method} {route}"),
        };
        let mut list = Attributes::default();
        self.of_request(&mut list);
        list.add(name::HTTP_ROUTE, some(route));
        list.add(name::URL_SCHEME, Some(if self.entry.is_https { "https" } else { "http" }));
        // Of what is remembered anyway the path is cut where it is long.
        let target = self.masked(&self.entry.target);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_string())),
            None => (&*target, None),
        };
        list.add(name::URL_PATH, some(path));
        list.add(name::URL_QUERY, query);
        let (host, port) = host_and_port(&kept.host);
        list.add(name::SERVER_ADDRESS, some(host));
        list.add(name::SERVER_PORT, port);
        list.add(name::CLIENT_ADDRESS, kept.client.map(|client| client.to_string()));
        list.add(name::USER_AGENT_ORIGINAL, some(&self.entry.agent));
        list.add(name::NETWORK_PROTOCOL_VERSION, version(kept.version));
        list.add(name::HTTP_RESPONSE_STATUS_CODE, kept.status.map(i64::from));
        let is_unanswered = kept.status.is_none();
        let error = error_type(&kept.cause, kept.status.filter(|status| *status >= 500));
        list.add(
            name::ERROR_TYPE,
            error.clone().filter(|_| self.entry.has_failed || is_unanswered),
        );
        self.of_pointsman(&mut list);
        let status = match self.entry.has_failed {
            true => Status::error(kept.cause.clone()),
            false => Status::Unset,
        };
        let (kind, ends) = (SpanKind::Server, (Duration::ZERO, whole));
        self.span(self.server, parent, kind, called, ends, list, status)
    }

    fn client(&self, nth: usize, kept: &KeptAttempt, more: &EntryAttempt) -> SpanData {
        let id = SpanId::from_bytes(more.span.to_be_bytes());
        let method = known_method(&self.entry.kept.method).unwrap_or("HTTP").to_string();
        let scheme = if more.is_tls { "https" } else { "http" };
        let upstream = match (kept.upstream.starts_with("unix:"), &*self.entry.kept.host) {
            (false, _) => &*kept.upstream,
            // A socket of the machine has no name of its own in a URL.
            (true, "") => "localhost",
            (true, host) => host,
        };
        // An absolute URL of what it was asked for, which a route may have made something else of.
        let asked = match (&*self.entry.rewritten, &*self.entry.target) {
            ("", "*") => "",
            ("", target) => target,
            (rewritten, _) => rewritten,
        };
        let url = format!("{scheme}://{upstream}{}", self.masked(asked));
        let (address, port) = host_and_port(&kept.upstream);
        let mut list = Attributes::default();
        self.of_request(&mut list);
        list.add(name::SERVER_ADDRESS, some(address));
        list.add(name::SERVER_PORT, port);
        list.add(name::URL_FULL, Some(url));
        list.add(name::NETWORK_PROTOCOL_VERSION, Some(if more.is_http2 { "2" } else { "1.1" }));
        list.add(name::HTTP_RESPONSE_STATUS_CODE, kept.status.map(i64::from));
        list.add(name::HTTP_REQUEST_RESEND_COUNT, (nth > 0).then_some(nth as i64));
        let error = error_type(&kept.cause, kept.status.filter(|status| *status >= 400));
        list.add(name::ERROR_TYPE, error.clone());
        list.add("pointsman.service", some(&self.entry.kept.service));
        list.add("pointsman.pool", some(&kept.pool));
        list.add("pointsman.upstream", some(&kept.upstream));
        list.add("pointsman.upstream.breaker", Some(word(more.breaker)));
        let connection = kept.connected.map(|_| if kept.is_reused { "kept" } else { "new" });
        list.add("pointsman.connection", connection);
        // Who has left says nothing of the upstream.
        let status = match error.filter(|error| error != LEFT) {
            Some(_) => Status::error(kept.cause.clone()),
            None => Status::Unset,
        };
        let ends = (kept.began, kept.done.max(kept.began));
        self.span(id, self.server, SpanKind::Client, method, ends, list, status)
    }

    /// What is said of a request and of each attempt alike.
    fn of_request(&self, list: &mut Attributes) {
        let method = &self.entry.kept.method;
        let known = known_method(method);
        list.add(name::HTTP_REQUEST_METHOD, Some(known.unwrap_or("_OTHER")));
        let original = known.is_none().then(|| method.clone());
        list.add(name::HTTP_REQUEST_METHOD_ORIGINAL, original.filter(|method| !method.is_empty()));
    }

    fn of_pointsman(&self, list: &mut Attributes) {
        let Entry { kept, is_canary, breaker, kept_for, decided, .. } = self.entry;
        let has_service = !kept.service.is_empty() && !kept.service.starts_with('_');
        list.add("pointsman.request_id", some(&kept.request_id));
        list.add("pointsman.service", some(&kept.service));
        list.add("pointsman.pool", some(&kept.pool));
        list.add("pointsman.revision", has_service.then(|| kept.revision.cast_signed()));
        list.add("pointsman.by", kept.by.map(By::name));
        let cohort = kept.by.and_then(|by| match by {
            By::Cohort(cohort) => Some(i64::from(cohort.get())),
            _ => None,
        });
        list.add("pointsman.cohort", cohort);
        list.add("pointsman.side", is_canary.map(|is| if is { "canary" } else { "stable" }));
        let retries = kept.attempts.len().saturating_sub(1) as i64;
        list.add("pointsman.retries", has_service.then_some(retries));
        list.add("pointsman.breaker", breaker.map(word));
        list.add("pointsman.cause", some(&kept.cause));
        let waited = (!kept.waited.is_zero()).then_some(kept.waited.as_secs_f64());
        list.add("pointsman.waited", waited);
        list.add("pointsman.kept", kept_for.map(|keep| keep.name()));
        list.add("pointsman.parent", (*decided == Decided::Stranger).then_some("stranger"));
    }

    /// What was asked for; parts of the query that are secrets are not told.
    fn masked(&self, target: &str) -> String {
        let target = masked(target.as_bytes(), &self.traces.mask);
        String::from_utf8_lossy(&target).into_owned()
    }

    #[expect(clippy::too_many_arguments, reason = "each is another field of a span")]
    fn span(
        &self,
        id: SpanId,
        parent: SpanId,
        kind: SpanKind,
        called: String,
        (began, done): (Duration, Duration),
        Attributes(attributes): Attributes,
        status: Status,
    ) -> SpanData {
        let flags = TraceFlags::new(self.entry.flags);
        let is_server = kind == SpanKind::Server;
        SpanData {
            span_context: SpanContext::new(self.trace, id, flags, false, TraceState::default()),
            parent_span_id: parent,
            parent_span_is_remote: is_server && parent != SpanId::INVALID,
            span_kind: kind,
            name: called.into(),
            start_time: self.began + began,
            end_time: self.began + done,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// What is said of a span, as it comes together.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        self.0.extend(value.map(|value| KeyValue::new(name, value)));
    }
}

/// The cause of an attempt that its client gave up.
const LEFT: &str = "client_gone";

/// What went wrong, in a word: the cause, or the status that says so.
fn error_type(cause: &str, status: Option<u16>) -> Option<String> {
    some(cause).or_else(|| status.map(|status| status.to_string()))
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_string())
}

fn known_method(method: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|known| *known == method)
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

/// An address and a port, if it has one; an IPv6 address without its brackets.
fn host_and_port(text: &str) -> (&str, Option<i64>) {
    let bare =
        |host: &'_ str| -> usize { usize::from(host.starts_with('[') && host.ends_with(']')) };
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address are within brackets.
        Some((host, port)) if !text.ends_with(']') && !text.starts_with("unix:") => {
            (host, port.parse::<u16>().ok().map(i64::from))
        }
        _ => (text, None),
    };
    let cut = bare(host);
    (&host[cut..host.len() - cut], port)
}

fn word(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
    }
}

#[cfg(test)]
mod tests;
