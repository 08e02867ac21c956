"""The list of /v1 routers, in the order of a newcomer's questions."""

from fastapi import APIRouter

from app.indicators.endpoints import router as indicators
from app.reference.endpoints import router as reference
from app.reports.endpoints import router as reports

TAGS = [
    {"name": "Indicators", "description": "What is known: the assessed readings, each with its range, agreement and provenance."},
    {"name": "Reports", "description": "Who said it: the statements behind the readings."},
    {"name": "Reporting", "description": "How to say something: append a statement. Needs a key with the scope `report`."},
    {"name": "Places, sources, routes", "description": "What statements name. Adding to it needs a key with the scope `curate`."},
    {"name": "Health", "description": "Whether the service is up and ready."},
]

router = APIRouter(prefix="/v1")
for room in (indicators, reports, reference):
    router.include_router(room)
