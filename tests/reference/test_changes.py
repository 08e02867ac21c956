"""Places, sources and routes change by merge patch; each version is an entry of the ledger, and the past is shown as it was known."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access.principal import Scope
from app.assessment.stale import MAX_STEP_INDICATORS
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from tests.ledger.helpers import all_changes, assert_verified, rewrite, signing_settings
from tests.support.factories import SEEDED, Reference, post, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only
from tests.support.servers import client_for, new_key, wait_until_assessed

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


async def patch(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """Change a record and return it."""
    answer = await client.patch(f"/v1/{path}", json=body, headers=MERGE_PATCH)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


def errors(answer: httpx.Response) -> list[str]:
    """Return the pointers of a 422."""
    assert answer.status_code == 422, answer.text
    return [each["pointer"] for each in answer.json()["errors"]]


CHANGES: dict[str, dict[str, Any]] = {
    "places/oldtown": {"name": "Old city", "names": {"ar": "المدينة القديمة"}, "parent": None, "codes": [], "timezone": "Asia/Damascus"},
    "sources/agency": {"name": "The agency", "organisation": "agency.example", "alias": "An agency"},
    "routes/north-road": {"geometry": {"type": "Point", "coordinates": [37.16, 36.26]}, "from": "Aleppo"},
}


@pytest.mark.parametrize("path", CHANGES)
async def test_patch_records_an_entry_and_keeps_what_it_leaves_out(
    client: httpx.AsyncClient, reference: Reference, settings: Settings, path: str
) -> None:
    before = (await client.get(f"/v1/{path}")).json()
    changed = await patch(client, path, **CHANGES[path])
    assert changed == (await client.get(f"/v1/{path}")).json()
    untouched = before.keys() - CHANGES[path].keys() - {"redacted"}
    assert {name: changed[name] for name in untouched} == {name: before[name] for name in untouched}
    assert {name: changed[name] for name in CHANGES[path]} == CHANGES[path]
    entries = await all_changes(client)
    (first,) = [each for each in entries[:SEEDED] if each["detail"]["record"]["id"] == before["id"]]
    last = entries[-1]
    assert (last["seq"], last["type"], len(last["salt"])) == (SEEDED + 1, path.split("s/", maxsplit=1)[0], 32)
    assert first["type"] == last["type"]
    assert first["detail"]["record"] | CHANGES[path] == last["detail"]["record"]
    # Sent back as it was read it changes nothing, and nothing is recorded.
    assert await patch(client, path, **changed) == changed
    assert len(await all_changes(client)) == SEEDED + 1
    await assert_verified(settings.database_url)


@sqlite_only
async def test_patch_with_if_match_fails_once_the_record_changed(client: httpx.AsyncClient, reference: Reference) -> None:
    path = "/v1/places/oldtown"
    read = await client.get(path, headers={"Accept-Encoding": "gzip"})
    etag = read.headers["etag"]
    for wrong in ('"other"', f"W/{etag}", ""):
        answer = await client.patch(path, json={"name": "A"}, headers={"If-Match": wrong})
        assert (answer.status_code, answer.json()["type"]) == (412, "urn:lifeline:problem:changed")
    for right in (etag, f'"other", {etag}', "*"):
        assert (await client.patch(path, json={"country": "SYR"}, headers={"If-Match": right})).status_code == 200
    assert (await client.patch(path, json={"name": "A"}, headers={"If-Match": etag})).status_code == 200
    answer = await client.patch(path, json={"name": "B"}, headers={"If-Match": etag})
    assert (answer.status_code, (await client.get(path)).json()["name"]) == (412, "A")


REFUSED: list[tuple[str, Any, str]] = [
    ("places/oldtown", {"slug": "new"}, "/slug"),
    ("places/oldtown", {"id": "new"}, "/id"),
    ("places/oldtown", {"name": None}, "/name"),
    ("places/oldtown", {"unknown": 1}, "/unknown"),
    ("places/oldtown", {"parent": "nowhere"}, "/parent"),
    ("places/country", {"parent": "oldtown"}, "/parent"),
    ("places/country", {"parent": "country"}, "/parent"),
    ("places/oldtown", {"successor_of": "oldtown"}, "/successor_of"),
    ("places/oldtown", {"successor_of": "nowhere"}, "/successor_of"),
    ("places/oldtown", {"valid_from": "2016-12-22", "valid_to": "2016-12-21"}, "/valid_to"),
    ("places/oldtown", {"valid_to": "22 December"}, "/valid_to"),
    ("places/oldtown", {"timezone": "Aleppo"}, "/timezone"),
    ("places/oldtown", {"names": {"Arabic": "x"}}, "/names/Arabic"),
    ("places/oldtown", {"names": {"ar": "\u200b "}}, "/names/ar"),
    ("places/oldtown", {"name": "   "}, "/name"),
    ("sources/agency", {"name": " \u200b "}, "/name"),
    ("routes/north-road", {"name": "\u202e\u3164"}, "/name"),
    ("places/oldtown", {"geometry": {"type": "Point", "coordinates": [37, 36, 10**30]}}, "/geometry"),
    ("sources/agency", {"reliability": "A"}, "/reliability"),
    ("sources/agency", {"first_reliability": "A"}, "/first_reliability"),
    ("sources/agency", {"type": "blog"}, "/type"),
    ("routes/north-road", {"mode": "path"}, "/mode"),
    ("routes/north-road", [], ""),
    ("routes/north-road", None, ""),
]


@sqlite_only
async def test_patch_names_each_field_that_it_cannot_change(client: httpx.AsyncClient, reference: Reference) -> None:
    for path, body, pointer in REFUSED:
        answer = await client.patch(f"/v1/{path}", content=json.dumps(body), headers=MERGE_PATCH)
        assert errors(answer) == [pointer], (path, body)
    reliability = (await client.patch("/v1/sources/agency", json={"reliability": "A"})).json()["errors"][0]["detail"]
    assert "POST /v1/sources/{slug}/grades" in reliability
    await post(client, "/v1/places", slug="far", name="Far", codes=[{"scheme": "pcode", "code": "SY07"}])
    taken = await client.patch("/v1/places/oldtown", json={"codes": [{"scheme": "pcode", "code": "SY07"}]})
    assert (taken.status_code, "pcode:SY07" in taken.json()["detail"]) == (409, True)
    assert (await client.patch("/v1/places/nowhere", json={})).status_code == 404
    as_text = await client.patch("/v1/places/oldtown", content="{}", headers={"Content-Type": "text/plain"})
    assert (as_text.status_code, as_text.headers["Accept-Patch"].split(", ")[0]) == (415, MERGE_PATCH["Content-Type"])
    assert MERGE_PATCH["Content-Type"] in as_text.json()["detail"]
    assert errors(await client.post("/v1/places", json={"slug": "blank", "name": "\u00a0\u2060"})) == ["/name"]
    assert errors(await client.post("/v1/sources/agency/grades", json={"reliability": "C", "reason": "   "})) == ["/reason"]
    assert len(await all_changes(client)) == SEEDED + 1


@sqlite_only
async def test_patch_needs_the_scope_and_the_clearance_for_what_is_withheld(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """A lower clearance may change what it sees of a protected source or a route, and sends back the rest as it sees it."""
    low = await make_client(clearance=Label.GREEN)
    assert (await anonymous.patch("/v1/places/oldtown", json={})).status_code == 401
    assert (await (await make_client(Scope.REPORT)).patch("/v1/places/oldtown", json={})).status_code == 403
    await post(client, "/v1/sources", slug="nurse", name="Nurse Amal", type="witness", alias="A nurse", organisation="test")
    (seen,) = [each for each in (await low.get("/v1/sources")).json()["items"] if each["name"] == "A nurse"]
    at = f"/v1/sources/{seen['slug']}"
    for body in ({"name": "Known"}, {"names": {"ar": "x"}}, {"organisation": None, "name": "Known"}):
        assert (await low.patch(at, json=body)).status_code == 403, body
    answer = await low.patch(at, json=seen | {"alias": "A health worker", "type": "ngo"})
    assert (answer.status_code, answer.json()["name"]) == (200, "A health worker")
    assert "Amal" not in answer.text
    assert errors(await client.patch("/v1/sources/nurse", json={"alias": None})) == ["/alias"]
    kept = (await client.get("/v1/sources/nurse")).json()
    assert (kept["name"], kept["organisation"], kept["type"]) == ("Nurse Amal", "test", "ngo")
    route = (await low.get("/v1/routes/north-road")).json()
    assert (await low.patch("/v1/routes/north-road", json=route | {"name": "North"})).status_code == 200
    assert (await low.patch("/v1/routes/north-road", json={"geometry": None})).status_code == 403
    exact = (await client.get("/v1/routes/north-road")).json()
    assert (exact["name"], exact["geometry"]["coordinates"][0]) == ("North", [37.0812, 36.2634])
    low_entries, entries = json.dumps(await all_changes(low)), json.dumps(await all_changes(client))
    for hidden in ("Nurse Amal", "37.0812"):
        assert (hidden in entries, hidden in low_entries) == (True, False), hidden


@sqlite_only
async def test_source_protected_later_is_withheld_from_earlier_entries(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference, settings: Settings
) -> None:
    await post(client, "/v1/sources", slug="amal", name="Amal", type="witness", organisation="clinic")
    assert "Amal" in json.dumps(await all_changes(anonymous))
    await patch(client, "sources/amal", alias="A nurse")
    entries = await all_changes(anonymous)
    assert not any(name in json.dumps(entries) for name in ("Amal", "amal", "clinic"))
    assert (entries[-2]["salt"], entries[-2]["redacted"]) == (None, ["source", "detail", "salt"])
    await assert_verified(settings.database_url)


async def test_rename_shows_in_every_document_and_the_past_keeps_the_old_name(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference, settings: Settings
) -> None:
    """Also as a page that was cached, in the change feed with the documents that it changed, and for the outlet and the origin."""
    provenance = {"via": ["outlet"], "origin": "monitor"}
    recorded = await post(client, **report("route_closure", provenance=provenance))
    paths = (f"/v1/indicators/{recorded['indicator']}", "/v1/indicators", "/v1/situations/oldtown", "/v1/situations")
    paths += ("/v1/places/oldtown", "/v1/places", "/v1/sources", "/v1/routes", "/v1/indicators.geojson")
    known = (await all_changes(client))[-1]["recorded_at"]
    renamed = {"places/oldtown": "Newtown", "sources/agency": "Office", "sources/outlet": "Paper", "sources/monitor": "Watcher"}
    old = {path: (await anonymous.get(path)).text for path in paths}
    for path, name in renamed.items():
        await patch(client, path, name=name)
    await patch(client, "routes/north-road", name="Ring road", geometry={"type": "Point", "coordinates": [38.0, 36.0]})
    last = (await all_changes(client))[-2]
    (document,) = last["documents"]
    assert (document["provenance"]["origin"]["name"], document["revision"]) == ("Watcher", last["seq"])
    then = {}
    for path in paths:
        now = (await anonymous.get(path)).text
        then[path] = (await anonymous.get(path, params={"known_at": known})).text
        names = {
            "Newtown": "places" in path or "situations" in path or "indicators" in path,
            "Office": "sources" in path or "indicators" in path,
        }
        assert {name: name in now for name in names} == names, path
        assert not any(name in then[path] for name in renamed.values()), path
    for path in ("/v1/places/oldtown", "/v1/situations/oldtown", "/v1/routes"):
        assert then[path].replace(f'"revision":{last["seq"] + 1}', '"revision":13') == old[path], path
    assert "38.0" in (await anonymous.get("/v1/indicators.geojson")).text
    await assert_verified(settings.database_url)


@sqlite_only
async def test_lists_at_an_earlier_time_filter_by_what_was_known_then(client: httpx.AsyncClient, reference: Reference) -> None:
    known = (await all_changes(client))[-1]["recorded_at"]
    await patch(client, "places/oldtown", country="TUR", centroid=[10.0, 10.0])
    await patch(client, "sources/agency", type="ngo")
    await patch(client, "routes/north-road", mode="rail")
    await post(client, "/v1/places", slug="later", name="Later", country="SYR")

    async def slugs(path: str, **params: str) -> list[str]:
        return [each["slug"] for each in (await client.get(f"/v1/{path}", params=params)).json()["items"]]

    for path, params, now, then in (
        ("places", {}, ["country", "oldtown", "later"], ["country", "oldtown"]),
        ("places", {"country": "SYR"}, ["country", "later"], ["country", "oldtown"]),
        ("places", {"country": "TUR"}, ["oldtown"], []),
        ("places", {"bbox": "37,36,38,37"}, [], ["oldtown"]),
        ("places", {"place": "oldtown", "country": "TUR"}, ["oldtown"], []),
        ("sources", {"type": "un"}, ["envoy"], ["agency", "envoy"]),
        ("routes", {"mode": "rail"}, ["north-road"], []),
    ):
        assert await slugs(path, **params) == now, params
        assert await slugs(path, known_at=known, **params) == then, params
    assert (await client.get("/v1/places/later", params={"known_at": known})).status_code == 404
    assert (await client.get("/v1/places/oldtown", params={"known_at": known})).json()["country"] == "SYR"


@mostly_sqlite
async def test_party_to_the_conflict_counts_from_its_change_on(client: httpx.AsyncClient, reference: Reference, settings: Settings) -> None:
    """As a grade does; `as_of` before keeps what was in force, and so does `known_at`. Also for the origin of what others say."""
    indicator = (await post(client, **report(stated_at="2016-07-28", provenance={"origin": "monitor"})))["indicator"]
    at = f"/v1/indicators/{indicator}"
    recorded = (await all_changes(client))[-1]["recorded_at"]
    agreement = (await client.get(at)).json()["agreement"]
    await patch(client, "sources/monitor", party_to_conflict=True)
    assert (agreement, (await client.get(at)).json()["agreement"]) == ("single", "unconfirmed")
    for params in ({"as_of": "2016-08-01"}, {"known_at": recorded}, {"as_of": "2016-08-01", "known_at": recorded}):
        assert (await client.get(at, params=params)).json()["agreement"] == "single", params
    history = (await client.get(f"{at}/history")).json()["items"]
    assert [(each["type"], each["agreement"]) for each in history] == [("report", "single"), ("source", "unconfirmed")]
    # A field that followed from the type follows from a new one; a field that was sent stays.
    assert (await patch(client, "sources/agency", type="armed_actor"))["party_to_conflict"] is True
    assert (await patch(client, "sources/monitor", type="ngo"))["party_to_conflict"] is True
    assert (await patch(client, "sources/monitor", party_to_conflict=None))["party_to_conflict"] is False
    await assert_verified(settings.database_url)


@sqlite_only
async def test_moved_place_takes_what_is_inside_it_along(client: httpx.AsyncClient, reference: Reference, settings: Settings) -> None:
    for slug, parent in (("other", None), ("quarter", "oldtown"), ("street", "quarter")):
        await post(client, "/v1/places", slug=slug, name=slug, parent=parent)

    async def inside(place: str) -> set[str]:
        items = (await client.get("/v1/places", params={"place": place, "within": "true"})).json()["items"]
        return {each["slug"] for each in items}

    await patch(client, "places/oldtown", parent="other")
    assert await inside("country") == {"country"}
    assert await inside("other") == {"other", "oldtown", "quarter", "street"}
    await patch(client, "places/quarter", parent=None)
    assert (await inside("other"), await inside("quarter")) == ({"other", "oldtown"}, {"quarter", "street"})
    await assert_verified(settings.database_url)


async def test_large_rename_is_finished_in_steps_by_any_process(
    client: httpx.AsyncClient, reference: Reference, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies after the first step leaves the rest to the next; the ledger is in order in between."""
    count = 2 * MAX_STEP_INDICATORS + 3
    for number in range(count):
        await post(client, "/v1/routes", slug=f"r{number}", name="R", mode="road")
    bodies = [report("route_closure", {"route": f"r{number}", "status": "closed"}) for number in range(count)]
    assert (await client.post("/v1/reports", json=bodies)).status_code == 207

    async def stop(*_: object) -> bool:
        return False

    monkeypatch.setattr("app.assessment.stale._is_left", stop)
    await patch(client, "places/oldtown", name="Newtown")

    async def names() -> list[str]:
        items = (await client.get("/v1/indicators", params={"limit": 1000})).json()["items"]
        return [each["place"]["name"] for each in items]

    assert (await names()).count("Newtown") == MAX_STEP_INDICATORS
    await assert_verified(settings.database_url)
    monkeypatch.undo()
    async with client_for(settings, await new_key(settings.database_url)):
        await wait_until_assessed(database)
    assert set(await names()) == {"Newtown"}
    await assert_verified(settings.database_url)


