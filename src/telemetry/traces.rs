//! Export of spans as traces to an OpenTelemetry collector (OTLP over HTTP), and continuation of the caller's trace
//! (W3C Trace Context).

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use http::{HeaderMap, Request, Response};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Status, TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::config::TracesConfig;

const SERVICE: &str = "sigpersist";
/// Timeout for sending a batch, and for the last batch at the end.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The exporter, if export is configured.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// A layer that sends the spans of this program to the collector.
///
/// # Errors
///
/// If the collector's address is not valid.
pub(super) fn layer<S>(
    config: &TracesConfig,
    endpoint: &str,
) -> anyhow::Result<impl Layer<S> + Send + Sync + use<S>>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    ensure!(
        endpoint.starts_with("http://"),
        "The setting traces.endpoint (or OTEL_EXPORTER_OTLP_ENDPOINT) must begin with http://, as in http://127.0.0.1:4318; for TLS, run a collector beside the server"
    );
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new())
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .build()
        .context("Traces can't be exported to traces.endpoint")?;
    let sampler = Sampler::TraceIdRatioBased(f64::from(config.percent) / 100.0);
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(sampler)))
        .with_resource(Resource::builder().with_service_name(SERVICE).build())
        .build();
    let tracer = provider.tracer(SERVICE);
    // If tests start several servers in one process, the first one exports for all.
    drop(PROVIDER.set(provider));
    // Events stay in the log, where they are filtered. Only our own spans are known to contain no secrets.
    let ours =
        |metadata: &Metadata<'_>| metadata.is_span() && metadata.target().starts_with(SERVICE);
    Ok(tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_filter(filter_fn(ours)))
}

/// Makes a request's span part of the caller's trace, and records the trace's id for the log.
pub fn follow(span: &Span, headers: &HeaderMap) {
    let caller = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    let of_caller = caller.span().span_context().clone();
    if PROVIDER.get().is_some() {
        if of_caller.is_valid() {
            // Fails if the span is not exported, or has already begun.
            drop(span.set_parent(caller));
        }
        let own = span.context();
        span.record("trace_id", own.span().span_context().trace_id().to_string());
    } else if of_caller.is_valid() {
        span.record("trace_id", of_caller.trace_id().to_string());
    }
}

/// Records the answer in the request's span, with OpenTelemetry's attributes for HTTP.
pub fn answered(span: &Span, method: &str, route: &'static str, status: u16) {
    if PROVIDER.get().is_none() {
        return;
    }
    span.set_attribute("http.request.method", method.to_owned());
    span.set_attribute("http.route", route);
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.set_status(Status::error(""));
    }
}

/// Sends the remaining spans, at the end of the program.
pub fn flush() {
    if let Some(provider) = PROVIDER.get() {
        // Spans that cannot be sent now are lost.
        drop(provider.shutdown_with_timeout(TIMEOUT));
    }
}

/// Sends batches to the collector, from a blocking thread.
#[derive(Debug)]
struct Sender(ureq::Agent);

impl Sender {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            // The collector runs beside the server, so the environment's proxy settings do not apply.
            .proxy(None)
            .http_status_as_error(false);
        Self(config.build().into())
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let response = self.0.run(Request::from_parts(head, body.to_vec()))?;
        let (head, mut body) = response.into_parts();
        Ok(Response::from_parts(head, body.read_to_vec()?.into()))
    }
}
