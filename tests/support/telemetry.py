"""Metrics as Prometheus parses them, and lines of the access log."""

import json
from typing import Any

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


async def scrape(client: httpx.AsyncClient) -> dict[str, Metric]:
    """Return the metric families of `/metrics` by name."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def metric_value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Return the sum of the samples with this name and these labels."""
    samples = [sample for family in families.values() for sample in family.samples]
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


def access_log_lines(output: str) -> list[dict[str, Any]]:
    """Return the lines of the access log in what a process wrote to standard error."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "request"]
