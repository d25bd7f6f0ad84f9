//! One trace through all services: by the metadata of calls, and by the events that they cause.
//!
//! A trace begins with a call. What nobody has called for, such as a task that looks for work, is no
//! trace, and what has several causes at once stands in the trace of each ([`Causes`]). Without a
//! collector nothing of this costs anything.

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::{
    Context, KeyValue, TraceId,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{Link, SpanKind, TraceContextExt},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{Sampler, SamplingResult, ShouldSample},
};
use tonic::{
    codegen::http::HeaderMap,
    metadata::{AsciiMetadataValue, MetadataMap},
};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header of W3C Trace Context; `tracestate`, which is others', is not passed on.
const TRACE_PARENT: &str = "traceparent";

static ARE_ON: AtomicBool = AtomicBool::new(false);

/// Has spans connected from now on.
pub(super) fn turn_on() {
    ARE_ON.store(true, Ordering::Relaxed);
}

/// Tells whether spans go anywhere.
pub(super) fn are_on() -> bool {
    ARE_ON.load(Ordering::Relaxed)
}

/// Decides which traces are kept: of calls without a parent a part, of others what their parent says.
#[derive(Clone, Debug)]
pub(super) struct CallSampler {
    ratio: f64,
}

impl CallSampler {
    pub(super) fn of_ratio(ratio: f64) -> Sampler {
        Sampler::ParentBased(Box::new(Self { ratio }))
    }
}

impl ShouldSample for CallSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let sampler = match kind {
            SpanKind::Server => Sampler::TraceIdRatioBased(self.ratio),
            _ => Sampler::AlwaysOff,
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

/// A value of [`TRACE_PARENT`].
struct Carrier(String);

impl Extractor for Carrier {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACE_PARENT).then_some(&self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACE_PARENT]
    }
}

impl Injector for Carrier {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACE_PARENT {
            self.0 = value;
        }
    }
}

impl Carrier {
    /// Returns the context of `span`; empty where it has none.
    fn of(span: &Span) -> Self {
        let mut carrier = Self(String::new());
        TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
        carrier
    }

    /// Returns whose child a span is to be, where the value is one.
    fn parent(&self) -> Option<Context> {
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), self);
        context.span().span_context().is_valid().then_some(context)
    }
}

/// Makes a new span a child of the one that a call's headers name.
pub(super) fn continue_call(span: &Span, headers: &HeaderMap) {
    let value = headers.get(TRACE_PARENT).and_then(|it| it.to_str().ok());
    if let Some(parent) = value.and_then(|value| Carrier(value.to_owned()).parent()) {
        // Refused only where the span is none of the layer's.
        let _ = span.set_parent(parent);
    }
}

/// Lets the callee continue the trace of the present span.
pub(crate) fn pass_on(metadata: &mut MetadataMap) {
    if !are_on() {
        return;
    }
    let Carrier(value) = Carrier::of(&Span::current());
    if !value.is_empty()
        && let Ok(value) = AsciiMetadataValue::try_from(value)
    {
        metadata.insert(TRACE_PARENT, value);
    }
}

/// Returns the W3C `traceparent` of the present span, where its trace is kept; else nothing.
pub fn trace_parent() -> String {
    if !are_on() {
        return String::new();
    }
    let span = Span::current();
    if span.context().span().span_context().is_sampled() {
        Carrier::of(&span).0
    } else {
        String::new()
    }
}

/// The spans of a work that several traces have caused: one in each of them.
///
/// The work itself, with its transactions, is seen in the first; the others link to that.
pub struct Causes(Vec<Span>);

impl Causes {
    /// Returns spans under these names, continuing the traces beside them; who is not traced gets none.
    pub fn of<'a>(causes: impl IntoIterator<Item = (&'static str, &'a str)>) -> Self {
        let mut spans = Vec::new();
        if are_on() {
            let mut known = std::collections::BTreeSet::new();
            for (name, trace_parent) in causes {
                if trace_parent.is_empty() || !known.insert((name, trace_parent)) {
                    continue;
                }
                spans.extend(span_of(name, trace_parent, spans.first()));
            }
        }
        Self(spans)
    }

    /// Does the work.
    pub async fn run<T>(self, work: impl Future<Output = T>) -> T {
        match self.0.first() {
            Some(span) => work.instrument(span.clone()).await,
            None => work.await,
        }
    }
}

fn span_of(name: &'static str, trace_parent: &str, first: Option<&Span>) -> Option<Span> {
    let parent = Carrier(trace_parent.to_owned()).parent()?;
    let span = tracing::info_span!(parent: None, "cause", otel.name = name, otel.kind = "consumer");
    let _ = span.set_parent(parent);
    if let Some(first) = first {
        span.add_link(first.context().span().span_context().clone());
    }
    Some(span)
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[test]
    fn a_trace_is_kept_as_its_parent_says_and_else_begins_with_a_call() {
        let check = |ratio, trace_parent: &str, kind, expected| {
            let parent = Carrier(trace_parent.to_owned()).parent();
            let trace_id = TraceId::from_bytes([7; 16]);
            let sampler = CallSampler::of_ratio(ratio);
            let result = sampler.should_sample(parent.as_ref(), trace_id, "", &kind, &[], &[]);
            let is_kept = result.decision == SamplingDecision::RecordAndSample;
            assert_eq!(is_kept, expected, "{ratio} {trace_parent} {kind:?}");
        };
        for ratio in [0.0, 1.0] {
            check(ratio, SAMPLED, SpanKind::Server, true);
            check(ratio, SAMPLED, SpanKind::Internal, true);
            check(ratio, UNSAMPLED, SpanKind::Server, false);
            check(ratio, "", SpanKind::Internal, false);
        }
        check(1.0, "", SpanKind::Server, true);
        check(0.0, "", SpanKind::Server, false);
    }

    #[test]
    fn what_is_no_trace_parent_is_none() {
        let zero_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let zero_span = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        for text in [
            "",
            "x",
            &SAMPLED[3..],
            zero_trace,
            zero_span,
            "00-Ann-Mia-01",
        ] {
            assert!(Carrier(text.to_owned()).parent().is_none(), "{text}");
        }
    }

    #[test]
    fn without_a_collector_nothing_is_traced() {
        assert_eq!(trace_parent(), "");
        assert!(Causes::of([("work", SAMPLED)]).0.is_empty());
    }
}
