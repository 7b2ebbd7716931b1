//! A request's trace: what it brings and who sent it in; what upstreams are told of it, and what its record
//! says, out.
//!
//! Where traces are kept each attempt has a part of its own in the trace, which its upstream is told and
//! the collector too. Where none are kept, what a request brings goes on with one part for all attempts,
//! and nobody but whoever sent it decides whether it is recorded.

use http::HeaderValue;

use super::Exchange;
use crate::config::Traces;
use crate::http::edits::Text;
use crate::http::fields::{FieldId, Fields};
use crate::http::forwarded::{self, Peer};
use crate::http::trace_context::{TraceContext, hex, non_zero, traceparent};
use crate::record::Traced;
use crate::traces::{Brought, decide};

impl Exchange {
    /// Decides whether it is told of, before anything can become of it.
    pub(super) fn begin_trace(&mut self, traces: &Traces, fields: &Fields<'_>, peer: &Peer) {
        // Where it goes is the same with traces and without.
        let mut draws = self.draws.aside();
        let context = TraceContext::continue_or_start(fields, &mut draws);
        let trusted = &self.snapshot.config.server.trusted_proxies;
        let brought = match context.parent_id {
            None => Brought::Nothing,
            Some(_) if trusted.has_peer(peer) => Brought::Trusted(context.is_sampled()),
            Some(_) => Brought::Strange(context.is_sampled()),
        };
        let limits = &self.snapshot.trace_limits;
        let (decided, is_sampled) = decide(brought, traces, limits, self.started, &mut draws);
        let is_https = forwarded::is_https(fields, peer, trusted);
        let context = context.with_sampled(is_sampled);
        let (parent, flags) = (context.parent_id, context.flags());
        self.noted.trace = Some((context.trace_id, context.span_id));
        self.noted.traced = Some(Traced { parent, flags, is_sampled, decided, is_https });
        self.pass_state(context.state, fields);
    }

    /// Tells the upstream that is asked now of its part in the trace.
    pub(super) fn trace_attempt(&mut self) {
        let noted = (self.noted.traced, self.noted.trace);
        let (Some(traced), Some((trace, _))) = noted else { return };
        let Some(asking) = &mut self.asking else { return };
        asking.span = non_zero(&mut self.draws);
        let told = traceparent(&trace, &hex(asking.span), traced.flags);
        self.edits.set_instead(FieldId::Traceparent, Text::Trace(told));
    }

    /// Passes on what it brings, where no traces are kept.
    pub(super) fn pass_trace(&mut self, fields: &Fields<'_>) {
        let context = TraceContext::continue_or_start(fields, &mut self.draws);
        self.noted.trace = Some((context.trace_id, context.span_id));
        self.edits.set(FieldId::Traceparent, Text::Trace(context.traceparent()));
        self.pass_state(context.state, fields);
    }

    /// What others keep in its trace goes on as one line, if it is what it should be.
    fn pass_state(&mut self, state: Option<HeaderValue>, fields: &Fields<'_>) {
        match state {
            Some(state) => self.edits.set(FieldId::Tracestate, Text::Own(state)),
            None => self.drop_claim(fields, FieldId::Tracestate),
        }
    }

    /// Its trace, where traces are kept.
    pub(super) fn trace_id(&self) -> Option<&str> {
        self.noted.traced?;
        let (trace, _) = self.noted.trace.as_ref()?;
        std::str::from_utf8(trace).ok()
    }
}
