"""Tests for the filter `q` of reports."""

import httpx
import pytest

from app.storage.database import Database
from tests.conftest import MakeClient
from tests.support.factories import post, post_all, report

QUOTES = {
    "english": "Civilians in the Old Town will run out of medicines in two weeks.",
    "french": "Les M\u00e9dicaments manquent \u00e0 l\u2019h\u00f4pital Saint-Louis.",
    "arabic": "\u0623\u062f\u0648\u064a\u0629 \u062d\u064e\u0644\u064e\u0628 \u0627\u0644\u0634\u0631\u0642\u064a\u0651\u0629",
}


pytestmark = pytest.mark.usefixtures("reference")


async def found(client: httpx.AsyncClient, q: str, **more: str) -> list[str]:
    answer = await client.get("/v1/reports", params={"q": q, **more})
    assert answer.status_code == 200, answer.text
    return [each["provenance"]["title"] or each["provenance"]["quote"] or "" for each in answer.json()["items"]]


@pytest.fixture
async def quoted(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Record one report for each quote, with the language as its title, on days of their own."""
    days = zip(QUOTES.items(), ("2016-07-26", "2016-07-27", "2016-07-28"), strict=True)
    await post_all(client, *(report(stated_at=day, provenance={"title": name, "quote": quote}) for (name, quote), day in days))
    return client


async def test_search_finds_words_without_case_accents_and_vowel_signs(quoted: httpx.AsyncClient) -> None:
    for q, names in {
        "MEDICINES": ["english"],
        "weeks old town": ["english"],
        "medic": ["english", "french"],
        "medicaments hopital saint louis": ["french"],
        "M\u00c9DICAMENTS": ["french"],
        "\u062d\u0644\u0628": ["arabic"],
        "\u0627\u062f\u0648\u064a\u0647": ["arabic"],
        "\u0627\u0644\u0634\u0631\u0642\u064a\u0629 \u062d\u0644\u0628": ["arabic"],
        "arabic": ["arabic"],
        "medicines arabic": [],
        "100%": [],
    }.items():
        assert await found(quoted, q) == names, q


async def test_search_reads_codes_and_words_of_values(client: httpx.AsyncClient) -> None:
    words = {"supply": "fuel", "relative_text": "a fortnight, perhaps", "in_days_min": None, "in_days_max": None}
    await post(client, **report("supply_runout", words, provenance={"quote": "Fuel is short."}))
    assert len(await found(client, "fortnight")) == len(await found(client, "FUEL perhaps")) == 1


async def test_search_fits_other_filters_formats_and_pages(quoted: httpx.AsyncClient) -> None:
    assert await found(quoted, "medic", as_of="2016-07-26") == ["english"]
    assert await found(quoted, "medic", place="country") == []
    first = (await quoted.get("/v1/reports", params={"q": "medic", "limit": 1})).json()
    second = (await quoted.get("/v1/reports", params={"q": "medic", "limit": 1, "cursor": first["next"]})).json()
    assert [each["provenance"]["title"] for each in (*first["items"], *second["items"])] == ["english", "french"]
    assert second["next"] is None
    table = (await quoted.get("/v1/reports.csv", params={"q": "hopital"})).text
    assert ("Saint-Louis" in table, "medicines" in table) == (True, False)


async def test_search_without_letters_or_with_long_text_is_refused(client: httpx.AsyncClient) -> None:
    for path in ("/v1/reports", "/v1/places", "/v1/sources", "/v1/routes"):
        answer = await client.get(path, params={"q": " !? "})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?q"), path
        assert "at least one letter or digit" in answer.text
        assert (await client.get(path, params={"q": "x" * 101})).status_code == 422


async def test_search_hides_reports_above_the_clearance(quoted: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    made = await post(quoted, **report("route_closure", provenance={"quote": "The convoy waits at dawn."}, sensitivity="amber"))
    assert len(await found(quoted, "convoy")) == 1
    assert await found(anonymous, "convoy") == []
    # A correction keeps its own words, and the corrected report keeps its status.
    correction = report("route_closure", provenance={"quote": "The column waits."}, sensitivity="amber", reason="typing error")
    answer = await quoted.post(f"/v1/reports/{made['id']}/correction", json=correction)
    assert answer.status_code == 201, answer.text
    assert (len(await found(quoted, "convoy", status="superseded")), len(await found(quoted, "column"))) == (1, 1)


async def test_search_of_reference_data_reads_what_the_reader_sees(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, database: Database
) -> None:
    async def slugs(caller: httpx.AsyncClient, collection: str, q: str, **more: str) -> list[str]:
        items = (await caller.get(f"/v1/{collection}", params={"q": q, **more})).json()["items"]
        return [each["slug"] for each in items]

    await post(
        client, "/v1/places", slug="homs", name="Homs", names={"ar": "\u062d\u0645\u0635"}, codes=[{"scheme": "pcode", "code": "SY04"}]
    )
    await post(client, "/v1/sources", slug="dr-rami", name="Dr Rami S\u00e9rhan", type="witness", alias="A surgeon")
    await post(client, "/v1/routes", slug="m5", name="M5 motorway", mode="road", names={"fr": "Autoroute M5"})
    for collection, q, expected in (
        ("places", "HOMS", ["homs"]),
        ("places", "\u062d\u0645\u0635", ["homs"]),
        ("places", "sy04", ["homs"]),
        ("routes", "autoroute", ["m5"]),
        ("sources", "serhan", ["dr-rami"]),
        ("sources", "surgeon", []),
        ("places", "nowhere", []),
    ):
        assert await slugs(client, collection, q) == expected, q
    assert await slugs(anonymous, "sources", "serhan") == await slugs(anonymous, "sources", "rami") == []
    (alias,) = await slugs(anonymous, "sources", "surgeon")
    assert alias != "dr-rami"
    head = (await client.get("/v1/changes", params={"limit": 1000})).json()["items"][-1]["recorded_at"]
    assert (await client.patch("/v1/places/homs", json={"name": "Hims", "names": {"ar": None}})).status_code == 200
    assert await slugs(client, "places", "\u062d\u0645\u0635") == []
    assert await slugs(client, "places", "hims") == ["homs"]
    assert await slugs(client, "places", "\u062d\u0645\u0635", known_at=head) == ["homs"]
    assert await slugs(client, "places", "hims", known_at=head) == []
