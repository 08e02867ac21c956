"""The routers of /v1, and the texts at the head of the OpenAPI document; the order is that of the document."""

from fastapi import APIRouter

from app.access.endpoints import router as keys
from app.changes.endpoints import router as changes
from app.drafts.endpoints import router as drafts
from app.exchange.alerts.endpoints import router as alerts
from app.exchange.imports.endpoints import router as imports
from app.exchange.provenance.endpoints import router as provenance
from app.indicators.endpoints import router as indicators
from app.judgements.endpoints import router as judgements
from app.ledger.endpoints import router as ledger
from app.reference.endpoints import router as reference
from app.reports.amendment_endpoints import router as amendments
from app.reports.endpoints import router as reports
from app.reports.label_endpoints import router as labels
from app.reports.reference_endpoints import router as reference_changes
from app.situations.endpoints import router as situations
from app.situations.endpoints import track_records
from app.situations.text_endpoints import router as situation_texts
from app.webhooks.endpoints import router as webhooks

DESCRIPTION = """
Statements about people who are cut off, each with its source, assessed together into indicators.

- The [guide](guide) explains each task: reading, reporting, dashboards, formats, labels and operation.
- Every indicator names its sources, its range and whether the sources contradict each other.
- Reading what is labelled `clear` needs no key. To report, press **Authorize** and paste a key (`ll_...`); the demo prints one.
- Times are UTC. Cursors are opaque. Every response to a GET has a strong `ETag`. Errors are `application/problem+json`.
- Version 1 may grow new kinds and fields, and loses none: ignore those that you do not know.
"""

TAGS = [
    {"name": "Situations", "description": "All indicators of a place together, and warnings that fall due."},
    {"name": "Indicators", "description": "Reports assessed together: value, range, agreement and provenance."},
    {"name": "Alerts", "description": "The same statements as CAP 1.2 messages in an Atom feed, for alerting systems."},
    {"name": "Changes", "description": "Every change in order, for mirrors, pollers and live dashboards."},
    {"name": "Webhooks", "description": "Changes posted to your server, signed, at least once. Needs a key with the scope `read`."},
    {
        "name": "Ledger",
        "description": "Checkpoints, tiles and proofs: no entry was altered, and all are served one history.",
    },
    {"name": "Judgements", "description": "What an analyst concludes, beside what the reports say together."},
    {"name": "Reports", "description": "The sourced statements that indicators are assessed from."},
    {"name": "Reporting", "description": "Append, correct, retract and label reports. Needs a key with the scope `report` or `curate`."},
    {"name": "Drafts", "description": "Proposed reports, and reading them out of an article. Needs a key with the scope `report`."},
    {"name": "Places, sources, routes", "description": "Reference data of reports. Adding to it needs a key with the scope `curate`."},
    {"name": "Keys", "description": "Keys and the audit log. All but `/v1/me` needs a key with the scope `admin`."},
    {"name": "OGC API - Features", "description": "Features for GIS: connect QGIS or a dashboard to `/ogc`."},
    {"name": "Health", "description": "Probes and metrics of the service."},
]

router = APIRouter(prefix="/v1")
# The ledger's before those of reports and judgements, whose paths take every ending.
first_tags = (situations, situation_texts, indicators, alerts, changes, webhooks, ledger, judgements, reports, provenance)
for each in (*first_tags, imports, amendments, drafts, labels, reference, reference_changes, track_records, keys):
    router.include_router(each)