@sqlite_only
async def test_lang_shows_names_in_a_language_wherever_they_are_shown(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """Without one, and for a protected source, the name is as recorded; `known_at` gives the name of then."""
    await patch(client, "places/oldtown", names={"ar": "المدينة", "zh-Hant": "舊城"})
    await patch(client, "sources/agency", names={"ar": "الوكالة"})
    await patch(client, "routes/north-road", names={"ar": "الطريق"})
    await post(client, "/v1/sources", slug="nurse", name="Nurse", names={"ar": "ممرضة"}, type="witness", alias="A nurse")
    recorded = await post(client, **report("supply_runout", stated_at="2016-07-28"))
    await post(client, **report("route_closure", source="nurse", provenance={"via": ["agency"]}))
    known = (await all_changes(client))[-1]["recorded_at"]
    for path in ("places", "places/oldtown", "situations", "situations/oldtown", "indicators", "supply-runouts", "warnings"):
        shown = await anonymous.get(f"/v1/{path}", params={"lang": "ar-SY", **({"as_of": "2016-08-08"} if path == "warnings" else {})})
        assert (shown.status_code, "المدينة" in shown.text, "Old town" in shown.text) == (200, True, False), path
        assert "ممرضة" not in shown.text
    detail = (await client.get(f"/v1/indicators/{recorded['indicator']}", params={"lang": "ar"})).json()
    assert [detail["provenance"]["source"]["name"], *(each["source"]["name"] for each in detail["reports"])] == ["الوكالة", "الوكالة"]
    for path, name in (("sources/agency", "الوكالة"), ("sources/army", "Army"), ("routes/north-road", "الطريق")):
        assert (await client.get(f"/v1/{path}", params={"lang": "ar"})).json()["name"] == name
    items = (await anonymous.get("/v1/changes", params={"lang": "ar"})).json()["items"]
    documents = [each for item in items for each in item["documents"]]
    assert {each["place"]["name"] for each in documents} == {"المدينة"}
    # An entry stays as it was hashed.
    assert "Old town" in {item["detail"]["record"]["name"] for item in items if item["type"] == "place"}
    message = (await anonymous.get("/v1/alerts", params={"kind": "supply_runout", "lang": "ar"})).text
    cap = (await anonymous.get(f"/v1/alerts/{recorded['id']}.cap", params={"lang": "ar"})).text
    for text in (message, cap):
        assert ("المدينة" in text, "Old town" in text) == (True, False), text
    assert ("الوكالة" in cap, "Agency" in cap) == (True, False)
    for name in ("places_point", "supply_runout_point", "routes_line"):
        features = (await anonymous.get(f"/ogc/collections/{name}/items", params={"lang": "ar"})).json()["features"]
        one = (await anonymous.get(f"/ogc/collections/{name}/items/{features[-1]['id']}", params={"lang": "ar"})).json()["properties"]
        names = {value for each in (*features, {"properties": one}) for key, value in each["properties"].items() if key.endswith("name")}
        assert ({"المدينة", "الطريق"} & names != set(), "Old town" in names) == (True, False), names
    for path in ("indicators.csv", "changes.csv"):
        assert "المدينة" in (await anonymous.get(f"/v1/{path}", params={"lang": "ar"})).text
    assert "المدينة" in (await anonymous.get("/places/oldtown", params={"lang": "ar"})).text
    await patch(client, "places/oldtown", names={"ar": "حلب القديمة"})
    assert (await client.get("/v1/situations/oldtown", params={"lang": "ar"})).json()["place"]["name"] == "حلب القديمة"
    then = await client.get("/v1/situations/oldtown", params={"lang": "ar", "known_at": known})
    assert then.json()["place"]["name"] == "المدينة"
    assert (await client.get("/v1/places/oldtown", params={"lang": "zh-Hant"})).json()["name"] == "舊城"
    assert errors(await client.get("/v1/places", params={"lang": "Arabic!"})) == ["?lang"]


@sqlite_only
async def test_rewritten_record_and_entry_are_convicted_by_the_checkpoint(
    client: httpx.AsyncClient, reference: Reference, settings: Settings, tmp_path: Path
) -> None:
    """Where the row, its entry and every hash are rewritten alike, no row disagrees: only what was signed does."""
    signing = signing_settings(settings, tmp_path)
    secret = await new_key(settings.database_url)
    async with client_for(signing, secret) as signed:
        assert (await signed.get("/v1/ledger/checkpoint")).status_code == 200
    change = 'REPLACE(detail, \'"name":"Old town"\', \'"name":"New town"\')'
    await rewrite(
        settings.database_url,
        f"UPDATE ledger_entry SET detail = {change} WHERE global_seq = 2",
        "UPDATE place SET name = 'New town' WHERE slug = 'oldtown'",
        "UPDATE record_text SET text = REPLACE(text, 'old town', 'new town')",
    )
    await assert_verified(settings.database_url)
    async with client_for(signing, secret) as after:
        assert (await after.get("/v1/places/oldtown")).json()["name"] == "New town"
        assert (await after.get("/v1/ledger/checkpoint")).status_code == 503


@sqlite_only
async def test_move_takes_the_new_parents_country_where_it_was_inherited(client: httpx.AsyncClient, reference: Reference) -> None:
    """A given value stays, one of the patch counts, the places inside keep theirs, and without a parent nothing is lost."""
    await post(client, "/v1/places", slug="abroad", name="Abroad", country="TUR", timezone="Europe/Istanbul")
    await post(client, "/v1/places", slug="street", name="Street", parent="oldtown")
    await post(client, "/v1/places", slug="camp", name="Camp", parent="country", country="IRQ", timezone="Asia/Baghdad")

    async def moved(slug: str, **change: Any) -> tuple[str | None, str]:
        place = await patch(client, f"places/{slug}", **change)
        return place["country"], place["timezone"]

    assert await moved("oldtown", parent="abroad") == ("TUR", "Europe/Istanbul")
    street = (await client.get("/v1/places/street")).json()
    assert (street["country"], street["timezone"]) == ("SYR", "UTC")
    assert await moved("camp", parent="abroad") == ("IRQ", "Asia/Baghdad")
    assert await moved("oldtown", parent=None) == ("TUR", "Europe/Istanbul")
    assert await moved("oldtown", parent="abroad") == ("TUR", "Europe/Istanbul")
    assert await moved("oldtown", parent="country", country="TUR") == ("TUR", "UTC")
