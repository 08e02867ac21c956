"""The dashboard asks for metrics that there are."""

import json
import re
from importlib.resources import files

import httpx

from tests.support.factories import Reference, report


async def test_every_metric_of_the_dashboard_is_served(client: httpx.AsyncClient, reference: Reference) -> None:
    await client.post("/v1/reports", json=report())
    dashboard = json.loads((files("app.telemetry") / "grafana.json").read_text(encoding="utf-8"))
    queries = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    asked = set(re.findall(r"\b(?:http|lifeline|process)_\w+", queries))
    served = (await client.get("/metrics")).text
    # A counter that has counted nothing yet is announced all the same.
    announced = set(re.findall(r"^# TYPE (\w+)", served, re.MULTILINE))
    missing = {name for name in asked if name not in announced and name.removesuffix("_bucket") not in announced}
    assert asked
    assert not missing
