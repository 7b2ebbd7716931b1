//! One call of a collector: the exporter's request in, over the client that all calls share, and how it
//! ended out.
//!
//! The exporter tells whether a call went well, and nothing else: what the collector said is heard here, where
//! its answer comes by.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::patience::End;
use crate::config::Traces;
use crate::outgoing::client::{Call, Client, Fetched, Whom};

/// How much of an answer is read.
const WANTED: usize = 64 * 1024;

/// The longest line that is told of one, in characters.
const LINE: usize = 200;

/// Posts what the exporter makes.
#[derive(Clone)]
pub(super) struct Post {
    client: Client,
    traces: Arc<Traces>,
    /// How the last call ended.
    heard: Arc<Mutex<Option<End>>>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("to", &self.traces.endpoint.host()).finish_non_exhaustive()
    }
}

impl Post {
    /// By these settings.
    pub fn new(client: Client, traces: Arc<Traces>) -> Post {
        Post { client, traces, heard: Arc::default() }
    }

    /// How the last call ended; none if there was none.
    pub fn heard(&self) -> Option<End> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What is sent: of the exporter's fields those that say what the body is, and ours. It takes others from
    /// the environment, which nobody has written into the file.
    fn request(&self, from: Request<Bytes>) -> std::io::Result<Request<Full<Bytes>>> {
        let (head, mut body) = from.into_parts();
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.traces.endpoint.clone();
        let fields = request.headers_mut();
        if let Some(kind) = head.headers.get(CONTENT_TYPE) {
            fields.insert(CONTENT_TYPE, kind.clone());
        }
        if self.traces.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&body)?;
            body = encoder.finish()?.into();
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let own = self.traces.headers.iter().cloned();
        fields.extend(own.map(|(name, value): (HeaderName, HeaderValue)| (name, value)));
        *request.body_mut() = Full::new(body);
        Ok(request)
    }

    fn hear(&self, end: End) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = self.request(request)?;
        let within = self.traces.timeout;
        let call = Call { request, whom: Whom::Named, within, wanted: WANTED };
        let Fetched { status, fields, body } = match self.client.send(call).await {
            Ok(fetched) => fetched,
            Err(error) => {
                self.hear(End::Later(None, error.to_string()));
                return Err(error.into());
            }
        };
        // The status counts as soon as it is there.
        let body = body.unwrap_or_default();
        self.hear(match End::of(status, retry_after(&fields), &first_line(&body)) {
            End::Taken { .. } => taken(&body),
            end => end,
        });
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        Ok(response)
    }
}

/// How many of the spans a collector that took some says that it did not.
fn taken(body: &[u8]) -> End {
    // One that answers well and says something else has taken all of them.
    partial(ExportTraceServiceResponse::decode(body).unwrap_or_default())
}

/// How many of the spans an answer says that it did not take.
pub(super) fn partial(answer: ExportTraceServiceResponse) -> End {
    let partial = answer.partial_success.unwrap_or_default();
    let refused = u64::try_from(partial.rejected_spans).unwrap_or(0);
    let why = match partial.error_message.trim() {
        "" => format!("refused {refused} spans"),
        why => format!("refused {refused} spans: {}", first_line(why.as_bytes())),
    };
    End::Taken { refused, why }
}

/// In seconds; who names a date is asked again when we would have anyway.
fn retry_after(fields: &HeaderMap) -> Option<Duration> {
    let seconds = fields.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The first line that has words, if it is a text that people can read.
pub(super) fn first_line(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else { return String::new() };
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    #[test]
    fn a_collector_that_took_some_says_how_many_it_did_not() {
        let said = |rejected_spans, error_message: &str| {
            let error_message = error_message.to_string();
            let partial = ExportTracePartialSuccess { rejected_spans, error_message };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        let end = |refused, why: &str| End::Taken { refused, why: why.into() };
        assert_eq!(taken(&said(3, "too old\nby far")), end(3, "refused 3 spans: too old"));
        assert_eq!(taken(&said(2, "")), end(2, "refused 2 spans"));
        for all in [&said(0, "")[..], b"", b"{}", b"\xff\xff\xff", &said(-4, "")] {
            assert!(matches!(taken(all), End::Taken { refused: 0, .. }), "{all:?}");
        }
    }

    #[test]
    fn an_answer_is_told_in_one_short_line() {
        assert_eq!(first_line(b"\n  no such\ttenant \nmore"), "no suchtenant");
        assert_eq!(first_line(b"\xff\xfe"), "");
        assert_eq!(first_line(&[b'a'; 1000]).len(), LINE);
    }
}
