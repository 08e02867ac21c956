"""Recognition of statements that were recorded before."""

import httpx

from tests.support.factories import SEEDED, Reference, report


async def test_repeated_statement_gets_200_and_the_first_report(client: httpx.AsyncClient, reference: Reference) -> None:
    """Equal source, kind, place, subject, `stated_at`, value and url: 200; one of them different: 201."""
    first = await client.post("/v1/reports", json=report(stated_at="2016-07-28T10:00:00Z"))
    same = {"stated_at": "2016-07-28T10:00:00Z"}
    for again in (
        report(**same),
        report(stated_at="2016-07-28T12:00:00+02:00"),
        report(**same, place="pcode:SY02"),
        report(**same, provenance={"quote": "other words", "credibility": 1}),
        report(**same, sensitivity="green"),
        report(**same, value={"people_low": None, "includes_combatants": "unknown"}),
    ):
        response = await client.post("/v1/reports", json=again)
        assert response.status_code == 200, response.text
        assert response.json() == first.json()
        assert response.headers["location"] == first.headers["location"]
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED + 1
    other = [
        report(**same, source="envoy"),
        report(**same, place="country"),
        report(stated_at="2016-07-28T10:00:01Z"),
        report(**same, value={"people": 300001}),
        report(**same, value={"concept": "besieged"}),
        report(**same, provenance={"url": "https://example.org/"}),
    ]
    items = (await client.post("/v1/reports", json=other)).json()["items"]
    assert [item["status"] for item in items] == [201] * len(other)
    known = {first.json()["id"], *(item["id"] for item in items)}
    assert len(known) == (await client.get("/v1/reports")).json()["revision"] - SEEDED == 1 + len(other)


async def test_repeated_statement_that_was_corrected_gets_the_correction(client: httpx.AsyncClient, reference: Reference) -> None:
    first = (await client.post("/v1/reports", json=report())).json()
    corrected = await client.post(f"/v1/reports/{first['id']}/correction", json=report(value={"people": 5}, reason="misread"))
    again = await client.post("/v1/reports", json=report())
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, corrected.json()["id"], "standing")
