"""The blocking client against a real server with the demo data."""

import pytest

from app.client import Indicator, Lifeline, LifelineError
from tests.support.processes import Server


def test_lists_are_read_to_the_end_with_typed_records(demo: Server) -> None:
    with Lifeline(demo.url) as lifeline:
        indicators = list(lifeline.indicators())
        assert [each.id for each in lifeline.indicators(limit=3)] == [each.id for each in indicators]
        trapped = next(each for each in lifeline.indicators(kind="trapped_population", as_of="2016-08-01") if each.subject == "trapped")
        assert isinstance(trapped, Indicator)
        assert (trapped.place.slug, trapped.agreement, trapped.value and trapped.value["people_high"]) == (
            "aleppo-east",
            "contested",
            300000,
        )
        # Fields that the client does not declare are kept.
        assert lifeline.indicator(trapped.id).model_dump()["reports"]
        assert lifeline.situation("aleppo-east", as_of="2016-08-07").model_dump()["routes"]["closed"] == 2
        digest = lifeline.digest("aleppo-east", "2016-08-06", as_of="2016-08-09")
        assert [(each.change, len(each.reports)) for each in digest.items] == [("new", 1)]
        assert lifeline.digest("aleppo-east", digest.revision).items == []
        for text in (lifeline.brief("aleppo-east", as_of="2016-08-09").text, lifeline.brief("aleppo-east", as_of="2016-08-09").text):
            assert "Sources contradict each other." in text
        assert "## Sources" in lifeline.brief("aleppo-east", markdown=True, as_of="2016-08-09").text
        assert (
            lifeline.place("pcode:SY02").slug
            == next(each for each in lifeline.places() if each.codes == lifeline.place("pcode:SY02").codes).slug
        )
        assert {each.slug for each in lifeline.routes()} == {"castello-road", "ramouseh-passage"} | {
            each.slug for each in lifeline.routes()
        }
        assert lifeline.record("sources", "un-ocha").model_dump()["first_reliability"] == "B"
        assert len(list(lifeline.sources(type="un"))) == 4
        assert len(list(lifeline.reports(place="aleppo-east"))) > 10


def test_follow_yields_pages_and_changes_goes_on_from_a_cursor(demo: Server) -> None:
    with Lifeline(demo.url) as lifeline:
        pages = lifeline.follow(wait=0)
        first = next(pages)
        assert [each.seq for each in first.items] == list(range(1, 45))
        assert first.items[-1].documents[0].place.slug == "aleppo-east"
        after = lifeline.changes(first.next)
        assert (after.items, after.next) == ([], first.next)


def test_reports_are_sent_corrected_and_retracted(demo: Server) -> None:
    body = {
        "kind": "supply_runout",
        "place": "aleppo-east",
        "source": "un-envoy-syria",
        "stated_at": "2016-08-02",
        "value": {"supply": "water", "in_days_min": 3, "in_days_max": 5},
        "sensitivity": "clear",
    }
    with Lifeline(demo.url, demo.key) as lifeline:
        sent = lifeline.send(body)
        assert (sent.status, sent.value["runs_out_earliest"]) == ("standing", "2016-08-05")
        assert lifeline.send(body).id == sent.id
        corrected = lifeline.correct(sent.id, body | {"value": {"supply": "water", "in_days_min": 4}}, "misheard")
        assert (corrected.supersedes, lifeline.report(sent.id).status) == (sent.id, "superseded")
        assert lifeline.retract(corrected.id, "never said").model_dump()["type"] == "retraction"
        results = lifeline.send_all([body | {"stated_at": "2016-08-03"}, body | {"place": "nowhere"}])
        assert [each.status for each in results] == [201, 422]
        with pytest.raises(LifelineError, match="/value/people_low: people_low must not exceed people_high") as caught:
            lifeline.send(body | {"kind": "trapped_population", "value": {"concept": "trapped", "people_low": 2, "people_high": 1}})
        assert (caught.value.status, caught.value.errors[0].pointer) == (422, "/value/people_low")
        with pytest.raises(LifelineError) as missing:
            lifeline.place("atlantis")
        assert missing.value.status == 404


def test_article_is_read_drafted_and_confirmed(demo: Server) -> None:
    with Lifeline(demo.url, demo.key) as lifeline:
        text = "The UN said on Friday that fuel in eastern Aleppo could run out in two weeks."
        (read,) = lifeline.read_article(text, "regional-news-site", "2016-07-31").model_dump()["drafts"]
        made = lifeline.draft(read["report"])
        assert made.id in [each.id for each in lifeline.drafts(status="proposed")]
        confirmed = lifeline.confirm_draft(made.id)
        assert (confirmed.drafted_by, confirmed.value["runs_out_earliest"]) == (made.drafted_by, "2016-08-12")
        other = lifeline.draft(read["report"] | {"stated_at": "2016-07-28"})
        assert lifeline.reject_draft(other.id, "said a day later").status == "rejected"
