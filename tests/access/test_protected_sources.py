"""Protected sources: below `amber` every response has the alias, and never the slug or the name."""

from typing import Any

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import Label
from tests.ledger.helpers import all_changes, assert_verified
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, mostly_sqlite

TRUE, NAME, ALIAS = "nurse-at-m10", "Nurse at hospital M10", "A health worker"


@pytest.fixture
async def protected(client: httpx.AsyncClient, reference: Reference) -> dict[str, Any]:
    """Post reports of a protected source, one relayed by it, a correction and a grade; return the corrected report."""
    await reference.add("sources", slug=TRUE, name=NAME, type="witness", alias=ALIAS, organisation="test")
    first = (await client.post("/v1/reports", json=report("supply_runout", source=TRUE))).json()
    await client.post("/v1/reports", json=report(source="envoy", provenance={"via": [TRUE, "outlet"]}))
    body = report("supply_runout", source=TRUE, value={"in_days_min": 3}, reason="misread")
    corrected = (await client.post(f"/v1/reports/{first['id']}/correction", json=body)).json()
    grade = await client.post(f"/v1/sources/{TRUE}/grades", json={"reliability": "B", "reason": "was right"})
    assert grade.status_code == 201
    made: dict[str, Any] = corrected
    return made


async def test_no_response_below_amber_reveals_a_protected_source(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_client: MakeClient, protected: dict[str, Any], settings: Any
) -> None:
    shown = (await client.get(f"/v1/sources/{TRUE}")).json()
    assert (shown["name"], shown["alias"], shown["organisation"], shown["redacted"]) == (NAME, ALIAS, "test", [])
    (pseudonymised,) = [each for each in (await anonymous.get("/v1/sources")).json()["items"] if each["alias"]]
    assert (pseudonymised["id"], pseudonymised["name"], pseudonymised["organisation"]) == (shown["id"], ALIAS, None)
    assert pseudonymised["redacted"] == ["slug", "name", "names", "organisation"]
    slug = pseudonymised["slug"]
    assert slug.startswith("protected-")
    indicator, made = protected["indicator"], protected["id"]
    paths = [
        "/v1/sources", f"/v1/sources/{slug}", f"/v1/sources/{slug}/record", "/v1/indicators", "/v1/indicators?as_of=2016-12-01",
        f"/v1/indicators/{indicator}", f"/v1/indicators/{indicator}?known_at=2999-01-01", f"/v1/indicators/{indicator}/history",
        "/v1/situations/oldtown", "/v1/situations?as_of=2016-12-01", "/v1/warnings?unresolved=true",
        "/v1/warnings?within_days=30&as_of=2016-08-01", "/v1/reports", f"/v1/reports/{made}",
        "/v1/changes", f"/v1/reports?source={slug}", f"/v1/indicators?source={slug}", f"/v1/indicators?source={slug}&as_of=2016-12-01",
    ]  # fmt: skip
    for reader in (anonymous, await make_client(Scope.READ, clearance=Label.GREEN)):
        for path in paths:
            answer = await reader.get(path)
            assert answer.status_code == 200, path
            assert TRUE not in answer.text, path
            assert NAME not in answer.text, path
            if "history" not in path:
                assert slug in answer.text, path
                assert answer.json().get("items") != [], path
        assert (await reader.get(f"/v1/sources/{TRUE}")).status_code == 404
        assert (await reader.get(f"/v1/sources/{TRUE}/record")).status_code == 404
        # As any source that does not exist, without a name near to it.
        for path in ("/v1/reports?source=", "/v1/indicators?source=", "/v1/indicators?as_of=2016-12-01&source="):
            unknown, other = [await reader.get(path + each) for each in (TRUE, "nurse-at-m11")]
            assert (unknown.status_code, unknown.text) == (422, other.text)
            assert NAME not in unknown.text
    for path in ("/v1/reports", "/v1/changes", "/v1/indicators", f"/v1/indicators/{indicator}"):
        assert TRUE in (await client.get(path)).text, path
        assert slug not in (await client.get(path)).text, path
    for item in await all_changes(anonymous):
        assert "redacted" not in item
    await assert_verified(settings.database_url)


async def test_protected_slug_is_unknown_below_amber(
    client: httpx.AsyncClient, make_client: MakeClient, protected: dict[str, Any], anonymous: httpx.AsyncClient
) -> None:
    """A reporter below `amber` cannot guess protected sources, but may name one by its alias."""
    (slug,) = [each["slug"] for each in (await anonymous.get("/v1/sources")).json()["items"] if each["alias"]]
    stranger = await make_client(Scope.READ, Scope.REPORT, clearance=Label.GREEN, organisation="another")
    guessed = await stranger.post("/v1/reports", json=report(source="envoy", provenance={"via": [TRUE]}))
    never = await stranger.post("/v1/reports", json=report(source="envoy", provenance={"via": ["nobody-at-m10"]}))
    assert guessed.json() == never.json()
    made = await stranger.post("/v1/reports", json=report(source="envoy", value={"people": 3}, provenance={"via": [slug]}))
    assert (made.status_code, made.json()["provenance"]["via"]) == (201, [slug])
    assert (await client.get(f"/v1/reports/{made.json()['id']}")).json()["provenance"]["via"] == [TRUE]
    own = await make_client(Scope.READ, Scope.REPORT, clearance=Label.GREEN, organisation="test")
    mine = await own.post("/v1/reports", json=report(source=TRUE, value={"people": 9}))
    assert (mine.status_code, mine.json()["source"]) == (201, slug)


@mostly_sqlite
async def test_source_with_an_organisation_is_reported_by_it_only(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference, anonymous: httpx.AsyncClient
) -> None:
    """Only keys of its organisation and curators may report for it; any reporter may for a source without one."""
    await reference.add("sources", slug="theirs", name="Theirs", type="ngo", organisation="them")
    own, other = [await make_client(Scope.REPORT, organisation=name) for name in ("them", "others")]
    curator = await make_client(Scope.REPORT, Scope.CURATE, organisation="others")
    refused = await other.post("/v1/reports", json=report(source="theirs"))
    assert [each["pointer"] for each in refused.json()["errors"]] == ["/source"]
    listed = await other.post("/v1/reports", json=[report(source="theirs"), report()])
    assert [each["status"] for each in listed.json()["items"]] == [422, 201]
    made = await own.post("/v1/reports", json=report(source="theirs", value={"people": 1}))
    assert made.status_code == 201
    assert (await curator.post("/v1/reports", json=report(source="theirs", value={"people": 2}))).status_code == 201
    mine = (await other.post("/v1/reports", json=report(source="envoy"))).json()
    hijacked = await other.post(f"/v1/reports/{mine['id']}/correction", json=report(source="theirs", value={"people": 5}, reason="so"))
    assert [each["pointer"] for each in hijacked.json()["errors"]] == ["/source"]
    assert (await anonymous.get(f"/v1/reports/{made.json()['id']}")).json()["recorded_by"] == "them"
