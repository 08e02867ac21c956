"""What makes spans and sends them, by OTLP over HTTP.

Imported only where traces are configured: the packages are an extra, and slow to load.
"""

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

# FastAPI would say them; which place or record somebody asked for is not for whoever keeps traces.
EXCLUDED_ATTRIBUTES = ("url.path", "url.query")


class RedactingSampler(Sampler):
    """Another sampler, which is given, and gives the span, the attributes that it begins with but for those that are not told."""

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
        """What the other sampler decides."""
        told = {key: value for key, value in (attributes or {}).items() if key not in EXCLUDED_ATTRIBUTES}
        return self._sampler.should_sample(parent_context, trace_id, name, kind, told, links, trace_state)

    def get_description(self) -> str:
        """The other sampler's."""
        return self._sampler.get_description()


def create_provider() -> TracerProvider:
    """A provider as the environment of OpenTelemetry describes it; the service is `lifeline` unless it says otherwise."""
    ours = Resource({"service.name": "lifeline", "service.version": __version__})
    made = TracerProvider(resource=Resource.create().merge(ours).merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    made.sampler = RedactingSampler(made.sampler)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made
