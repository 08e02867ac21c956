"""Export of spans by OTLP over HTTP; imported only if traces are configured, because its packages are an extra and load slowly."""

from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import AttributeValue

from app import __version__

# FastAPI sets them, but the operator of a trace store must not learn which place or record a client reads.
EXCLUDED_ATTRIBUTES = ("url.path", "url.query")


class RedactingSampler(Sampler):
    """Wraps a sampler and drops EXCLUDED_ATTRIBUTES from every span."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the decision of the wrapped sampler."""
        kept = {key: value for key, value in (attributes or {}).items() if key not in EXCLUDED_ATTRIBUTES}
        return self._sampler.should_sample(parent_context, trace_id, name, kind, kept, links, trace_state)

    def get_description(self) -> str:
        """Return the description of the wrapped sampler."""
        return self._sampler.get_description()


def create_provider() -> TracerProvider:
    """Create a provider from OpenTelemetry's environment variables; the service is named `lifeline` unless they name it."""
    service = Resource({"service.name": "lifeline", "service.version": __version__})
    resource = Resource.create().merge(service).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.sampler = RedactingSampler(provider.sampler)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
