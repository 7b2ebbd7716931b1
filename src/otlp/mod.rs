//! Traces on their way out: requests that are told of in, spans at a collector out (OTLP).
//!
//! The exporter is that of OpenTelemetry, called by a task of ours over our own HTTP client. The SDK's
//! batch processors are not used: they drop spans without a word, panic outside a reactor and hang at the
//! end (opentelemetry-rust #2673, #3125, #3589, as of 0.33).
//!
//! Over gRPC, which is a feature of the build (`traces-grpc`), `grpc.rs` is one call.
//!
//! `queue.rs` is what waits to be sent, `spans.rs` what a request looks like as spans, `post.rs` one call,
//! `patience.rs` what is done after one that failed, `exporter.rs` the task.

mod exporter;
#[cfg(feature = "traces-grpc")]
mod grpc;
mod patience;
mod post;
mod queue;
mod spans;

pub use exporter::Exporter;
