"""The worked examples of docs/method.md: their reports, sent to a server, give the indicator that the page shows."""

import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest

from tests.docs.pages import DOCS, Block, blocks
from tests.support.processes import Server

PAGE = DOCS / "method.md"
EXAMPLES = [each for each in blocks(PAGE) if each.info == "example"]
_SOURCE = re.compile(r"^\| `(\w+)` \| ([A-F]) \| (yes|no) \|$", re.MULTILINE)
_numbers = count(1)


@pytest.fixture(scope="module")
def client(demo: Server) -> Iterator[httpx.Client]:
    """Yield a client of a server that has the sources of the page."""
    with httpx.Client(base_url=demo.url, headers={"Authorization": f"Bearer {demo.key}"}) as client:
        for slug, grade, party in _SOURCE.findall(PAGE.read_text(encoding="utf-8")):
            type_ = "armed_actor" if party == "yes" else "monitor"
            _post(client, "/v1/sources", {"slug": slug, "name": slug, "type": type_, "reliability": grade})
        _post(client, "/v1/routes", {"slug": "road", "name": "Road", "mode": "road"})
        yield client


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _assert_has(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        for name, value in expected.items():
            _assert_has(found[name], value)
    else:
        assert found == expected


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: f"line-{each.line}")
def test_example_of_method_gives_shown_indicator(example: Block, client: httpx.Client) -> None:
    said = json.loads(example.text)
    place = f"example-{next(_numbers)}"
    _post(client, "/v1/places", {"slug": place, "name": place})
    ids = []
    for each in said["reports"]:
        body = {name: value for name, value in each.items() if name not in ("retracted", "relays")}
        if "relays" in each:
            body["provenance"] = body.get("provenance", {}) | {"relays": ids[each["relays"] - 1]}
        report = _post(client, "/v1/reports", body | {"kind": said["kind"], "place": place})
        ids.append(report["id"])
        if each.get("retracted"):
            _post(client, f"/v1/reports/{report['id']}/retraction", {"reason": "withdrawn"})
    if "outcome" in said:
        outcome = said["outcome"] | {"reason": "seen", "report": ids[said["outcome"]["report"] - 1]}
        _post(client, f"/v1/indicators/{report['indicator']}/outcome", outcome)
    found = client.get(f"/v1/indicators/{report['indicator']}").json()
    _assert_has(found, said["indicator"])
    relations = {each["id"]: each.get("relation") or each["reason"] for each in found["reports"] + found["left_out"]}
    assert [relations[each] for each in ids] == said["relations"]


def test_method_page_names_the_method_and_has_an_example_for_each_rule(client: httpx.Client) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert client.get("/v1/indicators?limit=1").json()["items"][0]["assessment"]["method"] in text
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    rules = [each for each in sections if each.startswith("Rule ")]
    assert len(rules) == 11
    assert [each.partition("\n")[0] for each in rules if "```json example" not in each] == []
