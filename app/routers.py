"""The list of /v1 routers, in the order of a newcomer's questions."""

from fastapi import APIRouter

from app.access.endpoints import router as keys
from app.changes.endpoints import router as changes
from app.exchange.alerts.endpoints import router as alerts
from app.exchange.imports.endpoints import router as imports
from app.exchange.provenance.endpoints import router as provenance
from app.indicators.endpoints import router as indicators
from app.ledger.endpoints import router as ledger
from app.reference.endpoints import router as reference
from app.reports.amendment_endpoints import router as amendments
from app.reports.endpoints import router as reports
from app.reports.label_endpoints import router as labels
from app.situations.endpoints import accounts
from app.situations.endpoints import router as situations
from app.webhooks.endpoints import router as webhooks

TAGS = [
    {"name": "Situations", "description": "How it is: one place's indicators together, and what runs out next."},
    {"name": "Indicators", "description": "What is known: the assessed readings, each with its range, agreement and provenance."},
    {"name": "Alerts", "description": "For alerting systems: the same statements as CAP 1.2 messages in an Atom feed."},
    {"name": "Changes", "description": "What changed since: for mirrors, pollers and live dashboards."},
    {"name": "Webhooks", "description": "Be told: changes posted to you, signed, at least once. Needs a key with the scope `read`."},
    {"name": "Reports", "description": "Who said it: the statements behind the readings."},
    {"name": "Reporting", "description": "How to say something: append a statement. Needs a key with the scope `report`."},
    {"name": "Places, sources, routes", "description": "What statements name. Adding to it needs a key with the scope `curate`."},
    {"name": "Ledger", "description": "That nothing was altered: where the hash chain stands."},
    {"name": "Keys", "description": "Who may say, who may see, who did what. All but `/v1/me` needs a key with the scope `admin`."},
    {"name": "OGC API - Features", "description": "For GIS: connect QGIS or a dashboard to `/ogc`."},
    {"name": "Health", "description": "Whether the service is up and ready."},
]

router = APIRouter(prefix="/v1")
routers = (
    situations,
    indicators,
    alerts,
    changes,
    webhooks,
    reports,
    provenance,
    imports,
    amendments,
    labels,
    reference,
    accounts,
    ledger,
    keys,
)
for each in routers:
    router.include_router(each)
