//! One call of a collector by gRPC: spans in, and how it ended out.
//!
//! The client is the one of OpenTelemetry's protocol, called as it is: the exporter over it takes fields from the
//! environment that nobody has written into the file, and tells of a failure no more than a text.

use std::time::Duration;

use http::HeaderMap;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use tokio::time::timeout;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

use super::patience::End;
use super::post::{first_line, partial};
use crate::clock::in_words;
use crate::config::Traces;

/// How much of an answer is read.
const WANTED: usize = 64 * 1024;

/// A collector, connected to when it is first called, and again when it was away.
#[derive(Debug)]
pub(super) struct Grpc {
    client: TraceServiceClient<Channel>,
    resource: ResourceAttributesWithSchema,
    metadata: MetadataMap,
    timeout: Duration,
}

impl Grpc {
    /// By these settings, as this resource. To be called within a runtime.
    pub fn new(traces: &Traces, resource: &Resource) -> Result<Grpc, tonic::transport::Error> {
        let mut endpoint = Endpoint::from(traces.endpoint.clone()).connect_timeout(traces.timeout);
        if traces.endpoint.scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
        }
        let client = TraceServiceClient::new(endpoint.connect_lazy());
        let mut client = client.max_decoding_message_size(WANTED);
        if traces.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let metadata = MetadataMap::from_headers(HeaderMap::from_iter(traces.headers.clone()));
        Ok(Grpc { client, resource: resource.into(), metadata, timeout: traces.timeout })
    }

    /// Sends them.
    pub async fn send(&self, spans: Vec<SpanData>) -> End {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let mut request = tonic::Request::new(ExportTraceServiceRequest { resource_spans });
        *request.metadata_mut() = self.metadata.clone();
        // Tells the collector how long is waited, and waits no longer.
        request.set_timeout(self.timeout);
        let mut client = self.client.clone();
        match timeout(self.timeout, client.export(request)).await {
            Ok(Ok(answer)) => partial(answer.into_inner()),
            Ok(Err(status)) => ended(&status),
            Err(_) => End::Later(None, format!("no answer within {}", in_words(self.timeout))),
        }
    }
}

/// What a status means (OTLP specification 1.7, "Failures" and "OTLP/gRPC Throttling").
fn ended(status: &Status) -> End {
    let line = first_line(status.message().as_bytes());
    let said = format!("{:?}: {line}", status.code());
    let says_when = status.details().windows(RETRY_INFO.len()).any(|it| it == RETRY_INFO);
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => End::Later(None, said),
        Code::ResourceExhausted if says_when => End::Later(None, said),
        // As the libraries of gRPC word it.
        Code::ResourceExhausted if line.contains("larger than max") => End::TooLarge(said),
        _ => End::Never(said),
    }
}

/// A detail of a status that asks for another call.
const RETRY_INFO: &[u8] = b"google.rpc.RetryInfo";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_what_the_protocol_says_of_them() {
        let of = |code| ended(&Status::new(code, "no\nmore"));
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Aborted, Code::DataLoss] {
            assert_eq!(of(code), End::Later(None, format!("{code:?}: no")));
        }
        for code in [Code::Unauthenticated, Code::Unimplemented, Code::ResourceExhausted] {
            assert_eq!(of(code), End::Never(format!("{code:?}: no")));
        }
        let details = bytes::Bytes::from_static(b"\ntype.googleapis.com/google.rpc.RetryInfo");
        let busy = Status::with_details(Code::ResourceExhausted, "busy", details);
        assert!(matches!(ended(&busy), End::Later(..)));
        let large =
            Status::new(Code::ResourceExhausted, "Received message larger than max (9 vs. 4)");
        assert!(matches!(ended(&large), End::TooLarge(_)));
    }
}
