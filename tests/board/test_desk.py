"""Tests for the desk over HTTP: forms in and out, what is refused, and that it shows nothing above the reader's clearance."""

import html
import re
from urllib.parse import urlencode

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import Label
from tests.support.factories import Reference, post, report
from tests.support.fixtures import MakeKey

SAME_SITE = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
FOOD = {"place": "Old town", "source": "Agency", "stated_at": "28 July 2016", "value.supply": "food", "value.state": "will_run_out"}


async def sign_in(browser: httpx.AsyncClient, make_key: MakeKey, *scopes: Scope) -> httpx.AsyncClient:
    """Sign a browser in with a key of clearance `amber`."""
    key = await make_key(*scopes, clearance=Label.AMBER, organisation="desk")
    await browser.post("/sign-in", data={"key": key}, headers={"Sec-Fetch-Site": "same-origin"})
    return browser


@pytest.fixture
async def desk(anonymous: httpx.AsyncClient, reference: Reference, make_key: MakeKey) -> httpx.AsyncClient:
    """Return a browser that is signed in with a key that may report and curate."""
    return await sign_in(anonymous, make_key, Scope.READ, Scope.REPORT, Scope.CURATE)


async def token_of(browser: httpx.AsyncClient) -> str:
    """Return the token of the session, as a form carries it."""
    found = re.search(r'name="token" value="([0-9a-f]{64})"', (await browser.get("/desk/statements/supply_runout")).text)
    assert found is not None
    return found[1]


async def send(browser: httpx.AsyncClient, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
    """Send a form as the page of the desk does."""
    body = urlencode({"token": await token_of(browser), **fields})
    return await browser.post(path, content=body, headers=SAME_SITE | headers)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("in 3 weeks", "18 Aug 2016"),
        ("in two to three weeks", "11 Aug 2016"),
        ("mid-August", "20 Aug 2016"),
        ("by 15 August", "15 Aug 2016"),
        ("Sunday", "31 Jul 2016"),
        ("2016-08-11 to 2016-08-18", "18 Aug 2016"),
        ("hours, if not days", "hours"),
    ],
)
async def test_times_as_people_write_them_are_shown_resolved(desk: httpx.AsyncClient, typed: str, shown: str) -> None:
    answer = await send(desk, "/desk/statements/supply_runout", FOOD | {"value.runs_out": typed, "do": "preview"})
    assert answer.status_code == 200
    assert shown in answer.text.partition('id="preview"')[2].partition('id="fields"')[0]
    assert (await desk.get("/v1/reports")).json()["items"] == []


async def test_times_are_read_in_the_language_of_the_page(desk: httpx.AsyncClient) -> None:
    for language, typed in (
        ("fr", "dans 10 jours"),
        ("es", "en 10 d\u00edas"),
        ("ar", "\u062e\u0644\u0627\u0644 \u0661\u0660 \u0623\u064a\u0627\u0645"),
    ):
        fields = FOOD | {"stated_at": "2016-07-28", "value.runs_out": typed, "do": "preview"}
        answer = await send(desk, f"/desk/statements/supply_runout?lang={language}", fields)
        assert answer.status_code == 200, answer.text
        assert 'id="preview"' in answer.text


async def test_what_is_wrong_is_told_at_its_field_and_nothing_typed_is_lost(desk: httpx.AsyncClient) -> None:
    fields = FOOD | {"place": "Old tonw", "value.runs_out": "soon <b>", "provenance.url": "nowhere", "provenance.quote": "the \u202e words"}
    answer = await send(desk, "/desk/statements/supply_runout", fields | {"do": "send"})
    assert answer.status_code == 422
    for name in ("place", "value-runs_out", "provenance-url"):
        assert f'id="f-{name}-error"' in answer.text, name
    for text in ("Old tonw", "soon &lt;b&gt;", "the \u202e words", 'value="pick:place=oldtown"'):
        assert text in answer.text, text
    picked = await send(desk, "/desk/statements/supply_runout", fields | {"do": "pick:place=oldtown"})
    assert 'value="Old town"' in picked.text
    assert (await desk.get("/v1/reports")).json()["items"] == []


async def test_form_sent_twice_is_recorded_once_and_leads_to_its_page(desk: httpx.AsyncClient) -> None:
    fields = FOOD | {"value.runs_out": "in 10 days", "once": "abc", "sensitivity": "clear", "do": "send"}
    first, second = [await send(desk, "/desk/statements/supply_runout", fields) for _ in range(2)]
    assert (first.status_code, first.headers["location"]) == (303, second.headers["location"])
    (recorded,) = (await desk.get("/v1/reports")).json()["items"]
    assert recorded["value"]["in_days_max"] == 10
    page = (await desk.get(first.headers["location"])).text
    assert f"/desk/statements/route_closure?same={recorded['id']}" in page
    # Another statement of the same document has its provenance.
    assert 'value="Agency"' in (await desk.get(f"/desk/statements/route_closure?same={recorded['id']}")).text


