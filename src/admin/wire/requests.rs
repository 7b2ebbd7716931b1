//! What is remembered of one request, as it travels over the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::in_millis;
use crate::config::is_of_no_service;
use crate::record::{Kept, KeptAttempt};
use crate::snapshot::By;
use crate::split::Cohort;

/// What happened to one request. Queries and fields are not remembered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Request {
    /// When the end of its head had been read: Unix time, in seconds.
    pub at: f64,
    /// The id that it is known by.
    pub request_id: String,
    /// Its method; empty if its connection was gone before its record was made, as host and path are
    /// then.
    pub method: String,
    /// The host it asked for, at most 256 bytes and `…`.
    pub host: String,
    /// Its path without the query, at most 256 bytes and `…`.
    pub path: String,
    /// The version of HTTP it was asked in, such as `HTTP/1.1`.
    pub version: String,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What the client was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it has no upstream's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// From the end of its head to the end of its answer without the wait in line, in milliseconds.
    pub took_ms: f64,
    /// For how long it waited in line, in milliseconds.
    pub waited_ms: f64,
    /// For how long its connection had been open before, in milliseconds.
    pub connection_age_ms: f64,
    /// Its service; `_redirect` or `_answer` if its route had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Which of the routes to its service it came by, counted from 1 in the file's order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<u16>,
    /// The pool it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The service's revision that it saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What chose its pool: `cohort`, `draw`, `override`, `stand-in` or `shield`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Its cohort, where that chose, 0 to 9,999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<u16>,
    /// Its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Our own part in its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// Bytes of its body.
    pub request_bytes: u64,
    /// Bytes of its answer's body.
    pub response_bytes: u64,
    /// What was tried, in this order.
    pub attempts: Vec<RequestAttempt>,
    /// Upstreams that something kept from it when it was refused or had failed.
    pub not_taken: Vec<NotTaken>,
}

/// One attempt at one upstream. Times are milliseconds from the end of the request's head.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RequestAttempt {
    /// The pool.
    pub pool: String,
    /// The upstream.
    pub upstream: String,
    /// When it was chosen.
    pub chosen_ms: f64,
    /// When it began: then, or after a pause.
    pub began_ms: f64,
    /// When there was a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_ms: Option<f64>,
    /// Whether that had been kept from an earlier request.
    pub is_reused: bool,
    /// When all of the request was on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_ms: Option<f64>,
    /// When the head of an answer had come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_ms: Option<f64>,
    /// When it was over.
    pub done_ms: f64,
    /// The status that came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Bytes of the request's body that were sent.
    pub sent_bytes: u64,
    /// Bytes of the answer's body that came.
    pub received_bytes: u64,
}

/// An upstream that was not taken.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NotTaken {
    /// The pool.
    pub pool: String,
    /// The upstream.
    pub upstream: String,
    /// Why.
    pub why: String,
}

impl From<Kept> for Request {
    fn from(kept: Kept) -> Request {
        let has_service = !is_of_no_service(&kept.service);
        Request {
            at: kept.at.seconds(),
            request_id: kept.request_id,
            method: kept.method,
            host: kept.host,
            path: kept.path,
            version: format!("{:?}", kept.version),
            client: kept.client.map(|client| client.to_string()),
            status: kept.status,
            cause: said(kept.cause),
            took_ms: in_millis(kept.duration),
            waited_ms: in_millis(kept.waited),
            connection_age_ms: in_millis(kept.connection_age),
            service: said(kept.service),
            route: kept.route.map(|nth| nth.saturating_add(1)),
            pool: said(kept.pool),
            revision: has_service.then_some(kept.revision),
            by: kept.by.map(|by| by.name().into()),
            cohort: kept.by.and_then(By::cohort).map(Cohort::get),
            trace_id: said(kept.trace.0),
            span_id: said(kept.trace.1),
            request_bytes: kept.from_client,
            response_bytes: kept.to_client,
            attempts: kept.attempts.into_iter().map(Into::into).collect(),
            not_taken: kept
                .not_taken
                .into_iter()
                .map(|(pool, upstream, why)| NotTaken { pool, upstream, why: why.name().into() })
                .collect(),
        }
    }
}

impl From<KeptAttempt> for RequestAttempt {
    fn from(kept: KeptAttempt) -> RequestAttempt {
        RequestAttempt {
            pool: kept.pool,
            upstream: kept.upstream,
            chosen_ms: in_millis(kept.chosen),
            began_ms: in_millis(kept.began),
            connected_ms: kept.connected.map(in_millis),
            is_reused: kept.is_reused,
            sent_ms: kept.sent.map(in_millis),
            head_ms: kept.head.map(in_millis),
            done_ms: in_millis(kept.done),
            status: kept.status,
            cause: said(kept.cause),
            sent_bytes: kept.to_upstream,
            received_bytes: kept.from_upstream,
        }
    }
}

fn said(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