async def test_forms_of_other_sites_and_sessions_are_refused(desk: httpx.AsyncClient) -> None:
    token = await token_of(desk)
    send_fields = FOOD | {"do": "send", "value.runs_out": "in 10 days"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        answer = await desk.post("/desk/statements/supply_runout", content=urlencode(send_fields | {"token": token}), headers=headers)
        assert answer.status_code == 403
    origin = {"Origin": "https://elsewhere.example.org"}
    assert (
        await desk.post("/desk/statements/supply_runout", content=urlencode(send_fields | {"token": token}), headers=origin)
    ).status_code == 403
    for wrong in ("", "0" * 64, token[:-1]):
        answer = await desk.post("/desk/statements/supply_runout", content=urlencode(send_fields | {"token": wrong}), headers=SAME_SITE)
        assert answer.status_code == 403
    assert (await desk.get("/v1/reports")).json()["items"] == []
    # The API itself never takes a cookie for a key.
    assert (await desk.post("/v1/reports", json=report())).status_code == 401


async def test_desk_needs_a_session_and_a_scope(anonymous: httpx.AsyncClient, reference: Reference, make_key: MakeKey) -> None:
    answer = await anonymous.get("/desk")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?ended=true")
    assert (await anonymous.post("/desk/statements/supply_runout", content="do=send", headers=SAME_SITE)).status_code == 303
    reader = await sign_in(anonymous, make_key, Scope.READ)
    assert (await reader.get("/desk")).status_code == 403
    reporter = await sign_in(anonymous, make_key, Scope.READ, Scope.REPORT)
    answer = await send(reporter, "/desk/new/places", {"name": "Camp", "do": "save"})
    assert answer.status_code == 422
    assert "scope" in answer.text
    assert "/desk/new/places" not in (await reporter.get("/desk")).text


async def test_record_is_changed_only_as_it_was_read(desk: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    page = (await desk.get("/desk/records/places/oldtown")).text
    etag = re.search(r'name="etag" value="([^"]+)"', page)
    assert etag is not None
    fields = {
        "etag": etag[1].replace("&#34;", '"'),
        "name": "Old city",
        "names": "ar: \u0627\u0644\u0645\u062f\u064a\u0646\u0629",
        "do": "save",
    }
    assert (await send(desk, "/desk/records/places/oldtown", fields)).status_code == 303
    record = (await client.get("/v1/places/oldtown")).json()
    assert (record["name"], record["names"]) == ("Old city", {"ar": "\u0627\u0644\u0645\u062f\u064a\u0646\u0629"})
    late = await send(desk, "/desk/records/places/oldtown", fields | {"name": "Older city"})
    assert late.status_code == 422
    assert (await client.get("/v1/places/oldtown")).json()["name"] == "Old city"


async def test_pages_of_the_desk_show_nothing_above_the_clearance(
    desk: httpx.AsyncClient, client: httpx.AsyncClient, reference: Reference
) -> None:
    """Compare every page before and after something is recorded that its reader may not see."""
    seen = await post(client, **report(sensitivity="amber"))
    paths = ["/desk", "/desk/today", "/desk/drafts", "/desk/article", "/desk/statements/supply_runout", f"/desk/reports/{seen['id']}"]
    paths += [f"/desk/reports/{seen['id']}/correction", "/desk/records/places", "/desk/records/sources", "/desk/records/routes"]
    before = [await shown(desk, path) for path in paths]
    hidden = await post(client, **report("supply_runout", sensitivity="red"))
    await client.post("/v1/drafts", json=report("route_closure", sensitivity="red"))
    await client.post(f"/v1/reports/{hidden['id']}/retraction", json={"reason": "withdrawn"})
    assert [await shown(desk, path) for path in paths] == before
    for path in (f"/desk/reports/{hidden['id']}", f"/desk/reports/{hidden['id']}/correction"):
        unknown = path.replace(hidden["id"], "01900000-0000-7000-8004-000000009999")
        assert (await desk.get(path)).status_code == (await desk.get(unknown)).status_code == 404


async def shown(browser: httpx.AsyncClient, path: str) -> str:
    """Return a page without its random parts."""
    answer = await browser.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), path
    return re.sub(r'name="once" value="[^"]*"', "", answer.text)


async def test_hostile_article_is_answered_with_an_escaped_page(desk: httpx.AsyncClient) -> None:
    text = "<script>alert(1)</script> \u202eTen people are trapped in Old town, Agency said on Friday.\u202c " + "9" * 30_000
    fields = {"text": text, "publisher": "Outlet", "published_at": "2016-07-31", "do": "read"}
    answer = await send(desk, "/desk/article", fields)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    large = await send(desk, "/desk/article", fields | {"text": "a " * 2_000_000})
    assert large.status_code == 413


def forms_of(page: str) -> list[dict[str, str]]:
    """Return the fields of each form of the desk on a page, as a browser sends them on Enter: with the first button."""
    found = []
    for form in re.findall(r"<form method=\"post\".*?</form>", page, re.DOTALL):
        fields = re.findall(r'<input[^>]* name="(\w+)"(?:[^>]* value="([^"]*)")?', form)
        button = re.search(r'<button[^>]*name="do" value="([^"]*)"', form)
        if button is not None:
            found.append({name: html.unescape(value) for name, value in fields} | {"do": button[1]})
    return found


async def test_reason_for_a_draft_rejects_that_draft_and_confirms_none(desk: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    for kind in ("supply_runout", "route_closure"):
        await client.post("/v1/drafts", json=report(kind))
    first, second = (await client.get("/v1/drafts")).json()["items"]
    with_reason = [each for each in forms_of((await desk.get("/desk/drafts")).text) if "reason" in each]
    assert [(each["draft"], each["do"]) for each in with_reason] == [(first["id"], "rejection"), (second["id"], "rejection")]
    empty = await send(desk, "/desk/drafts", with_reason[1])
    at_draft = empty.text.partition(f'id="d-{second["id"]}"')[2]
    assert (empty.status_code, "Write why" in at_draft) == (422, True)
    assert (await send(desk, "/desk/drafts", with_reason[1] | {"reason": "not said"})).status_code == 303
    drafts = (await client.get("/v1/drafts")).json()["items"]
    assert [(each["status"], each["reason"]) for each in drafts] == [("proposed", None), ("rejected", "not said")]


@pytest.mark.parametrize("decision", ["confirmation", "rejection"])
async def test_draft_that_changed_after_it_was_shown_is_shown_again(
    desk: httpx.AsyncClient, client: httpx.AsyncClient, decision: str
) -> None:
    draft = (await client.post("/v1/drafts", json=report("supply_runout", place="oldtown"))).json()
    seen = next(each for each in forms_of((await desk.get("/desk/drafts")).text) if each["do"] == decision) | {"reason": "wrong"}
    await client.patch(draft["links"]["self"], json={"stated_at": "2016-07-01"})
    late = await send(desk, "/desk/drafts", seen)
    assert late.status_code == 422
    assert "has changed" in late.text.partition(f'id="d-{draft["id"]}"')[2]
    assert (await client.get(draft["links"]["self"])).json()["status"] == "proposed"
    again = next(each for each in forms_of(late.text) if each["do"] == decision) | {"reason": "wrong"}
    assert (await send(desk, "/desk/drafts", again)).status_code == 303
    assert (await client.get(draft["links"]["self"])).json()["status"] == {"confirmation": "confirmed", "rejection": "rejected"}[decision]


ARTICLE = {
    "text": "The Agency said on Friday that some 300,000 people were trapped in Old town.\n"
    "North-road into Old town has been closed since 7 July. The Agency said on Friday that food in Old\n"
    "town could run out in two to three weeks.",
    "publisher": "Outlet",
    "published_at": "2016-07-31",
}


async def test_article_is_kept_as_it_was_shown_or_not_at_all(desk: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    page = (await send(desk, "/desk/article", ARTICLE | {"do": "read"})).text
    (form,) = forms_of(page)
    # Enter in a field reads.
    assert (form["do"], page.count("checked")) == ("read", 3)
    kept = ARTICLE | {"read": form["read"], "do": "save"}
    for changed in ({"text": ARTICLE["text"].replace("300,000", "400,000")}, {"published_at": "2016-07-24"}, {"read": ""}):
        answer = await send(desk, "/desk/article", kept | {"pick": "0"} | changed)
        assert answer.status_code == 422, changed
        assert "has changed since it was read" in answer.text
    none = await send(desk, "/desk/article", kept | {"pick": "3"})
    assert (none.status_code, "Nothing was ticked" in none.text, none.text.count("checked")) == (422, True, 0)
    assert (await client.get("/v1/drafts")).json()["items"] == []
    assert (await send(desk, "/desk/article", kept | {"pick": "1"})).headers["location"] == "/desk/drafts?done=saved"
    (draft,) = (await client.get("/v1/drafts")).json()["items"]
    assert (draft["report"]["kind"], draft["report"]["value"]["since"]) == ("route_closure", "2016-07-07")


async def test_article_kept_twice_makes_each_draft_once(desk: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    (form,) = forms_of((await send(desk, "/desk/article", ARTICLE | {"do": "read"})).text)
    kept = ARTICLE | {"read": form["read"], "do": "save"}
    places = [(await send(desk, "/desk/article", kept | {"pick": at})).headers["location"] for at in ("2", "2")]
    body = {"token": await token_of(desk), **kept}
    both = await desk.post("/desk/article", content=urlencode([*body.items(), ("pick", "2"), ("pick", "1")]), headers=SAME_SITE)
    done = [each.partition("done=")[2] for each in [*places, both.headers["location"]]]
    assert done == ["saved", "saved_before", "saved_new"]
    assert "waits here already" in (await desk.get(places[1])).text
    assert len((await client.get("/v1/drafts")).json()["items"]) == 2
